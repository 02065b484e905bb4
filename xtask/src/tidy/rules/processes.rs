//! Processes are started by `workspace` and `sandbox`, so that none runs in an agent's tree outside a sandbox. The hostile
//! program of `probes` tries to.

use super::uses;
use crate::tidy::{finding::Finding, tree::Tree};

/// Files outside those crates that may start a process, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("crates/native/src/tools/run_command.rs", "our own agent's tool, which only ever runs inside the agent's sandbox"),
    ("crates/bridge/src/child.rs", "a vendor's program, which only ever runs inside the agent's sandbox"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let files =
        tree.rust.iter().filter(|file| !matches!(file.package.as_str(), "workspace" | "sandbox" | "probes" | "xtask"));
    let files = files.filter(|file| EXCEPTIONS.iter().all(|(path, _)| *path != file.path));
    let paths = ["std::process::Command", "process::Command", "tokio::process", "Command::new"];
    let what = "processes are started by `workspace` and `sandbox` only";
    let mut findings: Vec<Finding> = files.flat_map(|file| uses(file, "processes", &paths, what)).collect();
    findings.dedup_by(|a, b| a.place == b.place);
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn starting_a_process_is_found() {
        let text = "use std::process::{Command, ExitCode};\nfn a() { Command::new(\"ls\"); }\nuse tokio::process::Child;\n#[test]\nfn t() { Command::new(\"ls\"); }\n";
        let places = ["crates/engine/src/a.rs:1", "crates/engine/src/a.rs:3", "crates/engine/src/a.rs:2"];
        assert_eq!(broken(check, &[("crates/engine/src/a.rs", text)]), places);
        assert!(
            broken(check, &[("crates/workspace/src/a.rs", text), ("crates/native/src/tools/run_command.rs", text)])
                .is_empty()
        );
        assert!(broken(check, &[("crates/muster/src/main.rs", "use std::process::ExitCode;")]).is_empty());
    }
}
