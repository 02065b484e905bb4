//! `unsafe` stands in one crate, where it can be reviewed, and in the program that attacks it.

use crate::tidy::{finding::Finding, tree::Tree};

/// Packages with unsafe code, and why.
const PACKAGES: &[(&str, &str)] = &[
    ("sandbox", "it asks the kernel for what no safe library offers, and its tests look behind that"),
    ("probes", "its program is hostile by purpose: it tries every system call that could lead out of a sandbox"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| PACKAGES.iter().all(|(name, _)| *name != file.package)) {
        let lines = file.find(&["unsafe"]).chain(file.find(&["(", "unsafe_code"]));
        let what = "unsafe code belongs to crate `sandbox`, tests included: move it there behind a safe function";
        findings.extend(lines.map(|line| Finding::at("unsafe", &file.path, line, what)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn unsafe_is_found_even_in_macros_and_tests() {
        let text = "fn a() { m!(unsafe { b() }) }\n#[cfg(test)]\nmod t { unsafe fn c() {} }\n// unsafe\n";
        assert_eq!(
            broken(check, &[("crates/store/src/a.rs", text)]),
            ["crates/store/src/a.rs:1", "crates/store/src/a.rs:3"]
        );
        assert!(broken(check, &[("crates/sandbox/src/a.rs", text), ("tests/probes/src/a.rs", text)]).is_empty());
    }
}
