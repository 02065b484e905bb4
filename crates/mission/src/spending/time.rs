//! Budgets of time: counted while a turn is on, with a timer for their end.

use super::Stance;
use crate::{
    allowance::Measure,
    fact::Fact,
    id::{AgentId, AllowanceId, At, AttemptId},
    reason::StopReason,
    state::{AttemptState, Mission, Status},
    timer::Timer,
};

impl Mission {
    fn timed(&self, id: AttemptId) -> impl Iterator<Item = AllowanceId> + '_ {
        let time = |id: &AllowanceId| self.plan.allowances.get(id.index()).is_some_and(|a| a.measure == Measure::Time);
        self.covering_attempt(id).into_iter().filter(time)
    }

    /// Brings the count of one allowance up to now.
    fn count_time(&self, now: At, id: AllowanceId) -> Vec<Fact> {
        let Some(spent) = self.spending.of.get(id.index()).filter(|spent| spent.since < now) else { return Vec::new() };
        let ms = if spent.running > 0 { now.0 - spent.since.0 } else { 0 };
        let began = self.window_begins(now, id);
        began.into_iter().chain([Fact::TimeCounted { allowance: id, ms, at: now }]).collect()
    }

    /// Before a turn begins its time is counted from now on.
    pub(crate) fn count_before_turn(&self, now: At, attempt: AttemptId) -> Option<Fact> {
        self.timed(attempt).find_map(|id| self.count_time(now, id).into_iter().next())
    }

    /// When a turn ends, and its end is not that of the engine, its time is counted.
    pub(crate) fn count_at_end(&self, now: At, attempt: AttemptId) -> Vec<Fact> {
        self.timed(attempt).flat_map(|id| self.count_time(now, id)).collect()
    }

    pub(crate) fn count_at_loss(&self, now: At, agent: AgentId) -> Vec<Fact> {
        let attempt = self.agents.get(agent.index()).and_then(|agent| agent.attempt);
        let working = |id: &AttemptId| {
            matches!(self.attempts.get(id).map(|attempt| attempt.state), Some(AttemptState::Working { .. }))
        };
        attempt.filter(working).map(|id| self.count_at_end(now, id)).unwrap_or_default()
    }

    pub(crate) fn apply_time_counted(&mut self, id: AllowanceId, ms: u64, at: At) {
        if let Some(spent) = self.spending.of.get_mut(id.index()) {
            spent.used = spent.used.saturating_add(ms);
            spent.since = at;
        }
        self.set_time_timer(id);
    }

    pub(crate) fn turn_counts(&mut self, attempt: AttemptId, begins: bool) {
        let timed: Vec<AllowanceId> = self.timed(attempt).collect();
        self.spending.overdue.remove(&attempt);
        for id in timed {
            if let Some(spent) = self.spending.of.get_mut(id.index()) {
                spent.running = if begins { spent.running + 1 } else { spent.running.saturating_sub(1) };
                // Nothing is left of this window: the turn ends as it begins.
                if begins && spent.told {
                    self.spending.overdue.insert(attempt, spent.until);
                }
            }
            self.set_time_timer(id);
        }
    }

    pub(super) fn set_time_timer(&mut self, id: AllowanceId) {
        let Some(spent) = self.spending.of.get(id.index()) else { return };
        let ends = matches!(self.status, Status::Closing(_));
        if spent.running > 0 && spent.stance == Stance::Open && !spent.told && !ends {
            let end = spent.since.after(spent.most.saturating_sub(spent.used));
            self.timers.set(Timer::Allowance(id), end);
        } else {
            self.timers.clear(Timer::Allowance(id));
        }
    }

    /// The time that a timer was set for has come.
    pub(crate) fn time_due(&self, now: At, id: AllowanceId) -> Vec<Fact> {
        let mut facts = self.count_time(now, id);
        let Some(spent) = self.spending.of.get(id.index()) else { return Vec::new() };
        let used = facts.iter().fold(spent.used, |used, fact| match fact {
            Fact::WindowBegan { .. } => 0,
            Fact::TimeCounted { ms, .. } => used.saturating_add(*ms),
            _ => used,
        });
        let ends = matches!(self.status, Status::Closing(_));
        if used >= spent.most && !ends {
            match self.waits_until(now, id) {
                Some(until) => facts.extend(self.tell_used_up(id, Some(until))),
                // Without room for another question the turns end all the same.
                None => facts.extend(
                    self.ask_for_more(now, id, used)
                        .unwrap_or_else(|_| self.tell_used_up(id, None).into_iter().collect()),
                ),
            }
        }
        // A timer that has fired is taken off by a fact, so that a replay takes it off as well.
        if facts.is_empty() {
            facts.push(Fact::TimeCounted { allowance: id, ms: 0, at: spent.since });
        }
        facts
    }

    /// The turns of an allowance whose time is used up end one by one.
    pub(crate) fn cancel_next_overdue(&self, now: At) -> Option<Fact> {
        let (id, until) = self.spending.overdue.first_key_value()?;
        let attempt = self.attempts.get(id)?;
        match until {
            Some(until) if attempt.limited.is_none_or(|known| known < *until) && *until > now => {
                let lasts_ms = until.0 - now.0;
                Some(Fact::AttemptLimited { attempt: *id, until: *until, lasts_ms, own: true })
            }
            Some(_) => Some(self.cancel_turn(now, *id, StopReason::Limited)),
            None => Some(self.cancel_turn(now, *id, StopReason::Budget)),
        }
    }
}
