//! A word that was not expected and the words that were -> a hint that names them.

use crate::stages::expression::did_you_mean;

/// "did you mean `size`? allowed: every, key, size", as far as it can be said.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> Option<String> {
    let listed = list(known.clone());
    match (did_you_mean(word, known), listed.is_empty()) {
        (_, true) => None,
        (Some(near), false) => Some(format!("{near} {what}: {listed}")),
        (None, false) => Some(format!("{what}: {listed}")),
    }
}

/// Words in one line, as `a, b, c`; at most [`LISTED_MAX`] of them.
#[must_use]
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    let shown = words[..words.len().min(LISTED_MAX)].join(", ");
    if words.len() > LISTED_MAX { format!("{shown}, ... ({} in all)", words.len()) } else { shown }
}

/// Most words that a hint lists: more than any mapping of the pipeline file has keys.
const LISTED_MAX: usize = 24;
