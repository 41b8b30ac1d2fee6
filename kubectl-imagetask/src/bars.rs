//! The progress as bars on a terminal, one an ImageTask, as many as there is room for.

use console::{Alignment, Term, pad_str, truncate_str};
use imagetask_operator::clock::Now;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::outage::Outage;
use crate::told::Standing;
use crate::verdict::Outlook;
use crate::watched::{Task, Watched};
use crate::words;

/// Columns of the longest name that is shown whole.
const NAME: usize = 36;

/// Lines that are not bars: the summary, and the one that the cursor comes to stand on.
const OTHER_LINES: usize = 2;

/// Columns of a bar and the gaps beside it.
const BAR_AND_GAPS: usize = 24 + 4;

/// Frames a second.
const FRAMES: u8 = 10;

/// The bars.
pub struct Bars {
    term: Term,
    multi: MultiProgress,
    rows: Vec<ProgressBar>,
    summary: ProgressBar,
}

impl Bars {
    /// None yet.
    pub fn on(term: Term) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::term(term.clone(), FRAMES));
        let summary = multi.add(ProgressBar::new(0).with_style(style("{msg}")));
        Self { term, multi, rows: Vec::new(), summary }
    }

    /// Shows where each stands.
    pub fn draw(&mut self, watched: &Watched, outage: &Outage, now: Now) {
        let (height, width) = self.term.size();
        let shown = shown(watched, usize::from(height).saturating_sub(OTHER_LINES).max(1));
        self.make_rows(shown.len());
        let names = shown.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(NAME);
        let columns = usize::from(width);
        for ((name, task), row) in shown.iter().zip(&self.rows) {
            let room = columns.saturating_sub(names + BAR_AND_GAPS);
            // What is set in this way is drawn by the tick alone: no bar is ever seen beside the words of another moment.
            row.clone()
                .with_style(style(look(task)))
                .with_prefix(pad_str(name, names, Alignment::Left, Some("…")).into_owned())
                .with_position(u64::from(percent(task)))
                .with_message(cut(&words::row(name, task, now), room))
                .tick();
        }
        let hidden = watched.tasks().count() - shown.len();
        let more = if hidden == 0 { String::new() } else { format!(", {hidden} not shown") };
        let outage = outage.told(now.mono).map(|told| format!("; {told}")).unwrap_or_default();
        self.summary.set_message(cut(&format!("{}{more}{outage}", words::summary(watched)), columns));
    }

    /// Shows where each stands for the last time, and leaves it there. The summary goes: the last word is one.
    pub fn close(mut self, watched: &Watched, now: Now) {
        self.draw(watched, &Outage::default(), now);
        self.summary.finish_and_clear();
        self.rows.iter().for_each(ProgressBar::abandon);
    }

    fn make_rows(&mut self, count: usize) {
        while self.rows.len() < count {
            let row = ProgressBar::new(100);
            self.rows.push(self.multi.insert_before(&self.summary, row));
        }
        for row in self.rows.drain(count..) {
            row.finish_and_clear();
            self.multi.remove(&row);
        }
    }
}

/// Those there is room for, in order: what is over makes room for what is not.
fn shown(watched: &Watched, room: usize) -> Vec<(&str, &Task)> {
    let mut tasks: Vec<_> = watched.tasks().collect();
    if tasks.len() > room {
        tasks.sort_by_key(|(name, task)| (task.outlook() != Outlook::Open, *name));
        tasks.truncate(room);
        tasks.sort_by_key(|(name, _)| *name);
    }
    tasks
}

/// A task that has succeeded is done, whatever percentage the cloud left it at.
fn percent(task: &Task) -> u8 {
    if task.told.standing == Standing::Succeeded { 100 } else { task.told.percent.unwrap_or(0) }
}

fn cut(text: &str, columns: usize) -> String {
    truncate_str(text, columns, "…").into_owned()
}

fn look(task: &Task) -> &'static str {
    match (task.outlook(), task.told.standing == Standing::Suspended) {
        (Outlook::Good, _) => "{prefix}  {bar:24.green}  {msg}",
        (Outlook::Bad, _) => "{prefix}  {bar:24.red}  {msg}",
        (Outlook::Open, true) => "{prefix}  {bar:24.yellow}  {msg}",
        (Outlook::Open, false) => "{prefix}  {bar:24.cyan}  {msg}",
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the templates of this file are sound");
    style.progress_chars("█░")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, running};
    use imagetask_operator::api::conditions::Course;
    use std::time::Duration;

    #[test]
    fn what_is_over_makes_room_for_what_is_not() {
        let objects = [at("a", Course::Succeeded), running("b", 1), at("c", Course::Failed), running("d", 1)];
        let watched = Watched::new(&objects, Duration::ZERO);
        let names = |room| shown(&watched, room).iter().map(|(name, _)| *name).collect::<String>();
        assert_eq!([4, 3, 2, 1].map(names), ["abcd", "abd", "bd", "b"]);
    }

    #[test]
    fn every_template_is_sound() {
        for course in Course::ALL {
            let watched = Watched::new(&[at("a", course)], Duration::ZERO);
            style(look(watched.task("a").unwrap()));
        }
    }
}
