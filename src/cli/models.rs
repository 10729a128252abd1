//! `arterial models`: the versions of a trained network; which one serves, and since when.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::report::{Format, print_rows};
use crate::models::card::mean_mae;
use crate::models::{Card, HorizonErrors, Promotion, Store, Version};
use crate::runtime::SystemClock;
use crate::stages::encode::time_text;
use crate::stages::predict::neural::fit::Evaluation;
use crate::vocab::{Clock, EventTime};

/// Look at the versions of a trained network, and say which serves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial models ls models/diagnosis\n  \
    arterial models show models/diagnosis v2\n  \
    arterial models diff models/diagnosis v1 v2\n  \
    arterial models promote models/diagnosis v2\n  \
    arterial models rollback models/diagnosis --reason 'too many false alarms'\n\n\
    MODEL is the folder that `artefact` of a network names. A running pipeline takes another version at its next start.")]
pub struct ModelsArgs {
    #[command(subcommand)]
    verb: ModelsVerb,
}

#[derive(Debug, Subcommand)]
enum ModelsVerb {
    /// List the versions and the promotions.
    Ls {
        /// Folder of the model.
        model: PathBuf,
        /// How they are printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Print the card of a version; of the one that serves unless given.
    Show {
        /// Folder of the model.
        model: PathBuf,
        /// The version, as v2.
        version: Option<Version>,
    },
    /// Print what two versions' cards have different.
    Diff {
        /// Folder of the model.
        model: PathBuf,
        /// The one version.
        from: Version,
        /// The other.
        to: Version,
    },
    /// Let a version serve, if on the rows held out it was no worse than the one that serves.
    Promote {
        /// Folder of the model.
        model: PathBuf,
        /// The version, as v2.
        version: Version,
        /// Why, for the record.
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// Let the version serve that served before.
    Rollback {
        /// Folder of the model.
        model: PathBuf,
        /// Why, for the record.
        #[arg(long, default_value = "by hand")]
        reason: String,
    },
    /// Copy a version's weights and card to another folder.
    Export {
        /// Folder of the model.
        model: PathBuf,
        /// The version, as v2.
        version: Version,
        /// Where to; it must not be there yet.
        to: PathBuf,
    },
}

/// Runs the verb.
///
/// # Errors
/// A folder that holds no such version, or a version that is not allowed to serve.
pub fn models(args: &ModelsArgs) -> Result<()> {
    match &args.verb {
        ModelsVerb::Ls { model, format } => list(&Store::new(model), *format),
        ModelsVerb::Show { model, version } => show(&Store::new(model), *version),
        ModelsVerb::Diff { model, from, to } => differences(&Store::new(model), *from, *to),
        ModelsVerb::Promote { model, version, reason } => {
            told(&Store::new(model).promote(*version, &now(), reason)?);
            Ok(())
        }
        ModelsVerb::Rollback { model, reason } => {
            told(&Store::new(model).roll_back(&now(), reason)?);
            Ok(())
        }
        ModelsVerb::Export { model, version, to } => {
            Store::new(model).export(*version, to)?;
            say!("{version} is in {}", to.display());
            Ok(())
        }
    }
}

/// The time, RFC 3339, UTC.
pub(super) fn now() -> String {
    time_text(EventTime(SystemClock.now_micros()))
}

fn told(promotion: &Promotion) {
    match promotion.before {
        Some(before) => say!("{} serves, where {before} did", promotion.version),
        None => say!("{} serves", promotion.version),
    }
}

fn list(store: &Store, format: Format) -> Result<()> {
    let champion = store.champion()?;
    let cards = store.versions()?.into_iter().map(|version| Ok((version, store.card(version)?)));
    let cards = cards.collect::<Result<Vec<_>>>()?;
    if format == Format::Json {
        let versions = cards
            .iter()
            .map(|(version, card)| json!({ "version": version, "serves": Some(*version) == champion, "card": card }));
        let all = json!({ "versions": versions.collect::<Vec<_>>(), "promotions": store.promotions()? });
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if cards.is_empty() {
        say!("no version in {}: `arterial train` makes one", store.folder().display());
        return Ok(());
    }
    let measures = |card: &Card| match card {
        Card::Classes(card) => vec![card.hold_out.log_loss, card.hold_out.accuracy, card.hold_out.auc],
        Card::Forecasts(card) => vec![mean_mae(&card.hold_out)],
    };
    let names: &[&str] = match cards.last() {
        Some((_, Card::Forecasts(_))) => &["MAE"],
        _ => &["log loss", "accuracy", "AUC"],
    };
    let head: Vec<&str> = ["version", "serves", "trained", "rows"].iter().chain(names).copied().collect();
    let rows = cards.iter().map(|(version, card)| {
        let serves = if Some(*version) == champion { "*" } else { "" };
        let (trained_at, rows) = card.trained();
        let named = [version.to_string(), serves.to_owned(), trained_at.to_owned(), rows.to_string()];
        named.into_iter().chain(measures(card).into_iter().map(|measure| format!("{measure:.4}"))).collect()
    });
    print_rows("", &head, rows);
    for Promotion { at, version, before, reason } in store.promotions()? {
        let before = before.map_or_else(String::new, |before| format!(" after {before}"));
        say!("{at} {version} serves{before}: {reason}");
    }
    Ok(())
}

fn show(store: &Store, version: Option<Version>) -> Result<()> {
    let version = match version {
        Some(version) => version,
        None => store
            .champion()?
            .ok_or_else(|| crate::models::StoreError::NoChampion { folder: store.folder().to_owned() })?,
    };
    // Damaged weights are found here, not when they are to serve.
    let (_, card) = store.load(version)?;
    say!("{}", serde_json::to_string_pretty(&card)?);
    Ok(())
}

fn differences(store: &Store, from: Version, to: Version) -> Result<()> {
    let [one, other] = [from, to].map(|version| store.card(version));
    let (one, other) = (serde_json::to_value(one?)?, serde_json::to_value(other?)?);
    let mut rows = Vec::new();
    compare("", (&one, &other), &mut rows);
    print_rows("", &["", &from.to_string(), &to.to_string()], rows.into_iter());
    Ok(())
}

/// Every value that is not the same, by its path.
fn compare(path: &str, (one, other): (&serde_json::Value, &serde_json::Value), rows: &mut Vec<Vec<String>>) {
    match (one.as_object(), other.as_object()) {
        (Some(left), Some(right)) => {
            for (key, value) in left {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, (value, right.get(key).unwrap_or(&serde_json::Value::Null)), rows);
            }
        }
        _ if one != other => rows.push(vec![path.to_owned(), one.to_string(), other.to_string()]),
        _ => {}
    }
}

/// Prints a table of errors, a row per model.
pub(super) fn print_errors(what: &str, rows: &[(String, Vec<HorizonErrors>)]) {
    let horizons = rows.first().map(|(_, errors)| errors.as_slice()).unwrap_or_default();
    let of = |name: &str| horizons.iter().map(|one| format!("{name} {}", one.horizon)).collect::<Vec<_>>();
    let names: Vec<String> =
        [what.to_owned(), "labels".to_owned()].into_iter().chain(of("MAE")).chain(of("RMSE")).collect();
    let head: Vec<&str> = names.iter().map(String::as_str).collect();
    let row = |(model, errors): &(String, Vec<HorizonErrors>)| {
        let count = errors.iter().map(|one| one.count).sum::<u64>();
        let numbers = errors.iter().map(|one| one.mae).chain(errors.iter().map(|one| one.rmse));
        let numbers = numbers.map(|number| format!("{number:.4}"));
        [model.clone(), count.to_string()].into_iter().chain(numbers).collect()
    };
    say!("");
    print_rows("", &head, rows.iter().map(row));
}

/// Prints a table of measures, a row per model.
pub(super) fn print_evaluations(what: &str, rows: &[(String, Evaluation)]) {
    let head = [what, "n", "log loss", "accuracy", "precision", "recall", "F1", "AUC", "calibration error"];
    let row = |(model, one): &(String, Evaluation)| {
        let measures = [one.log_loss, one.accuracy, one.precision, one.recall, one.f1, one.auc, one.calibration_error];
        let numbers = measures.map(|measure| format!("{measure:.4}"));
        [model.clone(), one.rows.to_string()].into_iter().chain(numbers).collect()
    };
    say!("");
    print_rows("", &head, rows.iter().map(row));
}
