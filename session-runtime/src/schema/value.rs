//! Which types a field may have.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::IntegerRange;

/// A type that a session can store: anything with serde's `Serialize` and `DeserializeOwned` that
/// borrows nothing.
///
/// A value is written only if its codec gives it back: what is encoded is decoded again and compared,
/// as serde shows both. So a value whose encoding depends on the moment, such as a time that is left,
/// cannot be stored; store the end instead.
#[diagnostic::on_unimplemented(
    message = "a session cannot store `{Self}`",
    label = "not storable in a session",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it and for the types inside it, or mark the field `#[session(skip)]`"
)]
pub trait FieldValue: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> FieldValue for T {}

/// An integer that a store can calculate with: what `merge = "add"`, `"max"` and `"min"` need.
///
/// `u64`, `u128` and `i128` are left out where they exceed what stores calculate with exactly:
/// `u64` is included up to `i64::MAX`; beyond it a commit fails.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integer that sessions can merge",
    label = "not an integer",
    note = "`add`, `max` and `min` work on `i8` to `i64`, `u8` to `u64`, `isize` and `usize`"
)]
pub trait Integer: sealed::Sealed + Copy {
    /// The results that fit the type and a store's arithmetic.
    const RANGE: IntegerRange;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ty: $min:expr, $max:expr, $unsigned:expr;)*) => {$(
        impl sealed::Sealed for $type {}

        #[diagnostic::do_not_recommend]
        impl Integer for $type {
            const RANGE: IntegerRange = IntegerRange {
                min: $min,
                max: $max,
                stop_at_min: $unsigned,
            };
        }
    )*};
}

integers! {
    i8: i8::MIN as i64, i8::MAX as i64, false;
    i16: i16::MIN as i64, i16::MAX as i64, false;
    i32: i32::MIN as i64, i32::MAX as i64, false;
    i64: i64::MIN, i64::MAX, false;
    isize: isize::MIN as i64, isize::MAX as i64, false;
    u8: 0, u8::MAX as i64, true;
    u16: 0, u16::MAX as i64, true;
    u32: 0, u32::MAX as i64, true;
    u64: 0, i64::MAX, true;
    usize: 0, if usize::BITS < 64 { usize::MAX as i64 } else { i64::MAX }, true;
}
