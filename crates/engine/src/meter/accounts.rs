//! Leases as the meter sees them: what is left of each, and what calls that are on have set aside of it.
//!
//! A call sets aside its worst case. Where that does not fit, more is asked for; where there is no more, what other attempts hold and do not need is
//! taken back; where that is not enough either, the answer is bounded to what fits; and where even the shortest answer does not fit, the call waits
//! for calls that are on, for each uses less than it might have. Only when none is on a person is asked.

use super::{Meter, refusal, refused};
use crate::driver::TellError;
use gateway::{Refusal, Worst};
use mission::{AttemptId, Fact, Input, Micros, PauseReason, Rejected};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};

/// How many times a call takes back what others hold before it makes do with what there is.
const ROUNDS_MAX: u32 = 8;

/// Every attempt's money.
pub(super) type Accounts = BTreeMap<u32, Account>;

/// One attempt's money as the meter sees it.
#[derive(Default)]
pub(super) struct Account {
    /// Left of the lease, reservations not subtracted; `None` until the mission was asked.
    pub(super) left: Option<Left>,
    /// Set aside by call.
    pub(super) reserved: BTreeMap<u64, Aside>,
    /// The attempt is over: nothing more is set aside, and the rest goes back with its last call.
    over: bool,
}

/// What a call has set aside of its attempt's lease.
#[derive(Clone, Copy)]
pub(super) struct Aside {
    pub(super) micros: u64,
    /// The output to which its answer was lowered, if it was.
    pub(super) lowered_to: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Unlimited,
    Micros(u64),
}

/// What is missing for a call.
struct Short {
    /// For all that it asks for.
    missing: u64,
    /// For the shortest answer that is of use; 0: that fits.
    least: u64,
}

/// What the mission says to a call that is short.
enum Asked {
    Granted(u64),
    /// There is nothing at the moment.
    Nothing,
    /// Nothing but what the attempt's own calls may give back.
    OwnBudget(Refusal),
    Refused(Refusal),
}

impl Account {
    /// What no call needs.
    fn idle(&self) -> u64 {
        let Some(Left::Micros(left)) = self.left else { return 0 };
        left.saturating_sub(self.reserved.values().map(|aside| aside.micros).sum())
    }

    fn add(&mut self, micros: u64) {
        if let Some(Left::Micros(left)) = &mut self.left {
            *left = left.saturating_add(micros);
        }
    }

    fn less(&mut self, micros: u64) {
        if let Some(Left::Micros(left)) = &mut self.left {
            *left = left.saturating_sub(micros);
        }
    }

    /// Sets the call aside as it is or, if `lower`, with an answer that is short enough to fit.
    fn take(&mut self, call: u64, worst: &Worst, lower: bool) -> Result<Result<Worst, Short>, Refusal> {
        if self.over {
            return Err(attempt_over());
        }
        let aside = |worst: &Worst, micros| Aside { micros, lowered_to: worst.lowered().and(worst.output_tokens()) };
        if self.left == Some(Left::Unlimited) {
            self.reserved.insert(call, aside(worst, 0));
            return Ok(Ok(worst.clone()));
        }
        let worst = &worst.for_money()?;
        let most = worst.micros().unwrap_or(u64::MAX);
        let least = worst.least().micros().unwrap_or(most);
        let free = self.idle();
        let fit = if lower { worst.within(Some(free), None) } else { (most <= free).then(|| worst.clone()) };
        let Some(fit) = fit else {
            return Ok(Err(Short { missing: most.saturating_sub(free), least: least.saturating_sub(free) }));
        };
        self.reserved.insert(call, aside(&fit, fit.micros().unwrap_or(most)));
        Ok(Ok(fit))
    }
}

impl Meter {
    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets aside what a call can use at most of its attempt's lease; the mission is asked for more when it is short.
    pub(super) async fn lease(&self, call: u64, attempt: u32, worst: Worst) -> Result<Worst, Refusal> {
        let mut rounds = 0;
        loop {
            let booked = self.closed.notified();
            tokio::pin!(booked);
            // From here on no booking is missed.
            booked.as_mut().enable();
            self.know(attempt).await?;
            let take = |lower| self.accounts().entry(attempt).or_default().take(call, &worst, lower);
            let short = match take(false)? {
                Ok(fit) => return Ok(fit),
                Err(short) => short,
            };
            let asked = self.ask(attempt, &short, true).await;
            let missing = match &asked {
                Asked::Granted(more) => short.missing.saturating_sub(*more),
                Asked::Nothing => short.missing,
                Asked::OwnBudget(_) => 0,
                Asked::Refused(refusal) => return Err(refusal.clone()),
            };
            // Two that are short may take back from each other: not for ever.
            rounds += 1;
            if missing > 0 && rounds < ROUNDS_MAX && self.take_back(attempt, missing).await? {
                continue;
            }
            if let Ok(fit) = take(true)? {
                return Ok(fit);
            }
            match asked {
                Asked::Granted(_) => continue,
                Asked::OwnBudget(refusal) if !self.gives_back(Some(attempt)) => return Err(refusal),
                Asked::Nothing if !self.gives_back(None) => match self.ask(attempt, &short, false).await {
                    Asked::Granted(_) => continue,
                    Asked::Refused(refusal) | Asked::OwnBudget(refusal) => return Err(refusal),
                    Asked::Nothing => return Err(refused("the budget does not cover it")),
                },
                _ => {
                    booked.await;
                    rounds = 0;
                }
            }
        }
    }

    /// Whether calls are on, of the attempt or of any, that may use less than they have set aside.
    fn gives_back(&self, attempt: Option<u32>) -> bool {
        let accounts = self.accounts();
        let mut those = accounts.iter().filter(|(id, _)| attempt.is_none_or(|attempt| attempt == **id));
        those.any(|(_, account)| account.reserved.values().any(|aside| aside.micros > 0))
    }

    /// Reads what is left of the attempt's lease, the first time.
    async fn know(&self, attempt: u32) -> Result<(), Refusal> {
        if self.accounts().get(&attempt).is_some_and(|account| account.left.is_some()) {
            return Ok(());
        }
        let look = move |mission: &mission::Mission| {
            let known = mission.attempt(AttemptId(attempt)).is_some();
            (known, mission.lease_left(AttemptId(attempt)))
        };
        let (known, lease) =
            self.mission()?.read(look).await.map_err(|error| refusal(503, "engine", &error.to_string()))?;
        if !known {
            return Err(attempt_over());
        }
        let left = lease.map_or(Left::Unlimited, |lease| Left::Micros(lease.0));
        self.accounts().entry(attempt).or_default().left.get_or_insert(left);
        Ok(())
    }

    /// Asks the mission for what is missing. `waits`: no person is asked yet.
    async fn ask(&self, attempt: u32, short: &Short, waits: bool) -> Asked {
        let mission = match self.mission() {
            Ok(mission) => mission,
            Err(refusal) => return Asked::Refused(refusal),
        };
        let (micros, least) = (Micros(short.missing), Micros(short.least));
        let told = mission.tell(Input::LeaseAsked { attempt: AttemptId(attempt), micros, least, waits }).await;
        let facts = match told {
            Ok(facts) => facts,
            Err(TellError::Rejected(Rejected::BudgetHeld)) => return Asked::Nothing,
            Err(TellError::Rejected(_)) if short.least == 0 => return Asked::Nothing,
            Err(TellError::Rejected(why @ Rejected::TaskBudgetExhausted)) => {
                return Asked::OwnBudget(refused(&why.to_string()));
            }
            Err(error) => return Asked::Refused(refused(&error.to_string())),
        };
        let granted = facts.iter().find_map(|fact| match fact {
            Fact::LeaseGranted { micros, .. } => Some(micros.0),
            _ => None,
        });
        if let Some(more) = granted {
            self.accounts().entry(attempt).or_default().add(more);
            return Asked::Granted(more);
        }
        match facts.iter().any(|fact| matches!(fact, Fact::Paused { why: PauseReason::Budget })) {
            true => Asked::Refused(refused("a person is asked for more")),
            false => Asked::Nothing,
        }
    }

    /// Takes back of other attempts' leases what they do not need, the largest first, until there is so much; whether there was any.
    async fn take_back(&self, attempt: u32, missing: u64) -> Result<bool, Refusal> {
        let mission = self.mission()?;
        let look = |mission: &mission::Mission| {
            let left = |(id, _)| Some((id, mission.lease_left(id)?));
            mission.ledger().cap.map(|_| mission.attempts().filter_map(left).collect::<Vec<_>>())
        };
        let leases = mission.read(look).await.map_err(|error| refusal(503, "engine", &error.to_string()))?;
        // Without a cap nobody holds what another could use.
        let Some(leases) = leases else { return Ok(false) };
        let mut taken = Vec::new();
        {
            let mut accounts = self.accounts();
            for (AttemptId(id), left) in leases {
                accounts.entry(id).or_default().left.get_or_insert(Left::Micros(left.0));
            }
            let mut idle: Vec<(u64, u32)> = accounts.iter().map(|(id, account)| (account.idle(), *id)).collect();
            idle.retain(|(idle, id)| *idle > 0 && *id != attempt);
            idle.sort_unstable_by(|a, b| b.cmp(a));
            let mut still = missing;
            for (idle, id) in idle {
                if still == 0 {
                    break;
                }
                let micros = idle.min(still);
                still -= micros;
                accounts.entry(id).or_default().less(micros);
                taken.push((id, micros));
            }
        }
        let any = !taken.is_empty();
        futures::future::join_all(taken.into_iter().map(|(id, micros)| self.give_back(id, micros))).await;
        Ok(any)
    }

    /// Tells the mission that so much of a lease is not needed.
    async fn give_back(&self, attempt: u32, micros: u64) {
        let Ok(mission) = self.mission() else { return };
        let told = mission.tell(Input::LeaseReturned { attempt: AttemptId(attempt), micros: Micros(micros) }).await;
        // It is still set aside then; an attempt that is unknown has given it back already.
        if matches!(told, Err(TellError::NoSpace)) {
            self.accounts().entry(attempt).or_default().add(micros);
        }
    }

    /// These attempts are over: what is left of their leases goes back as soon as no call of theirs is on.
    pub(crate) fn over(self: &std::sync::Arc<Self>, attempts: Vec<AttemptId>) {
        for AttemptId(attempt) in attempts {
            let quiet = {
                let mut accounts = self.accounts();
                let account = accounts.entry(attempt).or_default();
                account.over = true;
                account.reserved.is_empty()
            };
            if quiet {
                let meter = std::sync::Arc::clone(self);
                tokio::spawn(async move { meter.give_back(attempt, u64::MAX).await });
            }
        }
    }

    /// Takes a settled call off the reservations and what it cost off the lease.
    pub(super) async fn close(&self, call: u64, attempt: u32, cost: u64) {
        self.allowed.lock().await.free(call);
        let last = {
            let mut accounts = self.accounts();
            let account = accounts.entry(attempt).or_default();
            account.reserved.remove(&call);
            account.less(cost);
            account.over && account.reserved.is_empty()
        };
        if last {
            self.give_back(attempt, u64::MAX).await;
        }
        self.closed.notify_waiters();
    }
}

fn attempt_over() -> Refusal {
    refusal(403, "attempt_over", "This attempt is over; its key is worth nothing any more.")
}
