//! One module per rule; each reads the tree and says where it is broken.

mod documents;
mod edges;
mod environment;
mod evidence;
mod features;
mod lengths;
mod links;
mod names;
mod processes;
mod purity;
mod sleeps;
mod sql;
mod unfinished;
mod unsafe_code;
mod whitespace;

use super::{finding::Finding, rust::RustFile, tree::Tree};

/// Reads the tree, says where one rule is broken.
pub type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule.
pub const ALL: &[Rule] = &[
    edges::check,
    features::check,
    unsafe_code::check,
    sql::check,
    processes::check,
    environment::check,
    purity::check,
    unfinished::check,
    sleeps::check,
    lengths::files,
    lengths::functions,
    lengths::crates,
    documents::check,
    names::check,
    links::check,
    evidence::check,
    whitespace::check,
];

/// A finding for every line outside tests that uses one of these paths.
fn uses(file: &RustFile, rule: &'static str, paths: &[&str], what: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths {
        let lines = file.find_path(path).into_iter().filter(|line| !file.is_test(*line));
        findings.extend(lines.map(|line| Finding::at(rule, &file.path, line, format!("`{path}`: {what}"))));
    }
    findings
}

/// Where a rule is broken in a tree of these Rust files, as `path:line`.
#[cfg(test)]
fn broken(rule: Rule, files: &[(&str, &str)]) -> Vec<String> {
    rule(&Tree::of_rust(files)).into_iter().map(|finding| finding.place).collect()
}
