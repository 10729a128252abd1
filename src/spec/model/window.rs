//! `keys:`, `window:` and `features:`.

pub use crate::stages::features::{At, Direction, Fill, Of, Period};
pub use crate::stages::window::AtEnd;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// Limits and life of window keys.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSpec {
    /// A key without accepted rows for this long, in event time, is forgotten with its models.
    pub expire_after: Span,
    /// Most keys that a partition holds; rows of further keys are dead letters.
    #[schemars(range(min = 1))]
    pub max: u32,
}

impl Default for KeysSpec {
    fn default() -> Self {
        Self { expire_after: Span::seconds(2 * 86_400), max: 1_000_000 }
    }
}

/// Event-time windows, tumbling or sliding: one row per live key and window, empty windows included.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// Length. Windows are aligned to 1970-01-01T00:00Z.
    pub size: Span,
    /// Time from the end of one window to that of the next, of which `size` is a multiple: shorter than `size`, windows
    /// slide. `size` unless given, so that each reading is in one window.
    pub every: Option<Span>,
    /// Columns that identify a series; they must include the source's `partitioned_by`.
    #[schemars(length(min = 1))]
    pub key: Vec<String>,
    /// How long a closed window is still corrected. Only `0s` so far.
    #[serde(default)]
    pub allowed_lateness: Span,
    /// Fewest rows for a window to count as measured: with fewer it gives no label.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub min_count: u32,
    /// Numeric columns whose last value rides along, unaggregated.
    #[serde(default)]
    pub carry: Vec<String>,
    /// New column -> aggregate of a row column: `count(*)`, `count(c)`, `sum(c)`, `avg(c)`, `min(c)`, `max(c)`,
    /// `first(c)`, `last(c)`, `stddev(c)`, `median(c)`, `quantile(c, 0.95)`. Nulls are left out.
    #[schemars(extend("minProperties" = 1))]
    pub columns: BTreeMap<String, String>,
    /// Whether the end of a bounded run (`--until latest`) closes windows that are still open.
    #[serde(default)]
    pub at_end: AtEnd,
}

impl WindowSpec {
    /// Time from the end of one window to that of the next.
    #[must_use]
    pub fn every(&self) -> Span {
        self.every.unwrap_or(self.size)
    }
}

fn one() -> u32 {
    1
}

/// One group of feature columns.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureSpec {
    /// The last values of a window column: `speed_kmh.lag0` is the closed window's own.
    Lags(LagsSpec),
    /// Differences between neighbouring lags: `speed_kmh.difference0` is lag 0 minus lag 1.
    Differences(DifferencesSpec),
    /// Sine and cosine of the time of day.
    TimeOfDay(TimeOfDaySpec),
    /// Sine and cosine of the day of the week.
    DayOfWeek(DayOfWeekSpec),
    /// The causal seasonal profile of a window column.
    Profile(ProfileSpec),
    /// How far lag 0 is from its profile, times sines and cosines of the target's time of day, so that a model's gain on
    /// it may vary over the day (Hastie and Tibshirani 1993); and the same by how long the reading has held.
    Deviation(DeviationSpec),
    /// Columns of the closed window as they are, under their own names: `heart_rate`.
    Values(ValuesSpec),
    /// 1 where the column is null in the closed window, else 0.
    Missing(MissingFeatureSpec),
    /// One window column by another: `flow_veh_h.by_capacity`; null where either is, or the second is 0.
    Ratio(RatioSpec),
    /// Whether the day stands in a table of days: `calendar.holidays`, 1 or 0; `calendar.holidays_eve`, whether the next day
    /// does; `calendar.holidays_after`, whether the day before does.
    Calendar(CalendarSpec),
    /// The latest values of a table of values at times that are not newer than the window's end, the same for every
    /// key: `weather.rain_mm`. What becomes known later is never seen.
    Lookup(TimeLookupSpec),
    /// What is known of other keys, those next to a key in a table of links: `speed_kmh.neighbour0` is of the nearest. All
    /// keys must be in one partition.
    Neighbours(NeighboursSpec),
}

/// The last values of a column.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LagsSpec {
    /// Window column.
    pub column: String,
    /// How many, the closed window's own included; at most a week of minutes.
    #[schemars(range(min = 1, max = 10080))]
    pub count: u32,
    /// What stands for a null: nothing, or the last value before it.
    #[serde(default)]
    pub fill: Fill,
    /// Adds `<column>.age`: windows since the last value, at most 255, divided by 255.
    #[serde(default)]
    pub age: bool,
    /// Which lags are columns, counted from 0; all unless given.
    #[schemars(extend("minItems" = 1))]
    pub keep: Option<Vec<u32>>,
}

/// Differences of neighbouring lags.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DifferencesSpec {
    /// Window column; a `lags` step of it must stand before.
    pub column: String,
    /// How many; fewer than the lags.
    #[schemars(range(min = 1))]
    pub count: u32,
}

/// Time of day as harmonics.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeOfDaySpec {
    /// Whose time of day.
    pub at: At,
    /// Pairs of sine and cosine, with 1, 2, ... cycles per day.
    #[schemars(range(min = 1))]
    pub harmonics: u32,
    /// IANA zone whose day it is; UTC unless given.
    pub timezone: Option<String>,
}

impl Default for TimeOfDaySpec {
    fn default() -> Self {
        Self { at: At::Target, harmonics: 1, timezone: None }
    }
}

/// Day of week as a pair of sine and cosine, and a weekend flag.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DayOfWeekSpec {
    /// Whose day.
    pub at: At,
    /// IANA zone whose day it is; UTC unless given.
    pub timezone: Option<String>,
}

impl Default for DayOfWeekSpec {
    fn default() -> Self {
        Self { at: At::Target, timezone: None }
    }
}

/// A running mean per key and slot of the day or week, from values up to the closed window only.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSpec {
    /// Window column.
    pub column: String,
    /// Season.
    #[serde(default)]
    pub period: Period,
    /// Width of a slot; the window's size unless given.
    pub slot: Option<Span>,
    /// Whose slot.
    #[serde(default)]
    pub at: At,
    /// A slot of the week with fewer values than this falls back to the time of day, then to the overall mean.
    #[serde(default = "default_min_values")]
    pub min_values: u32,
    /// Neighbouring slots on either side that a value enters too, with falling weight.
    #[serde(default)]
    pub smooth: u32,
    /// Largest weight, in values, of what a slot has seen: with it old values fade. Nothing fades unless given.
    #[schemars(range(min = 1))]
    pub memory: Option<u32>,
    /// IANA zone whose day and week it is; UTC unless given.
    pub timezone: Option<String>,
}

fn default_min_values() -> u32 {
    3
}

/// Deviation from the profile.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviationSpec {
    /// Window column; `lags` and a `profile` of it must stand before.
    pub column: String,
    /// Pairs of sine and cosine, with 1, 2, ... cycles per day.
    #[serde(default = "default_harmonics")]
    #[schemars(range(min = 1))]
    pub harmonics: u32,
    /// Adds `<column>.deviation_held`: the deviation times `r / (r + 3)`, with `r` the readings in a row that equalled
    /// the one before.
    #[serde(default = "default_repeats")]
    pub repeats: bool,
}

fn default_repeats() -> bool {
    true
}

fn default_harmonics() -> u32 {
    2
}

/// One window column by another.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RatioSpec {
    /// Window column.
    pub of: String,
    /// Window column; those of `carry` too.
    pub to: String,
}

/// Days in a table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarSpec {
    /// Table whose `key` is a date, as `2026-12-25`.
    pub table: String,
    /// Whose day.
    #[serde(default)]
    pub at: At,
    /// IANA zone whose day it is; UTC unless given.
    pub timezone: Option<String>,
}

/// Values of a table as of the window's end.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeLookupSpec {
    /// Table whose `key` is an RFC 3339 time.
    pub table: String,
    /// Its columns, of numbers.
    #[schemars(extend("minItems" = 1))]
    pub columns: Vec<String>,
    /// Values older than this at the window's end are null.
    pub max_age: Span,
    /// Adds `<table>.age`: the age of the values, as a share of `max_age`.
    #[serde(default)]
    pub age: bool,
    /// IANA zone of keys without offset. Without it such keys are refused.
    pub timezone: Option<String>,
}

/// Columns as they are.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesSpec {
    /// Window columns.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
}

/// Missingness flag.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingFeatureSpec {
    /// Window column.
    pub column: String,
}

/// Other keys, by a table of links.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeighboursSpec {
    /// Window column; `lags` of it must stand before: what they say of a null, neighbours say.
    pub column: String,
    /// Table with `graph`; its keys are those of the window.
    pub table: String,
    /// Most neighbours of a key: those that are nearest. Without that many, or where one has no value, the key's own value
    /// stands there, of deviations 0.
    #[schemars(range(min = 1, max = 64))]
    pub count: u32,
    /// Which of them.
    #[serde(default)]
    pub direction: Direction,
    /// What is looked at: the last value, or how far it is from the neighbour's own profile, which a `profile` before gives.
    #[serde(default)]
    pub of: Of,
    /// One column, `<column>.neighbours`, with the mean of those that have a value, instead of one for each.
    #[serde(default)]
    pub mean: bool,
    /// Older values than this count as none; at most 254 windows. Without it the last value counts, however old, where
    /// `lags` have `fill: last`.
    pub max_age: Option<Span>,
}
