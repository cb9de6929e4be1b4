//! The ranges of what concerns connections.

use super::{ConfigError, Settings};

/// The longest of any of these times: a day.
const LONGEST: u32 = 86_400;

/// Checks them.
pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    if settings.max_connections == 0 {
        return Err(ConfigError::OutOfRange { field: "max_connections", must: "at least 1" });
    }
    let seconds = [
        ("header_seconds", settings.header_seconds),
        ("body_idle_seconds", settings.body_idle_seconds),
        ("answer_idle_seconds", settings.answer_idle_seconds),
        ("stop_seconds", settings.stop_seconds),
    ];
    if let Some((field, _)) = seconds.iter().find(|(_, seconds)| !(1..=LONGEST).contains(seconds)) {
        return Err(ConfigError::OutOfRange { field, must: "from 1 to 86400" });
    }
    if settings.lame_duck_ms > u64::from(LONGEST) * 1000 {
        return Err(ConfigError::OutOfRange { field: "lame_duck_ms", must: "at most 86400000" });
    }
    Ok(())
}
