//! The events of `FileStore`, and the words that must not be in them.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::fmt::{Debug, Write};
use std::fs;
use std::sync::{Arc, Mutex};

use session_runtime::store::PrincipalKey;
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{apply, create, id, load, set, sign_in, verifier};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes every event of the session runtime down.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "session_runtime"
    }

    fn event(&self, event: &Event<'_>) {
        struct Line(String);

        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                write!(self.0, " {field}={value:?}").unwrap();
            }
        }

        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn damage_is_reported_without_values_tokens_or_whole_ids() {
    let recorder = Recorder::default();
    tracing::subscriber::set_global_default(recorder.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::builder()
        .without_background_sweep()
        .open(folder.path())
        .unwrap();
    let (session, replaced) = (id(), id());
    let file_of = |id: session_runtime::SessionId| {
        let hex: String = id
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        folder.path().join(&hex[..3]).join(hex)
    };
    apply(&store, &create(session, [set("shop.cart", "a pear")])).await;
    let file = file_of(session);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("a pear", "a fig")).unwrap();
    fs::create_dir_all(file_of(replaced)).unwrap();

    let says = |what: &str| {
        let lines = recorder.0.lock().unwrap();
        lines
            .iter()
            .any(|line| line.starts_with("WARN") && line.contains(what))
    };
    assert!(!says(""));
    assert!(load(&store, &session, &[]).await.unwrap().is_none());
    assert!(says("a session record is damaged and counts as absent"));
    assert!(says("the check does not match"));
    assert!(load(&store, &replaced, &[]).await.unwrap().is_none());
    assert!(says("no regular file"));
    store.sweep().await.unwrap();
    assert!(
        says("set a damaged session record aside"),
        "{:?}",
        recorder.0
    );

    let signed_in = id();
    apply(&store, &sign_in(signed_in, "7", None)).await;
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    assert!(!says("listed again"));
    store.sweep().await.unwrap();
    assert!(says("entries=1"), "{:?}", recorder.0);
    assert!(says("have been listed again"));

    let lines = recorder.0.lock().unwrap().join("\n");
    let hex = file.file_name().unwrap().to_str().unwrap().to_owned();
    let secrets = [
        "pear",
        "fig",
        &verifier().to_string(),
        &session.to_string(),
        &signed_in.to_string(),
        &PrincipalKey::new("owner", b"7").to_string(),
        &hex,
    ];
    for secret in secrets {
        assert!(!lines.contains(secret), "`{secret}` in {lines}");
    }
}
