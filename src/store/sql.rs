//! One way to ask SQLite and PostgreSQL: a statement, its values, and where it runs.
//!
//! Statements are written in the SQL that both share. What only PostgreSQL is to read stands in a comment, `/*pg … */`: the locks on
//! rows that a transaction relies on (`for update`). SQLite has no words for them and no need: its writers are one at a time.

mod pool;

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query as SqlxQuery;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr, SqlStr, Sqlite};

pub(super) use pool::{CHANNEL, Pool, Tx};

use super::StoreError;

/// The most parameters of one statement: SQLite takes 32,766, PostgreSQL 65,535.
const MOST_PARAMETERS: usize = 32_766;

/// Rows of one insert, of as many parameters as rows have here. More brings nothing, and no statement gets too long.
const MOST_ROWS: usize = 500;

/// A value for a statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Real(Option<f64>),
}

/// What can be a value.
macro_rules! values {
    ($($variant:ident: $($from:ty = $convert:expr),*;)*) => {
        $($(
            impl From<$from> for Value {
                fn from(value: $from) -> Self {
                    Self::$variant(Some($convert(value)))
                }
            }

            impl From<Option<$from>> for Value {
                fn from(value: Option<$from>) -> Self {
                    Self::$variant(value.map($convert))
                }
            }
        )*)*
    };
}

values! {
    Text: String = std::convert::identity, &String = String::clone, &str = str::to_owned;
    Int: i64 = std::convert::identity;
    Real: f64 = std::convert::identity;
}

impl From<&Option<String>> for Value {
    fn from(text: &Option<String>) -> Self {
        text.as_deref().into()
    }
}

/// A statement and its values.
#[must_use]
pub(super) struct Query {
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// A statement, its parameters called `$1`, `$2` and so on.
pub(super) const fn query(sql: &'static str) -> Query {
    Query { sql: Cow::Borrowed(sql), values: Vec::new() }
}

/// A row of either database.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Where a statement runs.
pub(super) enum Target<'t> {
    Pool(&'t Pool),
    Tx(&'t mut Tx),
}

impl<'t> From<&'t Pool> for Target<'t> {
    fn from(pool: &'t Pool) -> Self {
        Self::Pool(pool)
    }
}

impl<'t> From<&'t mut Tx> for Target<'t> {
    fn from(tx: &'t mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// Runs a statement by one of sqlx's methods, wherever that is.
macro_rules! run {
    ($query:ident, $on:ident, $method:ident, $sqlite:expr, $postgres:expr) => {
        match $on.into() {
            Target::Pool(Pool::Sqlite(pool)) => $query.sqlite().$method(pool).await.map($sqlite),
            Target::Pool(Pool::Postgres(pool)) => $query.postgres().$method(pool).await.map($postgres),
            Target::Tx(Tx::Sqlite(tx)) => $query.sqlite().$method(&mut **tx).await.map($sqlite),
            Target::Tx(Tx::Postgres(tx)) => $query.postgres().$method(&mut **tx).await.map($postgres),
        }
    };
}

impl Query {
    /// Gives the next parameter its value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// How many rows the statement wrote.
    pub(super) async fn execute<'t>(self, on: impl Into<Target<'t>>) -> Result<u64, StoreError> {
        Ok(run!(self, on, execute, |done| done.rows_affected(), |done| done.rows_affected())?)
    }

    /// Its rows.
    pub(super) async fn fetch_all<'t>(self, on: impl Into<Target<'t>>) -> Result<Vec<Row>, StoreError> {
        let sqlite = |rows: Vec<_>| rows.into_iter().map(Row::Sqlite).collect();
        let postgres = |rows: Vec<_>| rows.into_iter().map(Row::Postgres).collect();
        Ok(run!(self, on, fetch_all, sqlite, postgres)?)
    }

    /// Its first row, if it has one.
    pub(super) async fn fetch_optional<'t>(self, on: impl Into<Target<'t>>) -> Result<Option<Row>, StoreError> {
        let (sqlite, postgres) = (|row: Option<_>| row.map(Row::Sqlite), |row: Option<_>| row.map(Row::Postgres));
        Ok(run!(self, on, fetch_optional, sqlite, postgres)?)
    }

    /// Its first row, which there is.
    pub(super) async fn fetch_one<'t>(self, on: impl Into<Target<'t>>) -> Result<Row, StoreError> {
        Ok(run!(self, on, fetch_one, Row::Sqlite, Row::Postgres)?)
    }

    fn sqlite(self) -> SqlxQuery<'static, Sqlite, SqliteArguments> {
        let query = sqlx::query(safe(self.sql));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Int(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
        })
    }

    fn postgres(self) -> SqlxQuery<'static, Postgres, PgArguments> {
        let query = sqlx::query(safe(for_postgres(self.sql)));
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text),
            Value::Int(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
        })
    }
}

/// Every statement is a literal of this room, or put together here from literals: what comes from outside is bound.
fn safe(sql: Cow<'static, str>) -> SqlStr {
    match sql {
        Cow::Borrowed(sql) => sql.into_sql_str(),
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    }
}

/// A statement as PostgreSQL reads it.
fn for_postgres(sql: Cow<'static, str>) -> Cow<'static, str> {
    if sql.contains("/*pg ") { sql.replace("/*pg ", "").replace("*/", "").into() } else { sql }
}

/// Inserts rows, many at a time. `into` names the table and its columns: `insert into t (a, b)`.
pub(super) async fn insert_rows<const N: usize>(tx: &mut Tx, into: &str, rows: &[[Value; N]]) -> Result<(), StoreError> {
    for chunk in rows.chunks((MOST_PARAMETERS / N).min(MOST_ROWS)) {
        let mut sql = format!("{into} values ");
        for row in 0..chunk.len() {
            let parameters: Vec<String> = (1..=N).map(|column| format!("${}", row * N + column)).collect();
            sql += &format!("{}({})", if row == 0 { "" } else { ", " }, parameters.join(", "));
        }
        let query = Query { sql: sql.into(), values: chunk.iter().flatten().cloned().collect() };
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// A statement whose last condition is `column in (…)` of these texts; there must be some.
pub(super) fn query_in(select: &str, texts: impl IntoIterator<Item = String>) -> Query {
    let values: Vec<Value> = texts.into_iter().map(Value::from).collect();
    let parameters: Vec<String> = (1..=values.len()).map(|number| format!("${number}")).collect();
    Query { sql: format!("{select} in ({})", parameters.join(", ")).into(), values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_reads_what_is_for_it() {
        let sql = "select 1 from a where b = $1 /*pg for update*/ limit 1";
        assert_eq!(for_postgres(sql.into()), "select 1 from a where b = $1 for update limit 1");
        assert!(matches!(for_postgres("select 1".into()), Cow::Borrowed("select 1")));
    }
}
