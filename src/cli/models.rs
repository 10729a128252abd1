//! `arterial models`: the versions of a trained network; which one serves, and since when.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::report::{Format, print_rows};
use crate::models::card::mean_mae;
use crate::models::{Card, Gate, HorizonErrors, Promotion, Store, StoreError, Version};
use crate::runtime::SystemClock;
use crate::stages::encode::time_text;
use crate::stages::predict::neural::fit::Evaluation;
use crate::vocab::{Clock, EventTime};

/// Look at the versions of a trained network, and say which serves.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    arterial models ls models/diagnosis\n  \
    arterial models show models/diagnosis v2\n  \
    arterial models diff models/diagnosis v1 v2 --format json\n  \
    arterial models promote models/diagnosis v2\n  \
    arterial models promote models/diagnosis v3 --uncompared --reason 'reads the new sensors too'\n  \
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
        /// How they are printed.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Let a version serve, if on the rows held out it was no worse than the one that serves.
    Promote {
        /// Folder of the model.
        model: PathBuf,
        /// The version, as v2.
        version: Version,
        /// Why, for the record.
        #[arg(long, required_if_eq("uncompared", "true"))]
        reason: Option<String>,
        /// Let it serve although it could not be measured beside the one that serves, as where the pipeline's columns have
        /// changed, was measured on too little, or is worse than the regression. It has to be no worse than the other baselines. Needs `--reason`; the record says so.
        #[arg(long)]
        uncompared: bool,
    },
    /// Let the version serve that served before; again, the one before that.
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
        ModelsVerb::Diff { model, from, to, format } => differences(&Store::new(model), *from, *to, *format),
        ModelsVerb::Promote { model, version, reason, uncompared } => {
            let gate = if *uncompared { Gate::Uncompared } else { Gate::Compared };
            let reason = reason.as_deref().unwrap_or("by hand");
            told(&Store::new(model).promote(*version, gate, &now(), reason)?);
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

/// A time of a card; `None` of text that is none.
pub(super) fn time_of(text: &str) -> Option<EventTime> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(EventTime(time.timestamp_micros()))
}

fn told(promotion: &Promotion) {
    match promotion.before {
        Some(before) => say!("{} serves, where {before} did", promotion.version),
        None => say!("{} serves", promotion.version),
    }
}

/// A damaged card is told in its place: the others are as they were.
fn list(store: &Store, format: Format) -> Result<()> {
    let champion = store.champion()?;
    let cards: Vec<(Version, Result<Card, StoreError>)> =
        store.versions()?.into_iter().map(|version| (version, store.card(version))).collect();
    if format == Format::Json {
        let one = |(version, card): &(Version, Result<Card, StoreError>)| {
            let serves = Some(*version) == champion;
            match card {
                Ok(card) => json!({ "version": version, "serves": serves, "card": card }),
                Err(error) => json!({ "version": version, "serves": serves, "card": null, "error": error.to_string() }),
            }
        };
        let versions: Vec<_> = cards.iter().map(one).collect();
        say!("{}", serde_json::to_string_pretty(&json!({ "versions": versions, "promotions": store.promotions()? }))?);
        return Ok(());
    }
    if cards.is_empty() {
        say!("no version in {}: `arterial train` makes one", store.folder().display());
        return Ok(());
    }
    let forecasts = cards.iter().any(|(_, card)| matches!(card, Ok(Card::Forecasts(_))));
    let names: &[&str] = if forecasts { &["MAE"] } else { &["log loss", "accuracy", "AUC"] };
    let head: Vec<&str> = ["version", "serves", "trained", "rows"].iter().chain(names).copied().collect();
    let rows = cards.iter().map(|(version, card)| {
        let serves = if Some(*version) == champion { "*" } else { "" };
        let mut row = vec![version.to_string(), serves.to_owned()];
        match card {
            Ok(card) => {
                let (trained_at, rows) = card.trained();
                row.extend([trained_at.to_owned(), rows.to_string()]);
                row.extend(measures(card).into_iter().map(number));
            }
            Err(_) => row.push("damaged".to_owned()),
        }
        row.resize(head.len(), String::new());
        row
    });
    print_rows("", &head, rows);
    for Promotion { at, version, before, reason, uncompared, .. } in store.promotions()? {
        let before = before.map_or_else(String::new, |before| format!(" after {before}"));
        let uncompared = if uncompared { " uncompared" } else { "" };
        say!("{at} {version} serves{before}{uncompared}: {reason}");
    }
    for (version, error) in cards.iter().filter_map(|(version, card)| Some((version, card.as_ref().err()?))) {
        complain!("{version}: {error}; {}", error.hint());
    }
    Ok(())
}

/// What the list says of how good a version is.
fn measures(card: &Card) -> Vec<Option<f64>> {
    match card {
        Card::Classes(card) => vec![Some(card.hold_out.log_loss), Some(card.hold_out.accuracy), card.hold_out.auc],
        Card::Forecasts(card) => vec![Some(mean_mae(&card.hold_out))],
    }
}

/// A measure; nothing of one that is not defined.
fn number(measure: Option<f64>) -> String {
    measure.map(|measure| format!("{measure:.4}")).unwrap_or_default()
}

fn show(store: &Store, version: Option<Version>) -> Result<()> {
    let version = match version {
        Some(version) => version,
        None => store.champion()?.ok_or_else(|| StoreError::NoChampion { folder: store.folder().to_owned() })?,
    };
    // Damaged weights are found here, not when they are to serve.
    let (_, card) = store.load(version)?;
    say!("{}", serde_json::to_string_pretty(&card)?);
    Ok(())
}

fn differences(store: &Store, from: Version, to: Version, format: Format) -> Result<()> {
    let [one, other] = [from, to].map(|version| store.card(version));
    let (one, other) = (serde_json::to_value(one?)?, serde_json::to_value(other?)?);
    let mut found = Vec::new();
    compare("", (&one, &other), &mut found);
    if format == Format::Json {
        let json =
            |(path, one, other): &Difference<'_>| json!({ "path": path, from.to_string(): one, to.to_string(): other });
        say!("{}", serde_json::to_string_pretty(&found.iter().map(json).collect::<Vec<_>>())?);
        return Ok(());
    }
    let row = |(path, one, other): Difference<'_>| vec![path, one.to_string(), other.to_string()];
    print_rows("", &["", &from.to_string(), &to.to_string()], found.into_iter().map(row));
    Ok(())
}

/// A value by its path, as the one has it and as the other.
type Difference<'a> = (String, &'a Value, &'a Value);

/// Every value that is not the same, or that one alone has.
fn compare<'a>(path: &str, (one, other): (&'a Value, &'a Value), found: &mut Vec<Difference<'a>>) {
    match (one.as_object(), other.as_object()) {
        (Some(left), Some(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |side: &'a Map<String, Value>| side.get(key).unwrap_or(&Value::Null);
                compare(&path, (of(left), of(right)), found);
            }
        }
        _ if one != other => found.push((path.to_owned(), one, other)),
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
        let [log_loss, accuracy, error] = [one.log_loss, one.accuracy, one.calibration_error].map(Some);
        let numbers = [log_loss, accuracy, one.precision, one.recall, one.f1, one.auc, error].map(number);
        [model.clone(), one.rows.to_string()].into_iter().chain(numbers).collect()
    };
    say!("");
    print_rows("", &head, rows.iter().map(row));
}
