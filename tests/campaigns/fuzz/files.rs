//! Any bytes in the files of a `FileStore`: no panic, bounded memory, a damaged record is set aside
//! and not deleted, one of another format is left alone, an entry lists its session whatever is in
//! it, and the next visitor is served.
//!
//! `SESSION_FUZZ_INPUTS` says how many (twenty inputs are one file), `SESSION_FUZZ_SEED` which.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use session_runtime::store::{
    Action, ListChange, Outcome, PrincipalKey, PrincipalList, StoreErrorKind,
};
use session_runtime::store::{StoreError, Timestamp};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, SessionId, SessionStore};
use sha2::{Digest, Sha256};
use tests::fuzz;
use tests::sessions::{apply, commit, create, listed_under, load, set, sign_in, update, value};

/// A moment at which the session of the golden record lives.
const NOW: Timestamp = Timestamp::from_millis(1_773_480_420_000);

/// Bytes like those of a whole file: another check, other lines, or other bytes anywhere.
fn bytes(random: &mut Rng, whole: &[u8]) -> Vec<u8> {
    let lines = include_str!("../corpus/files.txt").lines();
    let mut examples: Vec<_> = lines.map(|line| format!("{line}\n").into_bytes()).collect();
    let body = without_check(whole);
    if random.bool() {
        let mut lines: Vec<_> = body.split_inclusive(|byte| *byte == b'\n').collect();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(0..=lines.len());
            let example = &*examples[random.usize(0..examples.len())];
            match random.u8(0..4) {
                0 if place < lines.len() => drop(lines.remove(place)),
                1 if place < lines.len() => lines[place] = example,
                _ => lines.insert(place, example),
            }
        }
        return with_check(lines.concat());
    }
    examples.push(b"a - text [\n".repeat(50_000));
    examples.extend(vec![whole.to_vec(); 200]);
    let mutated = fuzz::mutated(random, &examples);
    if random.bool() {
        return mutated;
    }
    with_check(without_check(&mutated).to_vec())
}

fn without_check(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(8).rposition(|line| line == b"\n@check ");
    end.map_or(bytes, |end| &bytes[..=end])
}

fn with_check(mut body: Vec<u8>) -> Vec<u8> {
    let check = check(&body);
    body.extend(check);
    body
}

fn check(body: &[u8]) -> Vec<u8> {
    let digest = Sha256::digest(body);
    let hex: Vec<_> = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("@check {}\n", hex.concat()).into_bytes()
}

/// Whether the file says that it is whole and of another version.
fn is_of_another_version(bytes: &[u8], format: &str) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let version = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(format));
    let version: Option<u64> = version.and_then(|version| version.parse().ok());
    version.is_some_and(|version| version != 2) && is_whole(bytes)
}

fn is_whole(bytes: &[u8]) -> bool {
    with_check(without_check(bytes).to_vec()) == bytes
}

fn open(folder: &Path) -> FileStore {
    let store = FileStore::builder().clock(ManualClock::at(NOW));
    store.without_background_sweep().open(folder).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The contents of the files that were set aside.
fn damaged(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder.join("damaged")) else {
        return Vec::new();
    };
    entries
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn forget_damaged(folder: &Path) {
    // It may not be there.
    let _ = fs::remove_dir_all(folder.join("damaged"));
}

/// A panic in the store would be [`StoreErrorKind::OutcomeUnknown`].
fn expect_another_version(error: &StoreError, bytes: &[u8], format: &str) {
    let shown = bytes.escape_ascii();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}: {shown}");
    assert!(is_of_another_version(bytes, format), "{error:?}: {shown}");
}

#[tokio::test]
async fn any_bytes_in_a_records_place() {
    const FORMAT: &str = "session-record ";
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let session = SessionId::from_bytes(std::array::from_fn(|index| index as u8));
    let file = folder.path().join("000").join(hex(session.as_bytes()));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let whole = include_bytes!("../corpus/golden/record-2").to_vec();

    let memory = fuzz::Memory::watch();
    let mut random = fuzz::random();
    let inputs = fuzz::inputs(4_000) / 20;
    let (mut living, mut set_aside, mut ended, mut other) = (0, 0, 0, 0);
    for _ in 0..inputs {
        let bytes = bytes(&mut random, &whole);
        let shown = bytes.escape_ascii();
        fs::write(&file, &bytes).unwrap();
        match load(&store, &session, &["shop.cart", "shop.otp"]).await {
            Ok(Some(loaded)) => {
                // It is a session like any other.
                let verifier = loaded.header.verifier;
                let rotation = None;
                let mut write = commit(session, Action::Update { verifier, rotation });
                write.changes.push(set("shop.cart", "{}"));
                apply(&store, &write).await;
                let cart = value(&store, &session, "shop.cart").await;
                assert_eq!(cart.as_deref(), Some(&b"{}"[..]), "{shown}");
                living += 1;
            }
            Ok(None) => {
                assert_eq!(fs::read(&file).unwrap(), bytes, "a load wrote");
                apply(&store, &create(session, [])).await;
                assert!(load(&store, &session, &[]).await.unwrap().is_some());
                match damaged(folder.path()).as_slice() {
                    [aside] => {
                        assert_eq!(*aside, bytes, "{shown}");
                        set_aside += 1;
                    }
                    aside => {
                        assert!(aside.is_empty(), "{aside:?}");
                        // The record was whole and its session over.
                        assert!(is_whole(&bytes), "{shown}");
                        ended += 1;
                    }
                }
                forget_damaged(folder.path());
            }
            Err(error) => {
                expect_another_version(&error, &bytes, FORMAT);
                let error = store.commit(&create(session, [])).await.unwrap_err();
                expect_another_version(&error, &bytes, FORMAT);
                assert_eq!(store.sweep().await.unwrap(), 0);
                assert_eq!(fs::read(&file).unwrap(), bytes, "{shown}");
                other += 1;
            }
        }
        assert!(damaged(folder.path()).is_empty());
    }
    println!(
        "{inputs} files: {living} living, {ended} ended, {set_aside} set aside, {other} of another version"
    );
    assert!(living > inputs / 20 && set_aside > inputs / 4);
    memory.expect_bounded();
}

#[tokio::test]
async fn any_bytes_in_an_entrys_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let principal = PrincipalKey::new("owner", b"7");
    let [first, second, third] = [1, 2, 3].map(|number| SessionId::from_bytes([number; 16]));
    for session in [first, second] {
        apply(&store, &sign_in(session, "7", None)).await;
    }
    let signed_in = BTreeSet::from([first, second]);
    let list = hex(principal.as_bytes());
    let list: PathBuf = folder.path().join("index").join(&list[..3]).join(&list);
    let file = list.join(hex(first.as_bytes()));
    let whole = fs::read(&file).unwrap();

    let memory = fuzz::Memory::watch();
    let mut random = fuzz::random();
    let inputs = fuzz::inputs(4_000) / 20;
    let (mut read, mut over, mut unreadable) = (0, 0, 0);
    for _ in 0..inputs {
        let bytes = bytes(&mut random, &whole);
        let shown = bytes.escape_ascii();
        fs::write(&file, &bytes).unwrap();
        let listed = store.list(&principal).await.unwrap();
        let entry = listed.entries.iter().find(|entry| entry.session == first);
        let content = PrincipalList::from_bytes(&bytes)
            .ok()
            .filter(|content| content.principal == principal && content.entries.len() == 1);
        match (content.as_ref().and_then(|list| list.get(&first)), entry) {
            (Some(content), Some(entry)) => {
                assert_eq!(entry, content, "{shown}");
                read += 1;
            }
            (Some(content), None) => {
                assert!(content.until.is_some_and(|until| until <= NOW), "{shown}");
                over += 1;
            }
            (None, Some(_)) => unreadable += 1,
            (None, None) => panic!("not listed: {shown}"),
        }
        // It is an entry like any other, for limits, sweeps, marks and changes.
        let others = listed.entries.len() as u32;
        let refused = store.commit(&sign_in(third, "7", Some(others))).await;
        assert!(
            matches!(refused, Ok(Outcome::LimitReached { .. })),
            "{shown}"
        );
        assert_eq!(store.sweep().await.unwrap(), 0);
        assert_eq!(fs::read(&file).unwrap(), bytes, "{shown}");
        if let Some(entry) = entry {
            store.remove_stale(&principal, entry).await.unwrap();
            assert!(!file.exists(), "{shown}");
            fs::write(&file, &bytes).unwrap();
        }
        let mut again = update(first, []);
        again.lists.push(ListChange::Add {
            field: "owner".into(),
            principal,
            keep: None,
            limit: None,
        });
        apply(&store, &again).await;
        assert_eq!(listed_under(&store, "7").await, signed_in, "{shown}");
        assert!(damaged(folder.path()).is_empty());
    }
    println!("{inputs} files: {read} read, {over} over, {unreadable} unreadable");
    assert!(read > inputs / 20 && unreadable > inputs / 4);
    memory.expect_bounded();
}
