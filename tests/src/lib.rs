//! What the integration tests share.

pub mod browser;
pub mod clock;
pub mod counting;
pub mod events;
pub mod faulty;
pub mod gate;
pub mod proxy;
pub mod servers;
pub mod store_visitor;
pub mod visitor;
