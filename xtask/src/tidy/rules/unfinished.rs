//! Nothing is left for later in the code: no `todo!`, no `dbg!`, no test that is not run.

use crate::tidy::{finding::Finding, tree::Tree};

const REFUSED: &[(&[&str], &str)] = &[
    (&["todo", "!"], "`todo!`: write it, or leave the feature out"),
    (&["unimplemented", "!"], "`unimplemented!`: write it, or answer with an error"),
    (&["dbg", "!"], "`dbg!`: remove it"),
    (&["#", "[", "ignore"], "`#[ignore]`: mend the test or remove it"),
];

/// Files with an ignored test that is not a test, and why.
const EXCEPTIONS: &[(&str, &str)] =
    &[("crates/store/tests/it/kill.rs", "the process that a test starts from its own binary and kills")];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust.iter().filter(|file| EXCEPTIONS.iter().all(|(path, _)| *path != file.path)) {
        for (words, what) in REFUSED {
            findings.extend(file.find(words).map(|line| Finding::at("unfinished", &file.path, line, *what)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn what_is_left_for_later_is_found_in_tests_too() {
        let text = "fn a() { todo!() }\n#[test]\n#[ignore = \"slow\"]\nfn b() { dbg!(1); }\n// todo!()\nfn c() { unimplemented!(\"x\") }\n";
        let found: Vec<String> = [1, 6, 4, 3].iter().map(|line| format!("crates/a/src/a.rs:{line}")).collect();
        assert_eq!(broken(check, &[("crates/a/src/a.rs", text)]), found);
    }
}
