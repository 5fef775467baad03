//! The scripts that run on the server.

use redis::{Cmd, Value};

use super::connection::{Answer, CallTime, Connections};
use super::error::{Failure, Refusal};
use super::tier::Tier;

const COMMIT_NATIVE: &str = concat!(
    include_str!("scripts/start.lua"),
    "\nlocal is_native = true\n",
    include_str!("scripts/plain.lua"),
    include_str!("scripts/text.lua"),
    include_str!("scripts/header.lua"),
    include_str!("scripts/batches.lua"),
    include_str!("scripts/native.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/native_lists.lua"),
    include_str!("scripts/decimal.lua"),
    include_str!("scripts/commit.lua"),
);
const COMMIT_COMPATIBLE: &str = concat!(
    include_str!("scripts/start.lua"),
    "\nlocal is_native = false\n",
    include_str!("scripts/plain.lua"),
    include_str!("scripts/text.lua"),
    include_str!("scripts/header.lua"),
    include_str!("scripts/batches.lua"),
    include_str!("scripts/compatible.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/compatible_lists.lua"),
    include_str!("scripts/decimal.lua"),
    include_str!("scripts/commit.lua"),
);
const LIST_NATIVE: &str = concat!(
    include_str!("scripts/start.lua"),
    include_str!("scripts/text.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/native_lists.lua"),
    include_str!("scripts/list.lua"),
);
const LIST_COMPATIBLE: &str = concat!(
    include_str!("scripts/start.lua"),
    include_str!("scripts/text.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/compatible_lists.lua"),
    include_str!("scripts/list.lua"),
);
const LOAD: &str = include_str!("scripts/load.lua");

/// The words and bytes that a command has room for at first: those of a sign-in.
const USUAL_WORDS: usize = 32;
const USUAL_BYTES: usize = 512;

/// A script, called by its hash and sent whole when the server does not have it.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    /// Applies a commit to a session.
    pub(super) fn commit(tier: Tier) -> Self {
        Self::new(match tier {
            Tier::Native => COMMIT_NATIVE,
            Tier::Compatible => COMMIT_COMPATIBLE,
        })
    }

    /// Reads a session, with deadlines and by prefixes.
    pub(super) fn load() -> Self {
        Self::new(LOAD)
    }

    /// Reads or changes a principal's list.
    pub(super) fn list(tier: Tier) -> Self {
        Self::new(match tier {
            Tier::Native => LIST_NATIVE,
            Tier::Compatible => LIST_COMPATIBLE,
        })
    }

    fn new(source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    /// Runs the script on these keys. `arguments` appends its arguments to the command.
    pub(super) async fn run(
        &self,
        connections: &Connections,
        time: &mut CallTime,
        keys: &[String],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Answer<Value>, Failure> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::with_capacity(USUAL_WORDS, USUAL_BYTES);
            command.arg(name).arg(script).arg(keys.len()).arg(keys);
            arguments(&mut command);
            command
        };
        let by_hash = command("EVALSHA", &self.hash);
        match connections.command(&by_hash, time).await {
            // `EVAL` keeps the script too, and needs no right of its own beyond it.
            Err(Failure::Refused(Refusal::NoScript)) => {
                let whole = command("EVAL", self.source);
                connections.command(&whole, time).await
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    /// So that a reader sees each script as the server does. `UPDATE_EXPECT=1` writes them anew.
    #[test]
    fn the_scripts_are_those_of_the_snapshots() {
        expect_file!["../../../snapshots/redis-commit-native.lua"].assert_eq(COMMIT_NATIVE);
        expect_file!["../../../snapshots/redis-commit-compatible.lua"].assert_eq(COMMIT_COMPATIBLE);
        expect_file!["../../../snapshots/redis-list-native.lua"].assert_eq(LIST_NATIVE);
        expect_file!["../../../snapshots/redis-list-compatible.lua"].assert_eq(LIST_COMPATIBLE);
        expect_file!["../../../snapshots/redis-load.lua"].assert_eq(LOAD);
    }
}
