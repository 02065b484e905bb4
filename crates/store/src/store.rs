//! The writing side, as callers hold it.

use crate::{
    batch::{BATCH_BYTES_MAX, Batch},
    call::{Answer, CallRow},
    error::{OpenError, ReadError, WriteError},
    fact::{FactRow, MissionKey, MissionRow},
    file::{self, JOURNAL},
    home::HomeLock,
    reader::Reader,
    reservation::ReservationKey,
    worker::Worker,
    writer::{Progress, Request, Writer},
};
use rusqlite::{Connection, OptionalExtension};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    runtime,
    sync::{mpsc, oneshot, watch},
};

/// Requests that may wait for the writer before callers wait to ask.
const QUEUE: usize = 1024;

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The most bytes that `journal.db` may grow to; more is refused as if the disk were full. `None`: the disk decides.
    pub journal_bytes_max: Option<u64>,
}

/// How the writer before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousEnd {
    /// There was none: the home is new.
    None,
    /// It closed the store.
    Orderly,
    /// It was killed or crashed.
    Crash,
}

/// What the writer has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests taken.
    pub requests: u64,
    /// Requests answered with an error.
    pub refused: u64,
    /// Transactions committed, each with one flush of the disk.
    pub transactions: u64,
}

/// The journal of a home, for its one writing process. Clones share it; the last one to go waits until everything that was
/// asked for is on disk and gives the home back.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// The order of the fields is the order of their end: only the last connection to close clears the WAL away, so that has to be
/// the writer's.
struct Shared {
    recall: Mutex<Recall>,
    writer: Worker<Request>,
    progress: Arc<Progress>,
    lock: HomeLock,
    epoch: u64,
    reservations: AtomicU64,
    previous_end: PreviousEnd,
}

/// Answers given to processes that are gone, and those that processes of this epoch have used up.
struct Recall {
    reader: Reader,
    used: BTreeSet<(MissionKey, u32, String, u64)>,
}

impl Store {
    /// Opens (or makes) the journal of a locked home and begins a new epoch.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file; nothing was changed then, except after `Migration` and `Full`.
    pub fn open(lock: &HomeLock) -> Result<Self, OpenError> {
        Self::open_with(lock, &Options::default())
    }

    /// [`Store::open`] with options.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(lock: &HomeLock, options: &Options) -> Result<Self, OpenError> {
        let path = lock.dir().join(JOURNAL.name);
        let connection = JOURNAL.open_writer(lock.dir())?;
        let (epoch, previous_end) = begin_epoch(&connection).map_err(|source| file::sqlite(&path, source))?;
        if let Some(bytes) = options.journal_bytes_max {
            cap(&connection, bytes).map_err(|source| file::sqlite(&path, source))?;
        }
        let reader = Reader::open(lock.dir())?;
        let progress = Arc::new(Progress::default());
        let (sender, requests) = mpsc::channel(QUEUE);
        let io = |source| OpenError::Io { path: path.clone(), source };
        let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(io)?;
        let writer =
            Writer { connection, epoch, requests, progress: Arc::clone(&progress), runtime, _lock: lock.clone() };
        let shared = Shared {
            recall: Mutex::new(Recall { reader, used: BTreeSet::new() }),
            writer: Worker::start("journal", sender, || writer.run()).map_err(io)?,
            progress,
            lock: lock.clone(),
            epoch,
            reservations: AtomicU64::new(0),
            previous_end,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The home.
    pub fn dir(&self) -> &Path {
        self.shared.lock.dir()
    }

    /// The number of this incarnation of the writer: one more than that of the one before, durably.
    pub fn epoch(&self) -> u64 {
        self.shared.epoch
    }

    /// How the incarnation before this one ended.
    pub fn previous_end(&self) -> PreviousEnd {
        self.shared.previous_end
    }

    /// Writes a batch. When this resolves with `Ok`, all of it is durable and visible to readers. Dropping the future
    /// before does not take the request back.
    ///
    /// # Errors
    /// [`WriteError`]; none of the batch was written then, unless the variant says otherwise.
    pub async fn commit(&self, batch: Batch) -> Result<(), WriteError> {
        if batch.bytes() > BATCH_BYTES_MAX {
            return Err(WriteError::TooLarge { bytes: batch.bytes(), max: BATCH_BYTES_MAX });
        }
        let (done, outcome) = oneshot::channel();
        let sender = self.shared.writer.queue().ok_or(WriteError::Closed)?;
        sender.send(Request { batch, done }).await.map_err(|_| WriteError::Closed)?;
        outcome.await.map_err(|_| WriteError::Closed)?
    }

    /// Makes a mission.
    ///
    /// # Errors
    /// [`WriteError::MissionExists`], and as [`Store::commit`].
    pub async fn create_mission(&self, mission: MissionRow) -> Result<(), WriteError> {
        self.commit(Batch::new().mission(mission)).await
    }

    /// Appends facts, numbered from `first_seq` on (the first fact of a mission is 1), all or none. Returns the number of the
    /// last fact of the mission.
    ///
    /// # Errors
    /// [`WriteError::SequenceTaken`] when someone else appended first, and as [`Store::commit`].
    pub async fn append_rows(
        &self,
        mission: &MissionKey,
        first_seq: u64,
        at_ms: u64,
        rows: Vec<FactRow>,
    ) -> Result<u64, WriteError> {
        let last = (first_seq + rows.len() as u64).saturating_sub(1);
        self.commit(Batch::new().facts(mission, first_seq, at_ms, rows)).await?;
        Ok(last)
    }

    /// Puts a model call into the ledger, with the answer when it was complete.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn put_call(&self, call: CallRow, answer: Option<Answer>) -> Result<(), WriteError> {
        self.commit(Batch::new().call(call, answer)).await
    }

    /// A name for a reservation that is about to be made.
    pub fn reservation(&self) -> ReservationKey {
        ReservationKey { epoch: self.shared.epoch, number: self.shared.reservations.fetch_add(1, Relaxed) + 1 }
    }

    /// The newest answer that *another* process of the agent was given for this request of this attempt, once: an agent that was killed
    /// while it read an answer asks the same again and must not pay twice, whereas a process that asks the same again on
    /// purpose must get a new answer. `process` is the one that asks, as in [`CallRow::process`]; those of earlier epochs are others.
    ///
    /// Which answers are used up is kept in memory alone. That is exact, because a process ends with its epoch: the
    /// next one may have to be given the answer once more.
    ///
    /// Reads at once on the calling thread (an index look-up).
    ///
    /// # Errors
    /// [`ReadError`] when the ledger cannot be read; the answer is not used up then.
    pub fn recall(
        &self,
        mission: &MissionKey,
        attempt: u32,
        digest: &str,
        process: u64,
    ) -> Result<Option<Answer>, ReadError> {
        let mut recall = self.shared.recall.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (mission.clone(), attempt, digest.to_owned(), process);
        if recall.used.contains(&key) {
            return Ok(None);
        }
        let answer = recall.reader.answer_to_others(mission, attempt, digest, (self.shared.epoch, process))?;
        if answer.is_some() {
            recall.used.insert(key);
        }
        Ok(answer)
    }

    /// Follows the number of the last durable fact of a mission (0 when it has none). Never shows a fact that is not
    /// durable.
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read, or there is no such mission.
    pub fn subscribe(&self, mission: &MissionKey) -> Result<watch::Receiver<u64>, ReadError> {
        // Subscribed before it is read, so that no commit falls in between.
        let mut receiver = self.shared.progress.subscribe(mission);
        let last = self.shared.recall.lock().unwrap_or_else(PoisonError::into_inner).reader.last_seq(mission)?;
        self.shared.progress.advance(mission, last);
        receiver.mark_unchanged();
        Ok(receiver)
    }

    /// Follows the number of transactions committed in this epoch: whatever changed, it changes.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.shared.progress.commits.subscribe()
    }

    /// A new connection for reading.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Reader::open(self.dir())
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> Stats {
        let progress = &self.shared.progress;
        Stats {
            requests: progress.requests.load(Relaxed),
            refused: progress.refused.load(Relaxed),
            transactions: *progress.commits.borrow(),
        }
    }
}

fn begin_epoch(connection: &Connection) -> rusqlite::Result<(u64, PreviousEnd)> {
    let last: Option<(u64, bool)> = connection
        .query_row("SELECT epoch, ended FROM epochs ORDER BY epoch DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (epoch, previous_end) = match last {
        None => (1, PreviousEnd::None),
        Some((last, true)) => (last + 1, PreviousEnd::Orderly),
        Some((last, false)) => (last + 1, PreviousEnd::Crash),
    };
    connection.execute("INSERT INTO epochs (epoch) VALUES (?1)", [epoch])?;
    Ok((epoch, previous_end))
}

fn cap(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (bytes / page.max(1)).clamp(1, u64::from(u32::MAX) - 1);
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
}
