//! Pictures of a terminal one after the other, and the SVG that plays them: all lie on one strip, which a CSS animation
//! moves on behind a window.

use std::time::Duration;

/// Pixels of one character of a monospaced font of 14 pixels.
const WIDTH: f64 = 8.43;
const HEIGHT: usize = 20;

/// Pixels around.
const MARGIN: usize = 12;

/// At most so many pictures a second: the clock on the screen has seconds.
const SHORTEST: Duration = Duration::from_millis(400);

/// How long the last picture stays before it begins anew.
const LAST: Duration = Duration::from_secs(6);

/// Characters of one colour.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    pub colour: &'static str,
    pub text: String,
}

/// One picture: its rows.
type Picture = Vec<Vec<Run>>;

/// The pictures, each with the time from which on it is to be seen.
pub struct Film {
    command: String,
    columns: u16,
    pictures: Vec<(Duration, Picture)>,
}

impl Film {
    /// A film without pictures yet, under a command line.
    pub fn of(command: String, columns: u16) -> Self {
        Self { command, columns, pictures: Vec::new() }
    }

    /// Takes a picture; one that comes too soon after the last takes its place.
    pub fn shoot(&mut self, picture: Picture, now: Duration) {
        match self.pictures.last_mut() {
            Some((_, last)) if *last == picture => {}
            Some((at, last)) if now.saturating_sub(*at) < SHORTEST => *last = picture,
            Some(_) | None => self.pictures.push((now, picture)),
        }
    }

    /// The film as an SVG.
    pub fn svg(&self) -> String {
        let rows = self.pictures.first().map_or(0, |(_, picture)| picture.len());
        let picture = rows * HEIGHT;
        let width = (f64::from(self.columns) * WIDTH).ceil() + 2.0 * MARGIN as f64;
        let height = picture + HEIGHT + 2 * MARGIN;
        let from = self.pictures.first().map_or(Duration::ZERO, |(at, _)| *at);
        let length = self.pictures.last().map_or(LAST, |(at, _)| *at - from + LAST).as_secs_f64();
        let (mut stops, mut strip) = (String::new(), String::new());
        for (number, (at, rows)) in self.pictures.iter().enumerate() {
            let percent = (*at - from).as_secs_f64() / length * 100.0;
            stops.push_str(&format!("{percent:.2}%{{transform:translateY(-{}px)}}", number * picture));
            for (row, runs) in rows.iter().enumerate() {
                strip.push_str(&text(runs, number * picture + (row + 1) * HEIGHT - 5));
            }
        }
        let command = text(&[Run { colour: "#768390", text: self.command.clone() }], HEIGHT - 5);
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" xml:space="preserve">
<style>text{{font:14px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}}
@keyframes play{{{stops}}}
.strip{{animation:play {length:.1}s step-end infinite}}</style>
<rect width="100%" height="100%" rx="6" fill="#22272e"/>
<svg x="{MARGIN}" y="{MARGIN}">{command}</svg>
<svg x="{MARGIN}" y="{}" height="{picture}"><g class="strip">
{strip}</g></svg>
</svg>
"##,
            MARGIN + HEIGHT
        )
    }
}

/// A row of text; blank ends are left out.
fn text(runs: &[Run], y: usize) -> String {
    let (mut column, mut spans) = (0, String::new());
    for Run { colour, text } in runs {
        let length = text.chars().count();
        if !text.trim().is_empty() {
            let before = length - text.trim_start().chars().count();
            let shown = text.trim();
            let x = f64::from(u32::try_from(column + before).unwrap_or(u32::MAX)) * WIDTH;
            let long = f64::from(u32::try_from(shown.chars().count()).unwrap_or(u32::MAX)) * WIDTH;
            let shown = shown.replace('&', "&amp;").replace('<', "&lt;");
            spans.push_str(&format!(
                r#"<text x="{x:.1}" y="{y}" fill="{colour}" textLength="{long:.1}">{shown}</text>"#
            ));
        }
        column += length;
    }
    if spans.is_empty() { spans } else { format!("{spans}\n") }
}
