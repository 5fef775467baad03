use fastrand::Rng;

use super::*;
use crate::token::SessionId;

const SECOND: u64 = 1_773_480_413_000;

fn name() -> RecordName {
    RecordName::of(&SessionId::from_bytes([0x3f; 16]))
}

/// A generator whose seed is in the output of a test that fails.
fn random() -> Rng {
    let seed = match std::env::var("SESSION_TEST_SEED") {
        Ok(seed) => seed.parse().expect("`SESSION_TEST_SEED` is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("SESSION_TEST_SEED={seed}");
    Rng::with_seed(seed)
}

fn field(value: &[u8], deadline: Option<u64>) -> StoredField {
    StoredField {
        value: Bytes::copy_from_slice(value),
        deadline: deadline.map(Timestamp::from_millis),
    }
}

fn example() -> Document {
    let mut record = Record::new(Header {
        verifier: Verifier::from_bytes([7; 16]),
        previous: None,
        created: Timestamp::from_millis(SECOND),
        rotated: Timestamp::from_millis(SECOND + 1),
        seen: Timestamp::from_millis(SECOND + 2_118),
        idle: Some(Duration::from_secs(1800)),
        end: Some(Timestamp::from_millis(u64::MAX)),
        persistent: Some(true),
        label: Some("Firefox\non Linux".into()),
        last_commit: "q83vEjRW".parse().ok(),
    });
    record.recent.push_back("q83vEjRW".parse().unwrap());
    let mut put = |name: &'static str, field| record.fields.insert(name.into(), field);
    put("shop.cart", field(br#"{"pear":2}"#, None));
    put("shop.otp", field(br#""428117""#, Some(SECOND + 300_000)));
    put("shop.raw", field(&[0, 1, 2, 0xff], None));
    put("@odd name%", field(b" spaces stay ", None));
    Document {
        record,
        unknown: vec!["@colour text green".to_owned()],
    }
}

/// Whatever a text says, with a right check.
fn with_check(body: &str) -> String {
    format!("{body}{LAST_LINE}{}\n", check(body.as_bytes()))
}

#[test]
fn a_record_is_readable() {
    let expected = with_check(
        "\
session-record 1
@session 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f
@verifier BwcHBwcHBwcHBwcHBwcHBw
@created 2026-03-14T09:26:53.000Z
@rotated 2026-03-14T09:26:53.001Z
@seen 2026-03-14T09:26:55.118Z
@idle 1800000ms
@end 18446744073709551615
@persistent true
@label base64 RmlyZWZveApvbiBMaW51eA==
@commit q83vEjRW
@last-commit q83vEjRW
@colour text green
%40odd%20name%25 - text  spaces stay \n\
shop.cart - text {\"pear\":2}
shop.otp 2026-03-14T09:31:53.000Z text \"428117\"
shop.raw - base64 AAEC/w==
",
    );
    assert_eq!(example().to_text(&name()), expected);
}

#[test]
fn what_a_later_version_added_to_the_header_survives() {
    let text = example().to_text(&name());
    let document = Document::parse(&name(), text.as_bytes()).unwrap();
    assert_eq!(document.unknown, ["@colour text green"]);
    assert_eq!(document.to_text(&name()), text);
}

#[test]
fn any_record_survives_its_text() {
    let mut random = random();
    for _ in 0..2_000 {
        let document = arbitrary(&mut random);
        let text = document.to_text(&name());
        let read = Document::parse(&name(), text.as_bytes()).unwrap();
        assert_eq!(read.record.header, document.record.header, "{text}");
        assert_eq!(read.record.fields, document.record.fields, "{text}");
        assert_eq!(read.record.recent, document.record.recent, "{text}");
        assert_eq!(read.record.previous_until, document.record.previous_until);
        assert_eq!(read.record.taken.len(), document.record.taken.len());
        assert_eq!(read.to_text(&name()), text);
    }
}

#[test]
fn every_single_bit_counts() {
    let text = example().to_text(&name()).into_bytes();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = Document::parse(&name(), &flipped);
        assert!(matches!(read, Err(Damaged(_))), "bit {bit} was overlooked");
    }
}

#[test]
fn a_file_that_was_cut_short_or_grew_is_damaged() {
    let text = example().to_text(&name());
    for end in 0..text.len() {
        let read = Document::parse(&name(), &text.as_bytes()[..end]);
        assert!(matches!(read, Err(Damaged(_))), "cut at {end}");
    }
    for more in ["\n", " ", "x", text.as_str()] {
        let read = Document::parse(&name(), format!("{text}{more}").as_bytes());
        assert!(matches!(read, Err(Damaged(_))), "grew by {more:?}");
    }
}

#[test]
fn a_record_under_another_name_is_damaged() {
    let text = example().to_text(&RecordName::of(&SessionId::from_bytes([1; 16])));
    let read = Document::parse(&name(), text.as_bytes());
    assert!(matches!(read, Err(Damaged(_))));
}

#[test]
fn a_later_format_is_told_from_damage() {
    let later = with_check("session-record 2\nwhatever that will be\n");
    let read = Document::parse(&name(), later.as_bytes());
    assert_eq!(read.unwrap_err(), Newer(2));

    let damaged = later.replace("whatever", "Whatever");
    let read = Document::parse(&name(), damaged.as_bytes());
    assert!(matches!(read, Err(Damaged(_))));
}

/// Bytes that never were a record, and lines that are nearly right under a right check.
#[test]
fn no_bytes_make_the_reader_panic() {
    const WORDS: &[&str] = &[
        "@session",
        "@verifier",
        "@previous",
        "@created",
        "@seen",
        "@idle",
        "@end",
        "@persistent",
        "@label",
        "@commit",
        "@last-commit",
        "@taken",
        "@",
        "shop.cart",
        "%",
        "%4",
        "%41",
        "%ff",
        "%é",
        "-",
        "text",
        "base64",
        "AAEC",
        "AAE",
        "=",
        "é",
        "1",
        "-1",
        "true",
        "1ms",
        "ms",
        "99999999999999999999",
        "18446744073709551615",
        "18446744073709551615ms",
        "2026-03-14T09:26:53.589Z",
        "9999-12-31T23:59:60.999Z",
        "0000-00-00T00:00:00Z",
        "2026-02-31T09:26:53Z",
        "q83vEjRW",
        "BwcHBwcHBwcHBwcHBwcHBw",
        "3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f",
        "",
        "\r",
        "\u{2028}",
    ];
    let mut random = random();
    for _ in 0..20_000 {
        let noise: Vec<u8> = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        assert!(Document::parse(&name(), &noise).is_err());

        let mut body = example().to_text(&name());
        let end = body.rfind(LAST_LINE).unwrap();
        body.truncate(end);
        for _ in 0..random.usize(..6) {
            for _ in 0..random.usize(..6) {
                body.push_str(WORDS[random.usize(..WORDS.len())]);
                body.push(' ');
            }
            body.pop();
            body.push('\n');
        }
        if let Ok(document) = Document::parse(&name(), with_check(&body).as_bytes()) {
            let text = document.to_text(&name());
            let again = Document::parse(&name(), text.as_bytes()).unwrap();
            assert_eq!(again.to_text(&name()), text);
        }
    }
}

fn arbitrary(random: &mut Rng) -> Document {
    let mut record = Record::new(Header {
        verifier: Verifier::from_bytes(std::array::from_fn(|_| random.u8(..))),
        previous: None,
        created: arbitrary_time(random),
        rotated: arbitrary_time(random),
        seen: arbitrary_time(random),
        idle: random.bool().then(|| Duration::from_millis(random.u64(..))),
        end: random.bool().then(|| arbitrary_time(random)),
        persistent: random.bool().then(|| random.bool()),
        label: random.bool().then(|| arbitrary_text(random).into()),
        last_commit: random.bool().then(|| CommitId::generate().unwrap()),
    });
    if random.bool() {
        record.header.previous = Some(Verifier::from_bytes([random.u8(..); 16]));
        record.previous_until = Some(arbitrary_time(random));
    }
    for _ in 0..random.usize(..9) {
        record.recent.push_back(CommitId::generate().unwrap());
    }
    for _ in 0..random.usize(..5) {
        let field = arbitrary_field(random);
        record.fields.insert(arbitrary_text(random).into(), field);
    }
    for _ in 0..random.usize(..3) {
        let (commit, field) = (CommitId::generate().unwrap(), arbitrary_field(random));
        let taken = Taken { commit, field };
        record.taken.insert(arbitrary_text(random).into(), taken);
    }
    Document {
        record,
        unknown: Vec::new(),
    }
}

fn arbitrary_time(random: &mut Rng) -> Timestamp {
    Timestamp::from_millis(match random.u8(..3) {
        0 => random.u64(..),
        1 => random.u64(..4_102_444_800_000),
        _ => Time::LAST_WRITABLE - 1 + random.u64(..3),
    })
}

fn arbitrary_text(random: &mut Rng) -> String {
    const CHARACTERS: &[char] = &[
        'a', 'Z', '0', '.', '@', '%', ' ', '\n', '\r', '\t', '\0', '\u{1b}', 'é', '\u{2028}', '🍐',
    ];
    (0..random.usize(..8))
        .map(|_| CHARACTERS[random.usize(..CHARACTERS.len())])
        .collect()
}

fn arbitrary_field(random: &mut Rng) -> StoredField {
    let value = if random.bool() {
        arbitrary_text(random).into_bytes()
    } else {
        (0..random.usize(..40)).map(|_| random.u8(..)).collect()
    };
    let deadline = random.bool().then(|| arbitrary_time(random));
    StoredField {
        value: value.into(),
        deadline,
    }
}
