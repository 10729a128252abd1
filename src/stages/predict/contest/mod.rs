//! Forecasts of a champion and of challengers for the same labels -> who serves, and why that changed.
//!
//! Every model of a contest forecasts and learns all along; whose forecasts leave is the champion's, and nobody else's are
//! seen. They are compared on the labels that both had a forecast for, each forecast made before its label was known, in sums
//! per day. Where the file has `promotion:`, a challenger takes over at the end of a day (UTC) if, over the newest days that
//! count, it was better by the margin in the mean of all horizons and worse at none; the contest then begins anew, so that nobody
//! takes over twice on the same evidence. A day counts on which the challenger answered its part of the labels that are needed.
//!
//! Errors count in those that are usual of their key, and at most so many of them: a sensor that is a thousand times too large,
//! or one label, decides nothing. Where both models are as wrong as that, neither is the better one, and the label is left out.
//!
//! A champion that is silent cannot be compared: where it answered fewer than half of the labels that the challenger did, the
//! challenger has to beat the baseline instead.
//!
//! *Invariant.* Who serves is a function of the state and of the file: replay takes the same turns.

pub mod params;
pub mod plan;
mod usual;

use serde::{Deserialize, Serialize};

use super::classes::log_loss;
use crate::stages::features::DAY_MICROS;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter, from_block, to_block};
use params::{ComparedBy, PromotionParams};
use usual::{ERROR_MAX, UsualErrors};

/// Days that are kept where no rule says how many: what a promotion by hand is told with.
const DAYS_KEPT: i64 = 7;

/// Days back, in those that a rule compares, that a day may lie and count: weekends without labels do not end a contest, and
/// what was better last season says little.
const AGE_MAX: i64 = 4;

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
    /// The one that served made too few forecasts, and it beat the baseline, by the same.
    Silent,
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
            Self::Silent => "silent",
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
    /// The measure of the one that served, in usual errors or of its log loss; NaN without labels.
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
    /// Labels that both had a forecast for, and the losses of both.
    labels: u64,
    champion: f64,
    challenger: f64,
    /// Labels that the champion had none for.
    alone: u64,
    /// Labels that it and the baseline had a forecast for, and the losses of both.
    beside: u64,
    own: f64,
    baseline: f64,
}

impl Pair {
    fn add(&mut self, other: &Self) {
        self.labels += other.labels;
        self.champion += other.champion;
        self.challenger += other.challenger;
        self.alone += other.alone;
        self.beside += other.beside;
        self.own += other.own;
        self.baseline += other.baseline;
    }

    /// Labels that the challenger had a forecast for.
    fn answered(&self) -> u64 {
        self.labels + self.alone
    }

    /// Whether the champion had none for more than half of those.
    fn silent(&self) -> bool {
        self.alone > self.labels
    }
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
    /// What the errors of forecasts are counted in; probabilities need none.
    usual: UsualErrors,
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
        let usual = UsualErrors::new(days_step.clone(), plan.horizons);
        Self { plan, served, record: Record::default(), usual, serving: 0, changed: false, step, days_step }
    }

    /// Who serves.
    pub(super) fn serving(&self) -> usize {
        self.serving
    }

    /// Whether its models predict classes.
    pub(super) fn of_classes(&self) -> bool {
        self.plan.by == ComparedBy::LogLoss
    }

    /// A window has closed: another model may take over. To be called before its labels are taken in.
    pub(super) fn turn(&mut self, end: EventTime) -> Option<Promotion> {
        // A window that ends at midnight is of the day that ends with it.
        let day = end.plus(-1).0.div_euclid(DAY_MICROS);
        let ended = self.record.today.is_none_or(|today| today < day);
        if ended {
            self.begin(day);
        }
        match self.turn_by_file(end) {
            None if ended => self.turn_by_rule(end),
            turned => turned,
        }
    }

    /// A day begins.
    fn begin(&mut self, day: i64) {
        self.record.today = Some(day);
        // The day that a contest begins on is seldom whole.
        self.record.since.get_or_insert(day + 1);
        let oldest = self.plan.promotion.map_or(day - DAYS_KEPT, |promotion| self.oldest(day, promotion));
        self.record.days.retain(|(of, models)| *of >= oldest && labelled(models));
        self.changed = true;
    }

    /// The oldest day that is still of use: one that every challenger has enough newer ones than is not.
    fn oldest(&self, day: i64, promotion: PromotionParams) -> i64 {
        let models = (0..self.plan.names.len()).filter(|model| *model != self.serving);
        let oldest = models.map(|model| self.counted(model, promotion).map_or(i64::MIN, |(oldest, _)| oldest)).min();
        oldest.unwrap_or(i64::MIN).max(day - AGE_MAX * promotion.days)
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
        let champion = self.plan.champion;
        let (reason, comparisons) =
            if known { (Reason::ByHand, self.comparisons(champion)) } else { (Reason::Withdrawn, Vec::new()) };
        Some(self.promote((champion, comparisons), end, reason))
    }

    /// To be asked when a day has begun.
    fn turn_by_rule(&mut self, end: EventTime) -> Option<Promotion> {
        let promotion = self.plan.promotion?;
        let better = (0..self.plan.names.len()).filter(|model| *model != self.serving);
        let better = better.filter_map(|model| {
            let (_, sums) = self.counted(model, promotion)?;
            Some((self.ratio(&sums, promotion)?, model, sums))
        });
        // The first in the file's order of those that are as good.
        let (_, best, sums) = better.min_by(|(one, ..), (other, ..)| one.total_cmp(other))?;
        let reason = if sums.iter().any(Pair::silent) { Reason::Silent } else { Reason::Better };
        let comparisons = self.compared(&sums);
        Some(self.promote((best, comparisons), end, reason))
    }

    /// The newest days that count for a challenger, as many as the rule compares: the oldest of them and their sums by horizon;
    /// `None` where there are fewer. To be asked when a day has begun, of which there are no labels yet.
    fn counted(&self, model: usize, promotion: PromotionParams) -> Option<(i64, Vec<Pair>)> {
        let (since, name) = (self.record.since?, &self.plan.names[model]);
        let part = promotion.min_labels.div_ceil(promotion.days.unsigned_abs().max(1));
        let (mut left, mut sums) = (promotion.days, vec![Pair::default(); self.plan.horizons]);
        for (day, models) in self.record.days.iter().rev().take_while(|(day, _)| *day >= since) {
            let Some((_, pairs)) = models.iter().find(|(of, _)| of == name) else { continue };
            if pairs.iter().any(|pair| pair.answered() < part) {
                continue;
            }
            sums.iter_mut().zip(pairs).for_each(|(sum, pair)| sum.add(pair));
            left -= 1;
            if left == 0 {
                return Some((*day, sums));
            }
        }
        None
    }

    /// A challenger's measure as a share of the champion's, or of the baseline's where the champion is silent, the mean of all
    /// horizons; `None` where it is not to take over.
    fn ratio(&self, sums: &[Pair], promotion: PromotionParams) -> Option<f64> {
        let mut total = 0.0;
        for sum in sums {
            let (labels, before, after) = if sum.silent() {
                (sum.beside, sum.baseline, sum.own)
            } else {
                (sum.labels, sum.champion, sum.challenger)
            };
            let (before, after) = (self.measure(before, labels), self.measure(after, labels));
            let worse = after.is_nan() || after > before;
            if labels < promotion.min_labels || worse {
                return None;
            }
            // Both are 0 where neither erred.
            total += if before > 0.0 { after / before } else { 1.0 };
        }
        let mean = total / sums.len() as f64;
        // With a margin of 0, better all the same: equal models would take turns.
        (mean <= 1.0 - promotion.margin && mean < 1.0).then_some(mean)
    }

    fn measure(&self, total: f64, labels: u64) -> f64 {
        let mean = total / labels as f64;
        match self.plan.by {
            ComparedBy::Rmse => mean.sqrt(),
            ComparedBy::Mae | ComparedBy::LogLoss => mean,
        }
    }

    fn compared(&self, sums: &[Pair]) -> Vec<Comparison> {
        let compare = |(horizon, sum): (usize, &Pair)| {
            let measure = |total| self.measure(total, sum.labels);
            Comparison { horizon, labels: sum.labels, before: measure(sum.champion), after: measure(sum.challenger) }
        };
        sums.iter().enumerate().map(compare).collect()
    }

    /// On all days that are kept.
    fn comparisons(&self, model: usize) -> Vec<Comparison> {
        let (name, mut sums) = (&self.plan.names[model], vec![Pair::default(); self.plan.horizons]);
        for (_, pairs) in self.record.days.iter().flat_map(|(_, models)| models).filter(|(of, _)| of == name) {
            sums.iter_mut().zip(pairs).for_each(|(sum, pair)| sum.add(pair));
        }
        self.compared(&sums)
    }

    fn promote(&mut self, (model, comparisons): (usize, Vec<Comparison>), at: EventTime, reason: Reason) -> Promotion {
        let after = self.plan.names[model].clone();
        let before = std::mem::replace(&mut self.served.serving, after.clone());
        self.serving = model;
        self.record.days.clear();
        // By the rule a day has just begun.
        let next = if matches!(reason, Reason::Better | Reason::Silent) { 0 } else { 1 };
        self.record.since = self.record.today.map(|today| today + next);
        self.changed = true;
        Promotion { predictor: 0, at, before, after, reason, comparisons }
    }

    /// Takes the labels of one horizon in, for which every model made its forecasts: `forecasts[model][key]`, NaN where it has
    /// none; a model that made none at all has no keys. `baseline[key]`: what each has to beat.
    pub(super) fn take(&mut self, horizon: usize, (forecasts, baseline): (&[&[f64]], &[f64]), labels: &[f64]) {
        let Some(today) = self.record.today else { return };
        let (by, horizons, units) =
            (self.plan.by, self.plan.horizons, self.units(horizon, (forecasts, baseline), labels));
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
            for (key, (&label, unit)) in labels.iter().zip(&units).enumerate() {
                let (Some(unit), Some(own)) = (*unit, made(challenger, key)) else { continue };
                let cost = |other: f64| losses(by, (other, own), label, unit);
                match made(champion, key).map(cost) {
                    Some(Some((champion, challenger))) => {
                        pair.labels += 1;
                        pair.champion += champion;
                        pair.challenger += challenger;
                    }
                    Some(None) => {}
                    None => pair.alone += 1,
                }
                if let Some((baseline, own)) = made(baseline, key).and_then(cost) {
                    pair.beside += 1;
                    pair.own += own;
                    pair.baseline += baseline;
                }
            }
        }
        self.changed = true;
    }

    /// What errors for these labels are counted in, by key; `None` where there is no label or nothing usual yet.
    fn units(
        &mut self,
        horizon: usize,
        (forecasts, baseline): (&[&[f64]], &[f64]),
        labels: &[f64],
    ) -> Vec<Option<f64>> {
        let known = |label: &f64| label.is_finite();
        if self.of_classes() {
            return labels.iter().map(|label| known(label).then_some(1.0)).collect();
        }
        self.usual.grow(labels.len());
        let unit = |(key, label): (usize, &f64)| {
            let all = forecasts.iter().copied().chain([baseline]).filter_map(|forecasts| made(forecasts, key));
            let largest = all
                .map(|forecast| (forecast - label).abs())
                .fold(None, |most: Option<f64>, error| Some(most.map_or(error, |most| most.max(error))));
            largest.filter(|_| known(label)).and_then(|error| self.usual.take(horizon, key, error))
        };
        labels.iter().enumerate().map(unit).collect()
    }

    /// Drops what is known of these keys.
    pub(super) fn forget(&mut self, keys: &[KeyId]) {
        self.usual.forget(keys);
    }

    /// Writes the state.
    pub(super) fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        // What nothing was taken into is no state: a full snapshot has what the changes added up to.
        if self.record.today.is_some() && (which == Snapshot::Full || self.changed) {
            writer.put(&self.step, 0, to_block(&self.served));
            writer.put(&self.days_step, 0, to_block(&self.record));
        }
        self.usual.snapshot(which, writer);
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
        self.usual.restore(reader)?;
        for (block, bytes) in reader.blocks(&self.days_step).filter(|(block, _)| *block == 0) {
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

/// Whether there was a label on a day that any challenger had a forecast for.
fn labelled(models: &Day) -> bool {
    models.iter().flat_map(|(_, pairs)| pairs).any(|pair| pair.answered() > 0)
}

/// The forecast of a key; `None` where there is none.
fn made(forecasts: &[f64], key: usize) -> Option<f64> {
    forecasts.get(key).copied().filter(|forecast| forecast.is_finite())
}

/// What two forecasts cost: of probabilities their log loss, else their errors in those that are usual, `ERROR_MAX` at most, or
/// the squares of those. `None` where both are held at that.
fn losses(by: ComparedBy, (one, other): (f64, f64), label: f64, usual: f64) -> Option<(f64, f64)> {
    let held = |forecast: f64| ((forecast - label).abs() / usual).min(ERROR_MAX);
    let apart = |errors: &(f64, f64)| errors.0.min(errors.1) < ERROR_MAX;
    match by {
        ComparedBy::LogLoss => Some((log_loss(one, label), log_loss(other, label))),
        ComparedBy::Mae => Some((held(one), held(other))).filter(apart),
        ComparedBy::Rmse => {
            let errors = Some((held(one), held(other))).filter(apart);
            errors.map(|(one, other)| (one * one, other * other))
        }
    }
}
