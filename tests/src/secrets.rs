//! The secret half of a token, which only the visitor may see, and its verifier, which only the
//! store may have, in every spelling in which they could slip out.
//!
//! [`Browser`](crate::browser::Browser) remembers each token that it is given. From then on no body,
//! no header and no event of any test may show it: [`assert_unsaid`] looks at them all.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Characters of a token, and how many of them tell of the id alone.
const TOKEN: usize = 43;
const OF_THE_ID: usize = 22;
/// Bytes of the id, which come first.
const ID_BYTES: usize = 16;

/// A token as a cookie carries it, perhaps with its signature behind.
#[derive(Debug, Clone)]
pub struct Secret {
    token: String,
    secret: Vec<u8>,
}

impl Secret {
    /// The token in the value of a cookie; `None` if that is something else.
    pub fn in_cookie(value: &str) -> Option<Self> {
        let token = value.get(..TOKEN)?;
        let rest = &value[TOKEN..];
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        (rest.is_empty() || rest.starts_with('.')).then(|| Self {
            token: token.to_owned(),
            secret: bytes[ID_BYTES..].to_vec(),
        })
    }

    /// The verifier that the store keeps.
    pub fn verifier(&self) -> [u8; 16] {
        let digest = Sha256::digest(&self.secret);
        digest[..16].try_into().expect("half of 32 bytes")
    }

    /// The secret half in every spelling, which must be nowhere but in the cookie.
    pub fn spellings(&self) -> Vec<Vec<u8>> {
        let mut all = spellings(&self.secret);
        all.push(self.token.as_bytes()[OF_THE_ID..].to_vec());
        all
    }

    /// Every spelling of the verifier, which must be nowhere but in the store.
    pub fn spellings_of_the_verifier(&self) -> Vec<Vec<u8>> {
        spellings(&self.verifier())
    }
}

/// As bytes, in base64, in hexadecimal digits, as Rust shows a list, and as a server shows bytes.
fn spellings(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut escaped = String::new();
    for &byte in bytes {
        match byte {
            b'\n' => escaped.push_str("\\n"),
            b'\r' => escaped.push_str("\\r"),
            b'\t' => escaped.push_str("\\t"),
            7 => escaped.push_str("\\a"),
            8 => escaped.push_str("\\b"),
            b'"' | b'\\' => escaped.extend(['\\', char::from(byte)]),
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => write!(escaped, "\\x{byte:02x}").expect("a string grows"),
        }
    }
    let list = format!("{bytes:?}");
    [
        URL_SAFE_NO_PAD.encode(bytes),
        STANDARD_NO_PAD.encode(bytes),
        hexadecimal(bytes),
        hexadecimal(bytes).to_uppercase(),
        list[1..list.len() - 1].to_owned(),
        escaped,
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([bytes.to_vec()])
    .collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string grows");
        text
    })
}

/// Whether the bytes occur in the text.
pub fn contains(text: &[u8], bytes: &[u8]) -> bool {
    text.windows(bytes.len()).any(|part| part == bytes)
}

/// As many characters as the secret half of a token has for itself: no two secrets share them, and
/// nothing else looks like them by chance.
const PIECE: usize = TOKEN - OF_THE_ID;

/// A piece of each text form of each secret that a visitor was given.
static GIVEN: Mutex<Option<HashSet<Vec<u8>>>> = Mutex::new(None);

/// Remembers the token in the value of a cookie, if there is one.
pub fn remember(value: &str) {
    let Some(secret) = Secret::in_cookie(value) else {
        return;
    };
    let texts = [
        secret.token[OF_THE_ID..].to_owned(),
        URL_SAFE_NO_PAD.encode(&secret.secret),
        hexadecimal(&secret.secret),
        URL_SAFE_NO_PAD.encode(secret.verifier()),
        hexadecimal(&secret.verifier()),
    ];
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    given.extend(texts.map(|text| text.as_bytes()[..PIECE].to_vec()));
}

/// Fails if a secret that a visitor was given is in this text.
///
/// # Panics
///
/// Then.
pub fn assert_unsaid(place: &str, text: &str) {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    for word in text.as_bytes().split(|byte| !letter(byte)) {
        for piece in word.windows(PIECE) {
            let given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
            let is_secret = given.as_ref().is_some_and(|given| given.contains(piece));
            drop(given);
            assert!(!is_secret, "a secret was said in {place}: {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn every_spelling_is_found() {
        let secret = Secret::in_cookie(&format!("{TOKEN}.signature")).unwrap();
        assert_eq!(secret.secret, (16..32).collect::<Vec<u8>>());
        for spelling in [
            "EBESExQVFhcYGRobHB0eHw",
            "10111213",
            "16, 17",
            "\\x10\\x11",
            &TOKEN[22..],
        ] {
            let is_found = |found: &Vec<u8>| contains(found, spelling.as_bytes());
            assert!(secret.spellings().iter().any(is_found), "{spelling}");
        }
        for value in ["", "dark", &TOKEN[1..], &format!("{TOKEN}A")] {
            assert!(Secret::in_cookie(value).is_none(), "{value}");
        }
    }

    #[test]
    fn what_was_given_must_not_be_said() {
        let said = format!("the token is `{TOKEN}`");
        assert_unsaid("a test", &said);
        remember(TOKEN);
        assert_unsaid("a test", &said.replace(&TOKEN[30..], "…"));
        let verifier = URL_SAFE_NO_PAD.encode(Secret::in_cookie(TOKEN).unwrap().verifier());
        for said in [said, format!("={verifier}")] {
            let hears = std::panic::catch_unwind(|| assert_unsaid("a test", &said));
            assert!(hears.is_err(), "{said}");
        }
    }
}
