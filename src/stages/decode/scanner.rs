//! JSON text -> the values of the columns that are read, in one pass and without a tree.
//!
//! Accepts exactly the grammar of RFC 8259. Keys that no column reads are skipped, but their values must be JSON too.
//! A key that comes twice in one object is refused, at every depth, whether it is read or not.

use std::borrow::Cow;
use std::collections::HashSet;

use super::plan::{Child, Kind, Node};
use crate::stages::rows::Reason;

/// The value of one column of the row at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Slot {
    /// The key has not come.
    Absent,
    Null,
    Float(f64),
    Int(i64),
    Bool(bool),
    /// Text without escapes: a range of the payload.
    Text(usize, usize),
    /// Text with escapes: a range of the scratch.
    Unescaped(usize, usize),
}

/// Why a payload is refused: the reason and where, as a byte offset, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// Where a scalar value lies in its payload, and the column that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) column: Option<usize>,
}

/// A payload being read.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth_left: u32,
    kinds: &'a [Kind],
    slots: &'a mut [Slot],
    scratch: &'a mut String,
    /// Notes the scalar values in their order, where somebody wants to know.
    spots: Option<&'a mut Vec<Spot>>,
}

/// Keys of one object that are compared one by one: beyond them a hash finds a repeat, so that time stays linear.
const COMPARED_MAX: usize = 8;

/// Keys of one object that no column reads, as they come. An object all of whose keys are read has none, and costs
/// nothing.
#[derive(Default)]
struct Unread<'a> {
    few: [&'a [u8]; COMPARED_MAX],
    count: usize,
    /// Those beyond `few`, and those that were written with escapes.
    more: HashSet<Cow<'a, [u8]>>,
}

impl<'a> Unread<'a> {
    /// Whether the key is a new one; remembers it.
    fn insert(&mut self, key: Cow<'a, [u8]>) -> bool {
        if self.few[..self.count].contains(&&*key) {
            return false;
        }
        match key {
            Cow::Borrowed(key) if self.count < COMPARED_MAX => {
                self.few[self.count] = key;
                self.count += 1;
                !self.more.contains(key)
            }
            key => self.more.insert(key),
        }
    }
}

/// What a value is for.
#[derive(Clone, Copy)]
enum Use<'n> {
    Skip,
    Column(usize),
    Object(&'n Node),
}

type Scanned<T> = Result<T, Refusal>;

impl<'a> Scanner<'a> {
    /// A scanner of UTF-8 text. `slots`: one per column and per object on the way to one, all [`Slot::Absent`].
    pub(super) fn new(
        text: &'a str,
        max_depth: u32,
        kinds: &'a [Kind],
        slots: &'a mut [Slot],
        scratch: &'a mut String,
    ) -> Self {
        Self { text: text.as_bytes(), at: 0, depth_left: max_depth, kinds, slots, scratch, spots: None }
    }

    /// The scanner, which also notes where scalar values lie.
    pub(super) fn noting(self, spots: &'a mut Vec<Spot>) -> Self {
        Self { spots: Some(spots), ..self }
    }

    fn note(&mut self, from: usize, column: Option<usize>) {
        let to = self.at;
        if let Some(spots) = &mut self.spots {
            spots.push(Spot { from, to, column });
        }
    }

    /// Reads the whole payload as one object.
    pub(super) fn scan(&mut self, root: &Node) -> Scanned<()> {
        self.space();
        if self.peek() != Some(b'{') {
            return Err(self.another_type("an object"));
        }
        self.object(Some(root))?;
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.refuse(Reason::TrailingData, "the end")) }
    }

    /// The refusal of a value that should have been `what`: for its type only where it is JSON at all.
    fn another_type(&mut self, what: &'static str) -> Refusal {
        let at = self.at;
        match self.skip() {
            Ok(()) => Refusal { reason: Reason::WrongType, at, what },
            Err(refusal) => refusal,
        }
    }

    fn refuse(&self, reason: Reason, what: &'static str) -> Refusal {
        Refusal { reason, at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Scanned<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.refuse(Reason::Malformed, what))
    }

    fn descend(&mut self) -> Scanned<()> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or_else(|| self.refuse(Reason::TooDeep, "less nesting"))?;
        Ok(())
    }

    /// An object; the scanner stands at its brace. `node`: the keys to read, none to skip them all.
    fn object(&mut self, node: Option<&Node>) -> Scanned<()> {
        self.descend()?;
        self.at += 1;
        self.space();
        let (mut next, mut unread) = (0, None);
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth_left += 1;
            return Ok(());
        }
        loop {
            self.space();
            let value = self.key(node, &mut next, &mut unread)?;
            self.space();
            self.expect(b':', "`:`")?;
            self.space();
            self.value(value)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.depth_left += 1;
                    return Ok(());
                }
                _ => return Err(self.refuse(Reason::Malformed, "`,` or `}`")),
            }
        }
    }

    /// A key, and what its value is for. `next` is where the search begins: keys mostly come in one order. A key that is
    /// read is refused where its slot shows that it came before, another where it is among the `unread`.
    fn key<'n>(
        &mut self,
        node: Option<&'n Node>,
        next: &mut usize,
        unread: &mut Option<Unread<'a>>,
    ) -> Scanned<Use<'n>> {
        if self.peek() != Some(b'"') {
            return Err(self.refuse(Reason::Malformed, "a key"));
        }
        let at = self.at;
        let duplicate = Refusal { reason: Reason::DuplicateKey, at, what: "each key once" };
        let text = self.text;
        let key: Cow<'a, [u8]> = match self.string()? {
            Slot::Unescaped(from, to) => Cow::Owned(self.scratch.as_bytes()[from..to].to_vec()),
            Slot::Text(from, to) => Cow::Borrowed(&text[from..to]),
            _ => Cow::default(),
        };
        let name: &[u8] = &key;
        let children = node.map_or(&[][..], |node| &node.children);
        for step in 0..children.len() {
            let index = (*next + step) % children.len();
            let (known, child) = &children[index];
            if known.as_bytes() == name {
                *next = index + 1;
                let (Child::Column(slot) | Child::Object(slot, _)) = child;
                if !matches!(self.slots[*slot], Slot::Absent) {
                    return Err(duplicate);
                }
                return Ok(match child {
                    Child::Column(column) => Use::Column(*column),
                    Child::Object(slot, node) => {
                        self.slots[*slot] = Slot::Null;
                        Use::Object(node)
                    }
                });
            }
        }
        if unread.get_or_insert_with(Unread::default).insert(key) { Ok(Use::Skip) } else { Err(duplicate) }
    }

    fn value(&mut self, value: Use<'_>) -> Scanned<()> {
        match value {
            Use::Skip => self.skip(),
            Use::Object(node) if self.peek() == Some(b'{') => self.object(Some(node)),
            Use::Object(_) if self.peek() == Some(b'n') => self.word(b"null"),
            Use::Object(_) => Err(self.another_type("an object")),
            Use::Column(column) => {
                let from = self.at;
                self.slots[column] = self.scalar(self.kinds[column])?;
                self.note(from, Some(column));
                Ok(())
            }
        }
    }

    /// The value of a column.
    fn scalar(&mut self, kind: Kind) -> Scanned<Slot> {
        match (self.peek(), kind) {
            (Some(b'n'), _) => self.word(b"null").map(|()| Slot::Null),
            (Some(b'"'), Kind::Text | Kind::Time) => self.string(),
            (Some(b'-' | b'0'..=b'9'), Kind::Float) => self.float().map(Slot::Float),
            (Some(b'-' | b'0'..=b'9'), Kind::Int) => self.int().map(Slot::Int),
            (Some(b'-' | b'0'..=b'9'), Kind::Time) => self.number_of_time(),
            (Some(b't'), Kind::Bool) => self.word(b"true").map(|()| Slot::Bool(true)),
            (Some(b'f'), Kind::Bool) => self.word(b"false").map(|()| Slot::Bool(false)),
            (Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'{' | b'['), kind) => Err(self.another_type(kind.name())),
            _ => Err(self.not_a_value()),
        }
    }

    fn not_a_value(&self) -> Refusal {
        let rest = &self.text[self.at..];
        let words = [&b"NaN"[..], b"nan", b"Infinity", b"Inf", b"inf"];
        if words.iter().any(|word| rest.starts_with(word)) {
            return self.refuse(Reason::NotFinite, "a finite number");
        }
        self.refuse(Reason::Malformed, "a value")
    }

    fn word(&mut self, word: &'static [u8]) -> Scanned<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.not_a_value())
    }

    /// Any value, checked but not kept.
    fn skip(&mut self) -> Scanned<()> {
        let from = self.at;
        match self.peek() {
            Some(b'{') => return self.object(None),
            Some(b'[') => return self.array(),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(self.not_a_value()),
        }?;
        self.note(from, None);
        Ok(())
    }

    fn array(&mut self) -> Scanned<()> {
        self.descend()?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth_left += 1;
            return Ok(());
        }
        loop {
            self.space();
            self.skip()?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.depth_left += 1;
                    return Ok(());
                }
                _ => return Err(self.refuse(Reason::Malformed, "`,` or `]`")),
            }
        }
    }

    /// A string; the scanner stands at its quote.
    fn string(&mut self) -> Scanned<Slot> {
        let from = self.at + 1;
        let mut at = from;
        loop {
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Slot::Text(from, at));
                }
                Some(b'\\') => return self.escaped_string(from, at),
                Some(0..=0x1f) => {
                    self.at = at;
                    return Err(self.refuse(Reason::Malformed, "no control character"));
                }
                Some(_) => at += 1,
                None => {
                    self.at = at;
                    return Err(self.refuse(Reason::Malformed, "`\"`"));
                }
            }
        }
    }

    /// The rest of a string whose first escape is at `at`.
    fn escaped_string(&mut self, from: usize, at: usize) -> Scanned<Slot> {
        // One more pass for the rare string with escapes: find its end, then let serde_json read it.
        let mut end = at;
        loop {
            match self.text.get(end) {
                Some(b'\\') => end += 2,
                Some(b'"') => break,
                Some(_) => end += 1,
                None => {
                    self.at = self.text.len();
                    return Err(self.refuse(Reason::Malformed, "`\"`"));
                }
            }
        }
        let Ok(text) = serde_json::from_slice::<String>(&self.text[from - 1..=end]) else {
            self.at = at;
            return Err(self.refuse(Reason::Malformed, "a valid escape"));
        };
        let start = self.scratch.len();
        self.scratch.push_str(&text);
        self.at = end + 1;
        Ok(Slot::Unescaped(start, self.scratch.len()))
    }

    /// A number's text, checked against the grammar, and whether it is whole.
    fn number(&mut self) -> Scanned<(&'a str, bool)> {
        let from = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(Refusal { at: from, ..self.not_a_value() });
            }
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("a digit")?;
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("a digit after the point")?;
            whole = false;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("a digit of the exponent")?;
            whole = false;
        }
        if let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_') = self.peek() {
            return Err(self.refuse(Reason::Malformed, "the end of the number"));
        }
        // The bytes are ASCII digits, signs, points and exponents.
        Ok((std::str::from_utf8(&self.text[from..self.at]).unwrap_or_default(), whole))
    }

    fn digits(&mut self, what: &'static str) -> Scanned<()> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == from { Err(self.refuse(Reason::Malformed, what)) } else { Ok(()) }
    }

    fn float(&mut self) -> Scanned<f64> {
        let at = self.at;
        let (text, _) = self.number()?;
        let value = short_decimal(text.as_bytes()).or_else(|| fast_float2::parse(text).ok());
        match value {
            Some(value) if value.is_finite() => Ok(value),
            _ => Err(Refusal { reason: Reason::Overflow, at, what: "a number that 64 bits hold" }),
        }
    }

    fn int(&mut self) -> Scanned<i64> {
        let at = self.at;
        let (text, whole) = self.number()?;
        if !whole {
            return Err(Refusal { reason: Reason::WrongType, at, what: "a whole number" });
        }
        text.parse().map_err(|_| Refusal { reason: Reason::Overflow, at, what: "a whole number that 64 bits hold" })
    }

    /// A time as a number: whole where it is written whole.
    fn number_of_time(&mut self) -> Scanned<Slot> {
        let at = self.at;
        let (text, whole) = self.number()?;
        let refusal = Refusal { reason: Reason::Overflow, at, what: "a number that 64 bits hold" };
        if whole {
            return text.parse().map(Slot::Int).map_err(|_| refusal);
        }
        fast_float2::parse(text).ok().filter(|value: &f64| value.is_finite()).map(Slot::Float).ok_or(refusal)
    }
}

/// Powers of ten that f64 holds exactly.
pub(super) const TENS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A decimal of at most 15 digits without exponent: both its digits and the power of ten are exact in f64, so their
/// quotient is correctly rounded (Clinger 1990, "How to Read Floating Point Numbers Accurately").
fn short_decimal(text: &[u8]) -> Option<f64> {
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let (mut digits, mut places, mut after_point) = (0_u64, 0, false);
    if text.len() > 16 {
        return None;
    }
    for byte in text {
        match byte {
            b'0'..=b'9' => {
                digits = digits * 10 + u64::from(byte - b'0');
                places += usize::from(after_point);
            }
            b'.' => after_point = true,
            _ => return None,
        }
    }
    if digits >= 1 << 53 {
        return None;
    }
    let value = digits as f64 / TENS.get(places)?;
    Some(if negative { -value } else { value })
}
