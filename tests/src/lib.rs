//! The stores, servers and visitors that the integration tests share.

pub mod browser;
pub mod clock;
pub mod counting;
pub mod cutting;
pub mod defective;
pub mod drivers;
pub mod events;
pub mod faulty;
pub mod fuzz;
pub mod gate;
pub mod lying;
pub mod on_servers;
pub mod orders;
pub mod proxy;
pub mod remote;
pub mod secrets;
pub mod servers;
pub mod sessions;
pub mod stepped;
pub mod store_visitor;
pub mod visitor;
pub mod witness;
