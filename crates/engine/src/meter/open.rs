//! Calls that are on: each is written down before it goes out, so that no end of the engine can forget it.
//!
//! ```text
//! set aside ▶ reservation durable ▶ sent ▶ answered ▶ bill, answer and end of the reservation durable ▶ the agent sees the end
//!                    │ the engine ends: nobody knows whether it was sent, or what it cost
//!                    └▶ whoever takes the mission up books the worst case, as estimated
//! ```
//!
//! An engine that must end with calls on books them itself in the same way; a bill that comes after that changes nothing.

use super::{Meter, refusal};
use crate::{driver::Booking, fault::Place};
use gateway::{Call, Refusal, Worst};
use mission::{AttemptId, Input, Micros, Usage};
use std::{
    collections::BTreeMap,
    sync::{MutexGuard, PoisonError},
};
use store::{Batch, Beyond, Reservation, ReservationKey, Store, WriteError};

/// What is reserved, as crash points name it.
const CALL: &str = "call";

/// A call that is on.
pub(crate) struct Open {
    pub(super) reservation: Reservation,
    /// The most input that the request can hold, whatever earlier bills teach.
    pub(super) bound: Option<u64>,
}

/// Where reservations are kept.
pub(crate) enum Vault {
    /// In the journal.
    Store(Store),
    /// In a test's own books.
    #[cfg(test)]
    Memory(Store, std::sync::Arc<std::sync::Mutex<Vec<Reservation>>>),
}

impl Vault {
    pub(super) fn store(&self) -> &Store {
        match self {
            Vault::Store(store) => store,
            #[cfg(test)]
            Vault::Memory(store, _) => store,
        }
    }

    /// Bills that passed what their requests allowed.
    pub(super) fn beyond(&self) -> Result<Vec<Beyond>, String> {
        match self {
            Vault::Store(store) => {
                let reader = store.reader().map_err(|error| error.to_string())?;
                reader.beyond().map_err(|error| error.to_string())
            }
            #[cfg(test)]
            Vault::Memory(..) => Ok(Vec::new()),
        }
    }

    async fn release(&self, key: ReservationKey) -> Result<(), WriteError> {
        self.store().commit(Batch::new().release(key)).await
    }

    async fn keep(&self, reservation: Reservation) -> Result<(), WriteError> {
        match self {
            Vault::Store(store) => store.commit(Batch::new().reserve(reservation)).await,
            #[cfg(test)]
            Vault::Memory(_, kept) => {
                kept.lock().unwrap().push(reservation);
                Ok(())
            }
        }
    }
}

impl Meter {
    /// Writes down what a call can use at most. It may go out when this returns.
    pub(super) async fn write_down(
        &self,
        call: &Call,
        attempt: u32,
        worst: &Worst,
        bound: Option<u64>,
    ) -> Result<(), Refusal> {
        let reservation = Reservation {
            mission: call.mission.as_str().into(),
            key: self.vault.store().reservation(),
            agent: call.agent.clone(),
            attempt,
            digest: call.digest.to_string(),
            model: self.notes.masking.text(&call.model).into_owned(),
            upstream: call.upstream.clone(),
            format: call.format.name().to_owned(),
            input_tokens: worst.input_tokens(),
            output_tokens: worst.output_tokens(),
            cost_micros: worst.micros(),
            prices_version: self.prices_version.clone(),
            at_ms: self.clock.now().0,
        };
        let key = reservation.key;
        self.open().insert(call.id, Open { reservation: reservation.clone(), bound });
        self.faults.pass(Place::BeforeReserve, CALL);
        let kept = self.vault.keep(reservation).await;
        self.faults.pass(Place::AfterReserve, CALL);
        if let Err(error) = kept {
            self.open().remove(&call.id);
            let message = format!("What this call may cost cannot be written down: {error}. Try again.");
            return Err(refusal(503, "engine", &message));
        }
        if self.open().contains_key(&call.id) {
            return Ok(());
        }
        // The engine ends and has booked every call that is on; this one is not sent.
        if let Err(error) = self.vault.release(key).await {
            tracing::warn!(%error, "a call that was not sent is booked when the mission is taken up");
        }
        Err(refusal(503, "engine", "The engine ends."))
    }

    pub(super) fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls are on, and the most that they can cost together.
    pub(crate) fn under_way(&self) -> (usize, u64) {
        let open = self.open();
        (
            open.len(),
            open.values().map(|one| one.reservation.cost_micros.unwrap_or_default()).fold(0, u64::saturating_add),
        )
    }

    /// Books every call that is on at its worst case: the engine ends and waits for no bill.
    pub(crate) async fn book_the_rest(&self) {
        let open = std::mem::take(&mut *self.open());
        let Ok(mission) = self.mission() else { return };
        let now = self.clock.now().0;
        let booked = open.into_values().map(|open| {
            let (input, booking) = unseen(&open.reservation, now);
            mission.tell_with(input, Some(booking))
        });
        // What cannot be written is booked by whoever takes the mission up.
        futures::future::join_all(booked).await;
    }
}

/// A call whose bill nobody saw, as it is told and booked.
pub(crate) fn unseen(reservation: &Reservation, now_ms: u64) -> (Input, Booking) {
    let usage = Usage {
        input_tokens: reservation.input_tokens.unwrap_or_default(),
        output_tokens: reservation.output_tokens.unwrap_or_default(),
        cost: reservation.cost_micros.map(Micros),
        estimated: true,
        ..Usage::default()
    };
    let input = Input::UsageSettled { attempt: AttemptId(reservation.attempt), usage };
    (input, Booking { row: reservation.at_worst(now_ms), answer: None, reservation: Some(reservation.key) })
}
