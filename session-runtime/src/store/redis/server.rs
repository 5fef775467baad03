//! Opening a connection to one server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, Value,
};

use super::error::{Failure, Refusal};
use super::opening_error as errors;

/// Opens a connection as the user, and to the database, of these settings; `lost` is set when the
/// library finds that it is lost.
///
/// The library opens it, and says who the user is only where `HELLO` needs it: it drops the code of
/// a refusal of `AUTH` and `SELECT`, which are therefore sent here.
pub(super) async fn open(
    info: &ConnectionInfo,
    deadline: Duration,
    lost: Arc<AtomicBool>,
) -> Result<MultiplexedConnection, Failure> {
    let to = info.addr();
    let settings = info.redis_settings();
    let is_resp3 = settings.protocol() == ProtocolVersion::RESP3;
    let mut first = RedisConnectionInfo::default()
        .set_protocol(settings.protocol())
        .set_skip_set_lib_name();
    let mut rest = Pipeline::new();
    let mut steps: Vec<fn(Refusal) -> Refusal> = Vec::new();
    if let Some(password) = settings.password() {
        if is_resp3 {
            first = first.set_password(password);
            if let Some(user) = settings.username() {
                first = first.set_username(user);
            }
        } else {
            rest.cmd("AUTH");
            if let Some(user) = settings.username() {
                rest.arg(user);
            }
            rest.arg(password);
            steps.push(errors::of_auth);
        }
    }
    if settings.db() != 0 {
        rest.cmd("SELECT").arg(settings.db());
        steps.push(errors::of_select);
    }
    // Requests have deadlines of their own.
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(None);
    if is_resp3 {
        config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                lost.store(true, Ordering::Release);
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let failed = |error| errors::failure(&error, to);
    let client = redis::Client::open(info.clone().set_redis_settings(first)).map_err(failed)?;
    let mut connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .map_err(failed)?;
    if !steps.is_empty() {
        rest.ignore_errors();
        let answers: Vec<Value> = rest.query_async(&mut connection).await.map_err(failed)?;
        for (of_step, answer) in steps.into_iter().zip(answers) {
            if let Value::ServerError(error) = answer {
                return Err(Failure::Refused(of_step(Refusal::from(&error))));
            }
        }
    }
    Ok(connection)
}

/// How a server describes itself.
pub(super) struct Hello {
    /// `standalone`, `sentinel` or `cluster`.
    pub(super) mode: String,
    /// `master` or `replica`.
    pub(super) role: String,
}

/// Asks a server what it is. No right is needed for it; a proxy may not know the command.
pub(super) async fn hello(connection: &mut (impl ConnectionLike + Send)) -> Option<Hello> {
    let answer = connection.req_packed_command(&hello_command()).await.ok()?;
    Hello::new(answer)
}

/// The command that [`Hello::new`] reads the answer of.
pub(super) fn hello_command() -> Cmd {
    redis::cmd("HELLO")
}

impl Hello {
    pub(super) fn new(answer: Value) -> Option<Self> {
        let mut parts: HashMap<String, Value> = redis::from_redis_value(answer).ok()?;
        let mut text = |name| redis::from_redis_value(parts.remove(name)?).ok();
        Some(Self {
            mode: text("mode")?,
            role: text("role")?,
        })
    }
}
