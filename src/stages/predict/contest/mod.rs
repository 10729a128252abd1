//! Forecasts of a champion and of challengers for the same labels -> who serves, and why that changed.
//!
//! Every model of a contest forecasts and learns all along; whose forecasts leave is the champion's, and nobody else's are
//! seen. They are compared on the labels that both had a forecast for, each forecast made before its label was known, in sums
//! per day. Where the file has `promotion:`, a challenger takes over at the end of a day (UTC) if, over the days it says, it was
//! better by the margin in the mean of all horizons and worse at none; the contest then begins anew, so that nobody takes over
//! twice on the same evidence.
//!
//! *Invariant.* Who serves is a function of the state and of the file: replay takes the same turns.

pub mod params;
pub mod plan;

use serde::{Deserialize, Serialize};

use super::classes::log_loss;
use crate::vocab::{EventTime, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};
use params::{ComparedBy, PromotionParams};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Days that are kept where no rule says how many: what a promotion by hand is told with.
const DAYS_KEPT: i64 = 7;

/// Who may serve, checked. Models are numbered: 0 is the predictor's own, challengers follow.
#[derive(Debug, Clone, PartialEq)]
pub struct ContestPlan {
    /// The predictor's name.
    pub(super) predictor: String,
    /// Of every model.
    pub(super) names: Vec<String>,
    /// Who serves until a promotion, by the file.
    pub(super) champion: usize,
    /// What they are compared by.
    pub(super) by: ComparedBy,
    /// When a challenger takes over by itself; never where `None`.
    pub(super) promotion: Option<PromotionParams>,
    /// Number of horizons.
    pub(super) horizons: usize,
}

impl ContestPlan {
    /// What the models are compared by.
    #[must_use]
    pub fn by(&self) -> ComparedBy {
        self.by
    }
}

/// Why another model serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was better, by the file's `promotion:`.
    Better,
    /// The file's `champion:` says so.
    ByHand,
    /// The one that served is no longer in the file.
    Withdrawn,
}

impl Reason {
    /// Its word in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::ByHand => "by_hand",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// Two models at one horizon, on the same labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Index of the horizon in the predictor's.
    pub horizon: usize,
    /// Labels.
    pub labels: u64,
    /// The measure of the one that served; NaN without labels.
    pub before: f64,
    /// Of the one that serves now.
    pub after: f64,
}

/// Another model serves from this window on.
#[derive(Debug, Clone, PartialEq)]
pub struct Promotion {
    /// Index of the predictor in the plan.
    pub predictor: usize,
    /// End of the window.
    pub at: EventTime,
    /// Name of the one that served.
    pub before: String,
    /// Of the one that serves now.
    pub after: String,
    /// Why.
    pub reason: Reason,
    /// How they compare on the days of the contest, by horizon; empty where one of them is gone.
    pub comparisons: Vec<Comparison>,
}

/// Sums of one model beside the champion's, at one horizon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Pair {
    labels: u64,
    champion: f64,
    challenger: f64,
}

/// Who serves, by name: the file may have others tomorrow. Kept whatever becomes of the models' own state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Served {
    /// Who serves.
    serving: String,
    /// Who was to serve by the file when that was last looked at.
    declared: String,
}

/// What the models are compared on: of no use once one of them began anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The day of the newest window, since 1970 UTC.
    today: Option<i64>,
    /// The first whole day.
    since: Option<i64>,
    /// Days with labels, ascending.
    days: Vec<(i64, Day)>,
}

/// The sums of a day: of each model by name, a pair per horizon.
type Day = Vec<(String, Vec<Pair>)>;

/// The contest of one predictor in one partition.
#[derive(Debug)]
pub(super) struct Contest {
    plan: ContestPlan,
    served: Served,
    record: Record,
    serving: usize,
    changed: bool,
    step: String,
    days_step: String,
}

/// The step that says who of a predictor's models serves.
#[must_use]
pub fn step_of(predictor: &str) -> String {
    format!("contest.{predictor}")
}

/// The step of what they are compared on.
#[must_use]
pub fn days_step_of(predictor: &str) -> String {
    format!("contest.{predictor}.days")
}

impl Contest {
    /// The predictor's own model serves; who is to by the file takes over with the first window. State goes to the steps
    /// `contest.<predictor>` and `contest.<predictor>.days`.
    pub(super) fn new(plan: ContestPlan) -> Self {
        let own = plan.names.first().cloned().unwrap_or_default();
        let served = Served { serving: own.clone(), declared: own };
        let (step, days_step) = (step_of(&plan.predictor), days_step_of(&plan.predictor));
        Self { plan, served, record: Record::default(), serving: 0, changed: false, step, days_step }
    }

    /// Who serves.
    pub(super) fn serving(&self) -> usize {
        self.serving
    }

    /// A window has closed: another model may take over. To be called before its labels are taken in.
    pub(super) fn turn(&mut self, end: EventTime) -> Option<Promotion> {
        // A window that ends at midnight is of the day that ends with it.
        let day = end.plus(-1).0.div_euclid(MICROS_PER_DAY);
        let ended = self.record.today.is_none_or(|today| today < day);
        if ended {
            self.begin(day);
        }
        match self.turn_by_file(end) {
            None if ended => self.turn_by_rule(end, day),
            turned => turned,
        }
    }

    /// A day begins.
    fn begin(&mut self, day: i64) {
        self.record.today = Some(day);
        // The day that a contest begins on is seldom whole.
        self.record.since.get_or_insert(day + 1);
        let kept = self.plan.promotion.map_or(DAYS_KEPT, |promotion| promotion.days);
        self.record.days.retain(|(of, _)| *of >= day - kept);
        self.changed = true;
    }

    fn turn_by_file(&mut self, end: EventTime) -> Option<Promotion> {
        let declared = self.plan.names[self.plan.champion].clone();
        let known = self.plan.names.contains(&self.served.serving);
        let asked = self.served.declared != declared;
        if known && !asked {
            return None;
        }
        self.served.declared.clone_from(&declared);
        self.changed = true;
        if self.served.serving == declared {
            return None;
        }
        Some(self.promote(self.plan.champion, end, if known { Reason::ByHand } else { Reason::Withdrawn }))
    }

    /// To be asked when a day has begun.
    fn turn_by_rule(&mut self, end: EventTime, day: i64) -> Option<Promotion> {
        let since = self.record.since?;
        let whole = self.record.days.iter().filter(|(of, models)| *of >= since && *of < day && labelled(models));
        let whole = i64::try_from(whole.count()).unwrap_or(i64::MAX);
        let promotion = self.plan.promotion.filter(|promotion| whole >= promotion.days)?;
        let better = (0..self.plan.names.len()).filter(|model| *model != self.serving);
        let better = better.filter_map(|model| Some((self.ratio(model, promotion)?, model)));
        // The first in the file's order of those that are as good.
        let (_, best) = better.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
        Some(self.promote(best, end, Reason::Better))
    }

    /// A challenger's measure as a share of the champion's, the mean of all horizons; `None` where it is not to take over.
    fn ratio(&self, model: usize, promotion: PromotionParams) -> Option<f64> {
        let comparisons = self.comparisons(model);
        let enough = comparisons.iter().all(|one| one.labels >= promotion.min_labels);
        let no_worse = comparisons.iter().all(|one| one.after <= one.before);
        if !enough || !no_worse {
            return None;
        }
        // Both are 0 where neither erred.
        let share = |one: &Comparison| if one.before > 0.0 { one.after / one.before } else { 1.0 };
        let mean = comparisons.iter().map(share).sum::<f64>() / comparisons.len() as f64;
        // With a margin of 0, better all the same: equal models would take turns.
        (mean <= 1.0 - promotion.margin && mean < 1.0).then_some(mean)
    }

    fn comparisons(&self, model: usize) -> Vec<Comparison> {
        let name = &self.plan.names[model];
        let compare = |horizon: usize| {
            let mut sum = Pair::default();
            for pair in self.record.days.iter().flat_map(|(_, models)| models).filter(|(of, _)| of == name) {
                let pair = pair.1[horizon];
                sum.labels += pair.labels;
                sum.champion += pair.champion;
                sum.challenger += pair.challenger;
            }
            let mean = |total: f64| total / sum.labels as f64;
            let measure = |total: f64| match self.plan.by {
                ComparedBy::Rmse => mean(total).sqrt(),
                ComparedBy::Mae | ComparedBy::LogLoss => mean(total),
            };
            Comparison { horizon, labels: sum.labels, before: measure(sum.champion), after: measure(sum.challenger) }
        };
        (0..self.plan.horizons).map(compare).collect()
    }

    fn promote(&mut self, model: usize, at: EventTime, reason: Reason) -> Promotion {
        let comparisons = if reason == Reason::Withdrawn { Vec::new() } else { self.comparisons(model) };
        let after = self.plan.names[model].clone();
        let before = std::mem::replace(&mut self.served.serving, after.clone());
        self.serving = model;
        self.record.days.clear();
        // By the rule a day has just begun.
        let next = if reason == Reason::Better { 0 } else { 1 };
        self.record.since = self.record.today.map(|today| today + next);
        self.changed = true;
        Promotion { predictor: 0, at, before, after, reason, comparisons }
    }

    /// Takes the labels of one horizon in, for which every model made its forecasts: `forecasts[model][key]`, NaN where it has
    /// none; a model that made none at all has no keys.
    pub(super) fn take(&mut self, horizon: usize, forecasts: &[&[f64]], labels: &[f64]) {
        let Some(today) = self.record.today else { return };
        let (by, horizons) = (self.plan.by, self.plan.horizons);
        let loss = |forecast: f64, label: f64| match by {
            ComparedBy::Mae => (forecast - label).abs(),
            ComparedBy::Rmse => (forecast - label).powi(2),
            ComparedBy::LogLoss => log_loss(forecast, label),
        };
        if self.record.days.last().is_none_or(|(day, _)| *day != today) {
            self.record.days.push((today, Vec::new()));
        }
        let champion = forecasts[self.serving];
        let Some((_, models)) = self.record.days.last_mut() else { return };
        for (model, challenger) in forecasts.iter().enumerate().filter(|(model, _)| *model != self.serving) {
            let name = &self.plan.names[model];
            let place = models.iter().position(|(of, _)| of == name).unwrap_or_else(|| {
                models.push((name.clone(), vec![Pair::default(); horizons]));
                models.len() - 1
            });
            let pair = &mut models[place].1[horizon];
            for ((champion, challenger), label) in champion.iter().zip(*challenger).zip(labels) {
                if champion.is_finite() && challenger.is_finite() && label.is_finite() {
                    pair.labels += 1;
                    pair.champion += loss(*champion, *label);
                    pair.challenger += loss(*challenger, *label);
                }
            }
        }
        self.changed = true;
    }

    /// Writes the state.
    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        // What nothing was taken into is no state: a full snapshot has what the changes added up to.
        if self.record.today.is_some() && (which == Snapshot::Full || self.changed) {
            writer.put(&self.step, 0, to_block(&self.served));
            writer.put(&self.days_step, 0, to_block(&self.record));
        }
        self.changed &= which == Snapshot::Full;
    }

    /// Reads the state back. Of a contest that is new in the file there is none.
    ///
    /// # Errors
    /// [`StateError`] names the block that does not fit.
    pub(super) fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        for (block, bytes) in reader.blocks(&self.step) {
            self.served = from_block(&self.step, block, bytes)?;
            // One that is gone from the file is replaced when the next window closes.
            self.serving = self.plan.names.iter().position(|name| *name == self.served.serving).unwrap_or(0);
        }
        for (block, bytes) in reader.blocks(&self.days_step) {
            let mut record: Record = from_block(&self.days_step, block, bytes)?;
            let pairs = record.days.iter().flat_map(|(_, models)| models).map(|(_, pairs)| pairs.len());
            if { pairs }.any(|pairs| pairs != self.plan.horizons) {
                let reason = format!("not of {} horizons", self.plan.horizons);
                return Err(StateError { step: self.days_step.clone(), block, reason });
            }
            // Another model may come under a name that was here before.
            let known = |(name, _): &(String, Vec<Pair>)| self.plan.names.contains(name);
            record.days.iter_mut().for_each(|(_, models)| models.retain(known));
            self.record = record;
        }
        Ok(())
    }
}

/// Whether anything was compared on a day.
fn labelled(models: &Day) -> bool {
    models.iter().flat_map(|(_, pairs)| pairs).any(|pair| pair.labels > 0)
}
