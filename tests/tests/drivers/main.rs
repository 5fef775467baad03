//! What must hold whatever keeps the sessions, also while programs change.

mod every_driver;
mod evolution;
mod evolution_redis;
mod late_writes;
mod memory_store;
mod rollout;
