//! The table in the README of these tests is true: there is a row for each statement of the security
//! page, and it names the tests that begin with its number, all of them and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The numbers of the security page.
const STATEMENTS: [u32; 46] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 19, 20, 22, 23, 24, 25, 26, 27, 30, 31, 33,
    35, 36, 37, 38, 40, 41, 42, 43, 44, 46, 47, 49, 50, 51, 53, 54, 57, 58, 59, 68,
];

/// The tests that a row names, by file.
type Row = BTreeMap<String, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows by the number of their statement: `| S1 … | `file`: `test`, `test`; … | drivers |`.
fn table() -> BTreeMap<u32, Row> {
    let readme = fs::read_to_string(root().join("tests/README.md")).expect("a README");
    let mut table = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with("| S")) {
        let [_, statement, tests, drivers, ""] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("a row has three cells: {line}");
        };
        let number = statement.trim_start_matches(" S").split(' ').next();
        let number = number.and_then(|number| number.parse().ok());
        let number = number.unwrap_or_else(|| panic!("a row begins with its number: {line}"));
        assert!(
            !drivers.trim().is_empty(),
            "S{number} says on which drivers"
        );
        let mut row = Row::new();
        for group in tests.split(';') {
            let (file, tests) = group.split_once(':').expect("a file and its tests");
            let name = |text: &str| text.trim().trim_matches('`').to_owned();
            row.insert(name(file), tests.split(',').map(name).collect());
        }
        let twice = table.insert(number, row);
        assert!(twice.is_none(), "S{number} has one row");
    }
    table
}

/// The numbers with which a test's name begins.
fn numbers(test: &str) -> Vec<u32> {
    let number = |part: &str| part.strip_prefix('s')?.parse().ok();
    test.split('_').map_while(number).collect()
}

/// The tests whose names begin with a number, by file as the table calls it.
fn numbered_tests() -> Vec<(String, String)> {
    fn collect(folder: &Path, name: &str, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            let stem = path.file_stem().expect("a name").to_string_lossy();
            // A module in a folder is called as the folder is.
            let name = match &*stem {
                "mod" => name.trim_end_matches('/').to_owned(),
                stem => format!("{name}{stem}"),
            };
            if path.is_dir() {
                collect(&path, &format!("{name}/"), found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).expect("a source");
                let functions = source.lines().filter_map(|line| {
                    let (before, function) = line.split_once("fn ")?;
                    let is_function = ["", "async "].contains(&before.trim_start());
                    is_function.then(|| function.split_once('(').map(|(name, _)| name))?
                });
                let numbered = functions.filter(|test| !numbers(test).is_empty());
                found.extend(numbered.map(|test| (name.clone(), test.to_owned())));
            }
        }
    }
    let mut found = Vec::new();
    collect(&root().join("tests/tests"), "", &mut found);
    collect(&root().join("tests/campaigns"), "campaigns/", &mut found);
    let runtime = "session-runtime/src/";
    collect(&root().join(runtime), runtime, &mut found);
    found
}

/// As the table writes it.
fn written(row: &Row) -> String {
    let groups = row.iter().map(|(file, tests)| {
        let tests: Vec<_> = tests.iter().map(|test| format!("`{test}`")).collect();
        format!("`{file}`: {}", tests.join(", "))
    });
    groups.collect::<Vec<_>>().join("; ")
}

#[test]
fn every_statement_has_a_row() {
    let rows: BTreeSet<u32> = table().into_keys().collect();
    assert_eq!(rows, BTreeSet::from(STATEMENTS));
}

#[test]
fn every_row_names_the_tests_that_there_are() {
    let found = numbered_tests();
    assert!(found.len() > 100, "only {} tests were found", found.len());
    let mut rows: BTreeMap<u32, Row> = BTreeMap::new();
    for (file, test) in found {
        for number in numbers(&test) {
            let has_two_digits = test.contains(&format!("s{number:02}_"));
            assert!(
                has_two_digits,
                "`{test}` in `{file}`: a number has two digits"
            );
            let row = rows.entry(number).or_default();
            row.entry(file.clone()).or_default().insert(test.clone());
        }
    }
    let table = table();
    for number in STATEMENTS {
        let (listed, there) = (table.get(&number), rows.get(&number));
        let row = there.map(written).unwrap_or_default();
        assert!(
            listed == there && there.is_some(),
            "the row of S{number} should say {row}"
        );
    }
    let others = rows.keys().find(|number| !STATEMENTS.contains(number));
    assert_eq!(others, None, "a test of no statement");
}
