//! Takes objects into a store of ours: bounded, checked object by object, complete or not at all.
//!
//! A pack is only bytes; git's own `unpack-objects` and `index-pack` check in strict mode that every object is well
//! formed, that no tree holds a dangerous name (`.git`, `..`), and that everything an object points to is there too.

use crate::{CommitId, Error, ErrorKind, Result, git, git::Git};
use std::{os::unix::process::ExitStatusExt, path::Path, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Child,
};

/// Most bytes in one hand-over of an agent's work, packed.
pub const PACK_BYTES_MAX: u64 = 1 << 30;
/// Most objects in one hand-over of an agent's work.
pub const PACK_OBJECTS_MAX: u32 = 500_000;
/// Up to so many objects are kept as single files, more as a pack (git's own `transfer.unpackLimit`).
const SINGLE_FILES_MAX: u32 = 100;
/// Memory for taking in objects: a pack of some hundred bytes can unfold to gigabytes. Twice the largest file that is
/// taken (`core.bigFileThreshold`, git's own 512 MiB) has room; larger ones are read as a stream.
const MEMORY_BYTES: u64 = 1 << 30;
/// Wall limit of one hand-over.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How much may come in one hand-over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackLimits {
    pub bytes: u64,
    pub objects: u32,
}

impl Default for PackLimits {
    fn default() -> Self {
        Self { bytes: PACK_BYTES_MAX, objects: PACK_OBJECTS_MAX }
    }
}

/// Reads one pack from `stream` into `store`. The objects are durable when a name for them is. Errors: `Rejected` for anything that is not a sound pack, `TooLarge`.
pub(crate) async fn receive(store: &Path, stream: impl AsyncRead + Unpin, limits: PackLimits) -> Result<()> {
    tokio::time::timeout(TIMEOUT, receive_now(store, stream, limits))
        .await
        .map_err(|_| Error::new(ErrorKind::TimedOut, "taking in objects did not end in time"))?
}

async fn receive_now(store: &Path, mut stream: impl AsyncRead + Unpin, limits: PackLimits) -> Result<()> {
    let mut header = [0; 12];
    if stream.read_exact(&mut header).await.is_err() || !header.starts_with(b"PACK") {
        return Err(Error::new(ErrorKind::Rejected, "what was handed over is not a git pack"));
    }
    let objects = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if objects > limits.objects {
        return Err(too_large(format!("{objects} objects, the limit is {}", limits.objects)));
    }
    let cap = format!("--max-input-size={}", limits.bytes);
    let git = Git::at(store).to("taking in objects").setting(git::HAND_OVER).memory(MEMORY_BYTES);
    let git = if objects <= SINGLE_FILES_MAX {
        git.args(["unpack-objects", "-q", "--strict", &cap])
    } else {
        git.args(["index-pack", "--stdin", "--fix-thin", "--strict", &cap])
    };
    let mut child = git.start()?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(mut pipe) = stdin {
            // When git stops reading, its own words say why.
            let _ = pipe.write_all(&header).await;
            let _ = tokio::io::copy(&mut (&mut stream).take(limits.bytes), &mut pipe).await;
        }
    };
    let ((), stderr) = tokio::join!(feed, git::read_and_drop_rest(stderr));
    let stderr = stderr?;
    let status = child.wait().await.map_err(|e| Error::io("taking in objects", &e))?;
    match status.signal() {
        _ if status.success() => Ok(()),
        // The limit of processor time.
        Some(9 | 24) => Err(too_large("its objects take too long to unfold".into())),
        _ => Err(refusal(&stderr)),
    }
}

fn refusal(stderr: &str) -> Error {
    let error = Error::git("taking in objects", stderr);
    if error.kind == ErrorKind::NoSpace {
        return error;
    }
    if stderr.contains("Out of memory") || stderr.contains("mmap failed") {
        return too_large(format!("its objects unfold to more than {MEMORY_BYTES} bytes in memory"));
    }
    if stderr.contains("exceeds maximum allowed size") {
        return too_large("more bytes than the limit allows".into());
    }
    Error { kind: ErrorKind::Rejected, ..error }
}

fn too_large(what: String) -> Error {
    Error::new(ErrorKind::TooLarge, format!("the work is too large to take over: {what}"))
        .hint("Keep build results and data out of the tree, for instance with .gitignore.")
}

/// Copies what `want` needs beyond `have` from one store to another.
pub(crate) async fn transfer(from: &Path, to: &Path, want: &CommitId, have: &[&CommitId]) -> Result<()> {
    let mut child = pack(from, want, have).await?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let Some(stdout) = stdout else { return Err(Error::new(ErrorKind::Other, "git has no output")) };
    let unlimited = PackLimits { bytes: u64::MAX >> 1, objects: u32::MAX };
    let (received, stderr) = tokio::join!(receive(to, stdout, unlimited), git::read_and_drop_rest(stderr));
    let status = child.wait().await.map_err(|e| Error::io("packing objects", &e))?;
    // A pack that ended early is the cause, what the receiver says of it the consequence.
    if !status.success() { Err(Error::git("packing objects", &stderr?)) } else { received }
}

/// Starts packing what `want` needs beyond `have`; the pack comes on standard output.
pub(crate) async fn pack(store: &Path, want: &CommitId, have: &[&CommitId]) -> Result<Child> {
    let args = ["pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "-q"];
    let mut child = Git::at(store).to("packing objects").args(args).start()?;
    let mut wishes = format!("{want}\n");
    for commit in have {
        wishes.push_str(&format!("^{commit}\n"));
    }
    if let Some(mut pipe) = child.stdin.take() {
        // A few hundred bytes: they fit the pipe whether or not git reads them.
        let _ = pipe.write_all(wishes.as_bytes()).await;
    }
    Ok(child)
}

/// What `want` needs beyond `have`, as one pack in memory.
pub(crate) async fn pack_bytes(store: &Path, want: &CommitId, have: &CommitId) -> Result<Vec<u8>> {
    let git =
        Git::at(store).to("packing objects").args(["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q"]);
    let git = git.stdin(format!("{want}\n^{have}\n")).output_max(PACK_BYTES_MAX as usize).timeout(TIMEOUT);
    Ok(git.run().await?.stdout)
}
