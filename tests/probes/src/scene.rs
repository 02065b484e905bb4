//! What a probe is told: where the things are that it is after. It is never told the secrets.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `KEY=VALUE` arguments.
#[derive(Clone, Debug, Default)]
pub struct Scene {
    values: BTreeMap<String, String>,
}

impl Scene {
    /// Reads the arguments; one without `=` is dropped.
    pub fn read(args: impl Iterator<Item = String>) -> Self {
        let values = args.filter_map(|arg| arg.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
        Self { values: values.collect() }
    }

    /// What is told under a key.
    pub fn text(&self, key: &str) -> io::Result<&str> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("the scene has no {key}"));
        self.values.get(key).map(String::as_str).ok_or_else(missing)
    }

    pub(crate) fn path(&self, key: &str) -> io::Result<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(crate) fn number(&self, key: &str) -> io::Result<u64> {
        let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{key}: {error}"));
        self.text(key)?.parse().map_err(wrong)
    }

    pub(crate) fn pid(&self, key: &str) -> io::Result<libc::pid_t> {
        self.number(key).and_then(|pid| libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidData.into()))
    }

    /// The other agent's memory, on the host.
    pub(crate) fn memory(&self) -> io::Result<PathBuf> {
        Ok(self.path("other")?.join("memory.md"))
    }

    /// A path in the agent's own place.
    pub(crate) fn own(&self, name: &str) -> io::Result<PathBuf> {
        Ok(self.path("work")?.join(name))
    }
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// The name of an error of the kernel (`EPERM`), or what there is to say about another one.
pub fn errno_name(error: &io::Error) -> String {
    let Some(errno) = error.raw_os_error() else { return error.to_string() };
    let name = NAMES.iter().find(|(number, _)| *number == errno);
    name.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EIO, "EIO"),
    (libc::ENXIO, "ENXIO"),
    (libc::EBADF, "EBADF"),
    (libc::ECHILD, "ECHILD"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::EXDEV, "EXDEV"),
    (libc::ENODEV, "ENODEV"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMFILE, "EMFILE"),
    (libc::ENOTTY, "ENOTTY"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EROFS, "EROFS"),
    (libc::ELOOP, "ELOOP"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
    (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (libc::ENETUNREACH, "ENETUNREACH"),
    (libc::EHOSTUNREACH, "EHOSTUNREACH"),
    (libc::ECONNREFUSED, "ECONNREFUSED"),
    (libc::ENOKEY, "ENOKEY"),
    (libc::EDQUOT, "EDQUOT"),
];
