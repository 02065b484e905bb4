//! What asks this process to end: Ctrl-C, an orderly shutdown, a terminal that is closed. All three end a mission alike.

use crate::outcome::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a mission in order. Made once: one that came between two of them would be lost.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Nothing when whoever started this process wants it to outlive its terminal, as `nohup` does.
    hangup: Option<Signal>,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Error> {
        let hear = |kind| signal(kind).map_err(Error::failed);
        let hangup = (!hangup_is_ignored()).then(|| hear(SignalKind::hangup())).transpose()?;
        Ok(Self { interrupt: hear(SignalKind::interrupt())?, terminate: hear(SignalKind::terminate())?, hangup })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// `SigIgn` of proc(5): a mask in hexadecimal, signal 1 in its lowest bit.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("SigIgn:")).is_some_and(ignores_hangup)
}

fn ignores_hangup(mask: &str) -> bool {
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_read() {
        assert!(ignores_hangup("\t0000000000001001") && ignores_hangup("1"));
        assert!(!ignores_hangup("\t0000000000001000") && !ignores_hangup("") && !ignores_hangup("x"));
    }
}
