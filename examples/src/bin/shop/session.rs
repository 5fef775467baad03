//! The schema of the shop's sessions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use session_runtime::Session;

pub(crate) type CustomerId = u32;
pub(crate) type Sku = String;

/// A one-time code.
#[derive(Serialize, Deserialize)]
pub(crate) struct Otp(pub(crate) String);

#[derive(Session)]
#[session(name = "shop")]
pub(crate) struct Shop {
    #[session(principal, ttl = "30m", renew = "read")]
    pub(crate) customer: Option<CustomerId>, // signs out after 30 minutes without a visit
    #[session(ttl = "5m", sensitive)]
    pub(crate) otp: Option<Otp>, // gone five minutes after it was written
    #[session(ttl = "10m", renew = "never", merge = "add")]
    pub(crate) failed_logins: u32, // a fixed ten-minute window, never loses a count
    pub(crate) cart: BTreeMap<Sku, u32>, // lives as long as the session
    #[session(merge = "add")]
    pub(crate) visits: u64,
    #[session(encrypt)]
    pub(crate) address: Option<String>, // unreadable in the store
}
