//! Loss and accuracy of both phases.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{ChartError, GREEN};
use crate::report::{Epoch, PhaseName};

const SIZE: (u32, u32) = (960, 420);
const TRAIN: RGBColor = RGBColor(0x8a, 0x8f, 0x98);

/// One figure an epoch.
type Figure = fn(&Epoch) -> f64;

/// Draws `epochs`, in order: loss on the left, accuracy on the right, a line where fine-tuning begins. Empty axes if there are
/// none yet.
///
/// # Errors
/// A defect of the library that draws.
pub fn curves(epochs: &[Epoch]) -> Result<String, ChartError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(SIZE.0 / 2);
        panel(&left, "loss", epochs, [|e| e.train_loss, |e| e.val_loss], None)?;
        panel(&right, "accuracy", epochs, [|e| e.train_accuracy, |e| e.val_accuracy], Some(1.0))?;
        root.present()?;
    }
    Ok(svg)
}

/// `figures` are the training and the validation figure.
fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    epochs: &[Epoch],
    figures: [Figure; 2],
    top: Option<f64>,
) -> Result<(), ChartError> {
    let values = || epochs.iter().flat_map(|epoch| figures.map(|figure| figure(epoch)));
    let largest = values().fold(0.0, f64::max);
    let highest = top.unwrap_or(if largest > 0.0 { largest * 1.05 } else { 1.0 });
    // An accuracy axis begins where the curves do, so that what happens near the top can be seen.
    let lowest = if top.is_some() { (values().fold(0.9, f64::min) * 10.0).floor() / 10.0 } else { 0.0 };
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
    for (figure, colour, name) in [(figures[0], TRAIN, "training"), (figures[1], GREEN, "validation")] {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(phase: PhaseName, epoch: u32, figure: f64) -> Epoch {
        Epoch {
            phase,
            epoch,
            train_loss: figure,
            train_accuracy: figure,
            val_loss: figure,
            val_accuracy: figure,
            learning_rate: 1e-3,
            seconds: 1.0,
        }
    }

    #[test]
    fn two_panels_with_two_curves_each_and_the_place_where_fine_tuning_begins() {
        let warm_up = [epoch(PhaseName::WarmUp, 1, 0.5), epoch(PhaseName::WarmUp, 2, 0.6)];
        let svg = curves(&warm_up).unwrap();
        // A curve in each panel, and a stroke in each legend.
        assert_eq!(svg.matches("stroke=\"#0B6E4F\"").count(), 4, "{svg}");
        for text in ["loss", "accuracy", "epoch", "training", "validation"] {
            assert!(svg.contains(text), "no {text} in {svg}");
        }
        assert!(!svg.contains("fine-tune begins"));
        let both = [&warm_up[..], &[epoch(PhaseName::FineTune, 1, 0.9)]].concat();
        assert!(curves(&both).unwrap().contains("fine-tune begins"));
    }

    #[test]
    fn a_job_without_an_epoch_and_one_that_is_perfect_have_axes_too() {
        for epochs in [vec![], vec![epoch(PhaseName::FineTune, 1, 0.0)], vec![epoch(PhaseName::FineTune, 1, 1.0)]] {
            let svg = curves(&epochs).unwrap();
            assert!(svg.starts_with("<svg") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
