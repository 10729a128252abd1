//! A word that was not expected and the words that were -> the one that was probably meant.

/// Least Jaro-Winkler similarity of a suggestion. By trial on the keys of the pipeline file: 0.8 finds one or two
/// slipped letters (`topcis`, `windw`) and offers nothing for words that merely share a beginning.
const SIMILARITY_MIN: f64 = 0.8;

/// The word most like `word`, where one is like it at all.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lowered = word.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let similarity = strsim::jaro_winkler(&lowered, &candidate.to_lowercase());
        if similarity >= SIMILARITY_MIN && best.is_none_or(|(most, _)| similarity > most) {
            best = Some((similarity, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// "did you mean `size`? allowed: every, key, size", as far as it can be said.
#[must_use]
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> Option<String> {
    let listed = list(known.clone());
    match (nearest(word, known), listed.is_empty()) {
        (_, true) => None,
        (Some(near), false) => Some(format!("did you mean `{near}`? {what}: {listed}")),
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
