//! A master, its replica, and three Sentinels that watch them.

use std::time::{Duration, Instant};

use super::{Generation, Options, Server};

/// Running servers with automatic failover.
#[derive(Debug)]
pub struct Sentinel {
    /// The master at the start.
    pub master: Server,
    /// Its replica.
    pub replica: Server,
    /// Those that watch.
    pub sentinels: Vec<Server>,
}

impl Sentinel {
    /// The name that the Sentinels know the master by.
    pub const MASTER: &'static str = "sessions";

    /// Starts them and waits until the Sentinels know each other and the replica.
    pub fn start(generation: Generation) -> Self {
        let master = Server::start(generation, &Options::default());
        let replica = Server::start(
            generation,
            &Options {
                replica_of: Some(master.port()),
                ..Options::default()
            },
        );
        let name = Self::MASTER;
        let options = Options {
            sentinel: true,
            settings: vec![
                format!("sentinel monitor {name} 127.0.0.1 {} 2", master.port()),
                format!("sentinel down-after-milliseconds {name} 1000"),
                format!("sentinel failover-timeout {name} 5000"),
            ],
            ..Options::default()
        };
        let sentinels = (0..3)
            .map(|_| Server::start(generation, &options))
            .collect();
        let started = Self {
            master,
            replica,
            sentinels,
        };
        started.wait_until_ready();
        started
    }

    /// Where clients find the Sentinels.
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Server::url).collect()
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(40);
        let is_ready = |sentinel: &Server| {
            let state: Vec<redis::Value> = sentinel.command(&["SENTINEL", "MASTER", Self::MASTER]);
            let words: Vec<String> =
                redis::from_redis_value(redis::Value::Array(state)).expect("names and values");
            let is = |name: &str, value: &str| {
                words
                    .chunks(2)
                    .any(|pair| pair[0] == name && pair[1] == value)
            };
            is("num-slaves", "1") && is("num-other-sentinels", "2") && is("flags", "master")
        };
        while !self.sentinels.iter().all(is_ready) {
            assert!(
                Instant::now() < deadline,
                "the Sentinels do not find each other"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
