//! What is written about the project is so.

mod front_door;
mod statements;
