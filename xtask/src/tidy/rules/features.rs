//! What only a benchmark may be built with: agents without a sandbox.

use crate::tidy::{finding::Finding, tree::Tree};

/// The feature of `engine` that lets agents be tasks of its process.
const FEATURE: &str = "modelled";
/// The manifests that may name it: where it is defined, and the one program that may have it.
const NAMED_IN: &[&str] = &["crates/engine/Cargo.toml", "bench/adapter/Cargo.toml"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_manifest = |path: &str| path == "Cargo.toml" || path.ends_with("/Cargo.toml");
    for manifest in tree.text.iter().filter(|file| is_manifest(&file.path)) {
        for (number, line) in (1..).zip(manifest.text.lines()) {
            let code = line.split('#').next().unwrap_or_default();
            let allowed = NAMED_IN.contains(&manifest.path.as_str()) && !code.trim_start().starts_with("default");
            if code.contains(FEATURE) && !allowed {
                let what = format!(
                    "the feature `{FEATURE}` runs agents without a sandbox; only {NAMED_IN:?} name it, and never in `default`"
                );
                findings.push(Finding::at("features", &manifest.path, number, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_agents_outside_sandboxes_is_found() {
        let tree = Tree::of_text(&[
            ("crates/engine/Cargo.toml", "[features]\nmodelled = []\n"),
            ("bench/adapter/Cargo.toml", "[features]\ndefault = [\"modelled\"]\nmodelled = [\"engine/modelled\"]\n"),
            ("crates/muster/Cargo.toml", "[dependencies]\nengine = { workspace = true, features = [\"modelled\"] }\n"),
            ("crates/api/Cargo.toml", "# nothing modelled\n"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["bench/adapter/Cargo.toml:2", "crates/muster/Cargo.toml:2"]);
    }
}
