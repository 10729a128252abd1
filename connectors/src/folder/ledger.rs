//! Output records, positions and state -> one directory, complete once it has its name.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;

use super::disk::{asked, remove_dir, sync_dir};
use super::error::FolderError;
use super::lock::{Folder, Inner};
use super::manifest::Manifest;
use super::sink::{FolderSink, SinkFile};
use super::{epochs, state};
use crate::file::{FilesRead, ListedFile};
use crate::ledger::{Commit, CommitOutcome, Ledger, LedgerError, Records, Restored, misuse};
use crate::position::Partition;

/// Whose folder it is, and what goes there.
#[derive(Debug, Clone)]
pub struct FolderLedgerConfig {
    /// Name of the pipeline.
    pub pipeline: String,
    /// What is read, in the words of the one who asked for it: positions are in this input and in no other.
    pub input: String,
    /// What else decides which rows there are and which partition each lies in, in words; empty where nothing does.
    pub layout: String,
    /// The files of it that are there now, in their order; none where no files are read.
    pub files: Vec<ListedFile>,
    /// Partitions of each of the source's topics.
    pub partitions: Vec<u32>,
    /// The sinks by index.
    pub sinks: Vec<FolderSink>,
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
    sinks: BTreeMap<u16, (SinkFile, u64)>,
}

impl OpenEpoch {
    /// The file of a sink, made where it is the first time, and its number of records.
    fn file(&mut self, index: u16, sink: &FolderSink) -> Result<&mut (SinkFile, u64), FolderError> {
        match self.sinks.entry(index) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert((sink.create(&self.directory)?, 0))),
        }
    }
}

/// The ledger of a worker's slot. Dropping it leaves an unfinished epoch behind, as a crash does.
pub struct FolderLedger {
    folder: Folder,
    slot: String,
    config: FolderLedgerConfig,
    term: u64,
    phase: Phase,
}

impl FolderLedger {
    /// Takes the slot over from the ledger that was opened for it before.
    ///
    /// # Errors
    /// [`FolderError::Foreign`], [`FolderError::Input`], [`FolderError::Files`] and [`FolderError::Partitions`] where the folder's epochs are not ours
    /// to go on from.
    pub fn open(folder: &Folder, slot: &str, config: FolderLedgerConfig) -> Result<Self, FolderError> {
        let mut inner = folder.inner();
        let term = inner.next_term(slot);
        remove_dir(&epochs::unfinished(folder.path(), slot))?;
        let (folder, slot) = (folder.clone(), slot.to_owned());
        let ledger = Self { folder: folder.clone(), slot, config, term, phase: Phase::Unsettled };
        ledger.newest(&mut inner)?;
        drop(inner);
        Ok(ledger)
    }

    /// The newest complete epoch, or what stands for the one before the first.
    fn newest(&self, inner: &mut Inner) -> Result<Manifest, FolderError> {
        if let Some(last) = &inner.last {
            return Ok(last.clone());
        }
        let path = self.folder.path();
        let last = Manifest::newest(path)?.unwrap_or_else(|| Manifest::empty(&self.config));
        last.check(path, &self.config)?;
        inner.last = Some(last.clone());
        Ok(last)
    }

    fn check_term(&self, inner: &Inner) -> Result<(), LedgerError> {
        if inner.holds(&self.slot, self.term) { Ok(()) } else { Err(LedgerError::Fenced { slot: self.slot.clone() }) }
    }

    /// Makes an epoch of what was written, and gives it its name. From there on it counts, even where the system cannot say
    /// that the name is durable.
    fn publish(
        &mut self,
        inner: &mut Inner,
        directory: &Path,
        records: BTreeMap<String, u64>,
        commit: &mut Commit<'_>,
    ) -> Result<CommitOutcome, FolderError> {
        let path = self.folder.path();
        let last = self.newest(inner)?;
        let state_before = epochs::complete(path, last.epoch);
        let before = (last.epoch > 0).then_some((state_before.as_path(), last.state_digest.as_str()));
        let state_digest = state::merge(before, directory, &mut *commit.state)?;
        let layout = self.config.layout.clone();
        let mut manifest = Manifest { epoch: last.epoch + 1, layout, records, state_digest, ..last };
        manifest.advance(commit.positions);
        if let Some(read) = commit.group.and_then(|proof| proof.get::<FilesRead>()) {
            manifest.note_files(read);
        }
        manifest.write(directory)?;
        sync_dir(directory)?;
        asked("rename", directory, fs::rename(directory, epochs::complete(path, manifest.epoch)))?;
        if let Err(error) = sync_dir(path) {
            tracing::warn!(%error, hint = error.hint(), "nobody knows whether the epoch is durable");
            inner.last = None;
            return Ok(CommitOutcome::Unknown);
        }
        epochs::forget_state(path, manifest.epoch);
        inner.last = Some(manifest);
        self.phase = Phase::Ready;
        Ok(CommitOutcome::Committed)
    }
}

impl Ledger for FolderLedger {
    fn restore(&mut self, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let folder = self.folder.clone();
        let mut inner = folder.inner();
        self.check_term(&inner)?;
        if matches!(self.phase, Phase::Open(_)) {
            return Err(misuse("restore", "a transaction is open"));
        }
        let restored = self.newest(&mut inner)?.restore(folder.path(), partitions)?;
        self.phase = Phase::Ready;
        Ok(restored)
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        self.check_term(&self.folder.inner())?;
        if !matches!(self.phase, Phase::Ready) {
            return Err(misuse("begin", "restore or the end of the open transaction comes first"));
        }
        let directory = epochs::unfinished(self.folder.path(), &self.slot);
        // What a commit that failed has left.
        remove_dir(&directory)?;
        asked("create", &directory, fs::create_dir(&directory))?;
        self.phase = Phase::Open(OpenEpoch { directory, sinks: BTreeMap::new() });
        Ok(())
    }

    fn append(&mut self, records: &Records) -> Result<(), LedgerError> {
        self.check_term(&self.folder.inner())?;
        let Phase::Open(open) = &mut self.phase else { return Err(misuse("append", "no transaction is open")) };
        for record in records.iter() {
            let Some(sink) = self.config.sinks.get(usize::from(record.sink)) else {
                return Err(misuse("append", "there is no sink of that index"));
            };
            let (file, written) = open.file(record.sink, sink)?;
            file.line(&record)?;
            *written += 1;
        }
        for (index, sink) in (0..).zip(&self.config.sinks) {
            let Some(columns) = &sink.columns else { continue };
            let broken = |source: ArrowError| FolderError::Parquet {
                path: open.directory.join(&sink.name),
                cause: source.into(),
            };
            let rows = columns.batch(records, index).map_err(broken)?;
            if rows.num_rows() > 0 {
                open.file(index, sink)?.0.rows(&rows)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, mut commit: Commit<'_>) -> Result<CommitOutcome, LedgerError> {
        let folder = self.folder.clone();
        if self.check_term(&folder.inner()).is_err() {
            return Ok(CommitOutcome::Fenced);
        }
        let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Unsettled) else {
            return Err(misuse("commit", "no transaction is open"));
        };
        // The bulk of the epoch reaches the disk while other workers may commit.
        let mut records = BTreeMap::new();
        for (sink, (file, written)) in open.sinks {
            file.finish()?;
            records.insert(self.config.sinks[usize::from(sink)].name.clone(), written);
        }
        Ok(self.publish(&mut folder.inner(), &open.directory, records, &mut commit)?)
    }

    fn abort(&mut self) -> Result<(), LedgerError> {
        self.check_term(&self.folder.inner())?;
        let Phase::Open(open) = std::mem::replace(&mut self.phase, Phase::Unsettled) else {
            return Err(misuse("abort", "no transaction is open"));
        };
        remove_dir(&open.directory)?;
        self.phase = Phase::Ready;
        Ok(())
    }
}
