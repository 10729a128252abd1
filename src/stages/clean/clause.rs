//! Parsed statements -> the one SELECT, or the first clause that a row by itself cannot answer.

use datafusion::sql::sqlparser::ast::{GroupByExpr, Query, Select, SetExpr, Spanned, Statement, TableFactor};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::stages::expression::{SqlError, SqlProblem, SqlText, TABLE};

const START: Location = Location { line: 1, column: 1 };

/// The query and its SELECT, where the text is that and no more.
pub(super) fn only_select(statements: &[Statement]) -> Result<(&Query, &Select), SqlError> {
    let not_one = |found: String, place: Location| {
        let found = found.chars().take(80).collect();
        let problem = SqlProblem::NotOneSelect { found };
        SqlError::at(place, problem).hint("write one `SELECT ... FROM rows [WHERE ...]`")
    };
    let query = match statements {
        [Statement::Query(query)] => query,
        [] => return Err(not_one(String::new(), START)),
        [only] => return Err(not_one(only.to_string(), START)),
        [_, second, ..] => return Err(not_one(second.to_string(), second.span().start)),
    };
    match query.body.as_ref() {
        SetExpr::Select(select) => Ok((query, select)),
        other => Err(not_one(other.to_string(), START)),
    }
}

/// Refuses everything but a projection of `rows` and a condition.
pub(super) fn refuse_other_clauses(sql: &SqlText, query: &Query, select: &Select) -> Result<(), SqlError> {
    let grouped =
        !matches!(&select.group_by, GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    let clauses = [
        (query.with.is_some(), "WITH", Keyword::WITH),
        (select.distinct.is_some(), "DISTINCT", Keyword::DISTINCT),
        (select.top.is_some(), "TOP", Keyword::TOP),
        (select.into.is_some(), "INTO", Keyword::INTO),
        (grouped, "GROUP BY", Keyword::GROUP),
        (select.having.is_some(), "HAVING", Keyword::HAVING),
        (!select.named_window.is_empty(), "WINDOW", Keyword::WINDOW),
        (select.qualify.is_some(), "QUALIFY", Keyword::QUALIFY),
        (query.order_by.is_some(), "ORDER BY", Keyword::ORDER),
        (query.fetch.is_some(), "FETCH", Keyword::FETCH),
    ];
    for (stands, clause, keyword) in clauses {
        if stands {
            return Err(SqlError::at(sql.find(keyword), SqlProblem::Clause { clause }));
        }
    }
    if query.limit_clause.is_some() {
        let place = if sql.has(Keyword::LIMIT) { sql.find(Keyword::LIMIT) } else { sql.find(Keyword::OFFSET) };
        return Err(SqlError::at(place, SqlProblem::Clause { clause: "LIMIT" }));
    }
    check_from(sql, select)?;
    refuse_the_rest(query, select)
}

fn check_from(sql: &SqlText, select: &Select) -> Result<(), SqlError> {
    let hint = format!("read from `{TABLE}`; join with a `lookup` step");
    let [from] = select.from.as_slice() else {
        let place = select.from.get(1).map_or(START, |second| second.span().start);
        return Err(SqlError::at(place, SqlProblem::Clause { clause: "FROM other than one table" }).hint(hint));
    };
    if let Some(join) = from.joins.first() {
        let place = if sql.has(Keyword::JOIN) { sql.find(Keyword::JOIN) } else { join.span().start };
        return Err(SqlError::at(place, SqlProblem::Clause { clause: "JOIN" }).hint(hint));
    }
    match &from.relation {
        TableFactor::Table { name, .. }
            if name.0.len() == 1 && name.0[0].as_ident().is_some_and(|t| t.value == TABLE) =>
        {
            Ok(())
        }
        TableFactor::Table { name, .. } => {
            let problem = SqlProblem::UnknownTable { name: name.to_string() };
            Err(SqlError::at(name.span().start, problem).hint(hint))
        }
        TableFactor::Derived { subquery, .. } => {
            Err(SqlError::at(subquery.span().start, SqlProblem::Subquery).hint(hint))
        }
        other => Err(SqlError::at(other.span().start, SqlProblem::UnknownTable { name: other.to_string() }).hint(hint)),
    }
}

/// Whatever else the parser knows: a statement that is more than projection, table and condition reads otherwise
/// when these three are written out again.
fn refuse_the_rest(query: &Query, select: &Select) -> Result<(), SqlError> {
    let items: Vec<String> = select.projection.iter().map(ToString::to_string).collect();
    let condition = select.selection.as_ref().map_or_else(String::new, |condition| format!(" WHERE {condition}"));
    let quoted = |table: &str| format!("SELECT {} FROM {table}{condition}", items.join(", "));
    let written = query.to_string();
    if written == quoted(TABLE) || written == quoted(&format!("\"{TABLE}\"")) {
        return Ok(());
    }
    let found = written.chars().take(80).collect();
    Err(SqlError::at(START, SqlProblem::NotOneSelect { found }).hint("only projection and WHERE are allowed"))
}
