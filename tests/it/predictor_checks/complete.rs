//! That the list of cases is whole: every implementation of `OnlinePredictor` in `src` is run by one, and what a case is let
//! off from has a reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{SilencedBy, cases};

/// Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Names of the types that implement the trait in a text, generic or not.
fn implementations(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    let of = |pair: &[&str]| {
        let found = pair[0].ends_with("OnlinePredictor") && pair[1] == "for";
        found.then(|| pair[2].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
    };
    words.windows(3).filter_map(of).collect()
}

#[test]
fn implementations_are_seen_in_every_shape() {
    let text = "// impl OnlinePredictor for Nobody {}\nimpl OnlinePredictor for One {}\nimpl<T: Send> OnlinePredictor\n    \
                for Two<T> {}\nimpl crate::predict::OnlinePredictor for Three {}";
    assert_eq!(implementations(text), ["One", "Two", "Three"]);
}

#[test]
fn every_implementation_in_the_sources_is_a_case() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: BTreeSet<String> =
        sources(&root).iter().flat_map(|path| implementations(&fs::read_to_string(path).unwrap())).collect();
    let run: BTreeSet<String> = cases().iter().flat_map(|case| case.runs).map(|name| (*name).to_owned()).collect();
    assert_eq!(found, run, "left: in the sources; right: run by cases");
}

#[test]
fn cases_have_names_of_their_own_and_reasons_for_what_they_are_let_off_from() {
    let all = cases();
    let names: BTreeSet<&str> = all.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), all.len());
    for case in &all {
        let mut reasons = case.exempt.iter().map(|(_, reason)| *reason);
        assert!(reasons.all(|reason| !reason.is_empty()), "{}", case.name);
        assert!(!matches!(case.silenced_by, SilencedBy::None("")), "{}", case.name);
    }
}
