//! Control groups (cgroup v2): the kernel's own limits of a whole tree, where somebody has given us a part of them.
//!
//! A group is made for each sandbox that has such a limit, next to the group that we are in, or in the nearest group above
//! it that we may write in; its init is started in it, so that no process ever was outside. We never move ourselves, and
//! version 1 is not used: it cannot be delegated safely, nor entered at birth.
//!
//! Formats: the kernel's `Documentation/admin-guide/cgroup-v2.rst`.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::Limits;
use crate::sys;

/// How long the end of a killed sandbox is waited for before its group is removed, in milliseconds; it takes some ten.
const END_MS: i32 = 5_000;
/// The period over which `cpu.max` holds, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;
/// Groups of ours are called this, the number of our process, and a number of their own.
const PREFIX: &str = "muster-";

/// Where groups for sandboxes can be made, and what they can limit.
#[derive(Clone, Debug)]
pub struct Cgroups {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The group in which ours are made, or why there is none.
    root: Result<PathBuf, String>,
    controllers: Vec<Controller>,
    for_all: bool,
    next: AtomicU64,
    /// Groups whose processes were not gone yet when they were to be removed.
    left: Mutex<Vec<Left>>,
}

/// A group to be removed when this init is gone; without one, whenever that works.
#[derive(Debug)]
struct Left {
    dir: PathBuf,
    init: Option<Arc<OwnedFd>>,
}

/// What a group can limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
}

impl Controller {
    const ALL: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
        }
    }
}

impl Cgroups {
    /// Looks for a group that is ours to use: the nearest above our own in which groups can be made that have controllers.
    pub fn find() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let places = places(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
        let mut nearest = None;
        for place in places {
            let found = Self::at(&place);
            if !found.inner.controllers.is_empty() {
                return found;
            }
            nearest = nearest.or(Some(found));
        }
        nearest.unwrap_or_else(|| Self::new(Err("cgroup v2 is not mounted".to_owned()), Vec::new(), false))
    }

    /// The same, with this group as the one in which ours are made.
    pub fn at(root: &Path) -> Self {
        Self::with(root, false)
    }

    /// The same, and every sandbox gets a group, also if there is nothing that it could limit: for those who want to see,
    /// count or kill each of them by its group.
    pub fn for_all(root: &Path) -> Self {
        Self::with(root, true)
    }

    /// None at all.
    pub fn none() -> Self {
        Self::new(Err("control groups are not used".to_owned()), Vec::new(), false)
    }

    fn new(root: Result<PathBuf, String>, controllers: Vec<Controller>, for_all: bool) -> Self {
        let inner = Inner { root, controllers, for_all, next: AtomicU64::new(0), left: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    fn with(root: &Path, for_all: bool) -> Self {
        sweep(root);
        if let Err(error) = probe(root) {
            let why = format!("no control group can be made in {}: {error}", root.display());
            return Self::new(Err(why), Vec::new(), for_all);
        }
        Self::new(Ok(root.to_owned()), enabled(root), for_all)
    }

    /// What is missing for limits of memory, processes and processor time of a whole tree, in words; none if nothing is.
    pub fn missing(&self) -> Option<String> {
        let root = match &self.inner.root {
            Ok(root) => root,
            Err(why) => return Some(why.clone()),
        };
        let missing: Vec<&str> =
            Controller::ALL.into_iter().filter(|one| !self.has(*one)).map(Controller::name).collect();
        let there = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let there = if there.trim().is_empty() { "none" } else { there.trim() };
        (!missing.is_empty()).then(|| {
            format!("cgroup v2 at {} does not give us {} (it has: {there})", root.display(), missing.join(", "))
        })
    }

    pub(super) fn is_for_all(&self) -> bool {
        self.inner.for_all
    }

    pub(super) fn has(&self, controller: Controller) -> bool {
        self.inner.controllers.contains(&controller)
    }

    /// Makes a group that limits what it can of this.
    pub(super) fn leaf(&self, limits: &Limits) -> io::Result<Leaf> {
        self.remove_left();
        let root = self.inner.root.as_ref().map_err(|why| io::Error::other(why.clone()))?;
        let number = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let dir = root.join(format!("{PREFIX}{}-{number}", std::process::id()));
        fs::create_dir(&dir)?;
        let leaf = Leaf { dir, init: None, home: Arc::clone(&self.inner) };
        for (file, value) in settings(limits, |controller| self.has(controller)) {
            match fs::write(leaf.dir.join(file), value) {
                // Kernels without swap have no such file.
                Err(_) if file == "memory.swap.max" => {}
                written => written?,
            }
        }
        Ok(leaf)
    }

    fn remove_left(&self) {
        lock(&self.inner.left).retain(|left| fs::remove_dir(&left.dir).is_err_and(|error| is_busy(&error)));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for left in lock(&self.left).drain(..) {
            if let Some(init) = &left.init {
                sys::readable(init.as_fd(), Some(END_MS));
            }
            // Whatever remains is swept away by the next of our processes.
            let _ = fs::remove_dir(&left.dir);
        }
    }
}

impl fmt::Display for Cgroups {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.missing(), &self.inner.root) {
            (None, Ok(root)) => write!(out, "cgroup v2 at {}", root.display()),
            (missing, _) => out.write_str(&missing.unwrap_or_default()),
        }
    }
}

/// The group of one sandbox; dropping it removes it, as soon as nothing is in it any more.
#[derive(Debug)]
pub(super) struct Leaf {
    dir: PathBuf,
    init: Option<Arc<OwnedFd>>,
    home: Arc<Inner>,
}

impl Leaf {
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// This is the init that was started in it.
    pub fn holds(&mut self, init: &Arc<OwnedFd>) {
        self.init = Some(Arc::clone(init));
    }

    /// Kills everything in it.
    pub fn kill(&self) {
        let _ = fs::write(self.dir.join("cgroup.kill"), "1");
    }

    /// Whether anything in it was killed because its memory was used up.
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.dir.join("memory.events")).unwrap_or_default();
        events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        if fs::remove_dir(&self.dir).is_err_and(|error| is_busy(&error)) {
            let left = Left { dir: std::mem::take(&mut self.dir), init: self.init.take() };
            lock(&self.home.left).push(left);
        }
    }
}

/// What is written in which file of a new group.
fn settings(limits: &Limits, has: impl Fn(Controller) -> bool) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let Some(bytes) = limits.tree_memory_bytes.filter(|_| has(Controller::Memory)) {
        settings.push(("memory.max", bytes.to_string()));
        settings.push(("memory.swap.max", "0".to_owned()));
        // Half a tree is worse than none.
        settings.push(("memory.oom.group", "1".to_owned()));
    }
    if has(Controller::Pids) {
        settings.push(("pids.max", limits.processes.to_string()));
    }
    if let Some(percent) = limits.cpu_percent.filter(|_| has(Controller::Cpu)) {
        settings.push(("cpu.max", format!("{} {PERIOD_US}", u64::from(percent) * PERIOD_US / 100)));
    }
    settings
}

/// The groups in which ours could stand, nearest first: those above our own, or the root if that is our own.
fn places(mountinfo: &str, own: &str) -> Vec<PathBuf> {
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) else { return Vec::new() };
    // `id parent device root mountpoint options … - type source options`
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        (kind.split(' ').next() == Some("cgroup2")).then_some((words.next()?, words.next()?))
    });
    for (root, point) in mounts {
        let Ok(below) = Path::new(own).strip_prefix(root) else { continue };
        let above: Vec<PathBuf> = below.ancestors().skip(1).map(|above| Path::new(point).join(above)).collect();
        return if above.is_empty() { vec![PathBuf::from(point)] } else { above };
    }
    Vec::new()
}

/// Whether a group can be made here and processes brought into it, found out by doing.
fn probe(root: &Path) -> io::Result<()> {
    let probe = root.join(format!("{PREFIX}{}-probe", std::process::id()));
    fs::OpenOptions::new().write(true).open(root.join("cgroup.procs"))?;
    fs::create_dir(&probe)?;
    fs::remove_dir(&probe)
}

/// The controllers that groups made here get; those that are not given on yet are, if that may be.
fn enabled(root: &Path) -> Vec<Controller> {
    let given = root.join("cgroup.subtree_control");
    let has = |file: &Path, one: Controller| {
        fs::read_to_string(file).unwrap_or_default().split_ascii_whitespace().any(|name| name == one.name())
    };
    let there = root.join("cgroup.controllers");
    for one in Controller::ALL.into_iter().filter(|one| has(&there, *one) && !has(&given, *one)) {
        // Refused where processes stand in the group itself.
        let _ = fs::write(&given, format!("+{}", one.name()));
    }
    Controller::ALL.into_iter().filter(|one| has(&given, *one)).collect()
}

/// Removes groups of processes of ours that died without doing so. What still has processes in it stays.
fn sweep(root: &Path) {
    let Ok(groups) = fs::read_dir(root) else { return };
    for group in groups.flatten() {
        let name = group.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir(group.path());
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBUSY)
}

fn lock(left: &Mutex<Vec<Left>>) -> std::sync::MutexGuard<'_, Vec<Left>> {
    left.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 1 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
27 25 0:24 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
";

    /// A directory that stands for a group with these controllers.
    fn group(controllers: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [("cgroup.controllers", controllers), ("cgroup.subtree_control", ""), ("cgroup.procs", "")]
        {
            fs::write(dir.path().join(file), text).unwrap();
        }
        dir
    }

    #[test]
    fn groups_stand_next_to_our_own_or_above() {
        let places = |own: &str| places(HYBRID, own);
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(places("4:memory:/x\n0::/\n"), paths(&["/sys/fs/cgroup/unified"]));
        assert_eq!(places("0::/a\n"), paths(&["/sys/fs/cgroup/unified"]));
        assert_eq!(places("0::/a/b\n"), paths(&["/sys/fs/cgroup/unified/a", "/sys/fs/cgroup/unified/"]));
        assert_eq!(super::places("26 25 0:23 / /c rw - cgroup cgroup rw", "0::/a\n"), paths(&[]));
        assert_eq!(super::places("26 25 0:23 /a /c rw - cgroup2 none rw", "0::/a/b/c\n"), paths(&["/c/b", "/c/"]));
        assert_eq!(places("4:memory:/x\n"), paths(&[]));
    }

    #[test]
    fn what_is_missing_is_told_by_name() {
        let root = group("hugetlb memory");
        fs::write(root.path().join("cgroup.subtree_control"), "memory").unwrap();
        let missing = Cgroups::at(root.path()).missing().unwrap();
        assert!(missing.ends_with("does not give us pids, cpu (it has: hugetlb memory)"), "{missing}");
        let missing = Cgroups::at(Path::new("/nowhere")).missing().unwrap();
        assert!(missing.starts_with("no control group can be made in /nowhere: No such file"), "{missing}");
        fs::write(root.path().join("cgroup.subtree_control"), "cpu pids memory").unwrap();
        assert_eq!(Cgroups::at(root.path()).missing(), None);
    }

    #[test]
    fn a_group_gets_its_limits() {
        let root = group("memory pids cpu");
        fs::write(root.path().join("cgroup.subtree_control"), "cpu pids memory").unwrap();
        let limits =
            Limits { tree_memory_bytes: Some(1 << 30), cpu_percent: Some(150), processes: 64, ..Limits::default() };
        let leaf = Cgroups::at(root.path()).leaf(&limits).unwrap();
        let read = |file: &str| fs::read_to_string(leaf.dir().join(file)).unwrap_or_default();
        assert_eq!(read("memory.max"), "1073741824");
        assert_eq!((read("memory.swap.max"), read("memory.oom.group")), ("0".into(), "1".into()));
        assert_eq!((read("pids.max"), read("cpu.max")), ("64".into(), "150000 100000".into()));
        fs::write(leaf.dir().join("memory.events"), "low 0\nmax 9\noom 1\noom_kill 0\noom_group_kill 0\n").unwrap();
        assert!(!leaf.ran_out_of_memory());
        fs::write(leaf.dir().join("memory.events"), "low 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1\n").unwrap();
        assert!(leaf.ran_out_of_memory());
        leaf.kill();
        assert_eq!(read("cgroup.kill"), "1");
    }

    #[test]
    fn groups_of_dead_processes_are_swept_away() {
        let root = group("");
        let ours = root.path().join(format!("muster-{}-7", std::process::id()));
        let other = root.path().join("other-1-2");
        // Above the largest number that a process can have.
        let dead = root.path().join("muster-4194305-0");
        [&ours, &other, &dead].iter().for_each(|dir| fs::create_dir(dir).unwrap());
        let _ = Cgroups::at(root.path());
        assert!(ours.exists() && other.exists() && !dead.exists());
    }
}
