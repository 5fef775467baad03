//! The stand-in for `sealing` where the feature `encryption` is off: nothing can be sealed, and the
//! layer refuses `encrypt` fields for want of keys.

use bytes::Bytes;

use crate::error::SessionError;
use crate::token::SessionId;

/// No value of this type exists.
#[derive(Debug)]
pub(crate) enum Sealer {}

impl Sealer {
    pub(crate) fn seal(
        &self,
        _: &SessionId,
        _: &'static str,
        _: &[u8],
    ) -> Result<Bytes, SessionError> {
        match *self {}
    }

    pub(crate) fn open(&self, _: &SessionId, _: &str, _: &[u8]) -> Option<Bytes> {
        match *self {}
    }
}

/// Implemented by no type while the feature is off.
#[diagnostic::on_unimplemented(
    message = "`encryption_keys` needs the feature `encryption` of `session-runtime`",
    label = "the feature `encryption` is off",
    note = "`cargo add session-runtime --features encryption`"
)]
pub trait EncryptionIsOn {}
