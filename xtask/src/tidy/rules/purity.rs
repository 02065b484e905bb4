//! The core is pure: no waiting, no clock, no chance, no files, no order that changes from run to run.

use super::uses;
use crate::tidy::{finding::Finding, tree::Tree};

/// What may not be used in `mission`, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("tokio", "the core does not wait; the driver does"),
    ("futures", "the core does not wait; the driver does"),
    ("std::time::SystemTime", "time is an argument"),
    ("std::time::Instant", "time is an argument"),
    ("SystemTime::now", "time is an argument"),
    ("Instant::now", "time is an argument"),
    ("rand", "chance belongs to the driver"),
    ("HashMap", "its order changes from run to run; use BTreeMap"),
    ("HashSet", "its order changes from run to run; use BTreeSet"),
    ("std::collections::HashMap", "its order changes from run to run; use BTreeMap"),
    ("std::collections::HashSet", "its order changes from run to run; use BTreeSet"),
    ("std::fs", "the core touches nothing outside itself"),
    ("std::net", "the core touches nothing outside itself"),
    ("std::process", "the core touches nothing outside itself"),
    ("std::env", "the core touches nothing outside itself"),
    ("std::thread", "the core touches nothing outside itself"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| file.package == "mission") {
        for (path, instead) in REFUSED {
            findings.extend(uses(file, "purity", &[path], instead));
        }
        for word in ["async", "await"] {
            let lines: Vec<usize> = file.find(&[word]).filter(|line| !file.is_test(*line)).collect();
            let what = format!("`{word}`: the core does not wait; the driver does");
            findings.extend(lines.into_iter().map(|line| Finding::at("purity", &file.path, line, what.clone())));
        }
    }
    findings.sort_by(|a, b| a.place.cmp(&b.place));
    findings.dedup_by(|a, b| a.place == b.place);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn the_core_stays_pure() {
        let text = "use std::{collections::{BTreeMap, HashMap}, time::Instant};\nasync fn a() {}\nfn b() { tokio::spawn(c()); }\nuse std::time::Duration;\n#[test]\nfn t() { std::fs::read(\"x\"); }\n";
        let places = ["crates/mission/src/a.rs:1", "crates/mission/src/a.rs:2", "crates/mission/src/a.rs:3"];
        assert_eq!(broken(check, &[("crates/mission/src/a.rs", text)]), places);
        assert!(broken(check, &[("crates/engine/src/a.rs", text)]).is_empty());
    }
}
