//! What a person sees: lines while a mission runs, and results on standard output.
//!
//! What agents and models wrote passes [`visible`] before it reaches a terminal.

use crate::{outcome::Error, secrets::masking};
pub(crate) use engine::view::visible;
use engine::view::{Line, Weight};
use std::{
    io::{ErrorKind, IsTerminal, Write},
    time::Instant,
};

/// Where the text of a line begins: below the first one, further lines are indented as far.
const TEXT_COLUMN: usize = 12;

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
        Self { detail, colour: colours(std::io::stderr().is_terminal()), began: Instant::now() }
    }

    /// Shows a line if it matters enough.
    pub(crate) fn show(&self, line: &Line) {
        if line.weight >= Weight::Step || self.detail == Detail::All {
            self.print(&render(line, self.colour));
        }
    }

    /// Whether everything is shown.
    pub(crate) fn shows_all(&self) -> bool {
        self.detail == Detail::All
    }

    /// Shows a text of our own.
    pub(crate) fn say(&self, text: &str) {
        self.print(text);
    }

    fn print(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f32();
        let text = masking().text(text).replace('\n', "\n         ");
        // A closed terminal is no reason to stop the mission.
        let _ = writeln!(std::io::stderr(), "{seconds:6.1}s  {text}");
    }
}

/// Whether to use colours, given whether the output is a terminal.
pub(crate) fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A line as text: who, about what, what.
pub(crate) fn render(line: &Line, colour: bool) -> String {
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let who = line
        .agent
        .as_deref()
        .map(|agent| paint("36", &format!("{agent:<11}")))
        .unwrap_or_else(|| format!("{:<11}", "muster"));
    let task = line.task.as_deref().map(|task| paint("1", &format!("{task}: "))).unwrap_or_default();
    let mark = if line.weight == Weight::Notice { paint("33", "! ") } else { String::new() };
    let text = visible(&line.text).replace('\n', &format!("\n{:TEXT_COLUMN$}", ""));
    format!("{who} {mark}{task}{text}")
}

/// Prints a result on standard output. Says whether anybody still reads: `muster list | head` is no error.
pub(crate) fn out(text: &str) -> Result<bool, Error> {
    let text = masking().text(text);
    let mut stdout = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed(format!("the result cannot be printed: {error}"))),
    }
}

/// Prints a result as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<bool, Error> {
    out(&serde_json::to_string_pretty(value).map_err(Error::failed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_cannot_drive_the_terminal() {
        let line = Line {
            weight: Weight::Notice,
            agent: Some("builder-1".to_owned()),
            task: Some("parser".to_owned()),
            text: "i0 (user_input): \u{1b}]0;owned\u{7}\u{1b}[2J really?\r\nbuilder-2   \u{202e}deggorf".to_owned(),
        };
        expect_test::expect![[r"
            builder-1   ! parser: i0 (user_input): �]0;owned��[2J really?�
                        builder-2   �deggorf"]]
        .assert_eq(&render(&line, false));
        assert_eq!(render(&line, true).matches('\u{1b}').count(), 6);
    }
}
