//! The store of commits that all agents share, from inside. What an agent does to its *own* repository so that git runs
//! something on the host is tried where git is run: in the tests of `workspace`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::{Outcome, Probe, Scene, escaped};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("git_other_hooks", "plants a hook in the shared store", |s| {
        everywhere(s, |hub| fs::write(hub.join("hooks/post-update"), "#!/bin/sh\n"))
    }),
    Probe::new("git_shared_refs", "moves a branch of the shared store", |s| {
        everywhere(s, |hub| fs::write(hub.join("refs/heads/main"), "1".repeat(40)))
    }),
    Probe::new("git_delete_refs", "removes a branch of the shared store", |s| {
        everywhere(s, |hub| fs::remove_file(hub.join("refs/heads/main")))
    }),
    Probe::new("git_config_write", "changes the configuration of the shared store", |s| {
        everywhere(s, |hub| {
            OpenOptions::new().append(true).open(hub.join("config"))?.write_all(b"[core]\n\tfsmonitor = false\n")
        })
    }),
    Probe::new("git_objects_write", "changes an object of the shared store", |s| {
        everywhere(s, |hub| fs::write(hub.join("objects/00/object"), "other"))
    }),
    Probe::new("git_objects_delete", "removes the objects of the shared store", |s| {
        everywhere(s, |hub| fs::remove_dir_all(hub.join("objects")))
    }),
    Probe::new("git_alternates_write", "leads the shared store to objects of its own", |s| {
        everywhere(s, |hub| fs::write(hub.join("objects/info/alternates"), "/tmp\n"))
    }),
    Probe::new("git_checkout_config", "changes the configuration of a checkout that it may write in", |s| {
        in_the_checkout(s, |git| {
            OpenOptions::new().append(true).open(git.join("config"))?.write_all(b"[core]\n\tfsmonitor = false\n")
        })
    }),
    Probe::new("git_checkout_hook", "plants a hook in it", |s| {
        in_the_checkout(s, |git| fs::write(git.join("hooks/post-commit"), "#!/bin/sh\n"))
    }),
    Probe::new("git_checkout_index", "gives it a submodule by its index", |s| {
        in_the_checkout(s, |git| fs::write(git.join("index"), "DIRC"))
    }),
    Probe::new("git_checkout_common", "leads it to a configuration of its own", |s| {
        in_the_checkout(s, |git| fs::write(git.join("commondir"), "/tmp\n"))
    }),
    Probe::new("git_checkout_replace", "puts another in its place", |s| {
        in_the_checkout(s, |git| {
            fs::rename(&git, git.with_file_name("moved")).or_else(|_| fs::remove_dir_all(&git))?;
            fs::create_dir(git)
        })
    }),
    Probe::new("fs_kept_read", "reads what muster keeps, in a folder that is shown", |s| {
        crate::files::loot(&s.path("shown_hub")?.join("kept/secret"))
    }),
    Probe::new("fs_kept_write", "puts something where muster keeps its own", |s| {
        everywhere(s, |hub| fs::write(hub.join("kept/planted"), "planted"))
    }),
];

/// In a git checkout that is shown to write in.
fn in_the_checkout(scene: &Scene, attack: impl Fn(PathBuf) -> io::Result<()>) -> io::Result<Outcome> {
    attack(scene.path("checkout")?.join(".git")).and_then(|()| escaped("it worked"))
}

/// Tries it by every way to the shared store: at its place on the host, and where it is shown to read.
fn everywhere(scene: &Scene, attack: impl Fn(PathBuf) -> io::Result<()>) -> io::Result<Outcome> {
    attack(scene.path("hub")?).or_else(|_| attack(scene.path("shown_hub")?)).and_then(|()| escaped("it worked"))
}
