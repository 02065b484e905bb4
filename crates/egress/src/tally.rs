//! What went through a proxy and what did not, counted within bounds: a sandbox that asks a million times fills neither
//! our memory nor a journal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::why::{Refused, Why};

/// Refusals (host, port, reason) that are told apart; further ones are counted together and not told.
pub const REFUSALS_MAX: usize = 64;
/// Hosts whose bytes are counted apart; the bytes of further ones are counted together.
const HOSTS_MAX: usize = 256;
/// The name under which those are counted.
const OTHERS: &str = "others";
/// Bytes of a host that are kept of what was asked for.
const HOST_BYTES_MAX: usize = 253;

/// Bytes to and from one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections made.
    pub connections: u64,
    /// Bytes that went out of the sandbox.
    pub sent: u64,
    /// Bytes that came in.
    pub received: u64,
}

/// All that a proxy refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Each host, port and reason, with its number of times; at most [`REFUSALS_MAX`].
    pub known: Vec<Refused>,
    /// How many more there were.
    pub beyond: u64,
}

/// Told of refusals. It is called on the task of the connection and must not block.
pub(crate) type OnRefused = Box<dyn Fn(Refused) + Send + Sync>;

pub(crate) struct Tally {
    counts: Mutex<Counts>,
    on_refused: OnRefused,
}

#[derive(Default)]
struct Counts {
    refused: BTreeMap<(String, u16, Why), Times>,
    beyond: u64,
    traffic: BTreeMap<String, Arc<Meter>>,
}

#[derive(Default)]
struct Times {
    all: u64,
    told: u64,
}

/// Counts one host's bytes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    connections: AtomicU64,
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

impl Tally {
    pub fn new(on_refused: OnRefused) -> Self {
        Self { counts: Mutex::default(), on_refused }
    }

    /// Counts a refusal, tells it if it is time to, and returns it as the program is told of it.
    pub fn refuse(&self, host: &str, port: u16, why: Why) -> Refused {
        let host = shown(host);
        let times = self.counts().refuse((host.clone(), port, why.clone()));
        let refused = Refused { host, port, why, times: times.unwrap_or(1) };
        if times.is_some() {
            (self.on_refused)(refused.clone());
        }
        refused
    }

    /// Counts a connection, and hands out where its bytes are counted.
    pub fn connected(&self, host: String) -> Arc<Meter> {
        let mut counts = self.counts();
        let is_new = counts.traffic.len() >= HOSTS_MAX && !counts.traffic.contains_key(&host);
        let meter = Arc::clone(counts.traffic.entry(if is_new { OTHERS.to_owned() } else { host }).or_default());
        meter.connections.fetch_add(1, Ordering::Relaxed);
        meter
    }

    pub fn traffic(&self) -> BTreeMap<String, Traffic> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let traffic = |meter: &Meter| Traffic {
            connections: read(&meter.connections),
            sent: read(&meter.sent),
            received: read(&meter.received),
        };
        self.counts().traffic.iter().map(|(host, meter)| (host.clone(), traffic(meter))).collect()
    }

    pub fn refusals(&self) -> Refusals {
        let counts = self.counts();
        let refused = |((host, port, why), times): (&(String, u16, Why), &Times)| Refused {
            host: host.clone(),
            port: *port,
            why: why.clone(),
            times: times.all,
        };
        Refusals { known: counts.refused.iter().map(refused).collect(), beyond: counts.beyond }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts it; returns how many times are to be told, when some are.
    fn refuse(&mut self, key: (String, u16, Why)) -> Option<u64> {
        if self.refused.len() >= REFUSALS_MAX && !self.refused.contains_key(&key) {
            self.beyond += 1;
            return None;
        }
        let times = self.refused.entry(key).or_default();
        times.all += 1;
        let tell = 10_u64.pow(times.all.ilog10()) == times.all;
        let untold = times.all - times.told;
        tell.then(|| {
            times.told = times.all;
            untold
        })
    }
}

/// A host for messages: printable, and not longer than a name can be.
fn shown(host: &str) -> String {
    let printable = |letter: char| if letter.is_ascii_graphic() { letter } else { '?' };
    host.chars().map(printable).take(HOST_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn tally() -> (Tally, mpsc::Receiver<Refused>) {
        let (tell, told) = mpsc::channel();
        (Tally::new(Box::new(move |refused| tell.send(refused).unwrap())), told)
    }

    #[test]
    fn the_same_refusal_is_told_ever_less_often() {
        let (tally, told) = tally();
        (0..1000).for_each(|_| _ = tally.refuse("a.test", 443, Why::NotListed));
        let times: Vec<u64> = told.try_iter().map(|refused| refused.times).collect();
        assert_eq!(times, [1, 9, 90, 900]);
        assert_eq!(tally.refusals().known[0].times, 1000);
    }

    #[test]
    fn a_flood_of_different_refusals_is_counted_only() {
        let (tally, told) = tally();
        for port in 1..=1000 {
            assert_eq!(tally.refuse("a.test", port, Why::NotListed).port, port);
        }
        assert_eq!(told.try_iter().count(), REFUSALS_MAX);
        let refusals = tally.refusals();
        assert_eq!((refusals.known.len(), refusals.beyond), (REFUSALS_MAX, 1000 - REFUSALS_MAX as u64));
    }

    #[test]
    fn what_is_told_of_a_host_can_be_printed() {
        let (tally, _told) = tally();
        assert_eq!(tally.refuse("a\r\nb\u{1b}[31mü", 1, Why::NotListed).host, "a??b?[31m?");
        assert_eq!(tally.refuse(&"a".repeat(9999), 1, Why::NotListed).host.len(), HOST_BYTES_MAX);
    }

    #[test]
    fn bytes_are_counted_by_host_within_bounds() {
        let (tally, _told) = tally();
        for host in 0..HOSTS_MAX + 10 {
            tally.connected(format!("{host}.test:443")).sent.fetch_add(1, Ordering::Relaxed);
        }
        tally.connected("0.test:443".into()).received.fetch_add(7, Ordering::Relaxed);
        let traffic = tally.traffic();
        assert_eq!(traffic["0.test:443"], Traffic { connections: 2, sent: 1, received: 7 });
        assert_eq!(traffic[OTHERS], Traffic { connections: 10, sent: 10, received: 0 });
    }
}
