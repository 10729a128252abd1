//! Summaries and score tables, for people and for programs.

use anyhow::Result;
use arterial_connectors::folder::Manifest;
use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::runtime::RunSummary;
use crate::spec::PipelinePlan;
use crate::spec::model::Span;
use crate::stages::clean::{Replaced, ReplacedValues};
use crate::stages::encode::day_text;
use crate::stages::predict::{Baseline, ClassSums, MeanWeight, ScoreTotal};

/// Ten times worse than the baseline: beyond it a number tells only that the baseline is hardly ever wrong. Chosen so that
/// every forecast that is of use, and any that merely fails, keeps its number.
const SKILL_SHOWN_MIN: f64 = -9.0;

/// One number of a classifier.
type Measure = fn(&ClassSums) -> Option<f64>;

/// What is told of probabilities, in the order of the table.
const CLASS_MEASURES: [(&str, Measure); 7] = [
    ("log_loss", ClassSums::mean_log_loss),
    ("accuracy", ClassSums::accuracy),
    ("precision", ClassSums::precision),
    ("recall", ClassSums::recall),
    ("f1", ClassSums::f1),
    ("auc", ClassSums::auc),
    ("calibration_error", ClassSums::calibration_error),
];

/// One dead letter in so many rows is worth a word.
const DEAD_LETTERS_TOLD: u64 = 50;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables.
    Text,
    /// One JSON object.
    Json,
}

/// Prints what a run did.
///
/// # Errors
/// Only where JSON cannot be written, which these numbers never cause.
pub fn print_summary(plan: &PipelinePlan, summary: &RunSummary, format: Format) -> Result<()> {
    match format {
        Format::Json => say!("{}", serde_json::to_string_pretty(&summary_json(plan, summary))?),
        Format::Text => {
            print_accounting(plan, summary);
            print_scores(&summary.scores);
        }
    }
    Ok(())
}

/// The summary as JSON: counts, scores since the pipeline's first start and by day, and the digest of the state.
#[must_use]
pub fn summary_json(plan: &PipelinePlan, summary: &RunSummary) -> serde_json::Value {
    let rows = summary.accounting();
    json!({
        "pipeline": plan.name,
        "rows": {
            "in": rows.rows_in, "accepted": rows.accepted, "late": rows.late, "dead_letter": rows.dead_letter(),
            "filtered": rows.filtered, "duplicate": rows.duplicate, "skipped": rows.skipped,
            "balanced": rows.balanced(),
        },
        "rows_in_this_run": summary.rows_now(),
        "windows": summary.windows(),
        "alerts": summary.alerts(),
        "refused_labels": summary.refused_labels(),
        "replaced_values": replaced_json(&summary.replaced()),
        "scores": scores_json(&summary.scores),
        "days": summary.days.iter().flat_map(|(day, scores)| day_json(*day, scores)).collect::<Vec<_>>(),
        "commits": summary.commits,
        "rewinds": summary.rewinds,
        "elapsed_s": summary.elapsed.as_secs_f64(),
        "state_digest": summary.digest().to_string(),
    })
}

fn replaced_json(replaced: &Replaced) -> Vec<serde_json::Value> {
    let counts = replaced.iter().map(|(column, step, counted)| {
        json!({ "column": &**column, "step": step, "values": counted.values, "replaced": counted.replaced })
    });
    counts.collect()
}

fn scores_json(scores: &[ScoreTotal]) -> Vec<serde_json::Value> {
    let of = |score: &ScoreTotal| {
        json!({
            "predictor": score.predictor, "horizon_s": score.horizon_micros as f64 / 1e6, "model": score.model,
            "count": score.sums.count, "mae": score.sums.mae(), "rmse": score.sums.rmse(),
            "skill_persistence": score.skill(Baseline::Persistence), "skill_profile": score.skill(Baseline::Profile),
            "interval_coverage": score.sums.intervals.coverage(), "interval_score": score.sums.intervals.mean_score(),
            "weight": score.weight.and_then(MeanWeight::mean),
        })
    };
    let with_classes = |score: &ScoreTotal| {
        let mut row = of(score);
        for (name, measure) in CLASS_MEASURES {
            row[name] = score.sums.classes.as_deref().and_then(measure).into();
        }
        row
    };
    scores.iter().map(with_classes).collect()
}

/// The scores of one day, each with the day.
fn day_json(day: i32, scores: &[ScoreTotal]) -> Vec<serde_json::Value> {
    let mut rows = scores_json(scores);
    rows.iter_mut().for_each(|row| row["day"] = day_text(day).into());
    rows
}

fn print_accounting(plan: &PipelinePlan, summary: &RunSummary) {
    let rows = summary.accounting();
    let seconds = summary.elapsed.as_secs_f64();
    let sign = if rows.balanced() { "=" } else { "!=" };
    say!(
        "{}: {} rows in {sign} {} accepted + {} late + {} dead letters + {} filtered + {} duplicate",
        plan.name,
        rows.rows_in,
        rows.accepted,
        rows.late,
        rows.dead_letter(),
        rows.filtered,
        rows.duplicate,
    );
    match (summary.rows_before, summary.rows_now()) {
        (0, _) => {}
        (_, 0) => say!("nothing new was read: all of it is of earlier runs. {}", anew(plan)),
        (before, now) => say!("{now} rows in are of this run, {before} of earlier ones; so with all that follows"),
    }
    if rows.rows_in > 0 && rows.accepted == 0 {
        say!("no row could be used: the log says why of the first, the outputs `late` and `dead_letter` of all");
    } else if rows.late > rows.accepted {
        say!(
            "most rows came late: one time far ahead makes all that follow it late. Sort a table by time, or say what \
             cannot be meant: `event_time: {{ latest: ... }}`"
        );
    }
    let refused = rows.dead_letter();
    if refused * DEAD_LETTERS_TOLD > rows.rows_in && rows.accepted > 0 {
        say!(
            "{:.0} % of the rows are dead letters: the log has the first of each reason and column, and `dead_letter` all of them. Numbers that are \
             none want `decimal`, `thousands` or `nulls` under `decode:`",
            100.0 * refused as f64 / rows.rows_in as f64
        );
    }
    if plan.sinks.declared().is_empty() {
        say!("the pipeline has no `sinks:`, so nothing of it was written");
    }
    if rows.skipped > 0 {
        say!("{} offsets were gone before they could be read and were skipped", rows.skipped);
    }
    say!(
        "{} windows, {} alert changes, {} commits, {} rewinds, {seconds:.1} s",
        summary.windows(),
        summary.alerts(),
        summary.commits,
        summary.rewinds,
    );
    if summary.refused_labels() > 0 {
        say!("{} labels were too extreme to learn from and were refused", summary.refused_labels());
    }
    for (column, step, counted) in summary.replaced().iter().filter(|(_, _, counted)| counted.replaced > 0) {
        let ReplacedValues { values, replaced } = counted;
        let most = match step {
            "range" if counted.most() => ", most of them: are they in the unit that the limits are in?",
            _ => "",
        };
        say!("`{step}` replaced {replaced} of {values} values of `{column}`{most}");
    }
    say!("state {}", summary.digest());
}

/// How everything is read again.
fn anew(plan: &PipelinePlan) -> String {
    match plan.sinks.folder() {
        Some(folder) => {
            format!("To read it again, remove `{}`: outputs, positions and state", plan.folder.join(folder).display())
        }
        None => "To look at all of it again: `arterial eval`. A pipeline of another name would read it again, too, and write \
                 its outputs once more"
            .to_owned(),
    }
}

/// Prints where the outputs are, for a pipeline that writes into a folder.
pub fn print_outputs(plan: &PipelinePlan, format: Format) {
    let folder = plan.sinks.folder().map(|folder| plan.folder.join(folder));
    let Some(folder) = folder.filter(|_| format == Format::Text) else { return };
    let records = match Manifest::records_in_all(&folder) {
        Ok(records) => records,
        // Everything is done by now; somebody may have taken epochs away.
        Err(error) => return say!("outputs in {}/epoch-*; not all of them can be counted: {error}", folder.display()),
    };
    let (mut files, mut none) = (Vec::new(), Vec::new());
    for (name, sink) in plan.sinks.declared() {
        let ending = if sink.columns() { "parquet" } else { "ndjson" };
        match records.get(name) {
            Some(records) => files.push(format!("{name}.{ending} ({records})")),
            None => none.push(name.as_str()),
        }
    }
    let mut told = if files.is_empty() { Vec::new() } else { vec![files.join(", ")] };
    if !none.is_empty() {
        told.push(format!("nothing for {}", none.join(", ")));
    }
    say!("outputs in {}/epoch-*: {}", folder.display(), told.join("; "));
}

/// Prints a table without lines, each row behind `indent`.
pub fn print_rows(indent: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    // The style puts a blank before each cell.
    table.to_string().lines().for_each(|line| say!("{indent}{}", line.strip_prefix(' ').unwrap_or(line).trim_end()));
}

/// Prints how good every model is beside the baselines: forecasts by their errors, classifiers by their probabilities.
pub fn print_scores(scores: &[ScoreTotal]) {
    if !scores.is_empty() && scores.iter().all(|score| score.sums.count == 0) {
        return say!("no forecast has met its value yet, so there is nothing to score");
    }
    let (classes, quantities): (Vec<&ScoreTotal>, Vec<&ScoreTotal>) =
        scores.iter().partition(|score| score.sums.classes.is_some());
    if !quantities.is_empty() {
        print_errors(&quantities);
    }
    if !classes.is_empty() {
        print_classes(&classes);
    }
}

/// Log loss, accuracy and the rest of classifiers.
fn print_classes(scores: &[&ScoreTotal]) {
    let mut heading = vec!["predictor", "horizon", "model", "n"];
    heading.extend(CLASS_MEASURES.map(|(name, _)| name));
    let mixed = scores.iter().any(|score| score.weight.is_some());
    heading.extend(mixed.then_some("weight"));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(&heading);
    for score in scores {
        let horizon = Span { micros: score.horizon_micros }.to_string();
        let mut row = vec![score.predictor.clone(), horizon, score.model.clone(), score.sums.count.to_string()];
        row.extend(CLASS_MEASURES.map(|(_, measure)| number(score.sums.classes.as_deref().and_then(measure))));
        row.extend(mixed.then(|| weight(score)));
        table.add_row(row);
    }
    align_numbers(&mut table, heading.len());
    say!("\n{table}");
}

/// Columns from the fourth on to the right.
fn align_numbers(table: &mut Table, columns: usize) {
    for column in 3..columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// MAE, RMSE and skill of forecasts.
fn print_errors(scores: &[&ScoreTotal]) {
    let bounded = scores.iter().any(|score| score.sums.intervals.count > 0);
    let mut heading = vec!["predictor", "horizon", "model", "n", "MAE", "RMSE", "vs persistence", "vs profile"];
    heading.extend(["inside", "interval score"].iter().filter(|_| bounded));
    let mixed = scores.iter().any(|score| score.weight.is_some());
    heading.extend(mixed.then_some("weight"));
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(&heading);
    for score in scores {
        let mut row = vec![
            score.predictor.clone(),
            Span { micros: score.horizon_micros }.to_string(),
            score.model.clone(),
            score.sums.count.to_string(),
            number(score.sums.mae()),
            number(score.sums.rmse()),
            percent(score, Baseline::Persistence),
            percent(score, Baseline::Profile),
        ];
        if bounded {
            row.push(
                score.sums.intervals.coverage().map_or_else(String::new, |share| format!("{:.1} %", 100.0 * share)),
            );
            row.push(number(score.sums.intervals.mean_score()));
        }
        row.extend(mixed.then(|| weight(score)));
        table.add_row(row);
    }
    align_numbers(&mut table, heading.len());
    say!("\n{table}");
}

/// Skill in percent; empty for the baseline itself. Where a series hardly moves, a baseline is hardly ever wrong, and how
/// many times worse than that a forecast is says nothing.
fn percent(score: &ScoreTotal, baseline: Baseline) -> String {
    match score.skill(baseline) {
        None => String::new(),
        Some(skill) if skill < SKILL_SHOWN_MIN => format!("< {:.0} %", 100.0 * SKILL_SHOWN_MIN),
        Some(skill) => format!("{:+.1} %", 100.0 * skill),
    }
}

/// An expert's part in its mixture; empty for what is none.
fn weight(score: &ScoreTotal) -> String {
    let mean = score.weight.and_then(MeanWeight::mean);
    mean.map_or_else(String::new, |weight| format!("{:.0} %", 100.0 * weight))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}
