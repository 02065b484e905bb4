//! Reading a file that a person wrote: text in, typed values out, and problems that say where and what to do.
//!
//! Why here: a misspelt key is the first thing a newcomer meets. So every value keeps its line and column until it has
//! been judged, and a file is judged as a whole, not up to its first mistake: a file of the wrong shape gives one
//! problem (nothing after it can be trusted), a file of the right shape gives all of them at once.
//!
//! It refuses to guess (a number is not a text, `null` is not an empty list, an unknown key is not ignored) and to
//! repeat what the file says beyond a short quotation: a key pasted into the wrong place must not reach a log.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

pub(crate) mod checker;
pub(crate) mod repair;
pub(crate) mod shape;
pub(crate) mod suggest;
mod syntax;

/// Most bytes of one file; ten thousand tasks with a page of text each stay below it.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most bytes of one text in a file, the same as the core allows.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Linux's flag for an open that does not wait, on every architecture that we build for.
const O_NONBLOCK: i32 = 0o4000;
/// How many problems of one file are told; the rest is counted.
pub const PROBLEMS_SHOWN: usize = 20;

/// One file: the name that its problems carry, and its text (YAML, or JSON as a part of it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// A text that is already in memory. `name` is what problems call it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The text of a file.
    ///
    /// # Errors
    /// One problem without a line when the file cannot be read, is too large or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let refuse = |what: String, fix: &str| Problems::one(Problem::whole(&name, what, fix));
        let unreadable = |error: io::Error| {
            refuse(format!("the file cannot be read: {error}"), "check the path and its permissions")
        };
        // Waits for nobody who would have to write into a pipe.
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            return Err(refuse("this is not a file".into(), "name a file"));
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| refuse("the file is not text in UTF-8".into(), "save it as UTF-8, or name another file"))?;
        Ok(Self { name, text })
    }

    /// What problems call this file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text as it stands.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as a value of the right shape; what the values mean is judged afterwards.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problems> {
        if self.text.len() > FILE_BYTES_MAX {
            let what = format!("the file has {} bytes, at most {FILE_BYTES_MAX} are read", self.text.len());
            return Err(Problems::one(Problem::whole(&self.name, what, "split the work into several missions")));
        }
        syntax::parse(self).map_err(Problems::one)
    }
}

/// Where a value stands. Both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The line; 0 when a problem is about the file as a whole.
    pub line: u64,
    /// The column; 0 with line 0.
    pub column: u64,
}

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file's name as it was given.
    pub file: String,
    /// Where the offending value stands.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub fix: String,
}

impl Problem {
    /// A problem of the file as a whole.
    pub fn whole(file: &str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { file: file.into(), place: Place::default(), what: what.into(), fix: fix.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(f, ": {}\n  help: {}", self.what, self.fix.replace('\n', "\n  "))
    }
}

/// Everything that is wrong in a file, in the file's order, at least one; at most [`PROBLEMS_SHOWN`] are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The problems, first ones first.
    pub list: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl Problems {
    /// One problem.
    pub fn one(problem: Problem) -> Self {
        Self { list: vec![problem], more: 0 }
    }

    /// The problems that somebody found who knows more than the file says, such as which paths there are; nothing when
    /// there are none.
    pub fn found(list: Vec<Problem>) -> Result<(), Self> {
        if list.is_empty() { Ok(()) } else { Err(Self::of(list, 0)) }
    }

    pub(crate) fn of(mut list: Vec<Problem>, more: usize) -> Self {
        list.sort_by_key(|problem| problem.place);
        let more = more + list.len().saturating_sub(PROBLEMS_SHOWN);
        list.truncate(PROBLEMS_SHOWN);
        Self { list, more }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            write!(f, "{}{problem}", if index > 0 { "\n" } else { "" })?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
