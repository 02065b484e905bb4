//! What a filter has refused, counted by init and read by the caller.
//!
//! Init writes one counter for each number of a system call into a small file in memory that both share, so the caller
//! can look at any time, also when everything inside is gone, and a flood of refusals takes up no room.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::calls::Arch;
use crate::groups::NEVER;

/// Numbers of system calls that are counted, from 0; the kernel has less than 500.
pub const CALLS_MAX: usize = 512;

/// A system call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Its name (`ptrace`).
    pub syscall: &'static str,
    /// How often.
    pub count: u32,
    /// Whether a policy could allow it.
    pub allowable: bool,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { syscall, count, allowable } = self;
        let times = if *count == 1 { String::new() } else { format!(" {count} times") };
        write!(f, "refused{times}: `{syscall}` (system call), ")?;
        match (*allowable, *syscall) {
            (false, _) => f.write_str("which is never allowed in a sandbox"),
            (true, "fork" | "vfork" | "clone" | "execve" | "execveat") => {
                f.write_str("which starts processes or makes namespaces; to allow children use processes: tree")
            }
            (true, _) => write!(f, "not in allowed_syscalls; to allow it add `{syscall}` there"),
        }
    }
}

/// The counters.
#[derive(Debug)]
pub struct Denials(File);

impl Denials {
    /// The counters in this file.
    pub fn new(file: OwnedFd) -> Self {
        Self(File::from(file))
    }

    /// The file that they are in.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sets the counter of one call. Wrong numbers count as nothing.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&self, number: usize, count: u32) -> io::Result<()> {
        if number < CALLS_MAX { self.0.write_all_at(&count.to_le_bytes(), 4 * number as u64) } else { Ok(()) }
    }

    /// All that were refused so far, by number.
    pub fn read(&self) -> Vec<Denial> {
        let mut bytes = [0; 4 * CALLS_MAX];
        let mut filled = 0;
        // What was never written reads as nothing.
        while let Ok(read @ 1..) = self.0.read_at(&mut bytes[filled..], filled as u64) {
            filled += read;
        }
        let counts = bytes.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        counts.enumerate().filter(|(_, count)| *count > 0).filter_map(|(number, count)| denial(number, count)).collect()
    }
}

fn denial(number: usize, count: u32) -> Option<Denial> {
    let syscall = Arch::HOST?.name(u32::try_from(number).ok()?)?;
    Some(Denial { syscall, count, allowable: !NEVER.contains(&syscall) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_back_with_names_and_advice() {
        let denials = Denials::new(tempfile::tempfile().unwrap().into());
        assert_eq!(denials.read(), []);
        denials.write(libc::SYS_ptrace as usize, 2).unwrap();
        denials.write(libc::SYS_memfd_create as usize, 1).unwrap();
        denials.write(CALLS_MAX + 7, 1).unwrap();
        let mut texts: Vec<String> = denials.read().iter().map(ToString::to_string).collect();
        texts.sort();
        assert_eq!(
            texts,
            [
                "refused 2 times: `ptrace` (system call), which is never allowed in a sandbox",
                "refused: `memfd_create` (system call), not in allowed_syscalls; to allow it add `memfd_create` there",
            ]
        );
    }
}
