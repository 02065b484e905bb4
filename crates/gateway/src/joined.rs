//! Calls that are on, so that the same one is not paid twice.
//!
//! A process that died over a call is followed by one that asks the same; so does a client that hung up and tries again. Whoever asks the same while the
//! first is still being answered waits for it, and is then given the answer that the ledger has. Only who asks the same while it still listens to the
//! first wants another answer, and gets one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ledger::{Call, Digest};

type Key = (String, Option<u32>, Digest);

/// Every call that is on.
#[derive(Default)]
pub(crate) struct Joined(Mutex<BTreeMap<Key, Vec<Arc<On>>>>);

/// One call that is on.
struct On {
    process: u64,
    gone: AtomicBool,
    over: watch::Sender<bool>,
}

/// A call's place among those that are on; given back when it is dropped.
pub(crate) struct Place<'a> {
    all: &'a Joined,
    key: Key,
    on: Arc<On>,
}

impl Joined {
    /// A place of its own, or the end of the call that is to be waited for first.
    pub(crate) fn enter(&self, call: &Call) -> Result<Place<'_>, watch::Receiver<bool>> {
        let key = (call.mission.clone(), call.attempt, call.digest);
        let mut all = self.lock();
        let those = all.entry(key.clone()).or_default();
        let unheard = |on: &&Arc<On>| on.process != call.process || on.gone.load(Ordering::SeqCst);
        if let Some(on) = those.iter().find(unheard) {
            return Err(on.over.subscribe());
        }
        let on = Arc::new(On { process: call.process, gone: AtomicBool::new(false), over: watch::Sender::new(false) });
        those.push(Arc::clone(&on));
        Ok(Place { all: self, key, on })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Arc<On>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whoever asked has hung up.
    pub(crate) fn leave(&self) {
        self.on.gone.store(true, Ordering::SeqCst);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(those) = all.get_mut(&self.key) {
            those.retain(|on| !Arc::ptr_eq(on, &self.on));
            if those.is_empty() {
                all.remove(&self.key);
            }
        }
        self.on.over.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    fn call(process: u64, digest: u8) -> Call {
        Call {
            id: 1,
            mission: "m".into(),
            agent: "a".into(),
            process,
            attempt: Some(1),
            upstream: "u".into(),
            format: Format::OpenAiChat,
            model: "model".into(),
            digest: Digest([digest; 32]),
            stream: false,
        }
    }

    #[test]
    fn another_process_and_one_that_hung_up_wait_and_a_listener_does_not() {
        let joined = Joined::default();
        let Ok(first) = joined.enter(&call(1, 7)) else { panic!() };
        assert!(joined.enter(&call(1, 8)).is_ok(), "another request");
        assert!(joined.enter(&call(1, 7)).is_ok(), "a second answer is wanted");
        let Err(waiting) = joined.enter(&call(2, 7)) else { panic!() };
        assert!(!*waiting.borrow());
        first.leave();
        assert!(joined.enter(&call(1, 7)).is_err(), "the first hung up");
        drop(first);
        assert!(*waiting.borrow());
        assert!(joined.enter(&call(2, 7)).is_ok() && joined.lock().is_empty());
    }
}
