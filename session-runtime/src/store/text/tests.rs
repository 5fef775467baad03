use fastrand::Rng;

use super::*;
use crate::token::CommitId;

const SECOND: u64 = 1_773_480_413_000;

fn session() -> SessionId {
    SessionId::from_bytes([0x3f; 16])
}

fn text_of(record: &Record) -> String {
    String::from_utf8(record.to_bytes()).unwrap()
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
    let deadline = deadline.map(Timestamp::from_millis);
    StoredField::new(Bytes::copy_from_slice(value), deadline)
}

fn example() -> Record {
    let verifier = Verifier::from_bytes([7; 16]);
    let mut record = Record::new(
        session(),
        Header::new(verifier, Timestamp::from_millis(SECOND)),
    );
    let header = &mut record.header;
    header.rotated = Timestamp::from_millis(SECOND + 1);
    header.seen = Timestamp::from_millis(SECOND + 2_118);
    header.idle = Some(Duration::from_secs(1800));
    header.end = Some(Timestamp::from_millis(u64::MAX));
    header.persistent = Some(true);
    header.label = Some("Firefox\non Linux".into());
    header.last_commit = "q83vEjRW".parse().ok();
    let key = PrincipalKey::from_bytes([9; 32]);
    header.principals.push(Principal::new("shop.customer", key));
    record.recent.push_back("q83vEjRW".parse().unwrap());
    let mut put = |name: &'static str, field| record.fields.insert(name.into(), field);
    put("shop.cart", field(br#"{"pear":2}"#, None));
    put("shop.otp", field(br#""428117""#, Some(SECOND + 300_000)));
    put("shop.raw", field(&[0, 1, 2, 0xff], None));
    put("@odd name%", field(b" spaces stay ", None));
    record.unknown_lines.push("@colour text green".to_owned());
    record
}

fn example_list() -> PrincipalList {
    let entry = |byte, until| {
        let session = SessionId::from_bytes([byte; 16]);
        let added = Timestamp::from_millis(1_000);
        ListEntry::new(session, "q83vEjRW".parse().unwrap(), added).until(until)
    };
    let mut list = PrincipalList::new(PrincipalKey::from_bytes([9; 32]));
    list.insert(entry(0xAB, Some(Timestamp::from_millis(86_401_000))));
    list.insert(entry(0xCD, None).arriving());
    list.insert(entry(0xEF, Some(Timestamp::from_millis(u64::MAX))));
    list
}

/// Whatever a text says, with a right check.
fn with_check(body: &str) -> String {
    format!("{body}{CHECK}{}\n", check(body.as_bytes()))
}

#[test]
fn a_record_is_readable() {
    let expected = with_check(
        "\
session-record 2
@session 3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f
@verifier BwcHBwcHBwcHBwcHBwcHBw
@created 2026-03-14T09:26:53.000Z
@rotated 2026-03-14T09:26:53.001Z
@seen 2026-03-14T09:26:55.118Z
@idle 1800000ms
@end 18446744073709551615
@persistent true
@label base64 RmlyZWZveApvbiBMaW51eA==
@principal shop.customer CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk
@commit q83vEjRW
@colour text green
%40odd%20name%25 - text  spaces stay \n\
shop.cart - text {\"pear\":2}
shop.otp 2026-03-14T09:31:53.000Z text \"428117\"
shop.raw - base64 AAEC/w==
",
    );
    assert_eq!(text_of(&example()), expected);
}

#[test]
fn what_a_later_version_added_to_the_header_survives() {
    let text = text_of(&example());
    let record = Record::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(record.unknown_lines, ["@colour text green"]);
    assert_eq!(text_of(&record), text);
}

#[test]
fn any_record_survives_its_text() {
    let mut random = random();
    for _ in 0..2_000 {
        let record = arbitrary(&mut random);
        let text = text_of(&record);
        let read = Record::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(read.header, record.header, "{text}");
        assert_eq!(read.fields, record.fields, "{text}");
        assert_eq!(read.recent, record.recent, "{text}");
        assert_eq!(read.taken.len(), record.taken.len());
        assert_eq!(text_of(&read), text);
    }
}

#[test]
fn every_single_bit_counts() {
    let text = text_of(&example()).into_bytes();
    for bit in 0..text.len() * 8 {
        let mut flipped = text.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = Record::from_bytes(&flipped);
        assert!(matches!(read, Err(Damaged(_))), "bit {bit} was overlooked");
    }
}

#[test]
fn a_file_that_was_cut_short_or_grew_is_damaged() {
    let text = text_of(&example());
    for end in 0..text.len() {
        let read = Record::from_bytes(&text.as_bytes()[..end]);
        assert!(matches!(read, Err(Damaged(_))), "cut at {end}");
    }
    for more in ["\n", " ", "x", text.as_str()] {
        let read = Record::from_bytes(format!("{text}{more}").as_bytes());
        assert!(matches!(read, Err(Damaged(_))), "grew by {more:?}");
    }
}

#[test]
fn another_version_is_told_from_damage() {
    for version in [0, 1, 3, u64::MAX] {
        let other = with_check(&format!("session-record {version}\nanything\n"));
        let read = Record::from_bytes(other.as_bytes());
        assert_eq!(read.unwrap_err(), OtherVersion(version));
        let other = with_check(&format!("session-list {version}\nanything\n"));
        let read = PrincipalList::from_bytes(other.as_bytes());
        assert_eq!(read.unwrap_err(), OtherVersion(version));
    }

    let later = with_check("session-record 3\nwhatever that will be\n");

    let damaged = later.replace("whatever", "Whatever");
    let read = Record::from_bytes(damaged.as_bytes());
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
        "@link",
        "@principal",
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
        assert!(Record::from_bytes(&noise).is_err());

        let mut body = text_of(&example());
        let end = body.rfind(CHECK).unwrap();
        body.truncate(end);
        for _ in 0..random.usize(..6) {
            for _ in 0..random.usize(..6) {
                body.push_str(WORDS[random.usize(..WORDS.len())]);
                body.push(' ');
            }
            body.pop();
            body.push('\n');
        }
        if let Ok(record) = Record::from_bytes(with_check(&body).as_bytes()) {
            let text = text_of(&record);
            let again = Record::from_bytes(text.as_bytes()).unwrap();
            assert_eq!(text_of(&again), text);
        }
    }
}

fn arbitrary(random: &mut Rng) -> Record {
    let verifier = Verifier::from_bytes(std::array::from_fn(|_| random.u8(..)));
    let header = Header::new(verifier, arbitrary_time(random));
    let mut record = Record::new(session(), header);
    let header = &mut record.header;
    header.rotated = arbitrary_time(random);
    header.seen = arbitrary_time(random);
    header.idle = random.bool().then(|| Duration::from_millis(random.u64(..)));
    header.end = random.bool().then(|| arbitrary_time(random));
    header.persistent = random.bool().then(|| random.bool());
    header.label = random.bool().then(|| arbitrary_text(random).into());
    header.previous = random.bool().then(|| arbitrary_credential(random));
    header.link = random.bool().then(|| arbitrary_credential(random));
    for number in 0..random.usize(..3) {
        let field = format!("{number}{}", arbitrary_text(random));
        let key = PrincipalKey::from_bytes(std::array::from_fn(|_| random.u8(..)));
        header.principals.push(Principal::new(field, key));
    }
    for _ in 0..random.usize(..9) {
        record.recent.push_back(CommitId::generate().unwrap());
    }
    record.header.last_commit = record.recent.back().copied();
    for _ in 0..random.usize(..5) {
        let field = arbitrary_field(random);
        record.fields.insert(arbitrary_text(random).into(), field);
    }
    for _ in 0..random.usize(..3) {
        let (commit, field) = (CommitId::generate().unwrap(), arbitrary_field(random));
        let taken = Taken { commit, field };
        record.taken.insert(arbitrary_text(random).into(), taken);
    }
    record
}

fn arbitrary_credential(random: &mut Rng) -> Credential {
    Credential::new(
        Verifier::from_bytes([random.u8(..); 16]),
        arbitrary_time(random),
    )
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
    StoredField::new(value.into(), deadline)
}

#[test]
fn a_list_is_readable() {
    let expected = with_check(
        "\
session-list 2
@principal CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk
abababababababababababababababab q83vEjRW 1970-01-01T00:00:01.000Z 1970-01-02T00:00:01.000Z
cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd q83vEjRW 1970-01-01T00:00:01.000Z - arriving
efefefefefefefefefefefefefefefef q83vEjRW 1970-01-01T00:00:01.000Z 18446744073709551615
",
    );
    let bytes = example_list().to_bytes();
    assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
    assert_eq!(PrincipalList::from_bytes(&bytes), Ok(example_list()));
}

#[test]
fn no_part_of_a_list_is_a_list() {
    let bytes = example_list().to_bytes();
    for end in 0..bytes.len() {
        let read = PrincipalList::from_bytes(&bytes[..end]);
        assert!(matches!(read, Err(Damaged(_))), "cut at {end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = PrincipalList::from_bytes(&flipped);
        assert!(matches!(read, Err(Damaged(_))), "bit {bit} was overlooked");
    }
}

#[test]
fn what_a_later_version_added_to_a_list_survives() {
    let body = example_list().to_bytes();
    let body = String::from_utf8(body).unwrap();
    let body = &body[..body.rfind(CHECK).unwrap()];
    let text = with_check(&body.replacen("\nabab", "\n@colour green\nabab", 1));
    let list = PrincipalList::from_bytes(text.as_bytes()).unwrap();
    assert_eq!(list.unknown_lines, ["@colour green"]);
    assert_eq!(list.to_bytes(), text.as_bytes());
}

#[test]
fn lines_of_another_form_are_damage() {
    let head = "session-list 2\n@principal CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk\n";
    for line in [
        "",
        "x",
        "abababababababababababababababab q83vEjRW 1 - more",
    ] {
        let text = with_check(&format!("{head}{line}\n"));
        assert_eq!(PrincipalList::from_bytes(text.as_bytes()), Err(BAD_LINE));
    }
    let record = with_check("session-record 2\n");
    let read = PrincipalList::from_bytes(record.as_bytes());
    assert!(matches!(read, Err(Damaged(_))));
    let list = with_check("session-list 2\n");
    assert_eq!(
        PrincipalList::from_bytes(list.as_bytes()),
        Err(MISSING_LINE)
    );
}

/// The first version's lists had another name.
#[test]
fn a_list_of_the_first_version_is_another_version_and_no_damage() {
    let list = "session-index 1\n\
        01010101010101010101010101010101 00000001 2026-03-14T09:26:53.589Z 2026-03-15T09:26:53.589Z\n\
        02020202020202020202020202020202 00000002 2026-03-14T09:26:53.589Z -\n\
        @check 932dc60c01034314\n";
    let read = PrincipalList::from_bytes(list.as_bytes());
    let error = read.unwrap_err();
    assert_eq!(error, OtherVersion(1));
    assert!(error.to_string().contains("format 1"), "{error}");
    for damaged in [&list[..40], &list.replace("2026", "2027")] {
        let read = PrincipalList::from_bytes(damaged.as_bytes());
        assert!(matches!(read, Err(Damaged(_))), "{damaged}");
    }
}
