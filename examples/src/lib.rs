//! Example programs; each binary in `src/bin` is one.
