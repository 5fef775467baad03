//! The layer over real sockets, where requests arrive and responses leave as HTTP has it: version
//! 1.1 and version 2.

mod answers;
mod cut_off;
mod layers;
mod overlaps;
mod routers;
mod stale_reads;
mod streams;
mod websockets;
mod wire;

use session_runtime::{ReadSession, Session};

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    name: String,
}

async fn write(mut session: Session<Shop>) -> String {
    session.visits += 1;
    session.visits.to_string()
}

async fn read(session: ReadSession<Shop>) -> String {
    format!("{} {}", session.visits, session.name)
}
