//! The schema of a session, for code that is generic over schemas and for authors of codecs.
//!
//! It is also what the output of `#[derive(Session)]` names. Applications need the derive and
//! [`SessionSchema`] only, which the crate's root has too.

mod derived;
mod digest;
mod exact;
mod field;
mod reader;
mod value;
mod writer;

use std::time::Duration;

#[doc(hidden)]
pub use self::derived::{FieldDefault, Storable, UsableCodec};
pub use self::field::Field;
#[doc(hidden)]
pub use self::reader::FieldReader;
pub use self::value::{FieldValue, Integer};
#[doc(hidden)]
pub use self::writer::FieldWriter;
pub(crate) use self::writer::{Encoded, Slot};
pub use crate::codec::{Codec, CodecError, Json};
#[doc(hidden)]
pub use crate::store::MergeOperation;
use crate::store::{FieldTtl, IntegerRange};

/// A struct whose fields live in a session. Implemented by `#[derive(Session)]`.
///
/// The methods are called by this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session schema",
    label = "not a session schema",
    note = "add `#[derive(Session)]` to `{Self}`"
)]
pub trait SessionSchema: Sized + Send + 'static {
    /// The schema's name: the first part of its fields' stored names.
    const NAME: &'static str;

    /// The stored fields, in the order of their declaration. Skipped fields are not among them.
    const FIELDS: &'static [FieldSpec];

    /// The struct with what the store holds, defaults where it holds nothing.
    #[doc(hidden)]
    fn read(fields: &mut FieldReader<'_>) -> Self;

    /// Reads one field of [`FIELDS`](Self::FIELDS) again.
    #[doc(hidden)]
    fn read_field(&mut self, index: usize, fields: &mut FieldReader<'_>);

    /// Encodes every field, in the order of [`FIELDS`](Self::FIELDS).
    #[doc(hidden)]
    fn write(&self, fields: &mut FieldWriter<'_>);
}

/// The description of one field of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldSpec {
    /// The stored name, `<schema>.<field>`.
    pub name: &'static str,
    /// Older stored names that are still read, the first one that is present.
    pub aliases: &'static [&'static str],
    /// How long the field lives; `None` for as long as the session.
    pub ttl: Option<Duration>,
    /// The event that restarts `ttl`.
    pub renew: Renew,
    /// How concurrent changes are combined.
    pub merge: Merge,
    /// Whether a change of the field rotates the token.
    pub principal: bool,
    /// Whether the value is sealed in the store.
    pub encrypted: bool,
    /// Whether `Debug` of a session hides the value.
    pub sensitive: bool,
}

impl FieldSpec {
    /// A field without options.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            aliases: &[],
            ttl: None,
            renew: Renew::Write,
            merge: Merge::Replace,
            principal: false,
            encrypted: false,
            sensitive: false,
        }
    }

    /// With older names.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// With a time to live, in milliseconds.
    #[must_use]
    pub const fn ttl(mut self, millis: u64, renew: Renew) -> Self {
        self.ttl = Some(Duration::from_millis(millis));
        self.renew = renew;
        self
    }

    /// With declared merging.
    #[must_use]
    pub const fn merge(mut self, merge: Merge) -> Self {
        self.merge = merge;
        self
    }

    /// As the field that says whose session it is.
    #[must_use]
    pub const fn principal(mut self) -> Self {
        self.principal = true;
        self
    }

    /// Sealed in the store, and hidden in `Debug`.
    #[must_use]
    pub const fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self.sensitive = true;
        self
    }

    /// Hidden in `Debug`.
    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The integers that a merged field can hold.
    pub(crate) fn range(&self) -> IntegerRange {
        match self.merge {
            Merge::Integer { range, .. } => range,
            _ => IntegerRange {
                min: i64::MIN,
                max: i64::MAX,
                stop_at_min: false,
            },
        }
    }

    /// The time to live of a write.
    pub(crate) fn write_ttl(&self) -> Option<FieldTtl> {
        self.ttl.map(|duration| FieldTtl {
            duration,
            restart: self.renew != Renew::Never,
        })
    }
}

/// The event that restarts a field's time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renew {
    /// A write of the field.
    Write,
    /// A write of the field, and a read of the session.
    Read,
    /// Nothing after the first write.
    Never,
}

/// How changes of one field by concurrent requests are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// The last commit wins.
    Replace,
    /// The integer is combined with the stored one.
    Integer {
        /// How.
        operation: MergeOperation,
        /// The range of the field's type.
        range: IntegerRange,
    },
    /// The first commit wins; later ones are ignored.
    First,
    /// A commit fails when the field changed since it was loaded.
    Reject,
}
