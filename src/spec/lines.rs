//! Bytes of a text -> lines and columns. A line ends with `\n`, `\r\n` or a lone `\r`, as in YAML; columns count characters.

use super::problem::Place;

/// Where the lines of a text start.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends = |at: &usize| bytes[*at] == b'\n' || (bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        Self { text, starts: [0].into_iter().chain((0..bytes.len()).filter(ends).map(|at| at + 1)).collect() }
    }

    /// The place of some bytes; offsets beyond the text, or inside a character, are moved to the end before them.
    pub(super) fn place(&self, start: usize, end: usize) -> Place {
        let start = self.text.floor_char_boundary(start);
        let end = self.text.floor_char_boundary(end).max(start);
        let line = self.starts.partition_point(|line_start| *line_start <= start);
        let column = self.text[self.start_of(line)..start].chars().count() + 1;
        Place { start, end, line, column }
    }

    /// A line without its end, and the byte it starts at. Lines count from 1.
    pub(super) fn line(&self, line: usize) -> (usize, &'a str) {
        let start = self.start_of(line);
        (start, self.text[start..].split(['\n', '\r']).next().unwrap_or_default())
    }

    fn start_of(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }
}
