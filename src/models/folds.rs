//! Measures of the folds of a cross-validation -> their means, of two models over the folds that both have. No folds are made here.

use crate::stages::predict::neural::fit::Evaluation;

/// Measures of a network by fold, and of the regression beside it where that could be fitted.
#[derive(Debug, Clone, Default)]
pub struct Folds(Vec<(Evaluation, Option<Evaluation>)>);

impl Folds {
    /// Takes the next fold in.
    pub fn add(&mut self, own: Evaluation, beside: Option<Evaluation>) {
        self.0.push((own, beside));
    }

    /// The network's mean over all folds; none without any.
    #[must_use]
    pub fn mean(&self) -> Option<Evaluation> {
        let own: Vec<Evaluation> = self.0.iter().map(|(own, _)| *own).collect();
        (!own.is_empty()).then(|| Evaluation::mean(&own))
    }

    /// The means of both over the folds that both have; none where there is no such fold.
    #[must_use]
    pub fn both(&self) -> Option<(Evaluation, Evaluation)> {
        let (own, beside): (Vec<Evaluation>, Vec<Evaluation>) =
            self.0.iter().filter_map(|(own, beside)| Some((*own, (*beside)?))).unzip();
        (!own.is_empty()).then(|| (Evaluation::mean(&own), Evaluation::mean(&beside)))
    }

    /// Numbers of the folds, from 1 on through all repeats, to which the regression could not be fitted.
    #[must_use]
    pub fn not_fitted(&self) -> Vec<u32> {
        // A hundred folds a thousand times over at most.
        (1..).zip(&self.0).filter(|(_, (_, beside))| beside.is_none()).map(|(number, _)| number).collect()
    }
}
