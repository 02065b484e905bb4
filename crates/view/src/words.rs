//! The words for states, reasons, money and time, the same in every reading.

use super::layout::shortened;
use mission::{
    Answer, Brief, By, ChangeState, CheckRun, LeftOut, LeftOuts, Micros, Mission, Outcome, PauseReason, Process,
    Return, Status, StopReason, TaskId, TaskState, Topic,
};

/// Longest line that a text of an agent may take in a list, in columns of a terminal.
const LINE_COLUMNS_MAX: usize = 120;

/// Lines of evidence that are shown of its beginning and of its end: what failed stands at the end more often.
const EVIDENCE_LINES_FIRST: usize = 20;
const EVIDENCE_LINES_LAST: usize = 60;
/// Bytes of a line of evidence that are shown.
const EVIDENCE_COLUMNS_MAX: usize = 400;

/// A mission's status in one word or two, for lists.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Empty => "beginning",
        Status::Running => "running",
        Status::Paused(PauseReason::Person) => "paused",
        Status::Paused(PauseReason::Budget) => "out of budget",
        Status::Paused(PauseReason::Checks) => "asking about its checks",
        Status::Paused(PauseReason::Space) => "out of disk space",
        Status::Closing(_) => "closing",
        Status::Closed(outcome) => outcome_word(outcome),
    }
}

pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    }
}

pub(super) fn pause_word(why: PauseReason) -> &'static str {
    match why {
        PauseReason::Person => "as asked",
        PauseReason::Budget => "the budget is used up",
        PauseReason::Space => "the disk is full",
        PauseReason::Checks => "a check of the plan cannot start",
    }
}

pub(super) fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::TimedOut => "it took too long",
        StopReason::Unresponsive => "it did not end when asked to",
        StopReason::Paused => "the mission is paused",
        StopReason::Closing => "the mission ends",
        StopReason::AttemptOver => "its attempt is over",
        StopReason::Limited => "nothing may be called for a while",
        StopReason::Budget => "a budget of time is used up",
    }
}

pub(super) fn brief_word(brief: &Brief) -> &'static str {
    match brief {
        Brief::Task => "the task",
        Brief::Nudge => "it has not submitted a result",
        Brief::Returned(_) => "its change came back",
        Brief::Answered { .. } => "its question is answered",
        Brief::Continue => "it was cut short",
    }
}

pub(super) fn return_word(why: &Return) -> String {
    match why {
        Return::Checks(checks) => {
            let failed: Vec<&CheckRun> = checks.iter().filter(|check| !check.passed).collect();
            let first = failed.first().map_or(String::new(), |check| format!(": {} ({})", check.run, check.ended));
            format!("{} of {} checks fail{first}", failed.len(), checks.len())
        }
        Return::Conflict { .. } => "it conflicts with what others have merged".to_owned(),
        Return::Outside(paths) => format!("it changes paths that are not its own: {}", paths.join(", ")),
        Return::Rejected(why) => format!("it cannot be taken over: {}", why.lines().next().unwrap_or_default()),
        Return::Unchanged(left) => match left.first() {
            Some(first) => format!("it changes nothing: {first}"),
            None => "it changes nothing".to_owned(),
        },
        Return::LeftOut(left) => format!("not part of it: {}", left.first().unwrap_or_default()),
    }
}

/// What there is to see of a return: the output of the checks that failed, or the conflicting hunks.
pub(super) fn return_evidence(why: &Return) -> String {
    bounded(&match why {
        Return::Checks(checks) => {
            let failed = checks.iter().filter(|check| !check.passed);
            let shown = failed.map(|check| format!("$ {}\n{}\n{}", check.run, check.output.trim_end(), check.ended));
            shown.collect::<Vec<_>>().join("\n\n")
        }
        Return::Conflict { hunks } => hunks.trim_end().to_owned(),
        Return::Outside(_) => String::new(),
        Return::Rejected(why) => why.trim_end().to_owned(),
        Return::Unchanged(left) | Return::LeftOut(left) => left.tell().trim_end().to_owned(),
    })
}

/// Evidence that somebody reads: of many lines the first and the last, of a long line the beginning, and of what is no text how much it is.
pub(super) fn bounded(text: &str) -> String {
    let line = |line: &str| {
        let odd = line.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && *c != '\t')).count();
        match odd * 4 > line.chars().count() {
            true => format!("[{} that are not text]", count(line.len() as u64, "byte", "bytes")),
            false if line.len() > EVIDENCE_COLUMNS_MAX => {
                let end = line.floor_char_boundary(EVIDENCE_COLUMNS_MAX);
                format!("{}… [{} bytes more]", &line[..end], line.len() - end)
            }
            false => line.to_owned(),
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let left = lines.len().saturating_sub(EVIDENCE_LINES_FIRST + EVIDENCE_LINES_LAST);
    if left == 0 {
        return lines.into_iter().map(line).collect::<Vec<_>>().join("\n");
    }
    let first = lines.iter().take(EVIDENCE_LINES_FIRST).map(|text| line(text));
    let last = lines.iter().skip(EVIDENCE_LINES_FIRST + left).map(|text| line(text));
    let gap = [format!("[{} left out]", count(left as u64, "line", "lines"))];
    first.chain(gap).chain(last).collect::<Vec<_>>().join("\n")
}

/// What a change lacks, a line each: those that matter first, as the fact has them.
pub(super) fn left_out_lines(left: &LeftOuts) -> Vec<String> {
    let more = (left.more > 0).then(|| format!("and {} more", left.more));
    left.shown.iter().map(LeftOut::tell).chain(more).collect()
}

pub(super) fn by_word(by: By) -> &'static str {
    match by {
        By::Person => "a person",
        By::Default => "nobody in time; the default",
        By::Moot => "nobody; it no longer matters",
    }
}

pub(super) fn answer_word(answer: &Answer) -> String {
    match answer {
        Answer::Approve => "yes".to_owned(),
        Answer::Deny => "no".to_owned(),
        Answer::Text(text) => first_line(text),
    }
}

pub(super) fn topic_word(topic: Topic) -> &'static str {
    topic.into()
}

/// A task's state in one or two words. What is still open when the mission is over is not done.
pub(super) fn task_word(mission: &Mission, task: TaskId) -> &'static str {
    let over = matches!(mission.status(), Status::Closed(_));
    match mission.task(task).map(|task| task.state) {
        Some(TaskState::Done) => "done",
        Some(TaskState::Failed) => "failed",
        Some(TaskState::Skipped) => "skipped",
        Some(TaskState::Superseded) => "superseded",
        None => "not done",
        _ if over => "not done",
        Some(TaskState::Waiting(_)) => "waiting",
        Some(TaskState::Ready) => "ready",
        Some(TaskState::Running(_)) => "running",
        Some(TaskState::Resting) => "resting",
        Some(TaskState::Asking(_)) => "asking",
    }
}

pub(super) fn process_word(process: Process) -> &'static str {
    match process {
        Process::Cold => "not started",
        Process::Resting => "resting",
        Process::Starting => "starting",
        Process::Up => "up",
        Process::Stopping(_) => "stopping",
    }
}

pub(super) fn change_word(state: &ChangeState) -> &'static str {
    match state {
        ChangeState::Waiting => "waiting",
        ChangeState::Verifying { .. } => "being checked",
        ChangeState::Merging { .. } => "being merged",
    }
}

/// A commit as people write it.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}

/// The first line of a text, bounded.
pub fn first_line(text: &str) -> String {
    shortened(text.trim().lines().next().unwrap_or_default(), LINE_COLUMNS_MAX)
}

/// An amount of money in US dollars for people; the one form of amounts.
pub fn money(micros: u64) -> String {
    Micros(micros).to_string()
}

/// What calls cost when some of their prices are not known.
pub(super) fn cost(micros: u64, unknown_calls: u64) -> String {
    match (micros, unknown_calls) {
        (_, 0) => money(micros),
        (0, _) => "unknown".to_owned(),
        (_, _) => format!("{} + unknown", money(micros)),
    }
}

/// How many of something.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_for_people_is_short_but_never_nothing() {
        let shown: Vec<String> = [0, 7, 9_999, 303_154, 2_000_000, 999_999].map(money).into();
        assert_eq!(shown, ["$0.00", "$0.000007", "$0.009999", "$0.3032", "$2.00", "$1.00"]);
    }

    #[test]
    fn evidence_is_bounded_and_binary_is_counted() {
        let flood: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        let shown = bounded(&flood);
        assert_eq!(shown.lines().count(), EVIDENCE_LINES_FIRST + EVIDENCE_LINES_LAST + 1);
        assert!(shown.contains("[4920 lines left out]") && shown.ends_with("line 4999"), "{shown}");
        let binary = "\u{fffd}\u{1}\u{fffd}\u{2}".repeat(50_000);
        assert_eq!(bounded(&format!("said\n{binary}\nend")), "said\n[400000 bytes that are not text]\nend");
        assert!(bounded(&"x".repeat(200_000)).len() < 500);
        assert_eq!(bounded("a\n\nb\tc"), "a\n\nb\tc");
    }

    #[test]
    fn a_first_line_is_cut_between_characters() {
        assert_eq!(first_line("  one\ntwo"), "one");
        assert_eq!(first_line(&"ä".repeat(121)), format!("{}…", "ä".repeat(119)));
    }
}
