//! The answers that an agent offers with its question. They stand in the question's last line, as the agent tools write it, and are an agent's words:
//! a command that answers with one is quoted so that a shell runs nothing of it.

use super::{allowances::more_and_no, harmless::visible, standing::AnswerWith};
use mission::{About, InterruptId, Mission};

/// What the line of options begins with.
const OPTIONS: &str = "Options: ";
/// What stands between two.
const BETWEEN: &str = " | ";
/// Options for which there is a command each.
const COMMANDS_MAX: usize = 8;
/// Longest option that a command repeats, in characters.
const OPTION_CHARS_MAX: usize = 80;

/// The options in a question's text.
pub(super) fn of(question: &str) -> Vec<String> {
    let last = question.lines().next_back().and_then(|line| line.strip_prefix(OPTIONS)).unwrap_or_default();
    last.split(BETWEEN).map(str::trim).filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

/// The option that a person means, whatever the case of its letters; nothing when it is not offered.
pub fn offered<'a>(options: &'a [String], text: &str) -> Option<&'a String> {
    let same = |option: &&String| option.to_lowercase() == text.trim().to_lowercase();
    options.iter().find(|option| *option == text.trim()).or_else(|| options.iter().find(same))
}

/// The commands that answer an interrupt.
pub(super) fn answers(
    mission: &Mission,
    name: &str,
    id: InterruptId,
    interrupt: &mission::Interrupt,
) -> Vec<AnswerWith> {
    let with =
        |rest: &str, means: &'static str| AnswerWith { command: format!("muster answer {name}/{id} {rest}"), means };
    match &interrupt.about {
        About::Question(_) => to_question(&interrupt.question, &with),
        About::Permission(_) => vec![with("--approve", "it may, this once"), with("--deny", "it may not")],
        About::Task(_) => {
            vec![
                with("--approve", "the task gets another round of attempts"),
                with("--deny", "the task will not be done"),
            ]
        }
        About::Role(_) => vec![
            with("--approve", "the role goes on; mend what stopped it first"),
            with("--deny", "what only this role can do will not be done"),
        ],
        About::Budget => vec![
            with("--approve", "as much may be spent again"),
            with("2.50", "so many dollars more may be spent"),
            with("--deny", "the mission ends with what is merged"),
        ],
        About::Allowance(id) => {
            let (more, denied) = more_and_no(mission, *id);
            vec![
                with("--approve", "as much may be used again"),
                with(more, "so much more may be used"),
                with("--deny", denied),
            ]
        }
        About::Checks => {
            vec![with("--approve", "it goes on all the same"), with("--deny", "the mission ends; nothing was spent")]
        }
        About::Space => vec![with("--approve", "it goes on; make room first"), with("--deny", "the mission ends")],
        About::Publish => {
            vec![
                with("--approve", "it is tried again"),
                with("--deny", "the result stays in the mission's own repository"),
            ]
        }
    }
}

/// The commands that answer a question.
fn to_question(question: &str, with: &dyn Fn(&str, &'static str) -> AnswerWith) -> Vec<AnswerWith> {
    let options = of(question);
    if options.is_empty() {
        return vec![with("\"YOUR ANSWER\"", "the agent goes on with your words")];
    }
    let short = options.iter().filter(|option| option.chars().count() <= OPTION_CHARS_MAX).take(COMMANDS_MAX);
    let offered = short.map(|option| with(&quoted(option), "as it offers"));
    offered.chain([with("--amend \"YOUR ANSWER\"", "the agent goes on with your words")]).collect()
}

/// As one word of a shell that means nothing else (POSIX shell, section 2.2.2).
fn quoted(text: &str) -> String {
    format!("'{}'", visible(text).replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_the_last_line_alone() {
        assert_eq!(of("Which?\nOptions: keep | use half up"), ["keep", "use half up"]);
        assert!(of("Options: a | b\nreally?").is_empty());
        assert!(of("which?").is_empty());
    }

    #[test]
    fn an_answer_is_one_of_them_or_none() {
        let options = ["keep".to_owned(), "Keep".to_owned(), "use half up".to_owned()];
        assert_eq!(offered(&options, "Keep"), Some(&options[1]));
        assert_eq!(offered(&options, " USE half up "), Some(&options[2]));
        assert_eq!(offered(&options, "ue"), None);
    }

    #[test]
    fn no_shell_runs_an_option() {
        let with = |rest: &str, means| AnswerWith { command: rest.to_owned(), means };
        let commands: Vec<String> =
            to_question("?\nOptions: it's | $(reboot)", &with).into_iter().map(|answer| answer.command).collect();
        assert_eq!(commands, [r"'it'\''s'", "'$(reboot)'", "--amend \"YOUR ANSWER\""]);
    }
}
