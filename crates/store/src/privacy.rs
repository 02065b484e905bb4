//! Whether a home is its owner's alone, and making it so.
//!
//! Journals and transcripts hold what agents were told and what they said, and the socket of the engine takes orders: who
//! can read or write here is looked at whenever a home is opened, however it was made. What is ours and too open is closed;
//! what others own, or could exchange for something else, is refused. Neither depends on the umask.

use std::{
    fmt,
    fs::{self, DirBuilder, Metadata, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

/// Links in a path that are followed, as many as the kernel follows.
const LINKS_MAX: usize = 40;
/// What group and others may do.
const OTHERS: u32 = 0o077;
/// What they may change.
const OTHERS_WRITE: u32 = 0o022;
/// In such a directory (`/tmp`) entries are their owners' to rename and remove.
const STICKY: u32 = 0o1000;

/// Why a home is not taken.
#[derive(Debug)]
pub struct NotPrivate {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Owner(u32),
    WritableByOthers(u32),
    TooManyLinks,
}

impl fmt::Display for NotPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, why } = self;
        let path = path.display();
        match why {
            Why::Owner(uid) => write!(
                f,
                "{path} belongs to user {uid}, not to user {}: whoever owns it can read or replace what muster keeps. Set \
                 MUSTER_HOME to a directory of your own, or run muster as that user",
                us()
            ),
            Why::WritableByOthers(mode) => write!(
                f,
                "{path} can be written by other users (mode {:04o}), who could replace what muster keeps. Take that away \
                 (chmod go-w {path}), or set MUSTER_HOME to a directory below your own",
                mode & 0o7777
            ),
            Why::TooManyLinks => {
                write!(f, "{path} leads through too many links; set MUSTER_HOME to the directory itself")
            }
        }
    }
}

impl std::error::Error for NotPrivate {}

/// What went wrong: the directory is not for us, or the system said something.
#[derive(Debug)]
pub(crate) enum Problem {
    NotPrivate(NotPrivate),
    Io(PathBuf, io::Error),
}

/// Makes the home if need be, and makes sure that it is the caller's alone. Its absolute path, without links.
pub(crate) fn make(dir: &Path) -> Result<PathBuf, Problem> {
    let io = |source| Problem::Io(dir.to_owned(), source);
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    secure(dir)
}

/// The same for a home that is there.
pub(crate) fn secure(dir: &Path) -> Result<PathBuf, Problem> {
    let io = |source| Problem::Io(dir.to_owned(), source);
    let home = walk(&std::path::absolute(dir).map_err(io)?)?;
    let found = fs::symlink_metadata(&home).map_err(io)?;
    owned(&home, &found)?;
    if found.mode() & 0o777 != 0o700 {
        set_mode(&home, 0o700)?;
    }
    for entry in fs::read_dir(&home).map_err(io)? {
        close(&entry.map_err(io)?.path())?;
    }
    Ok(home)
}

/// Makes sure that a file of the home is its owner's alone; makes it if asked to, so that nobody else ever gave it a mode.
pub(crate) fn private_file(path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    opened.map_err(|source| Problem::Io(path.to_owned(), source))?;
    close(path)
}

/// Takes from group and others what they may do with an entry of the home. What is gone needs nothing.
fn close(path: &Path) -> Result<(), Problem> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|source| Problem::Io(path.to_owned(), source))?,
    };
    owned(path, &found)?;
    if found.is_symlink() || found.mode() & OTHERS == 0 { Ok(()) } else { set_mode(path, found.mode() & 0o700) }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Problem> {
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        set => set.map_err(|source| Problem::Io(path.to_owned(), source)),
    }
}

fn owned(path: &Path, found: &Metadata) -> Result<(), Problem> {
    if found.uid() == us() { Ok(()) } else { Err(refused(path, Why::Owner(found.uid()))) }
}

/// Goes an absolute path through, link by link; its end. Nobody but the caller and root may be able to exchange a part of it.
fn walk(path: &Path) -> Result<PathBuf, Problem> {
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut rest: Vec<PathBuf> = parts(path);
    while let Some(part) = rest.pop() {
        if part == Path::new("..") {
            at.pop();
            continue;
        }
        let above = fs::symlink_metadata(&at).map_err(|source| Problem::Io(at.clone(), source))?;
        cannot_be_exchanged(&at, &above)?;
        let next = at.join(part);
        let found = fs::symlink_metadata(&next).map_err(|source| Problem::Io(next.clone(), source))?;
        if !found.is_symlink() {
            at = next;
            continue;
        }
        if found.uid() != us() && found.uid() != 0 {
            return Err(refused(&next, Why::Owner(found.uid())));
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(refused(path, Why::TooManyLinks));
        }
        let target = fs::read_link(&next).map_err(|source| Problem::Io(next, source))?;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        rest.extend(parts(&target));
    }
    Ok(at)
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let kept = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    kept.map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn cannot_be_exchanged(dir: &Path, found: &Metadata) -> Result<(), Problem> {
    if found.uid() != us() && found.uid() != 0 {
        return Err(refused(dir, Why::Owner(found.uid())));
    }
    // Where every user has a group of the same number, and for root's group, the group is nobody else.
    let own_group = found.gid() == found.uid() || found.gid() == 0;
    let others = if own_group { 0o002 } else { OTHERS_WRITE };
    let open = found.mode() & others != 0 && found.mode() & STICKY == 0;
    if open { Err(refused(dir, Why::WritableByOthers(found.mode()))) } else { Ok(()) }
}

fn refused(path: &Path, why: Why) -> Problem {
    Problem::NotPrivate(NotPrivate { path: path.to_owned(), why })
}

fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn said(problem: Problem) -> String {
        match problem {
            Problem::NotPrivate(why) => why.to_string(),
            Problem::Io(path, error) => panic!("{}: {error}", path.display()),
        }
    }

    #[test]
    fn what_is_ours_and_too_open_is_closed() {
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().join("home");
        fs::create_dir_all(home.join("missions/m")).unwrap();
        fs::write(home.join("journal.db"), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(home.join("engine.sock")).unwrap();
        for path in [home.clone(), home.join("missions"), home.join("journal.db"), home.join("engine.sock")] {
            fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        }
        symlink("/etc/passwd", home.join("link")).unwrap();
        let before = mode(Path::new("/etc/passwd"));
        assert_eq!(secure(&home).unwrap(), home.canonicalize().unwrap());
        let modes = ["", "missions", "journal.db", "engine.sock"].map(|name| mode(&home.join(name)));
        assert_eq!(modes, [0o700, 0o700, 0o700, 0o700]);
        assert_eq!(mode(Path::new("/etc/passwd")), before);
        fs::set_permissions(&home, Permissions::from_mode(0o500)).unwrap();
        secure(&home).unwrap();
        assert_eq!(mode(&home), 0o700);
    }

    #[test]
    fn a_new_home_and_new_files_are_private() {
        let temp = tempfile::tempdir().unwrap();
        let home = make(&temp.path().join("deep/home")).unwrap();
        private_file(&home.join("file")).unwrap();
        assert_eq!((mode(&home), mode(&home.join("file"))), (0o700, 0o600));
        fs::set_permissions(home.join("file"), Permissions::from_mode(0o644)).unwrap();
        private_file(&home.join("file")).unwrap();
        assert_eq!(mode(&home.join("file")), 0o600);
    }

    #[test]
    fn a_way_that_others_can_change_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let (open, real) = (temp.path().join("open"), temp.path().join("real"));
        fs::create_dir_all(open.join("home")).unwrap();
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let text = said(secure(&open.join("home")).unwrap_err());
        assert!(text.contains("can be written by other users (mode 0777)") && text.contains("chmod go-w"), "{text}");
        // The same by a link into it, and by a link that lies in it.
        symlink(open.join("home"), temp.path().join("into")).unwrap();
        said(secure(&temp.path().join("into")).unwrap_err());
        symlink("../real", open.join("out")).unwrap();
        said(secure(&open.join("out")).unwrap_err());
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(secure(&open.join("out")).unwrap(), real.canonicalize().unwrap());
        symlink("circle", temp.path().join("circle")).unwrap();
        assert!(said(secure(&temp.path().join("circle")).unwrap_err()).contains("too many links"));
    }

    #[test]
    fn what_belongs_to_others_is_refused() {
        if us() != 0 {
            // Only root can give something away; the root directory is root's for everybody else.
            let text = said(secure(Path::new("/usr")).unwrap_err());
            assert!(text.contains("belongs to user 0"), "{text}");
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let home = temp.path().join("theirs/home");
        fs::create_dir_all(&home).unwrap();
        chown(&home, Some(4242), None).unwrap();
        let text = said(secure(&home).unwrap_err());
        assert!(text.contains("home belongs to user 4242, not to user 0"), "{text}");
        chown(&home, Some(0), None).unwrap();
        fs::write(home.join("journal.db"), "").unwrap();
        chown(home.join("journal.db"), Some(4242), None).unwrap();
        assert!(said(secure(&home).unwrap_err()).contains("journal.db belongs to user 4242"));
        chown(home.join("journal.db"), Some(0), None).unwrap();
        chown(temp.path().join("theirs"), Some(4242), None).unwrap();
        assert!(said(secure(&home).unwrap_err()).contains("theirs belongs to user 4242"));
    }
}
