//! What the integration tests share.

pub mod proxy;
pub mod servers;
pub mod visitor;
