//! Write-sets: which paths of the repository a task may change.
//!
//! Both sides of a mission use this one meaning: the plan file is checked with it, and changes are judged by it.
//! `*` and `?` stop at `/`, `**` crosses it, `{a,b}` and `[a-z]` choose; a path without any of these is itself, and a
//! folder is written `folder/**`. Paths are those that git prints: relative to the repository's root, with `/`.

use crate::source::checker::{Wrong, quote};
use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

/// Longest glob in bytes; longer than any path that Linux accepts in one call.
pub const GLOB_BYTES_MAX: usize = 4_096;

/// A compiled write-set.
#[derive(Clone, Debug)]
pub struct Globs(GlobSet);

/// Why a list of globs cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct GlobError {
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub fix: String,
}

impl Globs {
    /// Compiles globs that were checked when the plan was read.
    ///
    /// # Errors
    /// When one of them is not a glob, or all together are too large to compile.
    pub fn compile<S: AsRef<str>>(globs: &[S]) -> Result<Self, GlobError> {
        let refuse = |wrong: Wrong| GlobError { what: wrong.what, fix: wrong.fix };
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(parse(glob.as_ref()).map_err(refuse)?.glob().clone());
        }
        set.build().map(Self).map_err(|error| refuse(Wrong::new(error.to_string(), "use fewer or simpler globs")))
    }

    /// Whether this path may be changed.
    pub fn cover(&self, path: &str) -> bool {
        self.0.is_match(path)
    }

    /// The paths that may not be changed, in the given order.
    pub fn outside<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        paths.into_iter().filter(|path| !self.cover(path)).collect()
    }
}

/// One glob of a write-set.
pub(crate) fn parse(text: &str) -> Result<GlobMatcher, Wrong> {
    let refuse = |why: &str, fix: &str| Err(Wrong::new(format!("{} {why}", quote(text)), fix));
    if text.is_empty() || text.len() > GLOB_BYTES_MAX {
        return refuse(
            "is not a usable length for a glob",
            "write a path like `src/**`; leave `writes` out to allow any path",
        );
    }
    if text.starts_with('/') || text.starts_with("~/") {
        return refuse("is an absolute path", "write it relative to the repository's root");
    }
    if text.starts_with("./") || text.split('/').any(|part| part == ".." || part == ".") {
        return refuse("has a `.` or `..` in it", "write the path from the repository's root without them");
    }
    if text.split('/').next().is_some_and(|first| first.eq_ignore_ascii_case(".git")) {
        return refuse("points into git's own files", "name files of the repository itself");
    }
    if text.ends_with('/') {
        return refuse("names a folder", &format!("write `{text}**` for everything in it"));
    }
    let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| {
        let fix = "`*`, `?`, `**`, `[a-z]` and `{a,b}` have a meaning; put `\\` before one to take it as it is";
        Wrong::new(format!("{} is not a glob: {}", quote(text), error.kind()), fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_set_covers_what_it_says() {
        let globs = Globs::compile(&["src/*.py", "docs/**", "a[0-9].txt", "Makefile"]).unwrap();
        let paths = ["src/a.py", "src/deep/a.py", "docs/x/y.md", "a1.txt", "ab.txt", "Makefile", "sub/Makefile"];
        assert_eq!(globs.outside(paths), ["src/deep/a.py", "ab.txt", "sub/Makefile"]);
    }

    #[test]
    fn no_glob_covers_nothing() {
        assert!(!Globs::compile::<&str>(&[]).unwrap().cover("a"));
    }

    #[test]
    fn what_leads_out_of_the_repository_is_refused() {
        for glob in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "./a",
            ".git/hooks/x",
            ".GIT/config",
            "src/",
            "a[",
            "{a",
            "~/x",
            "a/./b",
        ] {
            assert!(parse(glob).is_err(), "{glob}");
        }
    }
}
