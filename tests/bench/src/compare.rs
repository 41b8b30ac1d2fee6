//! Whether two builds of the operator differ by more than runs of one build do.

use std::fmt::Write as _;

use crate::report::{Runs, quantile, short, spread};

/// With fewer runs of each build a figure would differ by chance too often: with four, once in 35 times.
const LEAST_RUNS: usize = 4;

/// Medians that are closer are the same: counts hardly vary between runs, and the least difference parts their ranges.
const SAME: f64 = 0.02;

/// Told beside what is compared: above some per cent of a core, the other figures are not to be trusted.
const STRANGERS: &str = "strangers on the machine, cores";

/// A build beside the previous one, figure by figure.
#[derive(Debug)]
pub(crate) struct Comparison(Vec<Row>);

#[derive(Debug)]
struct Row {
    name: &'static str,
    /// Ascending.
    previous: Vec<f64>,
    /// Ascending.
    new: Vec<f64>,
    /// None where it is only told.
    verdict: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Noise,
    Better,
    Worse,
}

/// Refuses what cannot tell two builds apart.
pub(crate) fn check(repeats: usize) -> anyhow::Result<()> {
    anyhow::ensure!(repeats >= LEAST_RUNS, "to compare two builds, give --repeats of at least {LEAST_RUNS}");
    Ok(())
}

impl Comparison {
    /// Compares runs of the operator with runs of the previous build, by the figures of these names.
    pub(crate) fn of(runs: &Runs, names: &[&'static str], repeats: usize) -> anyhow::Result<Self> {
        let row = |name| {
            let [new, previous] = runs.values(name);
            let is_whole = new.len() == repeats && previous.len() == repeats;
            anyhow::ensure!(is_whole, "not every run has told \"{name}\": see the logs");
            Ok(Row { name, verdict: Some(Verdict::of(&previous, &new)), previous, new })
        };
        let mut rows = names.iter().copied().map(row).collect::<anyhow::Result<Vec<_>>>()?;
        let [new, previous] = runs.values(STRANGERS);
        rows.push(Row { name: STRANGERS, previous, new, verdict: None });
        Ok(Self(rows))
    }

    /// Whether any figure is worse beyond noise.
    pub(crate) fn is_worse(&self) -> bool {
        self.0.iter().any(|row| row.verdict == Some(Verdict::Worse))
    }

    pub(crate) fn table(&self) -> String {
        let mut table = "| | previous | new | new / previous | |\n|---|---|---|---|---|\n".to_owned();
        for Row { name, previous, new, verdict } in &self.0 {
            let [before, after] = [previous, new].map(|values| quantile(values, 0.5).unwrap_or_default());
            let ratio = if before > 0.0 { short(after / before) } else { "–".to_owned() };
            let verdict = verdict.map_or("not compared", Verdict::words);
            let (previous, new) = (spread(previous), spread(new));
            writeln!(table, "| {name} | {previous} | {new} | {ratio} | {verdict} |").expect("a String takes it");
        }
        table
    }
}

impl Verdict {
    /// Two builds differ beyond noise where every run of one took more than every run of the other, and their medians are
    /// not the same. This assumes nothing of how the runs of one build vary, only that their order does not matter, which
    /// is why the builds take turns. Of one build measured twice, five runs each, the ranges part once in 126 times.
    fn of(previous: &[f64], new: &[f64]) -> Self {
        let median = |values| quantile(values, 0.5).unwrap_or_default();
        let (before, after): (f64, f64) = (median(previous), median(new));
        let are_apart = |less: &[f64], more: &[f64]| less.last() < more.first();
        let are_same = (after - before).abs() <= SAME * before.max(after);
        match (are_same, are_apart(previous, new), are_apart(new, previous)) {
            (false, true, _) => Self::Worse,
            (false, _, true) => Self::Better,
            (true, ..) | (false, false, false) => Self::Noise,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Noise => "within noise",
            Self::Better => "better, beyond noise",
            Self::Worse => "**worse, beyond noise**",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;
    use crate::subject::Subject;

    const RSS: &str = "RSS steady, MiB";

    #[test]
    fn builds_differ_where_their_ranges_part_and_their_medians_are_not_the_same() {
        let previous = [18.3, 18.5, 18.6, 18.7];
        let cases: [(&str, [f64; 4], Verdict); 6] = [
            ("the same", previous, Verdict::Noise),
            ("more, but one run is among the others", [18.7, 21.0, 21.1, 21.2], Verdict::Noise),
            ("apart, but by less than 2 %", [18.71, 18.72, 18.73, 18.74], Verdict::Noise),
            ("less, but one run is among the others", [15.0, 15.1, 15.2, 18.3], Verdict::Noise),
            ("more", [19.0, 19.1, 19.1, 19.2], Verdict::Worse),
            ("less", [18.0, 18.1, 18.1, 18.2], Verdict::Better),
        ];
        for (what, new, verdict) in cases {
            assert_eq!(Verdict::of(&previous, &new), verdict, "{what}");
        }
    }

    #[test]
    fn what_was_never_there_is_worse_once_it_is() {
        let (never, always) = ([0.0; 4], [0.1; 4]);
        let verdicts =
            [(&never, &never), (&never, &always), (&always, &never)].map(|(before, after)| Verdict::of(before, after));
        assert_eq!(verdicts, [Verdict::Noise, Verdict::Worse, Verdict::Better]);
    }

    fn runs(previous: &[f64], new: &[f64]) -> Runs {
        let mut runs = Runs::default();
        for (subject, values) in [(Subject::Previous, previous), (Subject::Operator, new)] {
            for value in values {
                let mut figures = Figures::default();
                figures.add(RSS, *value);
                figures.add(STRANGERS, 0.5);
                runs.add(subject, figures);
            }
        }
        runs
    }

    #[test]
    fn a_table_tells_both_builds_and_what_follows() {
        let comparison =
            Comparison::of(&runs(&[20.0, 19.0, 20.0, 21.0], &[30.0, 33.0, 30.0, 31.0]), &[RSS], 4).unwrap();
        let table = "| | previous | new | new / previous | |\n|---|---|---|---|---|\n\
            | RSS steady, MiB | 20.0 (19.0–21.0) | 30.0 (30.0–33.0) | 1.50 | **worse, beyond noise** |\n\
            | strangers on the machine, cores | 0.50 (0.50–0.50) | 0.50 (0.50–0.50) | 1.00 | not compared |\n";
        assert_eq!((comparison.table().as_str(), comparison.is_worse()), (table, true));
        let reversed = Comparison::of(&runs(&[30.0; 4], &[20.0; 4]), &[RSS], 4).unwrap();
        assert!(!reversed.is_worse());
    }

    #[test]
    fn a_run_that_lacks_a_figure_is_no_measurement() {
        let error = Comparison::of(&runs(&[20.0; 4], &[20.0; 3]), &[RSS], 4).unwrap_err();
        assert_eq!(error.to_string(), "not every run has told \"RSS steady, MiB\": see the logs");
    }
}
