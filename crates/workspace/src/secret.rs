//! A secret that a program of the person's prints, such as `op read …` or `pass show …`.
//!
//! It runs as the person would run it: outside any sandbox, with their environment, without a shell. So it has to be the person who
//! named it; a file that came with a repository must not be able to.

use crate::{Error, ErrorKind, Result};
use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The most that is read of what the program prints, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// The most that is told of its complaints, in bytes.
const STDERR_BYTES_MAX: u64 = 2 * 1024;

/// What the program prints on standard output, without the white space around it. `words` are the program and its arguments; it is
/// killed when it takes longer than `limit`.
///
/// # Errors
/// `Missing` when there is no such program; `TimedOut`; `TooLarge` beyond 64 KiB; `Other` when it fails, with the end of what it wrote to standard
/// error, or prints nothing. No error holds what it printed on standard output.
pub fn secret_of(words: &[String], limit: Duration) -> Result<String> {
    let [program, args @ ..] = words else { return Err(Error::new(ErrorKind::Invalid, "no program is named")) };
    let fail = |kind, what: &str| Error::new(kind, format!("`{program}` {what}"));
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| Error::io(format!("`{program}` cannot be run"), &error))?;
    let mut child = Killed(child);
    let deadline = Instant::now() + limit;
    let printed = reader(child.0.stdout.take(), SECRET_BYTES_MAX + 1);
    let complaint = reader(child.0.stderr.take(), STDERR_BYTES_MAX);
    let left = || deadline.saturating_duration_since(Instant::now());
    let timed_out = || fail(ErrorKind::TimedOut, &format!("did not end within {} s and was stopped", limit.as_secs()));
    let printed = printed.recv_timeout(left()).map_err(|_| timed_out())?;
    let complaint = complaint.recv_timeout(left()).map_err(|_| timed_out())?;
    if printed.len() as u64 > SECRET_BYTES_MAX {
        return Err(fail(ErrorKind::TooLarge, "prints more than a key: over 64 KiB"));
    }
    let status = child.0.wait().map_err(|error| Error::io(format!("`{program}`"), &error))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let words = complaint.trim();
        let words = if words.is_empty() { "it does not say why" } else { words };
        return Err(fail(ErrorKind::Other, &format!("failed ({status}): {words}")));
    }
    match String::from_utf8(printed).ok().map(|text| text.trim().to_owned()) {
        Some(secret) if !secret.is_empty() => Ok(secret),
        Some(_) => Err(fail(ErrorKind::Other, "printed nothing")),
        None => Err(fail(ErrorKind::Other, "printed what is no text")),
    }
}

/// Reads a pipe to its end, keeping at most so many bytes; the rest is read and dropped.
fn reader(pipe: Option<impl Read + Send + 'static>, bytes_max: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is not there; how the program ended says more.
            let _ = pipe.by_ref().take(bytes_max).read_to_end(&mut kept);
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        // Nobody waits any more when it took too long.
        let _ = sender.send(kept);
    });
    receiver
}

/// A child that does not outlive the question.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(words: &[&str], limit: Duration) -> std::result::Result<String, (ErrorKind, String)> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        secret_of(&words, limit).map_err(|error| (error.kind, error.message))
    }

    #[test]
    fn what_a_program_prints_is_the_secret() {
        let minute = Duration::from_secs(60);
        assert_eq!(told(&["printf", "  %s\n", "a b"], minute), Ok("a b".to_owned()));
        let (kind, text) = told(&["sh", "-c", "echo hidden; echo locked >&2; exit 3"], minute).unwrap_err();
        assert_eq!(kind, ErrorKind::Other);
        assert!(text.contains("locked") && text.contains('3') && !text.contains("hidden"), "{text}");
        assert_eq!(told(&["no-such-program-of-ours"], minute).unwrap_err().0, ErrorKind::Missing);
        assert!(told(&["true"], minute).unwrap_err().1.ends_with("printed nothing"));
        assert_eq!(told(&["head", "-c", "70000", "/dev/zero"], minute).unwrap_err().0, ErrorKind::TooLarge);
        assert_eq!(told(&[], minute).unwrap_err().0, ErrorKind::Invalid);
    }

    #[test]
    fn one_that_does_not_end_is_stopped() {
        let (kind, text) = told(&["cat", "/dev/zero"], Duration::from_millis(50)).unwrap_err();
        assert_eq!(kind, ErrorKind::TimedOut, "{text}");
    }
}
