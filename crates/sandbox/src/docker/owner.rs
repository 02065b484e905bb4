//! Whose a container is: a process of this machine, named so that no later process can be taken for it.

use std::collections::HashMap;
use std::fs;

/// The label that every container of ours has: the process that started it.
pub(super) const OWNER: &str = "dev.muster.owner";
/// The label with the boot and the process namespace in which that process is to be looked for.
const WORLD: &str = "dev.muster.world";

/// A process: its number, and when it started in clock ticks since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    started: u64,
}

impl Owner {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { pid, started: started(pid).unwrap_or_default() }
    }

    /// `pid-start`.
    pub fn text(self) -> String {
        format!("{}-{}", self.pid, self.started)
    }

    /// Reads what [`Owner::text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    /// Whether the process is still there.
    pub fn is_alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// The labels of this process's containers.
    pub fn labels(self) -> HashMap<String, String> {
        HashMap::from([(OWNER.to_owned(), self.text()), (WORLD.to_owned(), world())])
    }
}

/// Whether a container with these labels has outlived its owner. Of what was started where we cannot see processes,
/// nothing is known as long as it runs.
pub(super) fn is_left_behind(labels: &HashMap<String, String>, is_over: bool) -> bool {
    let owner = labels.get(OWNER).and_then(|text| Owner::parse(text));
    match labels.get(WORLD) {
        Some(theirs) if *theirs == world() => owner.is_none_or(|owner| !owner.is_alive()),
        _ => is_over,
    }
}

/// Field 22 of `/proc/PID/stat`, counted behind the name, which may contain anything.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn world() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let processes = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), processes.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_earlier_one_of_its_number_is_not() {
        let current = Owner::current();
        assert_eq!(Owner::parse(&current.text()), Some(current));
        assert!(current.is_alive());
        assert!(!Owner { started: current.started - 1, ..current }.is_alive());
    }

    #[test]
    fn only_what_outlived_its_owner_is_left_behind() {
        let mut labels = Owner::current().labels();
        assert!(!is_left_behind(&labels, false) && !is_left_behind(&labels, true));
        labels.insert(OWNER.to_owned(), "1-0".to_owned());
        assert!(is_left_behind(&labels, false));
        labels.insert(WORLD.to_owned(), "another machine".to_owned());
        assert!(!is_left_behind(&labels, false) && is_left_behind(&labels, true));
    }
}
