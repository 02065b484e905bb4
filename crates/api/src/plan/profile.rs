//! The task analyser: what kind of work a task is, how large, and what is good to have for it, by rules that are data.

use super::Writes;
use crate::config::{TaskRule, TaskSize};
use serde::Serialize;

/// What is known of a task before anybody does it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// What kind of work it is; empty when no rule fits.
    pub task_type: String,
    /// How large it is.
    pub size: TaskSize,
    /// What is good to have for it, each once, in the order of the rules.
    pub wants: Vec<String>,
}

/// What a task says of itself.
pub(super) struct Told<'a> {
    pub(super) title: &'a str,
    pub(super) instructions: &'a str,
    pub(super) writes: &'a Writes,
}

impl Profile {
    /// By these rules: the first that fits and names a type or a size decides it, and what every fitting one wants adds up.
    pub(super) fn of(told: &Told<'_>, rules: &[TaskRule]) -> Self {
        let text = format!("{}\n{}", told.title, told.instructions).to_lowercase();
        let words = text.split_whitespace().count() as u32;
        let globs: &[String] = if let Writes::Only(globs) = told.writes { globs } else { &[] };
        let fits = |rule: &&TaskRule| {
            (rule.words.is_empty() || rule.words.iter().any(|word| stands_in(&text, word)))
                && (rule.paths.is_empty()
                    || globs.iter().any(|glob| rule.paths.iter().any(|part| glob.contains(part.as_str()))))
                && rule.text.is_none_or(|text| text == (*told.writes == Writes::Nothing))
                && rule.words_min.is_none_or(|most| words >= most)
                && rule.paths_min.is_none_or(|most| globs.len() as u32 >= most)
        };
        let mut profile = Self::default();
        let mut size = None;
        for rule in rules.iter().filter(fits) {
            if profile.task_type.is_empty() {
                profile.task_type = rule.task_type.clone().unwrap_or_default();
            }
            size = size.or(rule.size);
            let new = rule.wants.iter().filter(|want| !profile.wants.contains(want)).cloned().collect::<Vec<_>>();
            profile.wants.extend(new);
        }
        Self { size: size.unwrap_or_default(), ..profile }
    }
}

/// Whether a word, or several, stand in a text with nothing of a word right before or after them.
fn stands_in(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, found)| {
        let before = text[..at].chars().next_back().is_some_and(is_part);
        let after = text[at + found.len()..].chars().next().is_some_and(is_part);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dispatch;

    fn profile(title: &str, instructions: &str, writes: &Writes) -> (String, TaskSize, Vec<String>) {
        let rules = Dispatch::default().rules;
        let Profile { task_type, size, wants } = Profile::of(&Told { title, instructions, writes }, &rules);
        (task_type, size, wants)
    }

    #[test]
    fn the_built_in_rules_classify() {
        let only = |globs: &[&str]| Writes::Only(globs.iter().map(|glob| (*glob).to_owned()).collect());
        let many = only(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        let long = "word ".repeat(500);
        let cases = [
            ("Fix the parser", "It crashes on empty input.", &Writes::Anything, "bug_fix", TaskSize::Medium, vec![]),
            ("Prefix handling", "Handle prefixes.", &Writes::Anything, "", TaskSize::Medium, vec![]),
            ("Look", "Fix nothing, report.", &Writes::Nothing, "research", TaskSize::Medium, vec![]),
            ("Words", "Say it better.", &only(&["docs/**"]), "docs", TaskSize::Medium, vec![]),
            ("Cases", "More of them.", &only(&["tests/it/*.rs"]), "test", TaskSize::Medium, vec![]),
            ("Typo", "Fix a typo.", &Writes::Anything, "bug_fix", TaskSize::Small, vec![]),
            ("Pages", "Add pagination.", &many, "feature", TaskSize::Large, vec![]),
            ("Pages", long.as_str(), &Writes::Anything, "", TaskSize::Large, vec!["large_context"]),
            (
                "Locks",
                "Refactor; beware of a deadlock.",
                &Writes::Anything,
                "refactor",
                TaskSize::Medium,
                vec!["complex_reasoning"],
            ),
            ("SQL injection", "Close it.", &Writes::Anything, "security", TaskSize::Medium, vec!["complex_reasoning"]),
        ];
        for (title, instructions, writes, task_type, size, wants) in cases {
            let wants = wants.into_iter().map(str::to_owned).collect();
            assert_eq!(
                profile(title, instructions, writes),
                (task_type.to_owned(), size, wants),
                "{title}: {instructions}"
            );
        }
    }

    #[test]
    fn a_files_own_rules_come_first() {
        let own = TaskRule { words: vec!["fix".into()], task_type: Some("repair".into()), ..TaskRule::default() };
        let rules: Vec<TaskRule> = [own].into_iter().chain(Dispatch::default().rules).collect();
        let told = Told { title: "Fix it", instructions: "Now.", writes: &Writes::Anything };
        assert_eq!(Profile::of(&told, &rules).task_type, "repair");
    }
}
