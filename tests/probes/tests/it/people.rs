//! Running processes with something to lose: another agent, and the supervisor.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// One of them.
pub struct Person {
    child: Child,
    /// Where in its memory the secret is, and which open file holds another one.
    address: u64,
    fd: u32,
    before: String,
}

impl Person {
    /// Starts as this user, in this directory.
    pub fn start(program: &Path, name: &str, token: &str, uid: u32, cwd: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["person", &format!("SECRET-{token}-arguments")]).env_clear();
        command.env("SECRET_OF", format!("SECRET-{token}-environment")).current_dir(cwd);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if crate::is_root() {
            command.uid(uid).gid(uid);
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (address, fd) = line.trim().split_once(' ').unwrap_or_else(|| panic!("{name} said {line:?}"));
        let mut person =
            Self { address: address.parse().unwrap(), fd: fd.parse().unwrap(), child, before: String::new() };
        person.before = person.state().unwrap();
        person
    }

    /// For the probes.
    pub fn args(&self, name: &str) -> Vec<String> {
        let Self { child, address, fd, .. } = self;
        vec![format!("{name}_pid={}", child.id()), format!("{name}_address={address}"), format!("{name}_fd={fd}")]
    }

    /// What has been done to it, if anything.
    pub fn harm(&mut self) -> Option<String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(format!("it was ended: {status}"));
        }
        let after = self.state().unwrap_or_else(|error| error.to_string());
        (after != self.before).then(|| format!("it was changed: {}", difference(&self.before, &after)))
    }

    /// What others could change of it.
    fn state(&self) -> std::io::Result<String> {
        let pid = self.child.id();
        let proc = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(proc.join("stat"))?;
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
        // Group, session, priority, niceness, scheduling policy: numbers 5, 6, 18, 19 and 41 of the manual's list.
        let (group, session) = (fields[2], fields[3]);
        let scheduling = [fields[15], fields[16], fields[38]].join(" ");
        let status = fs::read_to_string(proc.join("status"))?;
        let lines = status.lines().filter(|line| line.starts_with("TracerPid") || line.starts_with("Cpus_allowed:"));
        let limits = fs::read_to_string(proc.join("limits"))?;
        let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
        let io = unsafe { libc::syscall(libc::SYS_ioprio_get, 1, pid) };
        let mut memory = File::open(proc.join("mem"))?;
        memory.seek(SeekFrom::Start(self.address))?;
        let mut kept = [0; 24];
        memory.read_exact(&mut kept)?;
        let kept = String::from_utf8_lossy(&kept);
        let status: Vec<&str> = lines.collect();
        Ok(format!(
            "group {group}\nsession {session}\nscheduling {scheduling}\n{}\n{open_files}\nio {io}\n{kept}",
            status.join("\n")
        ))
    }
}

fn difference(before: &str, after: &str) -> String {
    let changed = after.lines().zip(before.lines()).filter(|(after, before)| after != before);
    changed
        .map(|(after, _)| after.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
