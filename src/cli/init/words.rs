//! Names of columns -> the words in them.

/// The first of the words that a name has a part that begins or ends with. Words of two letters have to be a part by
/// themselves: `snelheid` is no `id`, `counts` no `ts`.
pub(super) fn has_word(name: &str, words: &[&str]) -> Option<usize> {
    let parts = parts(name);
    let is = |part: &String, word: &str| match word.len() {
        ..=2 => part == word,
        _ => part.starts_with(word) || part.ends_with(word),
    };
    words.iter().position(|word| parts.iter().any(|part| is(part, word)))
}

/// `stationId`, `station_id` -> `station`, `id`.
fn parts(name: &str) -> Vec<String> {
    let (mut parts, mut small) = (vec![String::new()], false);
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (small && letter.is_uppercase()) {
            parts.push(String::new());
        }
        small = letter.is_lowercase();
        if let Some(part) = parts.last_mut().filter(|_| letter.is_alphanumeric()) {
            part.extend(letter.to_lowercase());
        }
    }
    parts
}
