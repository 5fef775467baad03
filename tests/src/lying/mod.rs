//! A server that speaks RESP and answers whatever a test wants.
//!
//! A true server's answers are in `campaigns/corpus/redis.txt`, which `record_redis` wrote: for
//! each kind of command one line, and one for each session where the answer depends on it.

mod answers;
mod calls;
mod lies;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::answers::{Answers, Dialect, key_of, kind_of};
pub use self::calls::{CALLS, Called, PREFIX, Sessions, TOKENS, TREASURES, call};
pub use self::lies::{GOSSIP, lie};

/// A command as its words.
pub type Words = Vec<Vec<u8>>;

/// The server's reaction to a command.
#[derive(Debug)]
pub enum Reply {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes and closes the connection.
    SendAndClose(Vec<u8>),
}

type Answering = Box<dyn FnMut(&Words) -> Reply + Send>;

/// A server on a free loopback port, ended on drop.
pub struct LyingServer {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl LyingServer {
    /// Starts a server that asks this for every answer, one after the other.
    pub fn start(answering: impl FnMut(&Words) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let answering: Arc<Mutex<Answering>> = Arc::new(Mutex::new(Box::new(answering)));
        let server = Self {
            address,
            closed: Arc::default(),
            connections: Arc::default(),
        };
        let (closed, connections) = (Arc::clone(&server.closed), Arc::clone(&server.connections));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                // A client that left again.
                let Ok(client) = client else { continue };
                let mut open = connections.lock().unwrap_or_else(PoisonError::into_inner);
                open.extend(client.try_clone());
                let answering = Arc::clone(&answering);
                std::thread::spawn(move || {
                    // An error is the end of the connection, for whichever reason.
                    let _ = serve(&client, &answering);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        server
    }

    /// Where it listens on the loopback interface.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where clients find it, and which protocol they ask for.
    pub fn url(&self, dialect: Dialect) -> String {
        let port = self.address.port();
        format!("redis://127.0.0.1:{port}?protocol={}", dialect.protocol)
    }
}

impl Drop for LyingServer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let connections = self.connections.lock();
        for connection in connections.unwrap_or_else(PoisonError::into_inner).iter() {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut client: &TcpStream, answering: &Mutex<Answering>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut received = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = client.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..read]);
        while let Some((words, length)) = command(&received) {
            received.drain(..length);
            let reply = {
                let mut answering = answering.lock().unwrap_or_else(PoisonError::into_inner);
                answering(&words)
            };
            match reply {
                Reply::Send(bytes) => client.write_all(&bytes)?,
                Reply::SendAndClose(bytes) => return client.write_all(&bytes),
            }
        }
    }
}

/// The first command and how many bytes it takes; nothing while it is incomplete.
fn command(bytes: &[u8]) -> Option<(Words, usize)> {
    let (count, mut position) = number(bytes, 0)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, start) = number(bytes, position)?;
        words.push(bytes.get(start..start + length)?.to_vec());
        position = start + length + 2;
    }
    (bytes.len() >= position).then_some((words, position))
}

/// The number on the line that begins at `position`, and where the next line begins.
fn number(bytes: &[u8], position: usize) -> Option<(usize, usize)> {
    let line = bytes.get(position..)?;
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    let number = std::str::from_utf8(&line[1..end]).ok()?.parse().ok()?;
    Some((number, position + end + 2))
}
