//! The right to write into a folder: one process at a time, and in it for each slot the ledger that was opened last. The
//! ledgers of several slots add their epochs one after the other.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{asked, sync_dir};
use super::epochs;
use super::error::FolderError;
use super::manifest::Manifest;

/// Name of the file that is locked. It stays: a file that is removed can be locked twice.
const FILE: &str = "lock";

/// A folder that this process has to itself until the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Folder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    inner: Mutex<Inner>,
    /// The system gives the lock up with the file, however the process ends.
    _lock: File,
}

/// What the ledgers of a folder share.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Number of the ledger that may write for a slot.
    terms: BTreeMap<String, u64>,
    /// The newest complete epoch; `None` before anybody has looked, or where nobody knows what is durable.
    pub(super) last: Option<Manifest>,
}

impl Inner {
    /// Starts the term of a new ledger of a slot and ends that of the one before.
    pub(super) fn next_term(&mut self, slot: &str) -> u64 {
        let term = self.terms.entry(slot.to_owned()).or_default();
        *term += 1;
        *term
    }

    /// Whether a ledger's term is its slot's present one.
    pub(super) fn holds(&self, slot: &str, term: u64) -> bool {
        self.terms.get(slot) == Some(&term)
    }
}

impl Folder {
    /// Creates the folder where it is missing, takes its lock and removes what crashes have left.
    ///
    /// # Errors
    /// [`FolderError::Taken`] where another process has it; [`FolderError::Disk`] where it cannot be made.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        asked("create", path, fs::create_dir_all(path))?;
        let file = path.join(FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = asked("open", &file, lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::Taken { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return asked("lock", &file, Err(error)),
        }
        // The folder itself must not be lost with its first epoch in it.
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        epochs::remove_unfinished(path)?;
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), inner: Mutex::default(), _lock: lock }) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// What the ledgers share; held while an epoch gets its number and its name.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
