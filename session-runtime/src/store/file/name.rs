//! The names of the files of sessions and of the folders of principals, and of the folders that
//! they are in.

use std::fmt::Write as _;
use std::io;

use crate::store::PrincipalKey;
use crate::token::SessionId;

/// Leading characters of a file's name that name its folder: 4,096 folders, so that of a million
/// sessions each holds about 250.
const SHARD_CHARACTERS: usize = 3;

/// A session id in lower-case hexadecimal. Some file systems take `a` and `A` for the same, so the
/// base64 form would not do.
///
/// It is made from the bytes of an id and from nothing else, so no name can leave its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordName {
    session: SessionId,
    text: String,
}

impl RecordName {
    pub(super) fn of(session: &SessionId) -> Self {
        Self {
            session: *session,
            text: hex(session.as_bytes()),
        }
    }

    /// The name, if a file of this name can be a session's.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name.len() != 32 || !name.bytes().all(is_hex) {
            return None;
        }
        let bytes = u128::from_str_radix(name, 16).ok()?.to_be_bytes();
        Some(Self::of(&SessionId::from_bytes(bytes)))
    }

    /// The session.
    pub(super) fn session(&self) -> &SessionId {
        &self.session
    }

    /// The name of the file.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the folder that the file is in.
    pub(super) fn shard(&self) -> &str {
        &self.text[..SHARD_CHARACTERS]
    }
}

/// A principal key in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PrincipalName {
    principal: PrincipalKey,
    text: String,
}

impl PrincipalName {
    pub(super) fn of(principal: &PrincipalKey) -> Self {
        Self {
            principal: *principal,
            text: hex(principal.as_bytes()),
        }
    }

    /// The name, if a folder of this name can be a principal's list.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name.len() != 64 || !name.bytes().all(is_hex) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(name.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self::of(&PrincipalKey::from_bytes(bytes)))
    }

    /// The principal.
    pub(super) fn principal(&self) -> &PrincipalKey {
        &self.principal
    }

    /// The name of the folder with the principal's entries.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the folder that it is in.
    pub(super) fn shard(&self) -> &str {
        &self.text[..SHARD_CHARACTERS]
    }
}

/// Whether a folder of this name can hold records or principals' lists.
pub(super) fn is_shard(name: &str) -> bool {
    name.len() == SHARD_CHARACTERS && name.bytes().all(is_hex)
}

/// So many random bytes in hexadecimal, for a name that no other file has.
pub(super) fn random_name<const BYTES: usize>() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(hex(&bytes))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_hexadecimal() {
        let name = RecordName::of(&SessionId::from_bytes([0xAB; 16]));
        assert_eq!(name.as_str(), "abababababababababababababababab");
        assert_eq!(name.shard(), "aba");
        assert_eq!(RecordName::parse(name.as_str()), Some(name));
    }

    #[test]
    fn a_principal_has_a_longer_name() {
        let name = PrincipalName::of(&PrincipalKey::new("shop.customer", b"7"));
        assert_eq!(name.as_str().len(), 64);
        assert_eq!(name.shard(), &name.as_str()[..3]);
        assert_eq!(PrincipalName::parse(name.as_str()), Some(name.clone()));
        assert_eq!(RecordName::parse(name.as_str()), None);
        assert_eq!(PrincipalName::parse("lock"), None);
    }

    #[test]
    fn other_names_are_not_records() {
        for name in [
            "",
            "ab",
            "ABABABABABABABABABABABABABABABAB",
            "../../../../../../etc/passwd/..",
        ] {
            assert_eq!(RecordName::parse(name), None, "{name}");
        }
        assert!(is_shard("0af"));
        assert!(!is_shard("tmp") && !is_shard("0AF") && !is_shard("0a"));
    }
}
