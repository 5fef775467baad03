//! Listens to everything that a server is told.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Server;

/// A connection in `MONITOR`.
#[derive(Debug)]
pub struct Monitor {
    connection: TcpStream,
    listener: JoinHandle<Vec<u8>>,
}

impl Monitor {
    /// Listens from now on.
    pub fn start(server: &Server) -> Self {
        let address = (Ipv4Addr::LOCALHOST, server.port());
        let mut connection = TcpStream::connect(address).expect("the server listens");
        let patience = Some(Duration::from_secs(60));
        connection.set_read_timeout(patience).expect("a timeout");
        connection.write_all(b"MONITOR\r\n").expect("it is sent");
        let mut lines = BufReader::new(connection.try_clone().expect("a clone"));
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).expect("an answer");
        assert_eq!(line, b"+OK\r\n", "the server lets us listen");
        let listener = std::thread::spawn(move || {
            let mut heard = Vec::new();
            while !is_the_end(&heard) {
                let read = lines.read_until(b'\n', &mut heard).expect("it goes on");
                assert!(read > 0, "the server has ended");
            }
            heard
        });
        Self {
            connection,
            listener,
        }
    }

    /// Everything that the server was told since the start. What is not printable is escaped.
    pub fn stop(self, server: &Server) -> Vec<u8> {
        let _: String = server.command(&["ECHO", THE_END]);
        let heard = self.listener.join().expect("the listener ends");
        // It may be closed already.
        let _ = self.connection.shutdown(Shutdown::Both);
        heard
    }
}

const THE_END: &str = "nothing more to hear";

fn is_the_end(heard: &[u8]) -> bool {
    heard.ends_with(format!("\"ECHO\" \"{THE_END}\"\r\n").as_bytes())
}
