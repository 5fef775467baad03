//! The storage tier.

use std::fmt;

/// The storage tier: who removes a field whose time has come.
///
/// It is a property of the data: the first program that connects records it, and all others keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// The server, also while no program runs: Redis 8.0 and Valkey 9.0, and later ones.
    Native,
    /// The next commit of the session; no load shows it until then. The deadline is kept in the
    /// value. Works on Redis 6.2 and Valkey 7, and later ones, among them Redis 7.4, which can
    /// expire fields but cannot write a value together with its deadline.
    Compatible,
}

impl Tier {
    pub(super) const ALL: [Self; 2] = [Self::Native, Self::Compatible];

    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Compatible => "compatible",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
