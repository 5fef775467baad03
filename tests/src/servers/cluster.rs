//! Several servers that share the keys.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Generation, Options, Server};

const SLOTS: u16 = 16_384;
const DEADLINE: Duration = Duration::from_secs(40);

/// A running Cluster: first the nodes that started as masters, then their replicas.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Server>,
    masters: usize,
}

impl Cluster {
    /// Starts a Cluster of so many masters with so many replicas each, and waits until it works.
    pub fn start(generation: Generation, masters: usize, replicas: usize) -> Self {
        Self::of(&vec![generation; masters * (1 + replicas)], masters)
    }

    /// Starts a Cluster of nodes of these generations, the masters first.
    pub fn of(generations: &[Generation], masters: usize) -> Self {
        let options = Options {
            cluster: true,
            ..Options::default()
        };
        let nodes: Vec<Server> = generations
            .iter()
            .map(|&generation| Server::start(generation, &options))
            .collect();
        let cluster = Self { nodes, masters };
        cluster.join();
        cluster
    }

    /// A Cluster of three masters that tests running at the same time share; the last one ends it.
    pub fn shared(generation: Generation) -> Arc<Self> {
        static SHARED: [Mutex<Weak<Cluster>>; 3] = [const { Mutex::new(Weak::new()) }; 3];
        let mut shared = SHARED[generation as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start(generation, 3, 0));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Where clients find it.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// Moves slots, with the keys in them, from one node to another, one slot after the other.
    pub fn move_slots(&self, from: usize, to: usize, slots: impl IntoIterator<Item = u16>) {
        let (from_id, to_id) = (self.id(from), self.id(to));
        let port = self.nodes[to].port().to_string();
        for slot in slots {
            let slot = slot.to_string();
            self.set_slot(to, &slot, &["IMPORTING", &from_id]);
            self.set_slot(from, &slot, &["MIGRATING", &to_id]);
            loop {
                let keys: Vec<String> =
                    self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
                if keys.is_empty() {
                    break;
                }
                let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
                migrate.extend(keys.iter().map(String::as_str));
                let _: String = self.nodes[from].command(&migrate);
            }
            self.set_slot(to, &slot, &["NODE", &to_id]);
            self.set_slot(from, &slot, &["NODE", &to_id]);
        }
    }

    /// The slots that a master had at the start.
    pub fn slots(&self, master: usize) -> std::ops::Range<u16> {
        let share =
            |n: usize| u16::try_from(usize::from(SLOTS) * n / self.masters).expect("a slot");
        share(master)..share(master + 1)
    }

    /// Whether every running node sees a working Cluster.
    pub fn works(&self) -> bool {
        self.nodes.iter().all(|node| {
            node.try_command::<String>(&["CLUSTER", "INFO"])
                .is_ok_and(|info| info.contains("cluster_state:ok"))
        })
    }

    fn join(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let _: String =
                node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < self.masters {
                let slots = self.slots(index);
                let (first, last) = (slots.start.to_string(), (slots.end - 1).to_string());
                let _: String = node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
            if index > 0 {
                let first = &self.nodes[0];
                let bus = first.command::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]);
                let port = first.port().to_string();
                let _: String = node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]]);
            }
        }
        let count = self.nodes.len();
        wait_for("every node knows every other", || {
            self.nodes.iter().all(|node| {
                let known: String = node.command(&["CLUSTER", "NODES"]);
                known.lines().count() == count && !known.contains("handshake")
            })
        });
        for index in self.masters..count {
            let master = self.id(index % self.masters);
            let _: String = self.nodes[index].command(&["CLUSTER", "REPLICATE", &master]);
        }
        wait_for("the Cluster works", || self.works());
        wait_for("the replicas follow", || {
            self.nodes[self.masters..]
                .iter()
                .all(|node| node.info("replication", "master_link_status").as_deref() == Some("up"))
        });
    }

    fn id(&self, node: usize) -> String {
        self.nodes[node].command(&["CLUSTER", "MYID"])
    }

    fn set_slot(&self, node: usize, slot: &str, state: &[&str]) {
        let mut words = vec!["CLUSTER", "SETSLOT", slot];
        words.extend(state);
        let _: String = self.nodes[node].command(&words);
    }
}

/// Polls until it is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out before {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
