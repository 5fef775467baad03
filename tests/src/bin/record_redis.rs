//! Writes `campaigns/corpus/redis.txt`: what true servers answer to a `RedisStore`.
//!
//! `cargo run --package tests --bin record_redis > tests/campaigns/corpus/redis.txt`

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_runtime::RedisStore;
use tests::lying::{Answers, CALLS, Dialect, LyingServer, PREFIX, Reply, Sessions, Words, call};
use tests::servers::{Generation, Options, Server};

/// When a server that answers at once has said everything.
const QUIET: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() {
    let answers = Arc::new(Mutex::new(Answers::default()));
    for dialect in Dialect::ALL {
        let generation = match dialect.is_native {
            true => Generation::Valkey9,
            false => Generation::Redis7,
        };
        let server = Server::start(generation, &Options::default());
        let mut connection = TcpStream::connect(("127.0.0.1", server.port())).expect("a server");
        connection.set_read_timeout(Some(QUIET)).expect("a timeout");
        let kept = Arc::clone(&answers);
        let recording = LyingServer::start(move |words| {
            let answer = ask(&mut connection, words);
            kept.lock().expect("no panic").keep(dialect, words, &answer);
            Reply::Send(answer)
        });
        let connect = async || {
            let store = RedisStore::builder()
                .url(recording.url(dialect))
                .prefix(PREFIX)
                .connect_deadline(Duration::from_secs(60))
                .command_deadline(Duration::from_secs(60))
                .connect();
            let store = store.await.expect("a store");
            assert_eq!(store.tier(), dialect.tier());
            store
        };
        let sessions = Sessions::new();
        sessions.create(&connect().await).await;
        for number in 0..CALLS {
            for visitor in &sessions.0 {
                // A store asks for more from the second time on that it meets a label.
                let store = connect().await;
                for _ in 0..2 {
                    call(&store, number, visitor).await.expect("an answer");
                }
            }
        }
    }
    // The client of a Cluster says which library it is.
    let client_info = ["CLIENT", "SETINFO"].map(|word| word.as_bytes().to_vec());
    let mut answers = answers.lock().expect("no panic");
    for dialect in Dialect::ALL {
        answers.keep(dialect, &client_info.to_vec(), b"+OK\r\n");
    }
    print!("{}", answers.to_text());
}

fn ask(connection: &mut TcpStream, words: &Words) -> Vec<u8> {
    let mut command = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        command.extend(format!("${}\r\n", word.len()).into_bytes());
        command.extend(word);
        command.extend(b"\r\n");
    }
    connection.write_all(&command).expect("a server");
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    // Ends with an error when the time is over.
    while let Ok(read @ 1..) = connection.read(&mut buffer) {
        answer.extend_from_slice(&buffer[..read]);
    }
    answer
}
