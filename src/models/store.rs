//! The folder of a model: `v1/model.safetensors`, `v1/card.json`, `v2/...`, and `promotions.ndjson`, whose last line names the
//! version that serves. Versions appear by atomic rename; promotions are appended and synced. Whoever changes something holds
//! the lock of `.lock`; readers need none.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::card::{Card, ClassCard, ForecastCard, Kind};
use super::error::StoreError;
use super::gate::Losses;
use super::{mlp_tensors, tensors};
use crate::stages::predict::neural::TrainedMlp;
use crate::stages::predict::neural::fit::Trained;

const WEIGHTS: &str = "model.safetensors";
const CARD: &str = "card.json";
const PROMOTIONS: &str = "promotions.ndjson";
const LOCK: &str = ".lock";
/// A version that is being written.
const MAKING: &str = ".making";

/// A version's number: `v3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pub u32);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "v{}", self.0)
    }
}

/// Text that is no version.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no version, as v1")]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let number = text.strip_prefix('v').and_then(|digits| digits.parse().ok()).filter(|number| *number > 0);
        let version = number.map(Self).filter(|version| version.to_string() == text);
        version.ok_or_else(|| NotAVersion(text.to_owned()))
    }
}

impl TryFrom<String> for Version {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// The network of a version.
#[derive(Debug, Clone, PartialEq)]
pub enum Network {
    /// Of classes.
    Classes(Trained),
    /// Of forecasts.
    Forecasts(TrainedMlp),
}

/// A change of the version that serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// When, RFC 3339, UTC.
    pub at: String,
    /// What serves from then on.
    pub version: Version,
    /// What served before; none before the first.
    pub before: Option<Version>,
    /// Why.
    pub reason: String,
    /// Whether it is a roll-back: the version before was taken back, and is none to go back to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
    /// Whether it serves although it could not be measured beside what served before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncompared: bool,
}

/// What a promotion asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// To be no worse than what serves.
    Compared,
    /// To serve although it could not be measured beside what serves.
    Uncompared,
}

/// The folder of one model.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The model in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every version, ascending.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the folder is there and cannot be read.
    pub fn versions(&self) -> Result<Vec<Version>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&self.folder, error)),
        };
        let mut versions = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| io_error(&self.folder, error))?;
            versions.extend(entry.file_name().to_str().and_then(|name| name.parse::<Version>().ok()));
        }
        versions.sort_unstable();
        Ok(versions)
    }

    /// What a version is.
    ///
    /// # Errors
    /// [`StoreError`] where it is not there or damaged.
    pub fn card(&self, version: Version) -> Result<Card, StoreError> {
        let path = self.file(version, CARD);
        let text = self.read(version, &path)?;
        Card::from_json(&text).map_err(|error| StoreError::Damaged { path, reason: error.to_string() })
    }

    /// A version's network and card. The weights must be those that the card was written for.
    ///
    /// # Errors
    /// As [`Store::card`].
    pub fn load(&self, version: Version) -> Result<(Network, Card), StoreError> {
        let card = self.card(version)?;
        let path = self.file(version, WEIGHTS);
        let bytes = self.read(version, &path)?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if hash != card.model_hash() {
            let reason = format!("its hash is {hash}, its card says {}", card.model_hash());
            return Err(StoreError::Damaged { path, reason });
        }
        let network = network_of(card.kind(), &bytes).map_err(|reason| StoreError::Weights { path, reason })?;
        Ok((network, card))
    }

    /// A version that is of a network of classes.
    ///
    /// # Errors
    /// As [`Store::load`], and where it is of another kind.
    pub fn load_classes(&self, version: Version) -> Result<(Trained, ClassCard), StoreError> {
        match self.load(version)? {
            (Network::Classes(trained), Card::Classes(card)) => Ok((trained, card)),
            (_, card) => Err(self.other_kind(version, card.kind(), Kind::MlpClassifier)),
        }
    }

    /// A version that is of a network of forecasts.
    ///
    /// # Errors
    /// As [`Store::load`], and where it is of another kind.
    pub fn load_forecasts(&self, version: Version) -> Result<(TrainedMlp, ForecastCard), StoreError> {
        match self.load(version)? {
            (Network::Forecasts(trained), Card::Forecasts(card)) => Ok((trained, card)),
            (_, card) => Err(self.other_kind(version, card.kind(), Kind::Mlp)),
        }
    }

    /// Refuses a folder that holds another kind of network.
    ///
    /// # Errors
    /// [`StoreError::OtherKind`], or a newest version that cannot be read.
    pub fn check_kind(&self, asked: Kind) -> Result<(), StoreError> {
        let Some(&version) = self.versions()?.last() else { return Ok(()) };
        let is = self.card(version)?.kind();
        if is == asked { Ok(()) } else { Err(self.other_kind(version, is, asked)) }
    }

    fn other_kind(&self, version: Version, is: Kind, asked: Kind) -> StoreError {
        StoreError::OtherKind { folder: self.folder.clone(), version, is, asked }
    }

    fn read(&self, version: Version, path: &Path) -> Result<Vec<u8>, StoreError> {
        fs::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !self.folder.join(version.to_string()).is_dir() => {
                StoreError::Missing { folder: self.folder.clone(), version }
            }
            _ => io_error(path, error),
        })
    }

    fn file(&self, version: Version, name: &str) -> PathBuf {
        self.folder.join(version.to_string()).join(name)
    }

    /// Every promotion and roll-back, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] where the record cannot be read.
    pub fn promotions(&self) -> Result<Vec<Promotion>, StoreError> {
        let path = self.folder.join(PROMOTIONS);
        let mut text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(&path, error)),
        };
        // A line without an end was never recorded: whoever wrote it was stopped before it was told so.
        let whole = whole_lines(&text);
        if whole < text.len() {
            tracing::warn!("`{}`: its last line has no end and is left out", path.display());
            text.truncate(whole);
        }
        let parse = |line: &[u8]| {
            let damaged =
                |error: serde_json::Error| StoreError::Damaged { path: path.clone(), reason: error.to_string() };
            serde_json::from_slice(line).map_err(damaged)
        };
        text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// The version that serves; `None` before the first promotion.
    ///
    /// # Errors
    /// As [`Store::promotions`].
    pub fn champion(&self) -> Result<Option<Version>, StoreError> {
        Ok(self.promotions()?.last().map(|promotion| promotion.version))
    }

    /// Adds a version: `card` of its number and of the weights' hash. It does not serve yet.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written, or holds what is no number; then nothing was added.
    pub fn add(&self, network: &Network, mut card: Card) -> Result<Version, StoreError> {
        fs::create_dir_all(&self.folder).map_err(|error| io_error(&self.folder, error))?;
        let _lock = self.lock()?;
        let version = Version(self.versions()?.last().map_or(1, |last| last.0 + 1));
        let path = self.file(version, WEIGHTS);
        let weights = match network {
            Network::Classes(trained) => tensors::to_bytes(trained),
            Network::Forecasts(trained) => mlp_tensors::to_bytes(trained),
        };
        let read_back = |weights: Vec<u8>| network_of(card.kind(), &weights).map(|_| weights);
        let weights = weights.and_then(read_back).map_err(|reason| StoreError::Weights { path, reason })?;
        card.set_model_hash(blake3::hash(&weights).to_hex().to_string());
        let damaged = |error: serde_json::Error| StoreError::Damaged {
            path: self.file(version, CARD),
            reason: error.to_string(),
        };
        let mut text = serde_json::to_vec_pretty(&card).map_err(damaged)?;
        // A measure that is no number is written as `null`, which no card has there.
        Card::from_json(&text).map_err(damaged)?;
        text.push(b'\n');
        self.write(version, &weights, &text).map_err(|error| io_error(&self.folder, error))?;
        Ok(version)
    }

    /// Writes a version's files beside, and renames them all at once.
    fn write(&self, version: Version, weights: &[u8], card: &[u8]) -> io::Result<()> {
        let making = self.folder.join(MAKING);
        // Of somebody who was stopped: nobody else is here, under the lock.
        match fs::remove_dir_all(&making) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&making)?,
        }
        write_synced(&making.join(WEIGHTS), weights)?;
        write_synced(&making.join(CARD), card)?;
        // Names of files are what their folder holds: without this they may be gone after a loss of power.
        File::open(&making)?.sync_all()?;
        fs::rename(&making, self.folder.join(version.to_string()))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Waits until nobody else changes the folder. The lock goes with what is returned, or with the process.
    fn lock(&self) -> Result<File, StoreError> {
        let path = self.folder.join(LOCK);
        let open = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|error| io_error(&path, error))
    }

    /// Lets a version serve, if on the rows held out it was no worse than what serves now; the first, than the base rate and, by
    /// more than chance, the regression or, of forecasts, than persistence and the profile. One that could not be measured
    /// beside what serves, or on enough, or is worse than the regression, where that is asked for, has to be no worse than the
    /// other ones.
    ///
    /// # Errors
    /// [`StoreError`] where it was worse, was not measured beside what serves or on enough, or cannot be recorded.
    pub fn promote(&self, version: Version, gate: Gate, at: &str, reason: &str) -> Result<Promotion, StoreError> {
        let (_, card) = self.load(version)?;
        let _lock = self.lock()?;
        let before = self.champion()?;
        if before == Some(version) {
            return Err(StoreError::Serves { version });
        }
        let too_little = card.too_little_held_out();
        let beaten = match (before, gate, too_little) {
            (Some(champion), Gate::Uncompared, None) if card.losses_beside(&champion.to_string(), true).is_some() => {
                return Err(StoreError::Compared { version, champion });
            }
            (_, Gate::Uncompared, _) => None,
            (_, Gate::Compared, Some(held_out)) => return Err(StoreError::TooLittle { version, held_out }),
            (_, Gate::Compared, None) => before,
        };
        for other in card.to_beat(beaten, gate == Gate::Uncompared) {
            let losses = match (card.losses_beside(&other, beaten.is_some()), beaten) {
                (Some(losses), _) => losses,
                (None, Some(champion)) => {
                    let why = card.not_compared(champion).cloned();
                    return Err(StoreError::NotCompared { version, champion, why });
                }
                (None, None) => {
                    let reason = format!("it does not say how good {other} is");
                    return Err(StoreError::Damaged { path: self.file(version, CARD), reason });
                }
            };
            // Not a number is no better than anything.
            let worse = |one: &Losses| one.own.is_nan() || one.own > one.theirs + card.slack(&other);
            if let Some(Losses { name, own, theirs }) = losses.into_iter().find(worse) {
                return Err(StoreError::Worse { version, loss: name, own, other, theirs });
            }
        }
        let uncompared = gate == Gate::Uncompared;
        self.record(Promotion {
            at: at.to_owned(),
            version,
            before,
            reason: reason.to_owned(),
            rolled_back: false,
            uncompared,
        })
    }

    /// Lets the version serve that served before, and was not rolled back from since.
    ///
    /// # Errors
    /// [`StoreError`] where nothing served before, or it cannot be recorded.
    pub fn roll_back(&self, at: &str, reason: &str) -> Result<Promotion, StoreError> {
        if self.champion()?.is_none() {
            return Err(StoreError::NoChampion { folder: self.folder.clone() });
        }
        let _lock = self.lock()?;
        let promotions = self.promotions()?;
        let Some(last) = promotions.last() else {
            return Err(StoreError::NoChampion { folder: self.folder.clone() });
        };
        // What served one after the other, less what was taken back: going back twice goes back two.
        let mut served: Vec<Version> = Vec::new();
        for promotion in &promotions {
            if promotion.rolled_back {
                served.pop();
            } else {
                served.push(promotion.version);
            }
        }
        let [.., version, _] = served[..] else {
            return Err(StoreError::NothingBefore { version: last.version });
        };
        self.load(version)?;
        let (before, reason) = (Some(last.version), reason.to_owned());
        self.record(Promotion { at: at.to_owned(), version, before, reason, rolled_back: true, uncompared: false })
    }

    /// Copies a version's files to a folder that is not there yet.
    ///
    /// # Errors
    /// [`StoreError`] where the version is damaged, or the folder is there or cannot be written.
    pub fn export(&self, version: Version, to: &Path) -> Result<(), StoreError> {
        self.load(version)?;
        let copied = fs::create_dir(to).and_then(|()| {
            [WEIGHTS, CARD].into_iter().try_for_each(|name| fs::copy(self.file(version, name), to.join(name)).map(drop))
        });
        copied.map_err(|error| io_error(to, error))
    }

    /// Appends a line, under the lock; in the place of one without an end.
    fn record(&self, promotion: Promotion) -> Result<Promotion, StoreError> {
        let path = self.folder.join(PROMOTIONS);
        let mut line = crate::vocab::to_json(&promotion);
        line.push(b'\n');
        let append = || {
            let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
            let whole = whole_lines(&fs::read(&path)?);
            file.set_len(whole as u64)?;
            file.seek(io::SeekFrom::End(0))?;
            file.write_all(&line)?;
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()
        };
        append().map_err(|error| io_error(&path, error))?;
        Ok(promotion)
    }
}

/// The network of these bytes.
fn network_of(kind: Kind, bytes: &[u8]) -> Result<Network, tensors::TensorsError> {
    match kind {
        Kind::MlpClassifier => tensors::from_bytes(bytes).map(Network::Classes),
        Kind::Mlp => mlp_tensors::from_bytes(bytes).map(Network::Forecasts),
    }
}

/// Bytes of the lines that have an end.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn io_error(path: &Path, reason: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), reason }
}
