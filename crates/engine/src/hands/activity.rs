//! Whether an agent in its turn does anything that can be seen: it says something, calls its model or a tool of ours, or waits for a person.
//!
//! A program that hangs looks like one that thinks. Where a role's missions set `silence_timeout`, one that has done nothing for so long is ended and its
//! turn is taken up again, long before the turn's own time is over. What a program does inside its sandbox without a word is not seen, so that there is no such limit unless it is set.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// When an agent was last heard of.
#[derive(Debug)]
pub(crate) struct Activity {
    last: Mutex<Instant>,
    /// What of it is under way.
    on: AtomicUsize,
}

/// Something of an agent that is under way for as long as this lives.
pub(crate) struct UnderWay<'a>(&'a Activity);

impl Default for Activity {
    fn default() -> Self {
        Self { last: Mutex::new(Instant::now()), on: AtomicUsize::new(0) }
    }
}

impl Activity {
    /// It did something.
    pub(crate) fn seen(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// It does something until the guard is dropped.
    pub(crate) fn begins(&self) -> UnderWay<'_> {
        self.on.fetch_add(1, Ordering::SeqCst);
        UnderWay(self)
    }

    /// How long it may still be silent, of so much; nothing when that is over. `is_calling`: whether a model call of it is on.
    pub(crate) fn left(&self, limit: Duration, is_calling: bool) -> Option<Duration> {
        if self.on.load(Ordering::SeqCst) > 0 || is_calling {
            self.seen();
        }
        let quiet = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
        limit.checked_sub(quiet).filter(|left| !left.is_zero())
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.on.fetch_sub(1, Ordering::SeqCst);
        self.0.seen();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_is_left_of_the_time_since() {
        let activity = Activity::default();
        let long = Duration::from_secs(3_600);
        assert!(activity.left(long, false).is_some());
        let ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let hush = || *activity.last.lock().unwrap() = ago;
        hush();
        assert_eq!(activity.left(Duration::from_secs(60), false), None);
        assert!(activity.left(Duration::from_secs(60), true).is_some(), "a call that is on is no silence");
        hush();
        let on = activity.begins();
        assert!(activity.left(Duration::from_secs(60), false).is_some(), "nor is what is under way");
        hush();
        drop(on);
        assert!(activity.left(Duration::from_secs(60), false).is_some(), "the time begins with its end");
    }
}
