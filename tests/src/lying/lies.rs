//! The answers of a server that lies.

use fastrand::Rng;

use super::{Reply, Words};
use crate::fuzz;

/// In everything that the server makes up.
pub const GOSSIP: &str = "the server gossips";

/// A lie in the place of a true answer: made of that, of the answers to other commands about the
/// same session, of all others, or of nothing.
pub fn lie(
    random: &mut Rng,
    words: &Words,
    truth: &[u8],
    own: &[Vec<u8>],
    all: &[Vec<u8>],
) -> Reply {
    Reply::Send(match random.u8(0..14) {
        0..3 => {
            let mut examples = own.to_vec();
            examples.extend(vec![truth.to_vec(); 20]);
            fuzz::mutated(random, &examples)
        }
        3 => {
            let mut shape = Vec::new();
            any_value(random, 4, &mut shape);
            shape
        }
        4 => huge(random),
        5 | 6 => refusal(random, words),
        7 => {
            let half = random.usize(0..=truth.len());
            return Reply::SendAndClose(truth[..half].to_vec());
        }
        8 => [&pushes(random), truth].concat(),
        9 => nested(random),
        10 => all[random.usize(0..all.len())].clone(),
        11 => truth.repeat(2),
        12 => {
            let nil = [&b"$-1\r\n"[..], b"_\r\n", b"*-1\r\n"][random.usize(0..3)];
            // Nothing of what was asked for: mostly as many as the fields of a load.
            let fields = words.len().saturating_sub(2);
            let count = (fields + [0, 1, 1, 1, 2][random.usize(0..5)]).saturating_sub(1);
            [format!("*{count}\r\n").as_bytes(), &nil.repeat(count)].concat()
        }
        // Nothing, for as long as the client waits.
        _ => Vec::new(),
    })
}

/// A value of any shape.
fn any_value(random: &mut Rng, depth: u8, bytes: &mut Vec<u8>) {
    const SCALARS: [&str; 20] = [
        "+OK",
        "+",
        "$-1",
        "_",
        "*-1",
        ":0",
        ":-9223372036854775808",
        ":9223372036854775807",
        ":9223372036854775808",
        "#t",
        "#x",
        ",inf",
        ",nan",
        ",-1.5e308",
        "(3492890328409238509324850943850943825024385",
        "$0\r\n",
        "$4\r\n\u{7f}\u{0}\r\n",
        "=15\r\ntxt:Some string",
        "!21\r\nSYNTAX invalid syntax",
        "-",
    ];
    if depth == 0 || random.u8(0..3) == 0 {
        let scalar = SCALARS[random.usize(0..SCALARS.len())];
        bytes.extend(scalar.as_bytes());
        bytes.extend(b"\r\n");
        return;
    }
    let kind = b"*~>%|"[random.usize(0..5)];
    let count = random.usize(0..16);
    bytes.push(kind);
    bytes.extend(format!("{count}\r\n").bytes());
    let values = match kind {
        b'%' => 2 * count,
        b'|' => 2 * count + 1,
        _ => count,
    };
    for _ in 0..values {
        any_value(random, depth - 1, bytes);
    }
}

/// Announces far more than follows.
fn huge(random: &mut Rng) -> Vec<u8> {
    const LENGTHS: [&str; 6] = [
        "1000000000",
        "536870912",
        "2147483647",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999",
    ];
    let mut bytes = Vec::new();
    for _ in 0..random.usize(1..50) {
        bytes.push(b"$*%~>|=!"[random.usize(0..8)]);
        bytes.extend(LENGTHS[random.usize(0..LENGTHS.len())].bytes());
        bytes.extend(b"\r\n");
    }
    bytes.extend(vec![b'x'; random.usize(0..100_000)]);
    bytes
}

fn nested(random: &mut Rng) -> Vec<u8> {
    let open = [
        &b"*1\r\n"[..],
        b"%1\r\n:1\r\n",
        b"|1\r\n:1\r\n:1\r\n",
        b"~1\r\n",
        b"*4096\r\n",
    ];
    let depth = [90, 99, 100, 101, 5_000][random.usize(0..5)];
    let mut bytes = open[random.usize(0..open.len())].repeat(depth);
    bytes.extend(b":1\r\n");
    bytes
}

fn pushes(random: &mut Rng) -> Vec<u8> {
    const PUSHES: [&str; 5] = [
        ">2\r\n+invalidate\r\n*1\r\n$3\r\nkey\r\n",
        ">3\r\n+message\r\n+channel\r\n+the server gossips\r\n",
        ">3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n",
        ">0\r\n",
        ">1\r\n:1\r\n",
    ];
    PUSHES[random.usize(0..5)]
        .repeat(random.usize(1..200))
        .into_bytes()
}

/// An error that quotes what it should not.
fn refusal(random: &mut Rng, words: &Words) -> Vec<u8> {
    const CODES: [&str; 22] = [
        "ERR",
        "NOSCRIPT",
        "WRONGTYPE",
        "OOM",
        "NOPERM",
        "NOAUTH",
        "WRONGPASS",
        "READONLY",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "MOVED",
        "ASK",
        "TRYAGAIN",
        "CROSSSLOT",
        "BUSY",
        "NOREPLICAS",
        "MISCONF",
        "EXECABORT",
        "NOTBUSY",
        "NOSUB",
        "",
    ];
    const DETAILS: [&str; 5] = [
        "",
        "unknown command",
        "ACL failure in script",
        "The user executing the script",
        "3999 127.0.0.1:1",
    ];
    let code = CODES[random.usize(0..CODES.len())];
    let detail = DETAILS[random.usize(0..DETAILS.len())];
    let quoted: Vec<_> = words
        .iter()
        .map(|word| word.escape_ascii().to_string())
        .collect();
    let mut text = format!("{code} {detail} {GOSSIP} {}", quoted.join(" "));
    // A line is all that this kind of error may be.
    text.truncate(random.usize(0..4_000).max(40).min(text.len()));
    format!("-{text}\r\n").into_bytes()
}
