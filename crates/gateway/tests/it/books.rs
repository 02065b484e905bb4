//! A ledger that remembers what it was asked and can be told what to say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::{Call, Ledger, Refusal, Settled, StoredAnswer, Tag, Worst};
use tokio::sync::{Notify, Semaphore, mpsc};

pub struct Books {
    /// What recall answers, once.
    pub stored: Mutex<Option<StoredAnswer>>,
    pub refusal: Mutex<Option<Refusal>>,
    pub settling_fails: bool,
    /// The rate limits that were told.
    pub limited: Mutex<Vec<(Call, Duration)>>,
    /// What is left for a call, in micro-dollars, if that is little.
    pub micros_left: Mutex<Option<u64>>,
    reserved: Mutex<Vec<(Call, Option<u64>)>>,
    found: Mutex<Vec<(String, bool)>>,
    /// Tells that a settlement was asked for, before it is allowed.
    settled: mpsc::UnboundedSender<Settled>,
    /// Tells that a reservation was asked for, before it is allowed.
    pub reserving: Notify,
    /// One permit per reservation that may end.
    pub may_reserve: Arc<Semaphore>,
    /// One permit per settlement that may end.
    pub may_settle: Arc<Semaphore>,
}

/// The settlements as they are asked for.
pub type Settlements = mpsc::UnboundedReceiver<Settled>;

impl Books {
    pub fn open() -> (Books, Settlements) {
        let (settled, settlements) = mpsc::unbounded_channel();
        let books = Books {
            stored: Mutex::default(),
            refusal: Mutex::default(),
            settling_fails: false,
            limited: Mutex::default(),
            reserved: Mutex::default(),
            found: Mutex::default(),
            micros_left: Mutex::default(),
            settled,
            reserving: Notify::new(),
            may_reserve: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            may_settle: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        };
        (books, settlements)
    }

    /// The secrets that were found in requests, and whether the call was refused.
    pub fn found(&self) -> Vec<(String, bool)> {
        self.found.lock().unwrap().clone()
    }

    pub fn reserved(&self) -> Vec<(Call, Option<u64>)> {
        self.reserved.lock().unwrap().clone()
    }
}

impl Ledger for Books {
    fn secret_found(&self, _: &Tag, name: &str, refused: bool) {
        self.found.lock().unwrap().push((name.to_owned(), refused));
    }

    async fn recall(&self, _: &Call) -> Option<StoredAnswer> {
        self.stored.lock().unwrap().take()
    }

    async fn reserve(&self, call: &Call, worst: Worst) -> Result<Worst, Refusal> {
        self.reserved.lock().unwrap().push((call.clone(), worst.micros()));
        self.reserving.notify_one();
        self.may_reserve.acquire().await.unwrap().forget();
        if let Some(refusal) = self.refusal.lock().unwrap().clone() {
            return Err(refusal);
        }
        let left = *self.micros_left.lock().unwrap();
        Ok(worst.within(left, None).unwrap_or_else(|| worst.least()))
    }

    async fn settle(&self, settled: Settled) -> Result<(), String> {
        self.settled.send(settled).unwrap();
        self.may_settle.acquire().await.unwrap().forget();
        if self.settling_fails { Err("the disk is full".to_owned()) } else { Ok(()) }
    }

    async fn limited(&self, call: &Call, reset_in: Duration) {
        self.limited.lock().unwrap().push((call.clone(), reset_in));
    }
}
