//! The values that a request sees and saves, alone or beside others, on stores in memory.

mod after_response;
mod commit;
mod events;
mod faults;
mod guards;
mod handles;
mod pairs;
mod rotate_every;
mod round_trips;
mod time;
mod upkeep_refused;
mod walk;
