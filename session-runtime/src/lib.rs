//! Typed sessions for axum.

mod clock;
mod codec;
mod schema;
pub mod store;
#[cfg(feature = "test-kit")]
pub mod test_kit;
mod token;

pub use session_macros::Session;

pub use self::clock::{Clock, SystemClock, Timestamp};
pub use self::codec::{Codec, CodecError, Json, Postcard};
pub use self::schema::{Field, FieldSpec, FieldValue, Integer, Merge, Renew, SessionSchema};
pub use self::store::{MemoryStore, SessionStore};
#[cfg(feature = "redis")]
pub use self::store::{RedisStore, Tier};
pub use self::token::{
    CommitId, ParseCommitIdError, ParseSessionIdError, ParseVerifierError, RandomError, SessionId,
    Verifier,
};

/// What the derive's expansion names. Not for use by hand; it may change in any release.
#[doc(hidden)]
pub mod __private {
    pub use crate::schema::{FieldReader, FieldWriter};
    pub use crate::store::MergeOperation;
}
