//! The layer around a router: its settings, its cookies and keys, and what it makes of HTTP.

mod config;
mod cookie;
mod http;
mod keys;
mod plain_http;
mod router_mistakes;
mod settings;
