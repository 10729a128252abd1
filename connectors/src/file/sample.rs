//! A path or a pattern -> the first lines of the first file that it names, for whoever wants to learn how it is written:
//! also in which encoding, and what says so.

use std::path::Path;

use super::encoding::TextEncoding;
use super::format::FileFormat;
use super::paths::paths_of;
use super::recognise::{no_line, utf_16};
use super::rows::unreadable;
use super::table::LONE_RETURNS;
use super::text::TextFile;
use crate::source::SourceError;

/// What lines of JSON look like in two bytes a character without a mark.
const WIDE_JSON: &str = "holds zero bytes, as text in UTF-16 does; convert it: `iconv -f UTF-16LE -t UTF-8`";

/// What says that a file is not in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodingSign {
    /// Its byte order mark.
    Mark,
    /// Every other byte of its first line is zero.
    ZeroBytes,
    /// This line is no UTF-8. What it is instead is a guess.
    Line(i64),
}

/// The first lines of a file.
#[derive(Debug, Clone, Default)]
pub struct FirstLines {
    /// Their text, without ends of line. What cannot be read in the encoding is replaced.
    pub lines: Vec<String>,
    /// What they are written in.
    pub encoding: TextEncoding,
    /// What says so; nothing of UTF-8.
    pub sign: Option<EncodingSign>,
}

/// The first lines of the first file that a path or a pattern names. Of tables it is found out how they are encoded;
/// lines of JSON are UTF-8.
///
/// # Errors
/// [`SourceError::File`] where there is no such file, it cannot be read so far or is no text.
pub fn first_lines(pattern: &Path, count: usize) -> Result<FirstLines, SourceError> {
    let Some(path) = paths_of(pattern)?.into_iter().next() else { return Ok(FirstLines::default()) };
    let table = FileFormat::of(&path) == FileFormat::Csv;
    let (encoding, sign) = if table { encoding_of(&path, count)? } else { (TextEncoding::UTF_8, None) };
    let mut file = TextFile::open(&path, encoding)?;
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    while lines.len() < count && file.next_line(&mut line)?.is_some() {
        let reason = match table {
            _ if !lines.is_empty() => None,
            true => no_line(&line).or_else(|| line.contains(&b'\r').then(|| LONE_RETURNS.to_owned())),
            false => line.contains(&0).then(|| WIDE_JSON.to_owned()),
        };
        if let Some(reason) = reason {
            return Err(unreadable(&path, reason));
        }
        lines.push(String::from_utf8_lossy(&line).into_owned());
    }
    Ok(FirstLines { lines, encoding, sign })
}

/// How the first lines of a table are encoded. What is no UTF-8 is taken for Western Europe's: of encodings of one byte a
/// character nearly every text is text in all of them.
fn encoding_of(path: &Path, count: usize) -> Result<(TextEncoding, Option<EncodingSign>), SourceError> {
    let (mut file, marked) = TextFile::open_marked(path)?;
    if let Some(marked) = marked {
        return Ok((marked, (marked != TextEncoding::UTF_8).then_some(EncodingSign::Mark)));
    }
    let mut line = Vec::new();
    while let Some(number) = file.next_line(&mut line)?.filter(|number| *number <= count as i64) {
        if let Some(encoding) = utf_16(&line).filter(|_| number == 1) {
            return Ok((encoding, Some(EncodingSign::ZeroBytes)));
        }
        if std::str::from_utf8(&line).is_err() {
            return Ok((TextEncoding::WINDOWS_1252, Some(EncodingSign::Line(number))));
        }
    }
    Ok((TextEncoding::UTF_8, None))
}
