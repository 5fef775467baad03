//! The direction of imports: a module imports those below it in the list and none above.

use std::collections::BTreeSet;
use std::path::Path;

/// The modules from the ground up. Those in one row do not import each other.
const ROWS: &[&[&str]] = &[
    &["config_error", "clock", "codec", "token", "keys"],
    &["timeouts", "signature", "error"],
    &["events", "sealing", "sealing_off", "cookie"],
    &["store"],
    &["schema"],
    &["config"],
    &["principals"],
    &["request"],
    &["session"],
    &["extract"],
    &["sessions"],
    &["layer"],
];

#[test]
fn modules_import_only_those_below_them() {
    let mut below = BTreeSet::new();
    for row in ROWS {
        for module in *row {
            for imported in imports(module) {
                assert!(
                    imported == *module || below.contains(&*imported),
                    "`{module}` imports `{imported}`"
                );
            }
        }
        below.extend(row.iter().copied());
    }
}

/// The modules of this crate that a module names, without its tests.
fn imports(module: &str) -> BTreeSet<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut text = String::new();
    read(&source.join(format!("{module}.rs")), &mut text);
    read(&source.join(module), &mut text);
    assert!(!text.is_empty(), "`{module}` has a source");
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let named = code.flat_map(|line| line.split("crate::").skip(1));
    let names = named.map(|rest| {
        let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_');
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

fn read(path: &Path, text: &mut String) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            read(&entry.unwrap().path(), text);
        }
    } else if let Ok(found) = std::fs::read_to_string(path) {
        let is_test = ["tests", "interleavings"]
            .iter()
            .any(|name| path.ends_with(format!("{name}.rs")));
        if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
            text.push_str(found.split("#[cfg(test)]\nmod tests {").next().unwrap());
            text.push('\n');
        }
    }
}
