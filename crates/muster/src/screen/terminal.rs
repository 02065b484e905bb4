//! What the terminal behind an output can do: its width, colours, characters. An output that is no terminal is written as a file is: no colours,
//! no lines broken, nothing drawn twice.

use std::{io::IsTerminal, os::fd::AsFd};

/// What an output can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terminal {
    /// Its columns; nothing when it is no terminal.
    pub(crate) columns: Option<usize>,
    /// Whether it shows colours.
    pub(crate) colour: bool,
    /// Whether it shows characters beyond ASCII.
    pub(crate) unicode: bool,
    /// Whether what stands on a line can be drawn anew.
    pub(crate) redraws: bool,
    /// Standard error, rather than standard output.
    pub(crate) error: bool,
}

impl Terminal {
    /// What is behind standard error.
    pub(crate) fn stderr() -> Self {
        Self::of(std::io::stderr().is_terminal(), true)
    }

    /// What is behind standard output.
    pub(crate) fn stdout() -> Self {
        Self::of(std::io::stdout().is_terminal(), false)
    }

    /// Without colours, and no wider than that.
    #[cfg(test)]
    pub(crate) fn plain(columns: Option<usize>) -> Self {
        Self { columns, colour: false, unicode: false, redraws: false, error: true }
    }

    /// Colours: not with `NO_COLOR`, nor on a terminal that says it is dumb, which cannot go back on a line either.
    fn of(terminal: bool, error: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let colour = terminal && !dumb && !set("NO_COLOR");
        // The first that is set holds (POSIX, section 8.2).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find(|name| set(name)).and_then(std::env::var_os);
        let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let unicode = locale.contains("utf-8") || locale.contains("utf8");
        Self { columns: terminal.then_some(usize::MAX), colour, unicode, redraws: terminal && !dumb, error }
    }

    /// The same with the width that it has at the moment.
    pub(crate) fn now(self) -> Self {
        let size = |fd: &dyn AsFd| rustix::termios::tcgetwinsize(fd.as_fd()).ok().map(|size| usize::from(size.ws_col));
        let ask = || if self.error { size(&std::io::stderr()) } else { size(&std::io::stdout()) };
        match self.columns {
            // A terminal that does not know its size says 0.
            Some(usize::MAX) => Self { columns: ask().filter(|columns| *columns > 0), ..self },
            _ => self,
        }
    }

    /// A text in a colour, if there are colours; `code` is of ECMA-48, section 8.3.117.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The mark of what went well.
    pub(crate) fn good(self) -> &'static str {
        if self.unicode { "✓" } else { "+" }
    }

    /// The mark of what went badly.
    pub(crate) fn bad(self) -> &'static str {
        if self.unicode { "✗" } else { "x" }
    }
}
