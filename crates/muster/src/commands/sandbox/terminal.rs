//! A terminal of the program's own, behind the person's: what is typed goes in, what is shown comes out, and nothing inside ever holds the
//! person's terminal.
//!
//! The person's terminal passes every key on as it is (Ctrl-C too) while the program runs, and is put back as it was on every way out.

use engine::sandboxed::Terminals;
use rustix::{
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::fd::{AsFd, OwnedFd},
    thread,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Our end of the program's terminal.
pub(super) struct OwnTerminal {
    ours: OwnedFd,
    kind: Kind,
}

/// What of the person's terminal the program gets the like of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What is typed and what is shown.
    Whole,
    /// What is shown: its input comes from elsewhere. What is typed meanwhile is not for it.
    Screen,
}

impl OwnTerminal {
    /// A terminal as large as the person's and with its settings, and what the program gets of it. Standard error is part of it where it is
    /// the person's terminal too.
    pub(super) fn make(kind: Kind) -> io::Result<(Self, Terminals)> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let theirs = ioctl_tiocgptpeer(&ours, flags)?;
        let mut settings = tcgetattr(io::stdout())?;
        if kind == Kind::Screen {
            // The person's terminal ends lines; twice would be once too often.
            settings.make_raw();
        }
        tcsetattr(&theirs, OptionalActions::Now, &settings)?;
        tcsetwinsize(&theirs, tcgetwinsize(io::stdout())?)?;
        let stderr = (kind == Kind::Whole && io::stderr().is_terminal()).then(|| theirs.try_clone()).transpose()?;
        let stdin = (kind == Kind::Whole).then(|| theirs.try_clone()).transpose()?;
        let terminals = Terminals { own: stdin.is_some(), stdin, stdout: Some(theirs), stderr };
        Ok((Self { ours, kind }, terminals))
    }

    /// Carries both ways until nobody holds the other end; returns the last `tail_bytes` or a little more of what was shown.
    pub(super) async fn relay(self, tail_bytes: usize) -> io::Result<String> {
        let _raw = match self.kind {
            Kind::Whole => Some(self.pass_keys_on()?),
            Kind::Screen => None,
        };
        let (shown, mut was_shown) = oneshot::channel();
        let screen = File::from(self.ours.try_clone()?);
        thread::spawn(move || shown.send(show(screen, tail_bytes)));
        let mut resized = signal(SignalKind::window_change())?;
        loop {
            tokio::select! {
                tail = &mut was_shown => return Ok(tail.unwrap_or_default()),
                _ = resized.recv() => follow_size(self.ours.as_fd())?,
            }
        }
    }

    fn pass_keys_on(&self) -> io::Result<Raw> {
        let raw = Raw::enter()?;
        let mut keys = File::from(self.ours.try_clone()?);
        // Reading what is typed cannot be given up: this thread ends with the process.
        thread::spawn(move || io::copy(&mut io::stdin(), &mut keys));
        Ok(raw)
    }
}

fn follow_size(ours: impl AsFd) -> io::Result<()> {
    Ok(tcsetwinsize(ours, tcgetwinsize(io::stdout())?)?)
}

/// Shows what the program writes until its terminal has no other end; the end of it, for hints.
fn show(mut terminal: File, tail_bytes: usize) -> String {
    let (mut ours, mut chunk, mut tail) = (io::stdout(), vec![0; 64 << 10], Vec::new());
    while let Ok(count @ 1..) = terminal.read(&mut chunk) {
        if ours.write_all(&chunk[..count]).and_then(|()| ours.flush()).is_err() {
            break;
        }
        tail.extend_from_slice(&chunk[..count]);
        if tail.len() > 2 * tail_bytes {
            tail.drain(..tail.len() - tail_bytes);
        }
    }
    String::from_utf8_lossy(&tail).replace('\r', "")
}

/// The person's terminal, passing on every key; as it was before when dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
