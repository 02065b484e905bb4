//! Many launches and kills in a row by one caller, which counts what it holds before and after: descriptors, threads,
//! children, those of its launcher, and control groups.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::{Cgroups, Launch, Launcher, Network, presets};

/// How long one end may take, in milliseconds; it takes about ten.
const PATIENCE_MS: i32 = 20_000;

/// Launches and kills, and prints what is held: `what before after`, a line each, then `ready`; ends when its input does.
/// `token` is in the environment of all that runs inside; each sandbox gets a group below `groups`, if that is a folder.
pub fn launches(count: usize, token: &str, groups: &str) {
    let exe = std::env::current_exe().unwrap();
    let cgroups = if groups == "-" { Cgroups::none() } else { Cgroups::for_all(Path::new(groups)) };
    let launcher = Launcher::with_cgroups(vec![exe.into(), "__sandbox".into(), token.into()], cgroups).unwrap();
    // The first one makes what stays: the threads that watch, the launcher's own descriptors.
    kill(&launcher, token, 0);
    let before = census_when_quiet(groups);
    (1..count).for_each(|turn| kill(&launcher, token, turn));
    // The group of one that was dropped is removed when the next one is launched; this one is waited for.
    kill(&launcher, token, 0);
    let after = census_when_quiet(groups);
    for (what, before) in &before {
        println!("{what} {before} {}", after[what]);
    }
    println!("ready");
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

/// One sandbox with a child that hides: killed at once, killed at work, or dropped; then it is waited for.
fn kill(launcher: &Launcher, token: &str, turn: usize) {
    let mut policy = presets::agent_cli();
    policy.network = Network::Gateway;
    policy.env.insert("TOKEN".to_owned(), token.to_owned());
    let script = "setsid sh -c 'trap \"\" TERM HUP; sleep 1000' & echo ready; sleep 1000";
    let launch = Launch { policy, program: "sh".into(), args: vec!["-c".into(), script.into()], cwd: "/".into() };
    let mut sandboxed = launcher.launch(&launch).unwrap();
    let exit = sandboxed.tree.exit_fd().try_clone_to_owned().unwrap();
    if turn.is_multiple_of(3) {
        let mut line = String::new();
        BufReader::new(File::from(sandboxed.stdout.try_clone().unwrap())).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }
    if turn.is_multiple_of(2) {
        sandboxed.tree.kill();
        sandboxed.tree.wait();
    }
    drop(sandboxed);
    let mut polled = libc::pollfd { fd: exit.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    assert_eq!(unsafe { libc::poll(&raw mut polled, 1, PATIENCE_MS) }, 1, "launch {turn} does not end");
}

/// The end of a sandbox is told when its init is dead; the launcher takes the dead off the list a moment later. One that it never takes
/// off is counted.
fn census_when_quiet(groups: &str) -> BTreeMap<&'static str, usize> {
    let deadline = Instant::now() + Duration::from_millis(PATIENCE_MS as u64);
    while !children(launcher_of_ours()).is_empty() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    census(groups)
}

fn census(groups: &str) -> BTreeMap<&'static str, usize> {
    let (own, launchers, launcher) = (std::process::id(), children(std::process::id()), launcher_of_ours());
    let entries = |path: String| fs::read_dir(path).unwrap().count();
    let is_group = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("muster-");
    let groups = fs::read_dir(groups).into_iter().flatten().filter(|entry| is_group(entry.as_ref().unwrap())).count();
    let mounts = |pid: u32| fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap().lines().count();
    [
        ("descriptors", entries(format!("/proc/{own}/fd"))),
        ("threads", entries(format!("/proc/{own}/task"))),
        ("children", launchers.len()),
        ("mounts", mounts(own)),
        ("launcher-descriptors", entries(format!("/proc/{launcher}/fd"))),
        ("launcher-children", children(launcher).len()),
        ("launcher-mounts", mounts(launcher)),
        ("groups", groups),
    ]
    .into()
}

fn launcher_of_ours() -> u32 {
    *children(std::process::id()).first().unwrap()
}

/// Living and dead.
fn children(of: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<u32>().ok()
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}
