//! What is done about an answer that is none: asked again, asked elsewhere, or passed on.
//!
//! Only before the first byte has gone to the agent, and only for so long: the agents' own clients try again, too.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

/// How an upstream is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Further tries of one call; 2 by default.
    pub count: u32,
    /// The pause before the first of them, twice as long before each further one; half a second by default.
    pub backoff: Duration,
    /// The most that one call waits in all its pauses, those that the provider asks for (`retry-after`) included;
    /// 20 seconds by default.
    pub wait_max: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Retries { count: 2, backoff: Duration::from_millis(500), wait_max: Duration::from_secs(20) }
    }
}

/// What came of a try that brought no answer to pass on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// No connection; nothing was sent.
    Unreachable,
    /// The request may have been read.
    Lost,
    /// Status 429, with the pause that the provider asks for.
    Limited(Option<Duration>),
    /// Status 500, 502, 503, 504 or 529, likewise.
    Down(Option<Duration>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    Again(Duration),
    Elsewhere,
    GiveUp,
}

impl Failure {
    /// The failure that an answer tells of, if it does.
    pub(crate) fn of(status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
        match status.as_u16() {
            429 => Some(Failure::Limited(pause(headers))),
            500 | 502 | 503 | 504 | 529 => Some(Failure::Down(pause(headers))),
            _ => None,
        }
    }
}

impl Retries {
    /// What to do after a try. `tries`: so far, this one included; `waited`: in pauses so far; `others`: whether
    /// another upstream may be asked.
    pub(crate) fn next(&self, failure: Failure, tries: u32, waited: Duration, others: bool) -> Next {
        let asked_for = match failure {
            Failure::Limited(None) if others => return Next::Elsewhere,
            Failure::Limited(pause) | Failure::Down(pause) => pause,
            Failure::Unreachable | Failure::Lost => None,
        };
        let doublings = tries.saturating_sub(1).min(16);
        let pause = asked_for.unwrap_or(Duration::ZERO).max(self.backoff * (1 << doublings));
        if tries <= self.count && waited.saturating_add(pause) <= self.wait_max {
            Next::Again(pause)
        } else if others {
            Next::Elsewhere
        } else {
            Next::GiveUp
        }
    }

    /// How long a rate limit lasts that no call can wait for.
    pub(crate) fn beyond_waiting(&self, failure: Failure) -> Option<Duration> {
        match failure {
            Failure::Limited(Some(pause)) if pause > self.wait_max => Some(pause),
            _ => None,
        }
    }
}

/// The pause of `retry-after-ms` or `retry-after` (RFC 9110, section 10.2.3): seconds, or a date, which is compared
/// with the answer's own `date`.
pub(crate) fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let after = text(header::RETRY_AFTER.as_str())?;
    if let Ok(seconds) = after.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let then = httpdate::parse_http_date(after).ok()?;
    let now = httpdate::parse_http_date(text(header::DATE.as_str())?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_is_read_however_it_is_written() {
        let read = |headers: &[(&'static str, &str)]| {
            let of =
                |(name, value): &(&'static str, &str)| (http::HeaderName::from_static(name), value.parse().unwrap());
            pause(&headers.iter().map(of).collect())
        };
        assert_eq!(read(&[("retry-after", "3")]), Some(3 * SECOND));
        assert_eq!(read(&[("retry-after", "0.25")]), Some(SECOND / 4));
        assert_eq!(read(&[("retry-after-ms", "1500"), ("retry-after", "2")]), Some(SECOND * 3 / 2));
        let dates = [("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT"), ("date", "Wed, 21 Oct 2026 07:28:00 GMT")];
        assert_eq!(read(&dates), Some(30 * SECOND));
        assert_eq!(read(&[dates[0], ("date", "Wed, 21 Oct 2026 07:29:00 GMT")]), Some(Duration::ZERO));
        for wrong in
            [&[dates[0]][..], &[("retry-after", "-1")], &[("retry-after", "soon")], &[("retry-after", "1e99")], &[]]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_tried_again_and_for_how_long() {
        let retries = Retries { count: 2, backoff: SECOND, wait_max: 20 * SECOND };
        let next = |failure, tries, waited, others| retries.next(failure, tries, waited * SECOND, others);
        for failure in [Failure::Unreachable, Failure::Lost, Failure::Down(None), Failure::Limited(None)] {
            assert_eq!(next(failure, 1, 0, false), Next::Again(SECOND));
            assert_eq!(next(failure, 2, 1, false), Next::Again(2 * SECOND));
            assert_eq!(next(failure, 3, 3, false), Next::GiveUp);
            assert_eq!(next(failure, 3, 3, true), Next::Elsewhere);
        }
        assert_eq!(next(Failure::Limited(None), 1, 0, true), Next::Elsewhere);
        let limited = |seconds| Failure::Limited(Some(seconds * SECOND));
        assert_eq!(next(limited(3), 1, 0, true), Next::Again(3 * SECOND));
        assert_eq!(next(limited(3), 1, 18, true), Next::Elsewhere);
        assert_eq!(next(limited(3600), 1, 0, false), Next::GiveUp);
        assert_eq!(retries.beyond_waiting(limited(21)), Some(21 * SECOND));
        assert_eq!(retries.beyond_waiting(limited(20)), None);
    }
}
