//! Every driver, each with an empty store of its own, for what must hold on all of them: memory,
//! files, and each real server.
//!
//! Time is injected into memory and files, so it passes when a test says so. A server has a clock of
//! its own, by which [`Driver::pass`] waits; there [`Driver::minutes`] are short. A test that is true
//! at any speed is true on both.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use session_runtime::store::{Clock, Timestamp};
use session_runtime::store::{Count, Durability, Loaded, Selection};
use session_runtime::{
    FileStore, MemoryStore, RedisStore, SessionId, SessionLayer, SessionLayerBuilder, SessionStore,
};
use tempfile::TempDir;

use crate::clock::ManualClock;
use crate::servers::{Options, PATIENCE, Server, available};

/// A driver with an empty store, and what must outlive it.
pub struct Driver {
    name: &'static str,
    store: Arc<dyn SessionStore>,
    debug: Box<dyn Fn() -> String + Send + Sync>,
    place: Place,
}

/// Where the sessions are.
enum Place {
    Memory(ManualClock),
    Files(TempDir, ManualClock),
    Server(Arc<Server>, String),
}

/// Every driver that this machine has.
pub async fn drivers() -> Vec<Driver> {
    let mut all = vec![Driver::memory(), Driver::files()];
    for generation in available() {
        all.push(Driver::on(Server::shared(generation)).await);
    }
    all
}

/// The same on servers that no other test uses, and that write all commands into files as they are.
pub async fn drivers_that_keep_files() -> Vec<Driver> {
    let mut all = vec![Driver::files()];
    for generation in available() {
        let options = Options {
            append_only: true,
            settings: vec!["rdbcompression no".to_owned()],
            ..Options::default()
        };
        all.push(Driver::on(Arc::new(Server::start(generation, &options))).await);
    }
    all
}

impl Driver {
    /// Sessions in memory.
    pub fn memory() -> Self {
        let clock = ManualClock::new();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        Self::new("memory", store, Place::Memory(clock))
    }

    /// Sessions in files.
    pub fn files() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = ManualClock::new();
        let store = open(folder.path(), &clock);
        Self::new("files", store, Place::Files(folder, clock))
    }

    /// Sessions on a server, under a prefix of their own, by a user with no more rights than the
    /// README grants.
    pub async fn on(server: Arc<Server>) -> Self {
        static PREFIXES: AtomicUsize = AtomicUsize::new(0);
        let prefix = format!("driver-{}", PREFIXES.fetch_add(1, Ordering::Relaxed));
        server.allow_application(&prefix, "secret", &prefix);
        let store = connect(&url(server.port(), &prefix), &prefix).await;
        let name = server.generation().name();
        Self::new(name, store, Place::Server(server, prefix))
    }

    fn new(name: &'static str, store: impl SessionStore + Debug, place: Place) -> Self {
        let store = Arc::new(store);
        let shown = Arc::clone(&store);
        Self {
            name,
            store,
            debug: Box::new(move || format!("{shown:?}")),
            place,
        }
    }

    /// The driver's name in failed assertions.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The store's `Debug` output.
    pub fn debug(&self) -> String {
        (self.debug)()
    }

    /// The store as one node of an application has it.
    pub fn store(&self) -> Arc<dyn SessionStore> {
        Arc::clone(&self.store)
    }

    /// The store as another node has it: another process would, so nothing is shared but the data.
    /// Memory has only one node.
    pub async fn another_node(&self) -> Arc<dyn SessionStore> {
        match &self.place {
            Place::Memory(_) => self.store(),
            Place::Files(folder, clock) => Arc::new(open(folder.path(), clock)),
            Place::Server(server, prefix) => {
                Arc::new(connect(&url(server.port(), prefix), prefix).await)
            }
        }
    }

    /// The same store over a connection to another port of this machine; `None` without a server.
    pub async fn through(&self, port: u16) -> Option<Arc<dyn SessionStore>> {
        match &self.place {
            Place::Server(_, prefix) => Some(Arc::new(connect(&url(port, prefix), prefix).await)),
            _ => None,
        }
    }

    /// A layer over this store whose calls may take as long as they like.
    pub fn layer(&self) -> SessionLayer {
        self.builder().build().expect("the defaults are sound")
    }

    /// The settings of such a layer.
    pub fn builder(&self) -> SessionLayerBuilder {
        patient(self.store())
    }

    /// Where another process finds the same sessions, for [`node`]; `None` for memory.
    pub fn address(&self) -> Option<Vec<String>> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Files(folder, _) => Some(vec![
                "files".to_owned(),
                folder.path().display().to_string(),
            ]),
            Place::Server(server, prefix) => {
                let url = url(server.port(), prefix);
                Some(vec!["server".to_owned(), url, prefix.clone()])
            }
        }
    }

    /// The server, where there is one.
    pub fn server(&self) -> Option<&Arc<Server>> {
        match &self.place {
            Place::Server(server, _) => Some(server),
            _ => None,
        }
    }

    /// The prefix of its sessions' keys, where there is a server.
    pub fn prefix(&self) -> Option<&str> {
        match &self.place {
            Place::Server(_, prefix) => Some(prefix),
            _ => None,
        }
    }

    /// The folder, where there is one.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Files(folder, _) => Some(folder.path()),
            _ => None,
        }
    }

    /// The time by which the sessions end.
    pub fn now(&self) -> Timestamp {
        match &self.place {
            Place::Memory(clock) | Place::Files(_, clock) => clock.now(),
            Place::Server(server, _) => {
                let (seconds, micros): (u64, u64) = server.command(&["TIME"]);
                Timestamp::from_millis(seconds * 1000 + micros / 1000)
            }
        }
    }

    /// Comes back when so much time has passed by [`now`](Self::now).
    pub async fn pass(&self, time: Duration) {
        match &self.place {
            Place::Memory(clock) | Place::Files(_, clock) => clock.advance(time),
            Place::Server(..) => {
                let (end, bound) = (self.now() + time, Instant::now() + time + PATIENCE);
                while self.now() < end {
                    assert!(Instant::now() < bound, "{}: its clock stands", self.name);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }

    /// So many minutes, for which 50 milliseconds each must do on a server.
    pub fn minutes(&self, number: u32) -> Duration {
        number
            * match self.place {
                Place::Server(..) => Duration::from_millis(50),
                _ => Duration::from_secs(60),
            }
    }

    /// Asks every so often until the answer is no. Answers when it was yes for the last time, by a
    /// clock that was read before, and when it was no, by a clock that was read after.
    pub async fn lasts(
        &self,
        step: Duration,
        mut question: impl AsyncFnMut() -> bool,
    ) -> (Option<Timestamp>, Timestamp) {
        let mut last_yes = None;
        for _ in 0..100_000 {
            let before = self.now();
            if !question().await {
                return (last_yes, self.now());
            }
            last_yes = Some(before);
            self.pass(step).await;
        }
        panic!("{}: it does not end", self.name);
    }

    /// The session without its fields, as the store has it. Nothing is touched.
    pub async fn look(&self, session: &SessionId) -> Option<Loaded> {
        let loaded = self.store.load(session, &Selection::default()).await;
        loaded.unwrap_or_else(|error| panic!("{}: {error:?}", self.name))
    }

    /// How many sessions there are.
    pub async fn sessions(&self) -> usize {
        match &self.place {
            // Its own answer counts other keys as well.
            Place::Server(_, prefix) => {
                let others = format!("{prefix}:@");
                let keys = self.keys().into_iter();
                keys.filter(|key| !key.starts_with(&others)).count()
            }
            _ => match self.store.len().await {
                Ok(Count::Exact(count)) => usize::try_from(count).expect("few sessions"),
                other => panic!("{}: {other:?}", self.name),
            },
        }
    }

    /// All that the driver keeps of its sessions at this moment, as bytes: names and contents of
    /// files, or keys, fields, values and ends. Memory shows nothing.
    pub fn contents(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.place {
            Place::Memory(_) => {}
            Place::Files(folder, _) => collect(folder.path(), &mut bytes),
            Place::Server(server, _) => {
                for key in self.keys() {
                    let end: i64 = server.command(&["PEXPIRETIME", &key]);
                    let kind: String = server.command(&["TYPE", &key]);
                    // In any order: a server may change it as it reads.
                    let mut pairs: Vec<Vec<u8>> = match &*kind {
                        "hash" => {
                            let pairs: Vec<(Vec<u8>, Vec<u8>)> = server.command(&["HGETALL", &key]);
                            pairs
                                .into_iter()
                                .map(|(name, value)| [name, value].concat())
                                .collect()
                        }
                        _ => server
                            .command::<Option<_>>(&["GET", &key])
                            .into_iter()
                            .collect(),
                    };
                    pairs.sort();
                    bytes.extend(format!("{key} {end}").into_bytes());
                    bytes.extend(pairs.concat());
                }
            }
        }
        bytes
    }

    /// A dump of each session, as a server hands it over to move it.
    pub fn dumps(&self) -> Vec<u8> {
        let Place::Server(server, _) = &self.place else {
            return Vec::new();
        };
        // Or a long value could be cut in pieces that a search does not find.
        let _: String = server.command(&["CONFIG", "SET", "rdbcompression", "no"]);
        let dump = |key: String| server.command::<Option<Vec<u8>>>(&["DUMP", &key]);
        self.keys().into_iter().filter_map(dump).flatten().collect()
    }

    fn keys(&self) -> Vec<String> {
        let Place::Server(server, prefix) = &self.place else {
            return Vec::new();
        };
        let mut keys: Vec<String> = server.command(&["KEYS", &format!("{prefix}:*")]);
        keys.sort();
        keys
    }
}

/// The settings of a layer whose calls may take as long as they like.
pub fn patient(store: Arc<dyn SessionStore>) -> SessionLayerBuilder {
    SessionLayer::builder(store).store_deadline(PATIENCE)
}

/// A store in this process over the sessions at a [`Driver::address`], before any time has passed.
pub async fn node(address: &[String]) -> Arc<dyn SessionStore> {
    match address {
        [kind, folder] if kind == "files" => Arc::new(open(folder.as_ref(), &ManualClock::new())),
        [kind, url, prefix] if kind == "server" => Arc::new(connect(url, prefix).await),
        other => panic!("no address: {other:?}"),
    }
}

fn open(folder: &Path, clock: &ManualClock) -> FileStore {
    let builder = FileStore::builder()
        .durability(Durability::ProcessCrash)
        .without_background_sweep()
        .clock(clock.clone());
    builder.open(folder.join("sessions")).expect("a file store")
}

fn url(port: u16, prefix: &str) -> String {
    format!("redis://{prefix}:secret@127.0.0.1:{port}")
}

async fn connect(url: &str, prefix: &str) -> RedisStore {
    let builder = RedisStore::builder()
        .url(url)
        .prefix(prefix)
        .connect_deadline(PATIENCE)
        .command_deadline(PATIENCE);
    builder.connect().await.expect("a connection")
}

fn collect(folder: &Path, bytes: &mut Vec<u8>) {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        bytes.extend(path.file_name().expect("a name").as_encoded_bytes());
        if path.is_dir() {
            collect(&path, bytes);
        } else {
            bytes.extend(std::fs::read(&path).unwrap_or_default());
        }
    }
}
