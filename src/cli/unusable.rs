//! A bounded run that read rows and could use none of them -> an error: the first reason, and what there is to do before
//! the next try, which would not read these rows again. Rows that were late, filtered or duplicate could be read, so a run
//! with some of them says enough in its summary.

use std::sync::{Arc, Mutex, PoisonError};

use crate::observe::{DeadLetterNotice, Listener, RunEvent};
use crate::runtime::RunSummary;
use crate::spec::PipelinePlan;

/// The first dead letter of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstLetter(Arc<Mutex<Option<DeadLetterNotice>>>);

/// What remembers that the rows were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// The folder of the outputs.
    Folder(String),
    /// The positions in the topics.
    Topic,
    /// Nothing.
    Nowhere,
}

/// Every row became a dead letter.
#[derive(Debug, thiserror::Error)]
#[error("none of {rows} rows could be used, all of them are dead letters{}", first.as_ref().map_or_else(String::new, |first| format!("; the first: {first}")))]
pub struct UnusableError {
    rows: u64,
    /// None where this run read none of them.
    first: Option<DeadLetterNotice>,
    remembered: Remembered,
}

impl FirstLetter {
    /// The listener, which is listened to as well.
    pub(super) fn beside(&self, listener: Listener) -> Listener {
        let first = self.clone();
        Arc::new(move |event| {
            if let RunEvent::FirstDeadLetter(letter) = event {
                first.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| letter.clone());
            }
            listener(event);
        })
    }

    /// Refuses a run whose rows are all dead letters; one that found no new rows where those of all runs before it are.
    ///
    /// # Errors
    /// [`UnusableError`], with what to do.
    pub(super) fn refuse_unusable(&self, summary: &RunSummary, remembered: Remembered) -> Result<(), UnusableError> {
        let all = summary.accounting();
        let (refused, refused_now) = (all.dead_letter(), all.dead_letter() - summary.dead_letters_before);
        // Those of this run, and where there are none those of the runs before.
        let (rows, refused) = match summary.rows_now() {
            0 => (all.rows_in, refused),
            now => (now, refused_now),
        };
        if rows == 0 || refused < rows {
            return Ok(());
        }
        let first = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(UnusableError { rows, first, remembered })
    }
}

impl Remembered {
    /// Where a run of this plan remembers what it has read.
    pub(super) fn of(plan: &PipelinePlan) -> Self {
        match plan.sinks.folder() {
            Some(folder) => Self::Folder(plan.folder.join(folder).display().to_string()),
            None if plan.source.kafka.is_some() => Self::Topic,
            None => Self::Nowhere,
        }
    }
}

impl UnusableError {
    /// What the user should do.
    #[must_use]
    pub fn hint(&self) -> String {
        let settings = match self.first.as_ref().map(|first| first.reason) {
            Some("bad_timestamp") => {
                "say under `decode:` how times are written (`timestamp_format: \"%d.%m.%Y %H:%M\"`, `timestamp: epoch_s`, `timezone`)"
            }
            Some("invalid_utf8") => "say how characters are written: under `file`, `csv: { encoding: windows-1252 }`",
            Some("malformed") => "say under `decode:` how rows are written (`format`, `delimiter`, `quote`)",
            Some("missing_column") => "say under `paths:` what the source calls its columns",
            Some("wrong_type") => {
                "say under `decode:` how values are written (`decimal`, `thousands`, `nulls`), or correct `paths:`"
            }
            _ => "correct the pipeline file",
        };
        match &self.remembered {
            Remembered::Folder(folder) => format!(
                "{settings}; then remove `{folder}`, which remembers that these rows were read, and run it again"
            ),
            Remembered::Topic => format!(
                "{settings}; the position in the topic has moved on: `arterial dlq replay` sends the rows back to it once that is done, \
                 and a pipeline of another name reads it from its start"
            ),
            Remembered::Nowhere => format!("{settings}, and run it again: nothing of it was kept"),
        }
    }
}
