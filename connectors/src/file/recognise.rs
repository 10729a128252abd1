//! The first bytes of what should be text -> what it is instead, and what to do about that. Names alone say how a file is
//! read; here it is only told where they are wrong.

use std::path::Path;

use super::encoding::TextEncoding;

/// Beginnings of files that are no text, what they are, and what to do; `{}` stands for the file's name, `{stem}` for that without its
/// ending.
const SIGNATURES: [(&[u8], &str, &str); 9] = [
    (b"\x1f\x8b\x08", "gzip", "name it `{}.gz`"),
    (b"\x28\xb5\x2f\xfd", "zstd", "name it `{}.zst`"),
    (b"PAR1", "Parquet", "name it `{stem}.parquet`, and leave out what only goes with text: `csv`, `format`"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or CSV"),
    (
        b"PK\x03\x04",
        "a zip archive (Excel's `.xlsx` is one)",
        "unpack it (`unzip {}`), or save the sheet as `CSV UTF-8`",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of an old Excel", "save the sheet as `CSV UTF-8`"),
    (b"BZh91AY&SY", "bzip2", "unpack it: `bunzip2 {}`"),
    (b"\xfd7zXZ\x00", "xz", "unpack it: `unxz {}`"),
    (b"%PDF-", "a PDF document", "look for the table itself where it came from"),
];

/// Beginnings of web pages, which portals answer with where a link has moved.
const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];

/// Share of the bytes of a text that are zero where it is in UTF-16 and most of it ASCII: half of them. Less, for letters of
/// other scripts stand between.
const ZEROS: f64 = 0.3;

/// What a file is that begins so, and is no text, as a sentence without its subject.
pub(super) fn no_text(path: &Path, begins: &[u8]) -> Option<String> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((_, what, remedy)) = SIGNATURES.iter().find(|(signature, ..)| begins.starts_with(signature)) {
        return Some(format!("is {what} by its first bytes; {}", remedy.replace("{}", &name).replace("{stem}", &stem)));
    }
    let page = |start: &&[u8]| begins.len() >= start.len() && begins[..start.len()].eq_ignore_ascii_case(start);
    PAGES.iter().any(page).then(|| {
        "is a web page, not a table; its link may have moved, or ask for a login: look at it in a browser".to_owned()
    })
}

/// Which UTF-16 a line without a mark is in, by its zero bytes.
pub(super) fn utf_16(line: &[u8]) -> Option<TextEncoding> {
    let zeros = |odd: usize| line.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (high_first, low_first) = (zeros(0), zeros(1));
    let many = |count: usize, other: usize| count as f64 >= ZEROS * line.len() as f64 && other * 10 <= count;
    match () {
        () if many(low_first, high_first) => Some(TextEncoding::UTF_16LE),
        () if many(high_first, low_first) => Some(TextEncoding::UTF_16BE),
        () => None,
    }
}

/// Whether bytes that a text begins with are of UTF-8 and not of ASCII alone: in an encoding of one byte a character nobody
/// writes the two or three letters together that would read as one of UTF-8.
pub(super) fn is_utf_8(begins: &[u8]) -> bool {
    let valid = match std::str::from_utf8(begins) {
        Ok(text) => text.len(),
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Err(_) => 0,
    };
    !begins[..valid].is_ascii()
}

/// What there is to do about it, as a sentence without its subject.
pub(super) fn utf_8_declared_as(encoding: TextEncoding) -> String {
    format!(
        "is written in UTF-8 by its bytes, and `encoding: {0}` is declared: its letters would become other names. Remove `encoding`; where \
         other files of the pattern are in {0}, write this one anew (`iconv -f utf-8 -t {0}`)",
        encoding.label()
    )
}

/// Why a first line is no line of text, as a sentence without its subject.
pub(super) fn no_line(line: &[u8]) -> Option<String> {
    if let Some(encoding) = utf_16(line) {
        let remedy = declare(encoding);
        return Some(format!("holds zero bytes, as text in UTF-16 does; {remedy}"));
    }
    let control = |byte: &&u8| byte.is_ascii_control() && !b"\t\r\n\x0b\x0c".contains(byte);
    let found = line.iter().find(control)?;
    Some(format!(
        "is no text: its first line holds a byte {found:#04x}; look at what it is (`file`, `head -c 200`), and name it so"
    ))
}

/// How it is said that a file is in this encoding.
pub(super) fn declare(encoding: TextEncoding) -> String {
    format!("say so under `file`: `csv: {{ encoding: {} }}`", encoding.label())
}
