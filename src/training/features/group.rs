//! A few views at a time on one thread: what a decoder leaves in the caches costs the network a hundredth once for all of them, and the
//! layers that learn read their weights once.

use tch::Tensor;

use super::Target;
use super::extract::{Computed, Levels, Wanted, WantedView};
use super::render::Renderer;
use super::rows::bytes_of;
use super::shelf::Shelf;
use crate::training::TrainingError;
use crate::training::sample::Sample;
use crate::vision::backbone::Backbone;

/// `wanted` in its order: each group has at most `most` views, or one picture with more of them.
pub fn groups(wanted: &[Wanted], most: usize) -> Vec<&[Wanted]> {
    let mut groups = Vec::new();
    let mut rest = wanted;
    while !rest.is_empty() {
        let mut views = 0;
        let fits = |picture: &&Wanted| {
            views += picture.views.len();
            views <= most
        };
        let pictures = rest.iter().take_while(fits).count().max(1);
        let (group, after) = rest.split_at(pictures);
        groups.push(group);
        rest = after;
    }
    groups
}

/// What a thread needs to compute rows, but for its backbone.
pub struct Desk<'a> {
    pub renderer: Renderer<'a>,
    pub levels: Levels,
    /// Where kept rows may be already.
    pub shelf: &'a Shelf,
    /// Views that are computed at a time.
    pub together: usize,
}

/// What the row of a view at the kept layer comes from.
enum Source {
    Row(Vec<u8>),
    Pixels(Vec<u8>),
}

impl Desk<'_> {
    /// Hands over what is wanted of `group`, view after view, until nobody takes it.
    ///
    /// # Errors
    /// A picture can't be read or libtorch refuses.
    pub fn compute(
        &self,
        backbone: &Backbone,
        group: &[Wanted],
        hand_over: &mut dyn FnMut(Computed) -> bool,
    ) -> Result<(), TrainingError> {
        let of = |image, wanted: &WantedView| (Sample { image, view: wanted.view }, *wanted);
        let views: Vec<_> = group.iter().flat_map(|picture| picture.views.iter().map(|view| of(picture.image, view))).collect();
        let (mut image, mut picture) = (None, None);
        for views in views.chunks(self.together) {
            let mut sources = Vec::with_capacity(views.len());
            for &(sample, wanted) in views {
                if image.replace(sample.image) != Some(sample.image) {
                    picture = None;
                }
                sources.push(match self.stored(sample, wanted) {
                    Some(row) => Source::Row(row),
                    None => Source::Pixels(self.renderer.render(sample, &mut picture)?),
                });
            }
            for computed in self.chunk(backbone, views, sources)? {
                if !hand_over(computed) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The kept row, where only the one above it is wanted.
    fn stored(&self, sample: Sample, wanted: WantedView) -> Option<Vec<u8>> {
        if wanted.kept {
            return None;
        }
        let mut row = vec![0; self.levels.kept.bytes()];
        self.shelf.read(&self.renderer.key(sample), &mut row).ok()?;
        Some(row)
    }

    fn chunk(
        &self,
        backbone: &Backbone,
        views: &[(Sample, WantedView)],
        sources: Vec<Source>,
    ) -> Result<Vec<Computed>, TrainingError> {
        let Levels { kept, top, .. } = &self.levels;
        let (mut computed, mut below) = (Vec::with_capacity(views.len()), Vec::with_capacity(views.len()));
        for (&(sample, wanted), source) in views.iter().zip(sources) {
            let (x, row) = match source {
                Source::Row(row) => (kept.tensor(&row, backbone)?, None),
                Source::Pixels(pixels) => {
                    let x = backbone.frozen(&backbone.pixels(&pixels, self.renderer.side())?, 0, kept.passed())?;
                    let row = if kept.passed() == 0 { pixels } else { bytes_of(&x)? };
                    (x, wanted.kept.then(|| kept.packed(&row)))
                }
            };
            computed.push(Computed { sample, kept: row, top: None });
            if wanted.top {
                below.push(x);
            }
        }
        let tops = match &below[..] {
            [] => Vec::new(),
            [x] => bytes_of(&self.levels.lift(x, Target::Head, backbone)?)?,
            _ => bytes_of(&self.levels.lift(&Tensor::f_cat(&below, 0)?, Target::Head, backbone)?)?,
        };
        let lifted = views.iter().zip(&mut computed).filter(|((_, wanted), _)| wanted.top);
        for ((_, computed), row) in lifted.zip(tops.chunks_exact(top.bytes())) {
            computed.top = Some(top.packed(row));
        }
        Ok(computed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vision::augmentation::View;

    proptest! {
        #[test]
        fn groups_are_all_that_is_wanted_in_order_and_as_large_as_they_may_be(
            views in proptest::collection::vec(1..8usize, 0..40), most in 1..6usize,
        ) {
            let view = WantedView { view: View::Evaluation, kept: true, top: true };
            let wanted: Vec<Wanted> =
                views.iter().enumerate().map(|(image, &count)| Wanted { image, views: vec![view; count] }).collect();
            let groups = groups(&wanted, most);
            let images: Vec<usize> = groups.iter().copied().flatten().map(|wanted| wanted.image).collect();
            prop_assert_eq!(images, (0..views.len()).collect::<Vec<_>>());
            let size = |group: &[Wanted]| group.iter().map(|wanted| wanted.views.len()).sum::<usize>();
            for (place, group) in groups.iter().enumerate() {
                prop_assert!(group.len() == 1 || size(group) <= most);
                if let Some(next) = groups.get(place + 1) {
                    prop_assert!(size(group) + size(&next[..1]) > most);
                }
            }
        }
    }
}
