//! No lint looks into the expansion, whatever the struct is like: all of rustc's that are off by default,
//! and clippy's that are for restricting a program.
//!
//! Lints that fire on the structs themselves are allowed here, and nothing else is.

#![deny(
    warnings,
    absolute_paths_not_starting_with_crate,
    deprecated_in_future,
    deprecated_safe,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    ffi_unwind_calls,
    if_let_rescope,
    impl_trait_redundant_captures,
    keyword_idents,
    let_underscore,
    macro_use_extern_crate,
    meta_variable_misuse,
    missing_debug_implementations,
    missing_docs,
    missing_unsafe_on_extern,
    nonstandard_style,
    redundant_imports,
    redundant_lifetimes,
    refining_impl_trait,
    rust_2018_compatibility,
    rust_2018_idioms,
    single_use_lifetimes,
    tail_expr_drop_order,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unnameable_types,
    unreachable_pub,
    unsafe_code,
    unused,
    unused_extern_crates,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction
)]
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::arbitrary_source_item_ordering,
    clippy::blanket_clippy_restriction_lints,
    clippy::doc_paragraphs_missing_punctuation,
    clippy::empty_structs_with_brackets,
    clippy::exhaustive_structs,
    clippy::field_scoped_visibility_modifiers,
    clippy::implicit_return,
    clippy::min_ident_chars,
    clippy::missing_assert_message,
    clippy::missing_const_for_fn,
    clippy::missing_docs_in_private_items,
    clippy::missing_inline_in_public_items,
    clippy::must_use_candidate,
    clippy::non_minimal_cfg,
    clippy::partial_pub_fields,
    clippy::pub_with_shorthand,
    clippy::pub_without_shorthand,
    clippy::redundant_pub_crate,
    clippy::shadow_reuse,
    clippy::single_call_fn,
    reason = "the structs and this test itself"
)]

use serde::{Deserialize, Serialize};
use session_runtime::{Postcard, Session, SessionSchema};

/// Old type.
#[derive(Serialize, Deserialize, Debug, Default)]
#[deprecated(note = "old")]
pub struct OldType(u8);

/// Plain.
#[derive(Session, Debug)]
pub struct Plain {
    /// a
    pub a: u32,
    /// b
    pub b: Option<String>,
    c: Vec<u8>,
}

/// Deprecated.
#[derive(Session, Debug)]
#[deprecated(note = "old")]
pub struct DeprecatedSchema {
    /// a
    pub a: u32,
    /// b
    pub b: Option<String>,
    #[session(skip)]
    c: u8,
}

/// Allowed as builtin derives want it.
#[derive(Session, Debug)]
#[allow(deprecated)]
pub struct WithOldType {
    /// a
    pub a: OldType,
    /// b
    pub b: Option<OldType>,
    /// c
    pub c: Vec<OldType>,
    /// d
    #[session(skip)]
    pub d: OldType,
}

/// Allowed at fields.
#[derive(Session, Debug)]
pub struct WithOldTypeField {
    /// a
    #[allow(deprecated)]
    pub a: OldType,
    /// b
    #[allow(deprecated)]
    #[session(codec = Postcard, default = OldType(1))]
    pub b: OldType,
    /// c
    #[allow(deprecated)]
    #[session(skip)]
    pub c: OldType,
}

/// Deprecated fields.
#[derive(Session, Debug)]
pub struct DeprecatedFields {
    /// a
    #[deprecated]
    pub a: u32,
    /// b
    #[deprecated(note = "old")]
    #[session(ttl = "5m", renew = "read")]
    pub b: Option<u32>,
    /// c
    #[deprecated]
    #[session(skip)]
    pub c: u32,
}

/// Every option.
#[derive(Session, Debug)]
#[session(name = "shop", codec = Postcard)]
pub struct Everything<T, const N: usize> {
    /// c
    #[session(principal, ttl = "30m", renew = "read", merge = "reject", codec = session_runtime::Json)]
    pub customer: Option<u64>,
    /// c
    #[session(merge = "add", codec = session_runtime::Json, default = -1)]
    pub count: i64,
    /// c
    #[session(merge = "first", rename = "x", alias = "y")]
    pub first: Option<T>,
    /// c
    #[session(sensitive, default = Vec::new())]
    pub list: Vec<[T; 2]>,
    /// n
    #[session(skip, default = [0; N])]
    pub skipped: [u8; N],
    /// index
    pub index: u8,
    /// fields
    pub fields: u8,
    r#type: u8,
    _hidden: u8,
    __very: u8,
}

/// Odd names.
#[derive(Session, Debug)]
#[allow(non_snake_case, non_camel_case_types)]
pub struct odd_Name {
    /// a
    pub camelCase: u32,
    /// b
    pub UPPER: u32,
    /// c
    pub x1_2y: u32,
}

mod private {
    use session_runtime::Session;

    #[derive(Session, Debug)]
    pub(super) struct Inner {
        pub(super) a: u8,
        pub(crate) b: Local,
    }
    #[derive(serde::Serialize, serde::Deserialize, Debug, Default)]
    pub(crate) struct Local(u8);
    #[derive(Session, Debug)]
    pub(super) struct Empty {}
}

macro_rules! made {
    ($name:ident, $field:ident, $ty:ty, $default:expr) => {
        /// Made.
        #[derive(Session, Debug)]
        pub struct $name {
            /// f
            #[session(default = $default)]
            pub $field: $ty,
            own: Option<u8>,
        }
    };
}
made!(Made, fields, u32, 1 + 2);

/// In a body.
pub fn in_a_body() -> bool {
    #[derive(Session, Debug)]
    struct Local {
        #[cfg(any())]
        gone: NoSuchType,
        #[cfg(all())]
        a: u8,
    }
    let local: Option<Local> = None;
    local.is_none_or(|local| local.a == 0)
}

/// cfg.
#[derive(Session, Debug)]
pub struct Conditional {
    /// a
    #[cfg(any())]
    pub gone: NoSuchType,
    /// b
    #[cfg(all())]
    pub a: u8,
    /// c
    #[cfg_attr(all(), session(ttl = "5m"))]
    #[cfg_attr(all(), deprecated)]
    pub b: Option<u8>,
}
/// A deprecated struct that a program still uses.
#[derive(Session, Debug)]
#[deprecated(note = "old")]
#[allow(deprecated)]
pub struct DeprecatedWithOldType<T> {
    /// a
    pub a: OldType,
    /// b
    pub b: Option<OldType>,
    /// c
    #[session(default)]
    pub c: Vec<(OldType, T)>,
    /// d
    #[session(skip)]
    pub d: OldType,
}

/// An expectation that the struct meets.
#[derive(Session, Debug)]
pub struct Expected {
    /// a
    #[expect(deprecated, reason = "until it is gone")]
    pub a: OldType,
}

fn schema<S: SessionSchema>() -> &'static str {
    S::NAME
}

#[allow(deprecated)]
pub(super) fn check() {
    assert!(in_a_body());
    let names = [
        schema::<Plain>(),
        schema::<DeprecatedSchema>(),
        schema::<WithOldType>(),
        schema::<WithOldTypeField>(),
        schema::<DeprecatedFields>(),
        schema::<Everything<u8, 3>>(),
        schema::<odd_Name>(),
        schema::<private::Inner>(),
        schema::<private::Empty>(),
        schema::<Made>(),
        schema::<Conditional>(),
        schema::<DeprecatedWithOldType<u8>>(),
        schema::<Expected>(),
    ];
    assert_eq!(names.len(), 13, "schemas");
    assert_eq!(DeprecatedSchema::A.name(), "deprecated_schema.a");
    assert_eq!(odd_Name::CAMELCASE.name(), "odd_name.camelCase");
    assert_eq!(Conditional::FIELDS.len(), 2, "fields");
}
