//! What limits of a whole tree cost, and how far they are overrun: the processor time of the watchdog with many idle
//! sandboxes, the cost of a launch with and without them, and what a memory bomb and a disk fill reach before their end.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::{Bind, Cgroups, Launch, Launcher, Policy, presets};

const IDLE: usize = 200;
const ROUNDS: usize = 200;
const MIB: u64 = 1 << 20;

fn main() {
    sandbox::raise_open_files().unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("work")).unwrap();
    launches(dir.path());
    idle(dir.path());
    for limit in [1024, 4096] {
        memory_bomb(limit * MIB);
    }
    for limit in [256, 2048] {
        disk_fill(dir.path(), limit * MIB);
    }
}

fn launcher(cgroups: Cgroups) -> Launcher {
    let command = vec![env!("CARGO_BIN_EXE_sandbox-kit").into(), "__sandbox".into()];
    Launcher::with_cgroups(command, cgroups).unwrap()
}

fn policy(memory: Option<u64>, disk: Option<u64>, work: Option<&Path>) -> Policy {
    let mut policy = presets::tool();
    policy.limits.tree_memory_bytes = memory;
    policy.limits.disk_bytes = disk;
    policy.filesystem.binds.extend(work.map(|work| Bind::write_execute(work, "/work")));
    policy
}

fn launch(policy: Policy, command: &[&str]) -> Launch {
    let args = command[1..].iter().map(Into::into).collect();
    Launch { policy, program: command[0].into(), args, cwd: "/".into() }
}

/// From launch to end of `/bin/true`, in turns.
fn launches(dir: &Path) {
    let work = dir.join("work");
    let without = launch(policy(None, None, Some(&work)), &["true"]);
    let with = launch(policy(Some(16 << 30), Some(64 << 30), Some(&work)), &["true"]);
    let watched = launcher(Cgroups::none());
    let grouped = group().map(|group| (launcher(Cgroups::for_all(&group)), group));
    let mut methods: Vec<(&str, &Launcher, &Launch)> =
        vec![("without", &watched, &without), ("watchdog: memory and disk", &watched, &with)];
    methods.extend(grouped.as_ref().map(|(launcher, _)| ("control group without controllers", launcher, &without)));
    let mut times = vec![Vec::new(); methods.len()];
    for _ in 0..ROUNDS {
        for ((_, launcher, launch), times) in methods.iter().zip(&mut times) {
            let started = Instant::now();
            launcher.launch(launch).unwrap().tree.wait();
            times.push(started.elapsed());
        }
    }
    for ((name, ..), times) in methods.iter().zip(&mut times) {
        times.sort_unstable();
        println!(
            "launch to end, {name:34} p10 {:>9.2?}  median {:>9.2?}  p95 {:>9.2?}",
            times[ROUNDS / 10],
            times[ROUNDS / 2],
            times[ROUNDS * 95 / 100]
        );
    }
    if let Some((launcher, group)) = grouped {
        drop(launcher);
        fs::remove_dir(group).unwrap();
    }
}

/// A group of our own in a cgroup v2 tree, where there is one.
fn group() -> Option<std::path::PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts.lines().find_map(|line| line.split_once(" cgroup2 ")?.0.split(' ').nth(1))?;
    let group = Path::new(mount).join(format!("bench-{}", std::process::id()));
    fs::create_dir(&group).ok().map(|()| group)
}

fn idle(dir: &Path) {
    let launcher = launcher(Cgroups::none());
    let work = dir.join("work");
    let launch = launch(policy(Some(16 << 30), Some(64 << 30), Some(&work)), &["cat"]);
    let sandboxes: Vec<_> = (0..IDLE).map(|_| launcher.launch(&launch).unwrap()).collect();
    // Until all directories were measured once.
    while launcher.watch_counts().disk_walks < IDLE as u64 {
        std::thread::yield_now();
    }
    let (before, started, used) = (launcher.watch_counts(), Instant::now(), watchdog_time());
    // The clock is one more sandbox, which nobody watches.
    let mut clock = policy(None, None, None);
    clock.limits.wall_ms = Some(10_000);
    launcher.launch(&self::launch(clock, &["sleep", "1000"])).unwrap().tree.wait();
    let (after, used) = (launcher.watch_counts(), watchdog_time() - used);
    println!(
        "{IDLE} idle sandboxes for {:.1} s: {} looks, {} measurements, {:.2?} of processor time: {:.4} % of a core",
        started.elapsed().as_secs_f64(),
        after.looks - before.looks,
        after.memory_walks + after.disk_walks - before.memory_walks - before.disk_walks,
        used,
        used.as_secs_f64() / started.elapsed().as_secs_f64() * 100.0
    );
    drop(sandboxes);
}

/// Processor time of all our threads with the name of the watchdog.
fn watchdog_time() -> Duration {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let ours =
        threads.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "sandbox-watchdo\n"));
    let nanoseconds = |path: std::path::PathBuf| -> u64 {
        fs::read_to_string(path.join("schedstat")).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    Duration::from_nanos(ours.map(nanoseconds).sum())
}

/// The most that was used is told by a sampler of the machine's available memory.
fn memory_bomb(limit: u64) {
    let launcher = launcher(Cgroups::none());
    let mut policy = policy(Some(limit), None, None);
    let kit = env!("CARGO_BIN_EXE_sandbox-kit");
    policy.filesystem.binds.push(Bind::read_execute(kit, "/opt/kit"));
    // Sixteen processes that together want eight times the limit.
    let each = (limit / 2).to_string();
    let before = available();
    let mut least = before;
    let started = Instant::now();
    let mut sandboxed = launcher.launch(&launch(policy, &["/opt/kit", "use", "memory", "16", &each])).unwrap();
    let exit = loop {
        least = least.min(available());
        if let Some(exit) = sandboxed.tree.try_wait() {
            break exit;
        }
    };
    println!(
        "memory bomb, limit {} MiB: {exit:?} after {:.0?}, used at most {} MiB",
        limit / MIB,
        started.elapsed(),
        before.saturating_sub(least) / MIB
    );
}

fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn disk_fill(dir: &Path, limit: u64) {
    let launcher = launcher(Cgroups::none());
    let work = dir.join("work");
    let policy = policy(None, Some(limit), Some(&work));
    let script = "i=0; while :; do head -c 20000000 /dev/zero > /work/$i; i=$((i+1)); done";
    let started = Instant::now();
    let mut sandboxed = launcher.launch(&launch(policy, &["sh", "-c", script])).unwrap();
    File::from(sandboxed.stdout).read_to_end(&mut Vec::new()).unwrap();
    let exit = sandboxed.tree.wait();
    let files = fs::read_dir(&work).unwrap().map(|file| file.unwrap());
    let held: u64 =
        files.map(|file| (file.metadata().unwrap().blocks() * 512, fs::remove_file(file.path()).unwrap()).0).sum();
    println!(
        "disk fill, limit {} MiB: {exit:?} after {:.0?}, {} MiB on disk",
        limit / MIB,
        started.elapsed(),
        held / MIB
    );
}
