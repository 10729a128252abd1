//! Decode settings and a topic's schema -> a checked plan, shared by all partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use chrono_tz::Tz;

use super::settings::{CsvSettings, Format, TimestampFormat};
use super::text_time::TextTimeFormat;
use crate::schema::TopicSchema;
use crate::stages::expression::did_you_mean;
use crate::vocab::{At, EventTime, PathStep, YamlPath};

/// What the pipeline file says of decoding.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeSettings {
    /// Name of the source in the pipeline file.
    pub source: String,
    /// Format of payloads.
    pub format: Format,
    /// How records of delimited text are read.
    pub csv: CsvSettings,
    /// Column -> dotted path in the payload, or column of the file or of delimited text, where it differs from the column's name.
    pub paths: BTreeMap<String, String>,
    /// Zone of times without one.
    pub zone: Option<Tz>,
    /// How times are written.
    pub timestamp: TimestampFormat,
    /// How times of text are written, where not as RFC 3339.
    pub timestamp_format: Option<TextTimeFormat>,
    /// The event-time column.
    pub event_time: String,
    /// How far an event time may lie ahead of the broker's timestamp, microseconds.
    pub future_skew: Option<i64>,
    /// The last event time that can be meant, microseconds since 1970 UTC.
    pub latest: Option<i64>,
    /// Longest payload, bytes.
    pub max_bytes: usize,
    /// Deepest nesting.
    pub max_depth: u32,
}

/// Checked decoding.
#[derive(Debug, Clone)]
pub struct DecodePlan {
    pub(super) settings: DecodeSettings,
    pub(super) columns: Vec<Column>,
    pub(super) root: Node,
    /// Objects on the way to columns; their slots follow those of the columns.
    pub(super) objects: usize,
    pub(super) event_time: usize,
    /// Names of the cells of a message, where it is delimited text.
    pub(super) csv_columns: Option<Arc<[String]>>,
    schema: SchemaRef,
}

/// A column of the decoded rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its name in a file of typed rows, and its path in messages.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// Types that rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Float,
    Int,
    Bool,
    Time,
}

impl Kind {
    /// The word for messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Float => "a number",
            Self::Int => "a whole number",
            Self::Bool => "true or false",
            Self::Time => "a time",
        }
    }
}

/// An object of the payload: the keys that are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) children: Vec<(String, Child)>,
}

/// What stands under a key.
#[derive(Debug, Clone)]
pub(super) enum Child {
    /// The column's index.
    Column(usize),
    /// The object's slot, in which it is marked as seen, and its keys.
    Object(usize, Node),
}

/// Why payloads cannot be decoded as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodePlanError {
    /// A path for a column that the schema lacks.
    #[error("`paths` names column `{column}`, which schema `{schema}` lacks")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The schema.
        schema: String,
    },
    /// One path leads through another.
    #[error("path `{path}` is used for more than one column, or leads through another's")]
    Ambiguous {
        /// The path.
        path: String,
    },
    /// A column of a record of delimited text that is read is not among those declared.
    #[error("`columns` lacks `{path}`, which schema column `{column}` is read from")]
    NoCell {
        /// The schema's column.
        column: String,
        /// The name looked for.
        path: String,
    },
    /// A cell's name that stands twice.
    #[error("`columns` names `{name}` twice")]
    RepeatedCell {
        /// The name.
        name: String,
    },
    /// The event time is not a time.
    #[error("event-time column `{column}` is not a timestamp of schema `{schema}`")]
    NotTime {
        /// The column.
        column: String,
        /// The schema.
        schema: String,
    },
}

impl DecodePlan {
    /// Checks the settings against the schema.
    ///
    /// # Errors
    /// Every problem; paths start at `sources`.
    pub fn new(settings: DecodeSettings, schema: &TopicSchema) -> Result<Self, Vec<At<DecodePlanError>>> {
        let source = [PathStep::Key("sources".to_owned()), PathStep::Key(settings.source.clone())];
        let source = YamlPath(source.to_vec());
        let paths = source.key("decode").key("paths");
        let mut errors = Vec::new();
        for column in settings.paths.keys().filter(|column| schema.arrow.column_with_name(column).is_none()) {
            let error = DecodePlanError::UnknownColumn { column: column.clone(), schema: schema.name.clone() };
            let hint = format!("its columns are {}", names(schema));
            errors.push(At { path: paths.key(column), error, hint: Some(hint) });
        }
        let columns: Vec<Column> = schema.arrow.fields().iter().map(|field| column(field, &settings)).collect();
        let mut root = Node::default();
        let mut slots = columns.len();
        for (index, column) in columns.iter().enumerate() {
            // In delimited text a point is a letter as others are.
            let added = match settings.format {
                Format::Csv => root.add_flat(&column.path, index),
                Format::Json => root.add(&column.path, index, &mut slots),
            };
            if !added {
                let error = DecodePlanError::Ambiguous { path: column.path.clone() };
                errors.push(At { path: paths.key(&column.name), error, hint: None });
            }
        }
        let is_time = |column: &Column| column.name == settings.event_time && column.kind == Kind::Time;
        let event_time = columns.iter().position(is_time);
        if event_time.is_none() {
            let column = settings.event_time.clone();
            let error = DecodePlanError::NotTime { column, schema: schema.name.clone() };
            errors.push(At { path: source.key("event_time").key("column"), error, hint: Some(names(schema)) });
        }
        match event_time {
            Some(event_time) if errors.is_empty() => {
                let objects = slots - columns.len();
                let csv_columns = settings.csv.columns.as_deref().map(Arc::from);
                let schema = Arc::clone(&schema.arrow);
                let plan = Self { settings, columns, root, objects, event_time, csv_columns, schema };
                plan.check_cells(&source.key("decode").key("columns"))?;
                Ok(plan)
            }
            _ => Err(errors),
        }
    }

    /// The declared cells of a message must be told apart and hold what is read.
    fn check_cells(&self, at: &YamlPath) -> Result<(), Vec<At<DecodePlanError>>> {
        let Some(cells) = &self.csv_columns else { return Ok(()) };
        let mut errors = Vec::new();
        for (index, name) in cells.iter().enumerate().filter(|(index, name)| cells[..*index].contains(name)) {
            let error = DecodePlanError::RepeatedCell { name: name.clone() };
            errors.push(At { path: at.index(index), error, hint: None });
        }
        for column in self.required().filter(|column| !cells.contains(&column.path)) {
            let hint = did_you_mean(&column.path, cells.iter().map(String::as_str));
            let error = DecodePlanError::NoCell { column: column.name.clone(), path: column.path.clone() };
            errors.push(At { path: at.clone(), error, hint });
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Why an event time cannot be meant, if it lies beyond the last that can.
    pub(super) fn beyond_latest(&self, time: i64) -> Option<String> {
        let latest = self.settings.latest.filter(|latest| time > *latest)?;
        let column = &self.columns[self.event_time].path;
        Some(format!("`{column}`: {} lies after `latest`, {}", EventTime(time), EventTime(latest)))
    }

    /// Columns that rows must have: those without which no row is whole, and those that the user named.
    fn required(&self) -> impl Iterator<Item = &Column> {
        let required = |(index, column): &(usize, &Column)| {
            *index == self.event_time || !column.nullable || self.settings.paths.contains_key(&column.name)
        };
        self.columns.iter().enumerate().filter(required).map(|(_, column)| column)
    }

    /// Names that delimited text must have in its header.
    pub fn required_paths(&self) -> impl Iterator<Item = &str> {
        self.required().map(|column| column.path.as_str())
    }

    /// The plan for the same rows as JSON objects.
    #[must_use]
    pub fn for_json(&self) -> Self {
        let settings = DecodeSettings { format: Format::Json, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// Whether payloads are delimited text whose cells the plan names.
    #[must_use]
    pub fn names_cells(&self) -> bool {
        self.settings.format == Format::Csv && self.csv_columns.is_some()
    }

    /// Paths in the payload that columns are read from.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.path.as_str())
    }

    /// Schema of the decoded rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

fn names(schema: &TopicSchema) -> String {
    let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    names.join(", ")
}

fn column(field: &arrow::datatypes::Field, settings: &DecodeSettings) -> Column {
    Column {
        name: field.name().clone(),
        path: settings.paths.get(field.name()).unwrap_or(field.name()).clone(),
        kind: match field.data_type() {
            DataType::Float64 => Kind::Float,
            DataType::Int64 => Kind::Int,
            DataType::Boolean => Kind::Bool,
            DataType::Timestamp(..) => Kind::Time,
            // `schema` gives no other type.
            _ => Kind::Text,
        },
        nullable: field.is_nullable(),
    }
}

impl Node {
    /// Adds a column under its whole name; `false` where something stands there.
    fn add_flat(&mut self, name: &str, column: usize) -> bool {
        let free = self.children.iter().all(|(known, _)| known != name);
        if free {
            self.children.push((name.to_owned(), Child::Column(column)));
        }
        free
    }

    /// Adds a column under the rest of its path; `false` where something else stands there. `slots`: those given out.
    fn add(&mut self, path: &str, column: usize, slots: &mut usize) -> bool {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let found = self.children.iter().position(|(name, _)| name == first);
        match (found, rest) {
            (Some(_), None) => false,
            (None, None) => {
                self.children.push((first.to_owned(), Child::Column(column)));
                true
            }
            (found, Some(rest)) => {
                let index = found.unwrap_or_else(|| {
                    self.children.push((first.to_owned(), Child::Object(*slots, Self::default())));
                    *slots += 1;
                    self.children.len() - 1
                });
                match &mut self.children[index].1 {
                    Child::Object(_, node) => node.add(rest, column, slots),
                    Child::Column(_) => false,
                }
            }
        }
    }
}
