//! Opening a connection to one server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
use redis::aio::ConnectionLike;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, ProtocolVersion,
    PushInfo, PushKind, RedisConnectionInfo, Value,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::{Failure, Refusal};
use super::opening_error as errors;

/// How long a server that refuses connections takes to say so.
const GREETING: Duration = Duration::from_millis(250);
/// Longest line that such a server says.
const LONGEST_GREETING: usize = 1024;

/// Opens a connection as the user, and to the database, of these settings; `lost` is set when the
/// library finds that it is lost.
pub(super) async fn open(
    info: &ConnectionInfo,
    deadline: Duration,
    lost: Arc<AtomicBool>,
) -> Result<MultiplexedConnection, Failure> {
    let opened = set_up(info, deadline, lost).await;
    match opened {
        Err(failure) if errors::is_closed(&failure) => Err(greeting(info).await.unwrap_or(failure)),
        opened => opened,
    }
}

/// Opens the connection and sends what comes first.
///
/// The library says who the user is only where `HELLO` needs it: it drops the code of a refusal of
/// `AUTH` and `SELECT`, which are therefore sent here.
async fn set_up(
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
    let mut steps: Vec<fn(Refusal) -> Option<Refusal>> = Vec::new();
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
    } else if !is_resp3 {
        // Any answer shows that the server takes the connection.
        rest.add_command(hello_command());
        steps.push(errors::of_hello);
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
            if let Value::ServerError(error) = answer
                && let Some(refusal) = of_step(Refusal::from(&error))
            {
                return Err(Failure::Refused(refusal));
            }
        }
    }
    Ok(connection)
}

/// Why a server closes its connections, in its own first words.
///
/// A server that refuses a connection says so before it is asked anything; what was sent meanwhile
/// can make the operating system drop those words, so they are listened for. Whatever answers a
/// `PING` in other words than Redis is something else.
async fn greeting(info: &ConnectionInfo) -> Option<Failure> {
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return None;
    };
    let connecting = TcpStream::connect((host.as_str(), *port));
    let mut stream = timeout(GREETING, connecting).await.ok()?.ok()?;
    let line = match timeout(GREETING, first_line(&mut stream)).await {
        Ok(line) => line?,
        Err(_) => {
            stream.write_all(b"PING\r\n").await.ok()?;
            timeout(GREETING, first_line(&mut stream)).await.ok()??
        }
    };
    let Some(error) = line.strip_prefix('-') else {
        return (!line.starts_with('+')).then_some(Failure::NotSent(errors::NOT_REDIS));
    };
    let (code, details) = error.split_once(' ')?;
    match Refusal::new(code, Some(details)) {
        Refusal::Other => None,
        refusal => Some(Failure::Refused(refusal)),
    }
}

/// The first line that a server sends, or what there is of it when it closes the connection.
async fn first_line(stream: &mut TcpStream) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LONGEST_GREETING && stream.read(&mut byte).await.ok()? == 1 {
        match byte[0] {
            b'\r' | b'\n' => break,
            other => line.push(other),
        }
    }
    (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
}

/// How a server describes itself.
pub(super) struct Hello {
    /// `standalone`, `sentinel` or `cluster`.
    pub(super) mode: String,
    /// `master` or `replica`; Sentinels say nothing.
    #[cfg_attr(
        not(feature = "redis-sentinel"),
        allow(dead_code, reason = "only a master that Sentinels name is asked")
    )]
    pub(super) role: Option<String>,
}

/// Asks a server what it is. No right is needed for it; a proxy may not know the command.
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
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
            role: text("role"),
        })
    }
}
