//! A template such as `Slow traffic on {segment_id}` and one key's values -> one line for people.

use super::{AlertPlanError, AlertState};

/// Decimals of a number in a summary.
const DECIMALS: i32 = 2;
/// What stands for a number that is not known.
const UNKNOWN: &str = "unknown";

/// The templates of a rule: what is said while an alert is open, and what once it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summaries {
    pub(super) open: Summary,
    pub(super) cleared: Option<Summary>,
}

impl Summaries {
    /// The line for one change of an alert, from the values there are at that change; the rest is as for
    /// [`Summary::render`]. An alert that is over never reads as if it were open.
    #[must_use]
    pub fn render(
        &self,
        state: AlertState,
        keys: &[&str],
        column: &dyn Fn(usize) -> f64,
        measure: Option<f64>,
    ) -> String {
        let prefix = match (state, &self.cleared) {
            (AlertState::Opened | AlertState::Updated, _) => "",
            (AlertState::Cleared, Some(cleared)) => return cleared.render(keys, column, measure),
            (AlertState::Cleared, None) => "Cleared: ",
            (AlertState::Expired, _) => "Expired: ",
            (AlertState::Retracted, _) => "Retracted: ",
        };
        format!("{prefix}{}", self.open.render(keys, column, measure))
    }
}

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Index among the key columns.
    Key(usize),
    /// Index among the columns of a measure.
    Column(usize),
    Measure,
}

impl Summary {
    /// Reads a template: `{name}` is a key column, a column that a measure may read, or `{measure}`; `{{` and `}}`
    /// are braces.
    ///
    /// # Errors
    /// [`AlertPlanError`] where a placeholder names nothing or a brace has no other half.
    pub(super) fn parse(template: &str, keys: &[String], columns: &[String]) -> Result<Self, AlertPlanError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut letters = template.chars().enumerate().peekable();
        while let Some((position, letter)) = letters.next() {
            let brace = AlertPlanError::Brace { position: position + 1 };
            match letter {
                '{' | '}' if letters.next_if(|(_, next)| *next == letter).is_some() => text.push(letter),
                '}' => return Err(brace),
                '{' => {
                    let mut name = String::new();
                    loop {
                        match letters.next() {
                            Some((_, '}')) => break,
                            Some((_, letter)) => name.push(letter),
                            None => return Err(brace),
                        }
                    }
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(placeholder(name, keys, columns)?);
                }
                other => text.push(other),
            }
        }
        parts.push(Part::Text(text));
        Ok(Self { parts })
    }

    /// The line for one key. `keys` are the key's values in the window's order, `column` gives the value of a
    /// measure's column by its index, NaN for null. Numbers are rounded to two decimals.
    #[must_use]
    pub fn render(&self, keys: &[&str], column: &dyn Fn(usize) -> f64, measure: Option<f64>) -> String {
        let mut line = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Key(index) => line.push_str(keys.get(*index).unwrap_or(&UNKNOWN)),
                Part::Column(index) => line.push_str(&rounded(column(*index))),
                Part::Measure => line.push_str(&rounded(measure.unwrap_or(f64::NAN))),
            }
        }
        line
    }
}

fn placeholder(name: String, keys: &[String], columns: &[String]) -> Result<Part, AlertPlanError> {
    if let Some(index) = keys.iter().position(|key| *key == name) {
        return Ok(Part::Key(index));
    }
    if let Some(index) = columns.iter().position(|column| *column == name) {
        return Ok(Part::Column(index));
    }
    if name == "measure" { Ok(Part::Measure) } else { Err(AlertPlanError::UnknownPlaceholder { name }) }
}

/// `0.4`, `12`, `-3.25`: at most two decimals, no trailing zeros, no negative zero.
fn rounded(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    let scale = 10_f64.powi(DECIMALS);
    let scaled = (value * scale).round() / scale;
    // A value too large to scale has no decimals to round away.
    let shown = if scaled.is_finite() { scaled } else { value };
    format!("{}", shown + 0.0)
}
