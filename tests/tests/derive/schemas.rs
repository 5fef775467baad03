//! The schemas that the derive makes of structs, as far as a program can see them.
//!
//! The lints are on for this file so that clippy, which does not see the compile tests, checks an
//! expansion too.

#![deny(clippy::all, clippy::pedantic, clippy::nursery)]
#![deny(
    clippy::allow_attributes,
    clippy::default_trait_access,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use session_runtime::schema::{Field, FieldSpec, Merge, Renew};
use session_runtime::store::{IntegerRange, MergeOperation};
use session_runtime::{Json, Postcard, Session, SessionSchema};

#[derive(Serialize, Deserialize, Debug, Default)]
struct Otp(String);

#[derive(Session, Debug, Default)]
#[session(name = "shop", codec = Postcard)]
struct Shop {
    #[session(principal, ttl = "30m", renew = "read", merge = "reject")]
    customer: Option<u64>,
    #[session(ttl = "5m", encrypt)]
    otp: Option<Otp>,
    #[session(ttl = "1h 30m", renew = "never", merge = "add", codec = Json)]
    failed_logins: u32,
    #[session(rename = "basket", alias = "cart", alias = "v1.cart")]
    cart: BTreeMap<String, u32>,
    #[session(skip)]
    scratch: Vec<u8>,
    #[session(merge = "first", sensitive, default = 7)]
    lucky: i8,
    #[session(default = None)]
    explicit: Option<u32>,
}

#[derive(Session)]
struct HTTPLoginV2 {
    r#type: u8,
}

#[test]
fn a_schema_has_the_declared_fields_in_their_order() {
    let range = IntegerRange {
        min: 0,
        max: u32::MAX.into(),
        stop_at_min: true,
    };
    let minutes = |minutes: u64| minutes * 60_000;
    assert_eq!(Shop::NAME, "shop");
    assert_eq!(
        Shop::FIELDS,
        [
            FieldSpec::new("shop.customer")
                .principal()
                .ttl(minutes(30), Renew::Read)
                .merge(Merge::Reject),
            FieldSpec::new("shop.otp")
                .ttl(minutes(5), Renew::Write)
                .encrypted(),
            FieldSpec::new("shop.failed_logins")
                .ttl(minutes(90), Renew::Never)
                .merge(Merge::Integer {
                    operation: MergeOperation::Add,
                    range,
                }),
            FieldSpec::new("shop.basket").aliases(&["shop.cart", "shop.v1.cart"]),
            FieldSpec::new("shop.lucky").merge(Merge::First).sensitive(),
            FieldSpec::new("shop.explicit"),
        ]
    );
    assert_eq!(Shop::FIELDS[0].ttl, Some(Duration::from_secs(1800)));
    assert!(Shop::FIELDS[1].sensitive, "what is sealed is not shown");
}

#[test]
fn the_default_name_is_the_structs_in_snake_case() {
    assert_eq!(HTTPLoginV2::NAME, "http_login_v2");
    assert_eq!(HTTPLoginV2::TYPE.name(), "http_login_v2.type");
}

#[test]
fn handles_name_their_fields() {
    // The stored type is what is inside an `Option`, except where `None` is a value.
    let customer: Field<Shop, Option<u64>, u64> = Shop::CUSTOMER;
    let explicit: Field<Shop, Option<u32>> = Shop::EXPLICIT;
    assert_eq!(customer.name(), "shop.customer");
    assert_eq!(Shop::OTP.name(), "shop.otp");
    assert_eq!(Shop::FAILED_LOGINS.name(), "shop.failed_logins");
    assert_eq!(Shop::CART.name(), "shop.basket");
    assert_eq!(Shop::LUCKY.name(), "shop.lucky");
    assert_eq!(explicit.name(), "shop.explicit");
}

#[test]
fn a_struct_is_still_a_plain_struct() {
    let shop = Shop {
        customer: Some(7),
        ..Shop::default()
    };
    assert_eq!(
        (shop.customer, shop.failed_logins, shop.lucky),
        (Some(7), 0, 0)
    );
    assert!(shop.otp.is_none() && shop.cart.is_empty() && shop.explicit.is_none());
    assert!(shop.scratch.is_empty());
}
