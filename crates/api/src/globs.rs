//! Write-sets: which paths of the repository a task may change.
//!
//! Both sides of a mission use this one meaning: the plan file is checked with it, and changes are judged by it.
//! `*` and `?` stop at `/`, `**` crosses it, `{a,b}` and `[a-z]` choose; a path without any of these is itself, and a
//! folder is written `folder/**`. A path that is called exactly as a glob is written is covered too, and `[id]` is also the
//! folder of that name. Paths are those that git prints: relative to the repository's root, with `/`.

use crate::source::checker::{Wrong, quote};
use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

/// Longest glob in bytes; longer than any path that Linux accepts in one call.
pub const GLOB_BYTES_MAX: usize = 4_096;

/// A compiled write-set.
#[derive(Clone, Debug)]
pub struct Globs {
    set: GlobSet,
    /// The globs as they are written: a path that is called so is meant, whatever its signs would mean.
    written: BTreeSet<String>,
}

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
            for meaning in meanings(glob.as_ref()) {
                set.add(parse(&meaning).map_err(refuse)?.glob().clone());
            }
        }
        let written = globs.iter().map(|glob| glob.as_ref().to_owned()).collect();
        let set = set.build().map_err(|error| refuse(Wrong::new(error.to_string(), "use fewer or simpler globs")))?;
        Ok(Self { set, written })
    }

    /// Whether this path may be changed.
    pub fn cover(&self, path: &str) -> bool {
        self.set.is_match(path) || self.written.contains(path)
    }

    /// The paths that may not be changed, in the given order.
    pub fn outside<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        paths.into_iter().filter(|path| !self.cover(path)).collect()
    }
}

/// What a glob can mean: itself, and where it has `[…]`, the same with these brackets as they are. Frameworks name folders
/// so (`app/[id]/page.tsx`), and whoever writes such a path means it.
fn meanings(text: &str) -> Vec<String> {
    let literal = text.replace('[', "\\[").replace(']', "\\]");
    let has_class = text.contains('[') && !text.contains('\\');
    [Some(text.to_owned()), has_class.then_some(literal)].into_iter().flatten().collect()
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
    fn a_path_that_is_called_so_is_meant() {
        let globs = Globs::compile(&["app/[id]/page.tsx", "routes/[...slug]/**", "a{b}.txt", "w?.md"]).unwrap();
        let mine =
            ["app/[id]/page.tsx", "app/i/page.tsx", "routes/[...slug]/x/y.ts", "a{b}.txt", "ab.txt", "w?.md", "wx.md"];
        assert_eq!(globs.outside(mine), Vec::<&str>::new());
        let others = ["app/[slug]/page.tsx", "app/[id]/other.tsx", "routes/[other]/x"];
        assert_eq!(globs.outside(others), others);
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
