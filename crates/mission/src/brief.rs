//! What agents and git are told: turn briefs and merge messages, rendered from the state and from nothing else.
//!
//! The same state gives the same text, so that a turn that is asked for again after a crash asks for the same thing.

use crate::{
    id::{AgentId, AttemptId, TaskId},
    plan::{TaskSpec, Writes},
    reason::{Brief, Return},
    state::{Attempt, Lesson, Mission},
};
use std::fmt::Write as _;

impl Mission {
    /// The text of the attempt's current turn.
    pub(crate) fn prompt(&self, id: AttemptId) -> Option<String> {
        let attempt = self.attempts.get(&id)?;
        let task = self.plan.tasks.get(attempt.task.index())?;
        Some(match &attempt.brief {
            Brief::Task => self.task_brief(attempt, task),
            Brief::Nudge => format!(
                "[task {}] Your turn ended without a result. If the work is finished, call submit_result with a short summary. If you cannot \
                 finish it, call raise_interrupt and say what you need. Otherwise go on.",
                task.name
            ),
            Brief::Returned(why) => returned(task, why),
            Brief::Answered { question, answer } => {
                format!("[task {}] You asked:\n{question}\n\nThe answer:\n{answer}\n\nGo on with the task.", task.name)
            }
            Brief::Continue => {
                format!("[task {}] Your last turn was cut short from outside. Go on where you stopped.", task.name)
            }
        })
    }

    /// The task's own brief, when the attempt's current turn is about something else.
    pub(crate) fn task_prompt(&self, id: AttemptId) -> Option<String> {
        let attempt = self.attempts.get(&id).filter(|attempt| attempt.brief != Brief::Task)?;
        Some(self.task_brief(attempt, self.plan.tasks.get(attempt.task.index())?))
    }

    fn task_brief(&self, attempt: &Attempt, task: &TaskSpec) -> String {
        let mut text = String::new();
        let role = self.plan.roles.get(task.role.index());
        if let Some(role) = role.filter(|role| !role.instructions.trim().is_empty()) {
            let _ = writeln!(text, "{}\n", role.instructions.trim());
        }
        let goal = self.opening.as_deref().map_or("", |opening| opening.goal.trim());
        let _ = writeln!(text, "You are {}, one of a team with one goal:\n{goal}\n", self.agent_name(attempt.agent));
        let _ = writeln!(text, "Your task: {} [task {}]\n{}\n", task.title, task.name, task.instructions.trim());
        if let Some(lesson) = self.tasks.get(attempt.task.index()).and_then(|task| task.lesson.as_ref()) {
            tell_lesson(&mut text, lesson);
        }
        match &task.writes {
            Writes::Anything => {}
            Writes::Only(globs) => {
                let _ =
                    writeln!(text, "Change only files that match: {}. Anything else is sent back.\n", globs.join(", "));
            }
            Writes::Nothing => {
                text.push_str("Change no files: the result is what you submit with submit_result or, without it, your last answer.");
                return text;
            }
        }
        if !task.checks.is_empty() {
            text.push_str(
                "It is accepted when these commands succeed on your change, merged with what others have done:\n",
            );
            for check in &task.checks {
                let _ = writeln!(text, "  {}", check.run);
            }
            text.push('\n');
        }
        text.push_str("When the work is finished and you have seen it work, call submit_result with a short summary. A claim is not enough: the checks are run by us.");
        text
    }

    /// The message of the commit that merges a task's change.
    pub(crate) fn merge_message(&self, task: TaskId, agent: AgentId) -> String {
        let spec = self.plan.tasks.get(task.index());
        let (name, title) = spec.map_or(("", ""), |spec| (spec.name.as_str(), spec.title.as_str()));
        format!("{name}: {title}\n\nMuster-Task: {name}\nMuster-Agent: {}\n", self.agent_name(agent))
    }

    /// The name that people and agents use for an agent.
    pub fn agent_name(&self, agent: AgentId) -> &str {
        self.names.get(agent.index()).map_or("", String::as_str)
    }
}

fn tell_lesson(text: &mut String, lesson: &Lesson) {
    let _ = writeln!(text, "Somebody has tried before, and it was not accepted: {}. Begin anew.", lesson.reason);
    if let Some(why) = &lesson.why {
        tell_return(text, why);
    }
    text.push('\n');
}

fn returned(task: &TaskSpec, why: &Return) -> String {
    let mut text = format!("[task {}] Your change came back.\n\n", task.name);
    if let Return::Conflict { hunks } = why {
        text.push_str(
"It conflicts with what others have merged in the meantime. Their work is the branch `mission` of the remote `muster`: run \
             `git add -A && git commit -m wip && git fetch muster && git merge muster/mission`, resolve the conflicts, and commit:\n\n",
        );
        text.push_str(hunks.trim_end());
        text.push('\n');
    } else {
        tell_return(&mut text, why);
    }
    text.push_str("\nMend it and call submit_result again.");
    text
}

/// Why a change was not accepted.
fn tell_return(text: &mut String, why: &Return) {
    match why {
        Return::Checks(checks) => {
            text.push_str("Merged with what others have done, a check fails:\n");
            for check in checks.iter().filter(|check| !check.passed) {
                let _ = writeln!(text, "\n$ {}\n{}\n{}", check.run, check.output.trim_end(), check.ended);
            }
        }
        Return::Conflict { .. } => {
            text.push_str("It conflicted with what others had merged in the meantime; you begin with their work.\n");
        }
        Return::Outside(paths) => {
            text.push_str("It changes files that are not yours to change:\n");
            for path in paths {
                let _ = writeln!(text, "  {path}");
            }
        }
        Return::Unchanged(left) => {
            text.push_str("It changes nothing, so there is nothing to merge.\n");
            if !left.is_empty() {
                let _ = write!(text, "This is in your workspace and not part of the change:\n{}", left.tell());
            }
        }
        Return::LeftOut(left) => {
            let _ = write!(text, "This is in your workspace and not part of the change:\n{}", left.tell());
            text.push_str("If it is not needed, submit again as it is.\n");
        }
        Return::Rejected(why) => {
            let _ = writeln!(
                text,
                "It cannot be taken over as it is, and nothing of it is kept so far:\n{}",
                why.trim_end()
            );
        }
    }
}
