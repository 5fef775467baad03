//! Files in a record's place that are no records: damaged, too large, of a later format, links.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;

use session_runtime::SessionStore;
use session_runtime::store::{Outcome, StoreErrorKind};
use tests::sessions::{LIFETIME, apply, create, destroy, id, load, set, update};

use super::{Fixture, state};

#[tokio::test]
async fn a_damaged_file_counts_as_absent_and_is_set_aside_not_deleted() {
    let (fixture, session, file) = Fixture::with_session().await;
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    let contents: [&[u8]; 5] = [
        b"",
        &good[..good.len() / 2],
        &flipped,
        b"#!/bin/sh\n",
        &[0xff; 99],
    ];
    for (index, content) in contents.into_iter().enumerate() {
        fs::write(&file, content).unwrap();
        assert!(fixture.is_absent(session).await);
        assert_eq!(fs::read(&file).unwrap(), content, "a load wrote");

        // A commit and a sweep find it in turn.
        if index % 2 == 0 {
            let outcome = fixture.store.commit(&update(session, [])).await.unwrap();
            assert_eq!(outcome, Outcome::Gone);
        } else {
            assert_eq!(fixture.store.sweep().await.unwrap(), 0);
        }
        assert!(!file.exists());
        let damaged = fixture.damaged();
        assert_eq!(damaged.len(), index + 1);
        assert!(
            damaged
                .iter()
                .any(|path| fs::read(path).unwrap() == content)
        );
    }
    apply(&fixture.store, &create(session, [])).await;
    assert!(!fixture.is_absent(session).await);
    fixture.store.sweep().await.unwrap();
    assert_eq!(fixture.damaged().len(), contents.len());
}

#[tokio::test]
async fn another_sessions_record_under_this_name_is_damaged() {
    let (fixture, session, file) = Fixture::with_session().await;
    let other = id();
    fs::create_dir_all(fixture.file_of(other).parent().unwrap()).unwrap();
    fs::copy(&file, fixture.file_of(other)).unwrap();
    assert!(fixture.is_absent(other).await);
    assert!(!fixture.is_absent(session).await);
}

#[tokio::test]
async fn a_file_larger_than_any_record_is_not_read_into_memory() {
    let (fixture, session, file) = Fixture::with_session().await;
    // A sparse terabyte; where the file system has a smaller limit, what it allows.
    let huge = File::options().write(true).open(&file).unwrap();
    if huge.set_len(1 << 40).is_err() {
        huge.set_len(1 << 30).unwrap();
    }
    assert!(fixture.is_absent(session).await);
    fixture.store.sweep().await.unwrap();
    assert_eq!(fixture.damaged().len(), 1);

    let bulk = set("shop.bulk", vec![b'x'; 17 << 20]);
    let error = fixture
        .store
        .commit(&create(id(), [bulk]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
}

#[tokio::test]
async fn a_record_of_another_format_is_an_error_in_words_and_stays() {
    /// With the check that belongs to it.
    const LATER: &str = "session-record 3\nanything\n@check 7c7560b8764970f0\n";
    let earlier = include_str!("../../../campaigns/corpus/golden/record-1");
    for (content, format) in [(LATER, "format 3"), (earlier, "format 1")] {
        let (fixture, session, file) = Fixture::with_session().await;
        fs::write(&file, content).unwrap();

        let error = load(&fixture.store, &session, &[]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        let words = std::error::Error::source(&error).unwrap().to_string();
        assert!(words.contains(format), "{words}");
        for commit in [update(session, []), create(session, []), destroy(session)] {
            let error = fixture.store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        }
        fixture.clock.advance(LIFETIME);
        assert_eq!(fixture.store.sweep().await.unwrap(), 0);
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[tokio::test]
async fn links_folders_and_pipes_in_a_records_place_are_not_followed_and_stay() {
    let fixture = Fixture::new();
    let (source, _, good) = Fixture::with_session().await;
    let plant: [&dyn Fn(&Path); 4] = [
        &|place| symlink(&good, place).unwrap(),
        &|place| symlink("/nonexistent", place).unwrap(),
        &|place| fs::create_dir(place).unwrap(),
        &|place| {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, place, kind, mode, 0).unwrap();
        },
    ];
    let before = state(&good);
    for plant in plant {
        let session = id();
        let place = fixture.file_of(session);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        plant(&place);
        assert!(fixture.is_absent(session).await);
        for (commit, expected) in [
            (update(session, []), Outcome::Gone),
            (create(session, []), Outcome::IdTaken),
            (destroy(session), Outcome::Gone),
        ] {
            let outcome = fixture.store.commit(&commit).await.unwrap();
            assert_eq!(outcome, expected);
        }
        fixture.store.sweep().await.unwrap();
        assert!(place.symlink_metadata().is_ok());
    }
    assert_eq!(state(&good), before);
    assert!(fixture.damaged().is_empty());
    drop(source);
}

#[tokio::test]
async fn a_linked_folder_of_records_is_an_error() {
    let (fixture, session, file) = Fixture::with_session().await;
    let shard = file.parent().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(shard, elsewhere.path().join("records")).unwrap();
    symlink(elsewhere.path().join("records"), shard).unwrap();
    let error = load(&fixture.store, &session, &[]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let error = fixture.store.commit(&destroy(session)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}
