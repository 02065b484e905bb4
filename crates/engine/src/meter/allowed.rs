//! Allowances before a call: what is left of each that bounds it, less what calls that are on have set aside.
//!
//! A call that does not fit beside others waits until one of them is booked, for it then uses less than it might have. Only one that does not fit
//! when nothing is set aside is refused, and the mission says what becomes of its attempt.

use super::{Meter, refusal, refused};
use gateway::{Refusal, Worst};
use mission::{AllowanceId, AttemptId, Fact, Input, Measure, Room};
use std::collections::BTreeMap;

/// What is set aside, by allowance and call.
#[derive(Default)]
pub(super) struct Allowed(BTreeMap<AllowanceId, BTreeMap<u64, u64>>);

impl Allowed {
    fn held(&self, id: AllowanceId) -> u64 {
        self.0.get(&id).map_or(0, |calls| calls.values().fold(0, |sum: u64, amount| sum.saturating_add(*amount)))
    }

    /// Gives back what a call has set aside.
    pub(super) fn free(&mut self, call: u64) {
        self.0.retain(|_, calls| {
            calls.remove(&call);
            !calls.is_empty()
        });
    }

    fn hold(&mut self, rooms: &[Room], call: u64, worst: &Worst) {
        for room in rooms {
            let amount = amount(room.measure, worst).unwrap_or(0);
            self.0.entry(room.allowance).or_default().insert(call, amount);
        }
    }

    /// The call as it fits, or the first allowance that it does not fit.
    fn fit(&self, rooms: &[Room], worst: &Worst) -> Result<Worst, AllowanceId> {
        let free = |room: &Room| room.left.saturating_sub(self.held(room.allowance));
        let least = worst.least();
        let short = rooms.iter().find(|room| amount(room.measure, &least).is_none_or(|least| least > free(room)));
        if let Some(room) = short {
            return Err(room.allowance);
        }
        let most = |measure| rooms.iter().filter(|room| room.measure == measure).map(free).min();
        // The shortest fits every room, so that it is the answer at the latest.
        Ok(worst.within(most(Measure::Cost), most(Measure::Tokens)).unwrap_or(least))
    }
}

/// What a call counts at most in a measure; `None` when that is not known.
fn amount(measure: Measure, worst: &Worst) -> Option<u64> {
    match measure {
        Measure::Cost => worst.micros(),
        Measure::Tokens => worst.tokens(),
        Measure::Calls => Some(1),
        Measure::Time => Some(0),
    }
}

impl Meter {
    /// Sets aside what a call can use of each allowance that bounds it.
    pub(super) async fn allow(&self, call: u64, attempt: u32, worst: Worst) -> Result<Worst, Refusal> {
        let id = AttemptId(attempt);
        loop {
            let booked = self.closed.notified();
            tokio::pin!(booked);
            // From here on no booking is missed.
            booked.as_mut().enable();
            let mut allowed = self.allowed.lock().await;
            let now = self.clock.now();
            let read = self.mission()?.read(move |mission| mission.room(now, id)).await;
            let rooms = read.map_err(|error| refusal(503, "engine", &error.to_string()))?;
            if rooms.is_empty() {
                return Ok(worst);
            }
            let worst = known(&rooms, &worst)?;
            match allowed.fit(&rooms, &worst) {
                Ok(fit) => {
                    allowed.hold(&rooms, call, &fit);
                    return Ok(fit);
                }
                Err(short) if allowed.held(short) > 0 => drop(allowed),
                Err(short) => {
                    drop(allowed);
                    return Err(self.short_of(id, short).await);
                }
            }
            booked.await;
        }
    }

    /// Tells the mission that an allowance is used up; what the agent is told.
    async fn short_of(&self, attempt: AttemptId, allowance: AllowanceId) -> Refusal {
        let mission = match self.mission() {
            Ok(mission) => mission,
            Err(refusal) => return refusal,
        };
        match mission.tell(Input::AllowanceShort { attempt, allowance }).await {
            Ok(facts) if facts.iter().any(|fact| matches!(fact, Fact::InterruptRaised { .. })) => {
                refused("a person is asked for more")
            }
            Ok(_) => refused("the budget of this time is used up"),
            Err(error) => refused(&error.to_string()),
        }
    }
}

/// The call as it goes out where these are bounded; a budget of money needs a price, one of tokens a bound on the answer, and both that nothing of the
/// request costs what it does not tell.
fn known(rooms: &[Room], worst: &Worst) -> Result<Worst, Refusal> {
    let some = |measure| rooms.iter().any(|room| room.measure == measure);
    let worst = if some(Measure::Cost) { worst.for_money()? } else { worst.clone() };
    if some(Measure::Tokens) { worst.for_tokens() } else { Ok(worst) }
}
