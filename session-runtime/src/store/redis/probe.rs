//! Finds out the server's abilities, the user's rights, and the layout that the sessions have.
//!
//! The commands themselves are tried, on a key that never exists: versions and `COMMAND INFO` say
//! nothing about the user's rights, and both lie behind proxies. Nothing is written but the record
//! of the layout, `<prefix>:@layout`.
//!
//! The record names the tier and the version of the layout, `native-2`. The programs of the
//! first version wrote `native` and refuse every other word, as this one refuses theirs.

use redis::{Cmd, Pipeline, Value};

use super::connect_error::RedisConnectError;
use super::connection::Connections;
use super::error::{Failure, Refusal};
use super::server::{self, Hello};
use super::tier::Tier;

/// The value of `<prefix>:@layout` in this version.
fn record_of(tier: Tier) -> String {
    format!("{tier}-2")
}

/// Reads the record, or makes it.
const RECORD: &str = "\
local recorded = redis.call('HGET', KEYS[1], 'tier')
if not recorded then
  recorded = ARGV[1]
  redis.call('HSET', KEYS[1], 'tier', recorded)
end
return recorded
";

/// Arguments with which `HSETEX` writes nothing.
const HSETEX_PROBE: [&str; 7] = ["FXX", "PXAT", "1", "FIELDS", "1", "field", "value"];

/// Whether the user may write at all: `HSET` has no arguments with which it writes nothing. Servers
/// before Redis 7 cannot say.
const HSET_PROBE: &str = "\
if redis.acl_check_cmd and not redis.acl_check_cmd('HSET', KEYS[1], 'field', 'value') then
  return redis.error_reply('NOPERM no right to write')
end
return 1
";

/// Decides the tier, and records it where none is recorded yet.
///
/// The recorded tier wins where the server can keep it, so that all programs that share the sessions
/// agree, whatever is upgraded first.
pub(super) async fn tier(
    connections: &Connections,
    prefix: &str,
    required: Option<Tier>,
) -> Result<Tier, RedisConnectError> {
    check_kind(connections, prefix).await?;
    let offered = offered(connections, prefix).await?;
    if required == Some(Tier::Native) && offered == Tier::Compatible {
        return Err(RedisConnectError::NoFieldDeadlines);
    }
    let mut record = Cmd::new();
    record.arg("EVAL").arg(RECORD).arg(1);
    record.arg(format!("{prefix}:@layout"));
    record.arg(record_of(required.unwrap_or(offered)));
    let answer = connections.command(&record, &mut connections.begin()).await;
    let recorded = match answer.map(|answer| answer.value) {
        Ok(Value::BulkString(recorded)) => {
            let is = |word: String| word.as_bytes() == recorded;
            if Tier::ALL.iter().any(|tier| is(tier.to_string())) {
                return Err(RedisConnectError::EarlierLayout {
                    key: format!("{prefix}:@layout"),
                });
            }
            Tier::ALL.into_iter().find(|&tier| is(record_of(tier)))
        }
        Ok(_) => None,
        Err(Failure::Refused(Refusal::Forbidden)) => {
            return Err(RedisConnectError::MissingRight { command: "HSET" });
        }
        Err(Failure::Refused(Refusal::WrongType)) => {
            return Err(RedisConnectError::PrefixInUse {
                key: format!("{prefix}:@layout"),
            });
        }
        Err(failure) => return Err(failure.into()),
    };
    match recorded {
        None => Err(RedisConnectError::UnknownLayout {
            key: format!("{prefix}:@layout"),
        }),
        Some(tier) if required.is_some_and(|required| required != tier) => {
            Err(RedisConnectError::OtherLayout {
                key: format!("{prefix}:@layout"),
                recorded: tier,
            })
        }
        Some(Tier::Native) if offered == Tier::Compatible => Err(RedisConnectError::OtherLayout {
            key: format!("{prefix}:@layout"),
            recorded: Tier::Native,
        }),
        Some(tier) => Ok(tier),
    }
}

/// The best tier that the server and the user's rights allow.
async fn offered(connections: &Connections, prefix: &str) -> Result<Tier, RedisConnectError> {
    let key = format!("{prefix}:@probe");
    let mut probes = Pipeline::new();
    probes.ignore_errors();
    let mut commands = Vec::new();
    let mut probe = |command: &'static str, arguments: &[&str]| {
        probes.cmd(command);
        for argument in arguments {
            probes.arg(argument);
        }
        commands.push(command);
    };
    // The needs of both tiers, then those of the native one alone.
    probe("HMGET", &[&key, "field"]);
    probe("HGET", &[&key, "field"]);
    probe("HGETALL", &[&key]);
    probe("HKEYS", &[&key]);
    probe("HDEL", &[&key, "field"]);
    probe("EXISTS", &[&key]);
    probe("DEL", &[&key]);
    probe("PEXPIREAT", &[&key, "1"]);
    probe("PERSIST", &[&key]);
    probe("TIME", &[]);
    probe("EVAL", &["return 1", "1", &key]);
    probe(
        "EVALSHA",
        &["0000000000000000000000000000000000000000", "1", &key],
    );
    probe("HPEXPIRETIME", &[&key, "FIELDS", "1", "field"]);
    probe("HSETEX", &[&[key.as_str()], &HSETEX_PROBE[..]].concat());
    probes.cmd("EVAL").arg(HSET_PROBE).arg(1).arg(&key);
    commands.push("HSET");

    let answers = connections.pipeline(&probes).await?;
    let mut tier = Tier::Native;
    for (command, answer) in commands.into_iter().zip(answers) {
        let Value::ServerError(error) = answer else {
            continue;
        };
        let is_native_only = matches!(command, "HPEXPIRETIME" | "HSETEX");
        match Refusal::from(&error) {
            Refusal::NoScript if command == "EVALSHA" => {}
            Refusal::UnknownCommand if is_native_only => tier = Tier::Compatible,
            Refusal::UnknownCommand => {
                return Err(RedisConnectError::MissingCommand { command });
            }
            // Not a reason for the other tier: a program with more rights would use this one.
            Refusal::Forbidden => return Err(RedisConnectError::MissingRight { command }),
            Refusal::WrongType => return Err(RedisConnectError::PrefixInUse { key }),
            refusal => return Err(Failure::Refused(refusal).into()),
        }
    }
    if tier == Tier::Native && connections.is_cluster() {
        return offered_by_all_nodes(connections, prefix).await;
    }
    Ok(tier)
}

/// How many keys are tried to meet every node of a Cluster.
const CLUSTER_PROBES: usize = 128;

/// Refuses a server of another kind than the settings say: a node of a Cluster keeps some keys
/// only, and a Sentinel none.
async fn check_kind(connections: &Connections, prefix: &str) -> Result<(), RedisConnectError> {
    if !connections.leads_to_one_server() {
        return Ok(());
    }
    // Proxies that do not know the command are what they are.
    let Ok(answer) = connections
        .command(&server::hello_command(), &mut connections.begin())
        .await
    else {
        return Ok(());
    };
    match Hello::new(answer.value).map(|hello| hello.mode).as_deref() {
        Some("sentinel") => {
            return Err(RedisConnectError::WrongServer(
                "the server is a Sentinel and keeps no sessions; name it with `sentinel` instead of `url`",
            ));
        }
        Some("cluster") => {}
        _ => return Ok(()),
    }
    let mut probes = Pipeline::new();
    probes.ignore_errors();
    for number in 0..CLUSTER_PROBES {
        probes.cmd("EXISTS").arg(format!("{prefix}:@probe{number}"));
    }
    let answers = connections.pipeline(&probes).await?;
    let is_elsewhere = |answer: &Value| match answer {
        Value::ServerError(error) => matches!(Refusal::from(error), Refusal::Slot(_)),
        _ => false,
    };
    match answers.iter().any(is_elsewhere) {
        true => Err(RedisConnectError::WrongServer(
            "the server is a node of a Cluster; name it with `cluster` instead of `url`",
        )),
        false => Ok(()),
    }
}

/// The tier of a Cluster, whose nodes may be of different versions during an upgrade.
async fn offered_by_all_nodes(
    connections: &Connections,
    prefix: &str,
) -> Result<Tier, RedisConnectError> {
    for number in 0..CLUSTER_PROBES {
        let mut probe = Cmd::new();
        probe.arg("HSETEX").arg(format!("{prefix}:@probe{number}"));
        probe.arg(&HSETEX_PROBE);
        match connections.command(&probe, &mut connections.begin()).await {
            Ok(_) => {}
            Err(Failure::Refused(Refusal::UnknownCommand)) => return Ok(Tier::Compatible),
            Err(Failure::Refused(Refusal::Forbidden)) => {
                return Err(RedisConnectError::MissingRight { command: "HSETEX" });
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(Tier::Native)
}
