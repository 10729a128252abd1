//! What is wrong with a pipeline file, and where: one [`Problem`] per mistake, all of them together in [`SpecErrors`].
//! Nothing is looked for here; `render` turns them into text.

use std::fmt;

use serde::Serialize;

use super::render;
use crate::vocab::YamlPath;

/// A stretch of the pipeline file, within one line wherever it marks a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub struct Place {
    /// First byte.
    #[serde(skip)]
    pub start: usize,
    /// First byte after.
    #[serde(skip)]
    pub end: usize,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, in characters from 1.
    pub column: usize,
}

impl Place {
    /// The first character of the file.
    pub const START: Self = Self { start: 0, end: 0, line: 1, column: 1 };
}

/// One mistake in a pipeline file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key or list item it is about.
    pub path: YamlPath,
    /// Where that stands in the file.
    pub at: Place,
    /// What is wrong, as a sentence with the offending value.
    pub message: String,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
}

/// Most problems that are printed: nobody reads more, and a generated file may have one per line.
const SHOWN_MAX: usize = 100;

/// All mistakes found in one pipeline file, in the order in which they stand there.
///
/// `Display` gives each as `file:line:column: message`, the line with carets below it, and `help: hint`; no more than a
/// hundred, and how many more there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecErrors {
    file: String,
    text: String,
    problems: Vec<Problem>,
}

impl SpecErrors {
    /// Puts the problems of a file in order; the same sentence about the same place counts once.
    #[must_use]
    pub fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|one, other| (one.at, &one.path, &one.message).cmp(&(other.at, &other.path, &other.message)));
        problems.dedup_by(|one, other| one.at == other.at && one.message == other.message);
        Self { file: file.to_owned(), text: text.to_owned(), problems }
    }

    /// The file, as it was named by the caller.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, by position; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problems as data for programs.
    #[must_use]
    pub fn report(&self) -> Vec<ProblemRecord<'_>> {
        self.problems
            .iter()
            .map(|problem| ProblemRecord {
                path: problem.path.to_string(),
                at: problem.at,
                message: &problem.message,
                hint: problem.hint.as_deref(),
            })
            .collect()
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                formatter.write_str("\n\n")?;
            }
            formatter.write_str(&render::problem_text(&self.file, &self.text, problem))?;
        }
        match self.problems.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(formatter, "\n\nand {more} more problems"),
        }
    }
}

impl std::error::Error for SpecErrors {}

/// A problem in `validate --format json`.
#[derive(Debug, Serialize)]
pub struct ProblemRecord<'a> {
    /// Keys and list indices from the root, as `sources.loops.kafka.topics[0]`.
    pub path: String,
    /// `line` and `column`, from 1.
    #[serde(flatten)]
    pub at: Place,
    /// What is wrong.
    pub message: &'a str,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'a str>,
}
