//! Closed windows of one partition, in order -> a feature matrix per window.

use std::sync::Arc;

use chrono_tz::Tz;

use super::FeatureMatrix;
use super::calendar::{DAY_MICROS, harmonic, local_time};
use super::lags::Lags;
use super::neighbours::{Look, Neighbours};
use super::plan::{FeaturesPlan, Part};
use super::profile::Profile;
use super::repeats::Repeats;
use crate::stages::window::ClosedWindow;
use crate::vocab::{EventTime, KeyId, Snapshot, StateError, StateReader, StateWriter};

/// Equal readings in a row at which a held deviation counts half: chosen on the warm-up parts of the Aarhus and METR-LA
/// data, where 2 to 6 did equally well.
const HELD_HALF: f64 = 3.0;

/// Features of one partition.
#[derive(Debug)]
pub struct Features {
    plan: Arc<FeaturesPlan>,
    lags: Vec<Lags>,
    profiles: Vec<Profile>,
    repeats: Vec<Repeats>,
    neighbours: Vec<Neighbours>,
}

impl Features {
    /// A partition of which no window has closed.
    #[must_use]
    pub fn new(plan: Arc<FeaturesPlan>) -> Self {
        let lags = plan.lags.iter().enumerate();
        let lags = lags.map(|(index, lags)| Lags::new(format!("lags.{}.{index}", lags.name), lags.count, lags.fill));
        let lags = lags.collect();
        let profiles = plan.profiles.iter().map(|(_, profile)| Profile::new(profile.clone())).collect();
        let repeats = (0..plan.repeats.len()).map(|index| Repeats::new(format!("repeats.{index}"))).collect();
        let neighbours = vec![Neighbours::default(); plan.neighbours.len()];
        Self { plan, lags, profiles, repeats, neighbours }
    }

    /// Takes the names of keys `0..count`, to be told before each window: an id may have another key by then. A free id
    /// has none.
    pub fn meet_keys<'a>(&mut self, count: usize, name_of: impl Fn(KeyId) -> Option<&'a str>) {
        for (neighbours, plan) in self.neighbours.iter_mut().zip(&self.plan.neighbours) {
            neighbours.meet(plan, count, &name_of);
        }
    }

    /// Takes a closed window, then describes each key as of its end: the window's own values are known.
    pub fn update(&mut self, window: &ClosedWindow) -> FeatureMatrix {
        for (lags, plan) in self.lags.iter_mut().zip(&self.plan.lags) {
            lags.push(&window.columns[plan.column], &window.live);
        }
        for (profile, (column, _)) in self.profiles.iter_mut().zip(&self.plan.profiles) {
            profile.observe(window.end, &window.columns[*column]);
        }
        for (repeats, column) in self.repeats.iter_mut().zip(&self.plan.repeats) {
            repeats.push(&window.columns[*column]);
        }
        let matrix = self.matrix(window);
        for lags in &mut self.lags {
            lags.forget(&window.expired);
        }
        for profile in &mut self.profiles {
            profile.forget(&window.expired);
        }
        for repeats in &mut self.repeats {
            repeats.forget(&window.expired);
        }
        for neighbours in &mut self.neighbours {
            neighbours.forget(&window.expired);
        }
        matrix
    }

    fn matrix(&self, window: &ClosedWindow) -> FeatureMatrix {
        let columns = Arc::clone(self.plan.columns());
        let (rows, width) = (window.key_count(), columns.len());
        let mut values = vec![f64::NAN; rows * width];
        let mut at = 0;
        for part in &self.plan.parts {
            at += self.fill(part, window, Target { values: &mut values, width, at });
        }
        FeatureMatrix { end: window.end, columns, rows, values }
    }

    /// Fills the columns of one part and returns how many they are.
    fn fill(&self, part: &Part, window: &ClosedWindow, mut target: Target<'_>) -> usize {
        let time = |ahead: u32| EventTime(window.end.0 + i64::from(ahead) * self.plan.every_micros);
        match part {
            Part::Lags { lags, kept } => target.each_row(
                |key, row| {
                    let lags = self.lags[*lags].of(key);
                    row.iter_mut().zip(kept).for_each(|(value, lag)| *value = lags[*lag]);
                },
                kept.len(),
            ),
            Part::Age(lags) => target.each_row(|key, row| row[0] = self.lags[*lags].age(key), 1),
            Part::Differences { lags, count } => target.each_row(
                |key, row| {
                    let lags = self.lags[*lags].of(key);
                    row.iter_mut().zip(lags.windows(2)).for_each(|(value, pair)| *value = pair[0] - pair[1]);
                },
                *count,
            ),
            Part::TimeOfDay { ahead, harmonics, zone } => {
                let same = waves(time(*ahead), *zone, *harmonics);
                target.each_row(|_, row| row.copy_from_slice(&same), same.len())
            }
            Part::DayOfWeek { ahead, zone } => {
                let weekday = local_time(time(*ahead), *zone).weekday;
                let (sin, cos) = harmonic(f64::from(weekday), 7.0, 1);
                let same = [sin, cos, f64::from(u8::from(weekday >= 5))];
                target.each_row(|_, row| row.copy_from_slice(&same), same.len())
            }
            Part::Profile { profile, ahead } => {
                let mut column = vec![f64::NAN; window.key_count()];
                self.profiles[*profile].fill(time(*ahead), &mut column);
                target.each_row(|key, row| row[0] = column[key], 1)
            }
            Part::Deviation { lags, profile, ahead, harmonics } => {
                let deviation = self.deviation(*lags, *profile, window);
                let waves = waves(time(*ahead), self.profiles[*profile].zone(), *harmonics);
                let product = |key: usize, row: &mut [f64]| {
                    row.iter_mut().zip(&waves).for_each(|(value, wave)| *value = deviation[key] * wave);
                };
                target.each_row(product, waves.len())
            }
            Part::HeldDeviation { lags, profile, repeats } => {
                let deviation = self.deviation(*lags, *profile, window);
                let held = |deviation: f64, repeats: f64| deviation * repeats / (repeats + HELD_HALF);
                target.each_row(|key, row| row[0] = held(deviation[key], self.repeats[*repeats].of(key)), 1)
            }
            Part::Ratio(of, to) => {
                let ratio = |key: usize| match window.columns[*to][key] {
                    0.0 => f64::NAN,
                    to => window.columns[*of][key] / to,
                };
                target.each_row(|key, row| row[0] = ratio(key), 1)
            }
            Part::Calendar { days, ahead, zone } => {
                let same = days.around(local_time(time(*ahead), *zone).day);
                target.each_row(|_, row| row.copy_from_slice(&same), same.len())
            }
            Part::Lookup { timeline, count, age } => {
                let (mut same, old) = timeline.at(window.end);
                same.extend(age.then_some(old));
                target.each_row(|_, row| row.copy_from_slice(&same), count + usize::from(*age))
            }
            Part::Values(columns) => target.each_row(values_of(window, columns), columns.len()),
            Part::Neighbours(neighbours) => self.fill_neighbours(*neighbours, window, target),
            Part::Missing(column) => {
                let missing = |key: usize| f64::from(u8::from(window.columns[*column][key].is_nan()));
                target.each_row(|key, row| row[0] = missing(key), 1)
            }
        }
    }

    /// What stands in for a neighbour without value is the key's own, of deviations none: a model forecasts in any case.
    fn fill_neighbours(&self, neighbours: usize, window: &ClosedWindow, mut target: Target<'_>) -> usize {
        let (plan, met) = (&self.plan.neighbours[neighbours], &self.neighbours[neighbours]);
        let values = self.looked_at(&plan.look, window);
        let usual = |key: usize| match plan.look.profile {
            Some(_) => 0.0,
            None => self.lags[plan.look.lags].of(key)[0],
        };
        target.each_row(|key, row| met.fill(plan, key, &values, usual(key), row), plan.width())
    }

    /// Lag 0 less the profile at the window's end, by key.
    fn deviation(&self, lags: usize, profile: usize, window: &ClosedWindow) -> Vec<f64> {
        let mut column = vec![f64::NAN; window.key_count()];
        self.profiles[profile].fill(window.end, &mut column);
        column.iter_mut().enumerate().for_each(|(key, value)| *value = self.lags[lags].of(key)[0] - *value);
        column
    }

    /// What neighbours look at in each key, NaN where nothing is known or it is too old.
    fn looked_at(&self, look: &Look, window: &ClosedWindow) -> Vec<f64> {
        let lags = &self.lags[look.lags];
        let mut values = match look.profile {
            Some(profile) => self.deviation(look.lags, profile, window),
            None => (0..window.key_count()).map(|key| lags.of(key)[0]).collect(),
        };
        if let Some(age_max) = look.age_max {
            let old = |key: usize| lags.windows_since(key) > age_max;
            values.iter_mut().enumerate().filter(|(key, _)| old(*key)).for_each(|(_, value)| *value = f64::NAN);
        }
        values
    }

    /// Writes the state.
    pub fn snapshot(&mut self, which: Snapshot, writer: &mut dyn StateWriter) {
        self.lags.iter_mut().for_each(|lags| lags.snapshot(which, writer));
        self.profiles.iter_mut().for_each(|profile| profile.snapshot(which, writer));
        self.repeats.iter_mut().for_each(|repeats| repeats.snapshot(which, writer));
    }

    /// Reads the state back.
    ///
    /// # Errors
    /// [`StateError`] where a block is not this state.
    pub fn restore(&mut self, reader: &dyn StateReader) -> Result<(), StateError> {
        self.lags.iter_mut().try_for_each(|lags| lags.restore(reader))?;
        self.profiles.iter_mut().try_for_each(|profile| profile.restore(reader))?;
        self.repeats.iter_mut().try_for_each(|repeats| repeats.restore(reader))
    }
}

/// Sine and cosine of the time of day, once around, twice, and so on.
fn waves(time: EventTime, zone: Tz, harmonics: u32) -> Vec<f64> {
    let position = local_time(time, zone).day_micros as f64;
    let pairs = (1..=harmonics).map(|cycles| harmonic(position, DAY_MICROS as f64, cycles));
    pairs.flat_map(|(sin, cos)| [sin, cos]).collect()
}

/// The columns of the matrix that a part fills.
struct Target<'a> {
    values: &'a mut [f64],
    width: usize,
    at: usize,
}

/// Writes columns of a window as they are.
fn values_of(window: &ClosedWindow, columns: &[usize]) -> impl Fn(usize, &mut [f64]) {
    move |key, row| row.iter_mut().zip(columns).for_each(|(value, &column)| *value = window.columns[column][key])
}

impl Target<'_> {
    /// Lets `fill` write `count` neighbouring values of each key's row.
    fn each_row(&mut self, fill: impl Fn(usize, &mut [f64]), count: usize) -> usize {
        for (key, row) in self.values.chunks_exact_mut(self.width).enumerate() {
            fill(key, &mut row[self.at..self.at + count]);
        }
        count
    }
}
