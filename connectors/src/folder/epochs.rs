//! Epochs of a folder: their names, which are there, and whose state is not needed any more.

use std::fs;
use std::path::{Path, PathBuf};

use super::disk::{asked, remove_dir, remove_file};
use super::error::FolderError;
use super::state::STATE_FILE;

/// Epochs whose state is kept, the newest: one to go on from, and one more should the disk lose the first.
const STATES_KEPT: u64 = 2;
/// What an epoch's directory is called before its number.
const PREFIX: &str = "epoch-";
/// What it is called after its slot until it is complete.
const UNFINISHED: &str = ".unfinished";

/// Directory of a complete epoch.
pub(super) fn complete(folder: &Path, epoch: u64) -> PathBuf {
    // Ten digits: their order as text is that of the numbers.
    folder.join(format!("{PREFIX}{epoch:010}"))
}

/// Directory of the epoch that the ledger of a slot is writing: it gets its number when it is complete.
pub(super) fn unfinished(folder: &Path, slot: &str) -> PathBuf {
    folder.join(format!("{slot}{UNFINISHED}"))
}

/// The highest complete epoch.
pub(super) fn newest(folder: &Path) -> Result<Option<u64>, FolderError> {
    Ok(numbers(folder)?.into_iter().max())
}

/// The complete epochs, in no order.
pub(super) fn numbers(folder: &Path) -> Result<Vec<u64>, FolderError> {
    Ok(names(folder)?.into_iter().filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect())
}

/// Removes what crashes have left: epochs and marks that did not get their names, and state that nothing goes on from.
pub(super) fn remove_unfinished(folder: &Path) -> Result<(), FolderError> {
    for path in names(folder)?.into_iter().filter(|name| name.ends_with(UNFINISHED)).map(|name| folder.join(name)) {
        if path.is_dir() { remove_dir(&path)? } else { remove_file(&path)? }
    }
    let epochs = numbers(folder)?;
    let newest = epochs.iter().max().copied().unwrap_or_default();
    epochs.into_iter().filter(|epoch| epoch + STATES_KEPT <= newest).for_each(|epoch| remove_state(folder, epoch));
    Ok(())
}

/// Removes the state of the epoch that is one too many now.
pub(super) fn forget_state(folder: &Path, newest: u64) {
    if let Some(epoch) = newest.checked_sub(STATES_KEPT) {
        remove_state(folder, epoch);
    }
}

/// Where it cannot be removed it only takes room.
fn remove_state(folder: &Path, epoch: u64) {
    let path = complete(folder, epoch).join(STATE_FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "old state cannot be removed");
        }
        _ => {}
    }
}

fn names(folder: &Path) -> Result<Vec<String>, FolderError> {
    let entries = asked("list", folder, fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>))?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}
