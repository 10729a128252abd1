//! What the stages return -> records of the sinks that want it. An output without a sink is not encoded at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Array;
use arterial_connectors::file::key_texts;
use arterial_connectors::ledger::{LedgerError, Records};
use arterial_connectors::payload::{Header, Payload};
use arterial_connectors::position::Partition;
use arterial_connectors::source::SourceBatch;

use super::control::ControlRecord;
use super::transaction::Transaction;
use crate::observe::{BatchReport, DeadLetterNotice, DriftNotice, KINDS_MAX, PromotionNotice, column_of};
use crate::spec::PipelinePlan;
use crate::spec::model::Output;
use crate::stages::alert::{AlertChange, AlertRule, RuleInput};
use crate::stages::encode::{
    AlertContext, DeadLetterOrigin, DriftContext, Encoded, ForecastHead, ForecastRead, ForecastRow, PromotionContext,
    dead_letter_headers, encode_alert, encode_drift, encode_forecast, encode_promotion, encode_scores, json_lines,
};
use crate::stages::predict::{DriftDetection, Forecasts, Predict, Promotion, ScoreRow};
use crate::stages::rows::Rejected;
use crate::stages::window::{ClosedWindow, Keys};
use crate::vocab::{KeyId, to_json};

/// Encodes the outputs of one partition.
pub(super) struct Outputs {
    plan: Arc<PipelinePlan>,
    partition: Partition,
    /// Of the record that is being encoded.
    key: String,
    value: Vec<u8>,
}

impl Outputs {
    pub(super) fn new(plan: &Arc<PipelinePlan>, partition: Partition) -> Self {
        Self { plan: Arc::clone(plan), partition, key: String::new(), value: Vec::new() }
    }

    /// Name of the partition's topic.
    pub(super) fn topic(&self) -> &str {
        self.plan.topic(self.partition.topic)
    }

    /// Dead letters: the original key, value and headers, and why.
    pub(super) fn dead_letters(
        &mut self,
        batch: &SourceBatch,
        rejected: &[Rejected],
        report: &mut BatchReport,
        records: &mut Records,
    ) {
        let sink = self.plan.sinks.sink(Output::DeadLetter);
        for rejected in rejected {
            let of = (rejected.stage.name(), rejected.reason.code());
            *report.rejected.entry(of).or_default() += 1;
            let told = |first: &DeadLetterNotice| {
                (first.stage, first.reason) == of && first.column() == column_of(&rejected.detail)
            };
            if report.first_rejected.len() < KINDS_MAX && !report.first_rejected.iter().any(told) {
                report.first_rejected.push(self.notice(batch, rejected));
            }
            let Some(sink) = sink else { continue };
            let row = rejected.origin as usize;
            // In a file of text a line is what somebody can look up; offsets are counted by partition.
            let (topic, offset) = batch.payload.place(row).unwrap_or_else(|| (self.topic(), batch.payload.offset(row)));
            let origin = DeadLetterOrigin {
                pipeline: &self.plan.name,
                version: &self.plan.version,
                topic,
                partition: self.partition.number,
                offset,
            };
            original(&self.plan, batch, rejected.origin, |key, value, headers| {
                records.push(sink, key, value, dead_letter_headers(headers, &origin, rejected));
            });
        }
    }

    fn notice(&self, batch: &SourceBatch, rejected: &Rejected) -> DeadLetterNotice {
        let row = rejected.origin as usize;
        let place = batch.payload.place(row).map(|(file, line)| format!("`{file}`, line {line}"));
        let in_topic = || {
            let offset = batch.payload.offset(row);
            format!("`{}`, partition {}, offset {offset}", self.topic(), self.partition.number)
        };
        DeadLetterNotice {
            place: place.unwrap_or_else(in_topic),
            stage: rejected.stage.name(),
            reason: rejected.reason.code(),
            detail: rejected.detail.clone(),
        }
    }

    /// Late rows, as they came.
    pub(super) fn late(&mut self, batch: &SourceBatch, origins: &[u32], records: &mut Records) {
        let Some(sink) = self.plan.sinks.sink(Output::Late) else { return };
        for origin in origins {
            original(&self.plan, batch, *origin, |key, value, headers| {
                records.push(sink, key, value, headers.to_vec());
            });
        }
    }

    /// Every forecast of every live key, explained where the predictor is to be.
    ///
    /// # Errors
    /// What the ledger refuses: one window has more of them than should be kept.
    pub(super) fn forecasts(
        &mut self,
        (keys, live): (&Keys, &[bool]),
        made: &[Forecasts],
        predict: &Predict,
        transaction: &mut Transaction,
    ) -> Result<(), LedgerError> {
        let Some(sink) = self.plan.sinks.sink(Output::Forecasts) else { return Ok(()) };
        let plan = Arc::clone(&self.plan);
        for forecasts in made {
            let explained = plan.predict.explains(forecasts.predictor);
            for (index, horizon) in plan.predict.horizons(forecasts.predictor).iter().enumerate() {
                let maker = plan.predict.maker(forecasts.predictor, forecasts.made_by);
                let head = ForecastHead::new(&maker, forecasts.end, horizon.micros, forecasts.version[index]);
                for key in (0..live.len()).filter(|key| live[*key] && !forecasts.model[index][*key].is_nan()) {
                    let row = ForecastRow {
                        key: key_columns(&plan, keys, key as u32),
                        value: forecasts.model[index][key],
                        persistence: forecasts.persistence[index][key],
                        profile: forecasts.profile[index][key],
                        explanation: explained.then(|| predict.explain(forecasts.predictor, index, key as u32)),
                        interval: forecasts.lower.get(index).map(|lower| (lower[key], forecasts.upper[index][key])),
                    };
                    self.value.clear();
                    self.key.clear();
                    encode_forecast(&head, &row, &mut self.value, &mut self.key);
                    transaction.records().push(sink, Some(self.key.as_bytes()), Some(&self.value), Vec::new());
                }
                transaction.relieve()?;
            }
        }
        Ok(())
    }

    /// Scores by day.
    pub(super) fn scores(&mut self, rows: &[ScoreRow], records: &mut Records) {
        let Some(sink) = self.plan.sinks.sink(Output::Scores).filter(|_| !rows.is_empty()) else { return };
        for (key, value) in encode_scores(&self.plan.name, self.partition.number, rows) {
            records.push(sink, Some(&key), Some(&value), Vec::new());
        }
    }

    /// Errors that rose.
    pub(super) fn drifts(
        &mut self,
        keys: &Keys,
        drifts: &[DriftDetection],
        report: &mut BatchReport,
        records: &mut Records,
    ) {
        let (plan, sink) = (Arc::clone(&self.plan), self.plan.sinks.sink(Output::Drift));
        for drift in drifts {
            let Some(params) = plan.predict.drift(drift.predictor) else { continue };
            let context = DriftContext {
                maker: plan.predict.maker(drift.predictor, drift.model),
                key: key_columns(&plan, keys, drift.key),
                horizon: plan.predict.horizons(drift.predictor)[drift.horizon].micros,
                detector: params.detector(),
                effect: params.effect.name(),
            };
            *report.drifts.entry((context.maker.predictor.to_owned(), context.horizon)).or_default() += 1;
            report.first_drift.get_or_insert_with(|| DriftNotice {
                at: drift.at,
                key: keys.values(drift.key).collect::<Vec<_>>().join("/"),
                predictor: context.maker.predictor.to_owned(),
                horizon_micros: context.horizon,
                detector: context.detector,
                effect: context.effect,
                shift: drift.shift,
            });
            if let Some(sink) = sink {
                let (key, value) = encode_drift(drift, &context);
                records.push(sink, Some(key.as_bytes()), Some(&value), Vec::new());
            }
        }
    }

    /// Models that serve from now on in place of others.
    pub(super) fn promotions(&mut self, promotions: &[Promotion], report: &mut BatchReport, records: &mut Records) {
        let (plan, sink) = (Arc::clone(&self.plan), self.plan.sinks.sink(Output::Promotions));
        for promotion in promotions {
            let Some(contest) = plan.predict.contest(promotion.predictor) else { continue };
            let horizons = plan.predict.horizons(promotion.predictor);
            let context = PromotionContext {
                pipeline: &plan.name,
                partition: self.partition.number,
                predictor: plan.predict.name(promotion.predictor),
                horizons: horizons.iter().map(|horizon| horizon.micros).collect(),
                by: contest.by().name(),
            };
            report.promotions.push(PromotionNotice {
                predictor: context.predictor.to_owned(),
                partition: context.partition,
                at: promotion.at,
                before: promotion.before.clone(),
                after: promotion.after.clone(),
                reason: promotion.reason.name(),
            });
            if let Some(sink) = sink {
                let (key, value) = encode_promotion(promotion, &context);
                records.push(sink, Some(key.as_bytes()), Some(&value), Vec::new());
            }
        }
    }

    /// Alert changes with their explanations.
    pub(super) fn alerts(
        &mut self,
        keys: &Keys,
        input: &RuleInput<'_>,
        changes: &[AlertChange],
        predict: &Predict,
        records: &mut Records,
    ) {
        let Some(sink) = self.plan.sinks.sink(Output::Alerts) else { return };
        for change in changes {
            let context = self.context(keys, input, change, predict);
            let format = self.plan.sinks.format(sink);
            let Encoded { key, value, headers } = encode_alert(change, &context, format);
            records.push(sink, Some(&key), Some(&value), headers);
        }
    }

    fn context<'a>(
        &'a self,
        keys: &'a Keys,
        input: &RuleInput<'_>,
        change: &AlertChange,
        predict: &Predict,
    ) -> AlertContext<'a> {
        let rule = &self.plan.alerts.rules()[change.rule];
        let forecasts = rule.forecasts_read().iter().map(|(predictor, horizon)| {
            let explanation = predict.explain(*predictor, *horizon, change.key);
            let made_by = explanation.as_ref().map_or(0, |why| why.made_by);
            let horizon = self.plan.predict.horizons(*predictor)[*horizon].micros;
            ForecastRead { maker: self.plan.predict.maker(*predictor, made_by), horizon, explanation }
        });
        let values: Vec<&str> = keys.values(change.key).collect();
        AlertContext {
            pipeline: &self.plan.name,
            rule: rule.name(),
            key: key_columns(&self.plan, keys, change.key),
            forecasts: forecasts.collect(),
            expire_after: self.plan.alert_expire_after(change.rule),
            unit: rule.unit(),
            threshold_source: rule.source(),
            inputs_quality: inputs_quality(&self.plan, rule, input.window, change.key),
            summary: self.plan.alerts.summary(change, &values, input),
        }
    }

    /// A decision, to the control topic.
    pub(super) fn control(&mut self, record: &ControlRecord, records: &mut Records) {
        let Some(sink) = self.plan.sinks.control() else { return };
        let key = format!("{}/{}", record.topic, record.partition);
        let value = to_json(record);
        records.push(sink, Some(key.as_bytes()), Some(&value), Vec::new());
    }
}

/// Of the window's computed columns that a rule reads, by itself or as the target of a forecast, the share that was
/// measured; `None` where it reads none.
fn inputs_quality(plan: &PipelinePlan, rule: &AlertRule, window: &ClosedWindow, key: KeyId) -> Option<f64> {
    let targets = rule.forecasts_read().iter().map(|(predictor, _)| plan.predict.target(*predictor));
    let computed = rule.window_columns_read().iter().copied().filter(|column| *column < plan.window.measured());
    let inputs: BTreeSet<usize> = computed.chain(targets).collect();
    let measured = inputs.iter().filter(|column| window.measured(**column, key, plan.window.min_count())).count();
    (!inputs.is_empty()).then(|| measured as f64 / inputs.len() as f64)
}

fn key_columns<'a>(plan: &'a PipelinePlan, keys: &'a Keys, key: u32) -> BTreeMap<&'a str, &'a str> {
    plan.window.key_columns().iter().map(String::as_str).zip(keys.values(key)).collect()
}

/// Gives a row's original key, value and headers; rows that were typed from the start are written as the messages that
/// they stand for.
fn original(
    plan: &PipelinePlan,
    batch: &SourceBatch,
    origin: u32,
    take: impl FnOnce(Option<&[u8]>, Option<&[u8]>, &[Header]),
) {
    match &batch.payload {
        Payload::Raw(rows) => {
            let row = rows.row(origin as usize);
            take(row.key, row.value, row.headers);
        }
        Payload::Typed { rows, .. } => {
            let row = rows.slice(origin as usize, 1);
            // A row whose types JSON cannot hold leaves its dead letter without a value, not unwritten.
            let json = json_lines(&row).unwrap_or_default();
            let keys = row.column_by_name(plan.partition_column()).and_then(|column| key_texts(column).ok());
            let key = keys.as_ref().filter(|keys| keys.is_valid(0)).map(|keys| keys.value(0).as_bytes());
            take(key, Some(json.trim_ascii_end()), &[]);
        }
    }
}
