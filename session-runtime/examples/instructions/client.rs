//! A client with one connection and one cookie, which sends one request at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::Result;

/// Fills a session, then asks for a route with its cookie, so many times.
pub(crate) fn send(address: &str, route: &str, requests: u64) -> Result<()> {
    let connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let mut client = Client {
        connection: BufReader::new(connection),
        cookie: String::new(),
    };
    client.request("seed")?;
    for _ in 0..requests {
        client.request(route)?;
    }
    Ok(())
}

struct Client {
    connection: BufReader<TcpStream>,
    cookie: String,
}

impl Client {
    fn request(&mut self, route: &str) -> Result<()> {
        let method = match route {
            "none" | "read" => "GET",
            _ => "POST",
        };
        let mut request = format!("{method} /{route} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
        if method == "POST" {
            request += "content-length: 0\r\n";
        }
        if !self.cookie.is_empty() {
            request += &format!("cookie: {}\r\n", self.cookie);
        }
        request += "\r\n";
        self.connection.get_mut().write_all(request.as_bytes())?;
        self.receive()
    }

    /// Reads a response, which has to be a success, and keeps its cookie.
    fn receive(&mut self) -> Result<()> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        if !line.starts_with("HTTP/1.1 200 ") {
            return Err(format!("the server answered {line:?}").into());
        }
        let mut length = 0;
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name {
                "content-length" => length = value.parse()?,
                "set-cookie" => value
                    .split(';')
                    .next()
                    .unwrap_or("")
                    .clone_into(&mut self.cookie),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        Ok(self.connection.read_exact(&mut body)?)
    }
}
