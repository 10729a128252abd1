//! A mistyped name and the names there are -> the likeliest one. The one measure of likeness for everything that a
//! pipeline file names: keys, columns, functions, tables, zones.

/// The candidate nearest to `name`, where it is near enough to be meant; ties go to the first.
#[must_use]
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is still a typing mistake; more is another word.
    let limit = (name.chars().count() / 3).max(1);
    let lower = name.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let known = candidate.to_lowercase();
        // A column without its unit, as `speed` for `speed_kmh`, is near however long the unit.
        let unit_left_out = known.strip_prefix(&lower).is_some_and(|rest| rest.starts_with('_'));
        let distance = if unit_left_out { limit } else { strsim::damerau_levenshtein(&lower, &known) };
        if distance <= limit && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// "did you mean `speed`?", where a candidate is near enough.
#[must_use]
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    closest(name, candidates).map(|known| format!("did you mean `{known}`?"))
}
