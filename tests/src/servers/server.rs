//! One server process.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, RedisResult};
use rustix::process::{Pid, Signal, kill_process};
use session_runtime::RedisStore;
use tempfile::TempDir;

use super::{Certificates, Flaw, Generation};

/// How long a server may take to answer its first `PING`, or to end.
const DEADLINE: Duration = Duration::from_secs(20);
/// No answer is late because the machine is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The options that a server is started with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keeps an append-only file, written at every command.
    pub append_only: bool,
    /// Also listens with TLS on a second port; clients must show a certificate if `Some(true)`.
    pub tls: Option<bool>,
    /// What is wrong with the server's certificate.
    pub flaw: Flaw,
    /// Users besides the unrestricted `default`, as `ACL SETUSER` takes them.
    pub users: Vec<String>,
    /// The port of the server that this one copies.
    pub replica_of: Option<u16>,
    /// Runs as a node of a Cluster.
    pub cluster: bool,
    /// Runs as a Sentinel.
    pub sentinel: bool,
    /// Further lines of the configuration file.
    pub settings: Vec<String>,
}

/// A running server, ended on drop.
#[derive(Debug)]
pub struct Server {
    generation: Generation,
    port: u16,
    tls_port: u16,
    certificates: Option<Certificates>,
    process: Option<Child>,
    control: Control,
    sentinel: bool,
    // Last, so that the process has ended when its folder goes.
    folder: TempDir,
}

impl Server {
    /// Starts a server that keeps its data over a crash.
    pub fn durable(generation: Generation) -> Self {
        let options = Options {
            append_only: true,
            ..Options::default()
        };
        Self::start(generation, &options)
    }

    /// Starts a server and waits until it answers.
    pub fn start(generation: Generation, options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificates = options
            .tls
            .map(|_| Certificates::create(folder.path(), options.flaw));
        let mut server = Self {
            generation,
            port: 0,
            tls_port: 0,
            certificates,
            process: None,
            control: Control::default(),
            sentinel: options.sentinel,
            folder,
        };
        // Another process can take a free port before the server does.
        for attempt in 1.. {
            server.port = free_port();
            server.tls_port = free_port();
            server.configure(options);
            server.spawn();
            match server.wait_until_ready() {
                Ok(()) => break,
                Err(reason) => assert!(attempt < 5, "{reason}"),
            }
        }
        server
    }

    /// A server without options that tests running at the same time share; the last one ends it.
    pub fn shared(generation: Generation) -> Arc<Self> {
        static SHARED: [Mutex<Weak<Server>>; 3] = [const { Mutex::new(Weak::new()) }; 3];
        let mut shared = SHARED[generation as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start(generation, &Options::default()));
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Which server this is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The port without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port with TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// The certificates that the server and its clients show each other.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("started with `tls`")
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many connections the server has taken so far.
    pub fn connections(&self) -> u64 {
        let count = self.info("stats", "total_connections_received");
        count
            .and_then(|count| count.parse().ok())
            .expect("a number")
    }

    /// A store on this server whose calls may take as long as a busy machine needs.
    pub async fn store(&self) -> RedisStore {
        let builder = RedisStore::builder()
            .url(self.url())
            .connect_deadline(PATIENCE)
            .command_deadline(PATIENCE);
        builder.connect().await.expect("a connection")
    }

    /// Where the server keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that the server keeps in files, one after the other.
    pub fn files(&self) -> Vec<u8> {
        fn collect(folder: &Path, bytes: &mut Vec<u8>) {
            for entry in fs::read_dir(folder).expect("the server's folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    collect(&path, bytes);
                } else {
                    bytes.extend(fs::read(&path).unwrap_or_default());
                }
            }
        }
        let mut bytes = Vec::new();
        collect(self.folder(), &mut bytes);
        bytes
    }

    /// Sends a command, as the unrestricted user.
    pub fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        self.control.command(self.port, words)
    }

    /// Sends a command, as the unrestricted user, that must succeed.
    pub fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Writes any bytes into a field, past every driver.
    pub fn set_field(&self, key: &str, field: &str, value: &[u8]) {
        let words = [b"HSET", key.as_bytes(), field.as_bytes(), value];
        let written: RedisResult<u64> = self.control.command(self.port, &words);
        written.expect("a hash takes any bytes");
    }

    /// Makes a user with exactly the rights that the README grants.
    pub fn allow_application(&self, user: &str, password: &str, prefix: &str) {
        let (password, keys) = (format!(">{password}"), format!("~{prefix}:*"));
        let mut words = vec!["ACL", "SETUSER", user, "reset", "on"];
        words.extend([password.as_str(), &keys, "resetchannels", "-@all"]);
        let rights = application_rights();
        let unknown = |right: &str| ["+hsetex", "+hpexpiretime"].contains(&right);
        let known = |right: &&str| self.generation.has_field_ttl() || !unknown(right);
        words.extend(rights.into_iter().filter(known));
        let _: String = self.command(&words);
    }

    /// One line of `INFO`.
    pub fn info(&self, section: &str, name: &str) -> Option<String> {
        let text: String = self.command(&["INFO", section]);
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::to_owned)
    }

    /// The server's time, in milliseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        let (seconds, micros): (u64, u64) = self.command(&["TIME"]);
        seconds * 1000 + micros / 1000
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only when it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
        self.control.forget();
    }

    /// Asks the process to end, and waits for it.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        let mut process = self.process.take()?;
        self.control.forget();
        signal(&process, Signal::TERM);
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = process.try_wait().expect("the process is ours") {
                return Some(status);
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the process again, on the same port and with the same files.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        if let Err(reason) = self.wait_until_ready() {
            panic!("{reason}");
        }
    }

    /// Starts the process again and does not wait until it answers.
    pub fn restart_without_waiting(&mut self) {
        self.kill();
        self.spawn();
    }

    /// Stops the process from running, as a frozen machine would.
    pub fn pause(&self) {
        signal(self.process.as_ref().expect("it runs"), Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&self) {
        signal(self.process.as_ref().expect("it runs"), Signal::CONT);
    }

    fn configure(&self, options: &Options) {
        let mut lines = format!(
            "bind 127.0.0.1\nport {}\ndir \"{}\"\nlogfile \"{}\"\nprotected-mode no\n",
            self.port,
            self.folder().display(),
            self.folder().join("server.log").display()
        );
        let mut line = |text: &str| writeln!(lines, "{text}").expect("a string grows");
        if !options.sentinel {
            line("save \"\"\nenable-debug-command local\nrepl-diskless-sync-delay 0");
        }
        if options.append_only {
            line("appendonly yes\nappendfsync always");
        }
        if let (Some(certificates), Some(clients)) = (&self.certificates, options.tls) {
            line(&format!(
                "tls-port {}\ntls-ca-cert-file \"{}\"\ntls-cert-file \"{}\"\ntls-key-file \"{}\"\ntls-auth-clients {}",
                self.tls_port,
                certificates.authority_file().display(),
                certificates.server_file().display(),
                certificates.server_key_file().display(),
                if clients { "yes" } else { "no" },
            ));
        }
        if let Some(port) = options.replica_of {
            line(&format!("replicaof 127.0.0.1 {port}"));
        }
        if options.cluster {
            line(&format!(
                "cluster-enabled yes\ncluster-port {}\ncluster-node-timeout 2000",
                free_port()
            ));
        }
        for user in &options.users {
            line(&format!("user {user}"));
        }
        for setting in &options.settings {
            line(setting);
        }
        fs::write(self.folder().join("server.conf"), lines).expect("a configuration file");
    }

    fn spawn(&mut self) {
        let program = self.generation.program().expect("the server is available");
        let output = File::create(self.folder().join("output")).expect("a file");
        let mut command = Command::new(program);
        command
            .arg(self.folder().join("server.conf"))
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a file"))
            .stdout(output);
        if self.sentinel {
            command.arg("--sentinel");
        }
        self.process = Some(command.spawn().expect("the server program starts"));
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        while !answers_ping(self.port) {
            let ended = match self.process.as_mut().map(Child::try_wait) {
                Some(Ok(None)) => None,
                ended => Some(format!("{ended:?}")),
            };
            if ended.is_some() || Instant::now() > deadline {
                self.kill();
                let read = |name: &str| fs::read_to_string(self.folder().join(name));
                return Err(format!(
                    "{} does not answer ({ended:?}):\n{}{}",
                    self.generation.name(),
                    read("server.log").unwrap_or_default(),
                    read("output").unwrap_or_default(),
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The rights of the application's user, from the README.
pub fn application_rights() -> Vec<&'static str> {
    let readme = include_str!("../../../README.md");
    let line = "ACL SETUSER shop on >secret ~session:* resetchannels -@all\n";
    let (_, rights) = readme.split_once(line).expect("the README has the line");
    let (rights, _) = rights.split_once("```").expect("a block has an end");
    rights.split_whitespace().collect()
}

/// A connection of the tests' own, kept so that the server's statistics stay quiet.
#[derive(Default)]
struct Control(Mutex<Option<redis::Connection>>);

impl Control {
    fn command<T: FromRedisValue>(&self, port: u16, words: &[impl AsRef<[u8]>]) -> RedisResult<T> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match held.take() {
            Some(connection) => connection,
            None => redis::Client::open(("127.0.0.1", port))?
                .get_connection_with_timeout(Duration::from_secs(5))?,
        };
        let mut command = redis::Cmd::new();
        for word in words {
            command.arg(word.as_ref());
        }
        let answer = command.query(&mut connection)?;
        *held = Some(connection);
        Ok(answer)
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Control")
    }
}

/// A port that no process listens on at this moment.
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// Any answer counts, a refusal too: the server then has loaded its data or says that it has not.
fn answers_ping(port: u16) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer != b"-LOAD")
    };
    ping().unwrap_or(false)
}

fn signal(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process id"), signal).expect("the process is ours");
}
