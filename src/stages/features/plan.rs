//! Feature settings and the window's columns -> a checked plan, shared by all partitions.

use std::sync::Arc;

use chrono_tz::Tz;

use super::neighbours::{Look, NeighboursPlan};
use super::profile::{ProfilePlan, SlotError};
use super::settings::{At as When, FeatureSettings, Fill, Of};
use super::tables::{Days, TimeTableError, Timeline};
use super::{ColumnKind, FeatureColumn};
use crate::stages::clean::Table;
use crate::stages::expression::did_you_mean;
use crate::vocab::{At, MadeWith, PathStep, YamlPath};

/// What features are computed from and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeaturesInput {
    /// Columns of a closed window.
    pub columns: Vec<String>,
    /// Time between windows, microseconds.
    pub every_micros: i64,
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
    pub(super) neighbours: Vec<NeighboursPlan>,
    pub(super) every_micros: i64,
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
    /// These window columns.
    Values(Vec<usize>),
    /// Whether this window column is null.
    Missing(usize),
    /// This window column by that one.
    Ratio(usize, usize),
    /// Whether the day so many windows ahead is marked, and its neighbours.
    Calendar { days: Arc<Days>, ahead: u32, zone: Tz },
    /// What was known last at the window's end.
    Lookup { timeline: Arc<Timeline>, count: usize, age: bool },
    /// What this plan's neighbours look at.
    Neighbours(usize),
}

/// Oldest value that neighbours can tell from one that is older.
const AGE_MAX: u8 = u8::MAX - 1;

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
    /// Neighbours without what is looked at in them.
    #[error("the neighbours of `{column}` need {wanted} of it before")]
    NothingToLookAt {
        /// The column.
        column: String,
        /// What is missing.
        wanted: &'static str,
    },
    /// Ages are not counted that far.
    #[error("max_age of {windows} windows is beyond the {AGE_MAX} that ages are counted to")]
    MaxAge {
        /// What was asked for.
        windows: i64,
    },
    /// Slots that cannot be.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// A table that says nothing of times.
    #[error(transparent)]
    Table(#[from] TimeTableError),
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
            neighbours: Vec::new(),
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
        let Builder { parts, lags, profiles, repeats, neighbours, columns, .. } = builder;
        Ok(Self {
            parts,
            lags,
            profiles,
            repeats,
            neighbours,
            every_micros: input.every_micros,
            columns: columns.into(),
        })
    }

    /// The matrix' columns.
    #[must_use]
    pub fn columns(&self) -> &Arc<[FeatureColumn]> {
        &self.columns
    }

    /// Whether features of a key tell of other keys, so that all of them have to be in one partition.
    #[must_use]
    pub fn cross_keys(&self) -> bool {
        !self.neighbours.is_empty()
    }

    /// What saved lags, profiles and counts of repeats were made with.
    #[must_use]
    pub fn made_with(&self) -> [MadeWith; 3] {
        let every_micros = self.every_micros;
        let made_with = |step: &str, meaning: String| MadeWith {
            step: step.to_owned(),
            meaning: format!("{meaning} {every_micros}"),
            settings: String::new(),
        };
        [
            made_with("lags", format!("{:?}", self.lags)),
            // What was written in another layout cannot be read: 2 has moments of keys that were constant.
            made_with("profile", format!("{:?} layout 2", self.profiles)),
            made_with("repeats", format!("{:?}", self.repeats)),
        ]
    }
}

/// What to do about a table that cannot be looked up by time.
fn lookup_hint(error: TimeTableError, table: &Table) -> Refused {
    let hint = match &error {
        TimeTableError::NoColumn { name, .. } => did_you_mean(name, table.column_names()),
        TimeTableError::Time { .. } => Some(
            "its `key` has to be a column of RFC 3339 times; `timezone` says where those without offset are".to_owned(),
        ),
        _ => None,
    };
    (error.into(), hint)
}

/// Names of sine and cosine pairs.
fn pairs(of: &str, harmonics: u32) -> Vec<String> {
    (1..=harmonics).flat_map(|cycles| ["sin", "cos"].map(|wave| format!("{of}{wave}{cycles}"))).collect()
}

fn in_units_of(column: &str) -> ColumnKind {
    ColumnKind::InUnitsOf(column.to_owned())
}

struct Builder<'a> {
    input: &'a FeaturesInput,
    parts: Vec<Part>,
    lags: Vec<LagsPlan>,
    profiles: Vec<(usize, ProfilePlan)>,
    repeats: Vec<usize>,
    neighbours: Vec<NeighboursPlan>,
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
                let part = |ahead| Part::TimeOfDay { ahead, harmonics: *harmonics, zone: *zone };
                self.each(*at, part, &pairs("time_of_day.", *harmonics), &ColumnKind::Unitless);
                Ok(())
            }
            FeatureSettings::DayOfWeek { at, zone } => {
                let names = ["sin", "cos", "weekend"].map(|name| format!("day_of_week.{name}"));
                self.each(*at, |ahead| Part::DayOfWeek { ahead, zone: *zone }, &names, &ColumnKind::Unitless);
                Ok(())
            }
            FeatureSettings::Profile { column, period, slot, at, min_values, smooth, memory, zone } => {
                let plan = ProfilePlan {
                    step: format!("profile.{column}.{}", self.profiles.len()),
                    period: *period,
                    slot_micros: slot.unwrap_or(self.input.every_micros),
                    min_values: *min_values,
                    smooth: *smooth,
                    memory: *memory,
                    zone: *zone,
                };
                self.profile(column, plan, *at)
            }
            FeatureSettings::Deviation { column, harmonics, repeats } => self.deviation(column, *harmonics, *repeats),
            FeatureSettings::Values { columns } => self.values(columns),
            FeatureSettings::Missing { column } => {
                let index = self.column(column)?;
                self.push(Part::Missing(index), [format!("{column}.missing")], &ColumnKind::Unitless);
                Ok(())
            }
            FeatureSettings::Ratio { of, to } => {
                let part = Part::Ratio(self.column(of)?, self.column(to)?);
                self.push(part, [format!("{of}.by_{to}")], &ColumnKind::OwnUnit);
                Ok(())
            }
            FeatureSettings::Calendar { table, at, zone } => self.calendar(table, *at, *zone),
            FeatureSettings::Lookup { table, columns, max_age, age, zone } => {
                let timeline = Timeline::of(table, columns, *zone, *max_age);
                self.lookup(table, columns, timeline.map_err(|error| lookup_hint(error, table))?, *age);
                Ok(())
            }
            FeatureSettings::Neighbours { column, graph, direction, count, of, mean, max_age } => {
                let look = self.look(column, *of, *mean, *max_age)?;
                let mean = look.mean;
                let part = Part::Neighbours(self.neighbours.len());
                self.neighbours.push(NeighboursPlan::new(graph, *direction, *count as usize, look));
                let names = (0..*count).map(|slot| format!("{column}.neighbour{slot}"));
                match mean {
                    true => self.push(part, [format!("{column}.neighbours")], &in_units_of(column)),
                    false => self.push(part, names, &in_units_of(column)),
                }
                Ok(())
            }
        }
    }

    fn calendar(&mut self, table: &Table, at: When, zone: Tz) -> Result<(), Refused> {
        let days = Arc::new(Days::of(table).map_err(|error| (error.into(), None))?);
        let names = ["", "_eve", "_after"].map(|day| format!("calendar.{}{day}", table.name()));
        let part = |ahead| Part::Calendar { days: Arc::clone(&days), ahead, zone };
        self.each(at, part, &names, &ColumnKind::Unitless);
        Ok(())
    }

    fn lookup(&mut self, table: &Table, columns: &[String], timeline: Timeline, age: bool) {
        let of_table = |name: &str| format!("{}.{name}", table.name());
        let part = Part::Lookup { timeline: Arc::new(timeline), count: columns.len(), age };
        self.push(part, columns.iter().map(|name| of_table(name)), &ColumnKind::OwnUnit);
        if age {
            self.name([of_table("age")], &ColumnKind::Unitless, None);
        }
    }

    fn values(&mut self, columns: &[String]) -> Result<(), Refused> {
        let indices = columns.iter().map(|column| self.column(column)).collect::<Result<Vec<_>, _>>()?;
        self.parts.push(Part::Values(indices));
        columns.iter().for_each(|column| self.name([column.clone()], &in_units_of(column), None));
        Ok(())
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
        self.push(part, kept.iter().map(|lag| format!("{column}.lag{lag}")), &in_units_of(column));
        if age {
            self.push(Part::Age(plan), [format!("{column}.age")], &ColumnKind::Unitless);
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
        self.push(Part::Differences { lags, count: count as usize }, names, &in_units_of(column));
        Ok(())
    }

    fn profile(&mut self, column: &str, plan: ProfilePlan, at: When) -> Result<(), Refused> {
        let index = self.column(column)?;
        let hint = || Some("set `slot` to a time that a day is a multiple of, as `5m`".to_owned());
        plan.check().map_err(|error| (error.into(), hint()))?;
        let profile = self.profiles.len();
        self.profiles.push((index, plan));
        let names = [format!("{column}.profile")];
        self.each(at, |ahead| Part::Profile { profile, ahead }, &names, &in_units_of(column));
        Ok(())
    }

    fn deviation(&mut self, column: &str, harmonics: u32, repeats: bool) -> Result<(), Refused> {
        let index = self.column(column)?;
        let lags = self.lags.iter().position(|lags| lags.column == index);
        let profile = self.profiles.iter().position(|(column, _)| *column == index);
        let (Some(lags), Some(profile)) = (lags, profile) else {
            return Err((FeaturesPlanError::NoProfile { column: column.to_owned() }, None));
        };
        let part = |ahead| Part::Deviation { lags, profile, ahead, harmonics };
        let names = pairs(&format!("{column}.deviation_"), harmonics);
        self.each(When::Target, part, &names, &in_units_of(column));
        if repeats {
            let repeats = self.repeats.len();
            self.repeats.push(index);
            let names = [format!("{column}.deviation_held")];
            self.push(Part::HeldDeviation { lags, profile, repeats }, names, &in_units_of(column));
        }
        Ok(())
    }

    /// What neighbours of a column are seen by.
    fn look(&self, column: &str, of: Of, mean: bool, max_age: Option<i64>) -> Result<Look, Refused> {
        let index = self.column(column)?;
        let missing = |wanted| (FeaturesPlanError::NothingToLookAt { column: column.to_owned(), wanted }, None);
        let lags = self.lags.iter().position(|lags| lags.column == index).ok_or_else(|| missing("`lags`"))?;
        let profile = self.profiles.iter().position(|(column, _)| *column == index);
        let profile = match of {
            Of::Value => None,
            Of::Deviation => Some(profile.ok_or_else(|| missing("a `profile`"))?),
        };
        let windows = max_age.map(|max_age| max_age / self.input.every_micros.max(1));
        let counted = |windows: &i64| u8::try_from(*windows).ok().filter(|windows| *windows <= AGE_MAX);
        match windows {
            Some(windows) if counted(&windows).is_none() => Err((FeaturesPlanError::MaxAge { windows }, None)),
            _ => Ok(Look { lags, profile, mean, age_max: windows.as_ref().and_then(counted) }),
        }
    }

    /// Adds a part once for the present, or once per horizon.
    fn each(&mut self, at: When, part: impl Fn(u32) -> Part, names: &[String], kind: &ColumnKind) {
        let names = names.iter().cloned();
        match at {
            When::Now => self.push(part(0), names, kind),
            When::Target => {
                for steps in &self.input.horizon_steps {
                    self.parts.push(part(*steps));
                    self.name(names.clone(), kind, Some(*steps));
                }
            }
        }
    }

    /// Adds a part that serves every horizon.
    fn push(&mut self, part: Part, names: impl IntoIterator<Item = String>, kind: &ColumnKind) {
        self.parts.push(part);
        self.name(names, kind, None);
    }

    fn name(&mut self, names: impl IntoIterator<Item = String>, kind: &ColumnKind, horizon_steps: Option<u32>) {
        let column = |name| FeatureColumn { name, kind: kind.clone(), horizon_steps };
        self.columns.extend(names.into_iter().map(column));
    }

    fn column(&self, name: &str) -> Result<usize, Refused> {
        self.input.columns.iter().position(|known| known == name).ok_or_else(|| {
            let hint = did_you_mean(name, self.input.columns.iter().map(String::as_str));
            (FeaturesPlanError::UnknownColumn { name: name.to_owned() }, hint)
        })
    }
}
