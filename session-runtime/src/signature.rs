//! The signature behind a cookie's token, where the layer has signing keys.
//!
//! A signature proves that a token was issued here, before the store is asked. The store still
//! decides whether the session lives. The signature is an HMAC-SHA256 over the cookie's name and the
//! token, so a token that was signed for one cookie is worth nothing in another.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::keys::Key;
use crate::token::decode_base64;

/// Signs tokens for one cookie.
#[derive(Clone)]
pub(crate) struct Signer {
    /// One for each key, fed with everything that comes before the token.
    macs: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// Signs with the first key and verifies with all of them. `keys` must not be empty.
    pub(crate) fn new(keys: &[Key], cookie: &str) -> Self {
        let mac = |key: &Key| {
            key.mac_for("session-runtime v1 cookie signature")
                .chain_update(cookie)
                // No cookie's name contains this byte, so name and token cannot shift.
                .chain_update([0])
        };
        Self {
            macs: keys.iter().map(mac).collect(),
        }
    }

    /// Returns the token and its signature, as the cookie carries them.
    pub(crate) fn sign(&self, token: String) -> String {
        let Some(first) = self.macs.first() else {
            return token;
        };
        let signature = first.clone().chain_update(&token).finalize().into_bytes();
        token + "." + &URL_SAFE_NO_PAD.encode(signature)
    }

    /// Returns the token of a value that one of the keys signed.
    ///
    /// Each comparison takes the same time wherever the signatures differ.
    pub(crate) fn verify<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let dot = value.iter().position(|&byte| byte == b'.')?;
        let (token, signature) = (&value[..dot], &value[dot + 1..]);
        let signature: [u8; 32] = decode_base64(signature)?;
        let is_signature = |mac: &Hmac<Sha256>| {
            let mac = mac.clone().chain_update(token);
            mac.verify(&signature.into()).is_ok()
        };
        self.macs.iter().any(is_signature).then_some(token)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("keys", &self.macs.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(keys: &[u8], cookie: &str) -> Signer {
        let keys: Vec<_> = keys.iter().map(|&byte| Key::from([byte; 32])).collect();
        Signer::new(&keys, cookie)
    }

    #[test]
    fn every_key_verifies_and_the_first_signs() {
        let (old, new) = (signer(&[1], "id"), signer(&[2], "id"));
        let both = signer(&[2, 1], "id");
        let signed = old.sign("token".to_owned());
        assert_eq!(both.verify(signed.as_bytes()), Some(&b"token"[..]));
        assert_eq!(new.verify(signed.as_bytes()), None);
        assert_eq!(both.sign("token".to_owned()), new.sign("token".to_owned()));
    }

    #[test]
    fn what_was_not_signed_here_does_not_verify() {
        let signer = signer(&[1], "id");
        let signed = signer.sign("token".to_owned());
        let signature = signed.strip_prefix("token.").unwrap();
        assert_eq!(signature.len(), 43);
        let longer = format!("{signed}A");
        let shorter = &signed[..signed.len() - 1];
        for forged in [
            "",
            ".",
            "token",
            "token.",
            &longer,
            shorter,
            &format!("{signed}="),
            &format!("tokem.{signature}"),
            &format!("token..{signature}"),
            &format!("token.{}", "A".repeat(43)),
            &format!("token.{}", "A".repeat(10_000)),
        ] {
            assert_eq!(signer.verify(forged.as_bytes()), None, "{forged}");
        }
        // Two last bits of the text carry nothing; a spelling that sets them is another text.
        let last = signed.as_bytes()[signed.len() - 1];
        let other = format!("{shorter}{}", char::from(last + 1));
        assert_eq!(signer.verify(other.as_bytes()), None);
    }

    #[test]
    fn a_signature_is_for_one_cookie() {
        let signed = signer(&[1], "id").sign("token".to_owned());
        assert_eq!(signer(&[1], "id2").verify(signed.as_bytes()), None);
        let shifted = signer(&[1], "id").sign("xtoken".to_owned());
        let shifted = shifted.strip_prefix('x').unwrap();
        assert_eq!(signer(&[1], "idx").verify(shifted.as_bytes()), None);
    }
}
