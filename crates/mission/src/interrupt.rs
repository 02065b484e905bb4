//! What a person must answer. Every interrupt has a deadline and a default, so that none can hang a mission for ever.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, AttemptId, InterruptId, TaskId},
    input::Answer,
    limits::{INTERRUPTS_MAX, TEXT_BYTES_MAX},
    opening::at_most,
    reason::{About, Brief, By, Outcome, PauseReason},
    state::{AttemptState, Interrupt, Mission, Publication, Question, Status, TaskState, Wanted},
    timer::Timer,
};

impl Mission {
    pub(crate) fn interrupt_asked(
        &self,
        now: At,
        agent: AgentId,
        key: String,
        question: String,
        default: Option<String>,
    ) -> Decision {
        at_most(question.len() + default.as_ref().map_or(0, String::len), TEXT_BYTES_MAX)?;
        if question.trim().is_empty() {
            return Err(Rejected::Empty);
        }
        let attempt = self.speaking(agent, &key)?;
        if self.attempts.get(&attempt).is_some_and(|attempt| attempt.question.is_some()) {
            return Err(Rejected::QuestionOpen);
        }
        if self.interrupts.len() >= INTERRUPTS_MAX {
            return Err(Rejected::TooManyInterrupts);
        }
        let silence = "Nobody answered in time. Decide by yourself, say which assumption you made, and go on.";
        Ok(vec![Fact::InterruptRaised {
            interrupt: InterruptId(self.next.interrupt),
            about: About::Question(attempt),
            question,
            deadline: now.after(self.limits().interrupt_ms),
            default: Answer::Text(default.unwrap_or_else(|| silence.to_owned())),
            key: Some(key),
        }])
    }

    /// The question that a state owes, unless it is asked already.
    pub(crate) fn ask_once(&self, now: At, about: About, question: String, default: Answer, ms: u64) -> Option<Fact> {
        let open = self.interrupts.values().any(|interrupt| interrupt.about == about);
        (!open).then(|| Fact::InterruptRaised {
            interrupt: InterruptId(self.next.interrupt),
            about,
            question,
            deadline: now.after(ms),
            default,
            key: None,
        })
    }

    pub(crate) fn space_question(&self, now: At) -> Option<Fact> {
        let question = "The disk is full. Nothing is lost. Make room and approve to go on (it is tried again by itself as well), or deny to end \
                        the mission.";
        self.ask_once(now, About::Space, question.to_owned(), Answer::Approve, self.limits().space_retry_ms)
    }

    pub(crate) fn apply_interrupt_raised(
        &mut self,
        id: InterruptId,
        about: &About,
        question: &str,
        deadline: At,
        default: &Answer,
        key: Option<&str>,
    ) {
        self.next.interrupt = self.next.interrupt.max(id.0 + 1);
        self.timers.set(Timer::Interrupt(id), deadline);
        let interrupt =
            Interrupt { about: about.clone(), question: question.to_owned(), deadline, default: default.clone() };
        self.interrupts.insert(id, interrupt);
        match about {
            About::Question(attempt) => {
                self.apply_key(*attempt, key.unwrap_or_default());
                if let Some(attempt) = self.attempts.get_mut(attempt) {
                    attempt.question = Some(Question { interrupt: id, text: question.to_owned(), answer: None });
                }
            }
            About::Task(task) => {
                if let Some(task) = self.tasks.get_mut(task.index()) {
                    task.state = TaskState::Asking(id);
                }
            }
            About::Publish => {
                self.settle(Wanted::Publish);
                self.publication = Publication::Asking;
            }
            About::Permission(attempt) => {
                self.apply_permission_asked(*attempt, id, question, key.unwrap_or_default());
            }
            About::Allowance(allowance) => self.apply_allowance_asked(*allowance, id),
            About::Role(role) => self.apply_role_asked(*role, id),
            About::Budget | About::Space | About::Checks => {}
        }
    }

    pub(crate) fn answered(&self, now: At, id: InterruptId, answer: Answer) -> Decision {
        if let Answer::Text(text) = &answer {
            at_most(text.len(), TEXT_BYTES_MAX)?;
        }
        self.answer_by(now, id, answer, By::Person)
    }

    pub(crate) fn interrupt_overdue(&self, now: At, id: InterruptId) -> Vec<Fact> {
        let default = self.interrupts.get(&id).map(|interrupt| interrupt.default.clone());
        default.and_then(|answer| self.answer_by(now, id, answer, By::Default).ok()).unwrap_or_default()
    }

    fn answer_by(&self, now: At, id: InterruptId, answer: Answer, by: By) -> Decision {
        let interrupt = self.interrupts.get(&id).ok_or(Rejected::UnknownInterrupt(id))?;
        let ending = matches!(self.status, Status::Closing(_));
        let follows = match &interrupt.about {
            // What ends is put away whatever the answer; only where the result goes is still open then.
            About::Task(_) | About::Role(_) | About::Budget | About::Allowance(_) | About::Space | About::Checks
                if ending =>
            {
                Vec::new()
            }
            About::Permission(attempt) => self.permission_answered(now, *attempt, id, &answer)?,
            About::Question(attempt) => self.question_answered(*attempt, id, &answer),
            About::Task(task) => task_answered(*task, &answer),
            About::Role(role) => self.role_answered(*role, &answer),
            About::Budget => self.budget_answered(&answer)?,
            About::Allowance(allowance) => self.allowance_answered(*allowance, &answer)?,
            About::Space if answer == Answer::Deny => vec![Fact::Closing { outcome: Outcome::Cancelled, why: None }],
            About::Space if self.status == Status::Paused(PauseReason::Space) => vec![Fact::Resumed],
            About::Checks if answer == Answer::Deny => vec![Fact::Closing { outcome: Outcome::Cancelled, why: None }],
            About::Checks if self.status == Status::Paused(PauseReason::Checks) => vec![Fact::Resumed],
            About::Publish if answer == Answer::Deny => vec![Fact::PublishAbandoned],
            About::Space | About::Publish | About::Checks => Vec::new(),
        };
        Ok(std::iter::once(Fact::InterruptAnswered { interrupt: id, answer, by }).chain(follows).collect())
    }

    /// An attempt that waits for the answer owes a turn; one whose turn is still on gets the answer when it ends.
    fn question_answered(&self, id: AttemptId, interrupt: InterruptId, answer: &Answer) -> Vec<Fact> {
        let Some(attempt) = self.attempts.get(&id) else { return Vec::new() };
        if attempt.state != AttemptState::Parked(interrupt) {
            return Vec::new();
        }
        let question = attempt.question.as_ref().map(|question| question.text.clone()).unwrap_or_default();
        let brief = Brief::Answered { question, answer: in_words(answer) };
        vec![Fact::TurnOwed { attempt: id, brief }]
    }

    pub(crate) fn apply_interrupt_answered(&mut self, id: InterruptId, answer: &Answer, by: By) {
        self.timers.clear(Timer::Interrupt(id));
        let Some(interrupt) = self.interrupts.remove(&id) else { return };
        match interrupt.about {
            About::Question(attempt) => {
                let question = self.attempts.get_mut(&attempt).and_then(|attempt| attempt.question.as_mut());
                if let Some(question) = question {
                    question.answer = Some(in_words(answer));
                }
            }
            About::Permission(attempt) => self.apply_permission_answered(attempt, id, answer, by),
            About::Publish => self.publication = Publication::NotYet,
            About::Task(_) | About::Role(_) | About::Budget | About::Allowance(_) | About::Space | About::Checks => {}
        }
    }

    pub(crate) fn retry(&self, now: At, task: TaskId) -> Decision {
        let entry = self.tasks.get(task.index()).ok_or(Rejected::UnknownTask(task))?;
        match (entry.state, self.status) {
            (_, Status::Closing(_)) => Err(Rejected::Over),
            (TaskState::Failed, _) => Ok(vec![Fact::TaskReopened { task }]),
            (TaskState::Asking(interrupt), _) => self.answer_by(now, interrupt, Answer::Approve, By::Person),
            (TaskState::Ready | TaskState::Resting, _) => match self.asked_for(task) {
                Some(interrupt) => self.answer_by(now, interrupt, Answer::Approve, By::Person),
                None => Err(Rejected::NotFailed(task)),
            },
            _ => Err(Rejected::NotFailed(task)),
        }
    }

    pub(crate) fn apply_task_failed(&mut self, task: TaskId) {
        // One that nobody may work on any more fails while it waits to be given out.
        self.leave_pool(task);
        let Some(entry) = self.tasks.get_mut(task.index()) else { return };
        entry.state = TaskState::Failed;
        self.tally.open -= 1;
        self.tally.failed += 1;
        if self.is_lost(task) {
            self.doom_dependents(self.leader(task), task);
        }
    }

    /// Those that wait for a task that will not be done are skipped next, and those that wait for them after that.
    fn doom_dependents(&mut self, task: TaskId, because: TaskId) {
        for dependent in self.dependents.get(task.index()).into_iter().flatten() {
            if self.waits(*dependent) {
                self.to_skip.push_back((*dependent, because));
            }
        }
    }

    pub(crate) fn skip_next(&self) -> Option<Fact> {
        self.to_skip.front().map(|(task, because)| Fact::TaskSkipped { task: *task, because: *because })
    }

    pub(crate) fn apply_task_skipped(&mut self, task: TaskId) {
        let because = self.to_skip.front().filter(|(first, _)| *first == task).map(|(_, because)| *because);
        if let Some(because) = because {
            self.to_skip.pop_front();
            let Some(entry) = self.tasks.get_mut(task.index()) else { return };
            if matches!(entry.state, TaskState::Waiting(_)) {
                entry.state = TaskState::Skipped;
                self.tally.open -= 1;
                self.tally.skipped += 1;
                if self.is_lost(task) {
                    self.doom_dependents(self.leader(task), because);
                }
            }
        }
        // Whoever was doomed by two that it needs is skipped once.
        while self.to_skip.front().is_some_and(|(next, _)| !self.waits(*next)) {
            self.to_skip.pop_front();
        }
    }

    fn waits(&self, task: TaskId) -> bool {
        matches!(self.tasks.get(task.index()).map(|task| task.state), Some(TaskState::Waiting(_)))
    }

    /// A reopened task is ready again, and whatever was skipped only because of it waits again.
    pub(crate) fn apply_task_reopened(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(task.index()) else { return };
        entry.tries = 0;
        entry.failed_by.clear();
        entry.unavailable.clear();
        if entry.state == TaskState::Failed {
            self.tally.failed -= 1;
            self.tally.open += 1;
        }
        self.to_skip.retain(|(_, because)| *because != task);
        self.apply_task_ready(task);
        let waiting = self.unskip_dependents(task);
        for task in waiting {
            if let Some(because) = self.doomed_by(task) {
                self.to_skip.push_back((task, because));
            }
        }
    }

    /// Those that wait again, through however many others.
    fn unskip_dependents(&mut self, task: TaskId) -> Vec<TaskId> {
        let mut waiting = vec![self.leader(task)];
        let mut seen = 0;
        while let Some(task) = waiting.get(seen).copied() {
            seen += 1;
            for dependent in self.dependents.get(task.index()).cloned().into_iter().flatten() {
                if self.tasks.get(dependent.index()).map(|task| task.state) != Some(TaskState::Skipped) {
                    continue;
                }
                let missing = self.missing(dependent);
                if let Some(entry) = self.tasks.get_mut(dependent.index()) {
                    entry.state = TaskState::Waiting(missing);
                    self.tally.skipped -= 1;
                    self.tally.open += 1;
                    waiting.push(dependent);
                }
            }
        }
        waiting.split_off(1)
    }

    /// What a task needs and will not get, if there is such.
    fn doomed_by(&self, task: TaskId) -> Option<TaskId> {
        let needs = self.plan.tasks.get(task.index()).map(|task| task.depends_on.as_slice()).unwrap_or_default();
        needs.iter().find(|needed| self.is_lost(**needed)).copied()
    }

    fn missing(&self, task: TaskId) -> u32 {
        let needs = self.plan.tasks.get(task.index()).map(|task| task.depends_on.as_slice()).unwrap_or_default();
        needs.iter().filter(|needed| !self.is_done(**needed)).count() as u32
    }
}

fn task_answered(task: TaskId, answer: &Answer) -> Vec<Fact> {
    match answer {
        Answer::Approve | Answer::Text(_) => vec![Fact::TaskReopened { task }],
        Answer::Deny => vec![Fact::TaskFailed { task, why: "its attempts are used up".to_owned() }],
    }
}

/// An answer as an agent reads it.
fn in_words(answer: &Answer) -> String {
    match answer {
        Answer::Approve => "Yes, go on.".to_owned(),
        Answer::Deny => "No.".to_owned(),
        Answer::Text(text) => text.clone(),
    }
}
