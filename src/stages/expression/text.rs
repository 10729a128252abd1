//! SQL text -> tokens within limits, with forecasts (`speed.15m`) as single column names. The limits stand before any
//! parsing: DataFusion's planner recurses over the tree, and a sum of 2,000 terms aborts the process (issue 22229).

use datafusion::sql::sqlparser::ast::{Expr, Statement};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::{SqlError, SqlProblem};

/// Longest SQL text, bytes: twenty times the longest statement of the shipped pipelines.
pub(super) const SQL_BYTES_MAX: usize = 32 * 1024;
/// Most tokens of a text: room for a list of 900 values.
pub(super) const TOKENS_MAX: usize = 2_000;
/// Deepest nesting, counting each operator of a chain such as `a + b + c`. An unoptimised build plans and evaluates
/// twice this depth on a thread of 2 MiB (tested).
pub(super) const DEPTH_MAX: usize = 128;

/// Unit suffixes of durations and their microseconds, longest first.
const UNITS: [(&str, i64); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// The column name of a predictor's forecast: `speed` with 3,600,000,000 microseconds is `speed.1h`. In an expression
/// the same horizon may be written in any unit: `speed.60m`.
#[must_use]
pub fn forecast_column(predictor: &str, horizon_micros: i64) -> String {
    for (unit, micros) in UNITS {
        if horizon_micros % micros == 0 {
            return format!("{predictor}.{}{unit}", horizon_micros / micros);
        }
    }
    format!("{predictor}.{horizon_micros}us")
}

/// Tokens of one SQL text.
pub(in crate::stages) struct SqlText {
    tokens: Vec<TokenWithSpan>,
}

impl SqlText {
    /// Reads the text into tokens.
    ///
    /// # Errors
    /// [`SqlError`] where the text is over a limit or no sequence of tokens.
    pub(in crate::stages) fn read(text: &str) -> Result<Self, SqlError> {
        let start = Location { line: 1, column: 1 };
        if text.len() > SQL_BYTES_MAX {
            return Err(SqlError::at(start, SqlProblem::TooLong { bytes: text.len() }));
        }
        let tokens = Tokenizer::new(&GenericDialect {}, text)
            .tokenize_with_location()
            .map_err(|error| SqlError::at(error.location, SqlProblem::Syntax { message: error.message }))?;
        let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
        if let Some(first_over) = words.clone().nth(TOKENS_MAX) {
            let problem = SqlProblem::TooManyTokens { tokens: words.by_ref().count() };
            return Err(SqlError::at(first_over.span.start, problem));
        }
        Ok(Self { tokens: join_forecasts(&tokens) })
    }

    /// Where a keyword first stands; the text's start where it does not.
    pub(in crate::stages) fn find(&self, keyword: Keyword) -> Location {
        let is_keyword = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == keyword);
        self.tokens.iter().find(is_keyword).map_or(Location { line: 1, column: 1 }, |token| token.span.start)
    }

    /// Whether a keyword stands in the text.
    pub(in crate::stages) fn has(&self, keyword: Keyword) -> bool {
        self.tokens.iter().any(|token| matches!(&token.token, Token::Word(word) if word.keyword == keyword))
    }

    /// Parses the whole text as statements.
    ///
    /// # Errors
    /// [`SqlError`] where it is not SQL.
    pub(in crate::stages) fn statements(&self) -> Result<Vec<Statement>, SqlError> {
        let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(self.tokens.clone());
        parser.parse_statements().map_err(syntax_error)
    }

    /// Parses the whole text as one expression.
    ///
    /// # Errors
    /// [`SqlError`] where it is not one.
    pub(in crate::stages) fn expression(&self) -> Result<Expr, SqlError> {
        let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(self.tokens.clone());
        let expression = parser.parse_expr().map_err(syntax_error)?;
        let rest = parser.next_token();
        if rest.token != Token::EOF {
            let message = format!("expected the end of the expression, found `{}`", rest.token);
            return Err(SqlError::at(rest.span.start, SqlProblem::Syntax { message }));
        }
        Ok(expression)
    }
}

/// The parser tells the place only in its message: `Expected: ..., found: ... at Line: 1, Column: 8`.
fn syntax_error(error: ParserError) -> SqlError {
    let start = Location { line: 1, column: 1 };
    let text = match error {
        ParserError::RecursionLimitExceeded => return SqlError::at(start, SqlProblem::TooDeep),
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
    };
    let placed = text.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message.to_owned(), Location { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? }))
    });
    let (message, location) = placed.unwrap_or((text, start));
    SqlError::at(location, SqlProblem::Syntax { message })
}

/// Makes one quoted word of `speed`, `.15`, `m` where nothing stands between them.
fn join_forecasts(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut joined: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut next = 0;
    while let Some(token) = tokens.get(next) {
        let forecast = tokens.get(next..next + 3).and_then(forecast_of);
        next += if forecast.is_some() { 3 } else { 1 };
        joined.push(forecast.unwrap_or_else(|| token.clone()));
    }
    joined
}

/// Three tokens as a forecast's column, if they are one.
fn forecast_of(tokens: &[TokenWithSpan]) -> Option<TokenWithSpan> {
    let [name, number, unit] = tokens else { return None };
    let (Token::Word(word), Token::Number(digits, false), Token::Word(suffix)) =
        (&name.token, &number.token, &unit.token)
    else {
        return None;
    };
    let adjacent = name.span.end == number.span.start && number.span.end == unit.span.start;
    if !adjacent || suffix.quote_style.is_some() {
        return None;
    }
    let count: i64 = digits.strip_prefix('.')?.parse().ok()?;
    let (_, micros) = UNITS.iter().find(|(symbol, _)| *symbol == suffix.value)?;
    let value = forecast_column(&word.value, count.checked_mul(*micros)?);
    let column = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
    let mut span = name.span;
    span.end = unit.span.end;
    Some(TokenWithSpan { token: Token::Word(column), span })
}
