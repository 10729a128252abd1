//! Calls of the file system that say what was asked and of which path, and files whose writing ends with a sync.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::FolderError;

/// Bytes gathered before the system is called.
const BUFFER_BYTES: usize = 256 << 10;

/// Adds to an error what was asked.
pub(super) fn asked<T>(operation: &'static str, path: &Path, answer: io::Result<T>) -> Result<T, FolderError> {
    answer.map_err(|cause| FolderError::Disk { operation, path: path.to_owned(), cause })
}

/// Makes the entries of a directory durable.
pub(super) fn sync_dir(path: &Path) -> Result<(), FolderError> {
    asked("sync", path, File::open(path).and_then(|dir| dir.sync_all()))
}

/// Removes a directory with all that is in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), FolderError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        answer => asked("remove", path, answer),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove_file(path: &Path) -> Result<(), FolderError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        answer => asked("remove", path, answer),
    }
}

/// A new file that is durable once [`DurableFile::finish`] has returned.
pub(super) struct DurableFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl DurableFile {
    pub(super) fn create(path: PathBuf) -> Result<Self, FolderError> {
        let file = asked("create", &path, File::create_new(&path))?;
        Ok(Self { path, file: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), FolderError> {
        asked("write", &self.path, self.file.write_all(bytes))
    }

    pub(super) fn finish(self) -> Result<(), FolderError> {
        let Self { path, file } = self;
        let file = asked("write", &path, file.into_inner().map_err(io::IntoInnerError::into_error))?;
        asked("sync", &path, file.sync_all())
    }
}

/// For writers that take any: their errors do not name the file.
impl Write for DurableFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
