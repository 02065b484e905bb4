//! Every module begins with a sentence about itself: why it exists, what it refuses to do. Tests speak by their names.

use crate::tidy::{finding::Finding, tree::Tree};

/// Fewer words than this say nothing.
const WORDS_MIN: usize = 4;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| !file.package.is_empty() && !file.only_tests) {
        let said = file.text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join(" ");
        if said.split_whitespace().filter(|word| *word != "//!").count() < WORDS_MIN {
            let what = "the file does not begin with `//!` and a sentence about what it is for";
            findings.push(Finding::at("documents", &file.path, 1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(broken(check, &[("crates/a/src/a.rs", "fn a() {}\n")]), ["crates/a/src/a.rs:1"]);
        assert_eq!(broken(check, &[("crates/a/src/a.rs", "//! (skeleton)\n")]), ["crates/a/src/a.rs:1"]);
        assert!(broken(check, &[("crates/a/tests/it.rs", "fn a() {}\n")]).is_empty());
        assert!(broken(check, &[("crates/a/src/a.rs", "//! Why this file exists.\nfn a() {}\n")]).is_empty());
    }
}
