//! What an epoch says about itself: whose it is, where the next one goes on, and what its state must look like.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::{DurableFile, asked, remove_file, sync_dir};
use super::error::{Damage, FileChange, FolderError};
use super::ledger::FolderLedgerConfig;
use super::{epochs, state};
use crate::file::{FilesRead, ListedFile};
use crate::ledger::{LedgerError, Restored};
use crate::position::{Partition, Position};

/// Name of the file.
const FILE: &str = "manifest.json";
/// Name of the folder's own file that tells which epoch was the last of a run that read everything.
const FINISHED: &str = "finished";
/// Version of the folder's layout.
const VERSION: u32 = 1;

/// An epoch's own description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub(super) version: u32,
    /// The pipeline that wrote it.
    pub pipeline: String,
    /// What was read.
    pub input: String,
    /// What else decides which rows there are and which partition each lies in, in words; empty where it was not noted.
    #[serde(default)]
    pub layout: String,
    /// The files whose rows the positions count, where files were read: those that come after them may change.
    #[serde(default)]
    pub files: Vec<ListedFile>,
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Partitions of each of the source's topics.
    pub partitions: Vec<u32>,
    /// Where each partition goes on that has been read from.
    pub positions: Vec<Position>,
    /// Records in this epoch by sink; sinks without any are left out.
    pub records: BTreeMap<String, u64>,
    /// Digest of the state file, blake3 in hex.
    pub state_digest: String,
}

impl Manifest {
    /// Before the first epoch: nothing was read.
    pub(super) fn empty(config: &FolderLedgerConfig) -> Self {
        Self {
            version: VERSION,
            pipeline: config.pipeline.clone(),
            input: config.input.clone(),
            layout: config.layout.clone(),
            files: Vec::new(),
            epoch: 0,
            partitions: config.partitions.clone(),
            positions: Vec::new(),
            records: BTreeMap::new(),
            state_digest: String::new(),
        }
    }

    /// What the newest complete epoch of a folder says; `None` where there is none or no folder. Takes no lock: an epoch
    /// never changes.
    ///
    /// # Errors
    /// A folder that cannot be listed, or a manifest that cannot be read.
    pub fn newest(folder: &Path) -> Result<Option<Self>, FolderError> {
        if !folder.exists() {
            return Ok(None);
        }
        epochs::newest(folder)?.map(|epoch| Self::read(&epochs::complete(folder, epoch))).transpose()
    }

    /// Records by sink in all epochs of a folder; sinks without any are left out.
    ///
    /// # Errors
    /// As [`Manifest::newest`].
    pub fn records_in_all(folder: &Path) -> Result<BTreeMap<String, u64>, FolderError> {
        let mut all = BTreeMap::new();
        if !folder.exists() {
            return Ok(all);
        }
        for epoch in epochs::numbers(folder)? {
            for (sink, records) in Self::read(&epochs::complete(folder, epoch))?.records {
                *all.entry(sink).or_default() += records;
            }
        }
        Ok(all)
    }

    /// Notes durably that a run has read everything there was, up to the newest epoch; nothing where there is none.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn mark_finished(folder: &Path) -> Result<(), FolderError> {
        let Some(newest) = Self::newest(folder)? else { return Ok(()) };
        let (path, fresh) = (folder.join(FINISHED), folder.join("finished.unfinished"));
        remove_file(&fresh)?;
        let mut file = DurableFile::create(fresh.clone())?;
        file.write(newest.mark().as_bytes())?;
        file.finish()?;
        asked("rename", &fresh, fs::rename(&fresh, &path))?;
        sync_dir(folder)
    }

    /// Whether this epoch is the last of a run that read everything.
    ///
    /// # Errors
    /// A mark that is there and cannot be read.
    pub fn is_finished(&self, folder: &Path) -> Result<bool, FolderError> {
        let path = folder.join(FINISHED);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            answer => Ok(asked("read", &path, answer)? == self.mark()),
        }
    }

    fn mark(&self) -> String {
        format!("epoch {} state {}\n", self.epoch, self.state_digest)
    }

    /// The position and state of a partition as of this epoch, whose folder is given.
    ///
    /// # Errors
    /// A state file that is gone or damaged.
    pub fn restore(&self, folder: &Path, partitions: &[Partition]) -> Result<Vec<Restored>, LedgerError> {
        let mut found = BTreeMap::new();
        if self.epoch > 0 {
            found = state::read(&epochs::complete(folder, self.epoch), &self.state_digest, partitions)?;
        }
        let restored = |partition: &Partition| Restored {
            partition: *partition,
            next_offset: self.next_offset(*partition),
            state: found.remove(partition).unwrap_or_default(),
        };
        Ok(partitions.iter().map(restored).collect())
    }

    /// Rows that were read from all partitions, where these begin at offset 0.
    #[must_use]
    pub fn rows_read(&self) -> u64 {
        self.positions.iter().map(|position| position.next_offset.unsigned_abs()).sum()
    }

    fn next_offset(&self, partition: Partition) -> Option<i64> {
        self.positions.iter().find(|position| position.partition == partition).map(|position| position.next_offset)
    }

    /// Takes over where partitions have moved to.
    pub(super) fn advance(&mut self, positions: &[Position]) {
        let mut all: BTreeMap<Partition, Position> = self.positions.iter().map(|one| (one.partition, *one)).collect();
        all.extend(positions.iter().map(|one| (one.partition, *one)));
        self.positions = all.into_values().collect();
    }

    /// Takes over which files were read, where this reader has come as far as those before it.
    pub(super) fn note_files(&mut self, read: &FilesRead) {
        if read.files().len() >= self.files.len() {
            self.files = read.files().to_vec();
        }
    }

    /// Refuses files that are not those whose rows were counted: the last of them may have grown, and others may come
    /// after it.
    fn check_files(&self, now: &[ListedFile]) -> Result<(), FileChange> {
        let replaced = |found: &ListedFile, read| !found.begins_as(read).is_ok_and(|same| same);
        for (index, read) in self.files.iter().enumerate() {
            let (name, last) = (read.name.clone(), index + 1 == self.files.len());
            match now.get(index) {
                Some(found) if found.name == name && !last && found.bytes != read.bytes => {
                    return Err(FileChange::Resized { name, read: read.bytes, found: found.bytes });
                }
                Some(found) if found.name == name && replaced(found, read) => {
                    return Err(FileChange::Replaced { name });
                }
                Some(found) if found.name == name => {}
                Some(found) if now.iter().any(|one| one.name == name) => {
                    return Err(FileChange::Inserted { name: found.name.clone(), before: name });
                }
                _ => return Err(FileChange::Gone { name }),
            }
        }
        Ok(())
    }

    /// Refuses a folder of another pipeline.
    ///
    /// # Errors
    /// [`FolderError::Foreign`].
    pub fn check_owner(&self, folder: &Path, pipeline: &str) -> Result<(), FolderError> {
        if self.pipeline == pipeline {
            return Ok(());
        }
        let (path, found, expected) = (folder.to_owned(), self.pipeline.clone(), pipeline.to_owned());
        Err(FolderError::Foreign { path, found, expected })
    }

    /// Refuses a folder of another pipeline, of another input, of other files or of another number of partitions.
    pub(super) fn check(&self, folder: &Path, config: &FolderLedgerConfig) -> Result<(), FolderError> {
        self.check_owner(folder, &config.pipeline)?;
        let FolderLedgerConfig { input, layout, partitions, files, .. } = config.clone();
        let (path, found) = (folder.to_owned(), self.clone());
        // What the files are is compared below: a pattern may have taken the place of a path.
        if found.input != input && found.files.is_empty() {
            return Err(FolderError::Input { path, found: found.input, expected: input });
        }
        if !found.layout.is_empty() && found.layout != layout {
            return Err(FolderError::Layout { path, found: found.layout, expected: layout });
        }
        if found.partitions != partitions {
            return Err(FolderError::Partitions { path, found: found.partitions, expected: partitions });
        }
        self.check_files(&files).map_err(|change| FolderError::Files { path, input, change })
    }

    fn read(epoch: &Path) -> Result<Self, FolderError> {
        let path = epoch.join(FILE);
        let bytes = asked("read", &path, fs::read(&path))?;
        let damaged = |reason| FolderError::Damaged { path: path.clone(), reason };
        let manifest: Self = serde_json::from_slice(&bytes)
            .map_err(|error| damaged(Damage::Manifest { line: error.line(), column: error.column() }))?;
        if manifest.version != VERSION {
            return Err(damaged(Damage::Version { found: manifest.version, known: VERSION }));
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, epoch: &Path) -> Result<(), FolderError> {
        let mut file = DurableFile::create(epoch.join(FILE))?;
        let text = asked("write", epoch, serde_json::to_vec_pretty(self).map_err(io::Error::from))?;
        file.write(&text)?;
        file.write(b"\n")?;
        file.finish()
    }
}
