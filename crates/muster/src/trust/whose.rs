//! Whose a file is: the person's, who named one that lies outside of every repository, or a project's.
//!
//! A name is followed link by link, and it is the project's as soon as any step of the way lies in a repository: one that
//! leads out of a repository was chosen by the repository, one that leads into it ends in what the repository brings.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// Most links that one name may lead through, as the kernel has it.
const LINKS_MAX: usize = 40;

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The person's own.
    Person,
    /// A project's: it may have come with the repository.
    Project {
        /// The root of the repository, or the folder of the file where there is none; links followed.
        root: PathBuf,
        /// The file as it is named below it, or from the root of the machine.
        file: PathBuf,
    },
}

impl Whose {
    /// Whose a file is. `named`: whether a person named it, instead of it being found; `repo`: the root of the repository that
    /// is worked on.
    ///
    /// # Errors
    /// The name leads nowhere.
    pub(crate) fn of(file: &Path, named: bool, repo: Option<&Path>) -> io::Result<Self> {
        let (links, real) = way(file)?;
        if let Some(root) = repository_of(&real, repo) {
            return Ok(Self::project(root, &real));
        }
        if let Some(root) = links.iter().find_map(|link| repository_of(link, repo)) {
            return Ok(Self::project(root, &real));
        }
        // A second name of the same file may lie anywhere.
        if !named || fs::metadata(&real)?.nlink() > 1 {
            return Ok(Self::beside(&real));
        }
        Ok(Self::Person)
    }

    /// The same for a file that can be written by whoever it confines, wherever it lies.
    pub(crate) fn in_folder(file: &Path, named: bool, folder: &Path) -> io::Result<Self> {
        let real = file.canonicalize()?;
        match Self::of(file, named, None)? {
            Self::Person if real.starts_with(folder.canonicalize()?) => Ok(Self::beside(&real)),
            whose => Ok(whose),
        }
    }

    /// A project's file that lies in no repository: its folder is what it belongs to.
    pub(super) fn beside(real: &Path) -> Self {
        Self::project(real.parent().unwrap_or(Path::new("/")).to_owned(), real)
    }

    fn project(root: PathBuf, file: &Path) -> Self {
        let file = file.strip_prefix(&root).unwrap_or(file).to_owned();
        Self::Project { root, file }
    }
}

/// The root of the repository that a path lies in, links followed; nothing where it lies in none.
pub(crate) fn root_of(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    real.ancestors().find(|folder| is_root(folder)).map(Path::to_owned)
}

/// Whether a folder is the root of a repository, a linked worktree or a submodule.
pub(crate) fn is_root(folder: &Path) -> bool {
    folder.join(".git").symlink_metadata().is_ok()
}

fn repository_of(step: &Path, repo: Option<&Path>) -> Option<PathBuf> {
    if let Some(repo) = repo.filter(|repo| step.starts_with(repo)) {
        return Some(repo.to_owned());
    }
    step.ancestors().skip(1).find(|folder| is_root(folder)).map(Path::to_owned)
}

/// Where the links lie that a name leads through, and what it leads to: part by part, as the kernel does it.
fn way(file: &Path) -> io::Result<(Vec<PathBuf>, PathBuf)> {
    let (mut links, mut here) = (Vec::new(), PathBuf::from("/"));
    let name = std::path::absolute(file)?;
    let mut parts: VecDeque<OsString> = words(&name);
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        if !next.symlink_metadata()?.is_symlink() {
            here = next;
            continue;
        }
        if links.len() == LINKS_MAX {
            return Err(io::Error::other("the name leads through too many links"));
        }
        let target = fs::read_link(&next)?;
        links.push(next);
        if target.is_absolute() {
            here = "/".into();
        }
        let mut all = words(&target);
        all.append(&mut parts);
        parts = all;
    }
    Ok((links, here))
}

/// The parts of a path that lead somewhere; `..` is one of them.
fn words(path: &Path) -> VecDeque<OsString> {
    let leads = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(leads).map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["repo/.git", "repo/sub", "outside", "work"] {
                fs::create_dir_all(dir.path().join(folder)).unwrap();
            }
            for file in ["repo/muster.yaml", "repo/sub/muster.yaml", "outside/muster.yaml", "repo/.git/x.yaml"] {
                fs::write(dir.path().join(file), "x").unwrap();
            }
            Self(dir)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn is_projects(&self, name: &str) -> bool {
            let repo = root_of(&self.path("repo"));
            Whose::of(&self.path(name), true, repo.as_deref()).unwrap() != Whose::Person
        }
    }

    #[test]
    fn what_lies_in_a_repository_is_the_projects() {
        let scene = Scene::new();
        for name in ["repo/muster.yaml", "repo/sub/muster.yaml", "repo/.git/x.yaml", "outside/../repo/muster.yaml"] {
            assert!(scene.is_projects(name), "{name}");
        }
        for name in ["outside/muster.yaml", "repo/../outside/muster.yaml", "repo/sub/../../outside/muster.yaml"] {
            assert!(!scene.is_projects(name), "{name}");
        }
        let found = Whose::of(&scene.path("outside/muster.yaml"), false, None).unwrap();
        assert_eq!(found, Whose::Project { root: scene.path("outside"), file: "muster.yaml".into() });
        let sub = Whose::of(&scene.path("repo/sub/muster.yaml"), true, None).unwrap();
        assert_eq!(sub, Whose::Project { root: scene.path("repo"), file: "sub/muster.yaml".into() });
    }

    #[test]
    fn links_are_followed_both_ways() {
        let scene = Scene::new();
        symlink(scene.path("outside/muster.yaml"), scene.path("repo/out.yaml")).unwrap();
        symlink(scene.path("repo/muster.yaml"), scene.path("work/in.yaml")).unwrap();
        symlink(scene.path("outside"), scene.path("repo/folder")).unwrap();
        symlink(scene.path("repo/sub"), scene.path("work/folder")).unwrap();
        symlink("in.yaml", scene.path("work/twice.yaml")).unwrap();
        symlink(scene.path("repo/folder"), scene.path("work/through")).unwrap();
        symlink(scene.path("outside/muster.yaml"), scene.path("work/own.yaml")).unwrap();
        for name in [
            "repo/out.yaml",
            "work/in.yaml",
            "repo/folder/muster.yaml",
            "work/folder/muster.yaml",
            "work/folder/../muster.yaml",
            "work/twice.yaml",
            "work/through/muster.yaml",
        ] {
            assert!(scene.is_projects(name), "{name}");
        }
        assert!(!scene.is_projects("work/own.yaml"));
        symlink("loop.yaml", scene.path("work/loop.yaml")).unwrap();
        assert!(Whose::of(&scene.path("work/loop.yaml"), true, None).is_err());
    }

    #[test]
    fn other_names_and_other_repositories_count_too() {
        let scene = Scene::new();
        fs::hard_link(scene.path("repo/muster.yaml"), scene.path("work/hard.yaml")).unwrap();
        fs::create_dir_all(scene.path("work/other")).unwrap();
        // A linked worktree and a submodule have a file of this name.
        fs::write(scene.path("work/other/.git"), "gitdir: /elsewhere\n").unwrap();
        fs::write(scene.path("work/other/muster.yaml"), "x").unwrap();
        assert!(scene.is_projects("work/hard.yaml") && scene.is_projects("work/other/muster.yaml"));
        let policy = scene.path("outside/muster.yaml");
        assert_eq!(Whose::in_folder(&policy, true, &scene.path("work")).unwrap(), Whose::Person);
        assert_ne!(Whose::in_folder(&policy, true, &scene.path("outside")).unwrap(), Whose::Person);
    }
}
