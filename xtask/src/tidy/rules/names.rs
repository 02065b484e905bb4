//! Names that say nothing, so that everything ends up under them.

use crate::tidy::{finding::Finding, tree::Tree};

const REFUSED: &[&str] =
    &["util", "utils", "utility", "utilities", "manager", "managers", "helper", "helpers", "common"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let path = file.path.trim_end_matches(".rs");
        if let Some(word) = path.split(['/', '_', '-', '.']).find(|word| REFUSED.contains(word)) {
            let what = format!("`{word}` in a path says nothing: name the idea");
            findings.push(Finding::at("names", &file.path, 1, what));
        }
        for (name, line) in &file.names {
            if let Some(word) = words(name).into_iter().find(|word| REFUSED.contains(&word.as_str())) {
                findings.push(Finding::at(
                    "names",
                    &file.path,
                    *line,
                    format!("`{word}` in `{name}` says nothing: name the idea"),
                ));
            }
        }
    }
    findings
}

/// The words of a name: `ModelUtil` and `model_util` are both "model util".
fn words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push('_');
        }
        spaced.extend(letter.to_lowercase());
    }
    spaced.split('_').filter(|word| !word.is_empty()).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::rules::broken;

    #[test]
    fn empty_words_are_found_in_paths_and_names() {
        let found = broken(
            check,
            &[
                ("crates/a/tests/common/mod.rs", "fn a() {}"),
                ("crates/a/src/b.rs", "\nstruct TaskManager;\nmod uncommon {}\n"),
            ],
        );
        assert_eq!(found, ["crates/a/tests/common/mod.rs:1", "crates/a/src/b.rs:2"]);
    }
}
