//! `< 0.45` as text -> a typed [`Comparison`].

use std::fmt;

/// How a measure is compared with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::LessOrEqual), (">=", Self::GreaterOrEqual), ("<", Self::Less), (">", Self::Greater)];

    const fn downward(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual)
    }
}

/// A condition on a measure: `<`, `<=`, `>` or `>=` and a finite limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    operator: Operator,
    limit: f64,
}

/// A text that is no comparison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a comparison; write `<`, `<=`, `>` or `>=` and a number")]
pub struct ComparisonError {
    /// What was written.
    pub text: String,
}

impl Comparison {
    /// Reads an operator and a number.
    ///
    /// # Errors
    /// [`ComparisonError`] where the text is anything else.
    pub fn parse(text: &str) -> Result<Self, ComparisonError> {
        let error = || ComparisonError { text: text.to_owned() };
        let trimmed = text.trim();
        let split = |(symbol, operator): &(&str, Operator)| trimmed.strip_prefix(symbol).map(|rest| (*operator, rest));
        let (operator, rest) = Operator::ALL.iter().find_map(split).ok_or_else(error)?;
        let limit: f64 = rest.trim().parse().map_err(|_| error())?;
        if limit.is_finite() { Ok(Self { operator, limit }) } else { Err(error()) }
    }

    /// Whether a value meets it; NaN meets nothing.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self.operator {
            Operator::Less => value < self.limit,
            Operator::LessOrEqual => value <= self.limit,
            Operator::Greater => value > self.limit,
            Operator::GreaterOrEqual => value >= self.limit,
        }
    }

    /// Whether it holds for numbers below its limit.
    #[must_use]
    pub const fn downward(self) -> bool {
        self.operator.downward()
    }

    /// The limit, in the measure's unit.
    #[must_use]
    pub const fn limit(self) -> f64 {
        self.limit
    }

    /// What holds for exactly the other numbers.
    #[must_use]
    pub const fn negation(self) -> Self {
        let operator = match self.operator {
            Operator::Less => Operator::GreaterOrEqual,
            Operator::LessOrEqual => Operator::Greater,
            Operator::Greater => Operator::LessOrEqual,
            Operator::GreaterOrEqual => Operator::Less,
        };
        Self { operator, limit: self.limit }
    }

    /// Whether some number meets both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let (down, up) = match (self.operator.downward(), other.operator.downward()) {
            (true, false) => (self, other),
            (false, true) => (other, self),
            _ => return true,
        };
        let both_inclusive = down.operator == Operator::LessOrEqual && up.operator == Operator::GreaterOrEqual;
        up.limit < down.limit || (up.limit == down.limit && both_inclusive)
    }

    /// Whether every number that meets this also meets `other`.
    #[must_use]
    pub fn implies(self, other: Self) -> bool {
        !self.overlaps(other.negation())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol =
            Operator::ALL.iter().find(|(_, operator)| *operator == self.operator).map_or("", |(text, _)| *text);
        write!(formatter, "{symbol} {}", self.limit)
    }
}
