//! Records what a program shows on a terminal as an animated SVG: `record OUT.svg PROGRAM ARGUMENT...`.
//!
//! It ends as the program does, so it may stand before a command in a script; `make recording` has it in the demo.

mod film;
#[path = "../../tests/plugin/terminal.rs"]
#[expect(dead_code, reason = "the tests press keys and wait for more")]
mod terminal;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use imagetask_operator::clock::Clock;

use film::{Film, Run};
use terminal::Terminal;

/// Rows and columns of the terminal: the demo's lines fit in.
const ROWS: u16 = 7;
const COLUMNS: u16 = 110;

/// Longest program that is recorded.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().context("usage: record OUT.svg PROGRAM ARGUMENT...")?;
    let words: Vec<String> = arguments.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (film, code) = runtime.block_on(record(&words))?;
    std::fs::write(&out, film.svg()).with_context(|| format!("{out} cannot be written"))?;
    Ok(ExitCode::from(u8::try_from(code)?))
}

async fn record(words: &[String]) -> anyhow::Result<(Film, i32)> {
    let (program, arguments) = words.split_first().context("name a program to record")?;
    let name = Path::new(program).file_name().map_or(program.as_str().into(), |name| name.to_string_lossy());
    let clock = Clock::start();
    let mut film = Film::of(format!("$ {name} {}", arguments.join(" ")), COLUMNS);
    let mut terminal = Terminal::start(pty_process::Command::new(program).args(arguments), ROWS, COLUMNS);
    while terminal.advance().await {
        film.shoot(runs(terminal.screen()), clock.now().mono);
    }
    let (code, last) = terminal.end(PATIENCE).await;
    writeln!(std::io::stdout(), "{last}")?;
    Ok((film, code))
}

/// The rows of a screen, each as runs of one colour.
fn runs(screen: &vt100::Screen) -> Vec<Vec<Run>> {
    let row = |row: u16| {
        let mut runs: Vec<Run> = Vec::new();
        for cell in (0..COLUMNS).filter_map(|column| screen.cell(row, column)) {
            let colour = colour(cell.fgcolor());
            let text = if cell.has_contents() { cell.contents() } else { " " };
            match runs.last_mut().filter(|run| run.colour == colour) {
                Some(run) => run.text.push_str(text),
                None => runs.push(Run { colour, text: text.to_owned() }),
            }
        }
        runs
    };
    (0..ROWS).map(row).collect()
}

/// The colours that the bars have, as a dark terminal shows them.
fn colour(colour: vt100::Color) -> &'static str {
    match colour {
        vt100::Color::Idx(1) => "#f47067",
        vt100::Color::Idx(2) => "#57ab5a",
        vt100::Color::Idx(3) => "#c69026",
        vt100::Color::Idx(6) => "#39c5cf",
        vt100::Color::Default | vt100::Color::Idx(_) | vt100::Color::Rgb(..) => "#d1d7e0",
    }
}
