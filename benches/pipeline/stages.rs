//! Each stage alone.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use image::codecs::jpeg::JpegEncoder;
use image::{RgbImage, imageops};
use tch::{Device, Kind, TchError, Tensor};
use topgraft::recipe::Preset;
use topgraft::training::TrainingData;
use topgraft::vision::augmentation::{self, View};
use topgraft::vision::backbone::Backbone;
use topgraft::vision::device;
use topgraft::vision::layers::{CONVS, UnfreezeFrom};
use topgraft::vision::picture::{self, Picture, PictureError, PictureLimits};
use topgraft::vision::precision::{Precision, PrecisionChoice};
use topgraft::vision::preprocessing::Preprocessing;
use topgraft::vision::tail::{Head, Tail};
use topgraft::vision::weights::BodyWeights;

use crate::crew;
use crate::limits::{Limits, operations};
use crate::table::{best, head, row};

/// Pictures that the stages are timed on.
const SAMPLE: usize = 64;
/// Pictures a core that the network is timed on.
const BURST: usize = 8;
/// Pictures a training step.
const BATCH: i64 = 32;
const UNITS: u32 = 256;
/// Pixels a side that the stages are timed at.
const SIDE: usize = 224;
/// Convolutions below the usual freeze boundary.
const FROZEN: usize = UnfreezeFrom::BLOCK5_CONV1.frozen();

/// Times decoding, rendering, the frozen prefix and training steps.
pub fn report(body: &BodyWeights, data: &TrainingData, device: Device, limits: &Limits) -> anyhow::Result<()> {
    let sample: Vec<usize> = (0..data.images.len()).step_by(data.images.len().div_ceil(SAMPLE)).collect();
    let count = sample.len() as f64;
    head();
    let jpeg = libjpeg_turbo(data, &sample);
    let preprocessing = Preprocessing::default();
    let picture = |image| data.picture(image, &preprocessing);
    let seconds = best(|| parallel(&sample, |&image| picture(image).map(drop).map_err(Into::into)))?;
    row("decode", count / seconds, jpeg.map(|rate| (rate, "libjpeg-turbo alone (Pillow), as many processes as cores")));
    let pictures: Vec<(usize, Picture)> =
        sample.iter().map(|&image| Ok((image, picture(image)?))).collect::<anyhow::Result<_>>()?;
    let strengths = Preset::Balanced.recipe().augmentation.strengths;
    let render = |view: View| {
        best(|| {
            parallel(&pictures, |(image, picture)| {
                let sha256 = &data.images[*image].sha256;
                drop(augmentation::render(picture, sha256, view, &preprocessing, &strengths));
                Ok(())
            })
        })
    };
    let photograph = photograph(&pictures)?;
    let pixels = PictureLimits::default();
    let copies = [(); 16];
    let show = |picture: Result<Picture, PictureError>| -> anyhow::Result<()> {
        black_box(preprocessing.render(&picture?));
        Ok(())
    };
    let whole = |_: &()| show(picture::decode(&photograph, &pixels));
    let enough = |_: &()| show(preprocessing.decode(&photograph, &pixels));
    let rate = |seconds: f64| copies.len() as f64 / seconds;
    row("decode and render a 12-megapixel JPEG, all of it", rate(best(|| parallel(&copies, whole))?), None);
    row("… as small as is enough", rate(best(|| parallel(&copies, enough))?), None);
    row("render the evaluation view", count / render(View::Evaluation)?, None);
    row("render an augmented view", count / render(View::Augmented(1))?, None);
    prefix(body, device, limits)?;
    steps(body, device, limits)
}

/// A JPEG of 4000 × 3000 pixels, as a camera makes them, out of the pictures side by side.
fn photograph(pictures: &[(usize, Picture)]) -> anyhow::Result<Vec<u8>> {
    let (width, height) = (4000u32, 3000u32);
    let mut canvas = RgbImage::new(width, height);
    let mut next = pictures.iter().cycle();
    let mut top = 0;
    while top < height {
        let (mut left, mut lowest) = (0, height);
        while left < width {
            let (_, picture) = next.next().context("a data set has pictures")?;
            let tile = RgbImage::from_raw(picture.width(), picture.height(), picture.rgb().to_vec());
            imageops::replace(
                &mut canvas,
                &tile.context("a picture has as many bytes as pixels ask for")?,
                left.into(),
                top.into(),
            );
            left += picture.width();
            lowest = lowest.min(top + picture.height());
        }
        top = lowest;
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 92).encode_image(&canvas)?;
    Ok(jpeg)
}

/// The frozen layers below block 5, on noise; then all that a picture's features take.
fn prefix(body: &BodyWeights, device: Device, limits: &Limits) -> anyhow::Result<()> {
    let operations = operations(0, FROZEN, SIDE);
    // Those that the device has instructions for.
    for precision in device::fast(device, true) {
        let limit = match precision {
            Precision::Int8 | Precision::Int8F32 => limits.int8,
            Precision::Bf16 => limits.bf16,
            Precision::F32 => Some(limits.f32),
        };
        let rate = passes(&Backbone::new(body, precision, device, UnfreezeFrom::BLOCK5_CONV1)?, frozen)?;
        let limit = limit.map(|rate| (rate / operations, "matrix products"));
        row(&format!("blocks 1 to 4, {}", precision.as_str()), rate, limit);
    }
    let backbone = backbone(body, device)?;
    let rate = passes(&backbone, |backbone, rgb, side| features(backbone, &[rgb], side))?;
    row(&format!("blocks 1 to 4, {}, and block 5, one by one", backbone.precision().as_str()), rate, None);
    Ok(())
}

/// The body as training uses it here.
pub fn backbone(body: &BodyWeights, device: Device) -> anyhow::Result<Backbone> {
    Ok(Backbone::new(body, device::resolve(PrecisionChoice::Auto, device, true), device, UnfreezeFrom::BLOCK5_CONV1)?)
}

fn frozen(backbone: &Backbone, rgb: &[u8], side: usize) -> Result<Tensor, TchError> {
    backbone.frozen(&backbone.pixels(rgb, side)?, 0, FROZEN)
}

/// All that features of views take but the pictures: as extraction does, one view after another up to block 5, then all of them
/// together.
pub fn features(backbone: &Backbone, views: &[&[u8]], side: usize) -> Result<Tensor, TchError> {
    let below = views.iter().map(|rgb| frozen(backbone, rgb, side)).collect::<Result<Vec<_>, _>>()?;
    let x = backbone.handed_over(&Tensor::f_cat(&below, 0)?, FROZEN)?;
    backbone.upper(&x, FROZEN, CONVS.len())
}

/// Views that extraction computes at a time.
pub fn together(backbone: &Backbone) -> usize {
    backbone.together(FROZEN)
}

/// A view of `side` × `side` pixels that shows nothing.
pub fn noise(side: usize) -> Vec<u8> {
    (0..side * side * 3).map(|n| ((n as u32).wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Seconds that the features of a view take, on average of `views` of `side` × `side` pixels that are noise.
pub fn features_of_noise(body: &BodyWeights, device: Device, side: usize, views: usize) -> anyhow::Result<f64> {
    let (backbone, noise) = (backbone(body, device)?, noise(side));
    let pass = |count: usize| {
        let views = vec![noise.as_slice(); count];
        let groups: Vec<_> = views.chunks(together(&backbone)).collect();
        crew::each(crew::handles(&backbone), &groups, |handle, group| {
            features(handle, group, side).map(drop).map_err(anyhow::Error::from)
        })
    };
    pass(device::threads() * BURST)?; // to warm up
    let began = Instant::now();
    pass(views)?;
    Ok(began.elapsed().as_secs_f64() / views as f64)
}

/// What a view is put through, by its pixels and its side.
type Pass = fn(&Backbone, &[u8], usize) -> Result<Tensor, TchError>;

/// Pictures a second that pass through the network one by one, a thread a core.
fn passes(backbone: &Backbone, pass: Pass) -> anyhow::Result<f64> {
    let views = vec![noise(SIDE); device::threads() * BURST];
    let pass = |handle: &Backbone, rgb: &Vec<u8>| pass(handle, rgb, SIDE).map(drop).map_err(Into::into);
    let seconds = best(|| crew::each(crew::handles(backbone), &views, pass).map(drop))?;
    Ok(views.len() as f64 / seconds)
}

/// Forward and backward through what learns, on noise.
fn steps(body: &BodyWeights, device: Device, limits: &Limits) -> anyhow::Result<()> {
    let precision = device::resolve(PrecisionChoice::Auto, device, true).learning();
    let limit = if precision == Precision::Bf16 { limits.bf16 } else { Some(limits.f32) };
    let noise = |side: i64| {
        let x = Tensor::f_rand([BATCH, side, side, 512], (Kind::Float, device))?;
        x.f_to_kind(device::kind(precision))?.f_permute([0, 3, 1, 2])
    };
    let tail = |convs| -> anyhow::Result<Tail> { Ok(Tail { convs, head: Head::new(7 * 7 * 512, UNITS, 17, 1.0, device)? }) };
    let head = 2.0 * f64::from(UNITS) * 25_088.0;
    // Backward takes two products for each of forward's, but for the input of the first layer, which nobody asks for.
    let block5 = 3.0 * operations(FROZEN, CONVS.len(), SIDE) - operations(FROZEN, FROZEN + 1, SIDE) + 2.0 * head;
    let step = |tail: &Tail, x: &Tensor| {
        let parameters: Vec<Tensor> = tail.parameters().iter().map(|tensor| tensor.set_requires_grad(true)).collect();
        let truth = Tensor::zeros([BATCH], (Kind::Int64, device));
        best(|| {
            let loss = tail.forward(x, Some(0.5))?.cross_entropy_for_logits(&truth);
            let gradients = Tensor::f_run_backward(&[&loss], &parameters, false, false)?;
            let _ = gradients[0].f_sum(Kind::Float)?.f_double_value(&[])?;
            Ok(())
        })
    };
    let fine_tune = step(&tail(Tail::convs(body, UnfreezeFrom::BLOCK5_CONV1, device)?)?, &noise(14)?)?;
    row("block 5 and head, a step", BATCH as f64 / fine_tune, limit.map(|rate| (rate / block5, "matrix products")));
    let warm_up = step(&tail(Vec::new())?, &noise(7)?)?;
    row("head alone, a step", BATCH as f64 / warm_up, Some((limits.f32 / (2.0 * head), "matrix products")));
    println!();
    Ok(())
}

/// Does `work` on all items, a thread a core.
fn parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    crew::each(vec![(); device::threads()], items, |(), item| work(item)).map(drop)
}

/// Pictures a second that libjpeg-turbo decodes, by way of Python's Pillow; none where it isn't installed or the pictures
/// aren't JPEG.
fn libjpeg_turbo(data: &TrainingData, sample: &[usize]) -> Option<f64> {
    let folder = tempfile::tempdir().ok()?;
    for &image in sample {
        let record = &data.images[image];
        let bytes = data.pack.read(record.offset, record.bytes).ok()?;
        std::fs::write(folder.path().join(format!("{image}.jpg")), bytes).ok()?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench/libjpeg.py");
    let output = Command::new("python3").arg(script).arg(folder.path()).arg(device::threads().to_string()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
