//! How often somebody may ask, as a pure function of time.

use std::time::Duration;

/// What a request costs. In units of which a bucket for one request a minute gains one each nanosecond, so that everything is
/// whole numbers, and exact.
const COST: u128 = Duration::from_secs(60).as_nanos();

/// A token bucket for so many requests a minute. It holds a minute's worth: who has rested may ask as often at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    per_minute: u32,
    credit: u128,
    /// When `credit` was true, counted from whatever moment the caller counts from.
    at: Duration,
}

impl Bucket {
    /// A full one at `now`.
    #[must_use]
    pub fn full(per_minute: u32, now: Duration) -> Self {
        Self { per_minute, credit: u128::from(per_minute) * COST, at: now }
    }

    /// How many requests a minute it is for.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        self.per_minute
    }

    /// Takes a request's worth out of it. A time before the last one counts as the last one.
    ///
    /// # Errors
    /// How long to wait until there is enough; nothing was taken.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let rate = u128::from(self.per_minute);
        let gained = now.saturating_sub(self.at).as_nanos().saturating_mul(rate);
        self.credit = self.credit.saturating_add(gained).min(rate * COST);
        self.at = self.at.max(now);
        match self.credit.checked_sub(COST) {
            Some(left) => {
                self.credit = left;
                Ok(())
            }
            // A bucket for no requests at all never has enough.
            None => match (COST - self.credit).checked_div(rate) {
                Some(wait) => Err(Duration::from_nanos(u64::try_from(wait + 1).unwrap_or(u64::MAX))),
                None => Err(Duration::MAX),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_waits_as_long_as_told_is_let_in() {
        for per_minute in [1, 7, 60, 1_000_000] {
            let mut bucket = Bucket::full(per_minute, Duration::ZERO);
            for _ in 0..per_minute.min(1000) {
                bucket.take(Duration::ZERO).unwrap();
            }
            bucket.credit %= COST;
            let wait = bucket.take(Duration::ZERO).unwrap_err();
            assert!(wait <= Duration::from_nanos(60_000_000_001 / u64::from(per_minute) + 1), "{per_minute}: {wait:?}");
            assert!(bucket.take(wait / 2).is_err());
            bucket.take(wait).unwrap();
        }
    }

    #[test]
    fn a_bucket_for_nothing_gives_nothing() {
        assert_eq!(Bucket::full(0, Duration::ZERO).take(Duration::from_secs(3600)), Err(Duration::MAX));
    }

    proptest! {
        /// In any window of t, at most `per_minute + per_minute * t / minute` requests are let in.
        #[test]
        fn no_window_has_more_than_a_burst_and_the_rate(
            per_minute in 1u32..200,
            pauses in proptest::collection::vec(prop_oneof![Just(0), 0u64..2_000_000_000, 0u64..90_000_000_000], 1..300),
        ) {
            let mut bucket = Bucket::full(per_minute, Duration::ZERO);
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for pause in pauses {
                now += Duration::from_nanos(pause);
                if bucket.take(now).is_ok() {
                    taken.push(now.as_nanos());
                }
            }
            let rate = u128::from(per_minute);
            for (first, begin) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let let_in = (last - first + 1) as u128;
                    prop_assert!(let_in * COST <= rate * COST + rate * (end - begin));
                }
            }
        }

        #[test]
        fn nobody_at_the_rate_is_ever_refused(per_minute in 1u32..1000, requests in 1u32..500) {
            let mut bucket = Bucket::full(per_minute, Duration::ZERO);
            let between = Duration::from_nanos(60_000_000_000u64.div_ceil(u64::from(per_minute)));
            for request in 0..requests {
                prop_assert!(bucket.take(between * request).is_ok());
            }
        }
    }
}
