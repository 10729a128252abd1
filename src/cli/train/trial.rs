//! Labelled rows -> a trained network and how good it is beside others, on the rows held out and in a cross-validation.

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::models::folds::Folds;
use crate::models::gate::ROWS_MIN;
use crate::models::{BASE_RATE, ClassCard, Compared, Incomparable, NotCompared, NotFitted, REGRESSION, Version};
use crate::stages::predict::neural::fit::{Evaluation, Examples, Trained, Training, fit, folds, standard_error};
use crate::stages::predict::neural::logistic;
use crate::stages::predict::trainable::TrainableClassifier;

/// What is trained, and how it is measured.
pub(super) struct Trial<'a> {
    pub(super) network: &'a TrainableClassifier<'a>,
    pub(super) training: Training,
    /// Folds of a cross-validation, and how often.
    pub(super) folds: Option<(u32, u32)>,
}

/// The version that serves.
pub(super) struct Champion {
    pub(super) version: Version,
    pub(super) network: Trained,
    pub(super) card: ClassCard,
    /// Why it is not the network that is trained.
    pub(super) difference: Option<String>,
    /// Those of the rows held out that it was not trained on.
    pub(super) unseen: Vec<usize>,
}

/// The network and its measures.
pub(super) struct Outcome {
    pub(super) trained: Trained,
    pub(super) hold_out: Evaluation,
    pub(super) beside: Vec<Compared<Evaluation>>,
    pub(super) not_compared: Option<NotCompared>,
    /// Where the regression could not be fitted.
    pub(super) not_fitted: Option<NotFitted>,
    pub(super) cross_validation: Folds,
}

/// Trains the network on the rows that are known and measures it on those held out; cross-validates it over all.
///
/// # Errors
/// Weights that training has left without meaning.
pub(super) fn compare(
    trial: &Trial<'_>,
    all: &Examples,
    (known, held_out): (&Examples, &Examples),
    champion: Option<&Champion>,
) -> Result<Outcome> {
    let threshold = trial.network.threshold;
    let measured = |probabilities: &[f64]| Evaluation::of(probabilities, &held_out.labels, threshold);
    let mut cross_validation = Folds::default();
    if let Some((count, repeats)) = trial.folds {
        let progress = progress(u64::from(count) * u64::from(repeats));
        for repeat in 0..repeats {
            let seed = trial.training.seed.wrapping_add(u64::from(repeat));
            for fold in folds(&all.labels, count as usize, seed) {
                let (evaluation, beside) = trial.fold(all, &fold, seed)?;
                cross_validation.add(evaluation, beside);
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
    }
    let trained = fit(trial.network.params, known, trial.training)?;
    let share = known.labels.iter().filter(|label| **label > 0.5).count() as f64 / known.len().max(1) as f64;
    let predicted = trained.predict(held_out);
    let compared = |model: &str, made: &[f64], standard_error| Compared {
        model: model.to_owned(),
        hold_out: measured(made),
        own: None,
        standard_error,
        by_key: Vec::new(),
    };
    let mut beside = vec![compared(BASE_RATE, &vec![share; held_out.len()], None)];
    let regressed = logistic::probabilities(known, held_out, &trained.scales);
    let not_fitted = NotFitted::of(regressed.is_none(), cross_validation.not_fitted());
    beside.extend(
        regressed.map(|made| compared(REGRESSION, &made, Some(standard_error(&predicted, &made, &held_out.labels)))),
    );
    let mut not_compared = None;
    match champion.map(|champion| (champion, champion.beside(&trained, held_out, threshold))) {
        Some((_, Ok(compared))) => beside.push(compared),
        Some((champion, Err(why))) => not_compared = Some(NotCompared { version: champion.version, why }),
        None => {}
    }
    Ok(Outcome { hold_out: measured(&predicted), beside, not_compared, not_fitted, cross_validation, trained })
}

/// A bar on the terminal; nothing elsewhere.
fn progress(folds: u64) -> ProgressBar {
    let bar = ProgressBar::new(folds);
    // A template that is wrong would show the plain bar.
    if let Ok(style) = ProgressStyle::with_template("cross-validation {bar:40} {pos}/{len} folds, {eta} left") {
        bar.set_style(style);
    }
    bar
}

impl Champion {
    /// How good it is on the rows held out that it has not seen, and how good the network that was trained now is on the same.
    fn beside(
        &self,
        trained: &Trained,
        held_out: &Examples,
        threshold: f64,
    ) -> Result<Compared<Evaluation>, Incomparable> {
        if let Some(difference) = &self.difference {
            return Err(Incomparable::Different { difference: difference.clone() });
        }
        let rows = held_out.select(&self.unseen);
        let positives = rows.labels.iter().filter(|label| **label > 0.5).count();
        if rows.len() < ROWS_MIN || positives == 0 || positives == rows.len() {
            let data_to = self.card.data_to.clone();
            return Err(Incomparable::TooFewRows { rows: rows.len() as u64, data_to });
        }
        let measured = |network: &Trained| Evaluation::of(&network.predict(&rows), &rows.labels, threshold);
        let own = (rows.len() < held_out.len()).then(|| measured(trained));
        let (model, hold_out) = (self.version.to_string(), measured(&self.network));
        Ok(Compared { model, hold_out, own, standard_error: None, by_key: Vec::new() })
    }
}

impl Trial<'_> {
    /// Measures of one fold: the network's, and the logistic regression's.
    fn fold(&self, all: &Examples, fold: &[usize], seed: u64) -> Result<(Evaluation, Option<Evaluation>)> {
        let others: Vec<usize> = (0..all.len()).filter(|row| fold.binary_search(row).is_err()).collect();
        let (learned, asked) = (all.select(&others), all.select(fold));
        let trained = fit(self.network.params, &learned, Training { seed, ..self.training })?;
        let measured = |made: &[f64]| Evaluation::of(made, &asked.labels, self.network.threshold);
        let beside = logistic::probabilities(&learned, &asked, &trained.scales);
        Ok((measured(&trained.predict(&asked)), beside.map(|made| measured(&made))))
    }
}
