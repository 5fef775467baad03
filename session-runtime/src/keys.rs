//! The application's secret keys.
//!
//! 1. A key comes from the application, never from code, and never leaves this module: each use
//!    gets a subkey for one purpose. The same key may sign and encrypt.
//! 2. A list of keys changes without a break: the first key signs and seals, all keys verify and
//!    open.
//! 3. A key has 32 bytes from the moment it is made.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The size of a key in bytes.
const KEY_BYTES: usize = 32;

/// A secret key of 32 bytes.
///
/// A key comes from the environment or from a file that only the application can read, never from
/// source code. `openssl rand -base64 32` prints a good one.
///
/// ```
/// use session_runtime::{Key, MemoryStore, SessionLayer};
///
/// # fn secret(_: &str) -> String { "c2Vzc2lvbi1ydW50aW1lLWV4YW1wbGUta2V5LTAwMDE=".to_owned() }
/// let key = Key::from_base64(&secret("SESSION_KEY"))?;
/// let layer = SessionLayer::builder(MemoryStore::new())
///     .signing_keys([key])
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An array of 32 bytes converts with `Key::from`. `Debug` is redacted, and the bytes are
/// overwritten when the key is dropped.
///
/// # Changing a key
///
/// [`signing_keys`](crate::SessionLayerBuilder::signing_keys) and `encryption_keys` take a list of
/// keys: the first one signs and seals, all of them verify and open. To change the key, put the new
/// one in front and keep the old one behind it; drop the old one once nothing that is under it is
/// worth keeping. Where several processes serve one site, add the new key *behind* the old one
/// everywhere first, so that no process meets a key that it does not know.
///
/// ```
/// use session_runtime::{Key, MemoryStore, SessionLayer};
///
/// # let (new, old) = ([1; 32], [2; 32]);
/// let layer = SessionLayer::builder(MemoryStore::new())
///     .signing_keys([Key::from(new), Key::from(old)])
///     .build()?;
/// # Ok::<(), session_runtime::ConfigError>(())
/// ```
// Boxed, so that moving a key leaves no copy of the bytes behind.
#[derive(Clone)]
pub struct Key(Box<Zeroizing<[u8; KEY_BYTES]>>);

impl Key {
    /// Makes a key of these bytes. They must be random: a password is not, see
    #[cfg_attr(
        feature = "passphrase",
        doc = "[`derive_from_passphrase`](Self::derive_from_passphrase)."
    )]
    #[cfg_attr(
        not(feature = "passphrase"),
        doc = "the feature `passphrase` for that."
    )]
    ///
    /// ```
    /// use session_runtime::{Key, KeyError};
    ///
    /// let bytes = vec![7; 32]; // from the application's own secret storage
    /// let key = Key::from_bytes(&bytes)?;
    /// assert_eq!(Key::from_bytes("too short").unwrap_err(), KeyError::Length { found: 9 });
    /// # Ok::<(), KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError::Length`] unless there are exactly 32 bytes.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let bytes = bytes.as_ref();
        if bytes.len() != KEY_BYTES {
            return Err(KeyError::Length { found: bytes.len() });
        }
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// Makes a key of 32 bytes in base64: the standard alphabet or the one for URLs, with or
    /// without padding. White space around the text, such as the end of a file's line, is ignored.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotBase64`] for other text, [`KeyError::Length`] for another number of bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let alphabet = match text.contains(['-', '_']) {
            true => &URL_SAFE,
            false => &STANDARD,
        };
        let config =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(alphabet, config).decode(text);
        let bytes = Zeroizing::new(bytes.map_err(|_| KeyError::NotBase64)?);
        Self::from_bytes(&*bytes)
    }

    /// Derives a key from a passphrase by Argon2id: version 1.3, 64 MiB of memory, 3 passes, 4
    /// lanes, the second choice that RFC 9106 recommends (section 4). It takes a noticeable fraction
    /// of a second, once at the start of a program. The parameters will not change: with others, the
    /// same passphrase would give another key.
    ///
    /// `salt` makes sure that the same passphrase gives another key elsewhere. It has at least 8
    /// bytes and is not secret: random bytes kept beside the configuration, or the application's
    /// domain name.
    ///
    /// A random key is stronger than any passphrase that people remember; prefer
    /// [`from_base64`](Self::from_base64).
    ///
    /// ```no_run
    /// use session_runtime::Key;
    ///
    /// let passphrase = std::fs::read_to_string("/run/secrets/session-passphrase")?;
    /// let key = Key::derive_from_passphrase(passphrase.trim(), "shop.example.com")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KeyError::EmptyPassphrase`], [`KeyError::SaltTooShort`], and [`KeyError::OutOfRange`] for
    /// four gigabytes of either.
    #[cfg(feature = "passphrase")]
    pub fn derive_from_passphrase(
        passphrase: impl AsRef<[u8]>,
        salt: impl AsRef<[u8]>,
    ) -> Result<Self, KeyError> {
        use argon2::{Algorithm, Argon2, MIN_SALT_LEN, Params, Version};

        const MEMORY_KIB: u32 = 64 * 1024;
        const PASSES: u32 = 3;
        const LANES: u32 = 4;

        let (passphrase, salt) = (passphrase.as_ref(), salt.as_ref());
        if passphrase.is_empty() {
            return Err(KeyError::EmptyPassphrase);
        }
        if salt.len() < MIN_SALT_LEN {
            return Err(KeyError::SaltTooShort { found: salt.len() });
        }
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(KEY_BYTES));
        let params = params.map_err(|_| KeyError::OutOfRange)?;
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut key[..])
            .map_err(|_| KeyError::OutOfRange)?;
        Ok(Self(key))
    }

    /// Starts an HMAC-SHA256 under this key that serves the named purpose only.
    pub(crate) fn mac_for(&self, purpose: &str) -> Hmac<Sha256> {
        let mut mac = keyed(&self.0[..]);
        mac.update(purpose.as_bytes());
        // No purpose contains this byte, so none is the beginning of another.
        mac.update(&[0]);
        mac
    }
}

/// HMAC takes keys of any length.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("no length is wrong"))
}

impl From<[u8; KEY_BYTES]> for Key {
    fn from(bytes: [u8; KEY_BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut key = Box::new(Zeroizing::new([0; KEY_BYTES]));
        key.copy_from_slice(&bytes[..]);
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

/// The reason why a [`Key`] could not be made.
///
/// The error carries nothing of the secret that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not base64.
    #[error("the key is not base64, expected 32 bytes as `openssl rand -base64 32` prints them")]
    NotBase64,
    /// The key has another size: it is too short to be secret, or it is a key of another kind.
    #[error("the key has {found} bytes, expected 32 as `openssl rand -base64 32` prints them")]
    Length {
        /// The number of bytes that were given.
        found: usize,
    },
    /// The passphrase is empty, which is easy to guess.
    #[error("the passphrase is empty, expected one that is too long to guess")]
    EmptyPassphrase,
    /// The salt is so short that another application could use the same one.
    #[error("the salt has {found} bytes, expected at least 8, such as a domain name")]
    SaltTooShort {
        /// The number of bytes that were given.
        found: usize,
    },
    /// The passphrase or the salt is longer than Argon2 takes.
    #[error("the passphrase or the salt is too long, expected less than 4 GiB")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_tools_write_it() {
        // Bytes that the two alphabets spell differently.
        let bytes = [0xfb; KEY_BYTES];
        let standard = base64::engine::general_purpose::STANDARD.encode(bytes);
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        assert!(standard.contains('+') && standard.ends_with('=') && url_safe.contains('-'));
        for text in [&standard, &url_safe, &format!(" {standard}\r\n")] {
            assert_eq!(Key::from_base64(text).unwrap().0[..], bytes);
        }
        for text in ["a secret", "=", "abc+_"] {
            assert_eq!(Key::from_base64(text).unwrap_err(), KeyError::NotBase64);
        }
    }

    #[test]
    fn a_key_has_32_bytes_when_it_is_made() {
        for found in [0, 16, 31, 33, 64] {
            let bytes = vec![2; found];
            let error = Key::from_bytes(&bytes).unwrap_err();
            assert_eq!(error, KeyError::Length { found });
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            assert_eq!(Key::from_base64(&text).unwrap_err(), error);
            let expected = format!("the key has {found} bytes, expected 32");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        let bytes = [2; KEY_BYTES];
        assert_eq!(Key::from_bytes(bytes).unwrap().0[..], bytes);
        assert_eq!(Key::from(bytes).0[..], bytes);
    }

    #[test]
    fn purposes_are_kept_apart() {
        let key = Key::from([7; KEY_BYTES]);
        let mac = |purpose, data: &[u8]| key.mac_for(purpose).chain_update(data).finalize();
        assert_eq!(mac("sign", b"x"), mac("sign", b"x"));
        assert_ne!(mac("sign", b"x"), mac("seal", b"x"));
        assert_ne!(mac("sign", b"x"), mac("signx", b""));
    }

    #[cfg(feature = "passphrase")]
    #[test]
    fn a_passphrase_is_refused_where_it_protects_nothing() {
        let derive = |passphrase, salt| Key::derive_from_passphrase(passphrase, salt).unwrap_err();
        assert_eq!(derive("", "shop.example.com"), KeyError::EmptyPassphrase);
        let found = 4;
        assert_eq!(derive("long", "shop"), KeyError::SaltTooShort { found });
    }

    /// The key comes from another implementation of Argon2id with the documented parameters. Other
    /// parameters would sign out every visitor.
    #[cfg(feature = "passphrase")]
    #[test]
    fn a_passphrase_gives_the_same_key_for_ever() {
        let key = Key::derive_from_passphrase("correct horse battery staple", "shop.example.com");
        let hex: String = key.unwrap().0[..]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "f22f5da9784ba9fe0dbaee88301f0f03db2fde0ac43485c18a3e3475c5fe8c16"
        );
    }
}
