//! Nothing below the program reads the environment, and nothing below the engine reads the wall clock: what a crate
//! needs comes in as an argument, so that a test and a replay can give it.

use super::uses;
use crate::tidy::{finding::Finding, tree::Tree};

const NO_ENVIRONMENT: &[&str] =
    &["mission", "api", "sandbox", "workspace", "tariff", "gateway", "agents", "store", "engine"];
const NO_CLOCK: &[&str] = &["mission", "api", "sandbox", "workspace", "tariff", "gateway", "agents", "store"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        if NO_ENVIRONMENT.contains(&file.package.as_str()) {
            let what = "the environment is read by the program only; take the value as an argument";
            findings.extend(uses(file, "environment", &["std::env"], what));
        }
        if NO_CLOCK.contains(&file.package.as_str()) {
            let what = "the wall clock is read by the engine only; take the time as an argument";
            findings.extend(uses(
                file,
                "clock",
                &["std::time::SystemTime", "SystemTime::now", "jiff::Timestamp"],
                what,
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn the_environment_and_the_clock_are_found_below() {
        let text = "fn a() { std::env::var(\"X\"); }\nuse std::time::{Instant, SystemTime};\nfn b() { SystemTime::now(); }\n#[test]\nfn t() { std::env::temp_dir(); }\n";
        let places = ["crates/store/src/a.rs:1", "crates/store/src/a.rs:2", "crates/store/src/a.rs:3"];
        assert_eq!(broken(check, &[("crates/store/src/a.rs", text)]), places);
        assert_eq!(broken(check, &[("crates/engine/src/a.rs", text)]), ["crates/engine/src/a.rs:1"]);
        assert!(broken(check, &[("crates/muster/src/a.rs", text)]).is_empty());
    }
}
