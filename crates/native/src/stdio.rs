//! Lines in, lines out, over the process's own stdin and stdout.
//!
//! Pipes are read and written without helper threads: a thread costs as much memory as the rest of an idle agent.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use api::rpc::{LineSplitter, LineTooLong};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Lines waiting for the client to read them; whoever sends more waits.
const LINES_MAX: usize = 64;

/// Lines from the client.
pub struct Input {
    bytes: Box<dyn AsyncRead + Unpin>,
    lines: LineSplitter,
    buffer: Vec<u8>,
}

impl Input {
    /// The process's stdin.
    ///
    /// # Errors
    /// Stdin is closed.
    pub fn stdin() -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let bytes: Box<dyn AsyncRead + Unpin> = match Receiver::from_file(file) {
            Ok(pipe) => Box::new(pipe),
            // A terminal, a socket or a file.
            Err(_) => Box::new(tokio::io::stdin()),
        };
        Ok(Self { bytes, lines: LineSplitter::default(), buffer: vec![0; 8 * 1024] })
    }

    /// The next line; `None`: the client is gone. May be dropped at any time without losing anything.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Some(line);
            }
            match self.bytes.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return self.lines.finish().map(Ok),
                Ok(length) => self.lines.push(&self.buffer[..length]),
            }
        }
    }
}

/// Lines to the client; clones write to the same end.
#[derive(Clone)]
pub struct Output {
    lines: mpsc::Sender<String>,
}

/// The client does not read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client closed the connection")]
pub struct Closed;

impl Output {
    /// The process's stdout, and the task that writes to it until every clone is gone.
    ///
    /// # Errors
    /// Stdout is closed.
    pub fn stdout() -> io::Result<(Self, JoinHandle<()>)> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let bytes: Box<dyn AsyncWrite + Unpin + Send> = match Sender::from_file(file) {
            Ok(pipe) => Box::new(pipe),
            Err(_) => Box::new(tokio::io::stdout()),
        };
        let (lines, queue) = mpsc::channel(LINES_MAX);
        Ok((Self { lines }, tokio::spawn(write(bytes, queue))))
    }

    /// Sends one line, its end included.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, line: String) -> Result<(), Closed> {
        self.lines.send(line).await.map_err(|_| Closed)
    }
}

async fn write(mut bytes: Box<dyn AsyncWrite + Unpin + Send>, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        let written = async {
            bytes.write_all(line.as_bytes()).await?;
            bytes.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}
