//! The local driver: one actor per mission that owns the core, makes its facts durable, and only then lets anything happen.
//!
//! ```text
//!   inputs ──▶ decide ──▶ append (one flush for all that waited) ──▶ effects start, callers are answered, watchers see it
//!     ▲                        │ disk full: drop the value, replay, wait for room, tell the inputs again
//!     └──────── hands ◀────────┘
//! ```
//! While an append is under way more inputs gather; they share the next one. Nothing polls: the actor sleeps until an input comes or the core's
//! next wake-up is due.

use crate::{
    clock::Clock,
    fault::{Faults, Place},
    hands::Hands,
    masking::Masking,
    order::{BadOrder, Order},
};
use mission::{At, AttemptId, Fact, Input, Mission, Rejected, Standing};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use store::{Answer, Batch, CallRow, FactRow, MissionKey, Reader, ReservationKey, Store, WriteError};
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that may wait for the actor before senders wait.
const INBOX: usize = 4096;
/// Inputs decided before one append.
const INPUTS_PER_APPEND: usize = 256;
/// How long the actor waits before it tries again to write to a full disk.
pub(crate) const FULL_DISK_PAUSE: Duration = Duration::from_secs(2);

/// What the actor is asked.
pub(crate) enum Message {
    /// Something happened.
    Tell(Box<Tell>),
    /// Somebody wants to look at the state as it is durable.
    Read(Box<dyn FnOnce(&Mission) + Send>),
}

/// Something that happened, and who wants to know what was decided.
pub(crate) struct Tell {
    pub(crate) input: Input,
    /// A model call that belongs to it, written together with the facts.
    pub(crate) call: Option<Booking>,
    pub(crate) reply: Option<oneshot::Sender<Result<Vec<Fact>, TellError>>>,
}

/// A model call as it is written into the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Booking {
    pub(crate) row: CallRow,
    pub(crate) answer: Option<Answer>,
    /// What was set aside for it, which is at an end.
    pub(crate) reservation: Option<ReservationKey>,
}

impl Booking {
    /// Adds itself to what is written.
    pub(crate) fn book(self, batch: Batch) -> Batch {
        let batch = batch.call(self.row, self.answer);
        match self.reservation {
            Some(key) => batch.release(key),
            None => batch,
        }
    }
}

/// Why something that was told had no effect.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TellError {
    /// The core refused it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The journal has no room; nothing has changed.
    #[error("the disk is full: nothing was recorded; make room and try again")]
    NoSpace,
    /// What a person said makes no sense to this mission.
    #[error(transparent)]
    Order(#[from] BadOrder),
    /// The mission's actor is gone.
    #[error("the mission is not being run at the moment")]
    Gone,
}

/// Talks to a mission's actor. Clones are the same mission.
#[derive(Clone)]
pub struct Handle {
    key: MissionKey,
    sender: mpsc::Sender<Message>,
    masking: Masking,
}

impl Handle {
    /// Talks to an actor of a test's own.
    #[cfg(test)]
    pub(crate) fn of(key: MissionKey, sender: mpsc::Sender<Message>, masking: Masking) -> Self {
        Self { key, sender, masking }
    }

    /// The mission.
    pub fn key(&self) -> &MissionKey {
        &self.key
    }

    /// Tells the mission something; answers with the facts once they are durable.
    ///
    /// # Errors
    /// [`TellError`].
    pub async fn tell(&self, input: Input) -> Result<Vec<Fact>, TellError> {
        self.tell_with(input, None).await
    }

    pub(crate) async fn tell_with(&self, input: Input, call: Option<Booking>) -> Result<Vec<Fact>, TellError> {
        let (reply, answer) = oneshot::channel();
        let tell = Tell { input: self.masking.input(input), call, reply: Some(reply) };
        self.sender.send(Message::Tell(Box::new(tell))).await.map_err(|_| TellError::Gone)?;
        answer.await.map_err(|_| TellError::Gone)?
    }

    /// Tells the mission what a person says.
    ///
    /// # Errors
    /// [`TellError`].
    pub async fn order(&self, order: Order) -> Result<Vec<Fact>, TellError> {
        let input = self.read(move |mission| order.input(mission)).await??;
        self.tell(input).await
    }

    /// Tells the mission something whose outcome nobody waits for. It is not lost to a full disk.
    pub(crate) async fn report(&self, input: Input) {
        // The actor is only gone when the engine ends; then the journal knows what is still to be done.
        let input = self.masking.input(input);
        let _ = self.sender.send(Message::Tell(Box::new(Tell { input, call: None, reply: None }))).await;
    }

    /// Looks at the durable state.
    ///
    /// # Errors
    /// [`TellError::Gone`].
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Mission) -> T + Send + 'static,
    ) -> Result<T, TellError> {
        let (reply, answer) = oneshot::channel();
        let read = move |mission: &Mission| {
            // Whoever asked may have gone.
            let _ = reply.send(look(mission));
        };
        self.sender.send(Message::Read(Box::new(read))).await.map_err(|_| TellError::Gone)?;
        answer.await.map_err(|_| TellError::Gone)
    }
}

/// How a mission's actor stands, for whoever runs it.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What the mission is doing.
    pub standing: Standing,
    /// The last durable fact.
    pub seq: u64,
    /// Whether the journal is waiting for room on the disk.
    pub disk_full: bool,
}

/// Why a mission cannot be run on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The journal could not be written.
    #[error("the journal of mission {mission} could not be written: {source}")]
    Write {
        /// Which mission.
        mission: MissionKey,
        /// What happened.
        source: WriteError,
    },
    /// The journal could not be read.
    #[error("the journal of mission {mission} could not be read: {source}")]
    Read {
        /// Which mission.
        mission: MissionKey,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The actor.
pub(crate) struct Driver {
    key: MissionKey,
    store: Store,
    clock: Clock,
    faults: Arc<Faults>,
    mission: Mission,
    seq: u64,
    inbox: mpsc::Receiver<Message>,
    /// A look that has to wait for the append under way.
    held: Option<Message>,
    /// What was told while the disk was full.
    backlog: VecDeque<Message>,
    progress: watch::Sender<Progress>,
}

/// What the actor and its hands are made of.
pub(crate) struct Parts {
    pub(crate) key: MissionKey,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) faults: Arc<Faults>,
    pub(crate) masking: Masking,
}

/// One input with its facts, waiting for the append.
struct Decided {
    tell: Box<Tell>,
    outcome: Result<Vec<Fact>, Rejected>,
}

impl Driver {
    /// An actor for a mission with what the journal knows of it.
    pub(crate) fn new(parts: Parts) -> Result<(Self, Handle, watch::Receiver<Progress>), DriverError> {
        let (mission, seq) = replay(&parts.store, &parts.key)?;
        let (sender, inbox) = mpsc::channel(INBOX);
        let progress = Progress { standing: mission.standing(), seq, disk_full: false };
        let (progress, watched) = watch::channel(progress);
        let Parts { key, store, clock, faults, masking } = parts;
        let handle = Handle { key: key.clone(), sender, masking };
        let (held, backlog) = (None, VecDeque::new());
        Ok((Self { key, store, clock, faults, mission, seq, inbox, held, backlog, progress }, handle, watched))
    }

    /// Runs until every handle is gone or the journal fails.
    pub(crate) async fn run(mut self, hands: Arc<Hands>) -> Result<(), DriverError> {
        while let Some(first) = self.next().await {
            let decided = self.decide_all(first);
            self.settle(decided, &hands).await?;
        }
        Ok(())
    }

    /// The next message; a wake-up is one too. While the disk is full only what waited already is tried, after a pause.
    async fn next(&mut self) -> Option<Message> {
        if let Some(message) = self.held.take() {
            return Some(message);
        }
        if let Some(message) = self.backlog.pop_front() {
            tokio::time::sleep(FULL_DISK_PAUSE).await;
            return Some(message);
        }
        let Some(at) = self.mission.next_wakeup() else { return self.inbox.recv().await };
        tokio::select! {
            message = self.inbox.recv() => message,
            () = self.clock.sleep_until(at) => {
                Some(Message::Tell(Box::new(Tell { input: Input::Woke, call: None, reply: None })))
            }
        }
    }

    fn decide_all(&mut self, first: Message) -> Vec<Decided> {
        let now = self.clock.now();
        let mut decided = Vec::new();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                // What has been decided in this round is not durable yet: a look has to wait for it.
                Message::Read(look) if decided.is_empty() => look(&self.mission),
                Message::Read(look) => {
                    self.held = Some(Message::Read(look));
                    break;
                }
                Message::Tell(tell) => decided.push(self.decide(now, tell)),
            }
            next = if decided.len() < INPUTS_PER_APPEND { self.waiting() } else { None };
        }
        decided
    }

    fn waiting(&mut self) -> Option<Message> {
        self.backlog.pop_front().or_else(|| self.inbox.try_recv().ok())
    }

    fn decide(&mut self, now: At, tell: Box<Tell>) -> Decided {
        let outcome = self.mission.decide(now, tell.input.clone());
        Decided { tell, outcome }
    }

    /// Makes durable what was decided, then answers and starts effects.
    async fn settle(&mut self, decided: Vec<Decided>, hands: &Arc<Hands>) -> Result<(), DriverError> {
        let facts: Vec<Fact> = decided.iter().flat_map(|decided| decided.outcome.iter().flatten()).cloned().collect();
        let calls = decided.iter().any(|decided| decided.tell.call.is_some());
        if !facts.is_empty() || calls {
            match self.append(&facts, &decided).await {
                Ok(()) => {}
                Err(WriteError::Full) => return self.without_space(decided),
                Err(source) => return Err(DriverError::Write { mission: self.key.clone(), source }),
            }
        }
        for fact in &facts {
            hands.heard(fact);
            if let Some(effect) = fact.effect().and_then(|effect| self.mission.effect(effect)) {
                hands.start(effect);
            }
        }
        let over: Vec<AttemptId> = self.mission.lingering_leases().map(|(attempt, _)| attempt).collect();
        if !over.is_empty() {
            hands.leases_over(over);
        }
        // Whoever has an answer must find the progress that belongs to it.
        self.look(false);
        for decided in decided {
            if let Some(reply) = decided.tell.reply {
                // Whoever asked may have gone.
                let _ = reply.send(decided.outcome.map_err(TellError::Rejected));
            }
        }
        Ok(())
    }

    async fn append(&mut self, facts: &[Fact], decided: &[Decided]) -> Result<(), WriteError> {
        let at_ms = self.clock.now().0;
        let rows = facts.iter().map(FactRow::of).collect::<Result<Vec<_>, _>>()?;
        let mut batch = Batch::new();
        if !rows.is_empty() {
            batch = batch.facts(&self.key, self.seq + 1, at_ms, rows);
        }
        if facts.iter().any(changes_status) {
            batch = batch.status(&self.key, at_ms, view::status_word(self.mission.status()));
        }
        for booking in decided.iter().filter_map(|decided| decided.tell.call.clone()) {
            batch = booking.book(batch);
        }
        facts.iter().for_each(|fact| self.faults.pass(Place::BeforeAppend, fact.kind()));
        self.store.commit(batch).await?;
        facts.iter().for_each(|fact| self.faults.pass(Place::AfterAppend, fact.kind()));
        self.seq += facts.len() as u64;
        Ok(())
    }

    /// The value is ahead of the journal: it is dropped and made again. Callers are told; what nobody waits for is told again later,
    /// after the core has learned that there was no room.
    fn without_space(&mut self, decided: Vec<Decided>) -> Result<(), DriverError> {
        (self.mission, self.seq) = replay(&self.store, &self.key)?;
        let mut again = VecDeque::new();
        if !self.progress.borrow().disk_full {
            let input = Input::SpaceExhausted;
            again.push_back(Message::Tell(Box::new(Tell { input, call: None, reply: None })));
        }
        for Decided { mut tell, .. } in decided {
            match tell.reply.take() {
                Some(reply) => drop(reply.send(Err(TellError::NoSpace))),
                None if matches!(tell.input, Input::Woke) => {}
                None => again.push_back(Message::Tell(tell)),
            }
        }
        again.append(&mut self.backlog);
        self.backlog = again;
        self.look(true);
        Ok(())
    }

    fn look(&self, disk_full: bool) {
        let progress = Progress { standing: self.mission.standing(), seq: self.seq, disk_full };
        self.progress.send_replace(progress);
    }
}

/// Whether a list of missions shows something else after this fact.
fn changes_status(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Opened { .. } | Fact::Paused { .. } | Fact::Resumed | Fact::Closing { .. } | Fact::Closed { .. }
    )
}

/// The mission as the journal has it, and the number of its last fact.
fn replay(store: &Store, key: &MissionKey) -> Result<(Mission, u64), DriverError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| DriverError::Read { mission: key.clone(), source };
    let reader = store.reader().map_err(|error| failed(error.into()))?;
    replay_with(&reader, key).map_err(|error| failed(error.into()))
}

pub(crate) fn replay_with(reader: &Reader, key: &MissionKey) -> Result<(Mission, u64), store::ReadError> {
    let (mut mission, mut seq) = (Mission::default(), 0);
    for recorded in reader.facts(key, 0)?.decoded() {
        let recorded = recorded?;
        mission.apply(&recorded.fact);
        seq = recorded.seq;
    }
    Ok((mission, seq))
}
