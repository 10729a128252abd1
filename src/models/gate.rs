//! A card -> whether its version may serve: what it is compared on, what with, and whether that is enough to say anything.
//! Nothing is measured here.

use super::card::{BASE_RATE, Card, Compared, HorizonErrors, Incomparable, REGRESSION};
use super::store::Version;
use crate::vocab::duration_text;

/// Fewest rows of classes that say which of two networks is better: of fewer, one row more or less on the right side may decide.
pub const ROWS_MIN: usize = 20;
/// Fewest labels of each horizon that say how good forecasts are.
pub const LABELS_MIN: u64 = 100;
/// Shortest time of forecasts that says it: nights and rush hours differ.
pub const HELD_OUT_MIN_S: i64 = 86_400;

/// What is compared of two models.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Losses {
    /// What it is called.
    pub(super) name: String,
    /// The card's own.
    pub(super) own: f64,
    /// The other's.
    pub(super) theirs: f64,
}

impl Losses {
    fn mean(name: &str, both: &[(f64, f64)]) -> Self {
        let mean = |of: fn(&(f64, f64)) -> f64| both.iter().map(of).sum::<f64>() / both.len() as f64;
        Self { name: name.to_owned(), own: mean(|both| both.0), theirs: mean(|both| both.1) }
    }
}

impl Card {
    /// Its own on the rows of what was measured beside it, and that one's: the mean and, of forecasts beside what `serves`, those
    /// of every horizon. `None` of what was not.
    pub(super) fn losses_beside(&self, model: &str, serves: bool) -> Option<Vec<Losses>> {
        match self {
            Self::Classes(card) => {
                let compared = card.beside.iter().find(|compared| compared.model == model)?;
                let own = compared.own.unwrap_or(card.hold_out).log_loss;
                Some(vec![Losses { name: "log loss".to_owned(), own, theirs: compared.hold_out.log_loss }])
            }
            Self::Forecasts(card) => {
                let compared = card.beside.iter().find(|compared| compared.model == model)?;
                Some(losses_of_forecasts(&card.hold_out, compared, serves))
            }
        }
    }

    /// By how much it may be worse than what was measured beside it: one standard error of the difference. A network is as good
    /// as the regression where what it learns is linear, and on few rows either comes out ahead by chance.
    pub(super) fn slack(&self, model: &str) -> f64 {
        let Self::Classes(card) = self else { return 0.0 };
        let compared = card.beside.iter().find(|compared| compared.model == model);
        compared.and_then(|compared| compared.standard_error).unwrap_or(0.0)
    }

    /// What a version has to be no worse than before it may serve: the one that serves, or, without one, the baselines. Of those,
    /// the regression can be waived: `uncompared`.
    pub(super) fn to_beat(&self, champion: Option<Version>, uncompared: bool) -> Vec<String> {
        match (champion, self) {
            (Some(champion), _) => vec![champion.to_string()],
            (None, Self::Classes(card)) => {
                let measured = |name: &&str| card.beside.iter().any(|compared| compared.model == *name);
                let regression = Some(REGRESSION).filter(measured).filter(|_| !uncompared);
                [BASE_RATE].into_iter().chain(regression).map(str::to_owned).collect()
            }
            (None, Self::Forecasts(_)) => ["persistence", "profile"].map(str::to_owned).to_vec(),
        }
    }

    /// Why it was not measured beside a version that served when it was trained.
    pub(super) fn not_compared(&self, champion: Version) -> Option<&Incomparable> {
        let not_compared = match self {
            Self::Classes(card) => &card.not_compared,
            Self::Forecasts(card) => &card.not_compared,
        };
        not_compared.as_ref().filter(|one| one.version == champion).map(|one| &one.why)
    }

    /// Why what was held out is too little to say how good it is; `None` where it is enough.
    #[must_use]
    pub fn too_little_held_out(&self) -> Option<String> {
        match self {
            Self::Classes(card) => match card.hold_out.rows {
                rows if rows < ROWS_MIN as u64 => Some(format!("{rows} rows, fewer than {ROWS_MIN}")),
                // Of one class alone there is no area under the curve.
                rows if card.hold_out.auc.is_none() => Some(format!("{rows} rows, all of one class")),
                _ => None,
            },
            Self::Forecasts(card) => {
                if let Some(few) = card.hold_out.iter().find(|one| one.count < LABELS_MIN) {
                    return Some(format!("{} labels at {}, fewer than {LABELS_MIN}", few.count, few.horizon));
                }
                match card.hold_out_s {
                    Some(seconds) if seconds >= HELD_OUT_MIN_S => None,
                    Some(seconds) => {
                        Some(format!("forecasts of {}, less than a day", duration_text(1_000_000 * seconds)))
                    }
                    None => Some("its card does not say how long".to_owned()),
                }
            }
        }
    }
}

fn losses_of_forecasts(all: &[HorizonErrors], compared: &Compared<Vec<HorizonErrors>>, serves: bool) -> Vec<Losses> {
    let horizons: Vec<(&str, f64, f64)> = if compared.by_key.is_empty() {
        // Of a card that did not say it yet, or where no baseline was ever wrong.
        let own = compared.own.as_deref().unwrap_or(all).iter();
        own.zip(&compared.hold_out).map(|(own, other)| (own.horizon.as_str(), own.mae, other.mae)).collect()
    } else {
        compared.by_key.iter().map(|one| (one.horizon.as_str(), one.own, one.other)).collect()
    };
    let name = if compared.by_key.is_empty() { "MAE" } else { "MAE by key" };
    let both: Vec<(f64, f64)> = horizons.iter().map(|(_, own, other)| (*own, *other)).collect();
    let mut losses = vec![Losses::mean(name, &both)];
    if serves {
        let at =
            |(horizon, own, theirs): (&str, f64, f64)| Losses { name: format!("{name} at {horizon}"), own, theirs };
        losses.extend(horizons.into_iter().map(at));
    }
    losses
}
