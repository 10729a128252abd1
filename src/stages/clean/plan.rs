//! Plain step settings, the input schema and the tables -> a checked, immutable [`CleanPlan`], or all problems at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};

use super::columns::{plan_cast, plan_filter, plan_rename, plan_unit};
use super::custom::{CustomPlan, CustomRequest, plan_custom};
use super::dedupe::{DedupePlan, plan_dedupe};
use super::impute::{ImputeRequest, plan_impute};
use super::lookup::{Lookup, LookupRequest, plan_lookup};
use super::normalise::{Frozen, NORMALISE, plan_normalise};
use super::null_if::{NullIf, plan_null_if};
use super::range::{Range, plan_range};
use super::sql::{Sql, plan_sql};
use super::{CleanPlanError, CleanStep, Limits, Table};
use crate::stages::expression::{Sandbox, SqlError, did_you_mean};
use crate::vocab::{At, IMPUTED, MadeWith, PathStep, YamlPath};

/// What the steps start from.
#[derive(Debug, Clone)]
pub struct CleanInput {
    /// Schema of the decoded rows.
    pub schema: SchemaRef,
    /// The schema's physical limits by column: what `range` uses where it gives none. They follow the name, also
    /// where a `sql` step computes the column anew.
    pub limits: BTreeMap<String, Limits>,
    /// The event-time column: it must reach the output unchanged.
    pub event_time: String,
    /// The column that the topic is keyed by: likewise.
    pub partitioned_by: String,
    /// How far behind the newest event time a row may come and still be in time, microseconds.
    pub late_micros: i64,
    /// Most keys of a partition.
    pub keys_max: u32,
    /// How long a key is remembered without rows, microseconds.
    pub expire_micros: i64,
    /// Further columns that later stages read as keys: where they are known before a `sql` step, they must be after.
    pub keys: Vec<String>,
}

/// Checked cleaning steps, shared by all partitions.
#[derive(Debug)]
pub struct CleanPlan {
    steps: Vec<Step>,
    input: SchemaRef,
    schema: SchemaRef,
    settles_from: usize,
    scales: Vec<String>,
}

/// Steps that cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[error("{} problem(s) in `clean`", errors.len())]
pub struct CleanRefused {
    /// All problems, in the order of the steps; paths start at `clean`.
    pub errors: Vec<At<CleanPlanError>>,
    /// The output schema where it is known in spite of them, so that later stages can be checked too.
    pub schema: Option<SchemaRef>,
}

/// A checked step.
#[derive(Debug)]
pub(super) enum Step {
    NullIf(NullIf),
    Range(Range),
    Dedupe(DedupePlan),
    Lookup(Lookup),
    Normalise(Frozen),
    Sql(Sql),
    Custom(CustomPlan),
}

impl Step {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::NullIf(_) => "null_if",
            Self::Range(_) => "range",
            Self::Dedupe(_) => "dedupe",
            Self::Lookup(_) => "lookup",
            Self::Normalise(_) => NORMALISE,
            Self::Sql(sql) => sql.step,
            Self::Custom(custom) => custom.kind,
        }
    }

    /// Whether it takes rows out at once. `null_if` does not: rows that it fails for wait for the dedupe step.
    pub(super) fn removes_rows(&self) -> bool {
        match self {
            Self::NullIf(_) | Self::Dedupe(_) | Self::Normalise(_) => false,
            Self::Range(step) => step.removes_rows(),
            Self::Lookup(step) => step.removes_rows(),
            Self::Sql(step) => step.removes_rows,
            Self::Custom(_) => true,
        }
    }
}

/// What the check of one step gives.
pub(super) enum Stepped {
    /// The step and the schema after it.
    Known(Step, SchemaRef),
    /// Problems, but the schema after the step is known.
    OnlySchema(SchemaRef),
    /// Problems; further steps cannot be checked.
    Unknown,
}

/// What the check of one step sees.
pub(super) struct Scope<'a> {
    pub(super) schema: &'a SchemaRef,
    pub(super) input: &'a CleanInput,
    pub(super) tables: &'a BTreeMap<String, Arc<Table>>,
    pub(super) sandbox: &'a Sandbox,
    errors: &'a mut Vec<At<CleanPlanError>>,
}

impl Scope<'_> {
    /// Notes a problem.
    pub(super) fn refuse(&mut self, path: &YamlPath, error: CleanPlanError) {
        self.refuse_with(path, error, None);
    }

    /// Notes a problem and what to do about it, where that can be said.
    pub(super) fn refuse_with(&mut self, path: &YamlPath, error: CleanPlanError, hint: Option<String>) {
        self.errors.push(At { path: path.clone(), error, hint });
    }

    /// Whether no step may alter the column, which is then noted as a problem: two keys that become one would meet in
    /// several partitions, and the event time has been judged before cleaning.
    pub(super) fn is_fixed(&mut self, path: &YamlPath, name: &str, hint: &str) -> bool {
        let roles = [(&self.input.event_time, "event_time.column"), (&self.input.partitioned_by, "partitioned_by")];
        let role = roles.into_iter().find(|(fixed, _)| *fixed == name).map(|(_, role)| role);
        let flag = || is_flag(self.schema, name).then_some("flag of imputed rows");
        let Some(role) = role.or_else(flag) else { return false };
        self.refuse_with(path, CleanPlanError::Fixed { name: name.to_owned(), role }, Some(hint.to_owned()));
        true
    }

    /// Notes a problem in SQL text.
    pub(super) fn refuse_sql(&mut self, path: &YamlPath, error: SqlError) {
        let hint = error.hint.clone();
        self.errors.push(At { path: path.clone(), error: CleanPlanError::Sql(error), hint });
    }

    /// Index of a column, or a problem noted.
    pub(super) fn column(&mut self, path: &YamlPath, name: &str) -> Option<usize> {
        let found = self.schema.index_of(name).ok();
        if found.is_none() {
            let hint = did_you_mean(name, self.schema.fields().iter().map(|field| field.name().as_str()));
            self.refuse_with(path, CleanPlanError::UnknownColumn { name: name.to_owned() }, hint);
        }
        found
    }
}

impl CleanPlan {
    /// Checks the steps. `tables` are by name.
    ///
    /// # Errors
    /// [`CleanRefused`] with every problem.
    pub fn new(
        steps: &[CleanStep],
        input: &CleanInput,
        tables: &BTreeMap<String, Arc<Table>>,
    ) -> Result<Self, CleanRefused> {
        let sandbox = Sandbox::new();
        let root = YamlPath(vec![PathStep::Key("clean".to_owned())]);
        let mut errors = Vec::new();
        let mut schema = Arc::clone(&input.schema);
        let mut planned: Vec<Step> = Vec::new();
        for (position, settings) in steps.iter().enumerate() {
            let path = root.index(position).key(settings.name());
            let mut scope = Scope { schema: &schema, input, tables, sandbox: &sandbox, errors: &mut errors };
            match plan_step(&mut scope, &path, settings, &planned) {
                Stepped::Known(step, after) => {
                    planned.push(step);
                    schema = after;
                }
                Stepped::OnlySchema(after) => schema = after,
                Stepped::Unknown => return Err(CleanRefused { errors, schema: None }),
            }
        }
        if !errors.is_empty() {
            return Err(CleanRefused { errors, schema: Some(schema) });
        }
        let settles_from = planned.iter().rposition(|step| matches!(step, Step::Dedupe(_))).unwrap_or(0);
        let scales = steps.iter().filter_map(CleanStep::scale).collect();
        Ok(Self { steps: planned, input: Arc::clone(&input.schema), schema, settles_from, scales })
    }

    /// Schema of the cleaned rows.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Schema of the rows that come in.
    #[must_use]
    pub fn input_schema(&self) -> &SchemaRef {
        &self.input
    }

    /// Steps that keep state.
    pub fn stateful_steps(&self) -> impl Iterator<Item = &MadeWith> {
        self.dedupes().map(|step| &step.made_with).chain(self.customs().map(|step| &step.made_with))
    }

    /// Those of them that learn what values are scaled by.
    pub fn scaling_steps(&self) -> impl Iterator<Item = &MadeWith> {
        self.customs().filter(|step| step.kind == NORMALISE).map(|step| &step.made_with)
    }

    /// What values are scaled by, step by step: what is made of them means something only together with it.
    #[must_use]
    pub fn scales(&self) -> &[String] {
        &self.scales
    }

    pub(super) fn customs(&self) -> impl Iterator<Item = &CustomPlan> {
        self.steps.iter().filter_map(|step| if let Step::Custom(custom) = step { Some(custom) } else { None })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn dedupes(&self) -> impl Iterator<Item = &DedupePlan> {
        self.steps.iter().filter_map(|step| if let Step::Dedupe(dedupe) = step { Some(dedupe) } else { None })
    }

    /// The step from which on leaving rows are taken out: the last dedupe step, before which a row that failed may
    /// yet be a duplicate.
    pub(super) fn settles_from(&self) -> usize {
        self.settles_from
    }
}

fn plan_step(scope: &mut Scope<'_>, path: &YamlPath, settings: &CleanStep, before: &[Step]) -> Stepped {
    match settings {
        CleanStep::NullIf(columns) => plan_null_if(scope, path, columns),
        CleanStep::Range { columns, otherwise } => plan_range(scope, path, columns, *otherwise),
        CleanStep::Dedupe { key, within_micros } => {
            let state = before.iter().filter(|step| matches!(step, Step::Dedupe(_))).count();
            plan_dedupe(scope, path, (key, *within_micros), (before, state))
        }
        CleanStep::Lookup { table, on, columns, missing } => {
            plan_lookup(scope, path, &LookupRequest { table, on, columns, missing: *missing })
        }
        CleanStep::Impute { columns, within_micros } => {
            plan_impute(scope, path, &ImputeRequest { columns, within_micros: *within_micros }, before)
        }
        CleanStep::Normalise(settings) => plan_normalise(scope, path, settings, before),
        CleanStep::Rename(names) => plan_rename(scope, path, names),
        CleanStep::Filter(condition) => plan_filter(scope, path, condition),
        CleanStep::Cast(types) => plan_cast(scope, path, types),
        CleanStep::Unit(changes) => plan_unit(scope, path, changes),
        CleanStep::Sql(text) => plan_sql(scope, path, text),
        CleanStep::Custom { name, settings, factory } => {
            plan_custom(scope, path, &CustomRequest { name, settings, factory }, before)
        }
    }
}

/// The columns a `sql` step must pass on: those whose value may not change, then those that may be computed.
pub(super) fn needed_columns(input: &CleanInput) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let unchanged: BTreeSet<&str> = [input.event_time.as_str(), input.partitioned_by.as_str(), IMPUTED].into();
    let present = input.keys.iter().map(String::as_str).filter(|name| !unchanged.contains(name)).collect();
    (unchanged, present)
}

/// Whether a column says which rows are imputed: it has been put there by a step, and not by the data.
pub(super) fn is_flag(schema: &Schema, name: &str) -> bool {
    name == IMPUTED && schema.field_with_name(name).is_ok_and(|field| field.metadata().contains_key(IMPUTED))
}
