//! Rows in, everything a pipeline makes of them out, without source or ledger: what `arterial test` looks at.

use std::sync::Arc;

use arterial_connectors::discard::DiscardLedger;
use arterial_connectors::payload::{Payload, RawRows};
use arterial_connectors::position::Partition;
use arterial_connectors::source::SourceBatch;
use serde_json::{Map, Value};

use super::changes::Changes;
use super::control::FlushReason;
use super::error::PipelineError;
use super::shard::Shard;
use super::trace::Trace;
use super::transaction::Transaction;
use crate::spec::PipelinePlan;
use crate::spec::model::Output;
use crate::state::Blocks;

/// A row of an output, by column.
pub type DryRow = Map<String, Value>;

/// Everything that came out, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DryRun {
    /// Rows after cleaning.
    pub clean: Vec<DryRow>,
    /// Closed windows, one row per live key.
    pub windows: Vec<DryRow>,
    /// Forecasts.
    pub forecasts: Vec<DryRow>,
    /// Alert changes.
    pub alerts: Vec<DryRow>,
    /// Rises of forecasts' errors.
    pub drift: Vec<DryRow>,
    /// Dead letters: `stage`, `reason`, `detail`.
    pub dead_letter: Vec<DryRow>,
    /// Late rows, as they came.
    pub late: Vec<DryRow>,
}

fn batch(partition: Partition, rows: RawRows, next_offset: usize) -> SourceBatch {
    let next_offset = next_offset as i64;
    SourceBatch { partition, payload: Payload::Raw(rows), next_offset, skipped: 0 }
}

/// Takes the rows through every stage as one partition, closes all windows, and gathers the outputs. `rows` are JSON
/// objects, whatever the format of the source; `payloads` come after them and are what a topic of the source holds.
///
/// # Errors
/// As a shard's.
pub fn dry_run(plan: &Arc<PipelinePlan>, rows: RawRows, payloads: RawRows) -> Result<DryRun, PipelineError> {
    let of_topic = Arc::clone(&plan.decode);
    let mut plan = plan.with_all_outputs();
    plan.decode = Arc::new(plan.decode.for_json());
    let plan = Arc::new(plan);
    let partition = Partition { topic: 0, number: 0 };
    let mut shard = Shard::restore(&plan, partition, None, Blocks::default(), &Changes::default())?;
    shard.trace = Some(Trace::default());
    // Nothing is handed over: the records are what the test looks at.
    let mut transaction = Transaction::new(Box::new(DiscardLedger), usize::MAX, Arc::default());
    let (given, all) = (rows.len(), rows.len() + payloads.len());
    shard.process(&batch(partition, rows, given), &mut transaction)?;
    // The names of a file's cells stand in its header, which a test has none of.
    if of_topic.names_cells() {
        shard.decode_by(of_topic);
    }
    shard.process(&batch(partition, payloads, all), &mut transaction)?;
    shard.flush(FlushReason::End, 0, &mut transaction)?;
    let Trace { clean, windows } = shard.trace.take().unwrap_or_default();
    let mut run = DryRun { clean, windows, ..DryRun::default() };
    for record in transaction.records().iter() {
        let Some(output) = plan.sinks.output(record.sink) else { continue };
        let value = record.value.and_then(|value| serde_json::from_slice(value).ok());
        match (output, value) {
            (Output::Forecasts, Some(row)) => run.forecasts.push(row),
            (Output::Alerts, Some(row)) => run.alerts.push(row),
            (Output::Drift, Some(row)) => run.drift.push(row),
            (Output::Late, Some(row)) => run.late.push(row),
            (Output::DeadLetter, _) => run.dead_letter.push(dead_letter_row(record.headers)),
            _ => {}
        }
    }
    Ok(run)
}

/// A dead letter's own headers as columns: `stage`, `reason`, `detail`.
fn dead_letter_row(headers: &[(String, Option<Vec<u8>>)]) -> DryRow {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.strip_prefix("arterial.dlq.")?;
            let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
            Some((name.to_owned(), Value::from(text)))
        })
        .collect()
}
