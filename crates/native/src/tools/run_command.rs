//! Tool `run_command`: a shell command in the working directory.
//!
//! The command gets a process group of its own and no way to outlive its call: whatever is left of the group when
//! the shell ends, the time is up or the turn is cancelled is killed. It does not get the agent's key.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{Outcome, Root, define};
use crate::bounds::join;
use crate::record::Definition;

/// Bytes kept from the start of the output, and as many from its end.
const SIDE_BYTES_MAX: usize = 16 * 1024;
/// Time a command gets unless told otherwise, in seconds.
const TIMEOUT_S: u64 = 120;
/// Most time it can get, in seconds.
const TIMEOUT_S_MAX: u64 = 600;
/// How long the output may stay open after the group is gone: something escaped from the group holds it.
const DRAIN: Duration = Duration::from_millis(500);

/// Arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Args {
    command: String,
    cwd: Option<String>,
    timeout_s: Option<u64>,
}

pub(super) fn definition() -> Definition {
    define(
        "run_command",
        "Run a shell command (sh -c) and return its exit code and output (the first and last 16 KiB of it). \
         It has no input. Everything it started is killed when it ends, so nothing can be left running.",
        &["command"],
        json!({
            "command": {"type": "string", "description": "The command line."},
            "cwd": {"type": "string", "description": "Directory relative to the working directory."},
            "timeout_s": {"type": "integer", "minimum": 1, "maximum": 600, "description": "Seconds until it is killed; 120 if left out."},
        }),
    )
}

pub(super) async fn run(args: Args, root: &Root) -> Outcome {
    let shown = args.cwd.as_deref().unwrap_or(".");
    let cwd = root.resolve(shown)?;
    if !cwd.is_dir() {
        return Err(format!("cwd: {shown} is not a directory"));
    }
    if args.command.contains('\0') {
        return Err("a command cannot contain a NUL character".into());
    }
    let time = Duration::from_secs(args.timeout_s.unwrap_or(TIMEOUT_S).clamp(1, TIMEOUT_S_MAX));
    let failed = |error: std::io::Error| format!("cannot start the command: {error}");
    let (output, stdout) = std::io::pipe().map_err(failed)?;
    let stderr = stdout.try_clone().map_err(failed)?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(&args.command).current_dir(cwd);
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
    clean_environment(&mut command);
    let child = command.spawn().map_err(failed)?;
    // The command holds our copies of the write ends; without them gone the output would never end.
    drop(command);
    let group = Group { id: child.id().and_then(|id| Pid::from_raw(id.cast_signed())), child };
    let output = Receiver::from_owned_fd(OwnedFd::from(output)).map_err(failed)?;
    watch(group, output, time).await
}

/// The key is for the agent; a command that asks for a password or a pager would hang.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let is_ours =
            ["OPENAI_", "ANTHROPIC_", "MUSTER_"].iter().any(|own| name.as_encoded_bytes().starts_with(own.as_bytes()));
        if is_ours {
            command.env_remove(name);
        }
    }
    command.env("GIT_TERMINAL_PROMPT", "0").env("PAGER", "cat").env("GIT_PAGER", "cat").env("TERM", "dumb");
}

/// The command's process group; dropping it kills what is left of it.
struct Group {
    id: Option<Pid>,
    child: Child,
}

impl Group {
    /// Once only: when the shell is gone, the number may be given to somebody else.
    fn kill(&mut self) {
        if let Some(id) = self.id.take() {
            // The only failure is that nobody is left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn watch(mut group: Group, mut output: Receiver, time: Duration) -> Outcome {
    let mut kept = Kept::default();
    let mut buffer = vec![0; 8 * 1024];
    let mut is_open = true;
    let mut deadline = std::pin::pin!(sleep(time));
    let status = loop {
        tokio::select! {
            status = group.child.wait() => break Some(status),
            read = output.read(&mut buffer), if is_open => {
                let length = read.unwrap_or(0);
                kept.take(&buffer[..length]);
                is_open = length > 0;
            }
            () = &mut deadline => break None,
        }
    };
    group.kill();
    let rest = async {
        while let Ok(length @ 1..) = output.read(&mut buffer).await {
            kept.take(&buffer[..length]);
        }
    };
    let _ = timeout(DRAIN, rest).await;
    let text = kept.into_text();
    match status {
        None => Err(format!("The command was killed after {} s.\n{text}", time.as_secs())),
        Some(Err(error)) => Err(format!("The command was lost: {error}\n{text}")),
        Some(Ok(status)) => Ok(format!("{}\n{text}", told(status))),
    }
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("Exit code {code}."),
        (None, Some(signal)) => format!("Killed by signal {signal}."),
        (None, None) => format!("Ended: {status}."),
    }
}

/// The first and the last bytes of an output of any length.
#[derive(Default)]
struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// Bytes seen that are in neither.
    missing: usize,
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(SIDE_BYTES_MAX - self.head.len()));
        self.head.extend_from_slice(head);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(SIDE_BYTES_MAX);
        self.tail.drain(..surplus);
        self.missing += surplus;
    }

    fn into_text(mut self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if self.missing == 0 {
            self.head.extend(self.tail);
            return if self.head.is_empty() { "[No output.]".into() } else { text(&self.head) };
        }
        join(&text(&self.head), self.missing, &text(self.tail.make_contiguous()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::unix::pipe;

    #[tokio::test]
    async fn exit_code_and_both_outputs() {
        let (_dir, root) = tree();
        let text = sh(&root, "echo out; echo err >&2; pwd; exit 3", None).await.unwrap();
        assert_eq!(text, format!("Exit code 3.\nout\nerr\n{}\n", root.dir().display()));
        assert_eq!(sh(&root, "true", None).await.unwrap(), "Exit code 0.\n[No output.]");
        assert_eq!(sh(&root, "cat; kill -TERM $$", None).await.unwrap(), "Killed by signal 15.\n[No output.]");
    }

    #[tokio::test]
    async fn a_flood_keeps_its_ends() {
        let (_dir, root) = tree();
        let text =
            sh(&root, "echo first; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last", None).await.unwrap();
        assert!(text.starts_with("Exit code 0.\nfirst\nx") && text.ends_with("x\nlast\n"));
        assert!(text.contains("[... 967244 bytes left out ...]") && text.len() < 2 * SIDE_BYTES_MAX + 100);
    }

    #[tokio::test]
    async fn time_is_limited_and_what_was_said_is_kept() {
        let (_dir, root) = tree();
        let text = sh(&root, "echo started; exec cat <>fifo", Some(1)).await;
        assert!(text.unwrap_err().starts_with("The command was killed after 1 s.\nstarted\n"));
    }

    #[tokio::test]
    async fn what_is_left_of_the_group_dies_with_the_shell() {
        let (dir, root) = tree();
        let mut fifo = pipe::OpenOptions::new().open_receiver(dir.path().join("fifo")).unwrap();
        let text = sh(&root, "exec 8>fifo; echo up >&8; sleep 1000 & exit 0", None).await.unwrap();
        assert_eq!(text, "Exit code 0.\n[No output.]");
        // The end of the fifo is the death of all that could write to it.
        let mut written = String::new();
        fifo.read_to_string(&mut written).await.unwrap();
        assert_eq!(written, "up\n");
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_takes_its_group_with_it() {
        let (dir, root) = tree();
        let mut fifo = pipe::OpenOptions::new().open_receiver(dir.path().join("fifo")).unwrap();
        let mut byte = [0];
        {
            let mut call = std::pin::pin!(sh(&root, "exec 8>fifo; sleep 1000 & echo x >&8; wait", None));
            tokio::select! {
                outcome = &mut call => panic!("it waits for ever: {outcome:?}"),
                read = fifo.read(&mut byte) => assert_eq!(read.unwrap(), 1),
            }
        }
        let mut rest = String::new();
        fifo.read_to_string(&mut rest).await.unwrap();
        assert_eq!((byte, rest.as_str()), (*b"x", "\n"));
    }

    #[tokio::test]
    async fn the_environment_has_no_key_of_ours() {
        let (_dir, root) = tree();
        let mut command = Command::new("env");
        command.env("OPENAI_API_KEY", "x");
        clean_environment(&mut command);
        let output = command.output().await.unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().contains("PAGER=cat"));
        assert!(sh(&root, "exit 0", Some(0)).await.is_ok());
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_explained() {
        let (_dir, root) = tree();
        let args = |command: &str, cwd: &str| Args { command: command.into(), cwd: Some(cwd.into()), timeout_s: None };
        assert_eq!(run(args("true", "nope"), &root).await.unwrap_err(), "cwd: nope is not a directory");
        assert!(run(args("true", ".."), &root).await.unwrap_err().contains("outside"));
        assert!(run(args("a\0b", "."), &root).await.unwrap_err().contains("NUL"));
    }

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg("fifo").current_dir(dir.path()).status();
        assert!(made.unwrap().success());
        let root = Root::new(dir.path()).unwrap();
        (dir, root)
    }

    async fn sh(root: &Root, command: &str, timeout_s: Option<u64>) -> Outcome {
        run(Args { command: command.into(), cwd: None, timeout_s }, root).await
    }
}
