//! Entries that something else has written, and other things in their places.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use session_runtime::SessionStore;
use session_runtime::store::{Outcome, StoreErrorKind};
use tests::sessions::{apply, destroy, id, load, sign_in, update};

use super::{Fixture, key, make_older, off, sessions};

/// The name lists the session: a session that is not listed cannot be revoked by its principal.
#[tokio::test]
async fn an_entry_of_any_content_lists_its_session() {
    let damages: [fn(Vec<u8>) -> Vec<u8>; 6] = [
        |_| Vec::new(),
        |text| text[..text.len() / 2].to_vec(),
        |text| [text.as_slice(), b"more\n"].concat(),
        |mut text| {
            text[40] ^= 1;
            text
        },
        |_| vec![0xff; 1 << 20],
        |_| b"session-list 3\nwho knows\n@check de17b7be7109f363\n".to_vec(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let fixture = Fixture::new();
        let here = [fixture.signed_in("7").await, fixture.signed_in("7").await];
        fixture.signed_in("8").await;
        let gone = fixture.signed_in("7").await;
        apply(&fixture.store, &off(destroy(gone), "7")).await;
        let file = fixture.entry_of("7", here[0]);
        let bad = damage(fs::read(&file).unwrap());
        fs::write(&file, &bad).unwrap();

        // A limit counts it.
        let newcomer = id();
        let refused = fixture.store.commit(&sign_in(newcomer, "7", Some(2))).await;
        assert_eq!(
            refused.unwrap(),
            Outcome::LimitReached {
                principal: key("7")
            }
        );
        assert_eq!(fixture.listed("7").await, sessions(here), "{number}");
        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions(here), "{number}");
        assert_eq!(fs::read(&file).unwrap(), bad);

        apply(&fixture.store, &sign_in(newcomer, "7", Some(3))).await;
        let [first, second] = here;
        let all = sessions([first, second, newcomer]);
        assert_eq!(fixture.listed("7").await, all);
        // It is an entry like any other.
        for session in all {
            apply(&fixture.store, &off(destroy(session), "7")).await;
        }
        assert!(!fixture.list_of("7").exists() && fixture.damaged().is_empty());
    }
}

/// A session that was found ended at a damaged entry may have signed in again since: the new entry
/// stays.
#[tokio::test]
async fn a_damaged_entry_is_removed_as_stale_unless_the_session_was_listed_since() {
    let fixture = Fixture::new();
    let session = fixture.signed_in("7").await;
    let file = fixture.entry_of("7", session);
    for is_listed_since in [true, false] {
        fs::write(&file, "damaged").unwrap();
        let seen = fixture.store.list(&key("7")).await.unwrap().entries[0];
        if is_listed_since {
            let mut again = update(session, []);
            again.lists = sign_in(session, "7", None).lists;
            apply(&fixture.store, &again).await;
        }
        fixture.store.remove_stale(&key("7"), &seen).await.unwrap();
        let listed = fixture.listed("7").await.contains(&session);
        assert_eq!(listed, is_listed_since);
    }
}

#[tokio::test]
async fn what_is_no_folder_in_a_lists_place_is_an_error_and_is_left_alone() {
    for kind in ["earlier", "file", "link"] {
        let fixture = Fixture::new();
        let (listed, newcomer) = (fixture.signed_in("7").await, id());
        let list = fixture.list_of("7");
        fs::remove_dir_all(&list).unwrap();
        match kind {
            "earlier" => fs::write(
                &list,
                include_bytes!("../../../campaigns/corpus/golden/list-1"),
            )
            .unwrap(),
            "file" => fs::write(&list, "").unwrap(),
            _ => symlink("/etc", &list).unwrap(),
        }
        let store = &fixture.store;
        let error = store.list(&key("7")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{kind}");
        for commit in [sign_in(newcomer, "7", None), off(destroy(listed), "7")] {
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{kind}");
        }
        store.sweep().await.unwrap();
        assert!(load(store, &newcomer, &[]).await.unwrap().is_none());
        assert!(load(store, &listed, &[]).await.unwrap().is_some());
        // No other principal is concerned.
        fixture.signed_in("8").await;
        assert!(!list.symlink_metadata().unwrap().is_dir() && fixture.damaged().is_empty());

        // The error says how to mend it.
        fs::remove_file(&list).unwrap();
        store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions([listed]));
    }
}

/// None of them is followed.
#[tokio::test]
async fn links_folders_and_pipes_in_an_entrys_place_list_its_session() {
    for kind in ["link", "folder", "pipe"] {
        let fixture = Fixture::new();
        let (session, target) = (
            fixture.signed_in("7").await,
            fixture.folder.path().join("x"),
        );
        let year_ago = SystemTime::now() - Duration::from_secs(365 * 24 * 60 * 60);
        fs::write(&target, "untouched").unwrap();
        make_older(&target, year_ago);
        let entry = fixture.entry_of("7", session);
        fs::remove_file(&entry).unwrap();
        match kind {
            "link" => symlink(&target, &entry).unwrap(),
            "folder" => fs::create_dir(&entry).unwrap(),
            _ => {
                let (pipe, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                rustix::fs::mknodat(rustix::fs::CWD, &entry, pipe, mode, 0).unwrap();
            }
        }
        assert_eq!(fixture.listed("7").await, sessions([session]), "{kind}");
        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions([session]), "{kind}");
        assert!(entry.symlink_metadata().is_ok());

        apply(&fixture.store, &off(destroy(session), "7")).await;
        let left = fixture.listed("7").await;
        // A folder is nothing that the store removes.
        assert_eq!(left.len(), usize::from(kind == "folder"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), year_ago);
    }
}
