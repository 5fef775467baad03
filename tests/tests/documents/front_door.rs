//! Checks statements of the README and the guides that the compiler does not check.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file below a folder of the repository whose name ends so.
fn files(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, end, found);
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
}

/// The link definitions of a page, `[name]: target`.
fn definitions(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: "))
}

#[test]
fn links_lead_to_files() {
    let mut pages = vec![root().join("README.md")];
    files(&root().join("session-runtime/src/guide"), ".md", &mut pages);
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for (name, target) in definitions(&text).filter(|(_, target)| !target.contains("://")) {
            let file = page.parent().unwrap().join(target);
            assert!(
                file.exists(),
                "{}: [{name}] leads to {target}",
                page.display()
            );
        }
    }
}

#[test]
fn each_link_has_its_place_in_the_documentation() {
    let readme = read("README.md");
    let documented =
        read("session-runtime/src/links.md") + &read("session-runtime/src/screenshots.md");
    let names = |page| {
        definitions(page)
            .map(|(name, _)| name)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&readme), names(&documented));
}

#[test]
fn the_documentation_has_the_pictures_of_the_shop() {
    let documented = read("session-runtime/src/screenshots.md");
    for (name, target) in definitions(&documented) {
        let picture = root().join(format!("examples/screenshots/{name}.png"));
        let picture = STANDARD.encode(fs::read(picture).unwrap());
        let is_same = target.strip_prefix("data:image/png;base64,") == Some(&picture);
        assert!(is_same, "{name}.png changed: run .ci/screenshots");
    }
}

#[test]
fn every_event_is_in_the_guide() {
    let mut sources = Vec::new();
    files(&root().join("session-runtime/src"), ".rs", &mut sources);
    let sources: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let events: BTreeSet<_> = sources
        .split("event = \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(events.len() > 10, "{events:?}");
    let guide = read("session-runtime/src/guide/deploying.md");
    for event in events {
        assert!(
            guide.contains(&format!("`{event}`")),
            "`{event}` is not in deploying.md"
        );
    }
}
