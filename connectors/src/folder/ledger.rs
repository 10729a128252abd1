//! Output records, positions and state -> one directory, complete once it has its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::disk::{DurableFile, asked, remove_dir, sync_dir};
use super::error::FolderError;
use super::lock::Folder;
use super::manifest::Manifest;
use super::{epochs, lines, state};
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, misuse};
use crate::position::Partition;

/// Whose folder it is, and what goes there.
#[derive(Debug, Clone)]
pub struct FolderLedgerConfig {
    /// Name of the pipeline.
    pub pipeline: String,
    /// What is read, in the words of the one who asked for it: positions are in this input and in no other.
    pub input: String,
    /// Partitions of each of the source's topics.
    pub partitions: Vec<u32>,
    /// Names of the sinks, which are those of their files, by index.
    pub sinks: Vec<String>,
}

/// What may come next.
enum Phase {
    /// Nothing but `restore`.
    Unsettled,
    /// `begin`, or `restore` of further partitions.
    Ready,
    /// `append`, `commit`, `abort`.
    Open(OpenEpoch),
}

/// An epoch that is being written.
struct OpenEpoch {
    directory: PathBuf,
    /// Files of the sinks that have records, with their number.
    sinks: BTreeMap<u16, (DurableFile, u64)>,
}

/// The ledger of the one worker that writes into a folder. Dropping it leaves an unfinished epoch behind, as a crash does.
pub struct FolderLedger {
    folder: Folder,
    config: FolderLedgerConfig,
    term: u64,
    phase: Phase,
    /// The newest complete epoch.
    last: Manifest,
    line: Vec<u8>,
}

impl FolderLedger {
    /// Takes the folder over from the ledger that was opened before.
    ///
    /// # Errors
    /// [`FolderError::Foreign`] and [`FolderError::Partitions`] where its epochs are not ours to go on from.
    pub fn open(folder: &Folder, config: FolderLedgerConfig) -> Result<Self, FolderError> {
        let last = Manifest::empty(&config);
        let mut ledger = Self {
            folder: folder.clone(),
            term: folder.next_term(),
            phase: Phase::Unsettled,
            config,
            last,
            line: Vec::new(),
        };
        ledger.settle()?;
        Ok(ledger)
    }

    /// Looks which epoch is the newest, and removes what is no epoch.
    fn settle(&mut self) -> Result<(), FolderError> {
        let (path, config) = (self.folder.path(), &self.config);
        epochs::remove_unfinished(path)?;
        let newest = Manifest::newest(path)?;
        if let Some(manifest) = &newest {
            manifest.check(path, config)?;
        }
        self.last = newest.unwrap_or_else(|| Manifest::empty(config));
        Ok(())
    }

    fn check_term(&self) -> Result<(), LedgerError> {
        if self.folder.holds(self.term) {
            return Ok(());
        }
        Err(LedgerError::Fenced { slot: self.folder.path().display().to_string() })
    }

    /// Writes everything but the name, which makes the epoch complete.
    fn write_epoch(&self, open: OpenEpoch, commit: &Commit<'_>) -> Result<(Manifest, PathBuf), FolderError> {
        let OpenEpoch { directory, sinks } = open;
        let mut manifest = self.last.clone();
        manifest.epoch += 1;
        manifest.advance(commit.positions);
        manifest.records.clear();
        for (sink, (file, records)) in sinks {
            file.finish()?;
            manifest.records.insert(self.config.sinks[usize::from(sink)].clone(), records);
        }
        let path = epochs::complete(self.folder.path(), self.last.epoch);
        let before = (self.last.epoch > 0).then_some((path.as_path(), self.last.state_digest.as_str()));
        manifest.state_digest = state::merge(before, &directory, commit.state)?;
        manifest.write(&directory)?;
        sync_dir(&directory)?;
        Ok((manifest, directory))
    }

    /// Gives the epoch its name. From there on it counts, even where the system cannot say that the name is durable.
    fn publish(&mut self, manifest: Manifest, directory: &PathBuf) -> Result<CommitOutcome, FolderError> {
        let path = self.folder.path();
        let complete = epochs::complete(path, manifest.epoch);
        asked("rename", directory, fs::rename(directory, complete))?;
        if let Err(error) = sync_dir(path) {
            tracing::warn!(%error, hint = error.hint(), "nobody knows whether the epoch is durable");
            return Ok(CommitOutcome::Unknown);
        }
        epochs::forget_state(path, manifest.epoch);
        self.last = manifest;
        self.phase = Phase::Ready;
        Ok(CommitOutcome::Committed)
    }
}

impl Ledger for FolderLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        self.check_term()?;
        match self.phase {
            Phase::Open(_) => return Err(misuse("restore", "a transaction is open")),
            Phase::Unsettled => self.settle()?,
            Phase::Ready => {}
        }
        let restored = self.last.restore(self.folder.path(), partitions)?;
        self.phase = Phase::Ready;
        Ok(restored)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.check_term()?;
        if !matches!(self.phase, Phase::Ready) {
            return Err(misuse("begin", "restore or the end of the open transaction comes first"));
        }
        let directory = epochs::unfinished(self.folder.path(), self.last.epoch + 1);
        asked("create", &directory, fs::create_dir(&directory))?;
        self.phase = Phase::Open(OpenEpoch { directory, sinks: BTreeMap::new() });
        Ok(())
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.check_term()?;
        let Phase::Open(open) = &mut self.phase else { return Err(misuse("append", "no transaction is open")) };
        for record in records.iter() {
            let (file, written) = match open.sinks.entry(record.sink) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    let Some(name) = self.config.sinks.get(usize::from(record.sink)) else {
                        return Err(misuse("append", "there is no sink of that index"));
                    };
                    let path = open.directory.join(format!("{name}.ndjson"));
                    new.insert((DurableFile::create(path)?, 0))
                }
            };
            self.line.clear();
            lines::write(&record, &mut self.line);
            file.write(&self.line)?;
            *written += 1;
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        if self.check_term().is_err() {
            return Ok(CommitOutcome::Fenced);
        }
        let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Unsettled) else {
            return Err(misuse("commit", "no transaction is open"));
        };
        let (manifest, directory) = self.write_epoch(open, &commit)?;
        Ok(self.publish(manifest, &directory)?)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.check_term()?;
        let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Unsettled) else {
            return Err(misuse("abort", "no transaction is open"));
        };
        remove_dir(&open.directory)?;
        self.phase = Phase::Ready;
        Ok(())
    }
}
