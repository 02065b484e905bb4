//! What of the host is shown, judged at every launch, whatever the policy says.
//!
//! A policy names paths; what lies there is known only now, and a program that ran before may have had a hand in it. Three
//! rules hold for every path that is not ours:
//!
//! * A link is not followed out of a folder that programs may write in: it may be theirs. What was judged is what is
//!   mounted: it is opened without following any link.
//! * What muster keeps ([`Launcher::hide`](crate::Launcher::hide)) is not shown, under no name: neither by a link nor by another mount of it. A folder
//!   that holds it can be shown to read, with an empty one in its place.
//! * In a folder to write in that is a git checkout, `.git` can be read only: its configuration and hooks are run by the next
//!   `git` outside. Who names it itself to write in gets it.

mod git;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::error::SandboxError;
use crate::policy::{Bind, Filesystem, Ownership};

/// Links in one path that are followed, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// What is shown in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub binds: Vec<Bind>,
    /// Places inside that are covered with an empty folder.
    pub masks: Vec<PathBuf>,
}

/// Judges what a policy shows.
pub(crate) fn judge(filesystem: &Filesystem, hidden: &[PathBuf]) -> Result<Shown, SandboxError> {
    let theirs = |bind: &&Bind| bind.ownership == Ownership::Agent;
    let written = filesystem.binds.iter().filter(theirs).filter(|bind| bind.access.writes()).map(|bind| &bind.host);
    let distrusted: Vec<PathBuf> =
        written.chain(&filesystem.distrusted).filter_map(|place| place.canonicalize().ok()).collect();
    let mut rules = Rules { distrusted, secrets: None, mounts: None };
    let mut shown = Shown::default();
    for bind in &filesystem.binds {
        if bind.ownership == Ownership::Host {
            shown.binds.push(bind.clone());
        } else if bind.ours {
            let host = bind.host.canonicalize().unwrap_or_else(|_| bind.host.clone());
            shown.binds.push(Bind { host, ..bind.clone() });
        } else {
            let bind = Bind { host: rules.follow(&bind.host)?, ..bind.clone() };
            shown.masks.extend(rules.masks(&bind, hidden)?);
            shown.binds.extend(git::guards(&bind, &filesystem.binds)?);
            shown.binds.push(bind);
        }
    }
    Ok(shown)
}

/// What one judgement knows of the host; looked up when it is first needed.
struct Rules {
    /// Folders in which programs may have made links.
    distrusted: Vec<PathBuf>,
    secrets: Option<Vec<Secret>>,
    mounts: Option<Vec<PathBuf>>,
}

/// A folder that is not shown.
struct Secret {
    path: PathBuf,
    /// It, if it is there, and every folder above it: which file it is, and what of the path is left below it.
    above: Vec<(File, PathBuf)>,
    is_there: bool,
}

/// A file whatever its names are.
type File = (u64, u64);

impl Rules {
    /// Where a path leads.
    fn follow(&self, path: &Path) -> Result<PathBuf, SandboxError> {
        let failed = |source| SandboxError::Bind { host: path.to_owned(), source };
        let (mut at, mut rest, mut links) = (PathBuf::from("/"), parts(path), 0);
        let mut within: Vec<(&Path, PathBuf)> = Vec::new();
        while let Some(part) = rest.pop() {
            if part == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(part);
            if !fs::symlink_metadata(&next).map_err(failed)?.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(failed(io::Error::from_raw_os_error(libc::ELOOP)));
            }
            within.extend(
                self.distrusted.iter().filter(|place| at.starts_with(place)).map(|place| (&**place, next.clone())),
            );
            let target = fs::read_link(&next).map_err(failed)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        }
        match within.iter().find(|(place, _)| !at.starts_with(place)) {
            None => Ok(at),
            Some((place, link)) => Err(SandboxError::Policy(format!(
                "{} leads to {} by the link {}, which lies in {}, where programs in a sandbox may write: it may be theirs. \
                 Name {} itself if it is to be shown",
                path.display(),
                at.display(),
                link.display(),
                place.display(),
                at.display()
            ))),
        }
    }

    /// What must be covered where this is shown; or why it is not shown.
    fn masks(&mut self, bind: &Bind, hidden: &[PathBuf]) -> Result<Vec<PathBuf>, SandboxError> {
        let secrets = &*self.secrets.get_or_insert_with(|| hidden.iter().map(|path| Secret::at(path)).collect());
        if secrets.is_empty() {
            return Ok(Vec::new());
        }
        let up: Vec<File> = bind.host.ancestors().filter_map(file).collect();
        let mut masks = Vec::new();
        for secret in secrets {
            if secret.is_there && secret.above.first().is_some_and(|(itself, _)| up.contains(itself)) {
                return Err(secret.refused(bind, "belongs to what muster keeps, which no program is shown"));
            }
            for (place, left) in secret.places(bind, up.first(), &mut self.mounts) {
                let is_safe = !bind.access.writes() || (place == bind.inside && left.components().count() == 1);
                match (secret.is_there, is_safe) {
                    (true, true) => masks.push(place.join(left)),
                    (false, _) if !bind.access.writes() => {}
                    _ => {
                        return Err(
                            secret.refused(bind, "holds what muster keeps, and would let a program write around it")
                        );
                    }
                }
            }
        }
        Ok(masks)
    }
}

impl Secret {
    fn at(path: &Path) -> Self {
        let real = path.canonicalize();
        let is_there = real.is_ok();
        // Of what is not there, the part that is.
        let path = real.unwrap_or_else(|_| {
            let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
            let end = |above: &Path| path.strip_prefix(above).unwrap_or(Path::new("")).to_owned();
            there.map_or_else(|| path.to_owned(), |(above, real)| real.join(end(above)))
        });
        let left = |above: &Path| path.strip_prefix(above).unwrap_or(Path::new("")).to_owned();
        let above = path.ancestors().filter_map(|above| Some((file(above)?, left(above)))).collect();
        Self { path, above, is_there }
    }

    /// Where it, or a folder above it, appears inside, with what of its path is left below.
    fn places(&self, bind: &Bind, host: Option<&File>, mounts: &mut Option<Vec<PathBuf>>) -> Vec<(PathBuf, PathBuf)> {
        let left_below = |file: Option<&File>| self.above.iter().find(|(above, _)| Some(above) == file);
        let whole = left_below(host).map(|(_, left)| (bind.inside.clone(), left.clone()));
        let mounts = mounts.get_or_insert_with(mount_points);
        let below = mounts.iter().filter_map(|mount| Some((mount, mount.strip_prefix(&bind.host).ok()?)));
        let below = below.filter(|(_, end)| end.components().next().is_some()).filter_map(|(mount, end)| {
            let (_, left) = left_below(file(mount).as_ref())?;
            Some((bind.inside.join(end), left.clone()))
        });
        whole.into_iter().chain(below).collect()
    }

    fn refused(&self, bind: &Bind, why: &str) -> SandboxError {
        let fix = "show the folders that are needed instead";
        SandboxError::Policy(format!("{} {why} ({}); {fix}", bind.host.display(), self.path.display()))
    }
}

fn file(path: &Path) -> Option<File> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let kept = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    kept.map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

fn mount_points() -> Vec<PathBuf> {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let places = text.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    places.map(|place| PathBuf::from(std::ffi::OsString::from_vec(unescaped(place)))).collect()
}

/// White space and backslashes are written as three octal digits.
fn unescaped(mut place: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(place.len());
    while let Some((first, rest)) = place.split_first() {
        let digits =
            rest.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match digits {
            Some(digits) => {
                plain.push(digits.iter().fold(0, |byte: u8, digit| byte.wrapping_mul(8).wrapping_add(digit - b'0')));
                place = &rest[3..];
            }
            None => {
                plain.push(*first);
                place = rest;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::policy::Access;

    fn judged(binds: Vec<Bind>, hidden: &[PathBuf]) -> Result<Shown, String> {
        judge(&Filesystem { binds, ..Filesystem::default() }, hidden).map_err(|error| error.to_string())
    }

    fn folders(names: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        names.iter().for_each(|name| fs::create_dir_all(root.join(name)).unwrap());
        (temp, root)
    }

    #[test]
    fn links_lead_out_of_no_folder_that_is_written_in() {
        let (_temp, root) = folders(&["work/sub", "other", "mine"]);
        symlink(root.join("other"), root.join("work/out")).unwrap();
        symlink("../sub", root.join("work/sub/in")).unwrap();
        symlink(root.join("other"), root.join("mine/link")).unwrap();
        let work = Bind::write(root.join("work"), "/w");
        let with = |path: &str| judged(vec![work.clone(), Bind::read(root.join(path), "/x")], &[]);
        let text = with("work/out").unwrap_err();
        assert!(text.contains("by the link") && text.contains("Name "), "{text}");
        assert_eq!(with("work/sub/in").unwrap().binds[1].host, root.join("work/sub"));
        // A person's own link, in a folder that nothing inside has written in.
        assert_eq!(with("mine/link").unwrap().binds[1].host, root.join("other"));
        let filesystem = Filesystem {
            binds: vec![Bind::read(root.join("mine/link"), "/x")],
            distrusted: vec![root.join("mine")],
            ..Filesystem::default()
        };
        judge(&filesystem, &[]).unwrap_err();
        // Ours lie where no program can exchange them.
        judged(vec![work, Bind::read(root.join("work/out"), "/x").ours()], &[]).unwrap();
    }

    #[test]
    fn what_is_hidden_is_shown_under_no_name() {
        let (_temp, root) = folders(&["user/state/home/missions", "elsewhere"]);
        let hidden = [root.join("user/state/home"), root.join("user/.config/muster")];
        symlink(root.join("user/state/home"), root.join("elsewhere/link")).unwrap();
        for path in ["user/state/home", "user/state/home/missions", "elsewhere/link", "elsewhere/link/missions"] {
            let text = judged(vec![Bind::read(root.join(path), "/x")], &hidden).unwrap_err();
            assert!(text.contains("belongs to what muster keeps"), "{text}");
        }
        let read = |path: &str| judged(vec![Bind::read(root.join(path), "/x")], &hidden).unwrap().masks;
        assert_eq!(read("user"), [PathBuf::from("/x/state/home")]);
        assert_eq!(read("user/state"), [PathBuf::from("/x/home")]);
        assert!(read("elsewhere").is_empty());
        // To write in: only where nothing above what is hidden can be moved away.
        let write = |path: &str| judged(vec![Bind::write(root.join(path), "/x")], &hidden);
        assert!(write("user").unwrap_err().contains("would let a program write around it"));
        assert_eq!(write("user/state").unwrap().masks, [PathBuf::from("/x/home")]);
        // What is not there could be made.
        fs::create_dir_all(root.join("user/.config")).unwrap();
        assert!(write("user/.config").unwrap_err().contains("would let a program write around it"));
        assert!(read("user/.config").is_empty());
        let own = Bind::write(root.join("user/state/home/missions"), "/w").ours();
        assert_eq!(judged(vec![own.clone()], &hidden).unwrap().binds, [own]);
    }

    #[test]
    fn mount_points_are_written_with_escapes() {
        assert_eq!(unescaped(br"/a\040b\134\011c\0"), b"/a b\\\tc\\0");
        assert!(mount_points().contains(&PathBuf::from("/proc")));
    }

    #[test]
    fn the_state_of_git_can_be_read_only() {
        let (_temp, root) = folders(&["repo/.git/modules/sub", "repo/deep/sub", "repo/deep/empty", "plain", "linked"]);
        fs::write(root.join("repo/deep/sub/.git"), "gitdir: ../../.git/modules/sub\n").unwrap();
        let modules = "[submodule \"s\"]\n\tpath = deep/sub\n[submodule \"e\"]\n path=\"deep/empty\"\n\
                       [submodule \"x\"]\n\tpath = ../out\n\tpath = /etc\n\tpath = nothing\n\turl = path = x\n";
        fs::write(root.join("repo/.gitmodules"), modules).unwrap();
        fs::write(root.join("linked/.git"), "gitdir: /elsewhere\n").unwrap();
        let shown = |path: &str, access| {
            let bind = Bind { access, ..Bind::read(root.join(path), "/w") };
            let binds = judged(vec![bind], &[]).unwrap().binds;
            binds.into_iter().map(|bind| (bind.inside.to_string_lossy().into_owned(), bind.access)).collect::<Vec<_>>()
        };
        let with = |list: &[(&str, Access)]| {
            list.iter().map(|(path, access)| ((*path).to_owned(), *access)).collect::<Vec<_>>()
        };
        let (read, write) = (Access::ReadExecute, Access::WriteExecute);
        assert_eq!(
            shown("repo", write),
            with(&[
                ("/w/.git", read),
                ("/w/deep", write),
                ("/w/deep/sub", write),
                ("/w/deep/sub/.git", read),
                ("/w/deep/empty", read),
                ("/w", write)
            ])
        );
        assert_eq!(shown("linked", Access::Write), with(&[("/w/.git", Access::Read), ("/w", Access::Write)]));
        assert_eq!(shown("repo", Access::Read), with(&[("/w", Access::Read)]));
        assert_eq!(shown("plain", write), with(&[("/w", write)]));
        // Who asks for it by name gets it.
        let asked = vec![Bind::write(root.join("repo"), "/w"), Bind::write(root.join("repo/.git"), "/w/.git")];
        let binds = judged(asked, &[]).unwrap().binds;
        assert!(
            binds
                .iter()
                .filter(|bind| bind.inside.ends_with(".git"))
                .all(|bind| bind.host.ends_with("sub/.git") || bind.access.writes()),
            "{binds:?}"
        );
        symlink("elsewhere", root.join("plain/.git")).unwrap();
        assert!(judged(vec![Bind::write(root.join("plain"), "/w")], &[]).unwrap_err().contains("is a link"));
    }
}
