//! What a person sees: lines while a mission runs, and results on standard output.
//!
//! What agents and models wrote passes [`visible`] before it reaches a terminal, and [`escaped`] before it is printed as JSON; both happen
//! here, whoever calls.

pub(crate) mod live;
mod terminal;

use crate::{outcome::Error, secrets::masking};
pub(crate) use engine::view::visible;
use engine::view::{Line, Tone, Weight, escaped, folded, wrapped};
use std::{
    io::{ErrorKind, Write},
    time::Instant,
};
pub(crate) use terminal::Terminal;

/// Where the text of a line begins: below the first one, further lines are indented as far.
const TEXT_COLUMN: usize = 12;
/// The time before a line of a running mission takes so many columns.
const TIME_COLUMNS: usize = 9;

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
    terminal: Terminal,
    began: Instant,
}

impl Screen {
    /// A screen on standard error.
    pub(crate) fn new(detail: Detail) -> Self {
        Self { detail, terminal: Terminal::stderr(), began: Instant::now() }
    }

    /// Shows a line if it matters enough.
    pub(crate) fn show(&self, line: &Line) {
        if line.weight >= Weight::Step || self.detail == Detail::All {
            self.print(&render(line, self.terminal.now(), TIME_COLUMNS));
        }
    }

    /// Whether everything is shown.
    pub(crate) fn shows_all(&self) -> bool {
        self.detail == Detail::All
    }

    /// Shows a text of our own.
    pub(crate) fn say(&self, text: &str) {
        self.print(&folded(&visible(text), self.terminal.now().columns, TIME_COLUMNS, TIME_COLUMNS));
    }

    fn print(&self, text: &str) {
        let seconds = self.began.elapsed().as_secs_f32();
        let text = masking().text(text);
        // A closed terminal is no reason to stop the mission.
        let _ = live::above(|out| writeln!(out, "{seconds:6.1}s  {text}"));
    }

    /// The columns of a terminal on which lines can be drawn over.
    pub(crate) fn redraws(&self) -> Option<usize> {
        self.terminal.now().columns.filter(|_| self.terminal.redraws)
    }
}

/// A line as text: who, about what, what. It begins at column `lead`, where something stands before it already.
pub(crate) fn render(line: &Line, terminal: Terminal, lead: usize) -> String {
    let paint = |code: &str, text: &str| terminal.paint(code, text);
    let who = format!("{:<11}", visible(line.agent.as_deref().unwrap_or("muster")));
    let mark = match (line.tone, line.weight) {
        (Tone::Good, _) => paint("32", terminal.good()),
        (Tone::Bad, _) => paint("31", terminal.bad()),
        (Tone::Asks, _) => paint("33", "?"),
        (Tone::Plain, Weight::Notice) => "!".to_owned(),
        (Tone::Plain, _) => String::new(),
    };
    let mark = if mark.is_empty() { mark } else { mark + " " };
    let task = line.task.as_deref().map(|task| format!("{}: ", visible(task))).unwrap_or_default();
    let narrow = terminal.columns.is_some_and(|columns| columns < lead + 4 * TEXT_COLUMN);
    let indent = lead + if narrow { 2 } else { TEXT_COLUMN };
    let start = lead + TEXT_COLUMN + if mark.is_empty() { 0 } else { 2 } + task.chars().count();
    let text = folded(&visible(&line.text), terminal.columns, start, indent);
    let who = if line.agent.is_some() { paint("36", &who) } else { who };
    format!("{who} {mark}{}{text}", paint("1", &task))
}

/// Prints a result on standard output. Says whether anybody still reads: `muster list | head` is no error.
pub(crate) fn out(text: &str) -> Result<bool, Error> {
    let text = visible(text);
    painted(&match Terminal::stdout().now().columns {
        Some(columns) => wrapped(&text, columns),
        None => text,
    })
}

/// The same for a text that is harmless and laid out already, and may have colours.
pub(crate) fn painted(text: &str) -> Result<bool, Error> {
    let text = masking().text(text);
    let mut stdout = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{end}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed(format!("the result cannot be printed: {error}"))),
    }
}

/// Prints what is no text of ours as it is, but for known secrets.
pub(crate) fn bytes(bytes: &[u8]) -> Result<bool, Error> {
    let bytes = masking().masker().bytes(bytes).into_owned();
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::failed(format!("the result cannot be printed: {error}"))),
    }
}

/// Says something beside the result, on standard error.
pub(crate) fn note(text: &str) {
    let text = visible(text);
    // Nobody reads it: that is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{}", masking().text(text.as_str()));
}

/// Prints a result as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<bool, Error> {
    painted(&escaped(&serde_json::to_string_pretty(value).map_err(Error::failed)?))
}

/// Prints a result as JSON on one line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> Result<bool, Error> {
    painted(&escaped(&serde_json::to_string(value).map_err(Error::failed)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(tone: Tone, text: &str) -> Line {
        let (agent, task) = (Some("builder-1".to_owned()), Some("parser".to_owned()));
        Line { weight: Weight::Notice, tone, agent, task, text: text.to_owned() }
    }

    #[test]
    fn an_agent_cannot_drive_the_terminal() {
        let line =
            line(Tone::Asks, "i0 (user_input): \u{1b}]0;owned\u{7}\u{1b}[2J really?\r\nbuilder-2   \u{202e}deggorf");
        expect_test::expect![[r"
            builder-1   ? parser: i0 (user_input): �]0;owned��[2J really?�
                        builder-2   �deggorf"]]
        .assert_eq(&render(&line, Terminal::plain(None), 0));
        let coloured = Terminal { colour: true, ..Terminal::plain(None) };
        assert_eq!(render(&line, coloured, 0).matches('\u{1b}').count(), 6);
    }

    #[test]
    fn marks_tell_success_from_failure_without_colours() {
        let text = "the attempt failed: the checks of its change never passed and nobody knows why";
        let shown: Vec<String> = [Tone::Good, Tone::Bad, Tone::Asks, Tone::Plain]
            .map(|tone| render(&line(tone, text), Terminal::plain(Some(60)), 0))
            .into();
        expect_test::expect![[r"
            builder-1   + parser: the attempt failed: the checks of its
                        change never passed and nobody knows why
            builder-1   x parser: the attempt failed: the checks of its
                        change never passed and nobody knows why
            builder-1   ? parser: the attempt failed: the checks of its
                        change never passed and nobody knows why
            builder-1   ! parser: the attempt failed: the checks of its
                        change never passed and nobody knows why"]]
        .assert_eq(&shown.join("\n"));
        expect_test::expect![[r#"
            builder-1   ✓ parser: the attempt
              failed: the checks of its change
              never passed and nobody knows why"#]]
        .assert_eq(&render(&line(Tone::Good, text), Terminal { unicode: true, ..Terminal::plain(Some(38)) }, 0));
    }
}
