//! SQL text -> tokens within limits, with forecasts (`speed.15m`) as single column names. The limits stand before any
//! parsing: DataFusion's planner recurses over the tree, and a sum of 2,000 terms aborts the process (issue 22229).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word};

use super::{SqlError, SqlProblem};
use crate::vocab::{DURATION_UNITS, duration_text};

/// Longest SQL text, bytes: twenty times the longest statement of the shipped pipelines.
pub(super) const SQL_BYTES_MAX: usize = 32 * 1024;
/// Most tokens of a text: room for a list of 900 values.
pub(super) const TOKENS_MAX: usize = 2_000;
/// Deepest nesting, counting each operator of a chain such as `a + b + c`. An unoptimised build plans and evaluates
/// twice this depth on a thread of 2 MiB (tested).
pub(super) const DEPTH_MAX: usize = 128;

/// Stack of the parser: 25 kB per level was the most seen, in an unoptimised build, and a level takes a token at least.
/// The system gives memory only to the part that is used.
const PARSER_STACK_BYTES: usize = TOKENS_MAX * 32 * 1024;

/// Types that hold other types.
const NESTED_TYPES: [Keyword; 8] = [
    Keyword::ARRAY,
    Keyword::LOWCARDINALITY,
    Keyword::MAP,
    Keyword::NULLABLE,
    Keyword::STRUCT,
    Keyword::TABLE,
    Keyword::TUPLE,
    Keyword::UNION,
];

/// The column name of a predictor's forecast: `speed` with 3,600,000,000 microseconds is `speed.1h`. In an expression
/// the same horizon may be written in any unit: `speed.60m`.
#[must_use]
pub fn forecast_column(predictor: &str, horizon_micros: i64) -> String {
    format!("{predictor}.{}", duration_text(horizon_micros))
}

/// Whether a text can name a column without quotes: letters, digits and underscores, no digit first.
#[must_use]
pub fn is_column(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One SQL text and its tokens.
pub(in crate::stages) struct SqlText<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
}

impl<'a> SqlText<'a> {
    /// Reads the text into tokens.
    ///
    /// # Errors
    /// [`SqlError`] where the text is over a limit or no sequence of tokens.
    pub(in crate::stages) fn read(text: &'a str) -> Result<Self, SqlError> {
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
        refuse_nested_types(&tokens)?;
        Ok(Self { text, tokens: join_forecasts(&tokens) })
    }

    /// The beginning of the text, for messages.
    pub(in crate::stages) fn excerpt(&self) -> String {
        self.text.trim_start().chars().take(80).collect()
    }

    /// The tokens without whitespace and comments.
    pub(in crate::stages) fn words(&self) -> impl Iterator<Item = &TokenWithSpan> {
        self.tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)))
    }

    /// Where a keyword first stands; the text's start where it does not.
    pub(in crate::stages) fn find(&self, keyword: Keyword) -> Location {
        let found = self.tokens.iter().find(|token| keyword_of(token) == keyword);
        found.map_or(Location { line: 1, column: 1 }, |token| token.span.start)
    }

    /// Parses the whole text as statements.
    ///
    /// # Errors
    /// [`SqlError`] where it is not SQL.
    pub(in crate::stages) fn statements(&self) -> Result<Vec<Statement>, SqlError> {
        self.parse(|parser| parser.parse_statements().map_err(syntax_error))
    }

    /// Parses the whole text as one expression.
    ///
    /// # Errors
    /// [`SqlError`] where it is not one.
    pub(in crate::stages) fn expression(&self) -> Result<Expr, SqlError> {
        self.parse(|parser| {
            let expression = parser.parse_expr().map_err(syntax_error)?;
            let rest = parser.next_token();
            if rest.token == Token::EOF {
                return Ok(expression);
            }
            let message = format!("expected the end of the expression, found `{}`", rest.token);
            let error = SqlError::at(rest.span.start, SqlProblem::Syntax { message });
            let horizon = matches!(&rest.token, Token::Number(digits, false) if digits.starts_with('.'));
            Err(if horizon {
                error.hint("a forecast's horizon is a number and `s`, `m`, `h` or `d`: `speed.15m`")
            } else {
                error
            })
        })
    }

    /// The parser limits most of its recursion, not all (`INTERVAL INTERVAL ...`), so it gets a stack that no text of
    /// [`TOKENS_MAX`] can exhaust; only trees that are shallow leave it.
    fn parse<T: Visit>(&self, read: impl FnOnce(&mut Parser<'_>) -> Result<T, SqlError>) -> Result<T, SqlError> {
        stacker::grow(PARSER_STACK_BYTES, || {
            let mut parser = Parser::new(&GenericDialect {}).with_tokens_with_locations(self.tokens.clone());
            let tree = read(&mut parser)?;
            check_depth(&tree)?;
            Ok(tree)
        })
    }
}

/// The keyword that an unquoted word is.
pub(in crate::stages) fn keyword_of(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

/// Refuses the beginnings of nested types and of tables in JSON: a column holds one value, and they nest without a
/// limit that [`check_depth`] would see.
fn refuse_nested_types(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).peekable();
    while let Some(word) = words.next() {
        let opened = matches!(words.peek().map(|next| &next.token), Some(Token::Lt | Token::LParen));
        let nested = match keyword_of(word) {
            Keyword::NESTED => true,
            keyword => opened && NESTED_TYPES.contains(&keyword),
        };
        if nested {
            let text = word.token.to_string();
            return Err(SqlError::at(word.span.start, SqlProblem::NotScalar { text }));
        }
    }
    Ok(())
}

/// Refuses trees that later walks could not recurse through. Even asking sqlparser for the span of an expression
/// takes 2 kB of stack per level, so this stands before everything else, and cannot tell the place.
fn check_depth(tree: &impl Visit) -> Result<(), SqlError> {
    let mut depth = Depth(0);
    match tree.visit(&mut depth) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(SqlError::at(Location { line: 1, column: 1 }, SqlProblem::TooDeep)),
    }
}

/// Levels of expressions around the place of the walk.
struct Depth(usize);

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 += 1;
        if self.0 > DEPTH_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
        self.0 -= 1;
        ControlFlow::Continue(())
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
    let (_, micros) = DURATION_UNITS.iter().find(|(symbol, _)| *symbol == suffix.value)?;
    let value = forecast_column(&word.value, count.checked_mul(*micros)?);
    let column = Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword };
    let mut span = name.span;
    span.end = unit.span.end;
    Some(TokenWithSpan { token: Token::Word(column), span })
}
