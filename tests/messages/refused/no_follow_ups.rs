//! A mistake in the struct is the only thing reported, however the struct is used.

use session_runtime::schema::Field;
use session_runtime::{Session, SessionSchema};

#[derive(Session)]
struct Shop<T: Clone> {
    #[session(ttl = "5 minuts")]
    otp: Option<T>,
    visits: u32,
}

fn schema<S: SessionSchema>() -> &'static str {
    S::NAME
}

fn main() {
    let _: Field<Shop<String>, Option<String>, String> = Shop::<String>::OTP;
    let _ = Shop::<u8>::VISITS.name();
    schema::<Shop<u8>>();
}
