//! What can go wrong, as a kind that a program can act on and a text that a person can act on.

use std::{fmt, io};

/// Why an operation on a workspace or on the mission's stores failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The disk (or a quota) is full: nothing is lost, the operation can be repeated when there is room.
    NoSpace,
    /// A file, directory, repository, commit or ref that is needed does not exist.
    Missing,
    /// A ref does not have the value that the caller expected, or a name is taken by something else.
    Conflict,
    /// A name, path or argument is not acceptable.
    Invalid,
    /// What an agent handed over is not what it says it is, or is broken. Nothing of it was kept.
    Rejected,
    /// More bytes, files or objects than the limit allows. Nothing of it was kept.
    TooLarge,
    /// The operation ran out of time and was stopped.
    TimedOut,
    /// The sandbox could not be set up, or the host cannot enforce what was asked.
    Sandbox,
    /// The agent's clone is damaged; `clone_for` repairs it.
    Damaged,
    /// git or the operating system failed in another way; the text says how.
    Other,
}

/// A failure: its kind, what happened, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What a program decides on.
    pub kind: ErrorKind,
    /// What happened and where, in plain words.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
}

/// The result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let hint =
            (kind == ErrorKind::NoSpace).then(|| "Free some disk space, then resume; no work was lost.".to_owned());
        Self { kind, message: message.into(), hint }
    }

    /// Whether the files are at fault that an agent left, and not the machine, so that the agent can do something about it.
    pub fn blames_the_files(&self) -> bool {
        matches!(self.kind, ErrorKind::Rejected | ErrorKind::TooLarge)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An operating-system error while doing `what`.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            io::ErrorKind::NotFound => ErrorKind::Missing,
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            _ => ErrorKind::Other,
        };
        Self::new(kind, format!("{what}: {error}"))
    }

    /// A failed git process: the kind is read from the words that git prints in the C locale.
    pub(crate) fn git(what: impl fmt::Display, stderr: &str) -> Self {
        let text = stderr.trim();
        let text = if text.is_empty() { "git gave no reason" } else { text };
        Self::new(kind_of_words(text), format!("{what}: {text}"))
    }
}

/// Sorts the words of git (and of the C library) into kinds.
pub(crate) fn kind_of_words(text: &str) -> ErrorKind {
    let has = |words: &str| text.contains(words);
    if has("No space left on device") || has("Disk quota exceeded") {
        ErrorKind::NoSpace
    } else if has("but expected") || has("reference already exists") || has("cannot lock ref") {
        ErrorKind::Conflict
    } else if has("not a git repository")
        || has("is not a commit")
        || has("bad object")
        || has("unable to read tree")
        || has("not something we can merge")
        || has("Not a valid object name")
        || has("unknown revision")
    {
        ErrorKind::Missing
    } else {
        ErrorKind::Other
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_its_own_kind_and_says_what_to_do() {
        let from_git = Error::git("import", "fatal: write error: No space left on device\n");
        assert_eq!(from_git.kind, ErrorKind::NoSpace);
        assert!(from_git.to_string().contains("Free some disk space"));
        let from_os = Error::io("writing x", &io::Error::from_raw_os_error(28));
        assert_eq!(from_os.kind, ErrorKind::NoSpace);
        let quota = Error::io("writing x", &io::Error::from_raw_os_error(122));
        assert_eq!(quota.kind, ErrorKind::NoSpace);
    }
}
