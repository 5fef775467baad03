//! A node that lies about its Cluster: where keys are, who else there is, and everything else.
//!
//! `SESSION_FUZZ_INPUTS` says how many calls (fifty inputs are one), `SESSION_FUZZ_SEED` which lies.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use session_runtime::RedisStore;
use tests::fuzz;
use tests::lying::{
    Answers, CALLS, Dialect, GOSSIP, LyingServer, PREFIX, Reply, Sessions, Words, call, kind_of,
    lie,
};

const CONNECT: Duration = Duration::from_millis(200);
const COMMAND: Duration = Duration::from_millis(50);
/// Both for each of the steps of a commit, and what a busy machine needs on top.
const LONGEST_CALL: Duration = Duration::from_millis(4 * 250 + 2_000);

/// Of the compatible layout, which asks no node whether it knows more.
const DIALECT: Dialect = Dialect::ALL[3];

/// A true node's answers to commands that only nodes get, and to steps of a list.
fn truth(answers: &Answers, words: &Words, port: u16) -> Vec<u8> {
    match kind_of(words).as_str() {
        "CLUSTER" => {
            let node = format!("*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$4\r\nnode\r\n");
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n{node}").into_bytes()
        }
        "PING" => b"+PONG\r\n".to_vec(),
        "READONLY" | "ASKING" => b"+OK\r\n".to_vec(),
        _ if words.iter().any(|word| word == b"add") => b"$5\r\nadded\r\n".to_vec(),
        _ if words.iter().any(|word| word == b"confirm") => b"$6\r\nlisted\r\n".to_vec(),
        _ => answers.to(DIALECT, words).to_vec(),
    }
}

/// Sends the client elsewhere.
fn redirection(random: &mut Rng, port: u16) -> Vec<u8> {
    let places = [
        format!("MOVED 3999 127.0.0.1:{port}"),
        format!("ASK 3999 127.0.0.1:{port}"),
        "MOVED 3999 127.0.0.1:1".to_owned(),
        "MOVED 99999 :0".to_owned(),
        "MOVED".to_owned(),
        "ASK -1 [::1]:99999".to_owned(),
        format!("MOVED {GOSSIP}"),
        "TRYAGAIN".to_owned(),
        format!("CLUSTERDOWN {GOSSIP}"),
    ];
    format!("-{}\r\n", places[random.usize(0..places.len())]).into_bytes()
}

/// Slots that overlap, are missing, are beyond the last one, or belong to no node.
fn slots(random: &mut Rng, port: u16) -> Vec<u8> {
    let count = random.usize(0..6);
    let mut bytes = format!("*{count}\r\n").into_bytes();
    for _ in 0..count {
        let numbers = [
            "0",
            "16383",
            "16384",
            "-1",
            "65536",
            "9223372036854775807",
            "100",
        ];
        let mut number = || numbers[random.usize(0..numbers.len())];
        let (first, last) = (number(), number());
        let hosts = [
            "$9\r\n127.0.0.1",
            "$-1",
            "$0\r\n",
            "$1\r\n?",
            "$3\r\n::1",
            ":7",
            "$2\r\n\u{1}\u{2}",
        ];
        let host = hosts[random.usize(0..hosts.len())];
        let port = [
            port.to_string(),
            "0".to_owned(),
            "-1".to_owned(),
            "70000".to_owned(),
        ];
        let port = &port[random.usize(0..port.len())];
        let nodes = random.usize(0..3);
        bytes.extend(format!("*{}\r\n:{first}\r\n:{last}\r\n", 2 + nodes).bytes());
        for _ in 0..nodes {
            bytes.extend(format!("*2\r\n{host}\r\n:{port}\r\n").bytes());
        }
    }
    bytes
}

#[tokio::test]
async fn whatever_a_node_says_about_its_cluster() {
    let panics = fuzz::count_panics();
    let mut random = fuzz::random();
    let (port, is_lying) = (
        Arc::new(AtomicU16::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let answers = Answers::recorded();
    let (own, all) = (answers.all(DIALECT, ""), answers.all(DIALECT, ""));
    let liar = Mutex::new(random.fork());
    let (its_port, lies) = (Arc::clone(&port), Arc::clone(&is_lying));
    let server = LyingServer::start(move |words| {
        let port = its_port.load(Ordering::SeqCst);
        let truth = truth(&answers, words, port);
        let mut random = liar.lock().unwrap();
        if !lies.load(Ordering::SeqCst) || random.u8(0..10) < 6 {
            return Reply::Send(truth);
        }
        match (kind_of(words).as_str(), random.u8(0..3)) {
            ("CLUSTER", 0 | 1) => Reply::Send(slots(&mut random, port)),
            (_, 0) => Reply::Send(redirection(&mut random, port)),
            _ => lie(&mut random, words, &truth, &own, &all),
        }
    });
    port.store(server.port(), Ordering::SeqCst);

    let sessions = Sessions::new();
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    let calls = fuzz::inputs(3_000) / 50;
    for round in 0..calls.div_ceil(10) {
        is_lying.store(round % 3 == 2, Ordering::SeqCst);
        let began = Instant::now();
        let store = RedisStore::builder()
            .cluster([server.url(DIALECT)])
            .prefix(PREFIX)
            .connect_deadline(CONNECT)
            .command_deadline(COMMAND)
            .connect();
        let store = store.await;
        assert!(began.elapsed() < LONGEST_CALL, "{:?}", began.elapsed());
        let store = match store {
            Ok(store) => store,
            Err(error) => {
                assert!(!format!("{error:?} {error}").contains(GOSSIP), "{error:?}");
                *heard.entry("no connection").or_default() += 1;
                continue;
            }
        };
        is_lying.store(true, Ordering::SeqCst);
        for _ in 0..10 {
            let visitor = &sessions.0[random.usize(0..2)];
            let number = random.usize(0..CALLS);
            let began = Instant::now();
            let answer = call(&store, number, visitor).await;
            assert!(
                began.elapsed() < LONGEST_CALL,
                "call {number}: {:?}",
                began.elapsed()
            );
            let text = format!("{answer:?}");
            assert!(
                !text.contains(GOSSIP) && !text.contains("treasure"),
                "{text}"
            );
            *heard
                .entry(if answer.is_ok() {
                    "an answer"
                } else {
                    "an error"
                })
                .or_default() += 1;
        }
    }
    println!("{heard:?}");
    assert_eq!(panics.load(Ordering::SeqCst), 0, "something panicked");
    assert!(
        heard.contains_key("an answer") && heard.contains_key("an error"),
        "{heard:?}"
    );
}
