//! What shows the progress: bars on a terminal, lines elsewhere.

use std::io;

use console::Term;
use imagetask_operator::clock::Now;

use crate::bars::Bars;
use crate::cli::Output;
use crate::outage::Outage;
use crate::verdict::Outlook;
use crate::watched::Watched;
use crate::words;

/// Where the progress is shown.
pub struct Screen {
    term: Term,
    /// Only on a terminal.
    bars: Option<Bars>,
}

impl Screen {
    /// Standard output, or with `-o json`, whose document has that to itself, standard error.
    pub fn of(output: Output) -> Self {
        // A picture is written at once, or it would flicker.
        let (term, buffered) = match output {
            Output::Text => (Term::stdout(), Term::buffered_stdout()),
            Output::Json => (Term::stderr(), Term::buffered_stderr()),
        };
        let bars = term.is_term().then(|| Bars::on(buffered));
        Self { term, bars }
    }

    /// Shows those that now tell something else.
    ///
    /// # Errors
    ///
    /// When nobody reads on.
    pub fn news(&self, names: &[String], watched: &Watched, now: Now) -> io::Result<()> {
        match self.bars {
            Some(_) => Ok(()),
            None => self.lines(names.iter().map(String::as_str), watched, now),
        }
    }

    /// Shows that the API server cannot be watched, which bars do as long as it lasts.
    ///
    /// # Errors
    ///
    /// When nobody reads on.
    pub fn outage(&self, outage: &Outage, now: Now) -> io::Result<()> {
        match (&self.bars, outage.told(now.mono)) {
            (None, Some(told)) => self.term.write_line(&told),
            (Some(_), _) | (None, None) => Ok(()),
        }
    }

    /// Shows what time alone changes.
    pub fn tick(&mut self, watched: &Watched, outage: &Outage, now: Now) {
        if let Some(bars) = &mut self.bars {
            bars.draw(watched, outage, now);
        }
    }

    /// Leaves the last state where it is, and what a bar has no room for below it, with a last word.
    ///
    /// # Errors
    ///
    /// When nobody reads on.
    pub fn close(mut self, watched: &Watched, last: &str, now: Now) -> io::Result<()> {
        if let Some(bars) = self.bars.take() {
            bars.close(watched, now);
            // They leave the cursor at the end of the last one.
            self.term.write_line("")?;
            let bad = watched.tasks().filter(|(_, task)| task.outlook() == Outlook::Bad);
            self.lines(bad.map(|(name, _)| name), watched, now)?;
        }
        self.term.write_line(last)
    }

    fn lines<'a>(&self, names: impl Iterator<Item = &'a str>, watched: &Watched, now: Now) -> io::Result<()> {
        let mut tasks = names.filter_map(|name| Some((name, watched.task(name)?)));
        tasks.try_for_each(|(name, task)| self.term.write_line(&words::line(name, task, now)))
    }
}
