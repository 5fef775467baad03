//! Options that do not exist, or not there. All are reported, each at its name.

use session_runtime::Session;

#[derive(Session)]
#[session(nmae = "shop", colour = "red", ttl = "5m")]
struct Shop {
    #[session(tll = "5m", name = "otp", crate = somewhere)]
    otp: Option<String>,
    #[session(senstive, rename_all = "camelCase", my::option = 3)]
    notes: Option<String>,
    #[session(merge = "ad", renew = "reads", ttl = "1h")]
    visits: u32,
    #[session(merge = "concatenate")]
    log: String,
}

fn main() {}
