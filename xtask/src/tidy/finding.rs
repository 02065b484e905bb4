//! One place where a rule is broken.

use std::fmt;

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name, as the ratchet knows it.
    pub rule: &'static str,
    /// What the ratchet counts by: a file, a function in a file, a crate.
    pub subject: String,
    /// Where to look: a path, with a line where there is one.
    pub place: String,
    /// What is wrong and what to do.
    pub what: String,
    /// How much: 1 for a mere occurrence, a number of lines for a length.
    pub amount: usize,
}

impl Finding {
    /// An occurrence in a line of a file.
    pub fn at(rule: &'static str, path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { rule, subject: path.into(), place: format!("{path}:{line}"), what: what.into(), amount: 1 }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.place, self.rule, self.what)
    }
}
