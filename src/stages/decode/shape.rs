//! The layouts that nearly all messages of a topic share -> the values of a message, read in place.
//!
//! A shape is the text between the values of a message that the scanner has accepted. A message with the same text in
//! the same places has the same keys in the same order, so only its values are left to read. Whatever differs, in the
//! text or in how a value is written, is left to the scanner: a shape never refuses a message, and where it reads one it
//! gives the slots that the scanner would give. No state: shapes change how fast messages are read, never what they say.

use super::plan::Kind;
use super::scanner::{Slot, Spot, TENS};

/// Shapes that are remembered: topics are written by a few producers, each with its own layout.
const SHAPES_MAX: usize = 4;
/// Messages that pay for learning a shape: messages that are all different cost at most this share of a scan more.
const LEARN_EVERY: u32 = 16;
/// Shapes that may be learned in a row.
const LEARN_BURST: u32 = 8;

/// The layouts of a topic, the one that fitted last first.
#[derive(Debug)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    /// Messages since a shape was learned, in parts of [`LEARN_EVERY`].
    credit: u32,
}

/// One layout.
#[derive(Debug)]
struct Shape {
    fields: Vec<Field>,
    /// The text after the last value.
    tail: Box<[u8]>,
}

/// A value and the text before it.
#[derive(Debug)]
struct Field {
    before: Box<[u8]>,
    value: Value,
}

/// What is due, by the column that reads it.
#[derive(Debug, Clone, Copy)]
enum Value {
    Column(usize, Kind),
    /// Nobody reads it; it must be a scalar all the same.
    Skip,
}

impl Shapes {
    pub(super) fn new() -> Self {
        Self { shapes: Vec::new(), credit: LEARN_BURST * LEARN_EVERY }
    }

    /// Reads a message into the slots; `false`, with anything in the slots, where no shape fits it.
    pub(super) fn read(&mut self, text: &[u8], slots: &mut [Slot]) -> bool {
        for place in 0..self.shapes.len() {
            slots.fill(Slot::Absent);
            if self.shapes[place].read(text, slots).is_some() {
                self.shapes[..=place].rotate_right(1);
                return true;
            }
        }
        self.credit = (self.credit + 1).min(LEARN_BURST * LEARN_EVERY);
        false
    }

    /// Whether a message that no shape fitted should be learned from.
    pub(super) fn curious(&self) -> bool {
        self.credit >= LEARN_EVERY
    }

    /// Remembers the layout of an accepted message, in place of the one that fitted longest ago.
    pub(super) fn learn(&mut self, text: &[u8], spots: &[Spot], kinds: &[Kind]) {
        self.credit = self.credit.saturating_sub(LEARN_EVERY);
        let mut fields = Vec::with_capacity(spots.len());
        let mut from = 0;
        for spot in spots {
            let value = spot.column.map_or(Value::Skip, |column| Value::Column(column, kinds[column]));
            fields.push(Field { before: text[from..spot.from].into(), value });
            from = spot.to;
        }
        self.shapes.truncate(SHAPES_MAX - 1);
        self.shapes.insert(0, Shape { fields, tail: text[from..].into() });
    }
}

impl Shape {
    fn read(&self, text: &[u8], slots: &mut [Slot]) -> Option<()> {
        let mut at = 0;
        for field in &self.fields {
            at = after(text, at, &field.before)?;
            at = match field.value {
                Value::Column(column, kind) => value(text, at, kind, &mut slots[column])?,
                Value::Skip => scalar(text, at)?,
            };
        }
        (text[at..] == *self.tail).then_some(())
    }
}

// Values are written where they are to be and their ends returned: a slot that was returned beside its end would be copied
// through the stack, in pieces other than those it was written in, and every message would wait for that.

fn value(text: &[u8], at: usize, kind: Kind, slot: &mut Slot) -> Option<usize> {
    match kind {
        Kind::Float => float_or_null(text, at, slot),
        Kind::Int => int_or_null(text, at, slot),
        Kind::Text => text_or_null(text, at, slot),
        Kind::Bool => bool_or_null(text, at, slot),
        Kind::Time if text.get(at) == Some(&b'"') => text_or_null(text, at, slot),
        Kind::Time => int_or_null(text, at, slot),
    }
}

/// Where the message goes on after `expected`, if that stands at `at`.
fn after(text: &[u8], at: usize, expected: &[u8]) -> Option<usize> {
    let end = at + expected.len();
    same(text.get(at..end)?, expected).then_some(end)
}

/// Equality of two texts of the same length. Texts between values are a dozen bytes long: two overlapping words are
/// compared in less time than a call of `memcmp` takes.
fn same(found: &[u8], expected: &[u8]) -> bool {
    let word = |text: &[u8], at: usize| Some(u64::from_ne_bytes(*text.get(at..)?.first_chunk()?));
    let last = match expected.len() {
        8..=16 => expected.len() - 8,
        17..=24 if word(found, 8) == word(expected, 8) => expected.len() - 8,
        _ => return found == expected,
    };
    word(found, 0) == word(expected, 0) && word(found, last) == word(expected, last)
}

fn float_or_null(text: &[u8], at: usize, slot: &mut Slot) -> Option<usize> {
    let Some(found) = decimal(text, at) else { return null(text, at, slot) };
    let value = if found.digits <= DIGITS_EXACT {
        // Both are exact in f64, so their quotient is correctly rounded (Clinger 1990).
        let value = found.number as f64 / TENS[found.places];
        if found.negative { -value } else { value }
    } else {
        fast_float2::parse(&text[at..found.end]).ok()?
    };
    *slot = Slot::Float(value);
    Some(found.end)
}

fn int_or_null(text: &[u8], at: usize, slot: &mut Slot) -> Option<usize> {
    match decimal(text, at) {
        Some(found) if found.places == 0 && found.digits <= DIGITS_WHOLE => {
            let value = found.number as i64;
            *slot = Slot::Int(if found.negative { -value } else { value });
            Some(found.end)
        }
        // A fraction is not whole, and more digits may be too many: the scanner says so.
        Some(_) => None,
        None => null(text, at, slot),
    }
}

fn bool_or_null(text: &[u8], at: usize, slot: &mut Slot) -> Option<usize> {
    for (word, value) in [(b"true".as_slice(), true), (b"false", false)] {
        if let Some(end) = after(text, at, word) {
            *slot = Slot::Bool(value);
            return Some(end);
        }
    }
    null(text, at, slot)
}

fn null(text: &[u8], at: usize, slot: &mut Slot) -> Option<usize> {
    let end = after(text, at, b"null")?;
    *slot = Slot::Null;
    Some(end)
}

/// The end of a value that nobody reads.
fn scalar(text: &[u8], at: usize) -> Option<usize> {
    let mut unread = Slot::Absent;
    let kind = match text.get(at)? {
        b'"' => Kind::Text,
        b't' | b'f' => Kind::Bool,
        _ => Kind::Float,
    };
    value(text, at, kind, &mut unread)
}

/// So many digits are exact in f64, as the power of ten is that moves their point.
const DIGITS_EXACT: usize = 15;
/// So many digits fit in 64 bits whatever they are.
const DIGITS_WHOLE: usize = 18;
/// More digits than any program writes of a number of 64 bits: what has them is left to the scanner.
const DIGITS_MAX: usize = 40;

/// A number without exponent.
struct Decimal {
    negative: bool,
    /// Its digits without the point; right where there are at most [`DIGITS_WHOLE`].
    number: u64,
    /// How many they are.
    digits: usize,
    /// How many of them stand after the point.
    places: usize,
    end: usize,
}

fn decimal(text: &[u8], at: usize) -> Option<Decimal> {
    let negative = *text.get(at)? == b'-';
    let first = at + usize::from(negative);
    let (mut number, mut end) = (0_u64, first);
    while let Some(digit) = digit(text, end) {
        number = number.wrapping_mul(10).wrapping_add(digit);
        end += 1;
        if end - first > DIGITS_MAX {
            return None;
        }
    }
    let whole = end - first;
    // A zero in front of other digits is no JSON.
    if whole == 0 || (whole > 1 && text[first] == b'0') {
        return None;
    }
    let mut places = 0;
    if text.get(end) == Some(&b'.') {
        end += 1;
        let point = end;
        while let Some(digit) = digit(text, end) {
            number = number.wrapping_mul(10).wrapping_add(digit);
            end += 1;
            if whole + end - point > DIGITS_MAX {
                return None;
            }
        }
        places = end - point;
        if places == 0 {
            return None;
        }
    }
    // The text that follows is compared next: a letter, a second point or an exponent does not fit it.
    Some(Decimal { negative, number, digits: whole + places, places, end })
}

fn digit(text: &[u8], at: usize) -> Option<u64> {
    let digit = text.get(at)?.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

/// End of the words of eight bytes from `at` on that hold nothing but ASCII: no quote, backslash or control character.
fn plain_until(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    // The highest bit of each byte below `bound`, and of some above it that are no ASCII (Mycroft 1987).
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound);
    while let Some(bytes) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_ne_bytes(*bytes);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        if (word | quote | backslash | below(word, 0x20)) & HIGHS != 0 {
            break;
        }
        at += 8;
    }
    at
}

/// A string without escapes: the range between its quotes.
fn text_or_null(text: &[u8], at: usize, slot: &mut Slot) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return null(text, at, slot);
    }
    let from = at + 1;
    let (mut to, mut ascii) = (plain_until(text, from), true);
    loop {
        match *text.get(to)? {
            b'"' => break,
            b'\\' | 0..=0x1f => return None,
            byte => ascii &= byte < 0x80,
        }
        to += 1;
    }
    if !ascii && std::str::from_utf8(&text[from..to]).is_err() {
        return None;
    }
    *slot = Slot::Text(from, to);
    Some(to + 1)
}
