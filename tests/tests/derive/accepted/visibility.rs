//! A handle can be used where its field can.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]

mod shop {
    use session_runtime::Session;

    #[derive(Session)]
    pub struct Shop {
        pub everywhere: u32,
        pub(crate) in_crate: u32,
        pub(super) above: u32,
        pub(in crate::accepted::visibility::shop) here: u32,
        private: u32,
    }

    pub fn names() -> [&'static str; 2] {
        [Shop::HERE.name(), Shop::PRIVATE.name()]
    }
}

use shop::Shop;

pub(super) fn check() {
    let names = [
        Shop::EVERYWHERE.name(),
        Shop::IN_CRATE.name(),
        Shop::ABOVE.name(),
    ];
    assert_eq!(names, ["shop.everywhere", "shop.in_crate", "shop.above"]);
    assert_eq!(shop::names(), ["shop.here", "shop.private"]);
}
