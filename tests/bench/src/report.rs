//! Figures to Markdown: medians of the repeats with their spread, and ratios of runs that followed each other.

use std::fmt::Write as _;

use crate::subject::Subject;

/// The figures of one run, in the order of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, Option<f64>)>);

/// Runs of the operator and of what it is measured beside, in turn.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    operator: Vec<Figures>,
    other: Vec<Figures>,
}

impl Figures {
    /// Adds a figure; `None` where it could not be taken.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Option<f64>>) {
        self.0.push((name, value.into()));
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| *known == name).and_then(|(_, value)| *value)
    }
}

impl Runs {
    /// Keeps the figures of a run.
    pub(crate) fn add(&mut self, subject: Subject, figures: Figures) {
        match subject {
            Subject::Operator => self.operator.push(figures),
            Subject::Previous | Subject::Baseline => self.other.push(figures),
        }
    }

    /// The table of two subjects, their columns named.
    pub(crate) fn table(&self, columns: [&str; 2]) -> String {
        let [operator, other] = columns;
        let mut table = format!("| | {operator} | {other} | {other} / {operator} |\n|---|---|---|---|\n");
        for name in self.names() {
            let pairs = self.operator.iter().zip(&self.other);
            let ratios = pairs.filter_map(|(operator, other)| Some(other.get(name)? / operator.get(name)?));
            let ratios = ascending(ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0));
            let [operator, other] = self.values(name).map(|values| spread(&values));
            writeln!(table, "| {name} | {operator} | {other} | {} |", spread(&ratios)).expect("a String takes it");
        }
        table
    }

    /// A figure in all runs of the operator that have it, ascending, and in those of the other subject.
    pub(crate) fn values(&self, name: &str) -> [Vec<f64>; 2] {
        [&self.operator, &self.other].map(|runs| ascending(runs.iter().filter_map(|run| run.get(name))))
    }

    /// The rows that any run has, in their order.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, _) in self.operator.iter().chain(&self.other).flat_map(|run| &run.0) {
            if !names.contains(name) {
                names.push(*name);
            }
        }
        names
    }
}

/// The value that a share of the ascending values does not exceed (nearest rank).
pub(crate) fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied()
}

/// Sorts, so that quantiles can be read off.
pub(crate) fn ascending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The median of ascending values, and least and most where there are several.
pub(crate) fn spread(values: &[f64]) -> String {
    let (Some(median), Some(least), Some(most)) = (quantile(values, 0.5), values.first(), values.last()) else {
        return "–".to_owned();
    };
    if values.len() == 1 { short(median) } else { format!("{} ({}–{})", short(median), short(*least), short(*most)) }
}

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{value:.4}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(value: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add("calls a second", value);
        figures.add("status writes", None);
        figures
    }

    #[test]
    fn ratios_are_of_runs_that_followed_each_other() {
        let mut runs = Runs::default();
        for (operator, baseline) in [(1.0, 100.0), (2.0, 150.0), (1.0, 90.0)] {
            runs.add(Subject::Operator, figures(operator));
            runs.add(Subject::Baseline, figures(baseline));
        }
        let table = "| | operator | baseline | baseline / operator |\n|---|---|---|---|\n\
            | calls a second | 1.00 (1.00–2.00) | 100 (90.0–150) | 90.0 (75.0–100) |\n\
            | status writes | – | – | – |\n";
        assert_eq!(runs.table(["operator", "baseline"]), table);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [Some(50.0), Some(99.0), Some(100.0)]);
        assert_eq!((quantile(&[7.0], 0.99), quantile(&[], 0.5)), (Some(7.0), None));
    }
}
