//! Group commit: one thread, one write connection, one disk flush for everything that queued up during the last flush.
//!
//! Requests of all missions share a transaction, but not their fate: each runs in a savepoint, so one that is refused (its
//! number is taken) is undone alone. When the transaction itself fails (disk full, I/O error), its requests are tried again
//! one by one, so that a request too large for the disk does not take small ones with it, and the thread goes on.
//!
//! A request is answered after `COMMIT`, never before. Between requests the thread moves the WAL into the file once there
//! has been nothing to do for [`IDLE`].

use crate::{batch::Batch, error::WriteError, fact::MissionKey, file, home::HomeLock};
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// The most requests in one transaction.
const GROUP_MAX: usize = 512;
/// A group stops growing at this size.
const GROUP_BYTES: usize = 16 << 20;
/// How long nothing must have happened before the WAL is moved into the file.
const IDLE: Duration = Duration::from_millis(250);

/// What a caller waits for.
pub(crate) struct Request {
    pub(crate) batch: Batch,
    pub(crate) done: oneshot::Sender<Result<(), WriteError>>,
}

/// What the writer tells about itself while it works.
pub(crate) struct Progress {
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Transactions committed.
    pub(crate) commits: watch::Sender<u64>,
    durable: Mutex<BTreeMap<MissionKey, watch::Sender<u64>>>,
}

impl Default for Progress {
    fn default() -> Self {
        let (requests, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { requests, refused, commits: watch::Sender::new(0), durable: Mutex::default() }
    }
}

impl Progress {
    /// Follows the last durable fact of `mission`; 0 until told otherwise.
    pub(crate) fn subscribe(&self, mission: &MissionKey) -> watch::Receiver<u64> {
        self.durable().entry(mission.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Tells followers that `seq` is durable. A number never goes back.
    pub(crate) fn advance(&self, mission: &MissionKey, seq: u64) {
        let mut durable = self.durable();
        let Some(sender) = durable.get(mission) else { return };
        if sender.receiver_count() == 0 {
            durable.remove(mission);
            return;
        }
        sender.send_if_modified(|last| {
            let ahead = seq > *last;
            *last = seq.max(*last);
            ahead
        });
    }

    fn durable(&self) -> MutexGuard<'_, BTreeMap<MissionKey, watch::Sender<u64>>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's whole state.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) epoch: u64,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) progress: Arc<Progress>,
    /// A clock for [`IDLE`] and nothing else.
    pub(crate) runtime: Runtime,
    /// Given back when the last request is on disk.
    pub(crate) _lock: HomeLock,
}

impl Writer {
    /// Serves requests until every sender is gone, then closes the epoch in order.
    pub(crate) fn run(mut self) {
        let mut wal_is_empty = false;
        loop {
            let next = match wal_is_empty {
                true => self.runtime.block_on(async { Ok(self.requests.recv().await) }),
                false => self.runtime.block_on(async { timeout(IDLE, self.requests.recv()).await }),
            };
            match next {
                Ok(Some(first)) => {
                    let group = self.gather(first);
                    self.commit_group(group);
                    wal_is_empty = false;
                }
                Ok(None) => break,
                // A checkpoint that fails leaves everything in the WAL, which is as durable; the next one tries again.
                Err(_) => wal_is_empty = file::checkpoint(&self.connection).is_ok(),
            }
        }
        // Without this mark the next writer takes the end for a crash, which is the safe reading.
        let _ = self.connection.execute("UPDATE epochs SET ended = 1 WHERE epoch = ?1", [self.epoch]);
        // Closing does the same, but not while another program has the file open.
        let _ = file::checkpoint(&self.connection);
    }

    /// Everything that waits already, up to the limits of a group.
    fn gather(&mut self, first: Request) -> Vec<Request> {
        let mut bytes = first.batch.bytes();
        let mut group = vec![first];
        while group.len() < GROUP_MAX && bytes < GROUP_BYTES {
            let Ok(request) = self.requests.try_recv() else { break };
            bytes += request.batch.bytes();
            group.push(request);
        }
        group
    }

    fn commit_group(&self, group: Vec<Request>) {
        self.progress.requests.fetch_add(group.len() as u64, Relaxed);
        match self.transact(&group) {
            Ok(outcomes) => {
                group.into_iter().zip(outcomes).for_each(|(request, outcome)| self.answer(request, outcome))
            }
            Err(_) if group.len() > 1 => group.into_iter().for_each(|request| self.commit_alone(request)),
            Err(error) => group.into_iter().for_each(|request| self.answer(request, Err(error.clone()))),
        }
    }

    fn commit_alone(&self, request: Request) {
        let outcome = self.transact(std::slice::from_ref(&request)).and_then(|outcomes| outcomes.into_iter().collect());
        self.answer(request, outcome);
    }

    /// One transaction. The inner results say which requests were refused; the outer error says that nothing was written.
    fn transact(&self, group: &[Request]) -> Result<Vec<Result<(), WriteError>>, WriteError> {
        let written = self.write(group);
        if written.is_err() && !self.connection.is_autocommit() {
            // Some errors end the transaction by themselves; if this fails too, the next BEGIN reports it.
            let _ = self.run_sql("ROLLBACK");
        }
        written
    }

    fn write(&self, group: &[Request]) -> Result<Vec<Result<(), WriteError>>, WriteError> {
        self.run_sql("BEGIN IMMEDIATE")?;
        let outcomes: Vec<_> = group.iter().map(|request| self.apply(&request.batch)).collect::<Result<_, _>>()?;
        self.run_sql("COMMIT")?;
        self.progress.commits.send_modify(|commits| *commits += 1);
        Ok(outcomes)
    }

    fn apply(&self, batch: &Batch) -> Result<Result<(), WriteError>, WriteError> {
        self.run_sql("SAVEPOINT request")?;
        let outcome = match batch.apply(&self.connection, self.epoch) {
            Err(error) if !error.is_refusal() => return Err(error),
            outcome => outcome,
        };
        if outcome.is_err() {
            self.run_sql("ROLLBACK TO request")?;
        }
        self.run_sql("RELEASE request")?;
        Ok(outcome)
    }

    fn answer(&self, request: Request, outcome: Result<(), WriteError>) {
        match &outcome {
            Ok(()) => request.batch.last_facts().for_each(|(mission, seq)| self.progress.advance(mission, seq)),
            Err(_) => {
                self.progress.refused.fetch_add(1, Relaxed);
            }
        }
        // Nobody listens when the caller gave up waiting; what it asked for is done all the same.
        let _ = request.done.send(outcome);
    }

    fn run_sql(&self, sql: &str) -> Result<(), WriteError> {
        Ok(self.connection.prepare_cached(sql)?.execute([]).map(|_| ())?)
    }
}
