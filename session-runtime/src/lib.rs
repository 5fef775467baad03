// Where the README's links lead here; its own definitions of them, at its end, are for the web. Of two
// definitions Markdown takes the first.
#![cfg_attr(doc, doc = include_str!("links.md"))]
#![cfg_attr(doc, doc = include_str!("screenshots.md"))]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod clock;
mod codec;
mod config;
mod config_error;
mod cookie;
mod error;
mod events;
mod extract;
#[cfg(doc)]
pub mod guide;
#[cfg(test)]
mod imports;
mod keys;
mod layer;
mod principals;
mod request;
pub mod schema;
#[cfg(feature = "encryption")]
mod sealing;
#[cfg(not(feature = "encryption"))]
#[path = "sealing_off.rs"]
mod sealing;
mod session;
mod sessions;
mod signature;
pub mod store;
#[cfg(feature = "test-kit")]
pub mod test_kit;
mod timeouts;
mod token;

#[doc(inline)]
#[doc = include_str!("derive.md")]
pub use session_macros::Session;

pub use self::codec::{Json, Postcard};
pub use self::config::{SessionLayerBuilder, WhenFull};
pub use self::config_error::ConfigError;
pub use self::cookie::SameSite;
pub use self::error::SessionError;
pub use self::extract::SessionRejection;
pub use self::keys::{Key, KeyError};
pub use self::layer::{SessionFuture, SessionLayer, SessionService};
pub use self::request::Ttl;
#[doc(inline)]
pub use self::schema::SessionSchema;
pub use self::session::{ReadSession, Session};
pub use self::sessions::{PrincipalSessions, SessionInfo, Sessions};
#[cfg(all(unix, feature = "file"))]
#[doc(inline)]
pub use self::store::FileStore;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use self::store::RedisStore;
#[doc(inline)]
pub use self::store::{MemoryStore, SessionStore};
pub use self::timeouts::Timeouts;
pub use self::token::SessionId;
