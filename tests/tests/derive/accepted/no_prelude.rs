//! The expansion names everything in full, and looks nothing up where it stands.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]
#![no_implicit_prelude]

#[derive(::session_runtime::Session)]
#[session(name = "shop")]
struct Shop {
    #[session(principal, ttl = "30m", renew = "read")]
    customer: ::core::option::Option<u64>,
    #[session(merge = "add", ttl = "10m", renew = "never", alias = "failures")]
    failed: u32,
    #[session(default = 7, codec = ::session_runtime::Postcard)]
    lucky: u8,
    #[session(skip)]
    scratch: ::std::string::String,
}

mod shadowed {
    //! Names that an expansion might trip over.

    #![allow(dead_code, non_camel_case_types)]

    struct Option;
    struct Some;
    struct None;
    struct Default;
    struct Send;
    struct Field;
    struct Json;
    struct str;
    struct usize;
    mod core {}
    mod std {}
    mod session_runtime {}

    #[derive(::session_runtime::Session)]
    pub struct Shop<T> {
        #[session(merge = "max")]
        best: u32,
        note: ::core::option::Option<T>,
        pub fields: u8,
        #[session(default = 3)]
        index: u8,
        name: u8,
    }
}

pub(super) fn check() {
    ::std::assert_eq!(Shop::FAILED.name(), "shop.failed");
    ::std::assert_eq!(shadowed::Shop::<u8>::FIELDS.name(), "shop.fields");
}
