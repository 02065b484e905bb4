//! Going on when its time is up. Whether it does is seen on the host: each of these has to be ended from outside.

use std::io;
use std::time::{Duration, Instant};

use crate::{Outcome, Probe, Scene, check, escaped};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("time_ignores_term", "ignores every signal that it can", ignores_signals),
    Probe::new("time_blocks_signals", "blocks every signal that it can", blocks_signals),
    Probe::new("time_setsid", "goes on in a session of its own", session),
    Probe::new("time_group", "goes on in a process group of its own", group),
    Probe::new("time_stopped", "stops itself, so that nobody can wait for its end", stopped),
    Probe::new("time_forks_away", "goes on in a new child again and again", forks_away),
    Probe::new("time_holds_output", "leaves a child that holds the output open", holds_output),
];

/// Longer than a policy of the tests allows.
const STAY: Duration = Duration::from_millis(700);

fn outstay() -> io::Result<Outcome> {
    let start = Instant::now();
    while start.elapsed() < STAY {
        std::thread::sleep(STAY.saturating_sub(start.elapsed()));
    }
    escaped(format!("it stayed for {} ms", STAY.as_millis()))
}

fn ignores_signals(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no handler is involved.
    (1..=64).for_each(|signal| unsafe { _ = libc::signal(signal, libc::SIG_IGN) });
    outstay()
}

fn blocks_signals(_: &Scene) -> io::Result<Outcome> {
    let all = [u64::MAX; 16];
    // SAFETY: a set of as many bytes as any libc's.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr().cast(), std::ptr::null_mut()) })?;
    outstay()
}

/// The leader of a group cannot leave it for a session; a child of it can.
fn session(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: one thread.
    match unsafe { check(libc::fork())? } {
        0 => {
            // SAFETY: no pointers are involved.
            check(unsafe { libc::setsid() })?;
            outstay()
        }
        // SAFETY: a null for a status that is not wanted.
        child => unsafe {
            libc::waitpid(child as i32, std::ptr::null_mut(), 0);
            libc::_exit(0)
        },
    }
}

fn group(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved; whether it leads a group already does not matter.
    unsafe { libc::setpgid(0, 0) };
    outstay()
}

/// A child wakes it up after its time, for a run without a sandbox.
fn stopped(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: one thread; the child only waits and sends a signal.
    unsafe {
        let parent = libc::getpid();
        if libc::fork() == 0 {
            let _ = outstay();
            libc::kill(parent, libc::SIGCONT);
            libc::_exit(0);
        }
        libc::raise(libc::SIGSTOP);
    }
    outstay()
}

/// Every process ends at once, and its child goes on: whoever kills one by one comes too late.
fn forks_away(_: &Scene) -> io::Result<Outcome> {
    let start = Instant::now();
    while start.elapsed() < STAY {
        // SAFETY: one thread; the parent ends.
        unsafe {
            if check(libc::fork())? != 0 {
                libc::_exit(0);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    escaped(format!("it stayed for {} ms", STAY.as_millis()))
}

fn holds_output(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: one thread; the child only waits and writes.
    unsafe {
        if check(libc::fork())? != 0 {
            libc::_exit(0);
        }
        libc::setsid();
    }
    outstay()
}
