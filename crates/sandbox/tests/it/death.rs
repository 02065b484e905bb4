//! The whole tree dies: with the program, when it is killed, with the launcher, with the caller.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use sandbox::{Exit, Launcher, Limit, Sandboxed, presets};

use crate::{KIT, each, token};

/// Forks twice, leaves the session, ignores polite signals, and says so; the program itself goes on.
const HIDE: &str = "(setsid sh -c 'trap \"\" TERM HUP INT; echo ready; while :; do sleep 1000; done' &) ; sleep 1000";
/// How long a death may take, in milliseconds; it takes about ten.
const PATIENCE_MS: i32 = 20_000;

fn read_ready(stdout: &OwnedFd) {
    let mut line = String::new();
    BufReader::new(fs::File::from(stdout.try_clone().unwrap())).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

/// Reads to the end, which comes only when no process inside holds the pipe any more.
fn read_to_end(stdout: OwnedFd) {
    fs::File::from(stdout).read_to_end(&mut Vec::new()).unwrap();
}

/// Handles of all processes with a word in their command line. A handle never means another process.
fn processes_with(token: &str) -> Vec<(i32, OwnedFd)> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let handle = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        String::from_utf8_lossy(&command).contains(token).then_some((pid, handle))
    })
    .collect()
}

fn assert_ends(handle: &OwnedFd, what: &str) {
    let mut polled = libc::pollfd { fd: handle.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    assert_eq!(unsafe { libc::poll(&raw mut polled, 1, PATIENCE_MS) }, 1, "{what} is still there");
}

#[test]
fn kill_reaches_everything() {
    each(|host| {
        let Sandboxed { stdout, mut tree, .. } = host.launch(presets::tool(), &["sh", "-c", HIDE]).unwrap();
        read_ready(&stdout);
        assert_eq!(tree.try_wait(), None);
        tree.kill();
        read_to_end(stdout);
        assert_eq!(tree.wait(), Exit::Killed);
        assert_eq!(tree.try_wait(), Some(Exit::Killed));
        tree.kill();
    });
}

#[test]
fn dropping_the_tree_kills_it() {
    each(|host| {
        let Sandboxed { stdout, tree, .. } = host.launch(presets::tool(), &["sh", "-c", HIDE]).unwrap();
        read_ready(&stdout);
        let exit = tree.exit_fd().try_clone_to_owned().unwrap();
        drop(tree);
        read_to_end(stdout);
        assert_ends(&exit, "the tree");
    });
}

#[test]
fn what_the_program_leaves_behind_dies_with_it() {
    each(|host| {
        let script = "(setsid sh -c 'trap \"\" TERM HUP; echo ready; sleep 1000' &); read line; exit 7";
        let Sandboxed { stdin, stdout, mut tree, .. } = host.launch(presets::tool(), &["sh", "-c", script]).unwrap();
        read_ready(&stdout);
        drop(stdin);
        read_to_end(stdout);
        assert_eq!(tree.wait(), Exit::Code(7));
    });
}

#[test]
fn orphans_are_reaped() {
    each(|host| {
        let dead = "grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null";
        let script = format!("for i in 1 2 3 4 5; do (true &); done; while {dead}; do :; done; echo none");
        let mut policy = presets::tool();
        policy.limits.wall_ms = Some(20_000);
        let output = host.run(policy, &["sh", "-c", &script]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "none\n"));
    });
}

#[test]
fn whoever_makes_orphans_faster_than_they_are_reaped_meets_the_clock() {
    each(|host| {
        let mut policy = host.policy();
        policy.limits.wall_ms = Some(500);
        let script = "for i in 1 2 3 4 5 6 7 8; do /opt/kit orphans & done; wait";
        let began = std::time::Instant::now();
        assert_eq!(host.run(policy, &["sh", "-c", script]).exit, Exit::Limit(Limit::Wall));
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    });
}

#[test]
fn signals_and_codes_are_told_apart() {
    each(|host| {
        assert_eq!(host.run(presets::tool(), &["sh", "-c", "exit 126"]).exit, Exit::Code(126));
        assert_eq!(host.run(presets::tool(), &["sh", "-c", "kill -TERM $$"]).exit, Exit::Signal(libc::SIGTERM));
    });
}

#[test]
fn the_callers_death_is_the_death_of_all() {
    let token = token();
    let preludes: &[&[&str]] = if crate::is_root() { &[&[], &["as", "65533"]] } else { &[&[]] };
    for prelude in preludes {
        let mut engine = Command::new(KIT)
            .args(*prelude)
            .args(["engine", &token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(engine.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let tree = processes_with(&token);
        // The engine, its launcher, init, the program and those that hide below it.
        assert!(tree.len() >= 5, "{tree:?}");
        engine.kill().unwrap();
        engine.wait().unwrap();
        tree.iter().for_each(|(pid, handle)| assert_ends(handle, &format!("process {pid}")));
    }
}

#[test]
fn the_launchers_death_is_the_death_of_its_sandboxes_and_it_is_replaced() {
    each(|host| {
        let Sandboxed { stdout, mut tree, .. } = host.launch(presets::tool(), &["sh", "-c", HIDE]).unwrap();
        read_ready(&stdout);
        let ours = std::process::id().to_string();
        let is_ours = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status.lines().any(|line| line.split_ascii_whitespace().eq(["PPid:", &ours]))
        };
        let (launcher, handle) = processes_with(&host.token).into_iter().find(|(pid, _)| is_ours(pid)).unwrap();
        assert_eq!(unsafe { libc::kill(launcher, libc::SIGKILL) }, 0);
        assert_ends(&handle, "the launcher");
        read_to_end(stdout);
        assert_eq!(tree.wait(), Exit::Killed);
        assert_eq!(host.sh(presets::tool(), "echo again"), "again\n");
    });
}

#[test]
fn sandboxes_outlive_the_launchers_handle() {
    let launcher = Launcher::new(vec![KIT.into(), "__sandbox".into()]).unwrap();
    let launch = sandbox::Launch { policy: presets::tool(), program: "cat".into(), args: vec![], cwd: "/".into() };
    let sandboxed = launcher.launch(&launch).unwrap();
    drop(launcher);
    assert_eq!(crate::output(sandboxed).exit, Exit::Code(0));
}

#[test]
fn what_a_sandbox_used_counts_as_used_by_the_caller() {
    let preludes: &[&[&str]] = if crate::is_root() { &[&[], &["as", "65533"]] } else { &[&[]] };
    for prelude in preludes {
        let told = Command::new(KIT).args(*prelude).arg("usage").output().unwrap();
        let used_ms = String::from_utf8(told.stdout).unwrap();
        assert!(used_ms.trim().parse::<u64>().unwrap() >= 500, "{used_ms} ms");
    }
}

#[test]
fn a_hundred_at_once_and_all_gone() {
    each(|host| {
        let launch = || host.launch(presets::tool(), &["cat"]).unwrap();
        let running: Vec<Sandboxed> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..25).map(|_| launch()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        for sandboxed in running {
            assert_eq!(crate::output(sandboxed).exit, Exit::Code(0));
        }
        let is_launcher =
            |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "muster-launcher\n");
        let left = processes_with(&host.token).into_iter().filter(|(pid, _)| !is_launcher(*pid));
        left.for_each(|(pid, handle)| assert_ends(&handle, &format!("process {pid}")));
    });
}
