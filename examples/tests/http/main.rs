//! Every example program, as its visitors meet it: over http.

mod program;
mod visitor;

mod cart;
mod cluster;
mod counter;
mod csrf;
mod custom_store;
mod login;
mod oauth_state;
mod shop;
mod step_up;
mod stores;
mod two_apps;
mod websocket;
mod wizard;
