//! The encryption of `encrypt` fields.
//!
//! 1. XChaCha20-Poly1305 with a random nonce for each sealing. Its 24 bytes make a collision
//!    unthinkable without a counter that processes would have to share, where those of AES-GCM
//!    (12 bytes) would bound how often a key may seal, and it is fast and free of timing leaks on
//!    processors without AES instructions too. AES-GCM-SIV would survive a repeated nonce, which
//!    cannot happen here, and reads each value twice for it.
//! 2. A sealed value is text, so that a store's own tools show what it is:
//!    `v1.<key id>.<nonce and ciphertext>`, the last two in base64url.
//! 3. It opens only in its place: session id and stored name are authenticated with it.
//! 4. The key's id tells which of the keys opens it. It is a keyed hash and gives nothing away.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::Mac;

use crate::error::SessionError;
use crate::keys::Key;
use crate::token::{SessionId, random_bytes};

const VERSION: &str = "v1";
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Bytes of a key's id: enough that the keys of a ring differ.
const KEY_ID_BYTES: usize = 6;

/// Seals and opens the values of fields.
pub(crate) struct Sealer {
    /// The first key seals, all of them open.
    keys: Vec<SealingKey>,
}

struct SealingKey {
    /// Text form, as in a sealed value.
    id: String,
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    /// Seals with the first key and opens with all of them. `keys` must not be empty.
    pub(crate) fn new(keys: &[Key]) -> Self {
        Self {
            keys: keys.iter().map(SealingKey::new).collect(),
        }
    }

    /// Seals a value for this place.
    ///
    /// # Errors
    ///
    /// [`SessionError::Random`] when no nonce could be made, [`SessionError::Encode`] for a value of
    /// more than 256 GiB.
    pub(crate) fn seal(
        &self,
        session: &SessionId,
        name: &'static str,
        value: &[u8],
    ) -> Result<Bytes, SessionError> {
        let no_encoding = SessionError::Encode { field: name.into() };
        let Some(key) = self.keys.first() else {
            return Err(no_encoding);
        };
        let nonce: [u8; NONCE_BYTES] = random_bytes()?;
        let payload = Payload {
            msg: value,
            aad: &place(session, name),
        };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload);
        // Only a value of 256 GiB is too long to be sealed.
        let sealed = sealed.map_err(|_| no_encoding)?;

        let mut text = format!("{VERSION}.{}.", key.id);
        URL_SAFE_NO_PAD.encode_string([&nonce[..], &sealed].concat(), &mut text);
        Ok(text.into())
    }

    /// Opens a value that was sealed for this place; `None` for anything else.
    pub(crate) fn open(&self, session: &SessionId, name: &str, sealed: &[u8]) -> Option<Bytes> {
        let mut parts = sealed.splitn(3, |&byte| byte == b'.');
        let (version, id, text) = (parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION.as_bytes() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        if bytes.len() < NONCE_BYTES + TAG_BYTES {
            return None;
        }
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let aad = place(session, name);
        let mut keys = self.keys.iter().filter(|key| key.id.as_bytes() == id);
        keys.find_map(|key| {
            let payload = Payload {
                msg: ciphertext,
                aad: &aad,
            };
            key.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
        })
        .map(Bytes::from)
    }
}

impl SealingKey {
    fn new(key: &Key) -> Self {
        let id = key.mac_for("session-runtime v1 encryption key id");
        let id = id.finalize().into_bytes();
        let subkey = key.mac_for("session-runtime v1 field encryption");
        let mut subkey = subkey.finalize().into_bytes();
        let cipher = XChaCha20Poly1305::new(&subkey);
        zeroize::Zeroize::zeroize(subkey.as_mut_slice());
        Self {
            id: URL_SAFE_NO_PAD.encode(&id[..KEY_ID_BYTES]),
            cipher,
        }
    }
}

/// Encodes the place of a sealed value. The id has a fixed length and the name's length stands before
/// it, so no two places are encoded the same.
fn place(session: &SessionId, name: &str) -> Vec<u8> {
    let length = (name.len() as u64).to_be_bytes();
    [session.as_bytes(), &length[..], name.as_bytes()].concat()
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("keys", &self.keys.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(keys: &[u8]) -> Sealer {
        let keys: Vec<_> = keys.iter().map(|&byte| Key::from([byte; 32])).collect();
        Sealer::new(&keys)
    }

    #[test]
    fn a_value_opens_in_its_place_only() {
        let sealer = sealer(&[1]);
        let (session, other) = (
            SessionId::generate().unwrap(),
            SessionId::generate().unwrap(),
        );
        for value in [&b""[..], b"\"12 Main Street\"", &[0xff; 100_000]] {
            let sealed = sealer.seal(&session, "shop.address", value).unwrap();
            let opened = sealer.open(&session, "shop.address", &sealed);
            assert_eq!(opened.as_deref(), Some(value));
            assert_eq!(sealer.open(&other, "shop.address", &sealed), None);
            assert_eq!(sealer.open(&session, "shop.addres", &sealed), None);
            assert_eq!(sealer.open(&session, "shop.address2", &sealed), None);
        }
    }

    #[test]
    fn a_sealed_value_is_text_and_never_the_same_twice() {
        let sealer = sealer(&[1]);
        let session = SessionId::generate().unwrap();
        let first = sealer.seal(&session, "shop.address", b"x").unwrap();
        let second = sealer.seal(&session, "shop.address", b"x").unwrap();
        assert_ne!(first, second);
        let text = std::str::from_utf8(&first).unwrap();
        let lengths: Vec<_> = text.split('.').map(str::len).collect();
        assert_eq!(lengths, [2, 8, (NONCE_BYTES + 1 + TAG_BYTES) * 4 / 3 + 1]);
    }

    #[test]
    fn every_key_opens_and_the_first_seals() {
        let session = SessionId::generate().unwrap();
        let old = sealer(&[1]).seal(&session, "f", b"x").unwrap();
        let ring = sealer(&[2, 1]);
        assert_eq!(ring.open(&session, "f", &old).as_deref(), Some(&b"x"[..]));
        let new = ring.seal(&session, "f", b"x").unwrap();
        assert_eq!(
            sealer(&[2]).open(&session, "f", &new).as_deref(),
            Some(&b"x"[..])
        );
        assert_eq!(sealer(&[2]).open(&session, "f", &old), None);
        assert_eq!(sealer(&[1]).open(&session, "f", &new), None);
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let sealer = sealer(&[1]);
        let session = SessionId::generate().unwrap();
        let sealed = sealer.seal(&session, "f", b"value").unwrap();
        for index in 0..sealed.len() {
            for with in [b'.', b'A', b'_', 0xff] {
                let mut changed = sealed.to_vec();
                if std::mem::replace(&mut changed[index], with) != with {
                    assert_eq!(sealer.open(&session, "f", &changed), None, "byte {index}");
                }
            }
            assert_eq!(sealer.open(&session, "f", &sealed[..index]), None);
        }
        for garbage in [&b""[..], b"v1", b"v1..", b"v1.AAAAAAAA.", b"\"plain text\""] {
            assert_eq!(sealer.open(&session, "f", garbage), None);
        }
    }
}
