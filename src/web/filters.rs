//! How pages write numbers, times and parts of addresses.

use chrono::{DateTime, Utc};
use minijinja::{Environment, Error, ErrorKind, Value};

/// Adds the filters that templates use.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("percent", percent);
    environment.add_filter("points", points);
    environment.add_filter("count", count);
    environment.add_filter("bytes", bytes);
    environment.add_filter("day", day);
    environment.add_filter("query", query);
    environment.add_filter("phase", phase);
    environment.add_filter("radius", radius);
    environment.add_filter("pretty", pretty);
}

/// A share as `97.4 %`, which stays on one line.
fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// A difference of two shares as `+0.6 points`.
fn points(difference: f64) -> String {
    let points = difference * 100.0;
    // What rounds to nothing has no sign.
    if points.abs() < 0.05 { "0.0 points".to_owned() } else { format!("{points:+.1} points") }
}

/// A number as `1,360`.
fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> = {
        let first = digits.len() % 3;
        let (head, tail) = digits.split_at(first);
        let head = (!head.is_empty()).then_some(head);
        // Digits are ASCII: every third byte is a border.
        head.into_iter().chain((0..tail.len()).step_by(3).map(|at| &tail[at..at + 3])).collect()
    };
    format!("{}{}", if number < 0 { "−" } else { "" }, groups.join(","))
}

/// Bytes as `60.9 MB`.
fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KB", "MB", "GB", "TB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit < UNITS.len() - 1 {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time as `26 Nov 2026, 23:58 UTC`; scripts turn it into the reader's own.
fn day(at: &str) -> Result<String, Error> {
    let at: DateTime<Utc> = at.parse().map_err(|_| invalid(format!("{at} is no time")))?;
    Ok(at.format("%-d %b %Y, %H:%M UTC").to_string())
}

/// Text as the value of a query.
fn query(text: String) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What a job is doing, in words.
fn phase(name: &str) -> Result<&'static str, Error> {
    match name {
        "features" => Ok("Computing features"),
        "warm_up" => Ok("Warm-up"),
        "fine_tune" => Ok("Fine-tune"),
        other => Err(invalid(format!("{other} is no phase"))),
    }
}

/// The radius of a circle whose area shows a share of all, in hundredths of the diagram's side.
fn radius(pictures: u64, all: u64) -> String {
    let share = pictures as f64 / all.max(1) as f64;
    format!("{:.1}", 1.5 + 6.0 * share.sqrt())
}

/// JSON on several lines.
fn pretty(value: &Value) -> Result<String, Error> {
    serde_json::to_string_pretty(value).map_err(|error| invalid(error.to_string()))
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            (percent(0.97353), points(0.006), points(-0.0001)),
            ("97.4\u{a0}%".into(), "+0.6 points".into(), "0.0 points".into())
        );
        let counts = [0, 999, 1_000, 1_234_567, -12_345].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567", "−12,345"]);
        assert_eq!([17, 60_865_398, 1_000].map(bytes), ["17 bytes", "60.9 MB", "1.0 KB"]);
        assert_eq!(day("2026-11-26T23:58:00.123Z").unwrap(), "26 Nov 2026, 23:58 UTC");
        assert!(day("yesterday").is_err() && phase("rest").is_err());
    }

    #[test]
    fn a_query_can_hold_any_class() {
        assert_eq!(query("a & b=c/ü#".to_owned()), "a+%26+b%3Dc%2F%C3%BC%23");
    }

    #[test]
    fn areas_show_shares() {
        let area = |pictures| (radius(pictures, 100).parse::<f64>().unwrap() - 1.5).powi(2);
        assert!((area(100) / area(25) - 4.0).abs() < 0.1);
        assert!(radius(0, 0).parse::<f64>().is_ok());
    }
}
