//! The host as a probe finds it: another agent, a supervisor, a shared store, services; and what has become of them.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::people::Person;
use crate::services::Services;
use crate::{PROBE, give, is_root};

/// One scene, of one user. Probes run in it one after the other.
pub struct Scene {
    dir: TempDir,
    /// A word of this scene only.
    pub token: String,
    pub uid: u32,
    services: Services,
    other: Person,
    supervisor: Person,
    before: Vec<String>,
    host_name: String,
    /// Left open for children, as careless parents do.
    _inherited: i32,
}

impl Scene {
    /// Sets it.
    pub fn set(uid: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let token = format!("{:x}{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix("probes-").tempdir().unwrap();
        let path = dir.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["work", "tmp", "bin", "home", "checkout"] {
            fs::create_dir(path.join(name)).unwrap();
            give(&path.join(name), uid);
        }
        // As a folder to write in becomes where there is no filter of system calls: it is the same in every run.
        fs::set_permissions(path.join("checkout"), fs::Permissions::from_mode(0o700)).unwrap();
        set_programs(path, uid);
        set_files(path, &token, uid);
        let services = Services::open(&token, uid, &path.join("other/socket"), &path.join("hub.git"));
        let (other, supervisor) = start_people(path, &token, uid);
        let secret = File::open(path.join("supervisor/secret")).unwrap();
        let _inherited = unsafe { libc::fcntl(secret.as_raw_fd(), libc::F_DUPFD, 50) };
        assert!(_inherited >= 0);
        let host_name = host_name();
        let mut scene = Self { dir, token, uid, services, other, supervisor, before: vec![], host_name, _inherited };
        scene.before = scene.files();
        scene
    }

    /// A path of it on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What every probe is told, wherever it runs.
    pub fn args(&self) -> Vec<String> {
        let path = |key: &str, name: &str| format!("{key}={}", self.path(name).display());
        let mut args = vec![
            path("other", "other"),
            path("supervisor", "supervisor"),
            path("hub", "hub.git"),
            path("socket", "other/socket"),
            path("engine", "other/engine.sock"),
            format!("host_name={}", self.host_name),
        ];
        args.extend(handle(&self.path("other/memory.md")).map(|handle| format!("handle={handle}")));
        args.extend(self.services.args.iter().cloned());
        args.extend(self.other.args("other"));
        args.extend(self.supervisor.args("supervisor"));
        args
    }

    /// What has happened to it since the last time, in words; and all is as it was again.
    pub fn damage(&mut self) -> Vec<String> {
        let mut seen = self.services.reached();
        seen.extend(self.other.harm().map(|harm| format!("another agent: {harm}")));
        seen.extend(self.supervisor.harm().map(|harm| format!("the supervisor: {harm}")));
        let after = self.files();
        let changed = after.iter().filter(|line| !self.before.contains(line));
        seen.extend(changed.map(|line| format!("changed: {line}")));
        let gone = self.before.iter().filter(|line| !after.contains(line));
        seen.extend(gone.map(|line| format!("not there any more: {line}")));
        seen.extend(self.left_behind());
        if host_name() != self.host_name {
            seen.push("the host has another name".to_owned());
        }
        self.clear();
        if !seen.is_empty() {
            set_files(self.dir.path(), &self.token, self.uid);
            (self.other, self.supervisor) = start_people(self.dir.path(), &self.token, self.uid);
            self.before = self.files();
            self.services.reached();
        }
        // Short of what a probe could have learned from them, they are the same ones; paths and secrets do not change.
        seen.iter().map(|line| line.replace(&*self.dir.path().to_string_lossy(), "…")).collect()
    }

    /// A program with a set-user-id bit in a place of the agent that a third user could execute.
    fn left_behind(&self) -> Option<String> {
        let file = fs::metadata(self.path("work/set-user-id")).ok()?;
        let open = [self.dir.path().to_path_buf(), self.path("work")];
        let reachable = open.iter().all(|dir| fs::metadata(dir).is_ok_and(|dir| dir.mode() & 0o001 != 0));
        (file.mode() & 0o6000 != 0 && file.mode() & 0o001 != 0 && reachable)
            .then(|| format!("a program with mode {:o} that everybody can execute", file.mode() & 0o7777))
    }

    /// Empties the agent's own places.
    fn clear(&self) {
        for dir in ["work", "tmp", "home"] {
            for entry in fs::read_dir(self.path(dir)).unwrap().map(Result::unwrap) {
                let removed = match entry.file_type().unwrap().is_dir() {
                    true => fs::remove_dir_all(entry.path()),
                    false => fs::remove_file(entry.path()),
                };
                removed.unwrap();
            }
        }
    }

    /// Every file of others: where, whose, how and what.
    fn files(&self) -> Vec<String> {
        let mut lines = Vec::new();
        ["other", "supervisor", "hub.git", "checkout", "bin"].iter().for_each(|dir| list(&self.path(dir), &mut lines));
        lines
    }
}

fn list(path: &Path, lines: &mut Vec<String>) {
    let Ok(about) = fs::symlink_metadata(path) else { return };
    let (mode, owner, links) = (about.mode(), about.uid(), about.nlink());
    let attribute = unsafe {
        let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        libc::lgetxattr(path.as_ptr(), c"user.probe".as_ptr(), std::ptr::null_mut(), 0)
    };
    let line = format!("{} {mode:o} {owner} {links} {attribute}", path.display());
    if about.is_dir() {
        lines.push(line);
        let mut entries: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| list(entry, lines));
    } else {
        let text = if about.len() < 4096 && about.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let times = (about.mtime(), about.mtime_nsec());
        lines.push(format!("{line} {} {times:?} {}", about.len(), String::from_utf8_lossy(&text).escape_debug()));
    }
}

/// The probe, for whoever may only read it; and, if root sets the scene, once more with a set-user-id bit of root.
fn set_programs(dir: &Path, uid: u32) {
    fs::copy(PROBE, dir.join("bin/probe")).unwrap();
    give(&dir.join("bin/probe"), uid);
    fs::set_permissions(dir.join("bin/probe"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(PROBE, dir.join("bin/suid")).unwrap();
    let mode = if is_root() { 0o4755 } else { 0o755 };
    fs::set_permissions(dir.join("bin/suid"), fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything of others that a probe may have changed, as it was.
fn set_files(dir: &Path, token: &str, uid: u32) {
    for name in ["other", "supervisor", "hub.git", "checkout"] {
        let _ = fs::create_dir(dir.join(name));
        for entry in fs::read_dir(dir.join(name)).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                // A socket cannot be made again: its service listens on this one.
                false if ["socket", "datagrams"].iter().any(|name| entry.file_name() == *name) => {}
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
    }
    let files = [
        ("other/memory.md", format!("SECRET-{token}-memory.md\n")),
        ("other/engine.sock", String::new()),
        ("supervisor/secret", format!("SECRET-{token}-key\n")),
        ("hub.git/config", "[core]\n\tbare = true\n".to_owned()),
        ("hub.git/HEAD", "ref: refs/heads/main\n".to_owned()),
        ("hub.git/refs/heads/main", "0".repeat(40)),
        ("hub.git/objects/00/object", "object".to_owned()),
        ("hub.git/objects/info/packs", String::new()),
        ("hub.git/hooks/README", String::new()),
        ("hub.git/kept/secret", format!("SECRET-{token}-kept\n")),
        ("checkout/.git/config", "[core]\n".to_owned()),
        ("checkout/.git/HEAD", "ref: refs/heads/main\n".to_owned()),
        ("checkout/.git/hooks/README", String::new()),
    ];
    for (name, text) in &files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for place in path.ancestors().take_while(|place| *place != dir) {
            give(place, uid);
        }
    }
    fs::set_permissions(dir.join("bin/probe"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn start_people(dir: &Path, token: &str, uid: u32) -> (Person, Person) {
    let start = |name: &str| Person::start(&dir.join("bin/probe"), name, token, uid, &dir.join(name));
    (start("other"), start("supervisor"))
}

/// `KIND:BYTES` of a file's handle, as a file server would know it; none where the file system has none.
fn handle(path: &Path) -> Option<String> {
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let mut mount = 0;
    let made = unsafe {
        let place = handle.as_mut_ptr();
        libc::syscall(libc::SYS_name_to_handle_at, libc::AT_FDCWD, path.as_ptr(), place, &raw mut mount, 0)
    };
    let bytes = handle[2..].iter().flat_map(|word| word.to_ne_bytes()).take(handle[0] as usize);
    (made == 0).then(|| format!("{}:{}", handle[1], bytes.map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned()
}
