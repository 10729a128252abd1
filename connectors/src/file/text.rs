//! A file of text, compressed or not -> its lines, one at a time. Errors name file and line.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::encoding::TextEncoding;
use super::format::{Compression, FileFormat};
use super::recognise::{declare, is_utf_8, no_text, utf_8_declared_as};
use super::rows::unreadable;
use crate::source::SourceError;

/// Longest line and longest record, bytes: beyond it a file is not what its name says, and reading on would only fill
/// the memory.
pub(super) const RECORD_BYTES_MAX: usize = 16 << 20;

/// Bytes that are read, and decompressed, at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// A file being read.
pub(super) struct TextFile {
    path: PathBuf,
    compression: Compression,
    encoding: TextEncoding,
    /// The text, in UTF-8.
    reader: Box<dyn BufRead + Send>,
    /// Lines read so far.
    lines: i64,
}

impl TextFile {
    /// Opens the file, whose text is in this encoding, and steps over a byte order mark.
    pub(super) fn open(path: &Path, encoding: TextEncoding) -> Result<Self, SourceError> {
        let (mut opened, marked) = Self::open_marked(path)?;
        if let Some(marked) = marked.filter(|marked| *marked != encoding) {
            return Err(unreadable(path, otherwise(path, marked, encoding)));
        }
        if encoding != TextEncoding::UTF_8 {
            if encoding.is_of_bytes() && is_utf_8(opened.peek()?) {
                return Err(unreadable(path, utf_8_declared_as(encoding)));
            }
            opened.encoding = encoding;
            opened.reader = Box::new(encoding.decode(opened.reader, BUFFER_BYTES));
        }
        Ok(opened)
    }

    /// Opens the file and steps over a byte order mark; also the encoding that it says. The text stays as it is.
    pub(super) fn open_marked(path: &Path) -> Result<(Self, Option<TextEncoding>), SourceError> {
        let failed = |error: std::io::Error| unreadable(path, error.to_string());
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            let reason = format!("is a directory, not a file; to read those in it write `{}/*`", path.display());
            return Err(unreadable(path, reason));
        }
        let compression = Compression::of(path);
        let inner = BufReader::with_capacity(BUFFER_BYTES, file);
        let reader: Box<dyn BufRead + Send> = match compression {
            Compression::None => Box::new(inner),
            Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(inner))),
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_buffer(inner).map_err(failed)?;
                Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
            }
        };
        let encoding = TextEncoding::UTF_8;
        let mut opened = Self { path: path.to_owned(), compression, encoding, reader, lines: 0 };
        let begins = opened.peek()?;
        if let Some(reason) = no_text(path, begins) {
            return Err(unreadable(path, reason));
        }
        let marked = TextEncoding::of_mark(begins);
        opened.reader.consume(marked.map_or(0, |(_, length)| length));
        Ok((opened, marked.map(|(encoding, _)| encoding)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn encoding(&self) -> TextEncoding {
        self.encoding
    }

    /// What has been read from the disk and not been consumed; empty at the end.
    fn peek(&mut self) -> Result<&[u8], SourceError> {
        // Asked twice because the borrow of an error path would outlive the first answer; the second one is buffered.
        if let Err(error) = self.reader.fill_buf() {
            return Err(self.failed(&error));
        }
        self.reader.fill_buf().map_err(|error| unreadable(&self.path, error.to_string()))
    }

    /// The next line in place of what `line` held, without its end; its number from 1, `None` at the end.
    pub(super) fn next_line(&mut self, line: &mut Vec<u8>) -> Result<Option<i64>, SourceError> {
        line.clear();
        let limit = RECORD_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', line).map_err(|error| self.failed(&error))?;
        if read == 0 {
            return Ok(None);
        }
        self.lines += 1;
        if read as u64 == limit && line.last() != Some(&b'\n') {
            return Err(self.too_long(self.lines));
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(self.lines))
    }

    /// The record that begins on this line has no end within the limit.
    pub(super) fn too_long(&self, line: i64) -> SourceError {
        let reason = format!(
            "line {line} is longer than {RECORD_BYTES_MAX} bytes, the most that a row may have; \
             write every row on a line of its own"
        );
        unreadable(&self.path, reason)
    }

    fn failed(&self, error: &std::io::Error) -> SourceError {
        let (line, compression) = (self.lines + 1, self.compression.name());
        let reason = match (self.compression, error.kind()) {
            (Compression::None, _) => format!("cannot be read at line {line}: {error}"),
            (_, ErrorKind::UnexpectedEof) => {
                format!("is cut short: its {compression} data ends in the middle, at line {line}; copy it again")
            }
            _ => format!("cannot be read as {compression}, at line {line}: {error}; its name says {compression}"),
        };
        unreadable(&self.path, reason)
    }
}

/// Why a file cannot be read in an encoding that is not the one its byte order mark says.
fn otherwise(path: &Path, marked: TextEncoding, declared: TextEncoding) -> String {
    let name = path.display();
    let file_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if marked == TextEncoding::UTF_8 {
        let declared = declared.label();
        return format!(
            "begins with the mark of UTF-8, where `encoding` says {declared}; remove `encoding`, or read files that are \
             written otherwise as a source of their own"
        );
    }
    if FileFormat::of(path) == FileFormat::Csv {
        return format!("is written in UTF-16, as Excel's `Unicode text` is; {}", declare(marked));
    }
    format!("is written in UTF-16; convert it: `iconv -f UTF-16 -t UTF-8 {name} > utf-8-{file_name}`")
}
