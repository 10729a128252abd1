//! Plain rule settings and the columns there are -> a checked, immutable [`AlertPlan`], or all problems at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::custom::{CustomPlan, RuleFactory, RuleRequest};
use super::levels::Levels;
use super::measure::{Measure, MeasureSettings};
use super::summary::{Summaries, Summary};
use super::{AlertPlanError, Comparison, Severity};
use crate::stages::custom::{CustomSettings, Refusal};
use crate::stages::expression::{Expression, Sandbox, Wanted, closest, did_you_mean, forecast_column};
use crate::vocab::{At, MadeWith, PathStep, YamlPath};

/// Most windows that a mean is made of: a day of minutes, 12 kB for each key.
const MEAN_WINDOWS_MAX: i64 = 1_440;

/// Names how an alert is written in the state: another name where an older state could not be read.
const STATE_FORMAT: &str = "opened and told";

/// One rule, unchecked: the plain form of an entry under `alerts:`.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// The rule's name.
    pub name: String,
    /// The number that is watched.
    pub measure: MeasureSettings,
    /// Opening condition.
    pub when: String,
    /// Clearing condition; the negation of `when` unless given.
    pub clear: Option<String>,
    /// How long `when` must hold, microseconds.
    pub for_micros: i64,
    /// Least time an alert stays open, microseconds.
    pub hold_micros: i64,
    /// How long the measure is null before an open alert expires, microseconds. One that stays as it is is told again
    /// after half of that.
    pub expire_after_micros: i64,
    /// Columns that identify an alert; the window's key unless given.
    pub key: Option<Vec<String>>,
    /// Severity -> condition.
    pub severity: BTreeMap<Severity, String>,
    /// Severity -> what ends it while the alert stays open; the negation of its condition unless given.
    pub severity_clear: BTreeMap<Severity, String>,
    /// Unit of the measure and its limits.
    pub unit: Option<String>,
    /// Who set the limits.
    pub source: Option<String>,
    /// Template of one line for people.
    pub summary: String,
    /// The template at clearing; `Cleared: ` and the other one unless given.
    pub summary_cleared: Option<String>,
}

/// What measures and summaries may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertInput {
    /// Key columns of the window.
    pub key: Vec<String>,
    /// Columns of a closed window in its order: the aggregates, then the carried ones.
    pub columns: Vec<String>,
    /// Predictors in the plan's order: name and horizons in microseconds, in the order of their forecasts.
    pub predictors: Vec<(String, Vec<i64>)>,
    /// Length of a window, microseconds.
    pub every_micros: i64,
}

/// Where the value of a measure's column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Index of a column of the closed window.
    Window(usize),
    /// Predictor and horizon.
    Forecast(usize, usize),
}

/// A checked rule.
#[derive(Debug)]
pub struct AlertRule {
    name: String,
    /// Name of its state.
    pub(super) step: String,
    pub(super) measure: Measure,
    pub(super) when: Comparison,
    pub(super) clear: Comparison,
    pub(super) for_micros: i64,
    pub(super) hold_micros: i64,
    pub(super) expire_after_micros: i64,
    pub(super) levels: Levels,
    unit: Option<String>,
    source: Option<String>,
    summaries: Summaries,
    forecasts_read: Vec<(usize, usize)>,
    window_columns_read: Vec<usize>,
    made_with: MadeWith,
}

/// Checked alert rules, shared by all partitions.
#[derive(Debug)]
pub struct AlertPlan {
    rules: Vec<AlertRule>,
    pub(super) schema: SchemaRef,
    pub(super) origins: Vec<Origin>,
    /// Columns that any measure reads.
    pub(super) columns_read: BTreeSet<usize>,
}

impl AlertRule {
    /// The rule's name in the pipeline file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Predictor and horizon of each forecast that the measure reads: what the explanation of an alert is about.
    #[must_use]
    pub fn forecasts_read(&self) -> &[(usize, usize)] {
        &self.forecasts_read
    }

    /// Indices of the columns of the closed window that the measure reads.
    #[must_use]
    pub fn window_columns_read(&self) -> &[usize] {
        &self.window_columns_read
    }

    /// Unit of its measure and its limits, as the file has it.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Who set its limits, as the file has it.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// The templates of its summary. Columns are numbered as by [`AlertPlan::value`].
    #[must_use]
    pub fn summaries(&self) -> &Summaries {
        &self.summaries
    }
}

impl AlertPlan {
    /// Checks the rules, which are numbered in the order given.
    ///
    /// # Errors
    /// Every problem; paths start at `alerts`.
    pub fn new(rules: &[AlertSettings], input: &AlertInput) -> Result<Self, Vec<At<AlertPlanError>>> {
        let sandbox = Sandbox::new();
        let (names, origins) = measure_columns(input);
        let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Float64, true)).collect();
        let schema = SchemaRef::new(Schema::new(fields));
        let mut errors = Vec::new();
        let mut planned = Vec::new();
        for settings in rules {
            let path = YamlPath(vec![PathStep::Key("alerts".to_owned()), PathStep::Key(settings.name.clone())]);
            let mut check = Check { path, errors: Vec::new() };
            let rule = check.rule(settings, input, (&names, &origins), (&schema, &sandbox));
            planned.extend(rule.filter(|_| check.errors.is_empty()));
            errors.append(&mut check.errors);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let columns_read = planned.iter().flat_map(|rule| rule.measure.columns_read().iter().copied()).collect();
        Ok(Self { rules: planned, schema, origins, columns_read })
    }

    /// The plan without any rule.
    #[must_use]
    pub fn without_rules(&self) -> Self {
        let (schema, origins) = (Arc::clone(&self.schema), self.origins.clone());
        Self { rules: Vec::new(), schema, origins, columns_read: BTreeSet::new() }
    }

    /// The rules, as numbered in [`super::AlertChange::rule`].
    #[must_use]
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// Predictor and horizon of every forecast that any measure reads, ascending.
    #[must_use]
    pub fn forecasts_read(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<_> = self.rules.iter().flat_map(|rule| rule.forecasts_read.iter().copied()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Steps that keep state, one per rule.
    pub fn stateful_steps(&self) -> impl Iterator<Item = &MadeWith> {
        self.rules.iter().map(|rule| &rule.made_with)
    }
}

/// Names of the columns a measure may read, and where their values come from.
fn measure_columns(input: &AlertInput) -> (Vec<String>, Vec<Origin>) {
    let mut names = input.columns.clone();
    let mut origins: Vec<Origin> = (0..names.len()).map(Origin::Window).collect();
    for (predictor, (name, horizons)) in input.predictors.iter().enumerate() {
        for (horizon, micros) in horizons.iter().enumerate() {
            names.push(forecast_column(name, *micros));
            origins.push(Origin::Forecast(predictor, horizon));
        }
    }
    (names, origins)
}

/// When a rule opens, when it clears, and its severities.
type Conditions = (Comparison, Comparison, Levels);

/// The check of one rule.
struct Check {
    path: YamlPath,
    errors: Vec<At<AlertPlanError>>,
}

impl Check {
    fn refuse(&mut self, key: &str, error: AlertPlanError, hint: Option<String>) {
        self.errors.push(At { path: self.path.key(key), error, hint });
    }

    fn rule(
        &mut self,
        settings: &AlertSettings,
        input: &AlertInput,
        (names, origins): (&[String], &[Origin]),
        (schema, sandbox): (&Schema, &Sandbox),
    ) -> Option<AlertRule> {
        let measure = self.measure(settings, (names, input.every_micros), (schema, sandbox));
        let conditions = self.conditions(settings);
        self.times(settings);
        self.key(settings, input);
        let summaries = self.summaries(settings, input, names);
        let (measure, (when, clear, levels), summaries) = (measure?, conditions?, summaries?);
        let (mut forecasts_read, mut window_columns_read) = (Vec::new(), Vec::new());
        for index in measure.columns_read() {
            match origins[*index] {
                Origin::Forecast(predictor, horizon) => forecasts_read.push((predictor, horizon)),
                Origin::Window(column) => window_columns_read.push(column),
            }
        }
        Some(AlertRule {
            name: settings.name.clone(),
            step: format!("alert.{}", settings.name),
            forecasts_read,
            window_columns_read,
            // An open alert clears under new limits as it would under the old.
            made_with: MadeWith {
                step: format!("alert.{}", settings.name),
                meaning: format!("{STATE_FORMAT}: {}", measure.meaning()),
                settings: format!("{settings:?}"),
            },
            measure,
            when,
            clear,
            for_micros: settings.for_micros,
            hold_micros: settings.hold_micros,
            expire_after_micros: settings.expire_after_micros,
            levels,
            unit: settings.unit.clone(),
            source: settings.source.clone(),
            summaries,
        })
    }

    fn measure(
        &mut self,
        settings: &AlertSettings,
        (names, every_micros): (&[String], i64),
        (schema, sandbox): (&Schema, &Sandbox),
    ) -> Option<Measure> {
        let text = match &settings.measure {
            MeasureSettings::Silence => return Some(Measure::Silence),
            MeasureSettings::Custom { name, settings: own, factory } => {
                let request = RuleRequest { rule: &settings.name, columns: names, settings: CustomSettings(own) };
                return self.custom(name, &request, factory).map(Measure::Custom);
            }
            MeasureSettings::Value(value)
            | MeasureSettings::Rate { value, .. }
            | MeasureSettings::Mean { value, .. } => value,
        };
        let compiled = Expression::compile(text, schema, Wanted::Number, sandbox);
        let value = compiled
            .map_err(|error| {
                let hint = error.hint.clone();
                self.refuse("measure", AlertPlanError::Measure(error), hint);
            })
            .ok();
        match settings.measure {
            MeasureSettings::Rate { per_micros: micros, .. } if micros <= 0 => {
                self.refuse("rate_per", AlertPlanError::NoTime { micros }, Some("write a time, such as 1h".to_owned()));
                None
            }
            MeasureSettings::Rate { per_micros, .. } => Some(Measure::Rate { value: value?, per_micros }),
            MeasureSettings::Mean { over_micros, .. } => {
                let windows = self.mean_windows(over_micros, every_micros)?;
                Some(Measure::Mean { value: value?, windows })
            }
            _ => value.map(Measure::Value),
        }
    }

    fn mean_windows(&mut self, over_micros: i64, every_micros: i64) -> Option<usize> {
        let windows = over_micros / every_micros.max(1);
        if windows * every_micros == over_micros && (2..=MEAN_WINDOWS_MAX).contains(&windows) {
            return usize::try_from(windows).ok();
        }
        let hint = format!("use 2 to {MEAN_WINDOWS_MAX} times the time between windows");
        self.refuse("mean_over", AlertPlanError::MeanOver { over_micros, every_micros }, Some(hint));
        None
    }

    fn custom(&mut self, name: &str, request: &RuleRequest<'_>, factory: &RuleFactory) -> Option<CustomPlan> {
        let index = |column: &String| match request.columns.iter().position(|known| known == column) {
            Some(index) => Ok(index),
            None => Err(Refusal {
                key: None,
                reason: format!("unknown column `{column}`"),
                hint: did_you_mean(column, request.columns.iter().map(String::as_str)),
            }),
        };
        let made = factory.prepare(request).and_then(|prepared| {
            let columns = prepared.reads.iter().map(index).collect::<Result<Vec<_>, _>>()?;
            let settings = serde_json::Value::Object(request.settings.0.clone()).to_string();
            Ok(CustomPlan { name: name.to_owned(), settings, columns, fresh: prepared.fresh })
        });
        made.map_err(|refusal| {
            let place = self.path.key("custom").key("settings");
            let path = refusal.key.as_ref().map_or_else(|| place.clone(), |key| place.key(key));
            let hint = refusal.hint.clone();
            self.errors.push(At { path, error: AlertPlanError::Custom { name: name.to_owned(), refusal }, hint });
        })
        .ok()
    }

    fn conditions(&mut self, settings: &AlertSettings) -> Option<Conditions> {
        let when = self.comparison("when", &settings.when);
        let clear = match &settings.clear {
            Some(text) => self.comparison("clear", text),
            None => when.map(Comparison::negation),
        };
        if let (Some(when), Some(clear)) = (when, clear)
            && clear.overlaps(when)
        {
            let hint = Some(format!("clear within `{}`", when.negation()));
            self.refuse("clear", AlertPlanError::ClearOverlaps { clear, when }, hint);
        }
        let levels = Levels::new((&settings.severity, &settings.severity_clear), clear, &self.path);
        let levels = levels.map_err(|errors| self.errors.extend(errors)).ok();
        Some((when?, clear?, levels?))
    }

    fn comparison(&mut self, key: &str, text: &str) -> Option<Comparison> {
        Comparison::parse(text).map_err(|error| self.refuse(key, error.into(), None)).ok()
    }

    fn times(&mut self, settings: &AlertSettings) {
        let times = [
            ("for", settings.for_micros),
            ("hold", settings.hold_micros),
            ("expire_after", settings.expire_after_micros),
        ];
        for (key, micros) in times {
            if micros < 0 {
                self.refuse(key, AlertPlanError::NegativeTime { micros }, None);
            }
        }
    }

    fn key(&mut self, settings: &AlertSettings, input: &AlertInput) {
        if let Some(key) = settings.key.as_ref().filter(|key| **key != input.key) {
            let error = AlertPlanError::Key { found: key.join(", "), expected: input.key.join(", ") };
            self.refuse("key", error, Some("leave it out".to_owned()));
        }
    }

    fn summaries(&mut self, settings: &AlertSettings, input: &AlertInput, names: &[String]) -> Option<Summaries> {
        let open = self.summary("summary", &settings.summary, input, names);
        let cleared = match &settings.summary_cleared {
            Some(template) => Some(self.summary("summary_cleared", template, input, names)?),
            None => None,
        };
        Some(Summaries { open: open?, cleared })
    }

    fn summary(&mut self, key: &str, template: &str, input: &AlertInput, names: &[String]) -> Option<Summary> {
        match Summary::parse(template, &input.key, names) {
            Ok(summary) => Some(summary),
            Err(error) => {
                let candidates = input.key.iter().chain(names).map(String::as_str).chain(["measure"]);
                let hint = match &error {
                    AlertPlanError::UnknownPlaceholder { name } => {
                        closest(name, candidates).map(|known| format!("did you mean `{{{known}}}`?"))
                    }
                    _ => Some("write `{{` or `}}` for a brace".to_owned()),
                };
                self.refuse(key, error, hint);
                None
            }
        }
    }
}
