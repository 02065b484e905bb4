//! The thread that ends trees which have crossed a limit that nothing else keeps.
//!
//! It exists only while there is such a tree. Four times a second it looks at a few figures of the whole machine: available
//! memory, memory ever given out, and free space of the file systems concerned; only trees that could have crossed their
//! limit since they were last measured ([`Gauge`]) are measured. So hundreds of idle sandboxes cost what one costs. When a
//! limit comes close quickly, it looks more often; where a disk's is set low, from the beginning: before the fastest writing could reach it.
//!
//! A tree is ended for what *it* uses, never because others use much. But a disk that it alone filled would take everybody
//! with it, so it may add at most what was free when it began, less a floor.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Usage, Walk};
use super::figures::{Figures, Place};
use super::gauge::Gauge;
use super::memory;
use super::processes::{self, DESCRIPTORS_MAX, HeldFiles};
use crate::sys;
use crate::tree::Limit;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks when a limit is close.
const LOOK_CLOSELY: Duration = Duration::from_millis(40);
/// Between two looks at least, however close the limit on disk is.
const LOOK_LEAST: Duration = Duration::from_millis(5);
/// Nothing writes faster than this, in bytes per millisecond: 4 GiB/s, several times what one of these machines does.
const FASTEST: u64 = 4 << 20;
/// Memory is measured at least this often if it has fallen at all: somebody else's release could hide a tree's growth.
const MEMORY_SLOW: Duration = Duration::from_secs(60);
/// Entries of directories that are looked at for one tree in one look: about 30 milliseconds.
const ENTRIES: usize = 20_000;
/// Watches trees. The thread starts with the first and ends after the last.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
}

/// How often the watchdog of a launcher has looked, for tests and for those who want to know what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchCounts {
    /// Looks at the figures of the machine.
    pub looks: u64,
    /// Measurements of the memory of one sandbox.
    pub memory_walks: u64,
    /// Measurements of the directories of one sandbox.
    pub disk_walks: u64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    looks: AtomicU64,
    memory_walks: AtomicU64,
    disk_walks: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    trees: BTreeMap<u64, Arc<Watch>>,
    next: u64,
    running: bool,
    thread: Option<std::thread::Thread>,
    figures: Figures,
}

/// One watched tree.
#[derive(Debug)]
struct Watch {
    init: Arc<OwnedFd>,
    crossed: OnceLock<Limit>,
    places: Vec<Place>,
    gauges: Mutex<Gauges>,
}

#[derive(Debug)]
struct Gauges {
    memory: Option<Memory>,
    disk: Option<Disk>,
}

#[derive(Debug)]
struct Memory {
    gauge: Gauge,
    /// [`Figures::given_out`] at the last measurement.
    given_out_then: u64,
    /// Available when it began.
    free_then: u64,
}

#[derive(Debug)]
struct Disk {
    gauge: Gauge,
    /// Free on all its file systems when it began.
    free_then: u64,
    /// What it may add to what its directories hold at first.
    room: u64,
    /// What they held at first.
    first: Option<u64>,
    under_way: Option<UnderWay>,
}

/// A measurement that takes several looks.
#[derive(Debug)]
struct UnderWay {
    walk: Walk,
    fallen: u64,
    cost: Duration,
}

/// A tree that is watched for as long as this is held.
#[derive(Debug)]
pub(super) struct Watched {
    id: u64,
    watch: Arc<Watch>,
    shared: Arc<Shared>,
}

impl Watchdog {
    /// How often it has looked so far.
    pub fn counts(&self) -> WatchCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Shared { looks, memory_walks, disk_walks, .. } = &*self.shared;
        WatchCounts { looks: count(looks), memory_walks: count(memory_walks), disk_walks: count(disk_walks) }
    }

    /// Watches the tree of this init: the bytes of its memory, and those that these directories hold.
    pub(super) fn watch(
        &self,
        init: &Arc<OwnedFd>,
        memory: Option<u64>,
        disk: Option<(u64, Vec<PathBuf>)>,
    ) -> io::Result<Watched> {
        let (disk, paths) = disk.map_or((None, Vec::new()), |(bytes, paths)| (Some(bytes), paths));
        let places: Vec<Place> = paths.into_iter().filter_map(Place::of).collect();
        let mut state = lock(&self.shared.state);
        if !state.running {
            // What the figures did while nobody looked is nobody's doing.
            state.figures = Figures::first();
        }
        state.figures.add(&places);
        let figures = &state.figures;
        let now = Instant::now();
        let gauges = Gauges {
            memory: memory.map(|limit| Memory {
                gauge: Gauge::new(limit, Some(0), figures.memory.total, Some(MEMORY_SLOW), now),
                given_out_then: figures.given_out,
                free_then: figures.memory.free(),
            }),
            disk: disk.map(|limit| Disk::new(limit, &places, figures, now)),
        };
        let soon = gauges.disk.as_ref().is_some_and(|disk| disk.pace(0) < LOOK);
        let gauges = Mutex::new(gauges);
        let watch = Arc::new(Watch { init: Arc::clone(init), crossed: OnceLock::new(), places, gauges });
        if !state.running {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name("sandbox-watchdog".to_owned()).spawn(move || shared.run())?;
            state.thread = Some(thread.thread().clone());
            state.running = true;
        }
        let id = state.next;
        state.next += 1;
        state.trees.insert(id, Arc::clone(&watch));
        if soon && let Some(thread) = &state.thread {
            thread.unpark();
        }
        Ok(Watched { id, watch, shared: Arc::clone(&self.shared) })
    }
}

impl Watched {
    /// The limit for which the tree was ended, if it was.
    pub fn crossed(&self) -> Option<Limit> {
        self.watch.crossed.get().copied()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        lock(&self.shared.state).trees.remove(&self.id);
    }
}

impl Shared {
    /// The thread. Trees that come and go quickly are done before it looks, and have cost next to nothing.
    fn run(&self) {
        let mut pause = LOOK;
        loop {
            std::thread::park_timeout(pause);
            let Some((trees, figures)) = self.see() else { return };
            self.looks.fetch_add(1, Ordering::Relaxed);
            pause = trees.iter().map(|tree| self.look(tree, &figures)).min().unwrap_or(LOOK);
        }
    }

    /// The trees there are and the figures as they are; none if there are no trees, which is the end of the thread.
    fn see(&self) -> Option<(Vec<Arc<Watch>>, Figures)> {
        let mut state = lock(&self.state);
        if state.trees.is_empty() {
            state.running = false;
            return None;
        }
        let State { trees, figures, .. } = &mut *state;
        figures.see(trees.values().flat_map(|tree| &tree.places));
        Some((trees.values().cloned().collect(), figures.clone()))
    }

    /// Measures one tree if that is due. How long the next look may wait.
    fn look(&self, tree: &Watch, figures: &Figures) -> Duration {
        if tree.crossed.get().is_some() {
            return LOOK;
        }
        let Gauges { memory, disk } = &mut *lock(&tree.gauges);
        let (mut close, mut pace) = (false, LOOK);
        if let Some(Memory { gauge, given_out_then, free_then }) = memory {
            let (falls, now) = (figures.memory, Instant::now());
            let given_out = figures.given_out.saturating_sub(*given_out_then);
            if gauge.is_due(falls.total, now) || gauge.may_be_hidden(given_out, now) {
                *given_out_then = figures.given_out;
                self.measure_memory(tree, gauge, falls.total, free_then.saturating_sub(falls.free()));
            }
            close |= gauge.is_close(falls.total, falls.last);
        }
        if let Some(disk) = disk {
            let falls = figures.disks(&tree.places);
            if disk.under_way.is_some() || disk.gauge.is_due(falls.total, Instant::now()) {
                self.measure_disk(tree, disk, falls.total, falls.free());
            }
            close |= disk.gauge.is_close(falls.total, falls.last) || disk.under_way.is_some() && disk.first.is_some();
            pace = disk.pace(falls.total);
        }
        pace.min(if close { LOOK_CLOSELY } else { LOOK })
    }

    fn measure_memory(&self, tree: &Watch, gauge: &mut Gauge, fallen: u64, gone: u64) {
        let Some(init) = processes::pid_of(tree.init.as_fd()) else { return };
        self.memory_walks.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let used = memory::used(init, gauge.limit(), gone);
        if gauge.measured(used, fallen, began, began.elapsed()) {
            tree.end(Limit::Memory);
        }
    }

    fn measure_disk(&self, tree: &Watch, disk: &mut Disk, fallen: u64, free: u64) {
        let Some(init) = processes::pid_of(tree.init.as_fd()) else { return };
        let began = Instant::now();
        let mut under_way = disk.under_way.take().unwrap_or_else(|| {
            self.disk_walks.fetch_add(1, Ordering::Relaxed);
            let walk = Walk::new(tree.places.iter().map(|place| place.path.as_path()));
            UnderWay { walk, fallen, cost: Duration::ZERO }
        });
        let found = under_way.walk.step(ENTRIES);
        let found = found.map(|usage| with_held(init, tree, usage));
        under_way.cost += began.elapsed();
        match found {
            None => disk.under_way = Some(under_way),
            Some(usage) => {
                if disk.measured(&usage, &under_way, free) {
                    tree.end(Limit::Disk);
                }
            }
        }
    }
}

/// What was found, and the files without a name that the tree holds open on its file systems.
fn with_held(init: i32, tree: &Watch, mut usage: Usage) -> Usage {
    // Init is ours, and holds none.
    let pids = processes::of(init).split_off(1);
    let HeldFiles { files, closed, cut } = processes::held_files(&pids, DESCRIPTORS_MAX);
    let is_place = |device: u64| tree.places.iter().any(|place| place.device == device);
    let on_disk = |device: u64| usage.devices.contains(&device) || is_place(device);
    usage.bytes +=
        files.iter().filter(|file| !file.in_memory && on_disk(file.device)).map(|file| file.bytes).sum::<u64>();
    usage.hidden |= closed || cut;
    usage
}

impl Watch {
    /// Kills the tree for what it did.
    fn end(&self, limit: Limit) {
        let _ = self.crossed.set(limit);
        // The only failure is that there is nothing left to kill.
        let _ = sys::pidfd_kill(self.init.as_fd());
    }
}

impl Disk {
    fn new(limit: u64, places: &[Place], figures: &Figures, now: Instant) -> Self {
        let falls = figures.disks(places);
        let gauge = Gauge::new(limit, None, falls.total, None, now);
        Self { gauge, free_then: falls.free(), room: super::figures::room(places), first: None, under_way: None }
    }

    /// How long the next look may wait, when the figures have fallen by so much in all.
    fn pace(&self, fallen: u64) -> Duration {
        self.gauge.time_left(fallen, FASTEST).clamp(LOOK_LEAST, LOOK)
    }

    /// Takes note of a measurement. Whether the limit is crossed.
    fn measured(&mut self, usage: &Usage, under_way: &UnderWay, free: u64) -> bool {
        let first = *self.first.get_or_insert(usage.bytes);
        self.gauge.lower_to(first.saturating_add(self.room));
        // Who closes directories so that they cannot be measured is charged with all that has gone.
        let gone = if usage.hidden { self.free_then.saturating_sub(free) } else { 0 };
        let used = usage.bytes.max(first.saturating_add(gone));
        self.gauge.measured(used, under_way.fallen, Instant::now(), under_way.cost)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    /// A limit of 1000 for someone who may add 300, on a disk with 5000 free.
    fn disk(first: u64) -> Disk {
        let gauge = Gauge::new(1000, None, 0, None, Instant::now());
        let mut disk = Disk { gauge, free_then: 5000, room: 300, first: None, under_way: None };
        assert!(!measured(&mut disk, first, false, 5000));
        disk
    }

    fn measured(disk: &mut Disk, bytes: u64, hidden: bool, free: u64) -> bool {
        let usage = Usage { bytes, hidden, devices: Vec::new() };
        disk.measured(&usage, &UnderWay { walk: Walk::new([]), fallen: 0, cost: S }, free)
    }

    #[test]
    fn a_tree_may_add_no_more_than_there_is_room_for() {
        assert!(!measured(&mut disk(100), 400, false, 5000));
        assert!(measured(&mut disk(100), 401, false, 5000));
        assert!(measured(&mut disk(900), 1001, false, 5000));
    }

    #[test]
    fn what_others_take_is_nobody_elses_unless_it_hides_something() {
        assert!(!measured(&mut disk(100), 200, false, 0));
        assert!(!measured(&mut disk(100), 200, true, 4700));
        assert!(measured(&mut disk(100), 200, true, 4699));
    }
}
