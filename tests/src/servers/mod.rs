//! Real Redis and Valkey servers for the tests.
//!
//! [`available`] says which generations this machine has, [`Server::start`] starts one of them on a
//! free loopback port in a temporary folder, [`Cluster`] and [`Sentinel`] start several that work
//! together. What was started ends when its value is dropped.
//!
//! The programs come from `.ci/servers`, or from the environment variables that
//! [`Generation::variable`] names.

mod certificates;
mod cluster;
mod monitor;
mod sentinel;
mod server;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use session_runtime::store::Tier;

pub use self::certificates::{Certificates, Flaw};
pub use self::cluster::Cluster;
pub use self::monitor::Monitor;
pub use self::sentinel::Sentinel;
pub(crate) use self::server::PATIENCE;
pub use self::server::{Options, Server, application_rights};

/// A server with its own abilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Redis 7.0: fields have no time to live.
    Redis7,
    /// Redis 8.0: fields have one.
    Redis8,
    /// Valkey 9.1: fields have one.
    Valkey9,
}

impl Generation {
    /// All that the tests know.
    pub const ALL: [Self; 3] = [Self::Redis7, Self::Redis8, Self::Valkey9];

    /// Whether the server removes fields by itself.
    pub fn has_field_ttl(self) -> bool {
        self != Self::Redis7
    }

    /// The tiers that sessions can be kept in.
    pub fn tiers(self) -> &'static [Tier] {
        match self.has_field_ttl() {
            true => &[Tier::Compatible, Tier::Native],
            false => &[Tier::Compatible],
        }
    }

    /// The name that `.ci/servers` knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis7 => "redis-7",
            Self::Redis8 => "redis-8",
            Self::Valkey9 => "valkey-9",
        }
    }

    /// The environment variable that names the program.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Redis7 => "SESSION_TEST_REDIS_7",
            Self::Redis8 => "SESSION_TEST_REDIS_8",
            Self::Valkey9 => "SESSION_TEST_VALKEY_9",
        }
    }

    /// Where the program is.
    ///
    /// # Errors
    ///
    /// Says why this machine does not have it.
    pub fn program(self) -> Result<PathBuf, String> {
        static FOUND: [OnceLock<Result<PathBuf, String>>; 3] = [const { OnceLock::new() }; 3];
        FOUND[self as usize].get_or_init(|| self.find()).clone()
    }

    fn find(self) -> Result<PathBuf, String> {
        if let Some(path) = std::env::var_os(self.variable()) {
            return Ok(path.into());
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/servers");
        let output = Command::new(script)
            .arg(self.name())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run `.ci/servers`: {error}"))?;
        let answer = String::from_utf8_lossy(&output.stdout);
        answer
            .lines()
            .find_map(|line| line.strip_prefix(self.name())?.strip_prefix(' '))
            .map(PathBuf::from)
            .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The generations that this machine has. A missing one is named on standard error.
///
/// # Panics
///
/// In CI a missing server is a failure.
pub fn available() -> Vec<Generation> {
    let is_there = |generation: &Generation| match missing(*generation) {
        None => true,
        Some(reason) => {
            say_not_tested(&reason);
            false
        }
    };
    Generation::ALL.into_iter().filter(is_there).collect()
}

/// Runs a test on each generation that this machine has, all at the same time: one that waits for
/// servers costs no more for three generations than for one. Each has a thread and a runtime of its
/// own, so that what blocks in one does not show as slowness in another.
///
/// # Panics
///
/// If the test does on one of them. In CI a missing server is a failure.
pub fn on_all_at_once(test: impl AsyncFn(Generation) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for generation in available() {
            scope.spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = runtime.enable_all().build().expect("a runtime");
                runtime.block_on(test(generation));
            });
        }
    });
}

/// Says on standard error that something is not tested, also where the test passes.
///
/// # Panics
///
/// In CI, where the environment variable `CI` is set, everything has to be tested.
pub fn say_not_tested(reason: &str) {
    assert!(!is_ci(), "{reason}");
    // Not by a macro, whose output a test that passes would swallow.
    let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {reason}\n");
}

fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Why this machine does not have a generation; `None` when it has.
///
/// # Panics
///
/// In CI a missing server is a failure.
pub fn missing(generation: Generation) -> Option<String> {
    let reason = generation.program().err()?;
    let message = format!(
        "{} is missing: {reason} (set {} to a server program)",
        generation.name(),
        generation.variable()
    );
    assert!(!is_ci(), "{message}");
    Some(message)
}
