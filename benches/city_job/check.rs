//! What a run says -> nothing where any correct engine would say the same, else what differs.

use anyhow::{Result, ensure};
use arterial::runtime::RunSummary;
use arterial::spec::PipelinePlan;

use crate::depth::{Counts, Depth};
use crate::generator::DETECTORS;
use crate::measure::Cost;
use crate::setting::Setting;
use crate::{alerts, oracle};

/// What any correct engine says of 1,200 rounds.
const EXPECTED_ROUNDS: usize = 1_200;
const EXPECTED_WINDOWS: u64 = 595_000;
const EXPECTED_ALERTS: u64 = 7_812;
/// SHA-256, first 12 digits, over the sorted lines `detector window_end_ms open|clear` of all alerts, line feeds between
/// them. Programs for Flink, for Kafka Streams and for plain Python with NumPy, written apart from this engine, all wrote
/// the alerts of this hash.
const EXPECTED_ALERT_HASH: &str = "d881fa245692";

/// The alerts that are due after so many rounds, as sorted lines.
pub(crate) fn due_alerts(rounds: usize) -> Result<Vec<String>> {
    let due = oracle::due_alerts(DETECTORS, rounds)?;
    if rounds == EXPECTED_ROUNDS {
        let hash = alerts::hash(&due);
        ensure!(hash == EXPECTED_ALERT_HASH, "the oracle's alerts hash to {hash} instead of {EXPECTED_ALERT_HASH}");
    }
    Ok(due)
}

/// Reads back what a run has committed to its alert topic.
pub(crate) fn committed_alerts(setting: &Setting, plan: &PipelinePlan, due: &[String]) -> Result<()> {
    let written = alerts::committed(&setting.brokers, &alerts::topic(plan)?, alerts::ours)?;
    alerts::compare(&written, due)?;
    eprintln!("{} committed alerts, hash {}: those that are due", written.len(), alerts::hash(&written));
    Ok(())
}

pub(crate) fn stages(setting: &Setting, depth: Depth, cost: Cost, counts: Counts) -> Result<()> {
    ensure!(cost.rows == setting.rows, "{} rows instead of {}", cost.rows, setting.rows);
    if depth >= Depth::Decode {
        let (found, due) = (counts.rejected, setting.malformed);
        ensure!(found == due, "{found} rows rejected instead of {due}");
    }
    if depth >= Depth::Features && setting.rounds == EXPECTED_ROUNDS {
        ensure!(counts.windows == EXPECTED_WINDOWS, "{} windows instead of {EXPECTED_WINDOWS}", counts.windows);
    }
    Ok(())
}

/// That every row is accounted for, and every window closed.
pub(crate) fn rows(setting: &Setting, cost: Cost, summary: &RunSummary) -> Result<()> {
    let rows = summary.accounting();
    ensure!(rows.balanced(), "the accounting identity does not hold: {rows:?}");
    let counts = Counts { rejected: rows.dead_letter(), windows: summary.windows() };
    stages(setting, Depth::Predict, cost, counts)
}

pub(crate) fn whole(setting: &Setting, cost: Cost, summary: &RunSummary) -> Result<()> {
    rows(setting, cost, summary)?;
    if setting.rounds == EXPECTED_ROUNDS {
        ensure!(summary.alerts() == EXPECTED_ALERTS, "{} alerts instead of {EXPECTED_ALERTS}", summary.alerts());
    }
    Ok(())
}
