//! The state before and its changes -> the state after, in one pass: never more in memory than one value and the changes.
//!
//! An entry is topic (u16), partition (i32), bytes of the key and of the value (u32 each), key, value, all numbers
//! little-endian. Entries are in the order of (topic, partition, key), each key once.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use super::disk::{DurableFile, asked};
use super::error::{Damage, FolderError};
use crate::ledger::StateRecord;
use crate::position::Partition;

/// Name of the file.
pub(super) const STATE_FILE: &str = "state.bin";
/// Bytes of an entry before its key.
const HEAD_BYTES: usize = 14;

/// State records by partition, each partition's in the order of their keys.
type ByPartition = BTreeMap<Partition, Vec<(Vec<u8>, Vec<u8>)>>;

type Place = (Partition, Vec<u8>);

/// State of some partitions in an epoch's directory.
///
/// # Errors
/// The file is gone, or not what `digest` says was written.
pub(super) fn read(epoch: &Path, digest: &str, partitions: &[Partition]) -> Result<ByPartition, FolderError> {
    let mut reader = Reader::open(epoch)?;
    let mut found = ByPartition::new();
    while let Some(((partition, key), value)) = reader.next()? {
        if partitions.contains(&partition) {
            found.entry(partition).or_default().push((key, value));
        }
    }
    reader.check(digest)?;
    Ok(found)
}

/// Writes the state after `changes` to the state of the epoch `before` into the directory `after`; returns its digest.
///
/// # Errors
/// What the disk refuses; the state before is gone or damaged.
pub(super) fn merge(
    before: Option<(&Path, &str)>,
    after: &Path,
    changes: &mut dyn Iterator<Item = StateRecord>,
) -> Result<String, FolderError> {
    // Of several changes to a key the last one counts.
    let newest: BTreeMap<Place, Option<Vec<u8>>> =
        changes.map(|change| ((change.partition, change.key), change.value)).collect();
    let mut changes = newest.into_iter().peekable();
    let mut writer = Writer::create(after)?;
    if let Some((before, digest)) = before {
        let mut reader = Reader::open(before)?;
        while let Some((place, value)) = reader.next()? {
            write_until(&mut changes, Some(&place), &mut writer)?;
            match changes.next_if(|(changed, _)| *changed == place) {
                Some((_, Some(value))) => writer.put(&place, &value)?,
                Some((_, None)) => {}
                None => writer.put(&place, &value)?,
            }
        }
        reader.check(digest)?;
    }
    write_until(&mut changes, None, &mut writer)?;
    writer.finish()
}

/// Writes the changes that come before a place.
fn write_until(
    changes: &mut Peekable<impl Iterator<Item = (Place, Option<Vec<u8>>)>>,
    end: Option<&Place>,
    writer: &mut Writer,
) -> Result<(), FolderError> {
    while let Some((place, value)) = changes.next_if(|(place, _)| end.is_none_or(|end| place < end)) {
        if let Some(value) = value {
            writer.put(&place, &value)?;
        }
    }
    Ok(())
}

struct Writer {
    file: DurableFile,
    digest: blake3::Hasher,
}

impl Writer {
    fn create(epoch: &Path) -> Result<Self, FolderError> {
        Ok(Self { file: DurableFile::create(epoch.join(STATE_FILE))?, digest: blake3::Hasher::new() })
    }

    fn put(&mut self, (partition, key): &Place, value: &[u8]) -> Result<(), FolderError> {
        let mut head = [0; HEAD_BYTES];
        head[..2].copy_from_slice(&partition.topic.to_le_bytes());
        head[2..6].copy_from_slice(&partition.number.to_le_bytes());
        // A block is tens of kB: its length fits.
        head[6..10].copy_from_slice(&(key.len() as u32).to_le_bytes());
        head[10..].copy_from_slice(&(value.len() as u32).to_le_bytes());
        for bytes in [&head, key.as_slice(), value] {
            self.digest.update(bytes);
            self.file.write(bytes)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<String, FolderError> {
        self.file.finish()?;
        Ok(self.digest.finalize().to_hex().to_string())
    }
}

struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    digest: blake3::Hasher,
    /// Bytes of whole entries read.
    bytes: u64,
}

impl Reader {
    fn open(epoch: &Path) -> Result<Self, FolderError> {
        let path = epoch.join(STATE_FILE);
        let file = asked("open", &path, File::open(&path))?;
        Ok(Self { path, file: BufReader::new(file), digest: blake3::Hasher::new(), bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<(Place, Vec<u8>)>, FolderError> {
        let mut head = [0; HEAD_BYTES];
        let got = asked("read", &self.path, self.file.by_ref().take(HEAD_BYTES as u64).read(&mut head[..1]))?;
        if got == 0 {
            return Ok(None);
        }
        self.fill(&mut head[1..])?;
        let [t0, t1, n0, n1, n2, n3, k0, k1, k2, k3, v0, v1, v2, v3] = head;
        let topic = u16::from_le_bytes([t0, t1]);
        let number = i32::from_le_bytes([n0, n1, n2, n3]);
        let key = self.take(u32::from_le_bytes([k0, k1, k2, k3]))?;
        let value = self.take(u32::from_le_bytes([v0, v1, v2, v3]))?;
        for bytes in [&head, key.as_slice(), &value] {
            self.digest.update(bytes);
            self.bytes += bytes.len() as u64;
        }
        Ok(Some(((Partition { topic, number }, key), value)))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), FolderError> {
        match self.file.read_exact(bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(self.short()),
            answer => asked("read", &self.path, answer),
        }
    }

    /// So many bytes; what a damaged length promises is not allocated before it is there.
    fn take(&mut self, length: u32) -> Result<Vec<u8>, FolderError> {
        let mut bytes = Vec::new();
        let got = asked("read", &self.path, self.file.by_ref().take(u64::from(length)).read_to_end(&mut bytes))?;
        if got < length as usize { Err(self.short()) } else { Ok(bytes) }
    }

    fn short(&self) -> FolderError {
        FolderError::Damaged { path: self.path.clone(), reason: Damage::Short { bytes: self.bytes } }
    }

    /// Compares what was read to its end with what was written.
    fn check(&self, expected: &str) -> Result<(), FolderError> {
        let found = self.digest.finalize().to_hex().to_string();
        if found == expected {
            return Ok(());
        }
        let reason = Damage::Digest { found, expected: expected.to_owned() };
        Err(FolderError::Damaged { path: self.path.clone(), reason })
    }
}
