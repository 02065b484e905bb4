//! One process writes in a home at a time.
//!
//! The claim is an advisory lock (`flock`) on `$MUSTER_HOME/lock`, because the kernel drops it with the process however it
//! dies: there is no stale lock to clean up, and the text in the file is only there to say who holds it. Readers need no
//! lock. Local file systems only, as for SQLite's WAL mode.

use crate::{error::LockError, privacy};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// The directory with all state of `muster`.
pub struct Home;

impl Home {
    /// Makes the directory if need be and takes it for writing, without waiting. It and what lies in it is its owner's alone
    /// afterwards, whatever it was before.
    ///
    /// # Errors
    /// [`LockError::Busy`] names the owner; [`LockError::NotPrivate`] says who else could get at it; [`LockError::Io`] names the
    /// path that could not be used.
    pub fn lock(dir: impl AsRef<Path>) -> Result<HomeLock, LockError> {
        let dir = dir.as_ref();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| LockError::Io { path, source }
        };
        let dir = privacy::make(dir)?;
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io(&path))?;
        match file.try_lock() {
            Ok(()) => Owner::this().write(&mut file).map_err(io(&path))?,
            Err(TryLockError::WouldBlock) => return Err(busy(dir, &mut file)),
            Err(TryLockError::Error(source)) => return Err(LockError::Io { path, source }),
        }
        Ok(HomeLock { dir: dir.into(), file: Arc::new(file) })
    }
}

impl Home {
    /// The process that has taken the home for writing, if it is still there.
    pub fn writer(dir: impl AsRef<Path>) -> Option<u32> {
        let owner: Owner = serde_json::from_str(&std::fs::read_to_string(dir.as_ref().join("lock")).ok()?).ok()?;
        // A process that has ended and was not waited for yet has no more say: `Z` after its name in parentheses.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", owner.pid)).ok()?;
        let ended = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']));
        (!ended).then_some(owner.pid)
    }
}

impl From<privacy::Problem> for LockError {
    fn from(problem: privacy::Problem) -> Self {
        match problem {
            privacy::Problem::NotPrivate(why) => Self::NotPrivate(why),
            privacy::Problem::Io(path, source) => Self::Io { path, source },
        }
    }
}

/// The right to write in a home. Held as long as any clone lives, a [`crate::Store`] or [`crate::Transcripts`] included.
#[derive(Clone, Debug)]
pub struct HomeLock {
    dir: Arc<Path>,
    #[allow(dead_code, reason = "closing the file gives the lock back")]
    file: Arc<File>,
}

impl HomeLock {
    /// The home, as an absolute path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[derive(Serialize, Deserialize)]
struct Owner {
    pid: u32,
    command: String,
}

impl Owner {
    fn this() -> Self {
        // Only for the message that another process shows; where the system does not tell, the number has to do.
        let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
        let words = String::from_utf8_lossy(&line).replace('\0', " ");
        Self { pid: std::process::id(), command: words.trim().chars().take(200).collect() }
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(serde_json::to_string(self)?.as_bytes())
    }
}

fn busy(dir: PathBuf, file: &mut File) -> LockError {
    let mut text = String::new();
    let owner = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Owner>(&text).ok());
    let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    LockError::Busy {
        dir,
        pid: owner.as_ref().map(|owner| owner.pid),
        command: owner.map(|owner| owner.command),
        since_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_holds_the_home() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("deep/home");
        let lock = Home::lock(&home).unwrap();
        let error = Home::lock(&home).unwrap_err();
        let LockError::Busy { pid, ref command, since_ms, .. } = error else { panic!("{error:?}") };
        assert_eq!(pid, Some(std::process::id()));
        assert!(command.as_ref().unwrap().contains("store"), "{command:?}");
        assert!(since_ms.unwrap() > 1_600_000_000_000);
        let text = error.to_string();
        assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
        assert!(text.contains("MUSTER_HOME"), "{text}");
        assert_eq!(Home::writer(&home), Some(std::process::id()));
        drop(lock);
        Home::lock(&home).unwrap();
    }

    #[test]
    fn the_words_of_a_dead_owner_do_not_lock() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), r#"{"pid":1,"command":"muster run"}"#).unwrap();
        let lock = Home::lock(dir.path()).unwrap();
        assert_eq!(lock.dir(), dir.path().canonicalize().unwrap());
        drop(lock);
        std::fs::write(dir.path().join("lock"), r#"{"pid":4194999,"command":"muster run"}"#).unwrap();
        assert_eq!((Home::writer(dir.path()), Home::writer("/nowhere")), (None, None));
    }

    #[test]
    fn an_owner_that_has_not_signed_yet_is_busy_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("lock")).unwrap();
        file.lock().unwrap();
        let text = Home::lock(dir.path()).unwrap_err().to_string();
        assert!(text.contains("in use by another process"), "{text}");
    }

    #[test]
    fn a_file_in_the_place_of_the_home_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home");
        std::fs::write(&path, "").unwrap();
        let error = Home::lock(&path).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
