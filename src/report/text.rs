//! The report as the text table that scikit-learn made familiar, followed by the confusion matrix.

use std::fmt;

use super::{Averages, FeaturePlan, PhaseReport, Report, SplitSummary};

/// Widest confusion matrix that is printed: beyond it rows no longer fit a screen, and the JSON has it anyway.
const WIDEST_MATRIX: usize = 40;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in &self.phases {
            writeln!(f, "{phase}")?;
        }
        if let Some(test) = &self.test {
            writeln!(f, "on pictures kept back:\n\n{test}")?;
        }
        let SplitSummary { train, validation, test, seed } = self.split;
        writeln!(f, "{train} training, {validation} validation and {test} test pictures, seed {seed}")
    }
}

impl fmt::Display for FeaturePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { boundary, kept, views, views_wanted, rows, bytes, budget_bytes } = self;
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        let Some(kept) = kept else {
            return write!(
                f,
                "features are computed anew in every epoch: {:.1} GiB are too few to keep any",
                gib(*budget_bytes)
            );
        };
        write!(f, "features kept at {kept}")?;
        if kept != boundary {
            write!(f, " (below {boundary}, which takes more room)")?;
        }
        write!(f, ": {rows} rows, at most {:.1} GiB; {views} augmented views of each training picture", gib(*bytes))?;
        if views < views_wanted {
            write!(f, " instead of {views_wanted}: {:.1} GiB have no room for more", gib(*budget_bytes))?;
        }
        Ok(())
    }
}

impl fmt::Display for PhaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.classes.iter().map(|class| class.support).sum();
        let width = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).max("weighted avg".len());
        writeln!(f, "after {}, epoch {}\n", self.phase, self.epoch)?;
        writeln!(f, "{:>width$} {:>9} {:>9} {:>9} {:>9}\n", "", "precision", "recall", "f1-score", "support")?;
        for class in &self.classes {
            let (p, r, f1) = (class.precision, class.recall, class.f1);
            writeln!(f, "{:>width$} {p:>9.4} {r:>9.4} {f1:>9.4} {:>9}", class.name, class.support)?;
        }
        writeln!(f)?;
        writeln!(f, "{:>width$} {:>9} {:>9} {:>9.4} {total:>9}", "accuracy", "", "", self.accuracy)?;
        for (name, Averages { precision, recall, f1 }) in [("macro avg", self.macro_avg), ("weighted avg", self.weighted_avg)] {
            writeln!(f, "{name:>width$} {precision:>9.4} {recall:>9.4} {f1:>9.4} {total:>9}")?;
        }
        self.matrix(f, width)
    }
}

impl PhaseReport {
    /// Rows are true classes, columns predicted ones, in the same order.
    fn matrix(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        if self.classes.len() > WIDEST_MATRIX {
            return Ok(());
        }
        let cell = self.confusion.iter().flatten().max().map_or(1, |most| most.to_string().len()).max(2) + 1;
        writeln!(f, "\nconfusion matrix: a row a true class, a column a predicted one, both in the order above")?;
        for (class, row) in self.classes.iter().zip(&self.confusion) {
            write!(f, "{:>width$}", class.name)?;
            for count in row {
                let text = if *count == 0 { ".".to_owned() } else { count.to_string() };
                write!(f, "{text:>cell$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::report::{PhaseName, PhaseReport};

    #[test]
    fn prints_the_familiar_table() {
        let classes = ["cat".to_owned(), "dog".to_owned()];
        let text = PhaseReport::new(PhaseName::WarmUp, 1, &classes, [(0, 0), (0, 1), (1, 1), (1, 1)]).to_string();
        let expected = "after warm_up, epoch 1

             precision    recall  f1-score   support

         cat    1.0000    0.5000    0.6667         2
         dog    0.6667    1.0000    0.8000         2

    accuracy                        0.7500         4
   macro avg    0.8333    0.7500    0.7333         4
weighted avg    0.8333    0.7500    0.7333         4

confusion matrix: a row a true class, a column a predicted one, both in the order above
         cat  1  1
         dog  .  2
";
        assert_eq!(text, expected);
    }
}
