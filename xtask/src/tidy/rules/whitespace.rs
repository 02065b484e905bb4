//! Lines end where their text ends, and files end with a line.

use crate::tidy::{finding::Finding, tree::Tree};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let rust = tree.rust.iter().map(|file| (&file.path, &file.text));
    let files = tree.text.iter().map(|file| (&file.path, &file.text)).chain(rust);
    files.filter(|(path, _)| !is_recorded(path)).flat_map(|(path, text)| of_file(path, text)).collect()
}

fn of_file(path: &str, text: &str) -> Vec<Finding> {
    let untidy = |(_, line): &(usize, &str)| line.ends_with([' ', '\t', '\r']);
    let lines = text.split('\n').enumerate().filter(untidy).map(|(index, _)| index + 1);
    let mut findings: Vec<Finding> = lines
        .map(|line| Finding::at("whitespace", path, line, "there is white space at the end of this line"))
        .collect();
    if !text.is_empty() && !text.ends_with('\n') {
        findings.push(Finding::at("whitespace", path, text.lines().count(), "the file does not end with a line break"));
    }
    findings
}

/// What came from somebody else's program, or is compared byte by byte, stays as it is.
fn is_recorded(path: &str) -> bool {
    let recorded = ["fixtures", "recordings", "corpus", "golden"];
    path.split('/').any(|part| recorded.contains(&part)) || path.ends_with(".snap") || path.ends_with(".lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untidy_ends_are_found() {
        let tree = Tree::of_text(&[
            ("a.md", "one \ntwo\t\nthree\n"),
            ("b.sh", "no end"),
            ("fixtures/c.txt", "left \n"),
            ("d", ""),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["a.md:1", "a.md:2", "b.sh:1"]);
    }
}
