//! A test that sleeps either wastes time or fails on a slow machine: it waits for the thing itself instead.
//! A test whose clock is moved by hand (`start_paused`) does not really sleep and may.

use crate::tidy::{finding::Finding, tree::Tree};

/// Files in which a test may sleep, and why.
const EXCEPTIONS: &[(&str, &str)] = &[];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| EXCEPTIONS.iter().all(|(path, _)| *path != file.path)) {
        let mut lines: Vec<usize> = ["thread::sleep", "std::thread::sleep", "time::sleep", "tokio::time::sleep"]
            .iter()
            .flat_map(|path| file.find_path(path))
            .filter(|line| file.is_test(*line) && !file.is_paused(*line))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        let what = "a test does not sleep: wait for a message, an exit, a file's lock; or pause the clock";
        findings.extend(lines.into_iter().map(|line| Finding::at("sleeps", &file.path, line, what)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn sleeping_tests_are_found() {
        let text = "fn a() { std::thread::sleep(d) }\n#[test]\nfn b() { std::thread::sleep(d) }\n#[tokio::test(start_paused = true)]\nasync fn c() { tokio::time::sleep(d).await }\n";
        assert_eq!(broken(check, &[("crates/a/src/a.rs", text)]), ["crates/a/src/a.rs:3"]);
        assert_eq!(
            broken(check, &[("crates/a/tests/it.rs", "use tokio::time::{sleep, timeout};")]),
            ["crates/a/tests/it.rs:1"]
        );
    }
}
