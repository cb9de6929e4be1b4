//! What a view's features take beside noise through the same network.
//!
//! Pictures and as many views of noise take turns on every thread, so whatever slows the machine down slows both down. As many pictures
//! at a time as extraction takes together.

use std::mem;
use std::time::{Duration, Instant};

use topgraft::recipe::Recipe;
use topgraft::training::TrainingData;
use topgraft::vision::augmentation::{self, View};
use topgraft::vision::backbone::Backbone;
use topgraft::vision::device;
use topgraft::vision::weights::BodyWeights;

use crate::{crew, stages};

/// Views that are timed, about.
const VIEWS: usize = 600;

/// What views took, on all threads together.
#[derive(Default)]
struct Spent {
    views: usize,
    decoding: Duration,
    rendering: Duration,
    network: Duration,
    noise: Duration,
}

impl Spent {
    fn and(self, other: Self) -> Self {
        Self {
            views: self.views + other.views,
            decoding: self.decoding + other.decoding,
            rendering: self.rendering + other.rendering,
            network: self.network + other.network,
            noise: self.noise + other.noise,
        }
    }
}

/// Times the views that `recipe` keeps of a picture, and prints the sum. Packing and writing rows isn't in it; a whole run's is.
pub fn report(body: &BodyWeights, data: &TrainingData, recipe: &Recipe) -> anyhow::Result<()> {
    let backbone = stages::backbone(body, device::device())?;
    let augmented = (1..=recipe.augmentation.count).map(View::Augmented);
    let views = [View::Evaluation].into_iter().chain(augmented).collect();
    let turns = Turns { data, recipe, views, noise: stages::noise(recipe.input_size as usize) };
    let step = (data.images.len() * turns.views.len()).div_ceil(VIEWS);
    let images: Vec<usize> = (0..data.images.len()).step_by(step).collect();
    let groups: Vec<&[usize]> = images.chunks((stages::together(&backbone) / turns.views.len()).max(1)).collect();
    let first = vec![groups[0]; device::threads()];
    let time = |groups: &[&[usize]]| crew::each(crew::handles(&backbone), groups, |member, images| turns.take(member, images));
    time(&first)?; // to warm up
    let spent = time(&groups)?.into_iter().fold(Spent::default(), Spent::and);
    let each = |time: Duration| 1e3 * time.as_secs_f64() / spent.views as f64;
    let pictures = spent.decoding + spent.rendering + spent.network;
    println!(
        "  core-milliseconds a view, in turns with noise: decoding {:.2}, rendering {:.2}, network {:.2}; of noise {:.2}: {:.0} %",
        each(spent.decoding),
        each(spent.rendering),
        each(spent.network),
        each(spent.noise),
        100.0 * spent.noise.as_secs_f64() / pictures.as_secs_f64(),
    );
    Ok(())
}

struct Turns<'a> {
    data: &'a TrainingData,
    recipe: &'a Recipe,
    views: Vec<View>,
    noise: Vec<u8>,
}

impl Turns<'_> {
    /// The views of pictures, then as many of noise.
    fn take(&self, backbone: &Backbone, images: &[usize]) -> anyhow::Result<Spent> {
        let Self { data, recipe, views, noise } = self;
        let preprocessing = recipe.preprocessing();
        let side = recipe.input_size as usize;
        let mut spent = Spent { views: images.len() * views.len(), ..Spent::default() };
        let mut timer = Instant::now();
        let mut lap = || mem::replace(&mut timer, Instant::now()).elapsed();
        let mut rendered = Vec::with_capacity(spent.views);
        for &image in images {
            let picture = data.picture(image, &preprocessing)?;
            spent.decoding += lap();
            for &view in views {
                let strengths = &recipe.augmentation.strengths;
                rendered.push(augmentation::render(&picture, &data.images[image].sha256, view, &preprocessing, strengths));
            }
            drop(picture);
            spent.rendering += lap();
        }
        let groups = |views: &[&[u8]]| -> anyhow::Result<()> {
            for group in views.chunks(stages::together(backbone)) {
                drop(stages::features(backbone, group, side)?);
            }
            Ok(())
        };
        groups(&rendered.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        spent.network += lap();
        groups(&vec![noise.as_slice(); rendered.len()])?;
        spent.noise += lap();
        Ok(spent)
    }
}
