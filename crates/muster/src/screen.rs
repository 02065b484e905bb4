//! What a person sees while a mission runs: one line for each step, and what waits for them.

use engine::view::{Line, Weight};
use std::{
    io::{IsTerminal, Write},
    time::Instant,
};

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Steps and notices.
    Steps,
    /// Everything.
    All,
}

/// Prints lines as they come.
pub(crate) struct Screen {
    detail: Detail,
    colour: bool,
    began: Instant,
}

impl Screen {
    /// A screen on standard error; colours only on a terminal and only when `NO_COLOR` is not set.
    pub(crate) fn new(detail: Detail) -> Self {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { detail, colour, began: Instant::now() }
    }

    /// Shows a line if it matters enough.
    pub(crate) fn show(&self, line: &Line) {
        if line.weight >= Weight::Step || self.detail == Detail::All {
            self.print(&render(line, self.colour));
        }
    }

    /// Shows a text of our own.
    pub(crate) fn say(&self, text: &str) {
        self.print(text);
    }

    fn print(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f32();
        // A closed terminal is no reason to stop the mission.
        let _ = writeln!(std::io::stderr(), "{seconds:6.1}s  {text}");
    }
}

/// A line as text: who, about what, what.
pub(crate) fn render(line: &Line, colour: bool) -> String {
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let who = line.agent.as_deref().map(|agent| paint("36", &format!("{agent:<11}"))).unwrap_or_else(|| format!("{:<11}", "muster"));
    let task = line.task.as_deref().map(|task| paint("1", &format!("{task}: "))).unwrap_or_default();
    let mark = if line.weight == Weight::Notice { paint("33", "! ") } else { String::new() };
    format!("{who} {mark}{task}{}", visible(&line.text))
}

/// Text from agents and models as it may be shown: control characters, which could drive a terminal, are replaced.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}
