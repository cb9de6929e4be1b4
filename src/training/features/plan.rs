//! What is kept of the pictures between epochs, given a budget: a pure function.

use crate::recipe::Recipe;
use crate::report::FeaturePlan;
use crate::vision::layers::UnfreezeFrom;
use crate::vision::precision::Precision;

/// What a run would like to keep.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// Training pictures.
    pub train: u64,
    /// Rows for evaluation: pictures held out, times the views that they are judged by.
    pub evaluated: u64,
    /// Augmented views of each training picture.
    pub views: u32,
    /// The freeze boundary.
    pub boundary: UnfreezeFrom,
    /// Side of the input in pixels.
    pub input_size: u32,
    /// Bytes a number at the boundary.
    pub number_bytes: u64,
    /// Bytes a row at the top of the body, kept beside for the warm-up; 0 if the boundary is the top.
    pub top_bytes: u64,
}

/// A plan, and the layer it keeps as a number of convolutions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub plan: FeaturePlan,
    /// Convolutions below what is kept; `None` when nothing is.
    pub kept: Option<UnfreezeFrom>,
}

impl Planned {
    /// A plan that was made before.
    pub fn again(plan: FeaturePlan) -> Self {
        let kept = UnfreezeFrom::all().find(|level| Some(level.boundary()) == plan.kept);
        Self { plan, kept }
    }
}

/// What a run with `recipe` wants to keep that learns from `from` up: of `train` pictures as they are and in `views` augmented views, and
/// `evaluated` rows more.
pub fn demand(recipe: &Recipe, from: UnfreezeFrom, precision: Precision, (train, evaluated): (u64, u64), views: u32) -> Demand {
    let top = UnfreezeFrom::NONE.boundary_shape(recipe.input_size as usize).iter().product::<usize>();
    Demand {
        train,
        evaluated,
        views,
        boundary: from,
        input_size: recipe.input_size,
        number_bytes: precision.bytes() as u64,
        top_bytes: if from == UnfreezeFrom::NONE { 0 } else { (top * precision.learning().bytes()) as u64 },
    }
}

impl Demand {
    fn rows(&self, views: u32) -> u64 {
        self.train.saturating_mul(u64::from(views) + 1).saturating_add(self.evaluated)
    }

    /// Bytes a picture's view takes if `level` is kept. Level 0 is the pixels themselves.
    fn row_bytes(&self, level: UnfreezeFrom) -> u64 {
        let [height, width, channels] = level.boundary_shape(self.input_size as usize).map(|n| n as u64);
        let number = if level.frozen() == 0 { 1 } else { self.number_bytes };
        (height * width * channels).saturating_mul(number).saturating_add(self.top_bytes)
    }

    /// Most views that fit when `level` is kept; `None` if not even the pictures as they are do.
    fn fitting(&self, level: UnfreezeFrom, budget: u64) -> Option<u32> {
        let rows = budget / self.row_bytes(level);
        let views = rows.checked_sub(self.rows(0))?.checked_div(self.train).unwrap_or(u64::MAX);
        Some(u32::try_from(views).unwrap_or(u32::MAX).min(self.views))
    }
}

/// Chooses the layer and the views to keep: all views at the boundary if they fit in `budget` bytes; else at the highest
/// layer below it that is narrow enough, whose way to the boundary is then computed in every epoch; else as many views as
/// fit anywhere; else nothing.
pub fn plan(demand: &Demand, budget: u64) -> Planned {
    let below = UnfreezeFrom::all().filter(|level| *level < demand.boundary);
    let boundary_bytes = demand.row_bytes(demand.boundary);
    let narrower = below.filter(|level| demand.row_bytes(*level) < boundary_bytes);
    let mut best: Option<(u32, UnfreezeFrom)> = None;
    // From the boundary down, so that of equals the higher wins: less is computed again.
    for level in std::iter::once(demand.boundary).chain(narrower.rev()) {
        let Some(views) = demand.fitting(level, budget) else { continue };
        if best.is_none_or(|(most, _)| views > most) {
            best = Some((views, level));
        }
    }
    let kept = best.map(|(_, level)| level);
    let (views, rows) = best.map_or((0, 0), |(views, _)| (views, demand.rows(views)));
    Planned {
        plan: FeaturePlan {
            boundary: demand.boundary.boundary(),
            kept: kept.map(UnfreezeFrom::boundary),
            views,
            views_wanted: demand.views,
            rows,
            bytes: kept.map_or(0, |level| rows * demand.row_bytes(level)),
            budget_bytes: budget,
        },
        kept,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// flowers17 at the usual boundary in 8-bit integers.
    const FLOWERS: Demand = Demand {
        train: 1020,
        evaluated: 340,
        views: 4,
        boundary: UnfreezeFrom::BLOCK5_CONV1,
        input_size: 224,
        number_bytes: 1,
        top_bytes: 7 * 7 * 512 * 2,
    };

    #[test]
    fn all_that_is_wanted_is_kept_where_it_fits() {
        let planned = plan(&FLOWERS, 1 << 30);
        assert_eq!((planned.plan.kept.as_deref(), planned.plan.views, planned.plan.rows), (Some("block4_pool"), 4, 5440));
        assert_eq!(planned.plan.bytes, 5440 * (14 * 14 * 512 + 7 * 7 * 512 * 2));
    }

    #[test]
    fn less_room_means_fewer_views_and_then_none_kept() {
        let row = 14 * 14 * 512 + 7 * 7 * 512 * 2;
        assert_eq!(plan(&FLOWERS, row * (1020 * 3 + 340)).plan.views, 2);
        let bare = plan(&FLOWERS, row * 1360);
        assert_eq!((bare.plan.views, bare.kept), (0, Some(UnfreezeFrom::BLOCK5_CONV1)));
        let none = plan(&FLOWERS, row * 1360 - 1);
        assert_eq!((none.plan.kept, none.kept, none.plan.bytes), (None, None, 0));
    }

    #[test]
    fn a_narrower_layer_below_a_wide_boundary_is_kept_when_room_is_short() {
        let wide = Demand { boundary: "block4_conv2".parse().unwrap(), ..FLOWERS };
        assert_eq!(plan(&wide, 1 << 40).plan.kept.as_deref(), Some("block4_conv1"));
        // block4_conv1 is 28 × 28 × 512; block3_pool before it 28 × 28 × 256.
        let row = 28 * 28 * 256 + wide.top_bytes;
        let planned = plan(&wide, row * 5440);
        assert_eq!((planned.plan.kept.as_deref(), planned.plan.views), (Some("block3_pool"), 4));
    }

    proptest! {
        #[test]
        fn a_plan_never_exceeds_its_budget_nor_what_is_wanted(
            train in 0u64..300_000, evaluated in 1u64..100_000, views in 0u32..20, boundary in 0usize..=13,
            size in 5u32..15, budget in 0u64..1 << 42, top in 0u64..200_000,
        ) {
            let boundary = UnfreezeFrom::all().nth(boundary).unwrap();
            let demand =
                Demand { train, evaluated, views, boundary, input_size: size * 32, number_bytes: 2, top_bytes: top };
            let planned = plan(&demand, budget);
            prop_assert!(planned.plan.bytes <= budget);
            prop_assert!(planned.plan.views <= views);
            prop_assert!(planned.kept.is_none_or(|kept| kept <= boundary));
            // More room never means fewer views.
            prop_assert!(plan(&demand, budget.saturating_mul(2)).plan.views >= planned.plan.views);
        }
    }
}
