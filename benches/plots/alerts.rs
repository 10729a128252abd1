//! A shipped pipeline over rows of history -> its episodes of alerts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arterial::runtime::{Pipeline, RunOptions, Wiring};
use arterial::spec::load_plan;
use arterial_connectors::source::Until;
use chrono::DateTime;
use serde_json::Value;

/// An alert from its opening to its end.
#[derive(Debug, Clone)]
pub(crate) struct Episode {
    pub(crate) rule: String,
    /// The alert's key columns.
    pub(crate) key: BTreeMap<String, String>,
    /// Seconds since 1970 UTC.
    pub(crate) from: i64,
    /// Seconds since 1970 UTC; `None` where it is open at the end of the data.
    pub(crate) to: Option<i64>,
}

/// Runs `pipelines/NAME` over lines of JSON and reads the alerts that it wrote, as a consumer of its folder would.
pub(crate) fn episodes(name: &str, lines: &str) -> Result<Vec<Episode>> {
    let folder = tempfile::tempdir()?;
    let (input, out) = (folder.path().join("rows.ndjson"), folder.path().join("out"));
    std::fs::write(&input, lines)?;
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(name);
    let plan = load_plan(&pipeline, &[].into())?;
    let plan = Arc::new(plan.with_file(input.display().to_string(), 1).with_folder(&out.display().to_string(), false));
    let connect = Arc::new(Wiring::new(&plan)?);
    let options = RunOptions { until: Until::Latest, ..RunOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let summary = runtime.block_on(Pipeline::new(plan, connect, options).run(std::future::pending()))?;
    let rows = summary.accounting();
    ensure!(rows.balanced() && rows.accepted > 0, "{name}: {rows:?}");
    let mut changes = Vec::new();
    for epoch in std::fs::read_dir(&out)? {
        let file = epoch?.path().join("alerts.ndjson");
        if file.exists() {
            for line in BufReader::new(std::fs::File::open(file)?).lines() {
                changes.push(Change::parse(&line?)?);
            }
        }
    }
    Ok(gathered(changes))
}

struct Change {
    episode: String,
    rule: String,
    key: BTreeMap<String, String>,
    sequence: u64,
    at: i64,
    over: bool,
}

impl Change {
    fn parse(line: &str) -> Result<Self> {
        let record: Value = serde_json::from_str(line)?;
        let value = &record["value"];
        let alert = if value["data"].is_object() { &value["data"] } else { value };
        let text = |name: &str| alert[name].as_str().with_context(|| format!("no `{name}` in {alert}"));
        let key = alert["key"].as_object().context("an alert has a key")?.iter();
        Ok(Self {
            episode: text("episode_id")?.to_owned(),
            rule: text("rule")?.to_owned(),
            key: key.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
            sequence: alert["seq"].as_u64().context("an alert has a sequence number")?,
            over: ["cleared", "expired"].contains(&text("state")?),
            at: DateTime::parse_from_rfc3339(text("observed_at")?)?.timestamp(),
        })
    }
}

/// Changes of an episode, whatever their order -> the episode.
fn gathered(mut changes: Vec<Change>) -> Vec<Episode> {
    changes.sort_by(|a, b| (&a.episode, a.sequence).cmp(&(&b.episode, b.sequence)));
    let mut episodes: Vec<Episode> = changes
        .chunk_by(|a, b| a.episode == b.episode)
        .map(|changes| Episode {
            rule: changes[0].rule.clone(),
            key: changes[0].key.clone(),
            from: changes[0].at,
            to: changes.last().filter(|change| change.over).map(|change| change.at),
        })
        .collect();
    episodes.sort_by_key(|episode| episode.from);
    episodes
}
