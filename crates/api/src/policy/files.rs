//! Paths of this machine in a policy, and where they appear inside.

use super::{
    CheckedPolicy, Shown, Wider,
    spec::{FilesSpec, PathSpec},
};
use crate::source::{
    checker::{Checker, Wrong, quote},
    shape::{At, List, Text, WordOr},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A path on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPath {
    /// From the root.
    Absolute(PathBuf),
    /// Written `~` or `~/…`: from the home folder of whoever runs muster.
    Home(PathBuf),
    /// From the folder of the file that names it.
    Relative(PathBuf),
}

impl HostPath {
    /// The absolute path for someone whose home folder is `home`, in a file of the folder `base`.
    pub fn resolve(&self, home: &Path, base: &Path) -> PathBuf {
        let joined = match self {
            Self::Absolute(path) => path.clone(),
            Self::Home(rest) => home.join(rest),
            Self::Relative(path) => base.join(path),
        };
        // Without `.` and a slash at the end: such paths would not be recognised as the same.
        joined.components().filter(|part| *part != std::path::Component::CurDir).collect()
    }
}

/// Every path of a policy.
pub(super) fn files(
    checker: &mut Checker,
    policy: &mut CheckedPolicy,
    files: FilesSpec,
    old: List<Text>,
    wider: Wider,
) {
    let old = old.0.into_iter().map(|At { value: Text(text), place }| At { value: WordOr::Word(text), place });
    let execute = List(files.execute.0.into_iter().chain(old).collect());
    policy.read = shown(checker, files.read, wider);
    policy.write = shown(checker, files.write, wider);
    policy.execute = shown(checker, execute, wider);
    let both = policy.read.iter().filter(|read| policy.write.iter().any(|write| write.host == read.host));
    for shown in both {
        let fix = "keep it in `write`, which allows reading too";
        checker.wrong(shown.place, "this path stands in `read` and in `write`", fix);
    }
}

fn shown(checker: &mut Checker, paths: List<WordOr<PathSpec>>, wider: Wider) -> Vec<Shown> {
    let one = |At { value, place }: At<WordOr<PathSpec>>| {
        let (text, at, inside) = match value {
            WordOr::Word(text) => (text, place, None),
            WordOr::Map(PathSpec { host, inside }) => (host.value.0, host.place, Some(inside)),
        };
        let host = checker.take(at, host_path(&text, wider), HostPath::Home(PathBuf::new()));
        let inside = inside.map(|inside| checker.take(inside.place, place_inside(&inside.value.0), PathBuf::new()));
        Shown { host, inside, place: at }
    };
    paths.0.into_iter().map(one).collect()
}

fn host_path(text: &str, wider: Wider) -> Result<HostPath, Wrong> {
    let refuse = |why: &str, fix: &str| Err(Wrong::new(format!("{} {why}", quote(text)), fix));
    if text.split('/').any(|part| part == "..") || text.contains('\0') {
        return refuse("has a `..` or a zero byte in it", "write the path without it");
    }
    match (text.strip_prefix("~/"), text.starts_with('/')) {
        (Some(rest), _) if !rest.starts_with('/') => Ok(HostPath::Home(rest.into())),
        (None, true) if text.trim_matches('/').is_empty() => {
            refuse("is the whole machine", "name the folders that are needed")
        }
        (None, true) => Ok(HostPath::Absolute(text.into())),
        (None, false) if wider == Wider::Allowed && !text.is_empty() && !text.starts_with('~') => {
            Ok(HostPath::Relative(text.into()))
        }
        _ if wider == Wider::Allowed => refuse("is not a path", "write `/…`, `~/…` or `./…`"),
        _ => refuse("is not a full path", "write a path that begins with `/` or `~/`"),
    }
}

fn place_inside(text: &str) -> Result<PathBuf, Wrong> {
    let refuse = |why: &str, fix: &str| Err(Wrong::new(format!("{} {why}", quote(text)), fix));
    let odd = text.split('/').any(|part| part == ".." || part == ".") || text.contains('\0');
    if odd || !text.starts_with('/') || text.trim_matches('/').is_empty() {
        return refuse("is not a place inside", "write a full path such as `/data`");
    }
    let path: PathBuf = Path::new(text).components().collect();
    if path.starts_with("/proc") || path.starts_with("/dev") || path == Path::new("/tmp") {
        return refuse("is taken: every sandbox has its own", "choose another place, for example below `/data`");
    }
    Ok(path)
}
