//! Which classes are taken for which.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{ChartError, GREEN};
use crate::report::PhaseReport;

/// What is taken for something else.
const RED: RGBColor = RGBColor(0xb4, 0x23, 0x18);
/// The grid, in pixels a side, if there are few classes; it grows with many.
const GRID: u32 = 680;
/// The least and the most that a cell takes.
const CELL: [u32; 2] = [6, 40];
/// Cells smaller than this have no number in them.
const NUMBERED: u32 = 18;
/// Rows lower than this can't be labelled.
const LABELLED: u32 = 10;
/// The most characters of a class's name.
const NAME: usize = 24;
/// What a character of a name takes, in pixels.
const CHARACTER: u32 = 7;

/// Draws a phase's confusion matrix: a row a class, a column what its pictures were taken for, each cell as dark as its share of
/// the row; what is right in green, what is wrong in red.
///
/// # Errors
/// A defect of the library that draws.
pub fn confusion(report: &PhaseReport) -> Result<String, ChartError> {
    let classes = report.classes.len() as u32;
    let cell = (GRID / classes.max(1)).clamp(CELL[0], CELL[1]);
    let longest = report.classes.iter().map(|class| label(&class.name).chars().count()).max().unwrap_or_default() as u32;
    let names = if cell >= LABELLED { longest * CHARACTER + 12 } else { 0 };
    // Room for the axes' titles, and for the caption.
    let (left, top) = (names + 34, names + 64);
    let size = (left + classes * cell + 24, top + classes * cell + 24);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (size.0.max(440), size.1)).into_drawing_area();
        root.fill(&WHITE)?;
        titles(&root, report, (left, top), classes * cell)?;
        let at = |column: usize, row: usize| (left as i32 + column as i32 * cell as i32, top as i32 + row as i32 * cell as i32);
        for (row, counts) in report.confusion.iter().enumerate() {
            let pictures = counts.iter().sum::<u64>();
            for (column, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let (share, (x, y)) = (count as f64 / pictures as f64, at(column, row));
                let colour = if row == column { GREEN } else { RED };
                let shade = colour.mix(0.15 + 0.85 * share);
                root.draw(&Rectangle::new([(x, y), (x + cell as i32, y + cell as i32)], shade.filled()))?;
                if cell >= NUMBERED {
                    let ink = if share > 0.45 { WHITE } else { BLACK };
                    let style = font(12).color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
                    root.draw(&Text::new(count.to_string(), (x + cell as i32 / 2, y + cell as i32 / 2), style))?;
                }
            }
        }
        let end = at(classes as usize, classes as usize);
        root.draw(&Rectangle::new([at(0, 0), end], BLACK.mix(0.4)))?;
        for (number, class) in report.classes.iter().enumerate().filter(|_| cell >= LABELLED) {
            let name = label(&class.name);
            let middle = cell as i32 / 2;
            let right = font(13).pos(Pos::new(HPos::Right, VPos::Center));
            root.draw(&Text::new(name.clone(), (left as i32 - 6, at(0, number).1 + middle), right))?;
            let upwards = font(13).transform(FontTransform::Rotate270).pos(Pos::new(HPos::Left, VPos::Center));
            root.draw(&Text::new(name, (at(number, 0).0 + middle, top as i32 - 6), upwards))?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// The caption and what rows and columns are.
fn titles(
    root: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    report: &PhaseReport,
    (left, top): (u32, u32),
    side: u32,
) -> Result<(), ChartError> {
    let pictures: u64 = report.classes.iter().map(|class| class.support).sum();
    let PhaseReport { phase, epoch, accuracy, .. } = report;
    let caption = format!("{phase}, epoch {epoch}: {:.1} % of {pictures} pictures", accuracy * 100.0);
    root.draw(&Text::new(caption, (14, 12), font(17)))?;
    let centre = Pos::new(HPos::Center, VPos::Center);
    let grey = BLACK.mix(0.7);
    let columns = font(13).color(&grey).pos(centre);
    root.draw(&Text::new("predicted", ((left + side / 2) as i32, 46), columns))?;
    let rows = font(13).color(&grey).transform(FontTransform::Rotate270).pos(centre);
    root.draw(&Text::new("label", (16, (top + side / 2) as i32), rows))?;
    Ok(())
}

fn font(size: u32) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font())
}

/// A class's name as far as there is room for it.
fn label(name: &str) -> String {
    let mut label: String = name.chars().take(NAME).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(NAME).is_some() {
        label.pop();
        label.push('…');
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PhaseName;

    fn report(classes: usize, pairs: &[(usize, usize)]) -> PhaseReport {
        let names: Vec<String> = (0..classes).map(|k| format!("class <{k}>")).collect();
        PhaseReport::new(PhaseName::FineTune, 3, &names, pairs.iter().copied())
    }

    #[test]
    fn a_cell_for_each_pair_that_occurs_with_its_number_and_names_that_are_text() {
        let svg = confusion(&report(3, &[(0, 0), (0, 0), (0, 2), (1, 1)])).unwrap();
        assert!(svg.contains("fine_tune, epoch 3: 75.0 % of 4 pictures"), "{svg}");
        assert!(svg.contains("class &lt;2&gt;") && !svg.contains("class <"), "{svg}");
        let filled = |hex: &str| svg.matches(&format!("fill=\"#{hex}\"")).count();
        assert_eq!((filled("0B6E4F"), filled("B42318")), (2, 1), "{svg}");
    }

    #[test]
    fn many_classes_make_small_cells_and_no_text_for_what_cannot_be_read() {
        let svg = confusion(&report(300, &[(0, 0), (299, 0)])).unwrap();
        assert!(!svg.contains("class") && svg.len() < 4_000, "{}", svg.len());
        assert!(confusion(&report(2, &[])).unwrap().starts_with("<svg"));
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(label(&"x".repeat(30)), format!("{}…", "x".repeat(NAME - 1)));
        assert_eq!(label(&"ü".repeat(NAME)), "ü".repeat(NAME));
        assert_eq!(label("a\u{1}b"), "a\u{fffd}b");
    }
}
