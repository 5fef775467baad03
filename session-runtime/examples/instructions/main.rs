//! Prints how many instructions in user space a request costs, as callgrind counts them.
//!
//! `tests/campaigns/run/instructions` builds it as it should be built and runs it. A program of its own serves
//! under valgrind; this one sends it 300 requests, and 1,300 to a second one, and the difference is
//! what a thousand requests cost.

mod client;
mod serve;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const ROUTES: [&str; 4] = ["none", "read", "write", "login"];
const REQUESTS: [u64; 2] = [300, 1_300];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", setup] => serve::run(setup),
        ref wanted => print_table(wanted),
    }
}

/// Prints a row for each set-up, or for those that are asked for.
fn print_table(wanted: &[&str]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let redis = Redis::start(folder.path())?;
    println!("| instructions per request | {} |", ROUTES.join(" | "));
    println!("|---{}|", "|---".repeat(ROUTES.len()));
    for (setup, meaning) in serve::SETUPS {
        if !wanted.is_empty() && !wanted.contains(&setup) {
            continue;
        }
        let mut row = format!("| {meaning} |");
        for route in ROUTES {
            let [few, many] = REQUESTS.map(|requests| {
                let file = folder.path().join(format!("{setup}-{route}-{requests}"));
                count(setup, route, requests, &redis, &file)
            });
            let [fewer, more] = REQUESTS;
            let each = (many? - few?) / (more - fewer);
            row += &format!(" {} |", in_thousands(each));
        }
        println!("{row}");
    }
    Ok(())
}

/// The instructions of a server from its start until it has answered so many requests.
fn count(setup: &str, route: &str, requests: u64, redis: &Redis, file: &Path) -> Result<u64> {
    let mut server = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .args(["serve", setup])
        .env("REDIS_URL", redis.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = server.stdout.take().ok_or("no output")?;
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address)?;
    let sent = client::send(address.trim(), route, requests);
    // The end of its input is what ends the server.
    drop(server.stdin.take());
    let status = server.wait()?;
    sent?;
    if !status.success() {
        return Err(format!("the server for {setup} ended with {status}").into());
    }
    let profile = fs::read_to_string(file)?;
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("summary: "));
    Ok(total.ok_or("a profile without a sum")?.trim().parse()?)
}

/// `12345` as `12,345`.
fn in_thousands(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", in_thousands(thousands), number % 1_000),
    }
}

/// A Redis server without persistence, which ends with this value.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    /// Starts the program that `REDIS_SERVER` names.
    fn start(folder: &Path) -> Result<Self> {
        let program = std::env::var("REDIS_SERVER").unwrap_or("redis-server".to_owned());
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new(&program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        let redis = Self { process, port };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(redis);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{program} does not listen on {port}").into())
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
