//! The cheap figures of the machine: available memory, memory ever given out, and free space of the file systems concerned.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::gauge::Falls;
use crate::sys;

/// What a tree leaves free on a file system that it fills: a twentieth, or this many bytes if that is less.
const FLOOR_BYTES: u64 = 1 << 30;

/// A directory or file that a tree may write in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub path: PathBuf,
    /// The file system that it is on.
    pub device: u64,
}

impl Place {
    /// None if there is no such path, in which nothing can be written then.
    pub fn of(path: PathBuf) -> Option<Self> {
        let device = fs::metadata(&path).ok()?.dev();
        Some(Self { path, device })
    }
}

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub memory: Falls,
    /// Bytes of memory that the machine has ever given out; never goes down, whatever is released.
    pub given_out: u64,
    /// By device.
    disks: BTreeMap<u64, Falls>,
}

impl Figures {
    /// A first look at the memory.
    pub fn first() -> Self {
        let mut figures = Self::default();
        figures.see_memory();
        figures
    }

    /// Takes in file systems that were of no concern so far.
    pub fn add(&mut self, places: &[Place]) {
        for place in places {
            if !self.disks.contains_key(&place.device)
                && let Ok(space) = sys::space(&place.path)
            {
                self.disks.entry(place.device).or_default().see(space.free);
            }
        }
    }

    /// Looks at everything again; file systems on which none of these places is are forgotten.
    pub fn see<'a>(&mut self, places: impl Iterator<Item = &'a Place>) {
        self.see_memory();
        // There are few file systems, however many places.
        let mut asked: Vec<(u64, bool)> = Vec::new();
        for place in places {
            let at = asked.iter().position(|(device, _)| *device == place.device).unwrap_or_else(|| {
                asked.push((place.device, false));
                asked.len() - 1
            });
            if !asked[at].1
                && let Ok(space) = sys::space(&place.path)
            {
                asked[at].1 = true;
                self.disks.entry(place.device).or_default().see(space.free);
            }
        }
        self.disks.retain(|device, _| asked.iter().any(|(asked, _)| asked == device));
    }

    fn see_memory(&mut self) {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        if let Some(bytes) = available(&meminfo) {
            self.memory.see(bytes);
        }
        self.given_out = given_out(&fs::read_to_string("/proc/vmstat").unwrap_or_default());
    }

    /// The figures of the file systems of these places together.
    pub fn disks(&self, places: &[Place]) -> Falls {
        let first = |at: usize| places[..at].iter().all(|before| before.device != places[at].device);
        let devices = (0..places.len()).filter(|at| first(*at)).map(|at| places[at].device);
        devices.filter_map(|device| self.disks.get(&device)).fold(Falls::default(), |sum, one| sum.and(one))
    }
}

/// How many bytes a tree may add in these places without filling a disk: all that is available but the floor, or half of
/// it where that is more.
pub(super) fn room(places: &[Place]) -> u64 {
    let by_device: BTreeMap<u64, &Place> = places.iter().map(|place| (place.device, place)).collect();
    let spaces = by_device.values().filter_map(|place| sys::space(&place.path).ok());
    spaces.map(|space| room_in(&space)).sum()
}

fn room_in(space: &sys::Space) -> u64 {
    let floor = FLOOR_BYTES.min(space.total / 20);
    space.available.saturating_sub(floor).max(space.available / 2)
}

/// The sum of `pgalloc_*` of `/proc/vmstat` (pages, one line for each zone), in bytes; 0 where that is not told.
fn given_out(vmstat: &str) -> u64 {
    let zones = vmstat.lines().filter_map(|line| line.strip_prefix("pgalloc_")?.split_once(' ')?.1.parse::<u64>().ok());
    zones.sum::<u64>().saturating_mul(sys::page_bytes())
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_out_is_the_sum_of_the_zones() {
        let text = "nr_free_pages 7\npgalloc_dma 1\npgalloc_normal 2\nallocstall_normal 9\n";
        assert_eq!(given_out(text), 3 * sys::page_bytes());
    }

    #[test]
    fn available_memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:    23130 kB\n"), Some(23130 << 10));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert!(Figures::first().memory.free() > 1 << 20);
    }

    #[test]
    fn a_tree_leaves_a_floor_or_half() {
        let space = |available, total| sys::Space { free: available, available, total };
        assert_eq!(room_in(&space(50 << 30, 100 << 30)), 49 << 30);
        assert_eq!(room_in(&space(10 << 20, 100 << 20)), 5 << 20);
        assert_eq!(room_in(&space(1 << 30, 100 << 30)), 1 << 29);
    }

    #[test]
    fn file_systems_come_and_go_with_the_places_on_them() {
        let place = Place::of(std::env::temp_dir()).unwrap();
        let mut figures = Figures::first();
        figures.add(std::slice::from_ref(&place));
        assert!(figures.disks(std::slice::from_ref(&place)).free() > 0);
        figures.see(std::iter::once(&place));
        assert_eq!(figures.disks.len(), 1);
        figures.see(std::iter::empty());
        assert!(figures.disks.is_empty());
        assert_eq!(Place::of("/nowhere".into()), None);
    }
}
