//! Example programs for `session-runtime`; each file or folder in `src/bin` is one.
