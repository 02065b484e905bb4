//! Calls whose bill nobody sees: those that were on when a mission's last engine ended are booked before anything else happens to it, and an engine
//! that ends at once books its own.
//!
//! Nobody has seen their bills, so each is booked at the most that it can have cost, as estimated, and the leases of attempts that are over are given
//! back. That is one transaction with the facts, so that it happens once, whenever this engine ends.

use super::{Engine, EngineError, Running};
use crate::{driver::Booking, fault::Place, meter};
use mission::{Fact, Input, Micros, Mission, Status};
use store::{Batch, FactRow, MissionKey};

impl Engine {
    /// Books what nobody has seen the bill of; does nothing where there is nothing.
    pub(super) async fn settle_unseen(&self, key: &MissionKey) -> Result<(), EngineError> {
        let reader = self.store.reader()?;
        let mut open = reader.reservations(key)?;
        // Those of this engine are on, and their bills come.
        open.retain(|reservation| reservation.key.epoch < self.store.epoch());
        let (mut mission, seq) = crate::driver::replay_with(&reader, key)?;
        if mission.status() == Status::Empty || (open.is_empty() && mission.lingering_leases().next().is_none()) {
            return Ok(());
        }
        let now = self.clock.now();
        let (mut facts, mut bookings): (Vec<Fact>, Vec<Booking>) = Default::default();
        for reservation in &open {
            let (input, booking) = meter::unseen(reservation, now.0);
            // Refused is only what is booked twice, and that cannot be: the row goes with the fact.
            facts.extend(mission.decide(now, input).unwrap_or_default());
            bookings.push(booking);
        }
        facts.extend(leases_of_the_past(&mut mission, now));
        let rows = facts.iter().map(FactRow::of).collect::<Result<Vec<_>, _>>()?;
        let batch = if rows.is_empty() { Batch::new() } else { Batch::new().facts(key, seq + 1, now.0, rows) };
        let batch = bookings.into_iter().fold(batch, |batch, booking| booking.book(batch));
        facts.iter().for_each(|fact| self.faults.pass(Place::BeforeAppend, fact.kind()));
        self.store.commit(batch).await?;
        facts.iter().for_each(|fact| self.faults.pass(Place::AfterAppend, fact.kind()));
        Ok(())
    }
}

impl Running {
    /// How many model calls are on, and the most that they can cost together, in micro-dollars.
    pub fn calls_under_way(&self) -> (usize, u64) {
        self.hands.tools().meter.under_way()
    }

    /// Books every model call that is on at the most that it can cost, as estimated: for an end that waits for no bill.
    pub async fn book_the_rest(&self) {
        self.hands.tools().meter.book_the_rest().await;
    }
}

/// No call of an attempt that was over before this engine began is on any more.
fn leases_of_the_past(mission: &mut Mission, now: mission::At) -> Vec<Fact> {
    let over: Vec<_> = mission.lingering_leases().map(|(attempt, _)| attempt).collect();
    let give_back = |attempt| {
        let input = Input::LeaseReturned { attempt, micros: Micros(u64::MAX) };
        // A mission that is over has nothing set aside.
        mission.decide(now, input).unwrap_or_default()
    };
    over.into_iter().flat_map(give_back).collect()
}
