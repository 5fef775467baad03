//! A digest of a value as serde shows it: equal for equal values, without a codec in between.
//!
//! Floats count by their bits, and `None`, `Some` and `()` are three things. The order of a map's
//! entries and of a sequence's elements does not count, because a `HashMap` and a `HashSet` have
//! another one each time they are decoded; codecs keep the order of those that have one.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::ser::{self, Serialize, Serializer};

/// The digest; `None` where the value cannot be shown.
pub(super) fn digest<T: Serialize + ?Sized>(value: &T) -> Option<u64> {
    value.serialize(Digest).ok()
}

/// The kinds of things that serde shows.
#[derive(Hash)]
enum Kind {
    Signed,
    Unsigned,
    Float,
    Other,
    Bytes,
    Absent,
    Present,
    Unit,
    Variant,
    Sequence,
    Tuple,
    Map,
    Struct,
}

/// `DefaultHasher::new()` has fixed keys, so digests can be compared within a process.
fn of(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

struct Digest;

/// Parts whose order does not count.
struct Unordered {
    kind: Kind,
    sum: u64,
    count: u64,
    /// The digest of a key whose value is still to come.
    key: u64,
}

impl Unordered {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            sum: 0,
            count: 0,
            key: 0,
        }
    }

    fn add(&mut self, part: u64) {
        // Hashed again, so that parts do not cancel each other out.
        self.sum = self.sum.wrapping_add(of(part));
        self.count += 1;
    }

    fn finish(self) -> u64 {
        of((self.kind, self.sum, self.count))
    }
}

/// Parts in their order.
struct Ordered(DefaultHasher);

impl Ordered {
    fn new(kind: Kind, variant: Option<&'static str>) -> Self {
        let mut hasher = DefaultHasher::new();
        (kind, variant).hash(&mut hasher);
        Self(hasher)
    }

    fn add(&mut self, part: impl Hash) {
        part.hash(&mut self.0);
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) = $kind:ident;)*) => {$(
        fn $method(self, value: $type) -> Result<u64, fmt::Error> {
            Ok(of((Kind::$kind, size_of::<$type>(), value)))
        }
    )*};
}

impl Serializer for Digest {
    type Ok = u64;
    type Error = fmt::Error;
    type SerializeSeq = Unordered;
    type SerializeTuple = Ordered;
    type SerializeTupleStruct = Ordered;
    type SerializeTupleVariant = Ordered;
    type SerializeMap = Unordered;
    type SerializeStruct = Ordered;
    type SerializeStructVariant = Ordered;

    numbers! {
        serialize_i8(i8) = Signed;
        serialize_i16(i16) = Signed;
        serialize_i32(i32) = Signed;
        serialize_i64(i64) = Signed;
        serialize_i128(i128) = Signed;
        serialize_u8(u8) = Unsigned;
        serialize_u16(u16) = Unsigned;
        serialize_u32(u32) = Unsigned;
        serialize_u64(u64) = Unsigned;
        serialize_u128(u128) = Unsigned;
        serialize_bool(bool) = Other;
        serialize_char(char) = Other;
        serialize_str(&str) = Other;
        serialize_bytes(&[u8]) = Bytes;
    }

    fn serialize_f32(self, value: f32) -> Result<u64, fmt::Error> {
        Ok(of((Kind::Float, value.to_bits())))
    }

    fn serialize_f64(self, value: f64) -> Result<u64, fmt::Error> {
        Ok(of((Kind::Float, value.to_bits())))
    }

    fn serialize_none(self) -> Result<u64, fmt::Error> {
        Ok(of(Kind::Absent))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, fmt::Error> {
        Ok(of((Kind::Present, value.serialize(Self)?)))
    }

    fn serialize_unit(self) -> Result<u64, fmt::Error> {
        Ok(of(Kind::Unit))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, fmt::Error> {
        Ok(of(Kind::Unit))
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<u64, fmt::Error> {
        Ok(of((Kind::Variant, variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<u64, fmt::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, fmt::Error> {
        Ok(of((Kind::Variant, variant, value.serialize(self)?)))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Unordered, fmt::Error> {
        Ok(Unordered::new(Kind::Sequence))
    }

    fn serialize_tuple(self, _: usize) -> Result<Ordered, fmt::Error> {
        Ok(Ordered::new(Kind::Tuple, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Ordered, fmt::Error> {
        Ok(Ordered::new(Kind::Tuple, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Ordered, fmt::Error> {
        Ok(Ordered::new(Kind::Tuple, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Unordered, fmt::Error> {
        Ok(Unordered::new(Kind::Map))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Ordered, fmt::Error> {
        Ok(Ordered::new(Kind::Struct, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Ordered, fmt::Error> {
        Ok(Ordered::new(Kind::Struct, Some(variant)))
    }
}

impl ser::SerializeSeq for Unordered {
    type Ok = u64;
    type Error = fmt::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        self.add(value.serialize(Digest)?);
        Ok(())
    }

    fn end(self) -> Result<u64, fmt::Error> {
        Ok(self.finish())
    }
}

impl ser::SerializeMap for Unordered {
    type Ok = u64;
    type Error = fmt::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> fmt::Result {
        self.key = key.serialize(Digest)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> fmt::Result {
        self.add(of((self.key, value.serialize(Digest)?)));
        Ok(())
    }

    fn end(self) -> Result<u64, fmt::Error> {
        Ok(self.finish())
    }
}

macro_rules! ordered {
    ($($trait:ident::$method:ident($($name:ident)?);)*) => {$(
        impl ser::$trait for Ordered {
            type Ok = u64;
            type Error = fmt::Error;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> fmt::Result {
                $(self.add($name);)?
                self.add(value.serialize(Digest)?);
                Ok(())
            }

            fn end(self) -> Result<u64, fmt::Error> {
                Ok(self.0.finish())
            }
        }
    )*};
}

ordered! {
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(name);
    SerializeStructVariant::serialize_field(name);
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_has_another_digest() {
        let digests = [
            digest(&()),
            digest(&None::<u8>),
            digest(&Some(())),
            digest(&Some(None::<u8>)),
            digest(&0_u8),
            digest(&0_u16),
            digest(&0_i8),
            digest(&0.0_f64),
            digest(&-0.0_f64),
            digest(&0.0_f32),
            digest(&f64::NAN),
            digest(&f64::INFINITY),
            digest(&false),
            digest(""),
            digest("0"),
            digest(&'0'),
            digest(&[0_u8; 0]),
            digest(&[0_u8]),
            digest(&[0_u8, 0]),
            digest(&vec![0_u8; 0]),
            digest(&vec![0_u8]),
            digest(&vec![0_u8, 0]),
            digest(&vec![vec![0_u8], vec![]]),
            digest(&vec![Some(0_u8), None]),
            digest(&json!({})),
            digest(&json!({"a": 1, "b": 2})),
            digest(&json!({"a": 2, "b": 1})),
            digest(&json!({"a": 1})),
            digest(&json!({"a": 1.0})),
            digest(&json!({"a": null})),
            digest(&(1_u8, 2_u8)),
            digest(&(2_u8, 1_u8)),
        ];
        assert!(digests.iter().all(Option::is_some));
        let distinct: BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
    }

    #[test]
    fn the_order_of_maps_and_sets_does_not_count() {
        let numbers = 0..100_u32;
        let set: HashSet<_> = numbers.clone().collect();
        let same: HashSet<_> = numbers.clone().rev().collect();
        assert_eq!(digest(&set), digest(&same));
        let map: HashMap<_, _> = numbers.clone().map(|n| (n, n)).collect();
        let same: HashMap<_, _> = numbers.rev().map(|n| (n, n)).collect();
        assert_eq!(digest(&map), digest(&same));
    }
}
