//! A TCP proxy between a client and a Redis server that can lose the connection at will.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A proxy on a free loopback port, ended on drop.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// The proxy's treatment of the bytes that it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Behavior {
    /// Passes everything on.
    #[default]
    Forward,
    /// Keeps the connections and passes nothing on; new ones work.
    SwallowPresent,
    /// Keeps the connections and passes nothing on, for new ones too.
    SwallowAll,
    /// Cuts the connection once, at a command of the client, counted from zero from now on, and
    /// forwards again.
    CutOnce {
        /// At which command.
        command: usize,
        /// Before the server has it, or after the server's answer to it.
        at: Cut,
    },
    /// Cuts the connection at every load and every commit, whatever it is that connects anew.
    CutEach(Cut),
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never gets the command.
    BeforeServer,
    /// The server gets half of it.
    InsideCommand,
    /// The server applies it, the client never learns.
    BeforeClient,
}

#[derive(Debug, Default)]
struct Shared {
    behavior: Mutex<(Behavior, u64)>,
    upstream: Mutex<Option<SocketAddr>>,
    accepted: AtomicUsize,
    cuts: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    /// Whether new connections are refused once a cut has happened.
    refuses_after_cut: AtomicBool,
    closed: AtomicBool,
}

impl Proxy {
    /// Starts a proxy to this port of the machine.
    pub fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let shared = Arc::new(Shared::default());
        *lock(&shared.upstream) = Some((Ipv4Addr::LOCALHOST, port).into());
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.closed.load(Ordering::SeqCst) {
                    break;
                }
                // A client that left again, or a server that is down.
                let _ = client.and_then(|client| accepting.connect(client));
            }
        });
        Self { address, shared }
    }

    /// Where clients find it.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Changes what happens from now on.
    pub fn behave(&self, behavior: Behavior) {
        let mut present = lock(&self.shared.behavior);
        *present = (behavior, present.1 + 1);
    }

    /// Whether a [`Behavior::CutOnce`] has happened.
    pub fn has_cut(&self) -> bool {
        lock(&self.shared.behavior).0 == Behavior::Forward
    }

    /// How many connections it has cut at a command.
    pub fn cuts(&self) -> usize {
        self.shared.cuts.load(Ordering::SeqCst)
    }

    /// After the next cut no new connection works.
    pub fn refuse_from_next_cut(&self) {
        self.shared.refuses_after_cut.store(true, Ordering::SeqCst);
    }

    /// Cuts all connections now.
    pub fn cut(&self) {
        for connection in lock(&self.shared.connections).drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        if self.refuses_after_cut.load(Ordering::SeqCst)
            && lock(&self.behavior).0 == Behavior::Forward
        {
            return Ok(());
        }
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let upstream = lock(&self.upstream).expect("set at the start");
        let server = TcpStream::connect(upstream)?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            lock(&self.connections).push(stream.try_clone()?);
        }
        let born = lock(&self.behavior).1;
        // Set when the answer to the next command must not arrive.
        let mute = Arc::new(AtomicBool::new(false));

        let (shared, from, to) = (Arc::clone(self), client.try_clone()?, server.try_clone()?);
        let muting = Arc::clone(&mute);
        std::thread::spawn(move || {
            // An error is the end of the connection, for whichever reason.
            let _ = shared.requests(&from, &to, born, &muting);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            let _ = shared.answers(&server, &client, born, &mute);
            let _ = server.shutdown(Shutdown::Both);
            let _ = client.shutdown(Shutdown::Both);
        });
        Ok(())
    }

    fn requests(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        born: u64,
        mute: &AtomicBool,
    ) -> io::Result<()> {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            received.extend_from_slice(&buffer[..read]);
            while let Some(length) = command_length(&received) {
                let command: Vec<u8> = received.drain(..length).collect();
                let cut = self.next_cut(&command);
                self.cuts.fetch_add(cut.iter().len(), Ordering::SeqCst);
                match cut {
                    Some(Cut::BeforeServer) => return Ok(()),
                    Some(Cut::InsideCommand) => return to.write_all(&command[..length / 2]),
                    Some(Cut::BeforeClient) => {
                        mute.store(true, Ordering::SeqCst);
                        to.write_all(&command)?;
                    }
                    None if self.swallows(born) => {}
                    None => to.write_all(&command)?,
                }
            }
        }
    }

    fn answers(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        born: u64,
        mute: &AtomicBool,
    ) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 || mute.load(Ordering::SeqCst) {
                return Ok(());
            }
            if !self.swallows(born) {
                to.write_all(&buffer[..read])?;
            }
        }
    }

    fn next_cut(&self, sent: &[u8]) -> Option<Cut> {
        let mut behavior = lock(&self.behavior);
        let (command, at) = match behavior.0 {
            Behavior::CutOnce { command, at } => (command, at),
            Behavior::CutEach(at) => return is_a_request(sent).then_some(at),
            _ => return None,
        };
        if command == 0 {
            behavior.0 = Behavior::Forward;
            return Some(at);
        }
        behavior.0 = Behavior::CutOnce {
            command: command - 1,
            at,
        };
        None
    }

    fn swallows(&self, born: u64) -> bool {
        match *lock(&self.behavior) {
            (Behavior::SwallowAll, _) => true,
            (Behavior::SwallowPresent, since) => born < since,
            _ => false,
        }
    }
}

/// Whether a command is one of those that load and commit, and not one that sets up a connection.
fn is_a_request(command: &[u8]) -> bool {
    let name = command.split(|&byte| byte == b'\n').nth(2);
    let names = [b"EVALSHA\r", &b"EVAL\r"[..], b"HMGET\r"];
    name.is_some_and(|name| names.contains(&name))
}

/// How many bytes the first command takes; nothing while it is incomplete.
fn command_length(bytes: &[u8]) -> Option<usize> {
    let (words, mut position) = number(bytes, 0, b'*')?;
    for _ in 0..words {
        let (length, start) = number(bytes, position, b'$')?;
        position = start + length + 2;
    }
    (bytes.len() >= position).then_some(position)
}

/// The number on the line that begins at `position`, and where the next line begins.
fn number(bytes: &[u8], position: usize, prefix: u8) -> Option<(usize, usize)> {
    let line = bytes.get(position..)?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    assert_eq!(
        line[0], prefix,
        "the client sends something else than commands"
    );
    let number = std::str::from_utf8(&line[1..end]).ok()?.parse().ok()?;
    Some((number, position + end + 2))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
