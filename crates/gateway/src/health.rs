//! Whether an upstream is worth asking: a breaker that opens when it fails and lets one call through to see, and the
//! rate limits that it told of. Time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that open the breaker.
const FAILURES_MAX: u32 = 5;
/// How long it stays open at first; twice as long after every probe that fails.
const OPEN_FIRST: Duration = Duration::from_secs(10);
const OPEN_MAX: Duration = Duration::from_secs(300);
/// Limited models that are remembered.
const LIMITED_MAX: usize = 64;

/// How an upstream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// It answers, so far as is known.
    #[default]
    Closed,
    /// It failed again and again; it is not asked for a while.
    Open,
    /// It is asked by one call, to see.
    HalfOpen,
}

/// Why an upstream is not asked, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unwell {
    Limited(Duration),
    Broken(Duration),
}

/// What is known of one upstream.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failures: u32,
    open: Option<Open>,
    /// Until when calls of a model are refused by the provider.
    limited: BTreeMap<String, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    until: Instant,
    lasted: Duration,
    /// When the probe under way began. One that nobody hears of again is given up after [`OPEN_MAX`].
    probe: Option<Instant>,
}

impl Health {
    /// Whether a call may be made. Every call that is let through is followed by [`answered`](Self::answered),
    /// [`failed`](Self::failed) or [`undecided`](Self::undecided).
    pub(crate) fn admit(&mut self, model: &str, now: Instant) -> Result<(), Unwell> {
        if let Some(until) = self.limited.get(model).filter(|until| **until > now) {
            return Err(Unwell::Limited(*until - now));
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.until > now {
            return Err(Unwell::Broken(open.until - now));
        }
        if open.probe.is_some_and(|began| now.duration_since(began) < OPEN_MAX) {
            return Err(Unwell::Broken(OPEN_FIRST));
        }
        open.probe = Some(now);
        Ok(())
    }

    pub(crate) fn answered(&mut self) {
        self.failures = 0;
        self.open = None;
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let lasts = match self.open {
            // A call from before the breaker opened says nothing new.
            Some(Open { probe: None, .. }) => return,
            Some(open) => (open.lasted * 2).min(OPEN_MAX),
            None if self.failures < FAILURES_MAX => return,
            None => OPEN_FIRST,
        };
        self.open = Some(Open { until: now + lasts, lasted: lasts, probe: None });
    }

    /// The call was not made after all.
    pub(crate) fn undecided(&mut self) {
        if let Some(open) = &mut self.open {
            open.probe = None;
        }
    }

    /// The provider takes no calls of that model for so long.
    pub(crate) fn limit(&mut self, model: &str, lasts: Duration, now: Instant) {
        self.limited.retain(|_, until| *until > now);
        if self.limited.len() < LIMITED_MAX {
            self.limited.insert(model.to_owned(), now + lasts);
        }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.open {
            None => BreakerState::Closed,
            Some(Open { probe: Some(_), .. }) => BreakerState::HalfOpen,
            Some(_) => BreakerState::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(now: Instant) -> Health {
        let mut health = Health::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(health.admit("m", now), Ok(()));
            health.failed(now);
        }
        health
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let now = Instant::now();
        let mut health = broken(now);
        assert_eq!(health.state(), BreakerState::Open);
        assert_eq!(health.admit("m", now), Err(Unwell::Broken(OPEN_FIRST)));
        let later = now + OPEN_FIRST;
        assert_eq!(health.admit("m", later), Ok(()));
        assert_eq!(health.state(), BreakerState::HalfOpen);
        assert!(health.admit("m", later).is_err(), "one probe at a time");
        health.answered();
        assert_eq!((health.state(), health.admit("m", later)), (BreakerState::Closed, Ok(())));
    }

    #[test]
    fn a_failed_probe_opens_it_for_twice_as_long() {
        let mut now = Instant::now();
        let mut health = broken(now);
        for lasts in [10, 20, 40, 80, 160, 300, 300] {
            let lasts = Duration::from_secs(lasts);
            assert_eq!(health.admit("m", now), Err(Unwell::Broken(lasts)));
            now += lasts;
            assert_eq!(health.admit("m", now), Ok(()));
            health.failed(now);
        }
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_anew() {
        let now = Instant::now();
        let mut health = Health::default();
        for number in 0..100 {
            if number % 4 == 0 { health.answered() } else { health.failed(now) }
        }
        assert_eq!(health.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_without_a_verdict_frees_its_place() {
        let now = Instant::now();
        let mut health = broken(now);
        let later = now + OPEN_FIRST;
        assert_eq!(health.admit("m", later), Ok(()));
        health.undecided();
        assert_eq!(health.admit("m", later), Ok(()));
        assert!(health.admit("m", later).is_err());
        assert_eq!(health.admit("m", later + OPEN_MAX), Ok(()), "a lost probe is given up");
    }

    #[test]
    fn a_limit_holds_for_its_model_until_its_time() {
        let now = Instant::now();
        let mut health = Health::default();
        health.limit("m", Duration::from_secs(60), now);
        let half = now + Duration::from_secs(30);
        assert_eq!(health.admit("m", half), Err(Unwell::Limited(Duration::from_secs(30))));
        assert_eq!(health.admit("other", half), Ok(()));
        assert_eq!(health.admit("m", now + Duration::from_secs(60)), Ok(()));
    }
}
