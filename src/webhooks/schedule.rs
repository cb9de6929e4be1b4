//! When the next attempt is.

use std::time::Duration;

/// What follows an attempt that failed; a receiver that is down for most of a day still hears.
const PAUSES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
];

/// How much longer a pause may be, by chance: what failed together doesn't come back together.
const JITTER: f64 = 0.2;

/// The pause after so many attempts, with `luck` from 0 to 1; none: that was the last.
pub(super) fn pause(attempts: u32, luck: f64) -> Option<Duration> {
    let pause = PAUSES.get(attempts.saturating_sub(1) as usize)?;
    Some(pause.mul_f64(1.0 + JITTER * luck.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_grow_and_end_within_a_day(luck in prop::collection::vec(0.0..=1.0f64, PAUSES.len())) {
            let pauses: Vec<_> = (1..).zip(&luck).map_while(|(attempts, luck)| pause(attempts, *luck)).collect();
            prop_assert_eq!(pauses.len(), PAUSES.len());
            prop_assert!(pauses[..6].is_sorted() && pauses[0] >= Duration::from_secs(5));
            prop_assert!(pauses.iter().sum::<Duration>() < Duration::from_secs(24 * 60 * 60));
            prop_assert_eq!(pause(9, luck[0]), None);
            prop_assert_eq!(pause(u32::MAX, luck[0]), None);
        }
    }
}
