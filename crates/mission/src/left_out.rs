//! What is in an agent's workspace and not in its change, and why. Bounded, because it is kept with the facts.

use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Paths that are named in one fact; of more the number is kept.
pub const LEFT_OUT_MAX: usize = 20;

/// What a change lacks of its workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOuts {
    /// The first of them, at most [`LEFT_OUT_MAX`].
    pub shown: Vec<LeftOut>,
    /// How many more there are; a folder that is ignored as a whole counts once.
    #[serde(default)]
    pub more: u32,
}

/// One path, or a folder with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The path; a folder ends in `/`.
    pub path: String,
    /// A file in it, where it is a folder and that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inside: Option<String>,
    /// Why.
    pub why: WhyLeftOut,
    /// The task was to write there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wanted: bool,
}

/// Why something is not part of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyLeftOut {
    /// A rule of the repository or its user says so: file, line and pattern.
    Ignored(String),
    /// It cannot be read; the system's words.
    Unreadable(String),
    /// Its path is longer than the system allows.
    TooLong,
    /// git takes no such name.
    Name,
    /// It cannot be converted to the encoding that an attribute names; git's words.
    Conversion(String),
    /// It is another repository.
    Repository,
    /// It is neither a file nor a link.
    Special,
    /// Something else; git's words.
    Other(String),
}

impl LeftOuts {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.more == 0
    }

    /// Whether something is missing that somebody may have counted on: what could not be taken though it should have been,
    /// and what is ignored though the task was to write it.
    pub fn matters(&self) -> bool {
        self.shown.iter().any(LeftOut::matters)
    }

    /// All of them, a line each, those that matter first.
    pub fn tell(&self) -> String {
        let mut lines: Vec<&LeftOut> = self.shown.iter().collect();
        lines.sort_by_key(|one| !one.matters());
        let mut text = String::new();
        for one in lines {
            let _ = writeln!(text, "  {}", one.tell());
        }
        if self.more > 0 {
            let _ = writeln!(text, "  and {} more", self.more);
        }
        text
    }

    /// The first that matters, or the first, in one line.
    pub fn first(&self) -> Option<String> {
        let first = self.shown.iter().find(|one| one.matters()).or(self.shown.first())?;
        let more = self.shown.len() - 1 + self.more as usize;
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        Some(format!("{}{more}", first.tell()))
    }
}

impl LeftOut {
    fn matters(&self) -> bool {
        self.wanted || !matches!(self.why, WhyLeftOut::Ignored(_) | WhyLeftOut::Special)
    }

    /// What and why, in one line.
    pub fn tell(&self) -> String {
        format!("{} {}", self.inside.as_ref().unwrap_or(&self.path), self.why.tell())
    }
}

impl WhyLeftOut {
    fn tell(&self) -> String {
        match self {
            Self::Ignored(rule) => format!("is ignored by {rule}"),
            Self::Unreadable(error) => format!("could not be saved: {error}"),
            Self::TooLong => "could not be saved: its path is longer than the system allows".to_owned(),
            Self::Name => "could not be saved: git takes no file of that name".to_owned(),
            Self::Conversion(said) => format!("could not be saved: {said}"),
            Self::Repository => "could not be saved: it is a repository of its own; remove its .git".to_owned(),
            Self::Special => "is neither a file nor a link".to_owned(),
            Self::Other(said) if said.is_empty() => "could not be saved".to_owned(),
            Self::Other(said) => format!("could not be saved: {said}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_comes_first() {
        let ignored = |path: &str, wanted| LeftOut {
            path: path.into(),
            inside: None,
            why: WhyLeftOut::Ignored(".gitignore:1 (x)".into()),
            wanted,
        };
        let mut left = LeftOuts { shown: vec![ignored("target/", false)], more: 0 };
        assert!(!left.matters() && !left.is_empty());
        assert_eq!(left.first().unwrap(), "target/ is ignored by .gitignore:1 (x)");
        left.shown.push(LeftOut { inside: Some("dist/a.js".into()), ..ignored("dist/", true) });
        left.more = 3;
        assert!(left.matters());
        assert_eq!(left.first().unwrap(), "dist/a.js is ignored by .gitignore:1 (x) (and 4 more)");
        assert!(left.tell().starts_with("  dist/a.js is"));
        assert!(left.tell().ends_with("  and 3 more\n"));
        let closed = LeftOut { why: WhyLeftOut::Unreadable("Permission denied".into()), ..ignored("s", false) };
        assert_eq!(closed.tell(), "s could not be saved: Permission denied");
    }
}
