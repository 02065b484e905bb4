//! Follows a sandboxed program to its end: what it prints, how long it may take, how it ends.
//!
//! A program may print without end, and may close its outputs long before it ends: neither holds anybody up, and no more
//! is kept than was asked for.

use crate::Control;
use sandbox::{Denial, Exit, Limit};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt, net::unix::pipe};

/// Most bytes of one piece of output.
const PIECE_BYTES: usize = 16 << 10;

/// How an acceptance check or a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckEnd {
    /// With this exit code; 0 is passed.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It was stopped after its time-out.
    TimedOut,
    /// It used up its processor time.
    CpuLimit,
    /// It wrote a file that is too large.
    FileSizeLimit,
    /// All its processes together used too much memory.
    MemoryLimit,
    /// What it may write grew too large.
    DiskLimit,
    /// It was stopped from outside: nobody wanted it any more, or its launcher went away.
    Stopped,
}

/// Where a program said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// On standard output.
    Stdout,
    /// On standard error.
    Stderr,
}

/// A piece of what a program says.
#[derive(Debug, Clone, Copy)]
pub struct Spoken<'a> {
    /// Where.
    pub output: Output,
    /// At most 16 KiB, and not always whole lines or characters.
    pub bytes: &'a [u8],
}

/// A program to be followed.
pub(crate) struct Watch {
    pub stdout: pipe::Receiver,
    pub stderr: pipe::Receiver,
    pub control: Control,
    /// When it is killed.
    pub timeout: Duration,
    /// What is kept of the end of each output.
    pub tail_bytes: usize,
}

/// What became of it.
pub(crate) struct Watched {
    pub end: CheckEnd,
    pub ms: u64,
    pub stdout: Tail,
    pub stderr: Tail,
    /// System calls that were refused.
    pub denials: Vec<Denial>,
}

impl Watch {
    /// Reads both outputs until the whole tree is gone. `stop` ends it early; dropping the future kills it too.
    pub async fn follow(self, stop: impl Future<Output = ()>, said: &mut (dyn FnMut(Spoken<'_>) + Send)) -> Watched {
        let Self { mut stdout, mut stderr, control, timeout, tail_bytes } = self;
        let began = Instant::now();
        let (mut out, mut err) = (Stream::new(Output::Stdout, tail_bytes), Stream::new(Output::Stderr, tail_bytes));
        let (mut late, mut stopped, mut exit) = (false, false, None);
        let mut deadline = std::pin::pin!(tokio::time::sleep(timeout));
        let mut stop = std::pin::pin!(stop);
        while exit.is_none() || out.is_open || err.is_open {
            let running = exit.is_none() && !late && !stopped;
            tokio::select! {
                read = stdout.read(&mut out.piece), if out.is_open => out.take(read.unwrap_or(0), said),
                read = stderr.read(&mut err.piece), if err.is_open => err.take(read.unwrap_or(0), said),
                ended = control.wait(), if exit.is_none() => exit = Some(ended),
                () = &mut deadline, if running => {
                    late = true;
                    control.kill();
                }
                () = &mut stop, if running => {
                    stopped = true;
                    control.kill();
                }
            }
        }
        let end = match exit {
            _ if late => CheckEnd::TimedOut,
            _ if stopped => CheckEnd::Stopped,
            exit => CheckEnd::of(exit.unwrap_or(Exit::Killed)),
        };
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Watched { end, ms, stdout: out.tail, stderr: err.tail, denials: control.denials() }
    }
}

impl CheckEnd {
    fn of(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Exit(code),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Killed => Self::Stopped,
            Exit::Limit(Limit::Wall) => Self::TimedOut,
            Exit::Limit(Limit::Cpu) => Self::CpuLimit,
            Exit::Limit(Limit::FileSize) => Self::FileSizeLimit,
            Exit::Limit(Limit::Memory) => Self::MemoryLimit,
            Exit::Limit(Limit::Disk) => Self::DiskLimit,
        }
    }
}

/// One output while it is read.
struct Stream {
    output: Output,
    piece: Vec<u8>,
    tail: Tail,
    is_open: bool,
}

impl Stream {
    fn new(output: Output, tail_bytes: usize) -> Self {
        Self { output, piece: vec![0; PIECE_BYTES], tail: Tail::new(tail_bytes), is_open: true }
    }

    /// Takes what was read; nothing means that there will be no more.
    fn take(&mut self, count: usize, said: &mut (dyn FnMut(Spoken<'_>) + Send)) {
        self.is_open = count > 0;
        if self.is_open {
            let bytes = &self.piece[..count];
            self.tail.push(bytes);
            said(Spoken { output: self.output, bytes });
        }
    }
}

/// The end of a stream.
pub(crate) struct Tail {
    kept: VecDeque<u8>,
    total: u64,
    bytes_max: usize,
}

impl Tail {
    fn new(bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), total: 0, bytes_max }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.kept.extend(bytes);
        let surplus = self.kept.len().saturating_sub(self.bytes_max);
        self.kept.drain(..surplus);
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// As text that starts with a whole character and, when something is missing, says so.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.kept.iter().copied().collect();
        let whole = bytes.iter().position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[whole..]);
        let missing = self.total - (bytes.len() - whole) as u64;
        if missing == 0 { text.into_owned() } else { format!("[{missing} bytes left out]\n{text}") }
    }
}
