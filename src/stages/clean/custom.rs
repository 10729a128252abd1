//! Cleaning steps of the embedding program: whole batches in, columns and the fates of single rows out.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cleaner::{CleanError, Working};
use super::plan::{Scope, Step, Stepped};
use super::{CleanPlanError, CustomStep, RowFate};
use crate::stages::custom::{CustomSettings, Fresh, Refusal, guarded};
use crate::stages::rows::Reason;
use crate::vocab::{MadeWith, YamlPath};

/// What a custom step is to be made for.
#[derive(Debug, Clone, Copy)]
pub struct StepRequest<'a> {
    /// Schema of the rows that come to the step.
    pub schema: &'a SchemaRef,
    /// `settings:` in the file.
    pub settings: CustomSettings<'a>,
}

/// A custom step whose settings are checked.
#[derive(Debug, Clone)]
pub struct PreparedStep {
    /// Schema of the rows after the step. The event time and the partition's column must be in it as they came.
    pub schema: SchemaRef,
    /// Makes the step of one partition.
    pub fresh: Fresh<dyn CustomStep>,
}

type Prepare = dyn Fn(&StepRequest<'_>) -> Result<PreparedStep, Refusal> + Send + Sync;

/// Checks the settings of a custom step and says how to make it.
#[derive(Clone)]
pub struct StepFactory(Arc<Prepare>);

impl StepFactory {
    /// From what checks.
    pub fn new(prepare: impl Fn(&StepRequest<'_>) -> Result<PreparedStep, Refusal> + Send + Sync + 'static) -> Self {
        Self(Arc::new(prepare))
    }
}

impl PartialEq for StepFactory {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for StepFactory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StepFactory").finish_non_exhaustive()
    }
}

/// A checked custom step.
#[derive(Debug)]
pub(super) struct CustomPlan {
    /// Its key in the pipeline file.
    pub(super) kind: &'static str,
    name: String,
    pub(super) made_with: MadeWith,
    schema: SchemaRef,
    fresh: Fresh<dyn CustomStep>,
    number: StepNumber,
}

/// A step's number among those of a plan that are made this way.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepNumber(pub(super) usize);

impl StepNumber {
    /// That of the step that follows these.
    pub(super) fn after(before: &[Step]) -> Self {
        Self(before.iter().filter(|step| matches!(step, Step::Custom(_))).count())
    }
}

/// The name of the state of the step that follows these. It counts steps of the same name alone: one of another name in
/// front of it renames nothing.
pub(super) fn state_step(name: &str, before: &[Step]) -> String {
    let prefix = format!("clean.{name}.");
    let alike = |step: &&Step| matches!(step, Step::Custom(plan) if plan.made_with.step.starts_with(&prefix));
    format!("{prefix}{}", before.iter().filter(alike).count())
}

/// What the file says of a custom step.
pub(super) struct CustomRequest<'a> {
    pub(super) name: &'a str,
    pub(super) settings: &'a serde_json::Map<String, serde_json::Value>,
    pub(super) factory: &'a StepFactory,
}

pub(super) fn plan_custom(
    scope: &mut Scope<'_>,
    path: &YamlPath,
    request: &CustomRequest<'_>,
    before: &[Step],
) -> Stepped {
    let CustomRequest { name, settings, factory } = *request;
    let asked = StepRequest { schema: scope.schema, settings: CustomSettings(settings) };
    let prepared = match (factory.0)(&asked) {
        Ok(prepared) => prepared,
        Err(refusal) => {
            let place = path.key("settings");
            let place = refusal.key.as_ref().map_or_else(|| place.clone(), |key| place.key(key));
            let hint = refusal.hint.clone();
            scope.refuse_with(&place, CleanPlanError::Custom { name: name.to_owned(), refusal }, hint);
            return Stepped::Unknown;
        }
    };
    let PreparedStep { schema, fresh } = prepared;
    let needed = [&scope.input.event_time, &scope.input.partitioned_by].into_iter().chain(&scope.input.keys);
    let lost: Vec<String> = needed
        .filter(|column| {
            let kind = |schema: &SchemaRef| schema.field_with_name(column).map(|field| field.data_type().clone()).ok();
            scope.schema.index_of(column).is_ok() && kind(scope.schema) != kind(&schema)
        })
        .cloned()
        .collect();
    if let Some(column) = lost.into_iter().next() {
        scope.refuse(path, CleanPlanError::CustomLoses { name: name.to_owned(), column });
        return Stepped::OnlySchema(schema);
    }
    let number = StepNumber::after(before);
    let made_with = MadeWith {
        step: state_step(name, before),
        // Only its author knows which settings its state goes on under.
        meaning: serde_json::to_string(settings).unwrap_or_default(),
        settings: String::new(),
    };
    let (kind, name) = ("custom", name.to_owned());
    let plan = CustomPlan { kind, name, made_with, schema: Arc::clone(&schema), fresh, number };
    Stepped::Known(Step::Custom(plan), schema)
}

impl CustomPlan {
    /// Of a step of our own that keeps state the way custom ones do.
    pub(super) fn built_in(
        kind: &'static str,
        made_with: MadeWith,
        schema: SchemaRef,
        fresh: Fresh<dyn CustomStep>,
        number: StepNumber,
    ) -> Self {
        Self { kind, name: kind.to_owned(), made_with, schema, fresh, number }
    }

    /// What panics of the step are called.
    fn part(&self) -> String {
        format!("{} cleaning step `{}`", self.kind, self.name)
    }

    pub(super) fn guarded<R>(&self, work: impl FnOnce() -> R) -> R {
        guarded(|| self.part(), work)
    }

    /// The step of a partition, without state.
    pub(super) fn fresh(&self) -> Box<dyn CustomStep> {
        self.guarded(|| self.fresh.make(&self.made_with.step))
    }

    pub(super) fn apply(&self, work: &mut Working, steps: &mut [Box<dyn CustomStep>]) -> Result<(), CleanError> {
        // It sees the rows that go on, and no others.
        work.settle()?;
        if work.rows.origin.is_empty() {
            work.rows.batch = RecordBatch::new_empty(Arc::clone(&self.schema));
            return Ok(());
        }
        let step = &mut steps[self.number.0];
        let stepped = self.guarded(|| step.clean(&work.rows.batch, &work.rows.times))?;
        let batch = stepped.rows;
        if batch.num_rows() != work.rows.origin.len() || batch.schema_ref() != &self.schema {
            let reason = format!(
                "{} gave {} rows of ({}) for {} rows; due is a row for each, of ({})",
                self.part(),
                batch.num_rows(),
                batch.schema_ref(),
                work.rows.origin.len(),
                self.schema,
            );
            return Err(ArrowError::SchemaError(reason).into());
        }
        work.rows.batch = batch;
        for (row, fate) in stepped.fates {
            match fate {
                _ if row >= work.rows.origin.len() => {}
                RowFate::Filtered => work.filter(row),
                RowFate::DeadLetter(detail) => work.doom(row, Reason::Custom, detail),
            }
        }
        work.settle()?;
        Ok(())
    }
}
