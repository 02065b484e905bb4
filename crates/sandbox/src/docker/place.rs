//! The folder of one container on the host: the socket on which its guest reports, and the policy's files.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::owner::Owner;
use super::plan::{file_place, profile_place};
use crate::removal::remove_tree;
use crate::spec::Spec;
use crate::sys;

/// How the folders of one caller begin.
const PREFIX: &str = "muster-containers-";

/// One container's folder; removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub path: PathBuf,
    listener: UnixListener,
}

impl Place {
    /// Makes the folder below `base`. Other users of the host cannot look into it; the container sees only parts of it.
    pub fn make(base: &Path, owner: &Owner, spec: &Spec, profile: &str) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let callers = base.join(format!("{PREFIX}{}", owner.text()));
        let private = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path);
        match private(&callers) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => ours_alone(&callers)?,
        }
        let path = callers.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        private(&path)?;
        let listener = fill(&path, spec, profile).inspect_err(|_| _ = remove_tree(&path))?;
        Ok(Self { path, listener })
    }

    /// The guest's connection; none when `ended` becomes readable or the time is up first.
    pub fn accept(&self, ended: &OwnedFd, timeout_ms: i32) -> io::Result<Option<OwnedFd>> {
        match sys::wait_readable(&[self.listener.as_fd(), ended.as_fd()], Some(timeout_ms)) {
            [true, _] => self.listener.accept().map(|(stream, _)| Some(stream.into())),
            _ => Ok(None),
        }
    }

    /// Nobody else can connect from here on.
    pub fn close(&self) {
        let _ = fs::remove_file(self.path.join("socket/s"));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = remove_tree(&self.path);
        // Goes with the last container of this caller.
        let _ = self.path.parent().map(fs::remove_dir);
    }
}

/// The user in the container need not be the caller, so what is shown there is open to everybody, behind a closed door.
fn fill(path: &Path, spec: &Spec, profile: &str) -> io::Result<UnixListener> {
    for folder in ["socket", "files"] {
        fs::create_dir(path.join(folder))?;
        fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o755))?;
    }
    for (number, (_, text)) in spec.files.iter().enumerate() {
        let file = file_place(path, number);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    }
    fs::write(profile_place(path), profile)?;
    let socket = path.join("socket/s");
    let listener = UnixListener::bind(&socket)?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// In a folder that everybody can write in, another user may have made the folder before us.
fn ours_alone(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let about = fs::symlink_metadata(path)?;
    if about.is_dir() && about.uid() == sys::caller().uid && about.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{} is not ours alone", path.display())))
}

/// Removes the folders of callers that are no more.
pub(super) fn sweep(base: &Path) {
    let entries = fs::read_dir(base).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(Owner::parse);
        if owner.is_some_and(|owner| !owner.is_alive()) && ours_alone(&entry.path()).is_ok() {
            let _ = remove_tree(&entry.path());
        }
    }
}

/// A pipe of a program that runs as another user than the caller: programs open `/dev/stderr`, which only its owner may.
pub(super) fn give(pipe: &OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    // A terminal stays its person's.
    if pipe.is_terminal() { Ok(()) } else { std::os::unix::fs::fchown(pipe, Some(uid), Some(gid)) }
}

/// Where the folders are: the user's own place for such things, or where everybody may make some.
pub(super) fn usual_base(uid: u32) -> PathBuf {
    let own = PathBuf::from(format!("/run/user/{uid}"));
    if own.is_dir() { own } else { PathBuf::from("/tmp") }
}
