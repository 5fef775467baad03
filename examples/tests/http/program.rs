//! An example program that runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must happen, on a machine that is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running example program. It ends when this is dropped.
pub(crate) struct Program {
    process: Child,
    address: String,
}

impl Program {
    /// Starts an example that takes the address to listen on as its first argument.
    pub(crate) fn start(binary: &str) -> Self {
        Self::start_with(binary, &["127.0.0.1:0"])
    }

    /// Starts a program and waits until it listens.
    pub(crate) fn start_with(binary: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(binary)
            .args(arguments)
            .env_remove("SESSION_KEY")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stdout = process.stdout.take().expect("the output is piped");
        let (lines, received) = mpsc::channel();
        // Reads to the end, so that the program can always write.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut program = Self {
            process,
            address: String::new(),
        };
        let deadline = Instant::now() + PATIENCE;
        while program.address.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = received.recv_timeout(left);
            let line = line.expect("the program says where it listens");
            if let Some(address) = line.strip_prefix("listening on http://") {
                program.address = address.to_owned();
            }
        }
        program
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The name of the session cookie: while developing it takes the port.
    pub(crate) fn cookie_name(&self) -> String {
        let port = self.address.rsplit(':').next();
        format!("id-{}", port.expect("an address has a port"))
    }

    /// Asks the program to end, as a system does, and answers how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let id = self.process.id().to_string();
        let asked = Command::new("sh").args(["-c", "kill \"$0\"", &id]).status();
        assert!(asked.expect("a shell runs").success());
        wait_for("the program to end", || {
            self.process.try_wait().expect("it is our child")
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a program to its end.
pub(crate) fn run(binary: &str, arguments: &[&str]) -> Output {
    let output = Command::new(binary).args(arguments).output();
    output.expect("the program starts")
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
