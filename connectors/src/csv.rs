//! Delimited text (RFC 4180) -> the cells of a record, for files of it and for messages of one record each.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// How cells are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvDialect {
    /// Between cells: one ASCII character.
    pub delimiter: u8,
    /// Around cells that hold a delimiter, a quote (doubled) or an end of line: one ASCII character.
    pub quote: u8,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"' }
    }
}

/// Reads one record after the other from text that comes in pieces. Keeps scratch memory as large as the largest record.
pub struct CsvParser {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    text_len: usize,
    cells: usize,
}

/// How far [`CsvParser::feed`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// The record goes on behind the piece.
    More,
    /// The record is complete.
    Record,
    /// The text has ended and no record was begun.
    End,
}

impl CsvParser {
    /// A parser at the start of a text.
    #[must_use]
    pub fn new(dialect: CsvDialect) -> Self {
        let reader = ReaderBuilder::new().delimiter(dialect.delimiter).quote(dialect.quote).build();
        Self { reader, text: vec![0; 1024], ends: vec![0; 64], text_len: 0, cells: 0 }
    }

    /// Starts another text.
    pub fn restart(&mut self) {
        self.reader.reset();
        self.begin();
    }

    /// Forgets the cells of the record before: the next piece begins another.
    pub fn begin(&mut self) {
        self.text_len = 0;
        self.cells = 0;
    }

    /// Reads on in the next piece, which is empty at the end of the text; also how many bytes of it belong to this
    /// record or to empty lines before it.
    pub fn feed(&mut self, piece: &[u8]) -> (Fed, usize) {
        let mut used = 0;
        loop {
            let (text, ends) = (&mut self.text[self.text_len..], &mut self.ends[self.cells..]);
            let (result, read, written, cells) = self.reader.read_record(&piece[used..], text, ends);
            used += read;
            self.text_len += written;
            self.cells += cells;
            match result {
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty => return (Fed::More, used),
                ReadRecordResult::Record => return (Fed::Record, used),
                ReadRecordResult::End => return (Fed::End, used),
            }
            // Nothing where something was would mean to the reader that the text has ended.
            if used == piece.len() && used > 0 {
                return (Fed::More, used);
            }
        }
    }

    /// Cells of the record.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Text of a cell without its quotes, empty where the record has no such cell.
    #[must_use]
    pub fn cell(&self, index: usize) -> &[u8] {
        if index >= self.cells {
            return &[];
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}
