//! One check of the suite.

use std::sync::Arc;

use futures_core::future::BoxFuture;

use super::{Harness, Kit};

/// One check of the suite.
pub(super) struct Check {
    /// The module that it stands in.
    pub(super) part: &'static str,
    /// The statement that holds if the check passes.
    pub(super) name: &'static str,
    pub(super) contract: Contract,
    pub(super) body: fn(Kit) -> BoxFuture<'static, ()>,
}

impl Check {
    pub(super) async fn run(&self, harness: &Arc<dyn Harness>) {
        eprintln!("checking {}::{}", self.part, self.name);
        (self.body)(Kit::new(harness.clone(), self.contract).await).await;
    }
}

/// The part of the contract that a check is about, as a panic names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contract(pub(super) &'static str);

impl Contract {
    #[track_caller]
    pub(super) fn broken(self, how: impl std::fmt::Display) -> ! {
        panic!("{} is broken: {how}", self.0)
    }
}
