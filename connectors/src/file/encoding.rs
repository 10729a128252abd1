//! Bytes of a text that is not in UTF-8 -> the same text in UTF-8, while it is read. Which encoding it is in is said by
//! whoever declares it, and guessed at nowhere here.

use std::io::{BufRead, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding};

/// Stands where bytes are no text in the declared encoding. No text in UTF-8 holds it, so the row that it is in is
/// refused as any other that cannot be read.
const NO_TEXT: u8 = 0xff;

/// How the characters of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl Default for TextEncoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl TextEncoding {
    /// What everything is in unless declared.
    pub const UTF_8: Self = Self(encoding_rs::UTF_8);
    /// Western Europe's of one byte a character, Latin-1 included: what Excel's `CSV` is there.
    pub const WINDOWS_1252: Self = Self(encoding_rs::WINDOWS_1252);
    /// Excel's `Unicode text`.
    pub const UTF_16LE: Self = Self(encoding_rs::UTF_16LE);
    /// The same, high bytes first.
    pub const UTF_16BE: Self = Self(encoding_rs::UTF_16BE);

    /// The encoding of a label of the WHATWG's Encoding Standard, in any case: `windows-1252`, `latin1`, `utf-16le`.
    #[must_use]
    pub fn of(label: &str) -> Option<Self> {
        Encoding::for_label_no_replacement(label.as_bytes()).map(Self)
    }

    /// Its label, as [`TextEncoding::of`] takes it.
    #[must_use]
    pub fn label(self) -> String {
        self.0.name().to_ascii_lowercase()
    }

    /// Whether each byte is a character.
    pub(super) fn is_of_bytes(self) -> bool {
        self.0.is_single_byte()
    }

    /// What the byte order mark says that a text begins with, and how long that is.
    pub(super) fn of_mark(begins: &[u8]) -> Option<(Self, usize)> {
        Encoding::for_bom(begins).map(|(encoding, length)| (Self(encoding), length))
    }

    /// The text in UTF-8. `bytes` is behind the byte order mark.
    pub(super) fn decode<R: BufRead>(self, bytes: R, buffer_bytes: usize) -> Utf8<R> {
        let decoder = self.0.new_decoder_without_bom_handling();
        Utf8 { bytes, decoder, text: vec![0; buffer_bytes], from: 0, to: 0, ended: false }
    }
}

/// A text that becomes UTF-8.
pub(super) struct Utf8<R> {
    bytes: R,
    decoder: Decoder,
    /// What was decoded and not taken yet stands from `from` to `to`.
    text: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
}

impl<R: BufRead> Utf8<R> {
    /// Decodes the next piece, which may come to nothing.
    fn decode_next(&mut self) -> std::io::Result<()> {
        let piece = self.bytes.fill_buf()?;
        let last = piece.is_empty();
        // One byte stays free for what is no text.
        let room = self.text.len() - 1;
        let (result, read, written) =
            self.decoder.decode_to_utf8_without_replacement(piece, &mut self.text[..room], last);
        self.bytes.consume(read);
        (self.from, self.to) = (0, written);
        match result {
            DecoderResult::InputEmpty => self.ended = last,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.text[written] = NO_TEXT;
                self.to += 1;
            }
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Utf8<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        while self.from == self.to && !self.ended {
            self.decode_next()?;
        }
        Ok(&self.text[self.from..self.to])
    }

    fn consume(&mut self, amount: usize) {
        self.from = (self.from + amount).min(self.to);
    }
}

impl<R: BufRead> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let text = self.fill_buf()?;
        let length = text.len().min(into.len());
        into[..length].copy_from_slice(&text[..length]);
        self.consume(length);
        Ok(length)
    }
}
