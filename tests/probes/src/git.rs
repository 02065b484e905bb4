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
];

/// Tries it by every way to the shared store: at its place on the host, and where it is shown to read.
fn everywhere(scene: &Scene, attack: impl Fn(PathBuf) -> io::Result<()>) -> io::Result<Outcome> {
    attack(scene.path("hub")?).or_else(|_| attack(scene.path("shown_hub")?)).and_then(|()| escaped("it worked"))
}
