//! The answers of a true server.

use std::collections::BTreeMap;
use std::fmt::Write;

use session_runtime::store::Tier;

use super::Words;

/// How a server and its client understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dialect {
    /// `resp2` or `resp3`.
    pub protocol: &'static str,
    /// Whether the sessions have the native layout.
    pub is_native: bool,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::of("resp2", true),
        Self::of("resp3", true),
        Self::of("resp2", false),
        Self::of("resp3", false),
    ];

    const fn of(protocol: &'static str, is_native: bool) -> Self {
        Self {
            protocol,
            is_native,
        }
    }

    /// The layout of the sessions.
    pub fn tier(self) -> Tier {
        if self.is_native {
            Tier::Native
        } else {
            Tier::Compatible
        }
    }

    fn name(self) -> String {
        format!("{}-{}", self.protocol, self.tier())
    }
}

/// The kind of a command: its name and, for a script, what it is asked to do.
pub fn kind_of(words: &Words) -> String {
    let text = |index: usize| words.get(index).map(|word| String::from_utf8_lossy(word));
    let name = text(0).unwrap_or_default().to_uppercase();
    match name.as_str() {
        "HMGET" if key_of(words).ends_with("@probe") => "HMGET probe".to_owned(),
        // As many values are answered as are asked for.
        "HMGET" => format!("HMGET {}", words.len() - 2),
        "EVAL" | "EVALSHA" => {
            let keys: usize = text(2).and_then(|keys| keys.parse().ok()).unwrap_or(0);
            let (first, second) = (text(3 + keys), text(4 + keys));
            match (first.as_deref(), second.as_deref()) {
                (None, _) => format!("{name} probe"),
                (Some("native-2" | "compatible-2"), _) => "script layout".to_owned(),
                (Some(list @ ("list" | "remove stale")), _) => format!("script {list}"),
                (_, Some(action @ ("create" | "update" | "destroy" | "revoke"))) => {
                    format!("script {action}")
                }
                (Some(values), _) => format!("script load {values}"),
            }
        }
        _ => name,
    }
}

/// The first key of a command.
pub fn key_of(words: &Words) -> String {
    let name = words.first().map(|name| name.to_ascii_uppercase());
    let place = match name.as_deref() {
        Some(b"EVAL" | b"EVALSHA") => 3,
        _ => 1,
    };
    let key = words.get(place).map(|key| String::from_utf8_lossy(key));
    key.unwrap_or_default().into_owned()
}

/// The answers of a true server, by dialect, kind and, where it depends on it, key.
#[derive(Debug, Default)]
pub struct Answers(BTreeMap<(String, String, String), Vec<u8>>);

impl Answers {
    /// Those in the corpus.
    pub fn recorded() -> Self {
        let mut answers = Self::default();
        for line in include_str!("../../campaigns/corpus/redis.txt").lines() {
            let words: Vec<&str> = line.split('\t').collect();
            let [dialect, kind, key, bytes] = words.as_slice() else {
                continue;
            };
            let [dialect, kind, key] = [dialect, kind, key].map(|word| (*word).to_owned());
            answers.0.insert((dialect, kind, key), unescape(bytes));
        }
        answers
    }

    /// Keeps the first answer to a command, but that the script is unknown only if it stays so.
    pub fn keep(&mut self, dialect: Dialect, words: &Words, answer: &[u8]) {
        let key = (dialect.name(), kind_of(words), key_of(words));
        let kept = self.0.entry(key).or_insert_with(|| answer.to_vec());
        if kept.starts_with(b"-NOSCRIPT") {
            *kept = answer.to_vec();
        }
    }

    /// A true server's answer to this command.
    pub fn to(&self, dialect: Dialect, words: &Words) -> &[u8] {
        let key = (dialect.name(), kind_of(words), key_of(words));
        // Or one of the same kind, or to a client that speaks another dialect.
        let known = || {
            let mut kinds = self.0.iter().filter(|(known, _)| known.1 == key.1);
            let same = kinds.clone().find(|(known, _)| known.0 == key.0);
            Some(same.or_else(|| kinds.next())?.1)
        };
        let answer = self.0.get(&key).or_else(known);
        answer.unwrap_or_else(|| panic!("{key:?} is not recorded"))
    }

    /// All answers in this dialect that have to do with no key but this one.
    pub fn all(&self, dialect: Dialect, foreign: &str) -> Vec<Vec<u8>> {
        let answers = self.0.iter();
        let own = answers.filter(|((of, _, key), _)| *of == dialect.name() && key != foreign);
        own.map(|(_, answer)| answer.clone()).collect()
    }

    /// The text of the corpus.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for ((dialect, kind, key), answer) in &self.0 {
            let answer = answer.escape_ascii();
            writeln!(text, "{dialect}\t{kind}\t{key}\t{answer}").expect("a string grows");
        }
        text
    }
}

/// The bytes that `escape_ascii` made this text of.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = match byte {
            b'\\' => rest.next(),
            _ => {
                bytes.push(byte);
                continue;
            }
        };
        bytes.push(match escaped.expect("something is escaped") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'x' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits"));
                let digits = std::str::from_utf8(&digits).expect("digits are text");
                u8::from_str_radix(digits, 16).expect("digits are hexadecimal")
            }
            itself => itself,
        });
    }
    bytes
}
