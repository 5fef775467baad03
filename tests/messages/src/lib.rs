//! The tests are in `tests/messages.rs`. `trybuild` needs a package around them.
