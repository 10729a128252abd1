//! One SQL text -> its one SELECT, or the first clause that a row by itself cannot answer. The shape is read from the
//! tokens before anything is parsed, for exact places, and because no row needs the rest of the parser's grammar
//! (joins, set operations, JSON tables). What is left is checked again after parsing.

use datafusion::sql::sqlparser::ast::{GroupByExpr, Query, Select, SetExpr, Statement};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::stages::expression::{SqlError, SqlProblem, SqlText, TABLE, keyword_of};

const START: Location = Location { line: 1, column: 1 };
/// Clauses by their first word.
const CLAUSES: [(Keyword, &str); 15] = [
    (Keyword::WITH, "WITH"),
    (Keyword::DISTINCT, "DISTINCT"),
    (Keyword::TOP, "TOP"),
    (Keyword::INTO, "INTO"),
    (Keyword::GROUP, "GROUP BY"),
    (Keyword::HAVING, "HAVING"),
    (Keyword::WINDOW, "WINDOW"),
    (Keyword::QUALIFY, "QUALIFY"),
    (Keyword::ORDER, "ORDER BY"),
    (Keyword::LIMIT, "LIMIT"),
    (Keyword::OFFSET, "OFFSET"),
    (Keyword::FETCH, "FETCH"),
    (Keyword::UNION, "UNION"),
    (Keyword::INTERSECT, "INTERSECT"),
    (Keyword::EXCEPT, "EXCEPT"),
];
/// First words of joins.
const JOINS: [Keyword; 7] =
    [Keyword::JOIN, Keyword::INNER, Keyword::LEFT, Keyword::RIGHT, Keyword::FULL, Keyword::CROSS, Keyword::NATURAL];

/// Refuses tokens that cannot be `SELECT ... FROM rows [WHERE ...]`.
pub(super) fn check_shape(sql: &SqlText<'_>) -> Result<(), SqlError> {
    let words: Vec<&TokenWithSpan> = sql.words().collect();
    match words.first().map(|first| keyword_of(first)) {
        Some(Keyword::SELECT) => {}
        Some(Keyword::WITH) => return Err(refused(words[0], "WITH")),
        _ => return Err(not_one(sql, words.first().map_or(START, |first| first.span.start))),
    }
    let mut depth = 0_usize;
    let mut from = false;
    for (position, word) in words.iter().enumerate().skip(1) {
        match (&word.token, keyword_of(word)) {
            (Token::LParen, _) => depth += 1,
            (Token::RParen, _) => depth = depth.saturating_sub(1),
            (Token::SemiColon, _) => {
                if let Some(second) = words[position..].iter().find(|next| next.token != Token::SemiColon) {
                    return Err(not_one(sql, second.span.start));
                }
            }
            (_, Keyword::SELECT) if depth > 0 => return Err(subquery(word)),
            (_, Keyword::SELECT) => return Err(not_one(sql, word.span.start)),
            (_, Keyword::FROM) if depth == 0 && !from => {
                check_from(sql, &words[position + 1..])?;
                from = true;
            }
            (_, Keyword::FROM) if depth == 0 => return Err(not_one(sql, word.span.start)),
            _ => {}
        }
    }
    if from { Ok(()) } else { Err(not_one(sql, START)) }
}

/// What stands after FROM: `rows`, and then WHERE or nothing.
fn check_from(sql: &SqlText<'_>, after: &[&TokenWithSpan]) -> Result<(), SqlError> {
    let hint = format!("read from `{TABLE}`; join with a `lookup` step");
    let Some(table) = after.first() else { return Err(not_one(sql, START)) };
    match &table.token {
        Token::Word(word) if word.value == TABLE => {}
        Token::LParen => return Err(subquery(table)),
        other => {
            let problem = SqlProblem::UnknownTable { name: other.to_string() };
            return Err(SqlError::at(table.span.start, problem).hint(hint));
        }
    }
    let Some(next) = after.get(1) else { return Ok(()) };
    match (&next.token, keyword_of(next)) {
        (Token::SemiColon, _) | (_, Keyword::WHERE) => Ok(()),
        (Token::Comma, _) => Err(refused(next, "a second table").hint(hint)),
        (_, join) if JOINS.contains(&join) => Err(refused(next, "JOIN").hint(hint)),
        (_, keyword) => Err(match CLAUSES.iter().find(|(first, _)| *first == keyword) {
            Some((_, clause)) => refused(next, clause),
            None => not_one(sql, next.span.start),
        }),
    }
}

fn refused(word: &TokenWithSpan, clause: &'static str) -> SqlError {
    SqlError::at(word.span.start, SqlProblem::Clause { clause })
}

fn subquery(word: &TokenWithSpan) -> SqlError {
    SqlError::at(word.span.start, SqlProblem::Subquery).hint("join with a `lookup` step")
}

/// The text is quoted, not what was parsed: that may nest deeper than can be written out.
fn not_one(sql: &SqlText<'_>, place: Location) -> SqlError {
    let problem = SqlProblem::NotOneSelect { found: sql.excerpt() };
    SqlError::at(place, problem).hint("write one `SELECT ... FROM rows [WHERE ...]`, and nothing else")
}

/// The SELECT of a parsed text, with nothing but a projection of `rows` and a condition.
pub(super) fn only_select<'a>(sql: &SqlText<'_>, statements: &'a [Statement]) -> Result<&'a Select, SqlError> {
    let [Statement::Query(query)] = statements else { return Err(not_one(sql, START)) };
    let SetExpr::Select(select) = query.body.as_ref() else { return Err(not_one(sql, START)) };
    for (keyword, stands) in clauses_of(query, select) {
        let clause = CLAUSES.iter().find(|(first, _)| *first == keyword);
        if let Some((_, clause)) = clause.filter(|_| stands) {
            return Err(SqlError::at(sql.find(keyword), SqlProblem::Clause { clause }));
        }
    }
    // Whatever else the parser knows: a statement that is more than projection, table and condition reads otherwise
    // when these three are written out again.
    let items: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let condition = select.selection.as_ref().map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let with_table = |table: &str| format!("SELECT {} FROM {table}{condition}", items.join(", "));
    let written = query.to_string();
    if written == with_table(TABLE) || written == with_table(&format!("\"{TABLE}\"")) {
        return Ok(select);
    }
    Err(not_one(sql, START))
}

fn clauses_of(query: &Query, select: &Select) -> [(Keyword, bool); 10] {
    let grouped = match &select.group_by {
        GroupByExpr::Expressions(columns, modifiers) => !columns.is_empty() || !modifiers.is_empty(),
        GroupByExpr::All(_) => true,
    };
    [
        (Keyword::DISTINCT, select.distinct.is_some()),
        (Keyword::TOP, select.top.is_some()),
        (Keyword::INTO, select.into.is_some()),
        (Keyword::GROUP, grouped),
        (Keyword::HAVING, select.having.is_some()),
        (Keyword::WINDOW, !select.named_window.is_empty()),
        (Keyword::QUALIFY, select.qualify.is_some()),
        (Keyword::ORDER, query.order_by.is_some()),
        (Keyword::LIMIT, query.limit_clause.is_some()),
        (Keyword::FETCH, query.fetch.is_some()),
    ]
}
