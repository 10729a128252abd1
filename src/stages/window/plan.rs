//! Window settings and the schema of cleaned rows -> a checked plan, shared by all partitions.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema};

use super::function::{Function, aggregate};
use super::saved::{KEYS_MAX, OPEN_MAX};
use super::settings::{AtEnd, Stamps};
use crate::stages::expression::did_you_mean;
use crate::vocab::{At, IMPUTED, MadeWith, PathStep, YamlPath};

/// What the pipeline file says of windows. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowSettings {
    /// Length of a window.
    pub size: i64,
    /// Time from the end of one window to that of the next; `size`, so that windows do not overlap, unless given.
    pub every: Option<i64>,
    /// Which end of its interval a reading carries.
    pub stamps: Stamps,
    /// Length of the interval that a reading covers; 0 for instants.
    pub interval: i64,
    /// How far the watermark stays behind the newest event time.
    pub max_delay: i64,
    /// Key columns.
    pub key: Vec<String>,
    /// Output column -> `function(column)`.
    pub columns: BTreeMap<String, String>,
    /// Whether rows say in column [`IMPUTED`] that a value of theirs was imputed.
    pub imputed: bool,
    /// Columns whose last value rides along.
    pub carry: Vec<String>,
    /// Fewest rows for a window to count as measured.
    pub min_count: u32,
    /// A key without accepted rows for this long is forgotten.
    pub expire_after: i64,
    /// Most keys of a partition.
    pub keys_max: u32,
    /// What the end of a bounded run does to open windows.
    pub at_end: AtEnd,
}

impl WindowSettings {
    /// Names of the columns of a closed window: the aggregates, then the carried columns.
    #[must_use]
    pub fn output_columns(&self) -> Vec<String> {
        self.columns.keys().chain(&self.carry).cloned().collect()
    }
}

/// One aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    /// Name of the output column.
    pub name: String,
    /// How rows become one value.
    pub function: Function,
    /// The row column, as an index into the columns that the windows read; `None` for `count(*)`.
    pub column: Option<usize>,
}

/// Checked windows.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowPlan {
    settings: WindowSettings,
    key_columns: Vec<usize>,
    /// Row columns that aggregates read, each once.
    columns: Vec<usize>,
    /// Those of the output columns. Where rows say which are imputed, then the number of these, and then the output columns
    /// once more, of the other rows alone.
    aggregates: Vec<Aggregate>,
    output_columns: Vec<String>,
}

/// Why a window cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowPlanError {
    /// A length or limit that must be greater.
    #[error("{what} is {found}, not at least {least}")]
    TooSmall {
        /// What it is.
        what: &'static str,
        /// Its value; times in microseconds.
        found: i64,
        /// The least there may be.
        least: i64,
    },
    /// Windows that do not end where panes do.
    #[error("a window's size of {size} us is no multiple of `every`, {every} us, or more than {PANES_MAX} times that")]
    Every {
        /// The size, microseconds.
        size: i64,
        /// Time between windows, microseconds.
        every: i64,
    },
    /// Rows may come so late that too many windows are open at once.
    #[error("{open} windows are open at once: `max_delay` {max_delay} us, one every {every} us; at most {OPEN_MAX}")]
    TooManyOpen {
        /// How many.
        open: i64,
        /// The delay, microseconds.
        max_delay: i64,
        /// Time between windows, microseconds.
        every: i64,
    },
    /// More keys than the state can number.
    #[error("{found} keys in a partition; at most {KEYS_MAX}")]
    TooManyKeys {
        /// How many were asked for.
        found: u32,
    },
    /// No such column after cleaning.
    #[error("unknown column `{name}`")]
    UnknownColumn {
        /// The name.
        name: String,
    },
    /// A column of a type that cannot be aggregated.
    #[error("column `{name}` is {found}; windows aggregate numbers")]
    NotNumeric {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// A column of a type that cannot be a key.
    #[error("column `{name}` is {found}; keys are text or whole numbers")]
    NotKey {
        /// The column.
        name: String,
        /// Its type.
        found: String,
    },
    /// The flag of imputed rows was made into something else.
    #[error("column `{IMPUTED}`, which says whether a value of the row was imputed, is {found}")]
    NotFlag {
        /// Its type now.
        found: String,
    },
    /// Not `function(column)`.
    #[error("`{text}` is not an aggregate")]
    NotAggregate {
        /// What was written.
        text: String,
    },
    /// Two output columns of one name.
    #[error("output column `{name}` stands twice, or is a key column too")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
}

/// Most windows that a row may be in.
const PANES_MAX: i64 = 1440;

/// What may be written as an aggregate.
const AGGREGATES: &str = "write count(*), or count, sum, avg, stddev, min, max, first, last or median of a column: \
     avg(speed_kmh), or quantile(speed_kmh, 0.95)";

impl WindowPlan {
    /// Checks the settings against the schema of cleaned rows.
    ///
    /// # Errors
    /// Every problem; paths start at `window`.
    pub fn new(settings: WindowSettings, schema: &Schema) -> Result<Self, Vec<At<WindowPlanError>>> {
        let root = YamlPath(vec![PathStep::Key("window".to_owned())]);
        let mut check = Check { schema, columns: Vec::new(), errors: Vec::new() };
        check.limits(&root, &settings);
        let keys = settings.key.iter().enumerate().map(|(i, name)| check.key(&root.key("key").index(i), name));
        let key_columns: Vec<usize> = keys.collect::<Vec<_>>().into_iter().flatten().collect();
        let mut aggregates = Vec::new();
        for (name, text) in &settings.columns {
            let path = root.key("columns").key(name);
            check.is_new(&path, name, &settings.key, &aggregates);
            aggregates.extend(check.aggregate(&path, name, text));
        }
        for (index, name) in settings.carry.iter().enumerate() {
            let path = root.key("carry").index(index);
            check.is_new(&path, name, &settings.key, &aggregates);
            let column = check.number(&path, name);
            aggregates.extend(column.map(|column| Aggregate {
                name: name.clone(),
                function: Function::Last,
                column: Some(column),
            }));
        }
        if settings.imputed {
            check.measured(&root, &mut aggregates);
        }
        if !check.errors.is_empty() {
            return Err(check.errors);
        }
        let output_columns = settings.output_columns();
        Ok(Self { settings, key_columns, columns: check.columns, aggregates, output_columns })
    }

    /// Length of a window, microseconds.
    #[must_use]
    pub fn size(&self) -> i64 {
        self.settings.size
    }

    /// Time from the end of one window to that of the next, microseconds. Rows are kept in panes of this length; a
    /// window is made of neighbouring ones, as Li and others, "No Pane, No Gain" (2005), have it.
    #[must_use]
    pub fn every(&self) -> i64 {
        self.settings.every.unwrap_or(self.settings.size)
    }

    /// How many panes a window is made of.
    pub(super) fn panes(&self) -> i64 {
        self.settings.size / self.every()
    }

    /// How far the watermark stays behind the newest event time, microseconds.
    #[must_use]
    pub fn max_delay(&self) -> i64 {
        self.settings.max_delay
    }

    /// A reading stamped `t` belongs to the window that holds `t - stamp_shift`, microseconds: the interval where
    /// readings carry its end, so that 11:30 belongs to 11:25..11:30.
    #[must_use]
    pub fn stamp_shift(&self) -> i64 {
        match self.settings.stamps {
            Stamps::Start => 0,
            Stamps::End => self.settings.interval,
        }
    }

    /// Names of the key columns.
    #[must_use]
    pub fn key_columns(&self) -> &[String] {
        &self.settings.key
    }

    /// Names of the columns of a closed window: the aggregates, then the carried columns.
    #[must_use]
    pub fn output_columns(&self) -> &[String] {
        &self.output_columns
    }

    /// How many columns of a closed window, from the first, are measured; the rest are carried along.
    #[must_use]
    pub fn measured(&self) -> usize {
        self.settings.columns.len()
    }

    /// The place of the number of imputed rows among the aggregates; `None` where none are. Those of the other rows alone
    /// follow.
    pub(super) fn imputed(&self) -> Option<usize> {
        self.settings.imputed.then_some(self.output_columns.len())
    }

    /// The place of the flag that tells imputed rows among the columns that aggregates read; those that follow are read
    /// where it is false.
    pub(super) fn flag(&self) -> Option<usize> {
        self.aggregates.get(self.imputed()?)?.column
    }

    /// Fewest rows for a window to count as measured.
    #[must_use]
    pub fn min_count(&self) -> u32 {
        self.settings.min_count
    }

    /// The plan of windows that the end of a bounded run leaves open.
    #[must_use]
    pub fn with_open_end(&self) -> Self {
        let settings = WindowSettings { at_end: AtEnd::Keep, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// Whether the end of a bounded run closes open windows.
    #[must_use]
    pub fn flush_at_end(&self) -> bool {
        self.settings.at_end == AtEnd::Flush
    }

    /// What saved windows were made with.
    #[must_use]
    pub fn made_with(&self) -> MadeWith {
        let every = self.settings.every.filter(|every| *every != self.settings.size);
        let every = every.map(|every| format!("/{every}")).unwrap_or_default();
        let imputed = if self.settings.imputed { " imputed" } else { "" };
        let WindowSettings { size, key, columns, carry, min_count, expire_after, keys_max, .. } = &self.settings;
        MadeWith {
            step: "window".to_owned(),
            meaning: format!("{size}{every} {} {key:?} {columns:?} {carry:?}{imputed}", self.stamp_shift()),
            settings: format!("{min_count} {expire_after} {keys_max}"),
        }
    }

    pub(super) fn settings(&self) -> &WindowSettings {
        &self.settings
    }

    pub(super) fn key_indices(&self) -> &[usize] {
        &self.key_columns
    }

    /// Indices of the row columns that aggregates read.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub(super) fn aggregates(&self) -> &[Aggregate] {
        &self.aggregates
    }
}

struct Check<'a> {
    schema: &'a Schema,
    /// Row columns that aggregates read so far.
    columns: Vec<usize>,
    errors: Vec<At<WindowPlanError>>,
}

impl Check<'_> {
    fn refuse(&mut self, path: &YamlPath, error: WindowPlanError, hint: Option<String>) {
        self.errors.push(At { path: path.clone(), error, hint });
    }

    fn limits(&mut self, root: &YamlPath, settings: &WindowSettings) {
        let at_least = [
            ("size", "the window's size", settings.size, 1),
            ("every", "`every`", settings.every.unwrap_or(1), 1),
            ("size", "`max_delay`", settings.max_delay, 0),
            ("size", "`interval`", settings.interval, 0),
            ("size", "`expire_after`", settings.expire_after, 1),
            ("key", "the number of key columns", settings.key.len() as i64, 1),
        ];
        for (key, what, found, least) in at_least {
            if found < least {
                self.refuse(&root.key(key), WindowPlanError::TooSmall { what, found, least }, None);
            }
        }
        let (size, every) = (settings.size, settings.every.unwrap_or(settings.size).max(1));
        let panes = size / every;
        if size % every != 0 || panes > PANES_MAX {
            let hint = "make `size` a multiple of `every`, as 15m and 5m".to_owned();
            self.refuse(&root.key("every"), WindowPlanError::Every { size, every }, Some(hint));
        }
        // Those that end after the watermark and begin before the newest reading, and one that closes next.
        let open = settings.max_delay / every + panes + 2;
        if open > OPEN_MAX {
            let max_delay = settings.max_delay;
            let hint = "make the windows longer, or `event_time.max_delay` shorter".to_owned();
            self.refuse(&root.key("size"), WindowPlanError::TooManyOpen { open, max_delay, every }, Some(hint));
        }
        if settings.keys_max > KEYS_MAX {
            self.refuse(&root.key("key"), WindowPlanError::TooManyKeys { found: settings.keys_max }, None);
        }
    }

    fn is_new(&mut self, path: &YamlPath, name: &str, key: &[String], before: &[Aggregate]) {
        if key.iter().any(|known| known == name) || before.iter().any(|known| known.name == name) {
            self.refuse(path, WindowPlanError::RepeatedColumn { name: name.to_owned() }, None);
        }
    }

    /// The place of a row column among those that aggregates read.
    fn read(&mut self, index: usize) -> usize {
        self.columns.iter().position(|known| *known == index).unwrap_or_else(|| {
            self.columns.push(index);
            self.columns.len() - 1
        })
    }

    fn find(&mut self, path: &YamlPath, name: &str) -> Option<(usize, DataType)> {
        if let Some((index, field)) = self.schema.column_with_name(name) {
            return Some((index, field.data_type().clone()));
        }
        let known = self.schema.fields().iter().map(|field| field.name().as_str());
        self.refuse(path, WindowPlanError::UnknownColumn { name: name.to_owned() }, did_you_mean(name, known));
        None
    }

    fn key(&mut self, path: &YamlPath, name: &str) -> Option<usize> {
        let (index, found) = self.find(path, name)?;
        if matches!(found, DataType::Utf8 | DataType::Int64) {
            return Some(index);
        }
        self.refuse(path, WindowPlanError::NotKey { name: name.to_owned(), found: found.to_string() }, None);
        None
    }

    /// Adds the count of imputed rows, and every aggregate once more over the rows that are not. Their columns are read
    /// apart from others of the name.
    fn measured(&mut self, root: &YamlPath, aggregates: &mut Vec<Aggregate>) {
        let Some((index, found)) = self.find(root, IMPUTED) else { return };
        if found != DataType::Boolean {
            return self.refuse(root, WindowPlanError::NotFlag { found: found.to_string() }, None);
        }
        let outputs = aggregates.clone();
        self.columns.push(index);
        let column = Some(self.columns.len() - 1);
        aggregates.push(Aggregate { name: IMPUTED.to_owned(), function: Function::Count, column });
        for aggregate in outputs {
            let column = aggregate.column.map(|column| {
                self.columns.push(self.columns[column]);
                self.columns.len() - 1
            });
            aggregates.push(Aggregate { column, ..aggregate });
        }
    }

    fn number(&mut self, path: &YamlPath, name: &str) -> Option<usize> {
        let (index, found) = self.find(path, name)?;
        if matches!(found, DataType::Float64 | DataType::Int64) {
            return Some(self.read(index));
        }
        self.refuse(path, WindowPlanError::NotNumeric { name: name.to_owned(), found: found.to_string() }, None);
        None
    }

    fn aggregate(&mut self, path: &YamlPath, name: &str, text: &str) -> Option<Aggregate> {
        let Some((function, column)) = aggregate(text) else {
            let error = WindowPlanError::NotAggregate { text: text.to_owned() };
            self.refuse(path, error, Some(AGGREGATES.to_owned()));
            return None;
        };
        let column = match (function, column) {
            (_, None) => None,
            (Function::Count, Some(column)) => {
                let (index, _) = self.find(path, column)?;
                Some(self.read(index))
            }
            (_, Some(column)) => Some(self.number(path, column)?),
        };
        Some(Aggregate { name: name.to_owned(), function, column })
    }
}
