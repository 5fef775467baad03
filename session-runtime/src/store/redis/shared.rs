//! A connection of the client library, whatever its type.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};

/// A connection that several requests use at once.
#[derive(Clone)]
pub(super) enum SharedConnection {
    /// To one server. The usual one, so it is called without a trait object and its allocations.
    Server(MultiplexedConnection),
    /// To a Cluster, or one of the application's.
    Other(Box<dyn CloneConnection>),
}

impl SharedConnection {
    pub(super) fn new(connection: impl CloneConnection) -> Self {
        Self::Other(Box::new(connection))
    }

    /// Sends one command.
    pub(super) async fn send(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection) => connection.send_packed_command(command).await,
            Self::Other(connection) => connection.req_packed_command(command).await,
        }
    }
}

/// A connection that can be cloned, as a trait object.
pub(super) trait CloneConnection: ConnectionLike + Send + Sync + 'static {
    fn clone_connection(&self) -> Box<dyn CloneConnection>;
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> CloneConnection for C {
    fn clone_connection(&self) -> Box<dyn CloneConnection> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn CloneConnection> {
    fn clone(&self) -> Self {
        (**self).clone_connection()
    }
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command),
            Self::Other(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Other(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Other(connection) => connection.get_db(),
        }
    }
}
