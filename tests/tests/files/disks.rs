//! `FileStore` on a disk that is full, or that cannot be written.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::{Count, ListChange, PrincipalKey, StoreErrorKind};
use session_runtime::{FileStore, ReadSession, Session, SessionLayer, SessionStore};
use tests::clock::ManualClock;
use tests::events::Recorder;
use tests::sessions::{
    apply, create, destroy, id, listed_under, load, set, sign_in, update, value,
};
use tests::visitor::Visitor;

#[tokio::test]
async fn a_full_disk_fails_the_commit_and_keeps_the_record() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = FileStore::open(disk.path().join("sessions")).unwrap();
    let (session, other) = (id(), id());
    apply(&store, &create(session, [set("shop.cart", "pear")])).await;
    apply(&store, &create(other, [])).await;
    let filler = disk.fill();

    let bulk = || set("shop.bulk", vec![b'x'; 100_000]);
    for commit in [update(session, [bulk()]), create(id(), [bulk()])] {
        let error = store.commit(&commit).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
    }
    let temporary = disk.path().join("sessions").join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
    assert_eq!(store.len().await.unwrap(), Count::Exact(2));
    assert_eq!(value(&store, &session, "shop.cart").await.unwrap(), "pear");
    assert_eq!(value(&store, &session, "shop.bulk").await, None);

    // Neither a touch nor a logout needs room.
    apply(&store, &update(session, [])).await;
    apply(&store, &destroy(other)).await;

    fs::remove_file(filler).unwrap();
    apply(&store, &update(session, [bulk()])).await;
    assert_eq!(
        value(&store, &session, "shop.bulk").await.unwrap().len(),
        100_000
    );

    disk.make_read_only();
    assert_eq!(value(&store, &session, "shop.cart").await.unwrap(), "pear");
    for commit in [
        update(session, []),
        destroy(session),
        update(session, [bulk()]),
    ] {
        let error = store.commit(&commit).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    }
}

#[tokio::test]
async fn on_a_full_disk_sign_ins_fail_and_sign_outs_succeed() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let store = FileStore::open(disk.path().join("sessions")).unwrap();
    let (leaving, unlisted, visitor) = (id(), id(), id());
    apply(&store, &sign_in(leaving, "7", None)).await;
    apply(&store, &sign_in(unlisted, "8", None)).await;
    // As after a careless hand: to sign out, the folder need not be made again.
    let index = disk.path().join("sessions").join("index");
    let list = PrincipalKey::new("owner", b"8").as_bytes()[..2].to_vec();
    let shard = format!("{:02x}{:x}", list[0], list[1] >> 4);
    fs::remove_dir_all(index.join(shard)).unwrap();
    apply(&store, &create(visitor, [])).await;
    let filler = disk.fill();

    let mut joining = update(visitor, [set("owner", "7")]);
    joining.lists = sign_in(visitor, "7", None).lists;
    for commit in [joining.clone(), sign_in(id(), "7", None)] {
        let error = store.commit(&commit).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Full);
    }
    assert_eq!(value(&store, &visitor, "owner").await, None);
    assert_eq!(listed_under(&store, "7").await, [leaving].into());

    // Signing out needs no room, neither for the record nor for the list.
    let mut end = destroy(leaving);
    let (field, principal) = ("owner".into(), PrincipalKey::new("owner", b"7"));
    end.lists.push(ListChange::Remove { field, principal });
    apply(&store, &end).await;
    assert!(load(&store, &leaving, &[]).await.unwrap().is_none());
    assert_eq!(listed_under(&store, "7").await, [].into());
    let mut end = destroy(unlisted);
    let (field, principal) = ("owner".into(), PrincipalKey::new("owner", b"8"));
    end.lists.push(ListChange::Remove { field, principal });
    apply(&store, &end).await;

    fs::remove_file(filler).unwrap();
    apply(&store, &joining).await;
    store.sweep().await.unwrap();
    assert_eq!(listed_under(&store, "7").await, [visitor].into());
    let temporary = disk.path().join("sessions").join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    #[session(ttl = "20m", renew = "read")]
    cart: u32,
}

/// Whether the disk takes nothing more or nothing at all, when upkeep is due, and whether a new token
/// is.
#[tokio::test]
async fn pages_that_only_read_are_served() {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut cases = 0;
    for is_read_only in [false, true] {
        // A touch; a renewal by reading; a touch at the beginning of the visit.
        for after in [2 * MINUTE, 11 * MINUTE, 16 * MINUTE] {
            for rotates in [false, true] {
                let what = format!("{is_read_only}, {after:?}, {rotates}");
                let Some(disk) = SmallDisk::mount() else {
                    return;
                };
                let clock = ManualClock::new();
                let store = FileStore::builder().clock(clock.clone());
                let store = store.open(disk.path().join("sessions")).unwrap();
                let mut builder = SessionLayer::builder(store).persistent();
                if rotates {
                    builder = builder.rotate_every(MINUTE);
                }
                let mut visitor = Visitor::new(&builder.build().unwrap());
                let write = |mut session: Session<Shop>| async move {
                    session.visits = 3;
                    session.cart = 4;
                };
                visitor.visit(write).await;
                disk.fill();
                if is_read_only {
                    disk.make_read_only();
                }
                clock.advance(after);
                let recorder = Recorder::start();
                for _ in 0..3 {
                    let page =
                        |session: ReadSession<Shop>| async move { session.visits.to_string() };
                    let answer = visitor.visit(page).await;
                    let answer = (answer.status, answer.body);
                    assert_eq!(answer, (StatusCode::OK, "3".to_owned()), "{what}");
                }
                let events = recorder.take_events();
                let is_said = events.iter().any(|event| event == "upkeep-failed");
                assert!(is_said || !is_read_only, "{what}: {events:?}");
                cases += 1;
            }
        }
    }
    println!("{cases} disks");
}

/// A file system of a megabyte.
struct SmallDisk {
    mountpoint: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed. In continuous integration that is a failure.
    fn mount() -> Option<Self> {
        use rustix::mount::{MountFlags, mount};

        let mountpoint = tempfile::tempdir().unwrap();
        match mount(
            "tmpfs",
            mountpoint.path(),
            "tmpfs",
            MountFlags::empty(),
            Some(c"size=1m"),
        ) {
            Ok(()) => Some(Self { mountpoint }),
            Err(error) => {
                let reason = format!("not run: mounting a small tmpfs needs root ({error})");
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
                eprintln!("{reason}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.mountpoint.path()
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        use std::io::Write;

        let path = self.path().join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        path
    }

    fn make_read_only(&self) {
        use rustix::mount::{MountFlags, mount_remount};

        mount_remount(self.path(), MountFlags::RDONLY, c"").unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        use rustix::mount::{UnmountFlags, unmount};

        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
