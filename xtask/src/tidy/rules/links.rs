//! Every link of a document that stays in the repository leads somewhere.

use super::super::{finding::Finding, tree::Tree};
use regex::Regex;
use std::path::{Component, Path, PathBuf};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let Ok(link) = Regex::new(r"\]\(<?([^)>\s]+)>?[^)]*\)") else {
        unreachable!("the pattern is a constant and the tests compile it")
    };
    let mut findings = Vec::new();
    for file in tree.text.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (line, text) in prose(&file.text) {
            for target in link.captures_iter(text).filter_map(|found| found.get(1)) {
                if let Some(what) = broken(tree, folder, &file.text, target.as_str()) {
                    findings.push(Finding::at("links", &file.path, line, what));
                }
            }
        }
    }
    findings
}

/// The lines outside code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// What is wrong with a link from a document in `folder`; nothing for one that leads outside.
fn broken(tree: &Tree, folder: &Path, own_text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    if path.is_empty() {
        return lacks_heading(own_text, anchor).then(|| format!("there is no heading `#{anchor}` here"));
    }
    let full = flat(&folder.join(path));
    let below = format!("{full}/");
    let mut files = tree
        .text
        .iter()
        .map(|file| (&file.path, &file.text))
        .chain(tree.rust.iter().map(|file| (&file.path, &file.text)));
    match files.find(|(file, _)| **file == full || file.starts_with(&below)) {
        None => Some(format!("`{target}` leads to `{full}`, which does not exist")),
        Some((_, text)) if full.ends_with(".md") && !anchor.is_empty() && lacks_heading(text, anchor) => {
            Some(format!("`{full}` has no heading `#{anchor}`"))
        }
        Some(_) => None,
    }
}

/// A path without `.` and `..`.
fn flat(path: &Path) -> String {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(flat.pop()),
            Component::CurDir => {}
            other => flat.push(other),
        }
    }
    flat.to_string_lossy().into_owned()
}

/// Whether no heading makes this anchor: lower case, words joined by `-`, other signs left out.
fn lacks_heading(text: &str, anchor: &str) -> bool {
    let headings =
        prose(text).filter_map(|(_, line)| line.strip_prefix('#')).map(|line| line.trim_start_matches('#').trim());
    let made = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    !headings.into_iter().any(|heading| made(heading) == anchor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let readme = "# A\n## Who may do it?\n[a](docs/b.md) [b](docs) [c](docs/b.md#more-text) [d](#who-may-do-it) [e](https://x.y/z)\n\n```\n[x](nowhere)\n```\n[f](docs/none.md)\n[g](#gone)\n";
        let tree = Tree::of_text(&[
            ("README.md", readme),
            ("docs/b.md", "# More text\n[up](../README.md) [bad](../x.md)\n[far](../README.md#no)\n"),
        ]);
        let places: Vec<String> = check(&tree).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["README.md:8", "README.md:9", "docs/b.md:2", "docs/b.md:3"]);
    }
}
