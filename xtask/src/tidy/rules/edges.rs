//! Which package may use which. A new edge is a change of architecture: it is added here, in a commit that says why.

use crate::tidy::{finding::Finding, tree::Tree};

/// What each package may use of the others. Its tests may use no more.
const EDGES: &[(&str, &[&str])] = &[
    ("mission", &[]),
    ("api", &[]),
    ("egress", &[]),
    ("seccomp", &[]),
    ("sandbox", &["egress", "seccomp"]),
    ("tariff", &[]),
    ("gateway", &["tariff"]),
    ("workspace", &["sandbox"]),
    ("agents", &["workspace", "api"]),
    ("native", &["api"]),
    ("store", &["mission"]),
    ("policies", &["workspace", "api"]),
    ("view", &["mission", "store", "agents", "policies"]),
    ("engine", &["mission", "store", "workspace", "agents", "gateway", "api", "policies", "view"]),
    ("bridge", &["api", "native"]),
    ("muster", &["api", "engine", "native", "bridge"]),
    ("example-worker", &[]),
    ("sim", &["mission"]),
    ("probes", &["sandbox"]),
    ("bench-adapter", &["mission", "store", "agents", "gateway", "api", "engine", "native"]),
    ("xtask", &["api", "gateway"]),
];

/// What comes from outside and belongs to few: its name, and who may use it.
const OWNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("landlock", &["sandbox"]),
    ("syscalls", &["seccomp", "sandbox"]),
    ("genai", &["native"]),
    ("agent-client-protocol-schema", &["agents", "native"]),
    ("anyhow", &["muster", "xtask", "bench-adapter"]),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        let mut wrong = |what: String| findings.push(Finding::at("edges", &manifest, 1, what));
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == package.name) else {
            wrong(format!("package `{}` is not in the table of edges (xtask/src/tidy/rules/edges.rs)", package.name));
            continue;
        };
        for used in package.dependencies.iter().chain(&package.test_dependencies) {
            if tree.packages.iter().any(|other| other.name == *used) && !allowed.contains(&used.as_str()) {
                wrong(format!("`{}` may not use `{used}`; it may use {allowed:?}", package.name));
            }
        }
        for used in &package.dependencies {
            if let Some((_, owners)) = OWNED.iter().find(|(name, _)| name == used)
                && !owners.contains(&package.name.as_str())
            {
                wrong(format!("`{used}` belongs to {owners:?}; `{}` may not use it", package.name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::Package;

    fn told(packages: &[(&str, &[&str], &[&str])]) -> Vec<String> {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        let package = |(name, used, tested): &(&str, &[&str], &[&str])| Package {
            name: name.to_string(),
            folder: format!("crates/{name}"),
            dependencies: owned(used),
            test_dependencies: owned(tested),
        };
        let tree = Tree { packages: packages.iter().map(package).collect(), ..Tree::default() };
        check(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn only_the_edges_of_the_table_are_allowed() {
        assert!(told(&[("store", &["mission", "serde"], &[]), ("mission", &["serde"], &[])]).is_empty());
        let upwards = told(&[("mission", &["store"], &[]), ("store", &[], &["mission"])]);
        assert_eq!(upwards, ["`mission` may not use `store`; it may use []"]);
        let in_tests = told(&[("api", &[], &["store"]), ("store", &[], &[])]);
        assert_eq!(in_tests, ["`api` may not use `store`; it may use []"]);
    }

    #[test]
    fn a_package_that_nobody_knows_is_told() {
        assert_eq!(told(&[("newcomer", &[], &[])]).len(), 1);
    }

    #[test]
    fn what_belongs_to_one_is_not_used_by_another() {
        assert_eq!(
            told(&[("engine", &["rusqlite"], &[])]),
            ["`rusqlite` belongs to [\"store\"]; `engine` may not use it"]
        );
    }
}
