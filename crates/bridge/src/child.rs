//! The vendor's program as a process: lines out of it, lines into it, and its end. It is the leader of a process group of its own.

use crate::kind::Launch;
use api::{
    acp_meta::ProgramFailure,
    rpc::{ErrorObject, LineSplitter, LineTooLong},
};
use std::{path::Path, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child as Process, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

/// Longest line that is read, in bytes; Claude Code shows whole files in one.
const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A running program.
pub(crate) struct Child {
    process: Process,
    /// Lines on their way in; a program that is slow to read must not keep us from reading what it writes.
    input: Option<mpsc::UnboundedSender<String>>,
    output: ChildStdout,
    lines: LineSplitter,
    buffer: Vec<u8>,
    finished: bool,
}

/// What came of waiting for a program.
pub(crate) enum Heard {
    Line(Result<Vec<u8>, LineTooLong>),
    /// It ended, and how.
    Ended {
        success: bool,
        how: String,
    },
}

impl Child {
    /// Starts it; standard error is ours.
    pub(crate) fn start(program: &str, args: &[String], launch: &Launch, cwd: &str) -> Result<Self, ErrorObject> {
        for (path, text) in &launch.files {
            let failed = |error| ErrorObject::internal(format!("cannot write {}: {error}", path.display()));
            write(path, text).map_err(failed)?;
        }
        let mut process = Command::new(program)
            .args(args)
            .args(&launch.args)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(|error| not_started(&ProgramFailure::start(program, &error)))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(ErrorObject::internal(format!("{program} has no pipes")));
        };
        let lines = LineSplitter::new(LINE_BYTES_MAX);
        let (sender, waiting) = mpsc::unbounded_channel();
        tokio::spawn(feed(input, waiting));
        Ok(Self { process, input: Some(sender), output, lines, buffer: vec![0; 64 * 1024], finished: false })
    }

    /// The next line, or its end. May be dropped at any time without losing anything.
    pub(crate) async fn next(&mut self) -> Heard {
        loop {
            if let Some(line) = self.lines.pop() {
                return Heard::Line(line);
            }
            if self.finished {
                return self.end().await;
            }
            match self.output.read(&mut self.buffer).await {
                Ok(0) | Err(_) => {
                    self.finished = true;
                    if let Some(rest) = self.lines.finish() {
                        return Heard::Line(Ok(rest));
                    }
                }
                Ok(length) => self.lines.push(&self.buffer[..length]),
            }
        }
    }

    async fn end(&mut self) -> Heard {
        match self.process.wait().await {
            Ok(status) => Heard::Ended { success: status.success(), how: status.to_string() },
            Err(error) => Heard::Ended { success: false, how: error.to_string() },
        }
    }

    /// Writes; a program that does not read any more is on its way to its end, which is told apart.
    pub(crate) fn write(&mut self, text: String) {
        if let Some(input) = &self.input {
            let _ = input.send(text);
        }
    }

    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Ends it. What it has started in groups of its own ends with the sandbox.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.start_kill();
    }
}

fn not_started(failure: &ProgramFailure) -> ErrorObject {
    ErrorObject { data: Some(failure.meta()), ..ErrorObject::internal(failure.to_string()) }
}

async fn feed(mut input: ChildStdin, mut waiting: mpsc::UnboundedReceiver<String>) {
    while let Some(text) = waiting.recv().await {
        if input.write_all(text.as_bytes()).await.is_err() || input.flush().await.is_err() {
            return;
        }
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
