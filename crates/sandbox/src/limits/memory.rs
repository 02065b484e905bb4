//! How much memory a whole sandbox uses that the kernel cannot take back: anonymous and shared memory, in RAM or swap.
//!
//! Pages of files on disk do not count: they are dropped when memory gets short. First a sum that counts shared pages for
//! everyone who has them, which is cheap and never too low; only if that is too much, the exact one, in which they count
//! once for all. Not seen are System V segments that nobody has attached (a policy must allow those by name), descriptors on
//! their way through a socket, and shared pages that no mapping shows any more; a control group sees them.

use std::fs;

use super::processes::{self, DESCRIPTORS_MAX, Held, HeldFiles};

/// What the sandbox of this init uses, in bytes; exact only if it seems to be more than `limit`. If it has so many descriptors
/// that not all are looked at, it is charged with `gone`: all that the machine has lost since the sandbox began.
pub(super) fn used(init: i32, limit: u64, gone: u64) -> u64 {
    let pids = processes::of(init);
    let HeldFiles { mut files, closed: _, cut } = processes::held_files(&pids, DESCRIPTORS_MAX);
    let least = if cut { gone } else { 0 };
    files.retain(|file| file.in_memory);
    let in_files: u64 = files.iter().map(|file| file.bytes).sum();
    let rough = in_files + pids.iter().map(|pid| at_most(*pid)).sum::<u64>();
    if rough <= limit {
        return rough.max(least);
    }
    let shares = pids.iter().map(|pid| share(*pid).unwrap_or_else(|| at_most(*pid))).sum::<u64>();
    // A file in memory that is also mapped is in both; the processes' share of it is left out.
    let twice = if in_files == 0 { 0 } else { pids.iter().map(|pid| mapped(*pid, &files)).sum::<u64>() };
    (in_files + shares.saturating_sub(twice)).max(least)
}

/// What one process uses, with what it shares.
fn at_most(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    fields(&status, &["RssAnon", "RssShmem", "VmSwap"])
}

/// What one process uses, with its share of what it shares; none where that is not told.
fn share(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.contains("\nPss_Anon:").then(|| fields(&rollup, &["Pss_Anon", "Pss_Shmem", "SwapPss"]))
}

/// A process's share of these files.
fn mapped(pid: i32, files: &[Held]) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    let mut counts = false;
    let mut sum = 0;
    for line in maps.lines() {
        if let Some(mapped) = file_of_mapping(line) {
            counts = files.iter().any(|file| (file.device, file.inode) == mapped);
        } else if counts && line.starts_with("Pss:") {
            sum += fields(line, &["Pss"]);
        }
    }
    sum
}

/// Device and inode in the first line of a mapping: `from-to rwxp offset device inode path`.
fn file_of_mapping(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    words.next()?.split_once('-')?;
    let (major, minor) = words.nth(2)?.split_once(':')?;
    let number = |hex| u32::from_str_radix(hex, 16).ok();
    Some((libc::makedev(number(major)?, number(minor)?), words.next()?.parse().ok()?))
}

/// The sum of these fields (`Name:  12 kB`), in bytes.
fn fields(text: &str, names: &[&str]) -> u64 {
    let kibibytes = |line: &str| {
        let (name, value) = line.split_once(':')?;
        names.contains(&name).then(|| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())?
    };
    text.lines().filter_map(kibibytes).sum::<u64>() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_up_in_bytes() {
        let text = "VmRSS:\t   9 kB\nRssAnon:\t       3 kB\nRssFile: 5 kB\nVmSwap:\t2 kB\nThreads: 3\n";
        assert_eq!(fields(text, &["RssAnon", "RssShmem", "VmSwap", "Threads"]), 5 << 10);
    }

    #[test]
    fn mappings_tell_their_file() {
        let line = "7f1c-7f1d rw-s 00000000 fe:1a 1234    /memfd:a b (deleted)";
        assert_eq!(file_of_mapping(line), Some((libc::makedev(0xfe, 0x1a), 1234)));
        assert_eq!(file_of_mapping("Pss:                   4 kB"), None);
    }

    #[test]
    fn a_process_uses_memory_and_its_share_is_not_more() {
        let ours = i32::try_from(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        assert!(at_most(ours) >= 64 << 20);
        assert!(share(ours).unwrap() >= 64 << 20);
        assert_eq!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
    }
}
