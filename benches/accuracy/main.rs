//! How good the shipped pipelines' forecasts are on real data, by a written protocol, beside persistence, the seasonal
//! profile, the experts of a mixture and reference figures. `make accuracy` runs all of it and then fails where a forecast is
//! worse than its reference or its must, bounds do not hold, or the number of labels is another: another count is another protocol. Arguments name data sets; all unless given.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its table")]

mod classes;
#[path = "../support/data.rs"]
mod data;
#[path = "../support/figures.rs"]
mod figures;
mod intervals;
#[path = "../support/pipeline.rs"]
mod pipeline;
mod protocol;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use arterial::runtime::Pipeline;
use arterial::stages::predict::{ErrorSums, ScoreTotal};
use comfy_table::{CellAlignment, Table};

use crate::data::data_file;
use crate::figures::{Figure, write_figures_anew};
use crate::intervals::{Beside, COVERAGE, Gathered};
use crate::pipeline::plan_of;
use crate::protocol::{DATA_SETS, DataSet, Must, Reference};

const MICROS_PER_MINUTE: i64 = 60_000_000;
/// How far the share of labels inside bounds may be from what is promised.
const COVERAGE_SLACK: f64 = 0.01;
/// Least share of labels inside at peak hours.
const AT_PEAK_MIN: f64 = 0.86;

fn main() -> Result<()> {
    // Cargo hands options of its own on.
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for name in &names {
        let known = DATA_SETS.iter().map(|set| set.name).chain(classes::NAMES).any(|known| known == name);
        ensure!(known, "there is no data set `{name}` with a protocol");
    }
    let mut failed = forecasts(&names)?;
    let mut table = classes::heading();
    let (figures, complaints) = classes::run(&names, &mut table)?;
    if !figures.is_empty() {
        println!("\nclasses:\n{table}");
        let measured = classes::NAMES.iter().filter(|name| names.is_empty() || names.iter().any(|one| one == *name));
        let beginnings: Vec<String> = measured.map(|name| format!("{name}.")).collect();
        write_figures_anew("accuracy.json", &beginnings, &figures)?;
    }
    failed.extend(complaints);
    ensure!(failed.is_empty(), "not as good as the reference:\n  {}", failed.join("\n  "));
    Ok(())
}

/// Runs the data sets of forecasts that are named and prints their tables; returns what is worse than its reference.
fn forecasts(names: &[String]) -> Result<Vec<String>> {
    let chosen: Vec<&DataSet> =
        DATA_SETS.iter().filter(|set| names.is_empty() || names.iter().any(|name| name == set.name)).collect();
    for set in &chosen {
        data_file(set.rows)?;
    }
    let (mut table, mut bounds) = (heading(), bounds_heading());
    let mut failed = Vec::new();
    for set in &chosen {
        eprintln!("{}: reading all of it", set.name);
        let (scores, gathered) = evaluate(set)?;
        let mut figures = Vec::new();
        for reference in set.references {
            let judged = Judged::of(&scores, reference)?;
            table.add_row(judged.row(set));
            judged.experts.iter().for_each(|(name, sums)| {
                table.add_row(judged.expert_row(set, name, sums));
            });
            figures.extend(judged.figures(set));
            failed.extend(judged.complaints().into_iter().map(|complaint| {
                let (name, horizon) = (judged.name(set), judged.horizon());
                format!("{name} at {horizon}: {complaint}")
            }));
        }
        for (predictor, minutes, must) in set.horizons() {
            let of = (predictor.to_owned(), i64::from(minutes) * MICROS_PER_MINUTE);
            if let Some(beside) = gathered.of(&of) {
                let name = format!("{}.{predictor}.{minutes}m", set.name);
                let judged = Bounded { name, beside, must };
                bounds.add_row(judged.row());
                figures.extend(judged.figures());
                failed.extend(judged.complaints());
            }
        }
        let beginnings = ["", "intervals."].map(|kind| format!("{kind}{}.", set.name));
        write_figures_anew("accuracy.json", &beginnings, &figures)?;
    }
    if !chosen.is_empty() {
        println!("{table}\n\nintervals of 90 %:\n{bounds}");
    }
    Ok(failed)
}

/// Runs the shipped pipeline over the data set's rows, as `arterial eval` does.
fn evaluate(set: &DataSet) -> Result<(Vec<ScoreTotal>, Gathered)> {
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(set.pipeline);
    let rows = std::path::absolute(data_file(set.rows)?)?.display().to_string();
    let gathered = Gathered::default();
    let plan = plan_of(&pipeline)?.with_file(rows, set.partitions);
    let plan = plan.with_observer(&gathered.observer(set.zone));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let summary = runtime.block_on(Pipeline::evaluation(&plan)?.run(std::future::pending()))?;
    let rows = summary.accounting();
    ensure!(rows.balanced(), "{}: the accounting identity does not hold: {rows:?}", set.name);
    Ok((summary.scores, gathered))
}

/// Bounds of one predictor at one horizon beside those of split conformal prediction.
struct Bounded {
    name: String,
    beside: Beside,
    must: Must,
}

impl Bounded {
    /// Mean interval scores of both, coverages of both and of ours at the peak.
    fn numbers(&self) -> [f64; 5] {
        let Beside { own, split, own_at_peak, .. } = &self.beside;
        let numbers = [own.mean_score(), split.mean_score(), own.coverage(), split.coverage(), own_at_peak.coverage()];
        numbers.map(|number| number.unwrap_or(f64::NAN))
    }

    fn row(&self) -> [String; 7] {
        let [own, split, inside, split_inside, at_peak] = self.numbers();
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let lower = percent(1.0 - own / split);
        let (own, split) = (format!("{own:.3}"), format!("{split:.3}"));
        [self.name.clone(), own, split, lower, percent(inside), percent(at_peak), percent(split_inside)]
    }

    /// What is worse than it should be: bounds that do not hold what they promise, or are no better than the plain ones.
    fn complaints(&self) -> Vec<String> {
        let [own, split, inside, _, at_peak] = self.numbers();
        let mut complaints = Vec::new();
        if own.is_nan() || split.is_nan() || own >= split {
            complaints
                .push(format!("{}: interval score {own:.3} is not below {split:.3} of split conformal", self.name));
        }
        let (lower, must) = (1.0 - own / split, self.must.narrower);
        if lower < must {
            let (lower, must) = (100.0 * lower, 100.0 * must);
            complaints.push(format!("{}: {lower:.1} % below split conformal misses the must, {must:.0} %", self.name));
        }
        if !must.is_nan() && (at_peak.is_nan() || at_peak < AT_PEAK_MIN) {
            complaints.push(format!("{}: {:.1} % of labels lie inside at peak hours", self.name, 100.0 * at_peak));
        }
        if inside.is_nan() || (inside - COVERAGE).abs() > COVERAGE_SLACK {
            let (inside, promised) = (100.0 * inside, 100.0 * COVERAGE);
            complaints.push(format!("{}: {inside:.1} % of labels lie inside, promised are {promised:.0} %", self.name));
        }
        complaints
    }

    fn figures(&self) -> [Figure; 4] {
        let [own, split, inside, _, at_peak] = self.numbers();
        let figure = |what: &str, value, unit| Figure::new(format!("intervals.{}.{what}", self.name), value, unit);
        [
            figure("score", own, "of the target"),
            figure("split_conformal_score", split, "of the target"),
            figure("coverage", inside, "ratio"),
            figure("coverage_at_peak", at_peak, "ratio"),
        ]
    }
}

fn bounds_heading() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "forecasts",
        "interval score",
        "split conformal",
        "lower by",
        "inside",
        "at peak",
        "split's inside",
    ]);
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// One predictor at one horizon, or at several pooled, beside what it is judged by.
struct Judged<'a> {
    reference: &'a Reference,
    model: ErrorSums,
    persistence: ErrorSums,
    profile: ErrorSums,
    /// Of a mixture, by name.
    experts: Vec<(String, ErrorSums)>,
}

impl<'a> Judged<'a> {
    fn of(scores: &[ScoreTotal], reference: &'a Reference) -> Result<Self> {
        let micros = |minutes: &u32| i64::from(*minutes) * MICROS_PER_MINUTE;
        let horizons: Vec<i64> = reference.horizons_minutes.iter().map(micros).collect();
        let own = scores.iter().find(|score| score.predictor == reference.predictor);
        let own = own.with_context(|| format!("there is no predictor `{}`", reference.predictor))?.model.as_str();
        let sums = |model: &str| {
            let mut pooled = ErrorSums::default();
            let wanted = |score: &&ScoreTotal| score.model == model && score.predictor == reference.predictor;
            for score in scores.iter().filter(wanted).filter(|score| horizons.contains(&score.horizon_micros)) {
                pooled.merge(&score.sums);
            }
            pooled
        };
        let (model, persistence, profile) = (sums(own), sums("persistence"), sums("profile"));
        let of_predictor = scores.iter().filter(|score| score.predictor == reference.predictor);
        let names: BTreeSet<&str> = of_predictor.map(|score| score.model.as_str()).collect();
        let others = names.into_iter().filter(|name| ![own, "persistence", "profile"].contains(name));
        let experts = others.map(|name| (name.to_owned(), sums(name))).collect();
        Ok(Self { reference, model, persistence, profile, experts })
    }

    /// The longest horizon: the name of those that are pooled, too.
    fn horizon(&self) -> String {
        format!("{}m", self.reference.horizons_minutes.iter().max().copied().unwrap_or_default())
    }

    /// As figures and complaints call it: the predictor's name where a data set has several.
    fn name(&self, set: &DataSet) -> String {
        let several = set.references.iter().any(|other| other.predictor != self.reference.predictor);
        if several { format!("{}.{}", set.name, self.reference.predictor) } else { set.name.to_owned() }
    }

    /// What is worse than it should be; nothing where all is well.
    fn complaints(&self) -> Vec<String> {
        let Reference { labels, mae, rmse, must, .. } = *self.reference;
        let mut complaints = Vec::new();
        if self.model.count != labels {
            complaints.push(format!("{} labels were scored, the protocol has {labels}", self.model.count));
        }
        let (own_mae, own_rmse) = errors(&self.model);
        let (persistence, _) = errors(&self.persistence);
        let mae_max = mae.unwrap_or(f64::INFINITY).min(persistence);
        if own_mae.is_nan() || own_mae > mae_max {
            complaints.push(format!("MAE {own_mae:.4} exceeds {mae_max:.4}"));
        }
        for (what, own, must) in [("MAE", own_mae, must.mae), ("RMSE", own_rmse, must.rmse)] {
            if !must.is_nan() && (own.is_nan() || own > must) {
                complaints.push(format!("{what} {own:.4} misses the must, {must}"));
            }
        }
        if let Some(rmse) = rmse
            && (own_rmse.is_nan() || own_rmse > protocol::RMSE_SLACK * rmse)
        {
            complaints.push(format!("RMSE {own_rmse:.4} exceeds {} x {rmse}", protocol::RMSE_SLACK));
        }
        complaints
    }

    fn row(&self, set: &DataSet) -> [String; 13] {
        let (mae, rmse) = errors(&self.model);
        let beside = |sums: &ErrorSums| {
            let (mae, rmse) = errors(sums);
            format!("{mae:.2} ({rmse:.2})")
        };
        let reference = match (self.reference.mae, self.reference.rmse) {
            (Some(mae), Some(rmse)) => format!("{mae:.2} ({rmse:.2})"),
            (Some(mae), None) => format!("{mae:.2}"),
            (None, _) => String::new(),
        };
        let pooled = if self.reference.horizons_minutes.len() > 1 { "to " } else { "" };
        [
            set.name.to_owned(),
            self.reference.predictor.to_owned(),
            format!("{pooled}{}", self.horizon()),
            self.model.count.to_string(),
            format!("{mae:.3}"),
            format!("{rmse:.3}"),
            beside(&self.persistence),
            beside(&self.profile),
            reference,
            limits([self.reference.must.mae, self.reference.must.rmse]),
            limits(self.reference.aim),
            self.reference.published.to_owned(),
            if self.complaints().is_empty() { "pass" } else { "FAIL" }.to_owned(),
        ]
    }

    fn expert_row(&self, set: &DataSet, name: &str, sums: &ErrorSums) -> [String; 13] {
        let (mae, rmse) = errors(sums);
        let mut row = self.row(set);
        row[1] = format!("{}: {name}", self.reference.predictor);
        row[3] = sums.count.to_string();
        (row[4], row[5]) = (format!("{mae:.3}"), format!("{rmse:.3}"));
        row[6..].iter_mut().for_each(String::clear);
        row
    }

    fn figures(&self, set: &DataSet) -> Vec<Figure> {
        let (name, horizon) = (self.name(set), self.horizon());
        let mut figures = vec![Figure::new(format!("{name}.labels.{horizon}"), self.model.count as f64, "labels")];
        let models = [("", &self.model), ("persistence_", &self.persistence), ("profile_", &self.profile)];
        let experts = self.experts.iter().map(|(expert, sums)| (format!("{expert}_"), sums));
        for (model, sums) in models.map(|(model, sums)| (model.to_owned(), sums)).into_iter().chain(experts) {
            let (mae, rmse) = errors(sums);
            figures.push(Figure::new(format!("{name}.{model}mae.{horizon}"), mae, self.reference.unit));
            figures.push(Figure::new(format!("{name}.{model}rmse.{horizon}"), rmse, self.reference.unit));
        }
        figures
    }
}

/// Limits of MAE and RMSE; nothing where there is none.
fn limits([mae, rmse]: [f64; 2]) -> String {
    match (mae.is_nan(), rmse.is_nan()) {
        (true, true) => String::new(),
        (true, false) => format!("({rmse:.2})"),
        (false, true) => format!("{mae:.3}"),
        (false, false) => format!("{mae:.2} ({rmse:.2})"),
    }
}

/// MAE and RMSE, NaN without labels.
fn errors(sums: &ErrorSums) -> (f64, f64) {
    (sums.mae().unwrap_or(f64::NAN), sums.rmse().unwrap_or(f64::NAN))
}

fn heading() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "data set",
        "predictor",
        "horizon",
        "labels",
        "MAE",
        "RMSE",
        "persistence",
        "profile",
        "reference",
        "must",
        "aim",
        "published",
        "",
    ]);
    for column in 3..12 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
