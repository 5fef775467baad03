//! Every example program, as its visitors meet it: over http.

mod program;
mod visitor;

mod counter;
mod shop;
