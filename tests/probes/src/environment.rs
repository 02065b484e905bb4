//! What it finds of its parent without looking far.

use std::fs;
use std::io;

use crate::files::nameless;
use crate::{Outcome, Probe, Scene, escaped, held};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("env_secret", "finds a secret in its environment", secret),
    Probe::new("env_count", "finds variables that nobody gave it", count),
    Probe::new("env_ld_preload", "has a library loaded into every program of the host", |_| nameless("/etc")),
    Probe::new("env_loader_cache", "changes the libraries of the host", |_| nameless("/usr/lib")),
    Probe::new("env_auxv_fd_leak", "learns paths of the host from its open files", leaks),
    Probe::new("env_mounts_leak", "learns paths of the host from its mounts", mounts),
    Probe::new("env_host_name", "learns the host's name", host_name),
    Probe::new("env_users", "learns the users of the host", users),
];

/// Whatever it has, so that the judge can look for it.
fn secret(_: &Scene) -> io::Result<Outcome> {
    let all: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    if all.iter().any(|variable| variable.starts_with("PROBE_KEY=")) {
        escaped(all.join(" "))
    } else {
        held(all.join(" "))
    }
}

fn count(_: &Scene) -> io::Result<Outcome> {
    let given = ["HOME", "LANG", "PATH", "SHELL", "USER"];
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let others: Vec<&String> = names.iter().filter(|name| !given.contains(&name.as_str())).collect();
    if others.is_empty() {
        held(format!("{} variables, all given", names.len()))
    } else {
        escaped(format!("{others:?}"))
    }
}

fn leaks(_: &Scene) -> io::Result<Outcome> {
    let links = fs::read_dir("/proc/self/fd")?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let own = |link: &String| link.starts_with("pipe:") || link.starts_with("/proc/") || link == "/dev/null";
    let others: Vec<&String> = links.iter().filter(|link| !own(link)).collect();
    if others.is_empty() { held("only its own") } else { escaped(format!("{others:?}")) }
}

/// The fourth word of a line is which part of a file system is shown: for what is bound from the host, a path of the host.
fn mounts(scene: &Scene) -> io::Result<Outcome> {
    let other = scene.path("other")?;
    let parent = other.parent().unwrap_or(&other).to_string_lossy().into_owned();
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    match text.lines().find(|line| line.contains(&parent)) {
        Some(line) => Ok(Outcome::Partly(line.split(' ').nth(3).unwrap_or_default().to_owned())),
        None => held("no path of the host"),
    }
}

fn host_name(scene: &Scene) -> io::Result<Outcome> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    if name.trim() == scene.text("host_name")? { escaped(name.trim()) } else { held(name.trim()) }
}

/// A made-up database has three users.
fn users(_: &Scene) -> io::Result<Outcome> {
    let count = fs::read_to_string("/etc/passwd")?.lines().count();
    if count > 3 { escaped(format!("{count} users")) } else { held(format!("{count} users, made up")) }
}
