//! The locks and counters of the store: the standard library's, or in `tests/campaigns/run/shuttle` those of a
//! scheduler that decides who goes next wherever one of them is used.

#[cfg(all(test, shuttle))]
pub(super) use shuttle::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicUsize,
};
#[cfg(not(all(test, shuttle)))]
pub(super) use std::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::AtomicUsize,
};
