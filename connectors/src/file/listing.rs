//! A path or a pattern -> its files as a later run has to find them again. Positions count the rows of all files in their
//! order, so a file that goes, grows or comes in between would move the rows of those after it.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::paths::paths_of;
use super::rows::unreadable;
use crate::source::SourceError;

/// Bytes that tell one file from another of the same name: its header and some rows.
const HEAD_BYTES: u64 = 4096;

/// A file that stands for rows of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Its path below the folder that the pattern names.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Digest of its first 4,096 bytes, or of all of a shorter file: another file of the same name begins otherwise.
    pub head: String,
    /// Where it lies; of one that was read by an earlier run nowhere.
    #[serde(skip)]
    path: PathBuf,
}

impl ListedFile {
    /// Whether it begins with the bytes that `read` began with.
    pub(crate) fn begins_as(&self, read: &Self) -> Result<bool, std::io::Error> {
        if self.bytes == read.bytes || self.bytes.min(read.bytes) >= HEAD_BYTES {
            return Ok(self.head == read.head);
        }
        Ok(read.bytes < self.bytes && head_of(&self.path, read.bytes)? == read.head)
    }
}

/// Digest of the first bytes of a file, [`HEAD_BYTES`] at most.
fn head_of(path: &Path, bytes: u64) -> Result<String, std::io::Error> {
    let mut head = Vec::new();
    File::open(path)?.take(bytes.min(HEAD_BYTES)).read_to_end(&mut head)?;
    Ok(blake3::hash(&head).to_hex().to_string())
}

/// The files that rows were read of so far, in their order: what a reader tells its ledger at a commit.
pub(crate) struct FilesRead {
    listing: Arc<[ListedFile]>,
    count: usize,
}

impl FilesRead {
    /// The first `count` files.
    pub(super) fn new(listing: &Arc<[ListedFile]>, count: usize) -> Self {
        Self { listing: Arc::clone(listing), count: count.min(listing.len()) }
    }

    pub(crate) fn files(&self) -> &[ListedFile] {
        &self.listing[..self.count]
    }
}

/// The files of a path or a pattern, in their order.
///
/// # Errors
/// [`SourceError::File`] where there is none, or the system does not tell how long one is.
pub fn listing(pattern: &Path) -> Result<Vec<ListedFile>, SourceError> {
    list(pattern, &paths_of(pattern)?)
}

/// As [`listing`], of files that have been found.
pub(super) fn list(pattern: &Path, paths: &[PathBuf]) -> Result<Vec<ListedFile>, SourceError> {
    let folder = folder_of(pattern);
    let listed = |path: &PathBuf| {
        let failed = |error: std::io::Error| unreadable(path, error.to_string());
        let bytes = path.metadata().map_err(failed)?.len();
        let head = head_of(path, HEAD_BYTES).map_err(failed)?;
        let name = path.strip_prefix(&folder).unwrap_or(path).display().to_string();
        Ok(ListedFile { name, bytes, head, path: path.clone() })
    };
    paths.iter().map(listed).collect()
}

/// What stands in front of the first part that may be a pattern; of a plain path its folder.
fn folder_of(pattern: &Path) -> PathBuf {
    let plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    pattern.parent().map(|parent| parent.components().take_while(plain).collect()).unwrap_or_default()
}
