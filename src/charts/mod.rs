//! Results as pictures: SVG text, for files and for answers.

mod confusion;
mod curves;

pub use confusion::confusion;
pub use curves::curves;

use plotters::drawing::DrawingAreaErrorKind;
use plotters::style::RGBColor;

/// What is right, and the curves of the validation pictures.
const GREEN: RGBColor = RGBColor(0x0b, 0x6e, 0x4f);

/// A chart that couldn't be drawn: a defect, since text can always be written.
#[derive(Debug, thiserror::Error)]
#[error("the chart can't be drawn: {0}")]
pub struct ChartError(String);

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ChartError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self(error.to_string())
    }
}
