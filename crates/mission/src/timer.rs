//! What happens when its time comes, and the instants at which it does. The earliest one is the only timer that a driver needs.

use crate::id::{AgentId, AllowanceId, At, AttemptId, EffectId, InterruptId, TaskId};
use std::collections::{BTreeMap, BTreeSet};

/// Something that happens when its time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Turn(AttemptId),
    Grace(AttemptId),
    Task(TaskId),
    Agent(AgentId),
    Interrupt(InterruptId),
    Effect(EffectId),
    Limit(AttemptId),
    Allowance(AllowanceId),
}

/// Every timer once, found by time and by what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers {
    by_time: BTreeSet<(At, Timer)>,
    by_timer: BTreeMap<Timer, At>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: At) {
        self.clear(timer);
        self.by_time.insert((at, timer));
        self.by_timer.insert(timer, at);
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.by_timer.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    pub(crate) fn at(&self, timer: Timer) -> Option<At> {
        self.by_timer.get(&timer).copied()
    }

    pub(crate) fn first(&self) -> Option<(At, Timer)> {
        self.by_time.first().copied()
    }

    /// Whether anything but an interrupt's deadline is awaited.
    pub(crate) fn any_but_interrupts(&self) -> bool {
        let interrupts =
            self.by_timer.range(Timer::Interrupt(InterruptId(0))..=Timer::Interrupt(InterruptId(u32::MAX)));
        self.by_timer.len() > interrupts.count()
    }
}
