//! What the disk or the folder refuses. Nothing here is cured by trying again at once, and nothing of it loses what an
//! earlier epoch holds.

use std::io;
use std::path::PathBuf;

use parquet::errors::ParquetError;

/// Why a folder cannot be used, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The operating system refused: no room, no permission, no such path.
    #[error("cannot {operation} `{}`: {cause}", .path.display())]
    Disk {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process works in it.
    #[error("folder `{}` is in use by another process", .path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// It belongs to another pipeline.
    #[error("folder `{}` belongs to pipeline `{found}`, not to `{expected}`", .path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants it.
        expected: String,
    },
    /// It was filled from something else: its positions mean other rows.
    #[error("folder `{}` was filled from `{found}`, not from `{expected}`", .path.display())]
    Input {
        /// The folder.
        path: PathBuf,
        /// What was read then.
        found: String,
        /// What is to be read now.
        expected: String,
    },
    /// It was filled from rows that were cut otherwise or lay in other partitions.
    #[error("folder `{}` was filled from rows made with {found}, and now they are made with {expected}", .path.display())]
    Layout {
        /// The folder.
        path: PathBuf,
        /// With what then.
        found: String,
        /// With what now.
        expected: String,
    },
    /// Files that were read are not as they were: its positions mean other rows.
    #[error("folder `{}` was filled from `{input}`, whose files have changed: {change}", .path.display())]
    Files {
        /// The folder.
        path: PathBuf,
        /// The path or pattern of the files.
        input: String,
        /// The first change.
        change: FileChange,
    },
    /// It was filled with another number of partitions: keys would move between them.
    #[error("folder `{}` was filled with {found:?} partitions, and there are {expected:?} now", .path.display())]
    Partitions {
        /// The folder.
        path: PathBuf,
        /// Partitions of each topic then.
        found: Vec<u32>,
        /// Partitions of each topic now.
        expected: Vec<u32>,
    },
    /// Rows cannot be written as columns.
    #[error("cannot write `{}`: {cause}", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the format's library said.
        cause: ParquetError,
    },
    /// A file in it is not what was written.
    #[error("`{}` is damaged: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: Damage,
    },
}

/// How files that were read are not as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileChange {
    /// One is not there any more.
    #[error("`{name}` was read and is gone")]
    Gone {
        /// The file.
        name: String,
    },
    /// One has come in between.
    #[error("`{name}` was not there and comes before `{before}`, which was read")]
    Inserted {
        /// The new file.
        name: String,
        /// The file whose place it has.
        before: String,
    },
    /// One is another file than the one of this name that was read.
    #[error("`{name}` does not begin as it did when it was read")]
    Replaced {
        /// The file.
        name: String,
    },
    /// One that is not the last has another length.
    #[error("`{name}` had {read} bytes when it was read and has {found}")]
    Resized {
        /// The file.
        name: String,
        /// Bytes then.
        read: u64,
        /// Bytes now.
        found: u64,
    },
}

/// What is wrong with a file of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Its bytes are others than those that were written.
    #[error("its digest is {found}, and {expected} was written")]
    Digest {
        /// Digest of the file.
        found: String,
        /// Digest in the manifest.
        expected: String,
    },
    /// It ends in the middle of an entry.
    #[error("it ends after {bytes} bytes, in the middle of an entry")]
    Short {
        /// Whole entries end here.
        bytes: u64,
    },
    /// It is no manifest.
    #[error("line {line}, column {column} is not what a manifest has there")]
    Manifest {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// It was written by a version of this program that came later.
    #[error("its format is version {found}, and this program reads version {known}")]
    Version {
        /// Version in the manifest.
        found: u32,
        /// Version that is known.
        known: u32,
    },
}

impl FolderError {
    /// What the operator should do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Disk { cause, .. } if is_full(cause) => {
                "make room, or raise the limit, and start again: nothing is lost, it goes on from the last epoch"
            }
            Self::Disk { .. } => "look at the path and its permissions and start again: it goes on from the last epoch",
            Self::Parquet { .. } => {
                "this is a defect of the engine, please report it; `format: ndjson` does without columns"
            }
            Self::Taken { .. } => "give each run a folder of its own, or wait until the other one ends",
            Self::Foreign { .. } => "name another folder: outputs and state of two pipelines cannot be told apart",
            Self::Input { .. } => "fill a new folder, or name the same input: it may have got more files at its end",
            Self::Layout { .. } => {
                "how far was read is a number of rows: undo the change, or fill a new folder from the start"
            }
            Self::Files { .. } => {
                "how far was read is a number of rows of all files in the order of their names: put those that were read back as \
                 they were and give new ones names that come last, or fill a new folder"
            }
            Self::Partitions { .. } => "use the same number of partitions, or fill a new folder from the start",
            Self::Damaged { .. } => {
                "remove the newest epoch's directory to go on from the one before it, or fill a new folder from the start"
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
