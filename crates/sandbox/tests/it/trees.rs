//! Limits of a whole tree hold, for a caller who is root and for one who is not; in a control group and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{Cgroups, Exit, Launch, Launcher, Layer, presets};
use tempfile::TempDir;

use crate::{KIT, ORDINARY};

const MIB: u64 = 1 << 20;

/// A caller of its own: the watchdog is in the process that launches.
pub struct Caller {
    pub prelude: Vec<String>,
    dir: TempDir,
}

/// Runs a test with root as the caller, if the tests run as root, and with an ordinary user.
pub fn each(test: impl Fn(&Caller)) {
    if crate::is_root() {
        test(&Caller::new(Vec::new(), 0));
        test(&Caller::new(vec!["as".to_owned(), ORDINARY.to_string()], ORDINARY));
    } else {
        test(&Caller::new(Vec::new(), unsafe { libc::geteuid() }));
    }
}

impl Caller {
    fn new(prelude: Vec<String>, uid: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        fs::copy(KIT, dir.path().join("kit")).unwrap();
        for path in [dir.path(), &dir.path().join("work")] {
            std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
        }
        Self { prelude, dir }
    }

    /// What the kit says.
    fn kit(&self, args: &[&str]) -> String {
        let told = Command::new(self.path("kit")).args(&self.prelude).args(args).output().unwrap();
        assert!(told.status.success(), "{told:?}");
        String::from_utf8(told.stdout).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn uid(&self) -> u32 {
        if self.prelude.is_empty() { unsafe { libc::geteuid() } } else { ORDINARY }
    }

    /// How a program ended that used something `count` times with `bytes` each.
    fn uses(&self, limits: (Option<u64>, Option<u64>), how: &str, what: &str, count: u64, bytes: u64) -> String {
        let limit = |limit: Option<u64>| limit.map_or("-".to_owned(), |bytes| bytes.to_string());
        let (memory, disk) = (limit(limits.0), limit(limits.1));
        let (count, bytes) = (count.to_string(), bytes.to_string());
        let dir = self.dir.path().to_str().unwrap();
        self.kit(&["watched", &memory, &disk, dir, how, "/opt/kit", "use", what, &count, &bytes])
    }

    fn uses_memory(&self, what: &str, count: u64, bytes: u64) -> String {
        self.uses((Some(256 * MIB), None), "alone", what, count, bytes)
    }

    fn uses_disk(&self, what: &str, count: u64, bytes: u64) -> String {
        self.uses((None, Some(64 * MIB)), "alone", what, count, bytes)
    }
}

#[test]
fn many_processes_that_are_each_below_their_own_limit() {
    each(|caller| assert_eq!(caller.uses_memory("memory", 12, 40 * MIB), "Limit(Memory)\n"));
}

#[test]
fn processes_that_left_their_parent_and_session() {
    each(|caller| assert_eq!(caller.uses_memory("hidden-memory", 12, 40 * MIB), "Limit(Memory)\n"));
}

#[test]
fn memory_that_forks_share() {
    each(|caller| assert_eq!(caller.uses_memory("memory-in-common", 4, 120 * MIB), "Limit(Memory)\n"));
}

#[test]
fn files_in_memory_that_nobody_maps() {
    each(|caller| assert_eq!(caller.uses_memory("memory-files", 12, 40 * MIB), "Limit(Memory)\n"));
}

#[test]
fn what_many_share_counts_once_and_others_do_not_count() {
    each(|caller| {
        let limits = (Some(256 * MIB), None);
        assert_eq!(caller.uses(limits, "among-others", "one-memory", 10, 100 * MIB), "Code(0)\n");
    });
}

#[test]
fn many_files() {
    each(|caller| assert_eq!(caller.uses_disk("files", 50, 4 * MIB), "Limit(Disk)\n"));
}

#[test]
fn files_that_have_no_name_any_more() {
    each(|caller| assert_eq!(caller.uses_disk("files-without-names", 50, 4 * MIB), "Limit(Disk)\n"));
}

#[test]
fn files_of_a_process_that_shows_nothing() {
    each(|caller| assert_eq!(caller.uses_disk("files-of-a-hidden-process", 50, 4 * MIB), "Limit(Disk)\n"));
}

#[test]
fn files_in_a_directory_that_its_owner_closed() {
    each(|caller| {
        assert_eq!(caller.uses_disk("closed-files", 50, 4 * MIB), "Limit(Disk)\n");
        fs::set_permissions(caller.path("work/closed"), fs::Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn sparse_files_names_links_and_others_do_not_count() {
    each(|caller| {
        let limits = (None, Some(64 * MIB));
        assert_eq!(caller.uses(limits, "among-others", "little", 20, 8 * MIB), "Code(0)\n");
    });
}

#[test]
fn idle_sandboxes_are_left_alone() {
    each(|caller| {
        let huge = (1_u64 << 50).to_string();
        let dir = caller.dir.path().to_str().unwrap();
        // What their directories hold has to be known once.
        assert_eq!(caller.kit(&["idle", &huge, &huge, dir, "10"]), "memory 0 disk 10 then 0\n");
    });
}

/// A control group of the tests, in the version 2 tree of this host, delegated to a user.
pub struct Delegated(PathBuf);

impl Delegated {
    /// None where there is no such tree or nothing can be made in it.
    pub fn new(uid: u32) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            (words.next()? == "cgroup2").then_some(place)
        })?;
        let root = Path::new(mount).join(crate::token());
        fs::create_dir(&root).ok()?;
        fs::create_dir(root.join("callers")).unwrap();
        for path in [&root, &root.join("cgroup.procs"), &root.join("callers"), &root.join("callers/cgroup.procs")] {
            std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
        }
        Some(Self(root))
    }

    pub fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Fails, and so does the test, when a group of a sandbox is left.
        let removed = fs::remove_dir(self.0.join("callers")).and_then(|()| fs::remove_dir(&self.0));
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

#[test]
fn a_group_is_entered_killed_and_removed() {
    each(|caller| {
        let Some(delegated) = Delegated::new(caller.uid()) else {
            eprintln!("not tried: no group can be made on this host");
            return;
        };
        let root = delegated.0.to_str().unwrap();
        let script = r#"echo $$ > "$1/callers/cgroup.procs" && shift && exec "$@""#;
        let told = Command::new("sh")
            .args(["-c", script, "sh", root])
            .arg(caller.path("kit"))
            .args(&caller.prelude)
            .args(["grouped", root])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&told.stdout);
        assert_eq!(said, "2 inside, Killed, 0 groups, 0 at the end\n", "{told:?}");
    });
}

#[test]
fn processor_time_of_a_tree_needs_a_group_unless_given_up() {
    let launcher = Launcher::with_cgroups(vec![KIT.into(), "__sandbox".into()], Cgroups::none()).unwrap();
    let mut policy = presets::tool();
    policy.limits.cpu_percent = Some(50);
    let mut launch = Launch { policy, program: "true".into(), args: vec![], cwd: "/".into() };
    let refusal = launcher.launch(&launch).unwrap_err().to_string();
    assert!(refusal.contains("cpu_percent needs a control group, and control groups are not used"), "{refusal}");
    launch.policy.allow_degraded = vec![Layer::Cgroup];
    assert_eq!(launcher.launch(&launch).unwrap().tree.wait(), Exit::Code(0));
    launch.policy.limits.disk_bytes = Some(0);
    assert!(launcher.launch(&launch).unwrap_err().to_string().contains("cannot be 0"));
}

#[test]
fn what_this_host_gives_is_told() {
    let cgroups = Cgroups::find();
    assert_eq!(cgroups.missing().unwrap_or_else(|| cgroups.to_string()), cgroups.to_string());
    assert!(cgroups.to_string().contains("group"), "{cgroups}");
    eprintln!("{cgroups}");
}
