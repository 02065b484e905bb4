//! How patient we are with a model that does not answer.

use std::time::Duration;

use crate::model::ModelFailure;

/// Attempts after the first one.
pub const RETRIES_MAX: u32 = 3;
/// First pause when the other side named none; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause that we keep to; who asks for more is not going to answer this turn.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long to wait before attempt `attempt` (from 1) after this failure; `None`: give up.
pub fn pause(failure: &ModelFailure, attempt: u32) -> Option<Duration> {
    match failure {
        ModelFailure::Passing { after, .. } if attempt <= RETRIES_MAX => {
            let pause = after.unwrap_or(PAUSE * 2_u32.saturating_pow(attempt.saturating_sub(1)));
            (pause <= PAUSE_MAX).then_some(pause)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_and_longer_each_time() {
        let pauses: Vec<_> =
            (1..=4).map(|attempt| pause(&passing(None), attempt).map(|pause| pause.as_millis())).collect();
        assert_eq!(pauses, [Some(500), Some(1000), Some(2000), None]);
    }

    #[test]
    fn the_other_side_names_the_pause_within_reason() {
        assert_eq!(pause(&passing(Some(7)), 1), Some(Duration::from_secs(7)));
        assert_eq!(pause(&passing(Some(3600)), 1), None);
    }

    #[test]
    fn what_lasts_is_not_retried() {
        assert_eq!(pause(&ModelFailure::Lasting("no".into()), 1), None);
        assert_eq!(pause(&ModelFailure::Budget("no".into()), 1), None);
    }

    fn passing(after_s: Option<u64>) -> ModelFailure {
        ModelFailure::Passing { text: "x".into(), after: after_s.map(Duration::from_secs) }
    }
}
