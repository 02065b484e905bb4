//! The one place that reads the wall clock.

use mission::At;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The wall clock, as instants of the core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock;

impl Clock {
    pub(crate) fn now(self) -> At {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        At(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Resolves when the instant has come; at once when it lies in the past.
    pub(crate) async fn sleep_until(self, at: At) {
        let left = at.0.saturating_sub(self.now().0);
        tokio::time::sleep(Duration::from_millis(left)).await;
    }
}
