//! Checks the project's documents.

mod front_door;
mod statements;
