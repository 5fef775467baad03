//! `FileStore` on all kinds of folders.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use session_runtime::store::{Count, StoreError, StoreErrorKind};
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{apply, create, destroy, id, load, set, update, value};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_folder_is_made_with_what_is_missing_above_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("var").join("sessions");
    FileStore::open(&folder).unwrap();
    assert_eq!(mode(&folder), 0o700);
    FileStore::open(&folder).unwrap();
}

#[test]
fn an_empty_folder_is_closed_to_other_users() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    FileStore::open(folder.path()).unwrap();
    assert_eq!(mode(folder.path()), 0o700);
}

#[test]
fn a_folder_with_other_files_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = FileStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert_eq!(mode(folder.path()), 0o755);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// The text of an error and of its cause.
fn words(error: &StoreError) -> String {
    let source = std::error::Error::source(error);
    source.map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn what_systems_leave_in_a_new_volume_is_no_content() {
    let folders = [
        "lost+found",
        ".snapshot",
        "System Volume Information",
        "tmp",
        "0af",
        "fff",
    ];
    let files = [
        ".DS_Store",
        ".gitkeep",
        ".gitignore",
        ".keep",
        "aquota.user",
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in folders {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in files {
        fs::write(folder.path().join(name), "").unwrap();
    }
    fs::write(folder.path().join("lost+found").join("#12"), "found").unwrap();
    let mut session = None;
    // Made, and opened again.
    for _ in 0..2 {
        let store = FileStore::open(folder.path()).unwrap();
        let session = *session.get_or_insert_with(id);
        let _ = store.commit(&create(session, [])).await.unwrap();
        assert!(load(&store, &session, &[]).await.unwrap().is_some());
        store.sweep().await.unwrap();
        assert_eq!(store.len().await.unwrap(), Count::Exact(1));
    }
    for name in files.into_iter().chain(["lost+found/#12"]) {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn what_is_refused_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    // The last ones: a home that holds nothing else, and a name that is no text.
    let names: [&[u8]; 10] = [
        b"thesis.txt",
        b"000",
        b"fffe",
        b"index",
        b"damaged",
        b"lock",
        b"lost+found2",
        b".bashrc",
        b".ssh",
        b"\xff\xfe",
    ];
    for name in names {
        for is_folder in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(OsStr::from_bytes(name));
            if is_folder {
                fs::create_dir(&path).unwrap();
                fs::write(path.join("a file"), "").unwrap();
            } else {
                fs::write(&path, "").unwrap();
            }
            fs::create_dir(folder.path().join("lost+found")).unwrap();
            let error = FileStore::open(folder.path()).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            let (words, name) = (words(&error), String::from_utf8_lossy(name));
            assert!(words.contains(&format!("it holds `{name}`;")), "{words}");
            assert!(!words.contains("lost+found`"), "{words}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "a", "c"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let words = words(&FileStore::open(folder.path()).unwrap_err());
    assert!(words.contains("it holds `a` and 2 more;"), "{words}");
}

/// Lost, emptied by a power cut, and replaced by something else.
#[tokio::test]
async fn without_its_marker_a_store_is_not_opened_and_the_error_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join(".session-store");
    let session = id();
    let store = FileStore::open(folder.path()).unwrap();
    apply(&store, &create(session, [set("shop.cart", "pear")])).await;
    let spoil: [fn(&Path); 4] = [
        |marker| fs::remove_file(marker).unwrap(),
        |marker| fs::write(marker, "").unwrap(),
        |marker| fs::write(marker, [0; 16]).unwrap(),
        |marker| {
            fs::remove_file(marker).unwrap();
            fs::create_dir(marker).unwrap();
        },
    ];
    for (index, spoil) in spoil.into_iter().enumerate() {
        spoil(&marker);
        let error = FileStore::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        let words = words(&error);
        if index == 3 {
            assert!(words.contains("is no regular file; remove it"), "{words}");
            fs::remove_dir(&marker).unwrap();
            continue;
        }
        assert!(words.contains("`.session-store` is lost"), "{words}");
        // What it says is what helps.
        let advice = words.split('`').find(|part| part.starts_with("printf"));
        let advice = advice.expect("a command");
        let ran = std::process::Command::new("sh")
            .args(["-c", advice])
            .status();
        assert!(ran.unwrap().success(), "{advice}");
        let again = FileStore::open(folder.path()).unwrap();
        assert_eq!(value(&again, &session, "shop.cart").await.unwrap(), "pear");
        // The store that was open meanwhile goes on too.
        apply(&store, &create(id(), [])).await;
    }
}

#[test]
fn a_folder_of_a_later_layout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for marker in [
        "session-store 3\n",
        "session-store 2",
        "something else\n",
        "",
    ] {
        fs::write(folder.path().join(".session-store"), marker).unwrap();
        let error = FileStore::open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{marker:?}");
    }
}

#[test]
fn a_folder_of_the_first_layout_is_refused_and_the_error_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".session-store"), "session-store 1\n").unwrap();
    let shard = folder.path().join("000");
    let record = shard.join("000102030405060708090a0b0c0d0e0f");
    fs::create_dir(&shard).unwrap();
    fs::write(
        &record,
        include_bytes!("../../campaigns/corpus/golden/record-1"),
    )
    .unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();

    let error = FileStore::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let words = std::error::Error::source(&error).unwrap().to_string();
    for said in [
        "an earlier version",
        "name a new folder, or remove this one",
    ] {
        assert!(words.contains(said), "{words}");
    }
    // Nothing in it has changed, so that the earlier program goes on.
    assert_eq!(mode(folder.path()), 0o755);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(record.exists());
    let marker = fs::read(folder.path().join(".session-store")).unwrap();
    assert_eq!(marker, b"session-store 1\n");
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("sessions");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = FileStore::open(path).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    }
}

#[test]
fn many_may_open_a_new_folder_at_the_same_time() {
    for _ in 0..20 {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("sessions");
        std::thread::scope(|scope| {
            let open = || scope.spawn(|| FileStore::open(&folder).unwrap());
            let opened: Vec<_> = (0..8).map(|_| open()).collect();
            for store in opened {
                store.join().unwrap();
            }
        });
        assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn outside_a_runtime_a_call_is_an_error_and_no_panic() {
    use std::task::{Context, Poll, Waker};

    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let mut len = Box::pin(store.len());
    match len.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), StoreErrorKind::Misconfigured),
        other => panic!("{other:?}"),
    }
}

/// As when a volume is unmounted: an empty folder, or none at all, is where the records were.
#[tokio::test]
async fn a_folder_that_vanishes_is_an_error_never_an_absence() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("sessions"), parent.path().join("away"));
    let store = FileStore::open(&folder).unwrap();
    let session = id();
    apply(&store, &create(session, [set("shop.cart", "pear")])).await;
    fs::rename(&folder, &away).unwrap();

    for is_empty_folder in [false, true] {
        if is_empty_folder {
            fs::create_dir(&folder).unwrap();
        }
        let mut errors = vec![
            load(&store, &session, &[]).await.unwrap_err(),
            store.len().await.unwrap_err(),
            store.sweep().await.unwrap_err(),
        ];
        for commit in [create(id(), []), update(session, []), destroy(session)] {
            errors.push(store.commit(&commit).await.unwrap_err());
        }
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);

    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    assert!(load(&store, &session, &[]).await.is_err());
    assert!(store.commit(&create(id(), [])).await.is_err());

    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(value(&store, &session, "shop.cart").await.unwrap(), "pear");
}

#[tokio::test]
async fn a_folder_that_is_emptied_is_a_store_without_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let session = id();
    apply(&store, &create(session, [])).await;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        }
    }
    assert!(load(&store, &session, &[]).await.unwrap().is_none());
    assert_eq!(store.sweep().await.unwrap(), 0);
    apply(&store, &create(session, [])).await;
    assert_eq!(store.len().await.unwrap(), Count::Exact(1));
}

/// Root may do everything, so under root another user tries.
#[tokio::test]
async fn what_may_not_be_read_or_written_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("sessions");
    let stranger = Stranger::new(parent.path());
    stranger.make(&folder);
    assert_eq!(stranger.run(&["open"], &folder), "");

    let store = FileStore::open(&folder).unwrap();
    let session = id();
    apply(&store, &create(session, [])).await;
    let hex: String = session
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let file = folder.join(&hex[..3]).join(&hex);
    stranger.own(file.parent().unwrap());
    stranger.own(&file);
    let session = session.to_string();
    assert_eq!(stranger.run(&["load", &session], &folder), "");

    fs::set_permissions(&file, fs::Permissions::from_mode(0o0)).unwrap();
    assert_eq!(
        stranger.run(&["load", &session], &folder),
        "Misconfigured\n"
    );
    fs::set_permissions(folder.join("tmp"), fs::Permissions::from_mode(0o500)).unwrap();
    assert_eq!(stranger.run(&["open"], &folder), "Misconfigured\n");
    assert_eq!(stranger.run(&["create"], &folder), "Misconfigured\n");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let below = folder.join("sessions");
    assert_eq!(stranger.run(&["open"], &below), "Misconfigured\n");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}

/// A user without special rights: the present one, or `nobody` if that is root.
struct Stranger {
    program: PathBuf,
    user: Option<u32>,
}

impl Stranger {
    /// `folder` must be the test's own.
    fn new(folder: &Path) -> Self {
        const NOBODY: u32 = 65_534;
        let is_root = rustix::process::geteuid().is_root();
        // Where the program was built, others may not be allowed to go.
        let program = folder.join("file_store_process");
        fs::copy(env!("CARGO_BIN_EXE_file_store_process"), &program).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            program,
            user: is_root.then_some(NOBODY),
        }
    }

    fn make(&self, folder: &Path) {
        fs::create_dir(folder).unwrap();
        self.own(folder);
    }

    fn own(&self, path: &Path) {
        std::os::unix::fs::chown(path, self.user, None).unwrap();
    }

    /// The program's output.
    fn run(&self, arguments: &[&str], folder: &Path) -> String {
        use std::os::unix::process::CommandExt;

        let mut command = std::process::Command::new(&self.program);
        command.arg(arguments[0]).arg(folder).args(&arguments[1..]);
        if let Some(user) = self.user {
            command.uid(user);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}
