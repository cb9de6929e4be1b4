//! The machine's trouble, by SQLite's codes and PostgreSQL's.

use std::io::{self, ErrorKind};

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::StoreError;

/// Sorts the machine's trouble from the rest.
pub(super) fn sorted(error: sqlx::Error) -> StoreError {
    match error {
        // The one connection that writes is waited for, as other processes are.
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::Io(error) if is_network(&error) => StoreError::Unavailable(error.into()),
        sqlx::Error::Io(error) => StoreError::io(error),
        // A connection that broke off between two messages.
        sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => StoreError::Unavailable(error.into()),
        other => match other.as_database_error().and_then(kind) {
            Some(Kind::Full) => StoreError::Full,
            Some(Kind::Busy) => StoreError::Busy,
            Some(Kind::Unavailable) => StoreError::Unavailable(other.into()),
            None => StoreError::database(other),
        },
    }
}

/// Whether a server couldn't be reached, or no longer.
fn is_network(error: &io::Error) -> bool {
    use ErrorKind::*;
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | NotConnected
            | BrokenPipe
            | TimedOut
            | UnexpectedEof
            | HostUnreachable
            | NetworkUnreachable
            | NetworkDown
    )
}

fn kind(error: &dyn DatabaseError) -> Option<Kind> {
    let code = error.code()?;
    if error.try_downcast_ref::<PgDatabaseError>().is_some() { postgres(&code) } else { sqlite(code.parse().ok()?) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Busy,
    Unavailable,
}

/// The file that readers and writers share couldn't be made longer; nothing but a full disk does that.
const IOERR_SHMSIZE: i32 = 10 | 19 << 8;

/// What PostgreSQL's SQLSTATE says of the machine.
fn postgres(code: &str) -> Option<Kind> {
    match code {
        // disk_full
        "53100" => Some(Kind::Full),
        // too_many_connections, lock_not_available, serialization_failure, deadlock_detected
        "53300" | "55P03" | "40001" | "40P01" => Some(Kind::Busy),
        // read_only_sql_transaction: a server that isn't the first one any more
        "25006" => Some(Kind::Unavailable),
        // connection_exception, operator_intervention (it is shutting down or starting up), insufficient_resources, system_error
        _ if ["08", "57P", "53", "58"].iter().any(|class| code.starts_with(class)) => Some(Kind::Unavailable),
        _ => None,
    }
}

/// What SQLite's extended result code says of the machine.
const fn sqlite(code: i32) -> Option<Kind> {
    match (code, code & 0xff) {
        // FULL
        (IOERR_SHMSIZE, _) | (_, 13) => Some(Kind::Full),
        // BUSY, LOCKED
        (_, 5 | 6) => Some(Kind::Busy),
        // PERM, READONLY, IOERR, CANTOPEN
        (_, 3 | 8 | 10 | 14) => Some(Kind::Unavailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlites_codes_are_told_apart() {
        let expected = [
            (13, Some(Kind::Full)),
            (4874, Some(Kind::Full)),
            (5, Some(Kind::Busy)),
            // BUSY_RECOVERY, LOCKED_SHAREDCACHE
            (261, Some(Kind::Busy)),
            (262, Some(Kind::Busy)),
            // READONLY_DBMOVED, IOERR_FSYNC, CANTOPEN
            (1032, Some(Kind::Unavailable)),
            (1034, Some(Kind::Unavailable)),
            (14, Some(Kind::Unavailable)),
            // CORRUPT, NOTADB, CONSTRAINT_UNIQUE
            (11, None),
            (26, None),
            (2067, None),
        ];
        for (code, kind) in expected {
            assert_eq!(sqlite(code), kind, "{code}");
        }
    }

    #[test]
    fn postgres_codes_are_told_apart() {
        let expected = [
            ("53100", Some(Kind::Full)),
            ("40P01", Some(Kind::Busy)),
            ("53300", Some(Kind::Busy)),
            ("57P03", Some(Kind::Unavailable)),
            ("08006", Some(Kind::Unavailable)),
            ("25006", Some(Kind::Unavailable)),
            // unique_violation, query_canceled, undefined_table
            ("23505", None),
            ("57014", None),
            ("42P01", None),
        ];
        for (code, kind) in expected {
            assert_eq!(postgres(code), kind, "{code}");
        }
    }
}
