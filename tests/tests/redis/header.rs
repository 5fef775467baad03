//! `@`, the header field of every session, as the documentation of the layout has it, read and
//! written by the server's own commands.

use std::ops::Range;

use tests::servers::Server;

/// The value of a session's `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header(pub(super) String);

pub(super) const VERIFIER: Range<usize> = 0..22;
pub(super) const LAST_COMMIT: Range<usize> = 22..30;
pub(super) const PERSISTENT: Range<usize> = 30..31;
pub(super) const BESIDE: Range<usize> = 31..32;
pub(super) const CREATED: Range<usize> = 32..41;
pub(super) const SEEN: Range<usize> = 41..49;
pub(super) const IDLE: Range<usize> = 49..53;
pub(super) const LIFETIME: Range<usize> = 53..57;
/// Everything at a fixed position, by name.
pub(super) const PARTS: [(&str, Range<usize>); 8] = [
    ("verifier", VERIFIER),
    ("last commit", LAST_COMMIT),
    ("persistent", PERSISTENT),
    ("beside", BESIDE),
    ("created", CREATED),
    ("seen", SEEN),
    ("idle", IDLE),
    ("lifetime", LIFETIME),
];
/// Where the moment of the token begins.
pub(super) const ROTATED: usize = 57;

impl Header {
    /// That of the session under this key.
    pub(super) fn of(server: &Server, key: &str) -> Self {
        Self(server.command(&["HGET", key, "@"]))
    }

    /// One of the parts, as it is.
    pub(super) fn part(&self, part: Range<usize>) -> &str {
        &self.0[part]
    }

    /// When the session was created, in milliseconds since the Unix epoch.
    pub(super) fn created(&self) -> u64 {
        number(self.part(CREATED))
    }

    /// When the session was last seen, in milliseconds since the Unix epoch.
    pub(super) fn seen(&self) -> u64 {
        self.created() + number(self.part(SEEN))
    }

    /// When the token was made, in milliseconds since the Unix epoch.
    pub(super) fn rotated(&self) -> u64 {
        let end = self.0[ROTATED..].find('.');
        let end = end.map_or(self.0.len(), |end| ROTATED + end);
        self.created() + number(&self.0[ROTATED..end])
    }

    /// With this instead of a part.
    #[must_use]
    pub(super) fn with(&self, part: Range<usize>, text: &str) -> Self {
        let mut header = self.clone();
        header.0.replace_range(part, text);
        header
    }

    /// Of a session that was created so many milliseconds ago, and last seen so many after that.
    #[must_use]
    pub(super) fn aged(&self, age: u64, seen: u64) -> Self {
        let created = digits(self.created() - age, CREATED.len());
        self.with(CREATED, &created)
            .with(SEEN, &digits(seen, SEEN.len()))
    }

    /// Puts it in the place of the present one.
    pub(super) fn write(&self, server: &Server, key: &str) {
        server.command::<()>(&["HSET", key, "@", &self.0]);
    }
}

fn number(digits: &str) -> u64 {
    u64::from_str_radix(digits, 36).expect("digits of the base 36")
}

/// Digits of the base 36, so many of them.
pub(super) fn digits(mut number: u64, length: usize) -> String {
    let mut digits = Vec::new();
    for _ in 0..length {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    assert_eq!(number, 0, "too large for {length} digits");
    digits.into_iter().rev().map(char::from).collect()
}
