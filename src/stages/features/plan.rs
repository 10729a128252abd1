//! Feature settings and the window's columns -> a checked plan, shared by all partitions.

use std::sync::Arc;

use chrono_tz::Tz;

use super::FeatureColumn;
use super::profile::{ProfilePlan, SlotError};
use super::settings::{At as When, Fill, Period};
use crate::stages::expression::did_you_mean;
use crate::vocab::{At, MadeWith, PathStep, YamlPath};

/// One group of feature columns, as the pipeline file has it. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureSettings {
    /// The last values of a window column.
    Lags {
        /// Window column.
        column: String,
        /// How many.
        count: u32,
        /// What stands for a null.
        fill: Fill,
        /// Whether the age of the last value is a column too.
        age: bool,
        /// Which lags are columns, all where `None`.
        keep: Option<Vec<u32>>,
    },
    /// Differences of neighbouring lags.
    Differences {
        /// Window column.
        column: String,
        /// How many.
        count: u32,
    },
    /// Harmonics of the time of day.
    TimeOfDay {
        /// Whose time.
        at: When,
        /// Pairs of sine and cosine.
        harmonics: u32,
        /// Whose clock.
        zone: Tz,
    },
    /// Sine and cosine of the day of the week, and a weekend flag.
    DayOfWeek {
        /// Whose day.
        at: When,
        /// Whose calendar.
        zone: Tz,
    },
    /// The causal seasonal profile.
    Profile {
        /// Window column.
        column: String,
        /// Season.
        period: Period,
        /// Width of a slot; the window's size unless given.
        slot: Option<i64>,
        /// Whose slot.
        at: When,
        /// Fewest values for a slot to be believed.
        min_values: u32,
        /// Neighbouring slots that a value enters.
        smooth: u32,
        /// Largest weight of what a slot has seen.
        memory: Option<u32>,
        /// Whose clock and calendar.
        zone: Tz,
    },
    /// How far the last value is from its profile, by time of day.
    Deviation {
        /// Window column; its lags and its profile stand before.
        column: String,
        /// Pairs of sine and cosine.
        harmonics: u32,
        /// Whether a column tells how long the reading has held.
        repeats: bool,
    },
    /// 1 where the column is null.
    Missing {
        /// Window column.
        column: String,
    },
}

/// What features are computed from and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturesInput {
    /// Columns of a closed window.
    pub columns: Vec<String>,
    /// Length of a window, microseconds.
    pub window_micros: i64,
    /// Every horizon of any predictor, in windows, ascending.
    pub horizon_steps: Vec<u32>,
}

/// Checked features.
#[derive(Debug, Clone, PartialEq)]
pub struct FeaturesPlan {
    pub(super) parts: Vec<Part>,
    pub(super) lags: Vec<LagsPlan>,
    pub(super) profiles: Vec<(usize, ProfilePlan)>,
    /// Window columns whose runs of equal readings are counted.
    pub(super) repeats: Vec<usize>,
    pub(super) window_micros: i64,
    columns: Arc<[FeatureColumn]>,
}

/// Lags of one window column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LagsPlan {
    pub(super) column: usize,
    pub(super) name: String,
    pub(super) count: usize,
    pub(super) fill: Fill,
}

/// How a group of neighbouring columns of the matrix is filled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// These lags of this plan.
    Lags { lags: usize, kept: Vec<usize> },
    /// The age of this plan's last value.
    Age(usize),
    /// So many differences of this plan's lags.
    Differences { lags: usize, count: usize },
    /// Sine and cosine pairs of the time of day, so many windows ahead.
    TimeOfDay { ahead: u32, harmonics: u32, zone: Tz },
    /// Sine, cosine and weekend flag, so many windows ahead.
    DayOfWeek { ahead: u32, zone: Tz },
    /// This profile, so many windows ahead.
    Profile { profile: usize, ahead: u32 },
    /// The deviation of lag 0 from the profile, times sine and cosine pairs of the time of day so many windows ahead.
    Deviation { lags: usize, profile: usize, ahead: u32, harmonics: u32 },
    /// The deviation of lag 0 from the profile, the more the longer the reading has held.
    HeldDeviation { lags: usize, profile: usize, repeats: usize },
    /// Whether this window column is null.
    Missing(usize),
}

/// Why features cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeaturesPlanError {
    /// No such window column.
    #[error("unknown window column `{name}`")]
    UnknownColumn {
        /// The name.
        name: String,
    },
    /// Nothing to compute.
    #[error("count is 0")]
    NoColumns,
    /// A column of a lag that is not kept in memory.
    #[error("lag {lag} is not among the {count} lags of `{column}`, which are 0 to {}", .count - 1)]
    KeptLag {
        /// The column.
        column: String,
        /// The lag asked for.
        lag: u32,
        /// Lags there are.
        count: u32,
    },
    /// Differences without the lags they are of.
    #[error("{wanted} differences of `{column}` need {} lags of it before, found {found}", .wanted + 1)]
    TooFewLags {
        /// The column.
        column: String,
        /// Differences asked for.
        wanted: u32,
        /// Lags declared before.
        found: u32,
    },
    /// A deviation without lags and profile to take it from.
    #[error("the deviation of `{column}` needs `lags` and a `profile` of it before")]
    NoProfile {
        /// The column.
        column: String,
    },
    /// Slots that cannot be.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A column made twice.
    #[error("feature `{name}` is made twice")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
}

impl FeaturesPlan {
    /// Checks the settings.
    ///
    /// # Errors
    /// Every problem; paths start at `features`.
    pub fn new(settings: &[FeatureSettings], input: &FeaturesInput) -> Result<Self, Vec<At<FeaturesPlanError>>> {
        let mut builder = Builder {
            input,
            parts: Vec::new(),
            lags: Vec::new(),
            profiles: Vec::new(),
            repeats: Vec::new(),
            columns: vec![],
        };
        let root = YamlPath(vec![PathStep::Key("features".to_owned())]);
        let mut errors = Vec::new();
        for (index, one) in settings.iter().enumerate() {
            let before = builder.columns.len();
            if let Err((error, hint)) = builder.add(one) {
                errors.push(At { path: root.index(index).key(one.name()), error, hint });
            }
            let repeated = (before..builder.columns.len())
                .find(|new| builder.columns[..*new].contains(&builder.columns[*new]))
                .map(|new| builder.columns[new].name.clone());
            if let Some(name) = repeated {
                let error = FeaturesPlanError::RepeatedColumn { name };
                errors.push(At { path: root.index(index).key(one.name()), error, hint: None });
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let Builder { parts, lags, profiles, repeats, columns, .. } = builder;
        Ok(Self { parts, lags, profiles, repeats, window_micros: input.window_micros, columns: columns.into() })
    }

    /// The matrix' columns.
    #[must_use]
    pub fn columns(&self) -> &Arc<[FeatureColumn]> {
        &self.columns
    }

    /// What saved lags, profiles and counts of repeats were made with.
    #[must_use]
    pub fn made_with(&self) -> [MadeWith; 3] {
        let window_micros = self.window_micros;
        let made_with = |step: &str, meaning: String| MadeWith {
            step: step.to_owned(),
            meaning: format!("{meaning} {window_micros}"),
            settings: String::new(),
        };
        [
            made_with("lags", format!("{:?}", self.lags)),
            made_with("profile", format!("{:?}", self.profiles)),
            made_with("repeats", format!("{:?}", self.repeats)),
        ]
    }
}

impl FeatureSettings {
    /// The group's key in the pipeline file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lags { .. } => "lags",
            Self::Differences { .. } => "differences",
            Self::TimeOfDay { .. } => "time_of_day",
            Self::DayOfWeek { .. } => "day_of_week",
            Self::Profile { .. } => "profile",
            Self::Deviation { .. } => "deviation",
            Self::Missing { .. } => "missing",
        }
    }
}

struct Builder<'a> {
    input: &'a FeaturesInput,
    parts: Vec<Part>,
    lags: Vec<LagsPlan>,
    profiles: Vec<(usize, ProfilePlan)>,
    repeats: Vec<usize>,
    columns: Vec<FeatureColumn>,
}

type Refused = (FeaturesPlanError, Option<String>);

impl Builder<'_> {
    fn add(&mut self, settings: &FeatureSettings) -> Result<(), Refused> {
        match settings {
            FeatureSettings::Lags { column, count, fill, age, keep } => {
                self.lags(column, *count, *fill, *age, keep.as_deref())
            }
            FeatureSettings::Differences { column, count } => self.differences(column, *count),
            FeatureSettings::TimeOfDay { at, harmonics, zone } => {
                self.each(
                    *at,
                    |ahead| Part::TimeOfDay { ahead, harmonics: *harmonics, zone: *zone },
                    |columns| {
                        for cycles in 1..=*harmonics {
                            columns.push(format!("time_of_day.sin{cycles}"));
                            columns.push(format!("time_of_day.cos{cycles}"));
                        }
                    },
                );
                Ok(())
            }
            FeatureSettings::DayOfWeek { at, zone } => {
                self.each(
                    *at,
                    |ahead| Part::DayOfWeek { ahead, zone: *zone },
                    |columns| {
                        columns.extend(["sin", "cos", "weekend"].map(|name| format!("day_of_week.{name}")));
                    },
                );
                Ok(())
            }
            FeatureSettings::Profile { column, period, slot, at, min_values, smooth, memory, zone } => {
                let index = self.column(column)?;
                let slot_micros = slot.unwrap_or(self.input.window_micros);
                let step = format!("profile.{column}.{}", self.profiles.len());
                let plan = ProfilePlan {
                    step,
                    period: *period,
                    slot_micros,
                    min_values: *min_values,
                    smooth: *smooth,
                    memory: *memory,
                    zone: *zone,
                };
                let hint = || Some("set `slot` to a time that a day is a multiple of, as `5m`".to_owned());
                plan.check().map_err(|error| (error.into(), hint()))?;
                let profile = self.profiles.len();
                self.profiles.push((index, plan));
                self.each(
                    *at,
                    |ahead| Part::Profile { profile, ahead },
                    |columns| {
                        columns.push(format!("{column}.profile"));
                    },
                );
                Ok(())
            }
            FeatureSettings::Deviation { column, harmonics, repeats } => self.deviation(column, *harmonics, *repeats),
            FeatureSettings::Missing { column } => {
                let index = self.column(column)?;
                self.push(Part::Missing(index), [format!("{column}.missing")], None);
                Ok(())
            }
        }
    }

    fn lags(&mut self, column: &str, count: u32, fill: Fill, age: bool, keep: Option<&[u32]>) -> Result<(), Refused> {
        let index = self.column(column)?;
        if count == 0 || keep.is_some_and(<[u32]>::is_empty) {
            return Err((FeaturesPlanError::NoColumns, Some("give at least 1".to_owned())));
        }
        let kept: Vec<u32> = keep.map_or_else(|| (0..count).collect(), <[u32]>::to_vec);
        if let Some(&lag) = kept.iter().find(|lag| **lag >= count) {
            return Err((FeaturesPlanError::KeptLag { column: column.to_owned(), lag, count }, None));
        }
        let plan = self.lags.len();
        self.lags.push(LagsPlan { column: index, name: column.to_owned(), count: count as usize, fill });
        let part = Part::Lags { lags: plan, kept: kept.iter().map(|lag| *lag as usize).collect() };
        self.push(part, kept.iter().map(|lag| format!("{column}.lag{lag}")), None);
        if age {
            self.push(Part::Age(plan), [format!("{column}.age")], None);
        }
        Ok(())
    }

    fn differences(&mut self, column: &str, count: u32) -> Result<(), Refused> {
        let index = self.column(column)?;
        let lags = self.lags.iter().position(|lags| lags.column == index);
        let found = lags.map_or(0, |lags| self.lags[lags].count as u32);
        let Some(lags) = lags.filter(|_| found > count) else {
            let error = FeaturesPlanError::TooFewLags { column: column.to_owned(), wanted: count, found };
            return Err((error, None));
        };
        let names = (0..count).map(|lag| format!("{column}.difference{lag}"));
        self.push(Part::Differences { lags, count: count as usize }, names, None);
        Ok(())
    }

    fn deviation(&mut self, column: &str, harmonics: u32, repeats: bool) -> Result<(), Refused> {
        let index = self.column(column)?;
        let lags = self.lags.iter().position(|lags| lags.column == index);
        let profile = self.profiles.iter().position(|(column, _)| *column == index);
        let (Some(lags), Some(profile)) = (lags, profile) else {
            return Err((FeaturesPlanError::NoProfile { column: column.to_owned() }, None));
        };
        self.each(
            When::Target,
            |ahead| Part::Deviation { lags, profile, ahead, harmonics },
            |columns| {
                for cycles in 1..=harmonics {
                    columns.push(format!("{column}.deviation_sin{cycles}"));
                    columns.push(format!("{column}.deviation_cos{cycles}"));
                }
            },
        );
        if repeats {
            let repeats = self.repeats.len();
            self.repeats.push(index);
            self.push(Part::HeldDeviation { lags, profile, repeats }, [format!("{column}.deviation_held")], None);
        }
        Ok(())
    }

    /// Adds a part once for the present, or once per horizon.
    fn each(&mut self, at: When, part: impl Fn(u32) -> Part, names: impl Fn(&mut Vec<String>)) {
        let mut columns = Vec::new();
        names(&mut columns);
        match at {
            When::Now => self.push(part(0), columns, None),
            When::Target => {
                for steps in &self.input.horizon_steps {
                    self.push(part(*steps), columns.clone(), Some(*steps));
                }
            }
        }
    }

    fn push(&mut self, part: Part, names: impl IntoIterator<Item = String>, horizon_steps: Option<u32>) {
        self.parts.push(part);
        self.columns.extend(names.into_iter().map(|name| FeatureColumn { name, horizon_steps }));
    }

    fn column(&self, name: &str) -> Result<usize, Refused> {
        self.input.columns.iter().position(|known| known == name).ok_or_else(|| {
            let hint = did_you_mean(name, self.input.columns.iter().map(String::as_str));
            (FeaturesPlanError::UnknownColumn { name: name.to_owned() }, hint)
        })
    }
}
