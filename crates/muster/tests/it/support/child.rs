//! One run of the program: started, followed line by line, waited for with a limit, never left behind.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    io::{BufRead, BufReader, Read},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine. A limit, not a wait.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A process of the program. Dropping it kills it.
pub struct Running {
    child: Child,
    pidfd: OwnedFd,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
    stdout: Option<JoinHandle<String>>,
    what: String,
}

/// How a process ended and what it said.
#[derive(Clone, Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    what: String,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let what = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut stdout = child.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, pidfd, lines, seen: Vec::new(), stdout: Some(stdout), what }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it writes to standard error; nothing when it has ended.
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => {
                self.seen.push(line.clone());
                Some(line)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{} says nothing any more; it said:\n{}", self.what, self.seen.join("\n"))
            }
        }
    }

    /// Waits for a line with this text.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    /// Waits for a line with one of these texts.
    pub fn wait_for_any(&mut self, texts: &[&str]) -> String {
        while let Some(line) = self.line() {
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
        }
        panic!("{} ended without saying any of {texts:?}; it said:\n{}", self.what, self.seen.join("\n"))
    }

    pub fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    /// Whether it ends within this time.
    pub fn ends_within(&self, time: Duration) -> bool {
        ends_within(&self.pidfd, time)
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ended {
        let began = Instant::now();
        while !self.ends_within(Duration::from_secs(1)) {
            self.seen.extend(self.lines.try_iter());
            if began.elapsed() > LIMIT {
                panic!("{} does not end; it said:\n{}", self.what, self.seen.join("\n"));
            }
        }
        let status = self.child.wait().unwrap();
        self.seen.extend(self.lines.iter());
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let what = std::mem::take(&mut self.what);
        let stderr = self.seen.join("\n");
        Ended { code: status.code(), signal: status.signal(), stdout, stderr, what }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The same, when it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { code, signal, stdout, stderr, what } = self;
        write!(
            f,
            "{what}\nexit code {code:?}, signal {signal:?}\n--- standard output\n{stdout}\n--- standard error\n{stderr}"
        )
    }
}

/// Whether the process ends within this time.
pub fn ends_within(pidfd: &OwnedFd, time: Duration) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: i64::from(time.subsec_nanos()) };
    poll(&mut fds, Some(&time)).unwrap() > 0
}
