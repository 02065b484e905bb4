//! Giving turns, judging how they end, and what a failed attempt leads to.
//!
//! ```text
//! Assigned ▶ Owed ──TurnStarted──▶ Working ──TurnEnded──▶ Ended ──┬─ChangeQueued──▶ Queued ──Merged──▶ (task done)
//!             ▲                      │ AgentLost, AgentDown       ├─TaskDone (a task whose result is its text)
//!             ├──────────────────────┘                            ├─AttemptParked──▶ Parked
//!             ├──TurnOwed (nudge, answer, continue, outside paths)┤
//!             └──ChangeReturned (from Queued)                     └─AttemptFailed ▶ task rests, or a person is asked
//! ```

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, At, AttemptId, ChangeId, EffectId, InterruptId, TaskId},
    input::{Answer, EffectFailure, Stop, Work},
    limits::{INTERRUPTS_MAX, TEXT_BYTES_MAX},
    opening::at_most,
    permission,
    plan::Writes,
    problem::{Cause, Problem},
    reason::{About, Brief, By, Failure, Return, StopReason},
    state::{Attempt, AttemptState, Lesson, Mission, Status, TaskState, Wanted},
    timer::Timer,
};

impl Mission {
    pub(crate) fn session_opened(&self, attempt: AttemptId, session: String) -> Decision {
        at_most(session.len(), 1024)?;
        let known = self.attempts.get(&attempt).ok_or(Rejected::UnknownAttempt(attempt))?;
        if known.session.as_ref() == Some(&session) {
            return Err(Rejected::Duplicate);
        }
        Ok(vec![Fact::SessionOpened { attempt, session }])
    }

    pub(crate) fn apply_session_opened(&mut self, attempt: AttemptId, session: &str) {
        if let Some(attempt) = self.attempts.get_mut(&attempt) {
            attempt.session = Some(session.to_owned());
        }
    }

    pub(crate) fn start_next_turn(&self, now: At) -> Option<Fact> {
        let id = *self.turns_due.first()?;
        let attempt = self.attempts.get(&id)?;
        let AttemptState::Owed { resumed } = attempt.state else { return None };
        if let Some(counted) = self.count_before_turn(now, id) {
            return Some(counted);
        }
        Some(Fact::TurnStarted {
            attempt: id,
            turn: if resumed { attempt.turns } else { attempt.turns + 1 },
            resumed,
            effect: self.next_effect(),
            deadline: now.after(self.limits().turn_ms_max),
        })
    }

    pub(crate) fn apply_turn_started(
        &mut self,
        id: AttemptId,
        turn: u32,
        resumed: bool,
        effect: EffectId,
        deadline: At,
    ) {
        self.ask(effect, Wanted::Turn(id));
        self.timers.set(Timer::Turn(id), deadline);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.turns = turn;
        attempt.resumed = resumed;
        attempt.state = AttemptState::Working { effect, cancelled: None };
        // What was recorded holds, whatever became of the turn; only a turn that asks for something new begins without it.
        if !resumed && attempt.brief != Brief::Continue {
            attempt.claim = None;
        }
        if !resumed {
            attempt.question = None;
        }
        attempt.claimed = attempt.claim.is_some();
        let agent = attempt.agent;
        self.uncancelled.insert(id);
        self.working += 1;
        self.turn_counts(id, true);
        self.refresh(agent);
    }

    /// Takes a working attempt's turn off the books; says whether there was one.
    pub(crate) fn end_turn(&mut self, id: AttemptId) -> bool {
        let Some(AttemptState::Working { effect, .. }) = self.attempts.get(&id).map(|attempt| attempt.state) else {
            return false;
        };
        self.settle(Wanted::Turn(id));
        self.settle(Wanted::Cancel(id, effect));
        self.timers.clear(Timer::Turn(id));
        self.timers.clear(Timer::Grace(id));
        self.uncancelled.remove(&id);
        self.working -= 1;
        self.turn_counts(id, false);
        true
    }

    pub(crate) fn cancel_turn(&self, now: At, id: AttemptId, reason: StopReason) -> Fact {
        let deadline = now.after(self.limits().cancel_grace_ms);
        Fact::TurnCancelling { attempt: id, effect: self.next_effect(), reason, deadline }
    }

    pub(crate) fn cancel_next_turn(&self, now: At) -> Option<Fact> {
        self.uncancelled.first().map(|id| self.cancel_turn(now, *id, StopReason::Paused))
    }

    pub(crate) fn turn_overdue(&self, now: At, id: AttemptId) -> Vec<Fact> {
        vec![self.cancel_turn(now, id, StopReason::TimedOut)]
    }

    pub(crate) fn cancel_overdue(&self, id: AttemptId) -> Vec<Fact> {
        let agent = self.attempts.get(&id).map(|attempt| attempt.agent);
        let up = agent.filter(|agent| self.stoppable.contains(agent));
        up.map(|agent| Fact::AgentStopping { agent, effect: self.next_effect(), reason: StopReason::Unresponsive })
            .into_iter()
            .collect()
    }

    pub(crate) fn apply_turn_cancelling(&mut self, id: AttemptId, effect: EffectId, reason: StopReason, deadline: At) {
        self.timers.clear(Timer::Turn(id));
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let AttemptState::Working { effect: turn, .. } = attempt.state else { return };
        attempt.state = AttemptState::Working { effect: turn, cancelled: Some(reason) };
        self.ask(effect, Wanted::Cancel(id, turn));
        self.timers.set(Timer::Grace(id), deadline);
        self.uncancelled.remove(&id);
        self.forget_spending(id);
    }

    /// Judges a turn by how it ended and by what the workspace holds, never by what the agent says of itself.
    pub(crate) fn turn_ended(
        &self,
        now: At,
        effect: EffectId,
        (stop, work): (Stop, Work),
        said: Option<String>,
        problem: Option<Problem>,
    ) -> Decision {
        let Wanted::Turn(id) = self.wanted(effect)? else { return Err(Rejected::Stale(effect)) };
        let attempt = self.attempts.get(&id).ok_or(Rejected::Stale(effect))?;
        let AttemptState::Working { cancelled, .. } = attempt.state else { return Err(Rejected::Stale(effect)) };
        let mut facts = self.count_at_end(now, id);
        let problem = problem.map(|problem| Box::new(problem.bounded()));
        facts.push(Fact::TurnEnded { attempt: id, stop, work: work.clone(), problem: problem.clone() });
        // Some say that they are done when they were told to stop. Without a result it is what we told them.
        let claimed = attempt.claim.is_some();
        let stop = if stop == Stop::Done && cancelled.is_some() && !claimed { Stop::Cancelled } else { stop };
        let follows = match (stop, cancelled) {
            (_, Some(StopReason::Closing)) => self.fail_attempt(now, id, Failure::Closing),
            // A rival is done; it is put aside next.
            _ if self.is_beaten(attempt.task) || self.is_overtaken(attempt.task) => self.after_cut(id, attempt),
            (Stop::Done, _) => self.judge(now, id, attempt, (work, problem), said),
            // The agent was told that its result is recorded: however its turn ends, that is judged; only last words are missing.
            _ if claimed => self.judge(now, id, attempt, (work, None), None),
            (Stop::Cancelled, Some(StopReason::TimedOut)) => self.fail_attempt(now, id, Failure::TimedOut),
            // However an agent takes it that its model is gone.
            (Stop::Cancelled, Some(_)) | (_, Some(StopReason::Limited | StopReason::Budget)) => {
                self.after_cut(id, attempt)
            }
            (Stop::Budget, _) => self.after_budget_stop(now, id, attempt),
            _ => self.fail_attempt_for(now, id, Failure::Stopped(stop), problem),
        };
        // Nobody waits for permission in a turn that is over; an attempt that fails has said so itself.
        let fails = follows.iter().any(|fact| matches!(fact, Fact::AttemptFailed { .. }));
        facts.extend(permission::moot(attempt).filter(|_| !fails));
        facts.extend(follows);
        Ok(facts)
    }

    /// What follows from a turn that the agent ended by itself.
    fn judge(
        &self,
        now: At,
        id: AttemptId,
        attempt: &Attempt,
        (work, problem): (Work, Option<Box<Problem>>),
        said: Option<String>,
    ) -> Vec<Fact> {
        let result = self.result(attempt, said);
        if let Work::Rejected { why } = &work
            && (result.is_some() || attempt.question.is_none())
        {
            let back = Brief::Returned(Return::Rejected(why.clone()));
            return self.owed_or_not_accepted(now, id, attempt, back);
        }
        let Some(summary) = result else { return self.without_claim(now, id, attempt, problem) };
        if let Work::Changed { outside, .. } = &work
            && !outside.is_empty()
        {
            let back = Brief::Returned(Return::Outside(outside.clone()));
            return self.owed_or_not_accepted(now, id, attempt, back);
        }
        if let Some(facts) = self.incomplete(now, id, attempt, &work) {
            return facts;
        }
        let writes = self.plan.tasks.get(attempt.task.index()).map(|task| &task.writes);
        let next = match work {
            Work::Changed { commit, .. } | Work::Unchanged { commit, .. } if writes != Some(&Writes::Nothing) => {
                Fact::ChangeQueued { change: ChangeId(self.next.change), attempt: id, commit }
            }
            _ => Fact::TaskDone { task: attempt.task, attempt: id, summary },
        };
        moot_question(attempt).into_iter().chain([next]).collect()
    }

    /// What the agent gives as its result: its claim or, where the result is a text and nothing was asked, its last words.
    fn result(&self, attempt: &Attempt, said: Option<String>) -> Option<String> {
        let writes = self.plan.tasks.get(attempt.task.index()).map(|task| &task.writes);
        let text_counts = writes == Some(&Writes::Nothing) && attempt.question.is_none();
        let said = said.filter(|said| text_counts && !said.trim().is_empty());
        attempt.claim.clone().or(said).map(|mut text| {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            text
        })
    }

    fn without_claim(&self, now: At, id: AttemptId, attempt: &Attempt, problem: Option<Box<Problem>>) -> Vec<Fact> {
        // Some say that they are done when their model is gone.
        if is_lasting(problem.as_deref()) {
            return self.fail_attempt_for(now, id, Failure::Stopped(Stop::ModelError), problem);
        }
        match after_question(id, attempt) {
            Some(next) => vec![next],
            None if attempt.nudges < self.limits().nudges_max => {
                vec![Fact::TurnOwed { attempt: id, brief: Brief::Nudge }]
            }
            None => self.fail_attempt_for(
                now,
                id,
                Failure::NothingSubmitted,
                unmended(attempt.returned.clone()).or(problem),
            ),
        }
    }

    /// What follows from a turn that was cut short from outside: the agent goes on, but not before it has the answer that it asked for.
    fn after_cut(&self, id: AttemptId, attempt: &Attempt) -> Vec<Fact> {
        let go_on = || Fact::TurnOwed { attempt: id, brief: cut_brief(attempt) };
        vec![after_question(id, attempt).unwrap_or_else(go_on)]
    }

    /// While the mission is paused the turn is owed. Otherwise it was the task's own budget, or more has come in the meantime:
    /// a bounded number of tries tells which.
    fn after_budget_stop(&self, now: At, id: AttemptId, attempt: &Attempt) -> Vec<Fact> {
        match self.status {
            Status::Paused(_) => self.after_cut(id, attempt),
            _ if attempt.question.is_some() => self.after_cut(id, attempt),
            // A person is asked, or has said no.
            _ if !self.may_go_on(attempt.agent, attempt.task) => self.after_cut(id, attempt),
            _ if attempt.nudges < self.limits().nudges_max => vec![Fact::TurnOwed { attempt: id, brief: Brief::Nudge }],
            _ => self.fail_attempt(now, id, Failure::Stopped(Stop::Budget)),
        }
    }

    fn owed_or_not_accepted(&self, now: At, id: AttemptId, attempt: &Attempt, brief: Brief) -> Vec<Fact> {
        if attempt.returns >= self.limits().returns_max {
            let Brief::Returned(why) = brief else { return self.fail_attempt(now, id, Failure::NotAccepted) };
            return self.fail_attempt_for(now, id, Failure::NotAccepted, unmended(Some(why)));
        }
        moot_question(attempt).into_iter().chain([Fact::TurnOwed { attempt: id, brief }]).collect()
    }

    pub(crate) fn apply_turn_ended(&mut self, id: AttemptId, work: &Work) {
        self.end_turn(id);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.paths = if let Work::Changed { paths, .. } = work { *paths } else { 0 };
        }
        self.set_attempt(id, AttemptState::Ended);
    }

    pub(crate) fn apply_turn_owed(&mut self, id: AttemptId, brief: &Brief) {
        self.end_turn(id);
        if let Some(attempt) = self.attempts.get_mut(&id) {
            attempt.nudges += u32::from(*brief == Brief::Nudge);
            attempt.returns += u32::from(matches!(brief, Brief::Returned(_)));
            if let Brief::Returned(why) = brief {
                attempt.returned = Some(why.clone());
            }
            attempt.brief = brief.clone();
        }
        self.set_attempt(id, AttemptState::Owed { resumed: false });
    }

    pub(crate) fn apply_attempt_parked(&mut self, id: AttemptId, interrupt: InterruptId) {
        self.end_turn(id);
        self.set_attempt(id, AttemptState::Parked(interrupt));
    }

    pub(crate) fn set_attempt(&mut self, id: AttemptId, state: AttemptState) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.state = state;
        let agent = attempt.agent;
        self.refresh(agent);
    }

    /// A turn that we could not carry out. The agent is not to blame.
    pub(crate) fn turn_failed(
        &self,
        now: At,
        id: AttemptId,
        failure: EffectFailure,
        error: String,
        problem: Option<Box<Problem>>,
    ) -> Vec<Fact> {
        let mut facts = self.count_at_end(now, id);
        match failure {
            EffectFailure::NoSpace => {
                let attempt = self.attempts.get(&id);
                facts.extend(attempt.into_iter().flat_map(permission::moot));
                facts.extend(attempt.into_iter().flat_map(|attempt| self.after_cut(id, attempt)));
                facts.extend(self.pause_for_space());
            }
            EffectFailure::Transient | EffectFailure::Fatal => {
                facts.extend(self.fail_attempt_for(now, id, Failure::Infrastructure(error), problem));
            }
        }
        facts
    }

    /// Ends an attempt: the task rests and is tried again, or a person is asked when its attempts are used up.
    pub(crate) fn fail_attempt(&self, now: At, id: AttemptId, reason: Failure) -> Vec<Fact> {
        self.fail_attempt_for(now, id, reason, None)
    }

    /// The same, with what lies behind it. What would meet the role's other agents as well is no fault of this one and uses up no attempt.
    pub(crate) fn fail_attempt_for(
        &self,
        now: At,
        id: AttemptId,
        reason: Failure,
        problem: Option<Box<Problem>>,
    ) -> Vec<Fact> {
        let Some(attempt) = self.attempts.get(&id) else { return Vec::new() };
        let tries = self.tasks.get(attempt.task.index()).map_or(0, |task| task.tries);
        let again = self.plan.tasks.get(attempt.task.index()).is_some_and(|task| tries < task.attempts_max);
        let closing = matches!(self.status, Status::Closing(_));
        let lasting = is_lasting(problem.as_deref());
        let pause = if lasting { 0 } else { self.limits().backoff(tries) };
        let retry = ((again || lasting) && !closing).then(|| now.after(pause));
        let mut facts: Vec<Fact> = moot_question(attempt).into_iter().collect();
        facts.extend(permission::moot(attempt));
        let attempts = if tries == 1 {
            "its only attempt failed".to_owned()
        } else {
            format!("the last of {tries} attempts failed")
        };
        let why = format!("{attempts}: {}", reason.told(problem.as_deref()));
        let stopped = if closing { None } else { self.stop_role(attempt.agent, problem.as_deref()) };
        facts.push(Fact::AttemptFailed { attempt: id, reason, retry, problem });
        facts.extend(stopped);
        if retry.is_none() && !closing {
            let rival = self.has_rival(attempt.task).then(|| Fact::TaskFailed { task: attempt.task, why: why.clone() });
            facts.push(rival.unwrap_or_else(|| self.ask_about_task(now, attempt.task, why)));
        }
        facts
    }

    fn ask_about_task(&self, now: At, task: TaskId, why: String) -> Fact {
        if self.interrupts.len() >= INTERRUPTS_MAX {
            return Fact::TaskFailed { task, why };
        }
        let name = self.plan.tasks.get(task.index()).map_or("", |task| task.name.as_str());
        // What a check printed keeps its lines.
        let end = match why.chars().last() {
            _ if why.contains('\n') => "\n",
            Some('.' | '!' | '?') => " ",
            _ => ". ",
        };
        Fact::InterruptRaised {
            interrupt: InterruptId(self.next.interrupt),
            about: About::Task(task),
            question: format!(
                "Task '{name}': {why}{end}Approve to give it another round of attempts, deny to go on without it."
            ),
            deadline: now.after(self.limits().interrupt_ms),
            default: Answer::Deny,
            key: None,
        }
    }

    pub(crate) fn apply_attempt_failed(
        &mut self,
        id: AttemptId,
        reason: &Failure,
        retry: Option<At>,
        problem: Option<&Problem>,
    ) {
        let lasting = is_lasting(problem);
        let brief = self.attempts.get(&id).map(|attempt| attempt.brief.clone());
        let Some((task, agent)) = self.attempt_over(id) else { return };
        let blamed =
            !lasting && !matches!(reason, Failure::Closing | Failure::Infrastructure(_) | Failure::Unavailable);
        if let Some(entry) = self.agents.get_mut(agent.index()) {
            entry.failures += u32::from(blamed);
        }
        self.refresh(agent);
        if !lasting {
            self.remember_failure(task, agent, (reason, problem), brief, blamed);
        }
        if let Some(until) = retry {
            self.timers.set(Timer::Task(task), until);
        }
        if let Some(entry) = self.tasks.get_mut(task.index()) {
            entry.state = TaskState::Resting;
            entry.tries -= u32::from(lasting && entry.tries > 0);
        }
    }

    /// What the next attempt at the task is told, and whom it is rather given to.
    fn remember_failure(
        &mut self,
        task: TaskId,
        agent: AgentId,
        (reason, problem): (&Failure, Option<&Problem>),
        brief: Option<Brief>,
        blamed: bool,
    ) {
        let Some(role) = self.agents.get(agent.index()).map(|agent| agent.role) else { return };
        if blamed {
            self.count_attempt(role, task, false);
        }
        let Some(entry) = self.tasks.get_mut(task.index()) else { return };
        if blamed || *reason == Failure::Unavailable {
            entry.failed_agent = Some(agent);
        }
        if *reason == Failure::Unavailable {
            entry.unavailable.insert(role);
        }
        if blamed {
            let failed = entry.failed_by.entry(role).or_default();
            *failed = failed.saturating_add(1);
            let why = if let Some(Brief::Returned(why)) = brief { Some(why) } else { None };
            entry.lesson = Some(Lesson { reason: reason.told(problem), why });
        }
    }

    /// Takes an attempt off the books: its turn, its change, its lease, its agent's hold.
    pub(crate) fn attempt_over(&mut self, id: AttemptId) -> Option<(TaskId, AgentId)> {
        self.end_turn(id);
        if let Some(AttemptState::Queued(change)) = self.attempts.get(&id).map(|attempt| attempt.state) {
            self.leave_queue(change);
        }
        let attempt = self.attempts.remove(&id)?;
        self.turns_due.remove(&id);
        self.forget_limit(attempt.agent, id);
        self.forget_spending(id);
        self.timers.clear(Timer::Limit(id));
        self.lease_lingers(id, &attempt);
        if let Some(entry) = self.agents.get_mut(attempt.agent.index()) {
            entry.attempt = None;
            entry.past_attempt = Some((id, attempt.task));
            entry.past_keys = attempt.keys;
        }
        self.refresh(attempt.agent);
        Some((attempt.task, attempt.agent))
    }
}

/// What a turn that ended without a claim waits for or goes on with, when its agent asked a question in it.
fn after_question(id: AttemptId, attempt: &Attempt) -> Option<Fact> {
    let question = attempt.question.as_ref()?;
    Some(match &question.answer {
        Some(answer) => {
            let brief = Brief::Answered { question: question.text.clone(), answer: answer.clone() };
            Fact::TurnOwed { attempt: id, brief }
        }
        None => Fact::AttemptParked { attempt: id, interrupt: question.interrupt },
    })
}

/// What lies behind an attempt whose work came back and was not mended.
pub(crate) fn unmended(why: Option<Return>) -> Option<Box<Problem>> {
    why.map(|why| Box::new(Problem::passing(Cause::Returned(Box::new(why)))))
}

fn is_lasting(problem: Option<&Problem>) -> bool {
    problem.is_some_and(|problem| problem.lasting)
}

/// The end of a question that nobody waits for any more.
pub(crate) fn moot_question(attempt: &Attempt) -> Option<Fact> {
    let question = attempt.question.as_ref().filter(|question| question.answer.is_none())?;
    Some(Fact::InterruptAnswered { interrupt: question.interrupt, answer: Answer::Deny, by: By::Moot })
}

/// The brief after a turn that was cut short. An agent without a conversation has not been told anything yet, unless it has claimed a result.
fn cut_brief(attempt: &Attempt) -> Brief {
    if attempt.session.is_some() || attempt.claim.is_some() { Brief::Continue } else { attempt.brief.clone() }
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
