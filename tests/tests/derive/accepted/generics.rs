//! Bounds are asked of parameters that are stored, and of nothing else.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]

use std::collections::HashMap;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use session_runtime::schema::{FieldValue, Integer};
use session_runtime::{Session, SessionSchema};

#[derive(Session)]
struct Cart<K: Eq + Hash, V = u32>
where
    V: Clone,
{
    items: HashMap<K, V>,
    last: Option<K>,
}

#[derive(Session)]
struct Bytes<const N: usize, T> {
    tuple: (T, u8),
    #[session(default = [0; N].to_vec())]
    bytes: Vec<u8>,
}

#[derive(Session)]
struct Counter<T: Integer> {
    #[session(merge = "add")]
    count: T,
}

trait Shape {
    type Id;
}

struct Round;

impl Shape for Round {
    type Id = u32;
}

#[derive(Session)]
struct Projected<S: Shape> {
    short: Option<S::Id>,
    long: Vec<<S as Shape>::Id>,
    marker: PhantomData<S>,
}

#[derive(Serialize, Deserialize)]
struct NoDefault(u8);

struct NotStorable;

/// `Vec<T>` has a default whatever `T` is, and what is skipped need not be stored.
#[derive(Session)]
struct Loose<T, U> {
    list: Vec<T>,
    #[session(skip)]
    skipped: Option<U>,
}

#[derive(Serialize, Deserialize, Default)]
struct Wrapper<T>(T);

#[derive(Session)]
struct Wrapped<T> {
    wrapped: Wrapper<T>,
}

fn schema<S: SessionSchema>() {}

fn by_bound<T: FieldValue + Default + Send + 'static>() {
    schema::<Wrapped<T>>();
}

pub(super) fn check() {
    schema::<Cart<String>>();
    schema::<Bytes<3, u8>>();
    schema::<Counter<i64>>();
    schema::<Projected<Round>>();
    schema::<Loose<NoDefault, NotStorable>>();
    by_bound::<u8>();
    assert_eq!(Cart::<String, u8>::LAST.name(), "cart.last");
    assert_eq!(Bytes::<3, u8>::BYTES.name(), "bytes.bytes");
}
