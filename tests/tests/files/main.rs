//! `FileStore`: its folder, its records and lists, and several processes on them.

mod cleaners;
mod disks;
mod fixture;
mod folder;
mod index;
mod index_processes;
mod processes;
mod records;
mod time;
