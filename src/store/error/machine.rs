//! The machine's trouble, by SQLite's codes.

use super::StoreError;

/// Sorts the machine's trouble from the rest.
pub(super) fn sorted(error: sqlx::Error) -> StoreError {
    match error {
        // The one connection that writes is waited for, as other processes are.
        sqlx::Error::PoolTimedOut => StoreError::Busy,
        sqlx::Error::Io(error) => StoreError::io(error),
        other => {
            let code = other.as_database_error().and_then(|error| error.code()?.parse().ok());
            match code.and_then(kind) {
                Some(Kind::Full) => StoreError::Full,
                Some(Kind::Busy) => StoreError::Busy,
                Some(Kind::Unavailable) => StoreError::Unavailable(other.into()),
                None => StoreError::database(other),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Full,
    Busy,
    Unavailable,
}

/// The file that readers and writers share couldn't be made longer; nothing but a full disk does that.
const IOERR_SHMSIZE: i32 = 10 | 19 << 8;

/// What SQLite's extended result code says of the machine.
const fn kind(code: i32) -> Option<Kind> {
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
            assert_eq!(super::kind(code), kind, "{code}");
        }
    }
}
