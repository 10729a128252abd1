//! Forecasts and the labels they were made for -> sums of errors per model, horizon and day. Sums only: partitions
//! add up, and a mean is taken by whoever prints one. Nothing learns here.

use serde::{Deserialize, Serialize};

use super::classes::ClassSums;
use super::forecast::ScoreRow;
use super::intervals::Bounds;
use super::plan::{PERSISTENCE, PROFILE};
use crate::stages::features::DAY_MICROS;
use crate::vocab::EventTime;

/// Scored of every predictor: the model, persistence, the seasonal profile.
const BASICS: usize = 3;

/// Sums over errors (forecast minus label), in the target's unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorSums {
    /// Number of errors.
    pub count: u64,
    /// Sum of absolute errors.
    pub absolute: f64,
    /// Sum of squared errors.
    pub squared: f64,
    /// Sum of persistence's absolute errors for the same labels.
    pub persistence: f64,
    /// Sum of the seasonal profile's, likewise.
    pub profile: f64,
    /// How good the bounds of the forecasts were; nothing where there were none.
    pub intervals: IntervalSums,
    /// Of a classifier alone: how good the forecasts were as probabilities.
    pub classes: Option<Box<ClassSums>>,
}

/// Sums over intervals whose label has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalSums {
    /// Number of them.
    pub count: u64,
    /// Those that held their label.
    pub inside: u64,
    /// Sum of interval scores, in the target's unit.
    pub score: f64,
}

impl IntervalSums {
    /// Takes an interval of a coverage and its label in. Its score is its width and, where the label lies outside, `2 / (1 -
    /// coverage)` times the distance (Gneiting and Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation",
    /// eq. 43).
    pub fn add(&mut self, coverage: f64, (lower, upper): (f64, f64), label: f64) {
        let outside = (lower - label).max(0.0) + (label - upper).max(0.0);
        self.count += 1;
        self.inside += u64::from(outside == 0.0);
        self.score += upper - lower + 2.0 / (1.0 - coverage) * outside;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.inside += other.inside;
        self.score += other.score;
    }

    /// Share of labels that lay inside; `None` without intervals.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (self.count > 0).then(|| self.inside as f64 / self.count as f64)
    }

    /// Mean interval score; `None` without intervals.
    #[must_use]
    pub fn mean_score(&self) -> Option<f64> {
        (self.count > 0).then(|| self.score / self.count as f64)
    }
}

/// What a model is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The last known value.
    Persistence,
    /// The seasonal profile.
    Profile,
}

impl Baseline {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Persistence, Self::Profile];

    /// Its name in scores.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Persistence => PERSISTENCE,
            Self::Profile => PROFILE,
        }
    }
}

impl ErrorSums {
    /// Takes one error in, beside those of persistence and of the profile for the same label.
    pub fn add(&mut self, error: f64, persistence: f64, profile: f64) {
        self.count += 1;
        self.absolute += error.abs();
        self.squared += error * error;
        self.persistence += persistence.abs();
        self.profile += profile.abs();
    }

    /// Takes the errors of another partition or day in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.persistence += other.persistence;
        self.profile += other.profile;
        self.intervals.merge(&other.intervals);
        match (&mut self.classes, &other.classes) {
            (Some(classes), Some(more)) => classes.merge(more),
            (None, Some(more)) => self.classes = Some(more.clone()),
            (_, None) => {}
        }
    }

    /// How much lower the mean absolute error is than a baseline's for the same labels, as a share of it: 1 is perfect, 0
    /// as good, negative worse. `None` where the baseline made no error, and of a classifier: a mean of probabilities' errors
    /// rewards those who exaggerate.
    #[must_use]
    pub fn skill(&self, baseline: Baseline) -> Option<f64> {
        let reference = match baseline {
            Baseline::Persistence => self.persistence,
            Baseline::Profile => self.profile,
        };
        Some(1.0 - self.absolute / reference).filter(|skill| skill.is_finite() && self.classes.is_none())
    }

    /// Mean absolute error; `None` without errors.
    #[must_use]
    pub fn mae(&self) -> Option<f64> {
        (self.count > 0).then(|| self.absolute / self.count as f64)
    }

    /// Root mean squared error; `None` without errors.
    #[must_use]
    pub fn rmse(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squared / self.count as f64).sqrt())
    }
}

/// Sums of one predictor at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HorizonScores {
    /// Day of the forecasts in `today`, since 1970 UTC; `None` before the first.
    day: Option<i64>,
    today: Vec<ErrorSums>,
    total: Vec<ErrorSums>,
}

/// Sums of one predictor in one partition: of the model, persistence, the profile, and the experts that the model mixes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    horizons: Vec<HorizonScores>,
    /// Labels that were no classes.
    unclassed: u64,
}

/// Forecasts of one origin at one horizon: `[key]`, NaN where there is none.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// The model's.
    pub model: &'a [f64],
    /// Persistence's.
    pub persistence: &'a [f64],
    /// The seasonal profile's.
    pub profile: &'a [f64],
    /// Those of the experts that the model mixes: `[expert][key]`.
    pub experts: &'a [Vec<f64>],
    /// Bounds of the model's and what they promise.
    pub bounds: Option<(&'a Bounds, f64)>,
    /// The least probability that means 1, of a classifier.
    pub threshold: Option<f64>,
}

impl Scores {
    /// No errors yet, of forecasts or, for a classifier, of probabilities.
    #[must_use]
    pub fn new(horizons: usize, experts: usize, classifier: bool) -> Self {
        let fresh = ErrorSums { classes: classifier.then(Box::default), ..ErrorSums::default() };
        let none = vec![fresh; BASICS + experts];
        let fresh = HorizonScores { day: None, today: none.clone(), total: none };
        Self { horizons: vec![fresh; horizons], unclassed: 0 }
    }

    /// Whether both are of as many horizons and models.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let kinds = |scores: &Self| -> Vec<Vec<Option<bool>>> {
            let kind = |sums: &ErrorSums| sums.classes.as_ref().map(|classes| classes.sound());
            let of =
                |horizon: &HorizonScores| [&horizon.today, &horizon.total].map(|all| all.iter().map(kind).collect());
            scores.horizons.iter().flat_map(of).collect()
        };
        kinds(self) == kinds(other)
    }

    /// Notes a label that a classifier cannot use: neither 0 nor 1.
    pub fn note_unclassed(&mut self) {
        self.unclassed += 1;
    }

    /// How many those were.
    #[must_use]
    pub fn unclassed(&self) -> u64 {
        self.unclassed
    }

    /// Whether nothing has come in yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.unclassed == 0 && self.horizons.iter().all(|horizon| horizon.day.is_none())
    }

    /// Moves a horizon on to forecasts made at `origin`. Where a day ends by that, its sums are returned and a new
    /// day begins: forecasts come in the order they were made, so none of that day is missing.
    pub fn advance(&mut self, horizon: usize, origin: EventTime) -> Option<(i32, Vec<ErrorSums>)> {
        let scores = &mut self.horizons[horizon];
        let day = origin.0.div_euclid(DAY_MICROS);
        if scores.day == Some(day) {
            return None;
        }
        let ended = scores.day.replace(day);
        let classes = || scores.today[0].classes.is_some().then(Box::default);
        let none = (0..scores.today.len()).map(|_| ErrorSums { classes: classes(), ..ErrorSums::default() }).collect();
        let sums = std::mem::replace(&mut scores.today, none);
        // Days of event times in microseconds fit: |i64 / 86.4e9| < 2^31.
        ended.filter(|_| sums[0].count > 0).map(|ended| (ended as i32, sums))
    }

    /// Sums of the day that is not over, and that day; `None` before it has any.
    #[must_use]
    pub fn open_day(&self, horizon: usize) -> Option<(i32, &[ErrorSums])> {
        let HorizonScores { day, today, .. } = &self.horizons[horizon];
        day.filter(|_| today[0].count > 0).map(|day| (day as i32, today.as_slice()))
    }

    /// Scores the keys for which there is a label (`labels[key]`, else NaN) and the model and both baselines made a
    /// forecast; an expert that made none meanwhile is not scored.
    pub fn score(&mut self, horizon: usize, forecasts: Scored<'_>, labels: &[f64]) {
        let HorizonScores { today, total, .. } = &mut self.horizons[horizon];
        let others = forecasts.persistence.iter().zip(forecasts.profile);
        for (key, ((model, (persistence, profile)), label)) in
            forecasts.model.iter().zip(others).zip(labels).enumerate()
        {
            let (persistence, profile) = (persistence - label, profile - label);
            let basics = [model - label, persistence, profile];
            if !basics.iter().all(|error| error.is_finite()) {
                continue;
            }
            if let Some((bounds, coverage)) = forecasts.bounds
                && let Some(interval) = bounds.interval(key)
            {
                today[0].intervals.add(coverage, interval, *label);
                total[0].intervals.add(coverage, interval, *label);
            }
            let experts = forecasts.experts.iter().map(|expert| expert[key] - label);
            for (index, error) in basics.into_iter().chain(experts).enumerate().filter(|(_, error)| error.is_finite()) {
                for sums in [&mut today[index], &mut total[index]] {
                    sums.add(error, persistence, profile);
                    if let (Some(classes), Some(threshold)) = (&mut sums.classes, forecasts.threshold) {
                        classes.add((label + error).clamp(0.0, 1.0), *label, threshold);
                    }
                }
            }
        }
    }

    /// Sums since the start, the open day included: model, persistence, profile, experts.
    #[must_use]
    pub fn total(&self, horizon: usize) -> &[ErrorSums] {
        &self.horizons[horizon].total
    }
}

/// Sums of one model at one horizon since the start of a run's state: what a summary prints.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreTotal {
    /// Predictor's name.
    pub predictor: String,
    /// The model's name, `persistence`, `profile`, or the name of an expert.
    pub model: String,
    /// Horizon, microseconds.
    pub horizon_micros: i64,
    /// The errors.
    pub sums: ErrorSums,
    /// Labels that the model refused in order to stay sound, of keys that are still known.
    pub refused: u64,
    /// Its weight in the mixture as it is now; `None` of what is no expert of one.
    pub weight: Option<MeanWeight>,
}

/// The weight of an expert, over keys.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MeanWeight {
    /// Sum over the keys.
    pub sum: f64,
    /// Keys whose mixture has had a label.
    pub keys: u64,
}

impl MeanWeight {
    /// The mean over keys, 0 to 1; `None` before the first label.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.keys > 0).then(|| self.sum / self.keys as f64)
    }
}

impl ScoreTotal {
    /// Its skill against a baseline; `None` of the baseline itself.
    #[must_use]
    pub fn skill(&self, baseline: Baseline) -> Option<f64> {
        self.sums.skill(baseline).filter(|_| self.model != baseline.name())
    }

    /// Whether both are of the same predictor, model and horizon.
    #[must_use]
    pub fn same_series(&self, other: &Self) -> bool {
        self.predictor == other.predictor && self.model == other.model && self.horizon_micros == other.horizon_micros
    }
}

/// Adds the totals of another partition of the same plan. Call it in ascending partition order: floating-point sums
/// depend on it.
pub fn merge_totals(totals: &mut Vec<ScoreTotal>, other: &[ScoreTotal]) {
    for add in other {
        match totals.iter_mut().find(|total| total.same_series(add)) {
            Some(total) => {
                total.sums.merge(&add.sums);
                total.refused += add.refused;
                if let (Some(weight), Some(more)) = (&mut total.weight, add.weight) {
                    weight.sum += more.sum;
                    weight.keys += more.keys;
                }
            }
            None => totals.push(add.clone()),
        }
    }
}

/// A day's sums of one model as a row.
#[must_use]
pub fn score_row(predictor: &str, model: &str, horizon_micros: i64, day: i32, sums: &ErrorSums) -> ScoreRow {
    ScoreRow { predictor: predictor.to_owned(), model: model.to_owned(), horizon_micros, day, sums: sums.clone() }
}

impl From<ScoreRow> for ScoreTotal {
    /// The day's sums without the day.
    fn from(row: ScoreRow) -> Self {
        let ScoreRow { predictor, model, horizon_micros, sums, .. } = row;
        Self { predictor, model, horizon_micros, sums, refused: 0, weight: None }
    }
}
