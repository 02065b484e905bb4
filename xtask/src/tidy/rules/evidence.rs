//! Every row of `docs/evidence.md` carries its figure: a claim that nobody measured is not evidence.

use crate::tidy::{finding::Finding, tree::Tree};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.text.iter().filter(|file| file.path == "docs/evidence.md") {
        for (index, line) in file.text.lines().enumerate() {
            let Some(row) = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
            let empty = |cell: &str| {
                matches!(cell.trim().to_lowercase().as_str(), "" | "?" | "…" | "..." | "tbd" | "todo" | "n/a")
            };
            if row.split('|').any(empty) {
                findings.push(Finding::at(
                    "evidence",
                    &file.path,
                    index + 1,
                    "a cell of this row is empty: measure it, or remove the row",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_a_figure_are_found() {
        let text = "| claim | figure |\n|---|---|\n| fast | 3 ms |\n| small | |\n| safe | TBD |\n";
        let places: Vec<String> =
            check(&Tree::of_text(&[("docs/evidence.md", text)])).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["docs/evidence.md:4", "docs/evidence.md:5"]);
    }
}
