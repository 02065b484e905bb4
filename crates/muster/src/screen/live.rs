//! The lines at the end of a terminal that are drawn over: how it stands at the moment. Whatever else is written to standard error goes above them.
//!
//! There is one such place in a process, so it is kept once; logs and lines of progress go through [`above`].

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

/// What is drawn at the moment.
static DRAWN: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes to standard error what is to stay, above what is drawn over.
pub(crate) fn above(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = erasing(&drawn).into_bytes();
    write(&mut bytes)?;
    bytes.extend_from_slice(drawn.join("\n").as_bytes());
    io::stderr().write_all(&bytes)
}

/// Draws these lines where the last ones were; none of them is wider than the terminal.
pub(crate) fn draw(lines: Vec<String>) {
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if *drawn != lines {
        // A closed terminal is no reason to stop the mission.
        let _ = io::stderr().write_all((erasing(&drawn) + &lines.join("\n")).as_bytes());
        *drawn = lines;
    }
}

/// Back to the beginning of the first line, and everything after it gone (ECMA-48: CUU and ED).
fn erasing(drawn: &[String]) -> String {
    match drawn.len() {
        0 => String::new(),
        1 => "\r\x1b[J".to_owned(),
        lines => format!("\r\x1b[{}A\x1b[J", lines - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_lines_are_erased_as_were_drawn() {
        let lines = |count| vec![String::new(); count];
        assert_eq!(erasing(&lines(0)), "");
        assert_eq!(erasing(&lines(1)), "\r\x1b[J");
        assert_eq!(erasing(&lines(3)), "\r\x1b[2A\x1b[J");
    }
}
