//! The folder that a run would write -> whether this user can, found by doing it: a directory is made beside where the
//! first epoch would stand, a file written into it and synced, and all of it removed. Deliberately absent: the run's lock,
//! which a run beside it may hold.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use arterial_connectors::kafka::Finding;
use rustix::fs::{Access, access, statvfs};

/// Below this much room somebody should look.
const ROOM_BYTES: u64 = 1 << 30;

/// What the probe writes: more than any file system keeps in a directory entry, so that a full disk and a quota refuse it.
const PROBE_BYTES: usize = 64 << 10;

/// What the ledger keeps in a folder besides epochs.
const LOCK: &str = "lock";
/// What that is called which a start of the ledger removes.
const UNFINISHED: &str = ".unfinished";

/// Why the folder cannot be written: what was tried, on what, and the system's answer.
struct Refused {
    tried: &'static str,
    path: PathBuf,
    cause: io::Error,
}

/// Whether files can be made in the folder, or in that in which it will be made, and how much room there is.
pub(super) fn check(folder: &Path) -> Finding {
    let user = user();
    let Some(place) = existing(folder) else {
        let remedy = "name a folder on a disk that is there".to_owned();
        return Finding::fail("disk", format!("nothing of `{}` exists", folder.display()), remedy);
    };
    if let Err(refused) = probe(&place).and_then(|()| check_taken_over(folder)) {
        return explained(&refused, &place, &user);
    }
    let shown = place.display();
    let room = match statvfs(&place) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            let remedy = "look at the disk".to_owned();
            return Finding::warn("disk", format!("nobody says how much room `{shown}` has: {error}"), remedy);
        }
    };
    let says = format!("{user} can write in `{shown}`, where {:.1} GB are free", room as f64 / 1e9);
    if room >= ROOM_BYTES {
        return Finding::ok("disk", says);
    }
    let remedy = "make room: outputs grow, and two epochs keep their state, about 1 kB per sensor each".to_owned();
    Finding::warn("disk", says, remedy)
}

/// Does what an epoch needs: a directory, a file in it that is synced, and another name for the directory.
fn probe(place: &Path) -> Result<(), Refused> {
    let asked = |tried, path: &Path, answer: io::Result<()>| {
        answer.map_err(|cause| Refused { tried, path: path.to_owned(), cause })
    };
    let process = std::process::id();
    // Were the probe killed, the next run's start would remove what is called so.
    let made = place.join(format!("doctor-{process}{UNFINISHED}"));
    let named = place.join(format!("doctor-{process}-named{UNFINISHED}"));
    let file = made.join("probe");
    let tried = asked("create a directory in", place, fs::create_dir(&made))
        .and_then(|()| asked("write a file in", place, write(&file)))
        .and_then(|()| asked("rename a directory in", place, fs::rename(&made, &named)));
    remove(&[&made, &named]);
    tried
}

/// What is left behind where this fails as well is told by whatever failed first.
fn remove(directories: &[&Path]) {
    for directory in directories {
        let _ = fs::remove_dir_all(directory);
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(&vec![0; PROBE_BYTES])?;
    file.sync_all()
}

/// Whether what an earlier run has left is this user's, too: a run locks the one file and removes the others.
fn check_taken_over(folder: &Path) -> Result<(), Refused> {
    let lock = folder.join(LOCK);
    let refused = |tried, path: &Path, cause| Refused { tried, path: path.to_owned(), cause };
    match OpenOptions::new().write(true).open(&lock) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(refused("open", &lock, cause)),
        _ => {}
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(UNFINISHED)) {
        let writable = access(&path, Access::WRITE_OK | Access::EXEC_OK);
        writable.map_err(|error| refused("remove", &path, error.into()))?;
    }
    Ok(())
}

fn explained(refused: &Refused, place: &Path, user: &str) -> Finding {
    use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let Refused { tried, path, cause } = refused;
    let said = format!("{user} cannot {tried} `{}`: {cause}", path.display());
    let owner = fs::metadata(path).map(|metadata| named(metadata.uid())).unwrap_or_else(|_| "nobody".to_owned());
    let remedy = match cause.kind() {
        PermissionDenied => format!(
            "it belongs to {owner}: run as that user, or give it to this one (`chown -R {} {}`)",
            user_id().map_or_else(|| "USER".to_owned(), |id| id.to_string()),
            path.display()
        ),
        StorageFull | QuotaExceeded => "the disk or the user's share of it is full: make room there".to_owned(),
        FileTooLarge => "files are limited in size (`ulimit -f`): raise the limit".to_owned(),
        ReadOnlyFilesystem => format!("`{}` is mounted for reading only: mount it for writing", place.display()),
        _ => "name a folder on a disk that can be written".to_owned(),
    };
    Finding::fail("disk", said, remedy)
}

/// The folder, or the nearest above it that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|place| place.exists()).map(Path::to_owned)
}

/// Whom this process works for; Linux says it by its own directory in /proc.
fn user_id() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}

fn user() -> String {
    user_id().map_or_else(|| "this user".to_owned(), named)
}

/// A user by number, and by name where this machine's own list has it.
fn named(id: u32) -> String {
    let list = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("user {id}"), |name| format!("user {name} ({id})"))
}
