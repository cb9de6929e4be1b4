//! Loss and accuracy of both phases as a picture.

use std::path::Path;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use topgraft::report::{Epoch, PhaseName};

const SIZE: (u32, u32) = (960, 420);
const TRAIN: RGBColor = RGBColor(0x8a, 0x8f, 0x98);
const VALIDATION: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);

/// One figure an epoch.
type Figure = fn(&Epoch) -> f64;

/// Draws `epochs` as an SVG at `path`: loss on the left, accuracy on the right, a line where fine-tuning begins.
pub fn draw(path: &Path, epochs: &[Epoch]) -> Result<()> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    panel(&left, "loss", epochs, [|e| e.train_loss, |e| e.val_loss], None)?;
    panel(&right, "accuracy", epochs, [|e| e.train_accuracy, |e| e.val_accuracy], Some(1.0))?;
    root.present().with_context(|| format!("{} can't be written", path.display()))
}

/// `figures` are the training and the validation figure.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    epochs: &[Epoch],
    figures: [Figure; 2],
    top: Option<f64>,
) -> Result<()> {
    let values = || epochs.iter().flat_map(|epoch| figures.map(|figure| figure(epoch)));
    let highest = top.unwrap_or_else(|| values().fold(0.0, f64::max) * 1.05).max(f64::MIN_POSITIVE);
    // An accuracy axis begins where the curves do, so that what happens near the top can be seen.
    let lowest = if top.is_some() { (values().fold(1.0, f64::min) * 10.0).floor() / 10.0 } else { 0.0 };
    let last = epochs.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(36)
        .y_label_area_size(46)
        .build_cartesian_2d(1.0..last, lowest..highest)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("epoch")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .draw()?;
    for (figure, colour, name) in [(figures[0], TRAIN, "training"), (figures[1], VALIDATION, "validation")] {
        let points = epochs.iter().enumerate().map(move |(i, epoch)| (i as f64 + 1.0, figure(epoch)));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let warm_up = epochs.iter().filter(|epoch| epoch.phase == PhaseName::WarmUp).count();
    if warm_up > 0 && warm_up < epochs.len() {
        let x = warm_up as f64 + 0.5;
        chart
            .draw_series(std::iter::once(PathElement::new([(x, lowest), (x, highest)], BLACK.mix(0.35))))?
            .label("fine-tune begins")
            .legend(|(x, y)| PathElement::new([(x + 9, y - 5), (x + 9, y + 5)], BLACK.mix(0.35)));
    }
    chart
        .configure_series_labels()
        .position(if top.is_some() { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight })
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.15))
        .draw()?;
    Ok(())
}
