//! When to look closer: the pure part of the watchdog, in which time and figures are arguments.
//!
//! The idea: a tree can only grow by what the machine loses. The free memory of the machine and the free space of a file
//! system cost one cheap call each, however many sandboxes there are. As long as they have not *fallen* by what a sandbox
//! has left, it cannot have crossed its limit, and nobody needs to look at it. Falls are added up and rises do not count,
//! so that somebody else's release hides only what happens between the same two looks. What memory the machine has ever
//! given out hides nothing, but grows all the time on a busy machine: it is asked at a slower pace.

use std::time::{Duration, Instant};

/// A figure that shows how much is free, and by how much it has fallen in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Falls {
    free: Option<u64>,
    /// Bytes, since the first look; never goes down.
    pub total: u64,
    /// Bytes, between the last two looks.
    pub last: u64,
}

impl Falls {
    /// Takes note of what is free, in bytes.
    pub fn see(&mut self, free: u64) {
        self.last = self.free.map_or(0, |before| before.saturating_sub(free));
        self.total += self.last;
        self.free = Some(free);
    }

    /// What was free at the last look, in bytes.
    pub fn free(&self) -> u64 {
        self.free.unwrap_or(0)
    }

    /// Two figures as one.
    pub fn and(self, other: &Self) -> Self {
        let free = Some(self.free() + other.free());
        Self { free, total: self.total + other.total, last: self.last + other.last }
    }
}

/// How close one sandbox may be to one limit.
#[derive(Clone, Debug)]
pub(super) struct Gauge {
    limit: u64,
    /// Bytes at the last measurement; none before the first.
    used: Option<u64>,
    /// [`Falls::total`] when the last measurement began.
    fallen_then: u64,
    measured: Instant,
    /// How long the last measurement took.
    cost: Duration,
    /// How long after a measurement the next is made although little has fallen.
    slow: Option<Duration>,
}

/// A share of what is left that is worth a look at the slow pace.
const SHARE: u64 = 8;
/// The slow pace of looks after a fall by a share of what is left.
const SOME: Duration = Duration::from_secs(10);
/// How long what others release may hide what a sandbox takes.
const HIDDEN: Duration = Duration::from_secs(1);
/// A measurement that took some time is not repeated before this many times as long have passed,
const REST: u32 = 9;
/// or this long if the limit may be crossed: who is measured decides what a measurement costs.
const REST_MAX: Duration = HIDDEN;

impl Gauge {
    /// For something of which `used` bytes are used, if that is known. `slow`: measured at least this often.
    pub fn new(limit: u64, used: Option<u64>, fallen: u64, slow: Option<Duration>, at: Instant) -> Self {
        Self { limit, used, fallen_then: fallen, measured: at, cost: Duration::ZERO, slow }
    }

    /// Whether to measure, when the figures have fallen by `fallen` bytes in all.
    pub fn is_due(&self, fallen: u64, now: Instant) -> bool {
        let Some(used) = self.used else { return true };
        let (fallen, left) = (fallen.saturating_sub(self.fallen_then), self.limit.saturating_sub(used));
        let age = now.saturating_duration_since(self.measured);
        let worth_it = fallen >= left
            || age >= SOME && fallen >= left / SHARE
            || self.slow.is_some_and(|slow| age >= slow && fallen > 0);
        let rest = self.cost.saturating_mul(REST);
        worth_it && age >= if fallen >= left { rest.min(REST_MAX) } else { rest }
    }

    /// Whether to measure because the machine has given out as much as is left since the last measurement, although others may have
    /// released as much meanwhile, so that it shows nowhere else.
    pub fn may_be_hidden(&self, given_out: u64, now: Instant) -> bool {
        let left = self.limit.saturating_sub(self.used.unwrap_or(0));
        let age = now.saturating_duration_since(self.measured);
        given_out >= left && age >= HIDDEN
    }

    /// Whether it could cross its limit within two looks, if all that falls is its doing and goes on as between the last two.
    pub fn is_close(&self, fallen: u64, last: u64) -> bool {
        let left = self.limit.saturating_sub(self.used.unwrap_or(0));
        last > 0 && left.saturating_sub(fallen.saturating_sub(self.fallen_then)) <= last.saturating_mul(2)
    }

    /// Takes note of a measurement that began when the figures had fallen by `fallen` in all. Whether the limit is crossed.
    pub fn measured(&mut self, used: u64, fallen: u64, at: Instant, cost: Duration) -> bool {
        (self.used, self.fallen_then, self.measured, self.cost) = (Some(used), fallen, at, cost);
        used > self.limit
    }

    /// How long from now until something that takes so many bytes in a millisecond could cross the limit, as far as is known.
    pub fn time_left(&self, fallen: u64, bytes_per_ms: u64) -> Duration {
        let used = self.used.unwrap_or(0).saturating_add(fallen.saturating_sub(self.fallen_then));
        Duration::from_millis(self.limit.saturating_sub(used) / bytes_per_ms)
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Makes the limit stricter, or leaves it.
    pub fn lower_to(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn gauge(used: Option<u64>, slow: Option<Duration>) -> (Gauge, Instant) {
        let start = Instant::now();
        (Gauge::new(1000, used, 50, slow, start), start)
    }

    #[test]
    fn rises_do_not_undo_falls() {
        let mut falls = Falls::default();
        [100, 90, 500, 480].into_iter().for_each(|free| falls.see(free));
        assert_eq!((falls.total, falls.last), (30, 20));
    }

    #[test]
    fn what_is_unknown_is_measured_and_an_idle_machine_is_left_alone() {
        let (gauge, start) = gauge(None, None);
        assert!(gauge.is_due(50, start));
        let (gauge, start) = self::gauge(Some(0), Some(60 * S));
        assert!(!gauge.is_due(50, start + 10_000 * S));
    }

    #[test]
    fn a_fall_by_what_is_left_is_worth_a_look_at_once() {
        let (gauge, start) = gauge(Some(400), None);
        assert!(!gauge.is_due(50 + 599, start));
        assert!(gauge.is_due(50 + 600, start));
    }

    #[test]
    fn a_fall_by_a_share_is_worth_one_later() {
        let (gauge, start) = gauge(Some(200), None);
        assert!(!gauge.is_due(50 + 100, start + 9 * S));
        assert!(gauge.is_due(50 + 100, start + 10 * S));
        assert!(!gauge.is_due(50 + 99, start + 1000 * S));
        let (gauge, start) = self::gauge(Some(0), Some(60 * S));
        assert!(!gauge.is_due(51, start + 59 * S));
        assert!(gauge.is_due(51, start + 60 * S));
    }

    #[test]
    fn what_others_release_hides_for_a_second_only() {
        let (gauge, start) = gauge(Some(400), None);
        assert!(!gauge.may_be_hidden(600, start + S / 2));
        assert!(!gauge.may_be_hidden(599, start + 100 * S));
        assert!(gauge.may_be_hidden(600, start + S));
    }

    #[test]
    fn dear_measurements_are_rare() {
        let (mut gauge, start) = gauge(Some(0), None);
        assert!(!gauge.measured(200, 500, start, 2 * S));
        assert!(!gauge.is_due(500 + 799, start + 17 * S));
        assert!(gauge.is_due(500 + 799, start + 18 * S));
        assert!(gauge.measured(1001, 500, start, S));
    }

    #[test]
    fn no_measurement_is_so_dear_that_a_limit_is_not_kept() {
        let (mut gauge, start) = gauge(Some(0), None);
        assert!(!gauge.measured(200, 500, start, 100 * S));
        assert!(!gauge.is_due(500 + 800, start + S / 2));
        assert!(gauge.is_due(500 + 800, start + S));
        assert!(gauge.may_be_hidden(800, start + S));
    }

    #[test]
    fn it_is_close_when_two_more_such_falls_would_reach_the_limit() {
        let (gauge, _) = gauge(Some(0), None);
        assert!(!gauge.is_close(50 + 300, 349));
        assert!(gauge.is_close(50 + 300, 350));
        assert!(!gauge.is_close(50 + 1000, 0));
    }

    #[test]
    fn the_time_left_is_what_is_left_at_the_greatest_speed() {
        let (gauge, _) = gauge(Some(200), None);
        assert_eq!(gauge.time_left(50, 10), Duration::from_millis(80));
        assert_eq!(gauge.time_left(50 + 700, 10), Duration::from_millis(10));
        assert_eq!(gauge.time_left(50 + 900, 10), Duration::ZERO);
    }

    #[test]
    fn a_limit_only_becomes_stricter() {
        let (mut gauge, start) = gauge(Some(0), None);
        gauge.lower_to(2000);
        assert!(gauge.clone().measured(1001, 0, start, S));
        gauge.lower_to(500);
        assert!(gauge.measured(501, 0, start, S));
    }
}
