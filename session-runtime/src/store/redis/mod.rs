//! Sessions in Redis or Valkey, one hash each.
//!
//! 1. A session is the hash `<prefix>:<id>`. Header fields begin with `@`, see `layout.rs`; every
//!    other field is one field of a schema, under its own name and readable as it is.
//! 2. A load is one trip. A commit is one script and one trip, whatever it does; the script decides
//!    everything before it writes anything, and does what [`Commit::apply`](super::Commit::apply)
//!    does. Only on a Cluster a commit that also changes lists of principals takes several, one for
//!    each step.
//! 3. All times are the server's. A load that asks for no deadline may estimate the time.
//! 4. The key expires when the session ends, so the server forgets sessions without being asked.
//! 5. Where a field's deadline is kept is the [`Tier`]. It is a property of the data: recorded in
//!    `<prefix>:@layout` by the first program that connects, kept by all others.

mod address;
mod answer;
mod builder;
#[cfg(feature = "redis-tls")]
mod certificates;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod commit;
mod connect_error;
mod connection;
mod credentials;
mod endpoint;
mod error;
mod layout;
mod lists;
mod load;
mod opening_error;
mod probe;
mod script;
#[cfg(feature = "redis-sentinel")]
mod sentinel;
mod server;
mod server_clock;
mod shared;
mod slot;
mod store;
mod tier;

pub use self::builder::RedisStoreBuilder;
pub use self::connect_error::RedisConnectError;
pub use self::credentials::RedisCredentials;
pub use self::store::RedisStore;
pub use self::tier::Tier;
