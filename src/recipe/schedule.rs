//! How the learning rate moves within a phase. Pure: a step's rate follows from its number alone, so a phase that goes on
//! from any step goes on with the right one.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Epochs between two reductions when the request gives none, as PyTorch's ImageNet example has it.
const DEFAULT_STEP_EPOCHS: u32 = 30;

/// What a reduction multiplies with when the request gives nothing else: VGG16 itself was trained with reductions by 10
/// whenever validation stopped getting better (Simonyan and Zisserman 2014, section 3.1).
const DEFAULT_FACTOR: f64 = 0.1;

/// Epochs without a better validation loss before a reduction, when the request gives none. A guess of ours.
const DEFAULT_PATIENCE: u32 = 5;

/// The shapes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// The optimiser's learning rate throughout.
    Constant,
    /// Half a cosine wave down to 0 at the phase's last step (Loshchilov and Hutter 2016, without restarts).
    Cosine,
    /// Multiplied with `factor` every `step_epochs` epochs.
    Step,
    /// Multiplied with `factor` whenever `patience` epochs brought no better validation loss.
    Plateau,
}

impl ScheduleKind {
    /// Whether `step_epochs` means anything to it.
    #[must_use]
    pub const fn takes_step_epochs(self) -> bool {
        matches!(self, Self::Step)
    }

    /// Whether `factor` means anything to it.
    #[must_use]
    pub const fn takes_factor(self) -> bool {
        matches!(self, Self::Step | Self::Plateau)
    }

    /// Whether `patience` means anything to it.
    #[must_use]
    pub const fn takes_patience(self) -> bool {
        matches!(self, Self::Plateau)
    }
}

/// How the learning rate moves within a phase. What its kind doesn't use holds the default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Which shape.
    pub kind: ScheduleKind,
    /// Epochs, or parts of one, over which the rate rises linearly from 0 to the optimiser's learning rate; 0 starts at the
    /// full rate.
    pub ramp_epochs: f64,
    /// For `step`: epochs between two reductions. Always 30 for the others.
    pub step_epochs: u32,
    /// For `step` and `plateau`: what a reduction multiplies the rate with. Always 0.1 for the others.
    pub factor: f64,
    /// For `plateau`: epochs without a better validation loss before a reduction. Always 5 for the others.
    pub patience: u32,
}

impl Schedule {
    /// The kind's schedule, without a ramp, when nothing else is given.
    #[must_use]
    pub const fn new(kind: ScheduleKind) -> Self {
        Self { kind, ramp_epochs: 0.0, step_epochs: DEFAULT_STEP_EPOCHS, factor: DEFAULT_FACTOR, patience: DEFAULT_PATIENCE }
    }

    /// The learning rate of a step, 0 to `base`.
    ///
    /// `step` counts from 0 through the whole phase of `epochs` × `steps_per_epoch` steps, `reductions` is how often the
    /// plateau was reached so far. The ramp's last step takes `base` and the phase's first its part of it, so no step of the
    /// ramp is lost to a rate of 0; where the ramp is longer than what the other kinds wait for, both multiply.
    #[must_use]
    pub fn rate(&self, base: f64, step: u64, steps_per_epoch: u64, epochs: u32, reductions: u32) -> f64 {
        let steps_per_epoch = steps_per_epoch.max(1);
        // Counts of steps are far below 2^53: every cast here is exact.
        let ramp = self.ramp_epochs * steps_per_epoch as f64;
        let done = (step + 1) as f64;
        let risen = if done < ramp { done / ramp } else { 1.0 };
        let shape = match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Cosine => cosine(done, ramp.max(1.0), (u64::from(epochs) * steps_per_epoch) as f64),
            ScheduleKind::Step => {
                let epoch = step / steps_per_epoch;
                self.factor.powf((epoch / u64::from(self.step_epochs.max(1))) as f64)
            }
            ScheduleKind::Plateau => self.factor.powf(f64::from(reductions)),
        };
        base * risen * shape
    }
}

/// 1 up to `start`, 0 from `end` on, half a cosine wave between them. 1 throughout if nothing lies between them: a phase of
/// a single step would learn nothing at 0.
fn cosine(at: f64, start: f64, end: f64) -> f64 {
    if end <= start {
        return 1.0;
    }
    let progress = ((at - start) / (end - start)).clamp(0.0, 1.0);
    0.5 * (1.0 + (PI * progress).cos())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [ScheduleKind; 4] = [ScheduleKind::Constant, ScheduleKind::Cosine, ScheduleKind::Step, ScheduleKind::Plateau];

    fn schedule() -> impl Strategy<Value = Schedule> {
        (proptest::sample::select(KINDS.to_vec()), 0.0..20.0f64, 1u32..40, 0.01..0.99f64, 1u32..10).prop_map(
            |(kind, ramp_epochs, step_epochs, factor, patience)| Schedule { kind, ramp_epochs, step_epochs, factor, patience },
        )
    }

    proptest! {
        #[test]
        fn a_rate_is_never_negative_and_never_above_the_base(
            schedule in schedule(), base in 1e-9..10.0f64, step in 0u64..10_000, per_epoch in 0u64..100, epochs in 0u32..100,
            reductions in 0u32..500,
        ) {
            let rate = schedule.rate(base, step, per_epoch, epochs, reductions);
            prop_assert!((0.0..=base).contains(&rate), "{rate}");
        }

        /// No jump: two steps of the ramp differ by one part of it, and the first after it by less than that or by what
        /// the cosine falls at most in a step, π/2 of its even share.
        #[test]
        fn the_rate_goes_on_smoothly_where_the_ramp_ends(
            ramp_steps in 1u64..200, per_epoch in 1u64..100, epochs in 1u32..50, cosine: bool,
        ) {
            let kind = if cosine { ScheduleKind::Cosine } else { ScheduleKind::Constant };
            let schedule = Schedule { ramp_epochs: ramp_steps as f64 / per_epoch as f64, ..Schedule::new(kind) };
            let rate = |step| schedule.rate(1.0, step, per_epoch, epochs, 0);
            let last = u64::from(epochs) * per_epoch - 1;
            prop_assert!((rate(ramp_steps - 1) - 1.0).abs() < 1e-9);
            let part = 1.0 / ramp_steps as f64;
            let fall = PI / 2.0 / last.saturating_sub(ramp_steps - 1).max(1) as f64;
            for step in 1..=last.max(ramp_steps) {
                let (before, after) = (rate(step - 1), rate(step));
                if step < ramp_steps {
                    prop_assert!((after - before - part).abs() < 1e-9);
                } else {
                    prop_assert!(after <= before + 1e-9 && before - after <= fall + 1e-9);
                }
            }
        }

        #[test]
        fn a_cosine_ends_at_nothing(per_epoch in 1u64..100, epochs in 2u32..100, ramp in 0.0..1.0f64, base in 1e-9..10.0f64) {
            let schedule = Schedule { ramp_epochs: ramp, ..Schedule::new(ScheduleKind::Cosine) };
            let last = u64::from(epochs) * per_epoch - 1;
            prop_assert!(schedule.rate(base, last, per_epoch, epochs, 0) <= base * 1e-12);
            prop_assert!(schedule.rate(base, last - 1, per_epoch, epochs, 0) > 0.0);
        }

        #[test]
        fn after_the_ramp_no_rate_rises(
            schedule in schedule(), per_epoch in 1u64..50, epochs in 1u32..50, reductions in 0u32..9,
        ) {
            let ramp = (schedule.ramp_epochs * per_epoch as f64).ceil() as u64;
            let rate = |step| schedule.rate(1.0, step, per_epoch, epochs, reductions);
            for step in ramp..u64::from(epochs) * per_epoch {
                prop_assert!(rate(step + 1) <= rate(step));
                prop_assert!(schedule.rate(1.0, step, per_epoch, epochs, reductions + 1) <= rate(step));
            }
        }
    }

    fn rates(schedule: Schedule, steps: &[(u64, u32)]) -> Vec<f64> {
        steps.iter().map(|&(step, reductions)| schedule.rate(1.0, step, 10, 4, reductions)).collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    }

    #[test]
    fn the_rates_are_those_worked_out_by_hand() {
        let starts = [(0, 0), (9, 0), (39, 9)];
        close(&rates(Schedule::new(ScheduleKind::Constant), &starts), &[1.0, 1.0, 1.0]);
        let step = Schedule { step_epochs: 2, factor: 0.5, ..Schedule::new(ScheduleKind::Step) };
        close(&rates(step, &[(0, 0), (19, 0), (20, 0), (39, 0)]), &[1.0, 1.0, 0.5, 0.5]);
        let plateau = Schedule { factor: 0.5, ..Schedule::new(ScheduleKind::Plateau) };
        close(&rates(plateau, &[(0, 0), (30, 1), (35, 2)]), &[1.0, 0.5, 0.25]);
        // 39 intervals lie between the first step and the last: step 13 is a third of the way, cos(π/3) = 1/2.
        close(&rates(Schedule::new(ScheduleKind::Cosine), &[(0, 0), (13, 0), (26, 0), (39, 0)]), &[1.0, 0.75, 0.25, 0.0]);
        // A ramp of 5 steps; a step schedule that is reduced within its ramp has both.
        let ramp = Schedule { ramp_epochs: 0.5, ..Schedule::new(ScheduleKind::Constant) };
        close(&rates(ramp, &[(0, 0), (1, 0), (4, 0), (5, 0)]), &[0.2, 0.4, 1.0, 1.0]);
        let both = Schedule { ramp_epochs: 4.0, ..step };
        close(&rates(both, &[(19, 0), (20, 0)]), &[0.5, 21.0 / 40.0 / 2.0]);
    }

    #[test]
    fn a_single_step_learns() {
        close(&[Schedule::new(ScheduleKind::Cosine).rate(0.1, 0, 1, 1, 0)], &[0.1]);
    }
}
