//! Random concurrent programs, which one order of their calls must explain.

mod planted_defects;
mod stores;
