//! The patch format, and applying it to texts. Pure: no files here.
//!
//! It is the envelope that coding models are trained on (`*** Begin Patch`, from OpenAI's Codex), read strictly:
//! a patch that is not understood in every line changes nothing.
//!
//! ```text
//! *** Begin Patch
//! *** Add File: path            followed by the lines of the file, each after a "+"
//! *** Delete File: path
//! *** Update File: path         followed by hunks
//! *** Move to: new/path         optional, right after Update File
//! @@ fn name()                  starts a hunk; the optional text is a line that comes before it
//!  unchanged line
//! -removed line
//! +added line
//! *** End of File               optional: the hunk ends at the end of the file
//! *** End Patch
//! ```

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new file.
    Add {
        /// Where.
        path: String,
        /// All of it.
        content: String,
    },
    /// A file goes away.
    Delete {
        /// Which.
        path: String,
    },
    /// Parts of a file change.
    Update {
        /// Which.
        path: String,
        /// Its new name.
        move_to: Option<String>,
        /// In the order of the file.
        hunks: Vec<Hunk>,
    },
}

/// One place in a file that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hunk {
    /// Line of the patch, for errors.
    pub line: usize,
    /// A line of the file after which the hunk is to be looked for.
    pub after: Option<String>,
    /// Lines that must be there.
    pub old: Vec<String>,
    /// Lines that take their place.
    pub new: Vec<String>,
    /// The old lines are the last ones of the file.
    pub is_at_end: bool,
}

/// Reads a patch.
///
/// # Errors
/// The first line that does not fit, with its number and what was expected.
pub fn parse(text: &str) -> Result<Vec<Change>, String> {
    let mut lines = Lines { lines: text.trim_end().lines().collect(), at: 0 };
    while lines.peek().is_some_and(|line| line.trim().is_empty()) {
        lines.at += 1;
    }
    if lines.next().map(str::trim_end) != Some("*** Begin Patch") {
        return Err(lines.expected("\"*** Begin Patch\""));
    }
    let mut changes = Vec::new();
    loop {
        let Some(line) = lines.next() else { return Err("the patch must end with \"*** End Patch\"".into()) };
        let line = line.trim_end();
        if let Some(path) = line.strip_prefix("*** Add File: ") {
            changes.push(Change::Add { path: path.trim().into(), content: lines.added()? });
        } else if let Some(path) = line.strip_prefix("*** Delete File: ") {
            changes.push(Change::Delete { path: path.trim().into() });
        } else if let Some(path) = line.strip_prefix("*** Update File: ") {
            changes.push(lines.update(path.trim())?);
        } else if line == "*** End Patch" {
            break;
        } else {
            return Err(
                lines.expected("\"*** Add File: \", \"*** Delete File: \", \"*** Update File: \" or \"*** End Patch\"")
            );
        }
    }
    match lines.next() {
        Some(_) => Err(lines.expected("nothing after \"*** End Patch\"")),
        None if changes.is_empty() => Err("the patch changes nothing".into()),
        None => Ok(changes),
    }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    /// Index of the next line.
    at: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.lines.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.peek();
        self.at += 1;
        line
    }

    /// An error about the line that `next` returned last.
    fn expected(&self, what: &str) -> String {
        match self.lines.get(self.at.saturating_sub(1)) {
            Some(line) => format!("patch line {}: expected {what}, found {line:?}", self.at),
            None => format!("the patch ends at line {}: expected {what}", self.lines.len()),
        }
    }

    fn added(&mut self) -> Result<String, String> {
        let mut content = String::new();
        while let Some(line) = self.peek().filter(|line| !line.starts_with("*** ")) {
            self.at += 1;
            let Some(added) = line.strip_prefix('+') else {
                return Err(self.expected("a line of the new file after a \"+\""));
            };
            content.push_str(added);
            content.push('\n');
        }
        Ok(content)
    }

    fn update(&mut self, path: &str) -> Result<Change, String> {
        let move_to = self.peek().and_then(|line| line.strip_prefix("*** Move to: ")).map(|to| to.trim().to_owned());
        self.at += usize::from(move_to.is_some());
        let mut hunks = Vec::new();
        while self.peek().is_some_and(|line| !line.starts_with("*** ")) {
            hunks.push(self.hunk(hunks.is_empty())?);
        }
        if hunks.is_empty() && move_to.is_none() {
            self.at += 1;
            return Err(self.expected(&format!("a hunk for {path}, starting with \"@@\"")));
        }
        Ok(Change::Update { path: path.into(), move_to, hunks })
    }

    /// Only the first hunk of a file may come without its `@@`.
    fn hunk(&mut self, is_first: bool) -> Result<Hunk, String> {
        let mut hunk = Hunk { line: self.at + 1, ..Hunk::default() };
        if let Some(after) = self.peek().and_then(|line| line.strip_prefix("@@")) {
            self.at += 1;
            let after = after.trim();
            hunk.after = (!after.is_empty()).then(|| after.to_owned());
        } else if !is_first {
            self.at += 1;
            return Err(self.expected("\"@@\" or a line after \" \", \"-\" or \"+\""));
        }
        while let Some(line) = self.peek() {
            if line.trim_end() == "*** End of File" {
                self.at += 1;
                hunk.is_at_end = true;
                break;
            }
            if line.starts_with("*** ") || line.starts_with("@@") {
                break;
            }
            self.at += 1;
            self.hunk_line(line, &mut hunk)?;
        }
        if hunk.old.is_empty() && hunk.new.is_empty() {
            self.at += 1;
            return Err(self.expected("a line after \" \", \"-\" or \"+\""));
        }
        Ok(hunk)
    }

    fn hunk_line(&self, line: &str, hunk: &mut Hunk) -> Result<(), String> {
        match (line.as_bytes().first(), line.get(1..)) {
            (Some(b' '), Some(rest)) => {
                hunk.old.push(rest.into());
                hunk.new.push(rest.into());
            }
            (Some(b'-'), Some(rest)) => hunk.old.push(rest.into()),
            (Some(b'+'), Some(rest)) => hunk.new.push(rest.into()),
            // Editors and models strip the blank from an empty unchanged line.
            (None, _) => {
                hunk.old.push(String::new());
                hunk.new.push(String::new());
            }
            _ => return Err(self.expected("a line after \" \", \"-\" or \"+\"")),
        }
        Ok(())
    }
}

/// Applies hunks to a text.
///
/// Lines are compared exactly first, and without the blanks at their ends if that finds nothing. The text keeps its
/// kind of line ends, and the absence of one at its end.
///
/// # Errors
/// The first hunk that does not fit, with the line of the patch and what was looked for.
pub fn apply(text: &str, hunks: &[Hunk]) -> Result<String, String> {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let has_last_end = text.is_empty() || text.ends_with('\n');
    let mut lines: Vec<&str> = text.lines().collect();
    let mut at = 0;
    for hunk in hunks {
        at = place(&lines, hunk, at)?;
        lines.splice(at..at + hunk.old.len(), hunk.new.iter().map(String::as_str));
        at += hunk.new.len();
    }
    let mut changed = lines.join(end);
    if has_last_end && !lines.is_empty() {
        changed.push_str(end);
    }
    Ok(changed)
}

/// Index of the first line that the hunk replaces.
fn place(lines: &[&str], hunk: &Hunk, mut from: usize) -> Result<usize, String> {
    if let Some(after) = &hunk.after {
        let found = (from..lines.len()).find(|index| lines[*index].trim() == after);
        from = found
            .ok_or_else(|| format!("patch line {}: the file has no line {after:?} after its line {from}", hunk.line))?
            + 1;
    }
    if hunk.old.is_empty() {
        // Nothing to find: lines are added after the named line, or at the end.
        return Ok(if hunk.after.is_some() && !hunk.is_at_end { from } else { lines.len() });
    }
    let exact = |line: &str, old: &str| line == old;
    let loose = |line: &str, old: &str| line.trim_end() == old.trim_end();
    find(lines, hunk, from, exact).or_else(|| find(lines, hunk, from, loose)).ok_or_else(|| {
        let where_ = if hunk.is_at_end { "at its end".into() } else { format!("after its line {from}") };
        let old = crate::bounds::middle_out(&hunk.old.join("\n"), 2000);
        format!("patch line {}: the file does not have these lines {where_}:\n{old}", hunk.line)
    })
}

fn find(lines: &[&str], hunk: &Hunk, from: usize, same: impl Fn(&str, &str) -> bool) -> Option<usize> {
    let last = lines.len().checked_sub(hunk.old.len())?;
    let first = if hunk.is_at_end { last.max(from) } else { from };
    (first..=last).find(|index| std::iter::zip(&lines[*index..], &hunk.old).all(|(line, old)| same(line, old)))
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
