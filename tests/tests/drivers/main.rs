//! Tests that every store must pass, also while programs change.

mod every_driver;
mod evolution;
mod evolution_redis;
mod late_writes;
mod memory_store;
mod rollout;
