//! A connection of the client library, whatever its type.

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

/// A connection that several requests use at once.
pub(super) struct SharedConnection(Box<dyn CloneConnection>);

impl SharedConnection {
    pub(super) fn new(connection: impl CloneConnection) -> Self {
        Self(Box::new(connection))
    }
}

impl Clone for SharedConnection {
    fn clone(&self) -> Self {
        self.0.clone_connection()
    }
}

/// A connection that can be cloned, as a trait object.
pub(super) trait CloneConnection: ConnectionLike + Send + Sync + 'static {
    fn clone_connection(&self) -> SharedConnection;
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> CloneConnection for C {
    fn clone_connection(&self) -> SharedConnection {
        SharedConnection::new(self.clone())
    }
}

impl ConnectionLike for SharedConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        self.0.req_packed_command(command)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
