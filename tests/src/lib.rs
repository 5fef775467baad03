//! What the integration tests share.

pub mod browser;
pub mod counting;
pub mod faulty;
