//! A pseudo-terminal with a program in it, and what is to be seen on its screen.

use std::num::NonZeroU16;
use std::time::Duration;

use pty_process::{Command, Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::time::timeout;

/// A program in a terminal.
pub(crate) struct Terminal {
    pty: Pty,
    child: Child,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts a program in a terminal of so many rows and columns.
    pub(crate) fn start(command: Command, rows: u16, columns: u16) -> Self {
        let (pty, pts) = pty_process::open().expect("a pseudo-terminal is free");
        pty.resize(Size::new(rows, columns)).expect("a pseudo-terminal has any size");
        let child = command.kill_on_drop(true).spawn(pts).expect("the program starts");
        let size = |size| NonZeroU16::new(size).expect("a screen has rows and columns");
        Self { pty, child, screen: vt100::Parser::new(size(rows), size(columns), 0) }
    }

    /// What is to be seen now.
    pub(crate) fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// Its rows; indicatif fills each to its end, so `contents` would take them all for one.
    pub(crate) fn rows(&self) -> String {
        let (_, columns) = self.screen().size();
        let rows: Vec<String> = self.screen().rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// Takes in what the program writes next; false when it has ended.
    pub(crate) async fn advance(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.pty.read(&mut bytes).await {
            // Linux tells the end of the last program on a terminal as an error.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.screen.process(&bytes[..count]);
                true
            }
        }
    }

    /// Waits until the screen is as described.
    pub(crate) async fn until(&mut self, patience: Duration, what: &str, is: impl Fn(&str) -> bool) -> String {
        let reached = async {
            while !is(&self.rows()) {
                assert!(self.advance().await, "it ended without {what}:\n{}", self.rows());
            }
        };
        let reached = timeout(patience, reached).await;
        let shown = self.rows();
        assert!(reached.is_ok(), "no {what} in time:\n{shown}");
        shown
    }

    /// Presses keys.
    pub(crate) async fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).await.expect("the program reads");
    }

    /// Waits for the end of the program: its exit code, and what it leaves on the screen.
    pub(crate) async fn end(mut self, patience: Duration) -> (i32, String) {
        let ended = async {
            while self.advance().await {}
            self.child.wait().await.expect("it is our child")
        };
        let ended = timeout(patience, ended).await;
        let shown = self.rows();
        let status = ended.unwrap_or_else(|_| panic!("it does not end in time:\n{shown}"));
        (status.code().unwrap_or_else(|| panic!("it was killed:\n{shown}")), shown)
    }
}
