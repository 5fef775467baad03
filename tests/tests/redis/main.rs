//! `RedisStore`: what it keeps, and what becomes of it when servers, wires and Clusters fail.

mod apply;
mod cluster;
mod credentials;
mod faults;
mod header;
mod http;
mod index;
mod layout;
mod messages;
mod principals;
mod refusals;
mod sentinel;
mod servers;
mod settings;
mod tls;
