//! Every option, alone and with others that it goes with.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use session_runtime::schema::Field;
use session_runtime::{Json, Postcard, Session};

#[derive(Serialize, Deserialize, Default, Clone)]
struct Otp(String);

#[derive(Serialize, Deserialize)]
enum Theme {
    Light,
    Dark,
}

#[derive(Default)]
struct NotStorable;

struct NoDefault;

#[derive(Session)]
#[session(name = "shop", crate = ::session_runtime, codec = Postcard)]
struct Shop {
    #[session(principal, ttl = "30m", renew = "read", merge = "reject")]
    customer: Option<u64>,
    #[session(ttl = "5m", renew = "write", encrypt, sensitive)]
    otp: Option<Otp>,
    #[session(ttl = "10m", renew = "never", merge = "add", codec = Json)]
    failed: u32,
    #[session(codec = session_runtime::Json, merge = "max", default = -1)]
    best: i64,
    #[session(codec = Json, merge = "min", default = u8::MAX)]
    least: u8,
    #[session(merge = "first")]
    landed_on: Option<String>,
    #[session(merge = "replace", sensitive)]
    notes: std::option::Option<String>,
    #[session(default = Theme::Light)]
    theme: Theme,
    #[session(default = Some(Theme::Dark))]
    night_theme: Option<Theme>,
    #[session(default, rename = "basket", alias = "cart", alias = "v1.cart")]
    cart: BTreeMap<String, u32>,
    #[session(skip)]
    scratch: NotStorable,
    #[session(skip, default = NoDefault)]
    #[session()]
    more_scratch: NoDefault,
}

#[derive(Session)]
struct Empty {}

pub(super) fn check() {
    let _: Field<Shop, Option<Otp>, Otp> = Shop::OTP;
    let _: Field<Shop, Option<String>, String> = Shop::NOTES;
    let _: Field<Shop, u32> = Shop::FAILED;
    let _: Field<Shop, Option<Theme>> = Shop::NIGHT_THEME;
}
