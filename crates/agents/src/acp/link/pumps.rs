//! The three loops between the pipes and the link.

use super::{Ended, Link};
use api::rpc::LineSplitter;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// How much is read at once.
const READ_BYTES: usize = 16 * 1024;
/// How much of standard error makes one update.
const STDERR_READ_BYTES: usize = 4 * 1024;
/// After the output has ended, how long the end of standard error is waited for: it says why.
const STDERR_GRACE: Duration = Duration::from_millis(250);

/// After the input has broken, how long the output is still read: the agent may have said its last word already.
const PIPE_GRACE: Duration = Duration::from_secs(1);

/// Reads lines until the output or the link ends. `stderr_done` resolves at the end of standard error.
pub async fn read(
    link: Arc<Link>,
    mut output: impl AsyncRead + Unpin,
    line_bytes_max: usize,
    stderr_done: oneshot::Receiver<()>,
) {
    let mut splitter = LineSplitter::new(line_bytes_max);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = tokio::select! {
            read = output.read(&mut buffer) => read,
            _ = link.ended() => return,
        };
        match read {
            Ok(0) => break,
            Ok(count) => splitter.push(&buffer[..count]),
            Err(error) => return link.end(Ended::Pipe(error.to_string())),
        }
        while let Some(line) = splitter.pop() {
            match line {
                Ok(line) => link.take(&line),
                Err(long) => link.end(Ended::EndlessLine { bytes_max: long.bytes_max }),
            }
            if link.ended_now().is_some() {
                return;
            }
        }
    }
    if let Some(rest) = splitter.finish() {
        link.take(&rest);
    }
    let _ = tokio::time::timeout(STDERR_GRACE, stderr_done).await;
    link.end_of_output();
}

/// Writes lines until there are no more, then closes the pipe. A broken pipe ends the link only after a while.
pub async fn write(link: Arc<Link>, mut input: impl AsyncWrite + Unpin, mut lines: mpsc::UnboundedReceiver<String>) {
    let pump = async {
        while let Some(line) = lines.recv().await {
            input.write_all(line.as_bytes()).await?;
            input.flush().await?;
            link.written(line.len());
        }
        input.shutdown().await
    };
    let result = tokio::select! {
        result = pump => result,
        _ = link.ended() => return,
    };
    if let Err(error) = result {
        let _ = tokio::time::timeout(PIPE_GRACE, link.ended()).await;
        link.end(Ended::Pipe(error.to_string()));
    }
}

/// Drains standard error until it or the link ends. Its last words say why an agent died, so the link waits for them.
pub async fn drain_stderr(link: Arc<Link>, mut stderr: impl AsyncRead + Unpin, _done: oneshot::Sender<()>) {
    let mut buffer = vec![0; STDERR_READ_BYTES];
    let mut filled = 0;
    loop {
        let read = tokio::select! {
            biased;
            read = stderr.read(&mut buffer[filled..]) => read,
            _ = link.ended() => return,
        };
        let Ok(count) = read else { return };
        filled += count;
        let whole = if count == 0 { filled } else { whole_characters(&buffer[..filled]) };
        if whole > 0 {
            link.stderr(&String::from_utf8_lossy(&buffer[..whole]));
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
        if count == 0 {
            return;
        }
    }
}

/// Length without the beginning of a character whose end is still to come.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}
