//! Names that end up in paths, refs and command lines, checked once where they enter.

use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The full id of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);

/// The full id of a tree, in the same form as [`CommitId`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreeId(String);

/// The name of an agent: `[a-z0-9][a-z0-9-]{0,63}`, safe in a path and in a ref.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

/// The short name of a branch (`muster/fix-login`): path segments of letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_agent_name(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = text.bytes();
    text.len() <= 64 && bytes.next().is_some_and(safe) && bytes.all(|b| safe(b) || b == b'-')
}

fn is_branch_name(text: &str) -> bool {
    let segment = |part: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && !part.ends_with(['.'])
            && !part.ends_with(".lock")
            && !part.contains("..")
            && part.bytes().all(word)
    };
    text.len() <= 200 && text != "HEAD" && text.split('/').all(segment)
}

macro_rules! checked_name {
    ($name:ident, $check:ident, $what:literal) => {
        impl $name {
            /// Checks the text; an error names the text and the form that is expected.
            pub fn new(text: impl Into<String>) -> Result<Self> {
                let text = text.into();
                if $check(&text) {
                    return Ok(Self(text));
                }
                let shown: String = text.chars().take(80).collect();
                Err(Error::new(ErrorKind::Invalid, format!("{shown:?} is not {}", $what)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(CommitId, is_object_id, "a commit id (40 or 64 lower-case hexadecimal digits)");
checked_name!(TreeId, is_object_id, "a tree id (40 or 64 lower-case hexadecimal digits)");
checked_name!(AgentName, is_agent_name, "an agent name (a-z, 0-9 and '-', not first, at most 64 characters)");
checked_name!(BranchName, is_branch_name, "a branch name (segments of letters, digits, '.', '_' and '-')");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_names_cannot_leave_their_directory() {
        for good in ["a", "0", "coder-1", &"a".repeat(64)] {
            assert!(AgentName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "..", "a/b", "../x", "A", "a b", "a\n", "a\0", "é", &"a".repeat(65)] {
            assert!(AgentName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_full_and_lower_case() {
        assert!(CommitId::new("a".repeat(40)).is_ok());
        assert!(CommitId::new("0".repeat(64)).is_ok());
        for bad in ["HEAD", "--all", &"a".repeat(39), &"A".repeat(40), &format!("{}\n", "a".repeat(39))] {
            assert!(CommitId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn branch_names_are_plain() {
        for good in ["main", "muster/fix-login", "muster/t1/2", "v1.2_x"] {
            assert!(BranchName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "-x", "a/-x", ".a", "a..b", "a.lock", "a b", "a~1", "a:b", "@{u}", "HEAD"] {
            assert!(BranchName::new(bad).is_err(), "{bad:?}");
        }
    }
}
