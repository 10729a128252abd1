//! What a command was asked for and cannot mean: exit code 2, as where an argument is unknown.

use arterial_connectors::source::SourceError;

use crate::spec::UnknownStep;

/// Arguments that do not fit each other or the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// `--reset` of no stateful step, or `--keep` of one that has state.
    #[error(transparent)]
    UnknownStep(#[from] UnknownStep),
    /// No schema of that name comes with the engine, and it is no `.avsc` file.
    #[error("unknown schema `{name}`; {hint}")]
    UnknownSchema {
        /// What was named.
        name: String,
        /// Which may have been meant.
        hint: String,
    },
    /// `train` that holds nothing out, or everything.
    #[error("--hold-out {share} is not above 0 and below 1")]
    HoldOut {
        /// What was given.
        share: f64,
    },
    /// `train` without a place for the version.
    #[error(
        "nowhere to put the version: give the network an `artefact` folder in the pipeline file, or --models FOLDER"
    )]
    NoArtefact,
    /// `train` of a network of forecasts by folds.
    #[error(
        "--folds is for networks of classes: rows of one time tell of each other, so forecasts are held out by time"
    )]
    FoldsOfForecasts,
    /// `train` of a pipeline without networks.
    #[error(
        "the pipeline has no network to train: give a predictor `model: {{ mlp: {{}} }}`, or of classes `mlp_classifier`"
    )]
    NoNetwork,
    /// `train` of none or several networks.
    #[error("{found} networks are meant; there are: {all}")]
    WhichNetwork {
        /// How many.
        found: usize,
        /// How each is named.
        all: String,
    },
    /// `init` without anything to look at.
    #[error("give --from FILES or --topic TOPIC")]
    NothingToSample,
    /// `init` with a column that is not there.
    #[error("{option}: no column `{name}`; {hint}")]
    UnknownColumn {
        /// The option.
        option: &'static str,
        /// What was named.
        name: String,
        /// Which may have been meant.
        hint: String,
    },
    /// `init` with a value that cannot be forecast.
    #[error("--value: `{name}` is not a column of numbers beside the sensor and the time")]
    NoNumbers {
        /// The column.
        name: String,
    },
    /// `init` with a sensor that no key is made of.
    #[error("--sensor: `{name}` holds neither text nor whole numbers alone")]
    NoKey {
        /// The column.
        name: String,
    },
    /// `init` with one column for two things.
    #[error("{option} and {other} both name `{name}`")]
    SameColumn {
        /// The option.
        option: &'static str,
        /// The one before.
        other: &'static str,
        /// The column.
        name: String,
    },
    /// `init` with a zone for times that need none.
    #[error("--timezone is for times that name no zone; these are in UTC or name theirs")]
    ZoneOfNothing,
    /// `init` would replace a file.
    #[error("`{path}` is there already; give --force to replace it, or --output another name")]
    Exists {
        /// The file.
        path: String,
    },
    /// `simulate` of a pipeline that reads something else.
    #[error("the pipeline's source is not simulated: it has no `simulate:`")]
    NotSimulated,
    /// Sending by the file's time without saying where it stands.
    #[error("--speed and --stamp-event need --time COLUMN")]
    TimeMissing,
    /// `backfill` without `--partitions`, where nobody says how many the topic has.
    #[error("nobody says how many partitions the topic has, so give --partitions N: {0}")]
    PartitionsUnknown(#[source] SourceError),
    /// `dlq` of a pipeline whose dead letters are files.
    #[error(
        "dead letters of sink `{sink}` go to the folder `{folder}`, and `dlq` reads topics; each is a line of JSON in \
         `{folder}/epoch-*/{sink}.ndjson`"
    )]
    LettersInFolder {
        /// The sink.
        sink: String,
        /// Its folder.
        folder: String,
    },
    /// A bounded run over a broker that starts with it.
    #[error(
        "`--until latest` would read nothing, since `brokers: embedded` starts empty; run without it, send rows to the \
         address in the log, and end with Ctrl-C"
    )]
    NothingToRead,
}
