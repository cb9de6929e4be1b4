//! Reading typed values out of a row. A value that can't be read is an error that names its column, never a panic.

use std::fmt::Display;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};
use uuid::Uuid;

use super::StoreError;
use super::sql::Row;

/// A row, by column names.
pub(super) struct Cells<'r>(pub(super) &'r Row);

impl<'r> Cells<'r> {
    pub(super) fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match self.0 {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }

    /// A count, length or offset.
    pub(super) fn unsigned<T: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<T, StoreError> {
        T::try_from(self.get::<i64>(column)?).map_err(|error| StoreError::damaged(column, error))
    }

    /// The same, where there is one.
    pub(super) fn unsigned_or_none<T: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let parse = |number| T::try_from(number).map_err(|error| StoreError::damaged(column, error));
        self.get::<Option<i64>>(column)?.map(parse).transpose()
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, column: &str) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|error| StoreError::damaged(column, error))
    }

    pub(super) fn id(&self, column: &str) -> Result<Uuid, StoreError> {
        self.parsed(column)
    }

    pub(super) fn id_or_none(&self, column: &str) -> Result<Option<Uuid>, StoreError> {
        let parse = |text: &str| text.parse().map_err(|error| StoreError::damaged(column, error));
        self.get::<Option<&str>>(column)?.map(parse).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| StoreError::damaged(column, error))
    }

    pub(super) fn json_or_none<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let parse = |text: &str| serde_json::from_str(text).map_err(|error| StoreError::damaged(column, error));
        self.get::<Option<&str>>(column)?.map(parse).transpose()
    }

    /// A value whose JSON is a text, by that text.
    pub(super) fn named<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let text: String = self.get(column)?;
        serde_json::from_value(text.into()).map_err(|error| StoreError::damaged(column, error))
    }

    pub(super) fn time(&self, column: &str) -> Result<DateTime<Utc>, StoreError> {
        time(column, self.get(column)?)
    }

    pub(super) fn time_or_none(&self, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.get::<Option<i64>>(column)?.map(|ms| time(column, ms)).transpose()
    }
}

fn time(column: &str, ms: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(ms).ok_or_else(|| StoreError::damaged(column, "out of range"))
}

/// The database's signed number for a count. Counts come from checked limits far below; beyond, the nearest is right.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Whether a write that shows a lease held: it wrote its one row.
pub(super) fn held(rows: u64) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(StoreError::LostLease) }
}

/// JSON text of plain data.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::damaged(std::any::type_name::<T>(), error))
}

/// The text that a value's JSON is.
pub(super) fn name<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    let unfit = |detail: &str| StoreError::damaged(std::any::type_name::<T>(), detail);
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(_) => Err(unfit("its JSON is no text")),
        Err(error) => Err(unfit(&error.to_string())),
    }
}
