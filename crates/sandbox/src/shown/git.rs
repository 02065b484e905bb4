//! What of a git checkout stays as it is while programs write in it.
//!
//! The whole of `.git`, not only configuration and hooks: a program that may write in the index or beside it gives the checkout
//! a submodule, or another common folder, with a configuration of its own, and the next `git status` outside runs what that
//! says. `.git` is a mount of its own, so that it cannot be moved away either; so are the submodules and what they lie in.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::error::SandboxError;
use crate::policy::{Access, Bind};

/// The longest list of submodules that is read, in bytes, and how many there may be in it.
const LIST_BYTES_MAX: u64 = 256 << 10;
const SUBMODULES_MAX: usize = 256;

/// The mounts that keep the state of git in this folder, if programs may write in it; `binds` are all that the policy shows.
pub(super) fn guards(bind: &Bind, binds: &[Bind]) -> Result<Vec<Bind>, SandboxError> {
    let own = bind.host.join(".git");
    let Ok(found) = fs::symlink_metadata(&own) else { return Ok(Vec::new()) };
    if !bind.access.writes() || !fs::symlink_metadata(&bind.host).is_ok_and(|found| found.is_dir()) {
        return Ok(Vec::new());
    }
    if found.is_symlink() {
        return Err(SandboxError::Policy(format!(
            "{} is a link, and a program that may write beside it could put another in its place, which the next git \
             outside would follow; let the folder be read only, or name the folders in it that are to be written in",
            own.display()
        )));
    }
    let mut guards = BTreeSet::new();
    let mut list = Vec::new();
    let mut add = |end: &Path, access: Access| {
        let (host, inside) = (bind.host.join(end), bind.inside.join(end));
        let is_named = binds.iter().any(|other| other.inside == inside);
        if !is_named && guards.insert(inside.clone()) {
            list.push(Bind { host, inside, access, ..bind.clone() });
        }
    };
    let read = if bind.access.executes() { Access::ReadExecute } else { Access::Read };
    add(Path::new(".git"), read);
    for submodule in submodules(&bind.host)? {
        let above: Vec<&Path> = submodule.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
        above.into_iter().rev().for_each(|above| add(above, bind.access));
        let state = submodule.join(".git");
        match fs::symlink_metadata(bind.host.join(&state)) {
            Ok(found) if !found.is_symlink() => {
                add(&submodule, bind.access);
                add(&state, read);
            }
            // Not filled yet: nobody but git has to do with it.
            _ => add(&submodule, read),
        }
    }
    Ok(list)
}

/// The folders of submodules that are there, relative; whoever wrote the list is not believed.
fn submodules(checkout: &Path) -> Result<Vec<PathBuf>, SandboxError> {
    let path = checkout.join(".gitmodules");
    let mut text = Vec::new();
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let Ok(file) = fs::File::open(&path) else { return Ok(Vec::new()) };
    if !is_file || file.take(LIST_BYTES_MAX).read_to_end(&mut text).is_err() {
        return Ok(Vec::new());
    }
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().filter_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        (key.trim().eq_ignore_ascii_case("path")).then(|| PathBuf::from(value.trim().trim_matches('"')))
    });
    let found: Vec<PathBuf> = named.filter(|path| is_plain(checkout, path)).take(SUBMODULES_MAX + 1).collect();
    if found.len() > SUBMODULES_MAX {
        return Err(SandboxError::Policy(format!(
            "{} has more than {SUBMODULES_MAX} submodules, which cannot all be kept as they are; let the folder be read only, \
             or name the folders in it that are to be written in",
            checkout.display()
        )));
    }
    Ok(found)
}

/// Whether every part of this is a folder, and none a link.
fn is_plain(checkout: &Path, path: &Path) -> bool {
    let mut at = checkout.to_owned();
    let mut parts = path.components().peekable();
    parts.peek().is_some()
        && parts.all(|part| {
            at.push(part);
            matches!(part, Component::Normal(_)) && fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir())
        })
}
