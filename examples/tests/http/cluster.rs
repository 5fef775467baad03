use std::time::{Duration, Instant};

use tests::servers::{Cluster, Server, available};

use crate::program::{PATIENCE, Program, wait_for};
use crate::visitor::{Answer, Visitor};

const CLUSTER: &str = env!("CARGO_BIN_EXE_cluster");

/// The longest time that a session may cost a request: connecting, the command, and slack for a
/// busy machine.
const LONGEST: Duration = Duration::from_millis(1250 + 1750);

const COME_BACK: &str = "welcome, please come back for your cart in a minute\n";

fn start(cluster: &Cluster) -> Program {
    let nodes = cluster.urls();
    let nodes = nodes.iter().flat_map(|url| ["--node", url]);
    let arguments: Vec<_> = ["--listen", "127.0.0.1:0"]
        .into_iter()
        .chain(nodes)
        .collect();
    Program::start_with(CLUSTER, &arguments)
}

/// Visitors with their first visit behind them, at least two of each: whose sessions are on the
/// first node, and the others.
fn visitors<'a>(program: &'a Program, cluster: &Cluster) -> [Vec<Visitor<'a>>; 2] {
    let sessions_there = || cluster.nodes[0].command::<u64>(&["DBSIZE"]);
    let mut visitors = [vec![], vec![]];
    while visitors.iter().any(|some| some.len() < 2) {
        let before = sessions_there();
        let visitor = Visitor::of(program);
        // On a busy machine a living node can miss a deadline too.
        if visitor.get("/").body != COME_BACK {
            let place = usize::from(sessions_there() == before);
            visitors[place].push(visitor);
        }
    }
    visitors
}

fn in_time(ask: impl FnOnce() -> Answer) -> Answer {
    let start = Instant::now();
    let answer = ask();
    assert!(start.elapsed() < LONGEST, "{:?}", start.elapsed());
    answer
}

/// How long a node may be silent before the others replace it.
fn set_patience(nodes: &[Server], patience: Duration) {
    for node in nodes {
        let milliseconds = patience.as_millis().to_string();
        let _: String = node.command(&["CONFIG", "SET", "cluster-node-timeout", &milliseconds]);
    }
}

#[test]
fn a_node_that_dies_concerns_only_its_own_visitors() {
    for generation in available() {
        let mut cluster = Cluster::start(generation, 3, 1);
        let program = start(&cluster);
        let [concerned, others] = visitors(&program, &cluster);
        let cookies: Vec<_> = concerned.iter().map(Visitor::cookie).collect();
        wait_for("the replica to have all", || {
            let [master, replica] =
                [0, 3].map(|node| cluster.nodes[node].command::<u64>(&["DBSIZE"]));
            (master == replica).then_some(())
        });

        // No replica takes over before the test wants it.
        set_patience(&cluster.nodes, PATIENCE);
        cluster.nodes[0].kill();
        for visitor in &concerned {
            let answer = in_time(|| visitor.get("/"));
            assert_eq!((answer.status, &*answer.body), (200, COME_BACK));
            assert_eq!(answer.set_cookie, [""; 0]);
            let answer = in_time(|| visitor.post("/cart/tea", &[]));
            assert_eq!((answer.status, answer.set_cookie), (503, vec![]));
        }
        for visitor in &others {
            let next = wait_for("a visit to count", || {
                let answer = in_time(|| visitor.get("/"));
                (answer.body != COME_BACK).then_some(answer.body)
            });
            assert!(next.starts_with("welcome, this is visit "), "{next}");
        }

        set_patience(&cluster.nodes[1..], Duration::from_secs(2));
        let start = Instant::now();
        for visitor in concerned.iter().chain(&others) {
            wait_for("the replica to take over", || {
                (in_time(|| visitor.post("/cart/pot", &[])).status == 200).then_some(())
            });
            assert!(in_time(|| visitor.get("/cart")).says("pot"));
        }
        let took = start.elapsed();
        println!("{}: all are back after {took:?}", generation.name());
        let kept: Vec<_> = concerned.iter().map(Visitor::cookie).collect();
        assert_eq!(kept, cookies, "no visitor got another one's session");
    }
}

#[test]
fn says_which_arguments_it_needs() {
    let output = crate::program::run(CLUSTER, &[]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--node <URL>"), "{said}");
}
