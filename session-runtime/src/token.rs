//! Tokens: the two halves that a cookie carries, and the part of them that a store keeps.
//!
//! 1. A token is a public id (16 bytes) followed by a secret (16 bytes), both from the operating
//!    system's generator, written as 43 base64url characters.
//! 2. The id names the record. It may be logged, listed and revoked; knowing it opens nothing.
//! 3. The store keeps the verifier, half of the SHA-256 of the secret, so a copy of the store opens
//!    nothing. Half of it is as hard to turn back as the secret is to guess: both have 128 bits.
//! 4. Secrets and verifiers are compared in constant time and never appear in `Debug`.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
#[cfg(not(test))]
use getrandom::fill;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

// In this crate's tests the generator can fail.
#[cfg(test)]
use self::tests::fill;

/// Bytes of a session id.
const ID_BYTES: usize = 16;
/// Secret bytes of a token.
const SECRET_BYTES: usize = 16;
/// Bytes of a verifier: no more than the secret has, and half of a SHA-256.
const VERIFIER_BYTES: usize = 16;
/// The most bytes of anything that is written in base64url: those of a SHA-256.
const MOST_BYTES: usize = 32;
/// Characters of a token as a cookie carries it.
const TOKEN_CHARACTERS: usize = 43;

/// The public half of a token: the name of a session's record.
///
/// The text form is 22 base64url characters: `Display` and `FromStr` use it, and so do
/// [`Serialize`] and [`Deserialize`], for a form field, a JSON answer or a path that revokes the
/// session. `Debug` shows only the first four characters, so that logs stay short and a log line
/// does not list the sessions that can be revoked.
///
/// ```
/// use axum::extract::Path;
/// use axum::routing::post;
/// use session_runtime::SessionId;
///
/// async fn revoke(Path(session): Path<SessionId>) -> String {
///     format!("revoking {session}")
/// }
///
/// let app: axum::Router = axum::Router::new().route("/devices/{session}/revoke", post(revoke));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; ID_BYTES]);

impl SessionId {
    /// Makes a new id with the operating system's generator.
    ///
    /// # Errors
    ///
    /// Fails when the generator does.
    pub fn generate() -> Result<Self, RandomError> {
        random_bytes().map(Self)
    }

    /// Returns the 16 bytes, for a store that does not name its records by the text form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ID_BYTES] {
        &self.0
    }

    /// Makes the id that a store kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64(f, &self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = URL_SAFE_NO_PAD.encode(self.0);
        write!(f, "SessionId({}…)", &text[..4])
    }
}

/// As the 22 characters of its text form, in every format.
impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextForm;

        impl Visitor<'_> for TextForm {
            type Value = SessionId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session id of 22 base64url characters")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SessionId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(TextForm)
    }
}

/// The text is not a session id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a session id is 22 base64url characters")]
pub struct ParseSessionIdError;

impl FromStr for SessionId {
    type Err = ParseSessionIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_base64(text.as_bytes())
            .map(Self)
            .ok_or(ParseSessionIdError)
    }
}

/// The part of a token's secret that a store keeps: the first 128 bits of its SHA-256.
///
/// `Display` and `FromStr` are 22 base64url characters, for stores that keep text. Comparing two
/// verifiers takes the same time wherever they differ. `Debug` is redacted.
#[derive(Clone, Copy)]
pub struct Verifier([u8; VERIFIER_BYTES]);

impl Verifier {
    /// Makes the verifier that a store kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; VERIFIER_BYTES]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes to keep.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; VERIFIER_BYTES] {
        &self.0
    }
}

impl PartialEq for Verifier {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Verifier {}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64(f, &self.0)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(redacted)")
    }
}

/// The text is not a verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a verifier is 22 base64url characters")]
pub struct ParseVerifierError;

impl FromStr for Verifier {
    type Err = ParseVerifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_base64(text.as_bytes())
            .map(Self)
            .ok_or(ParseVerifierError)
    }
}

/// The name of one commit, so that a store which receives it twice applies it once.
///
/// It has six random bytes, enough to differ from the few commits that a record remembers.
/// `Display` and `FromStr` are 8 base64url characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitId([u8; 6]);

impl CommitId {
    /// Makes a new id with the operating system's generator.
    ///
    /// # Errors
    ///
    /// Fails when the generator does.
    pub fn generate() -> Result<Self, RandomError> {
        random_bytes().map(Self)
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64(f, &self.0)
    }
}

/// The text is not a commit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a commit id is 8 base64url characters")]
pub struct ParseCommitIdError;

impl FromStr for CommitId {
    type Err = ParseCommitIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        decode_base64(text.as_bytes())
            .map(Self)
            .ok_or(ParseCommitIdError)
    }
}

/// The operating system's random number generator failed.
///
/// The request that needed it fails; nothing weaker is used instead.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system's random number generator failed")]
pub struct RandomError(#[source] getrandom::Error);

/// The text of a cookie, parsed: the id and the secret of one session.
///
/// Tokens exist only inside this crate: an application never holds one.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    id: SessionId,
    secret: [u8; SECRET_BYTES],
}

impl Token {
    /// Makes a token for a session that does not exist yet.
    pub(crate) fn generate() -> Result<Self, RandomError> {
        Self::generate_for(SessionId::generate()?)
    }

    /// Makes a token with a new secret for an existing session.
    pub(crate) fn generate_for(id: SessionId) -> Result<Self, RandomError> {
        Ok(Self {
            id,
            secret: random_bytes()?,
        })
    }

    /// Parses the text that a client sent. Anything but the exact canonical form is `None`, so no
    /// other spelling of a token exists.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; ID_BYTES + SECRET_BYTES] = decode_base64(text)?;
        let (id, secret) = bytes.split_at(ID_BYTES);
        Some(Self {
            id: SessionId(id.try_into().ok()?),
            secret: secret.try_into().ok()?,
        })
    }

    /// Returns the text for the cookie.
    pub(crate) fn expose(&self) -> String {
        let mut bytes = [0; ID_BYTES + SECRET_BYTES];
        bytes[..ID_BYTES].copy_from_slice(&self.id.0);
        bytes[ID_BYTES..].copy_from_slice(&self.secret);
        let text = URL_SAFE_NO_PAD.encode(bytes);
        debug_assert_eq!(text.len(), TOKEN_CHARACTERS);
        text
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) fn verifier(&self) -> Verifier {
        let mut verifier = [0; VERIFIER_BYTES];
        verifier.copy_from_slice(&Sha256::digest(self.secret)[..VERIFIER_BYTES]);
        Verifier(verifier)
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        (self.id.0.ct_eq(&other.id.0) & self.secret.ct_eq(&other.secret)).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    fill(&mut bytes).map_err(RandomError)?;
    Ok(bytes)
}

/// Writes bytes, at most [`MOST_BYTES`], in base64url without padding.
pub(crate) fn write_base64(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    // One piece from the stack: a formatter that gets it in parts costs several times as much.
    let mut text = [0; (MOST_BYTES * 8).div_ceil(6)];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
    let written = written.map_err(|_| fmt::Error)?;
    f.write_str(std::str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
}

/// Decodes exactly `N` bytes in canonical base64url without padding.
pub(crate) fn decode_base64<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // The length is checked first: the decoder must never see an input longer than its answer.
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == N).then_some(bytes)
}

#[cfg(test)]
mod tests;
