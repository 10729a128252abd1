//! The right to write into a folder: one process at a time, and in it the ledger that was opened last.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{asked, sync_dir};
use super::error::FolderError;

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
    /// Number of the ledger that may write.
    term: AtomicU64,
    /// The system gives the lock up with the file, however the process ends.
    _lock: File,
}

impl Folder {
    /// Creates the folder where it is missing, and takes its lock.
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
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), term: AtomicU64::new(0), _lock: lock }) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Starts the term of a new ledger and ends that of the one before.
    pub(super) fn next_term(&self) -> u64 {
        self.shared.term.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether a ledger's term is the present one.
    pub(super) fn holds(&self, term: u64) -> bool {
        self.shared.term.load(Ordering::Acquire) == term
    }
}
