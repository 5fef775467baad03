//! Random bytes where a visitor, a disk or a server would put them. The tests measure how much memory
//! the process takes, so this program has no others.

mod cookie;
mod files;
mod redis;
mod redis_cluster;
mod stored;
