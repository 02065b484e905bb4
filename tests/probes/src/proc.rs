//! What `/proc` tells of others: the supervisor above all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::files::loot;
use crate::{Outcome, Probe, Scene, escaped, held};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("proc_see_supervisor", "sees the supervisor's process", see),
    Probe::new("proc_environ_supervisor", "reads the supervisor's environment", |s| loot(&of(s, "environ")?)),
    Probe::new("proc_cmdline_supervisor", "reads the supervisor's arguments", |s| loot(&of(s, "cmdline")?)),
    Probe::new("proc_maps_supervisor", "reads the supervisor's memory map", maps),
    Probe::new("proc_mem_supervisor", "reads the supervisor's memory", memory),
    Probe::new("proc_root_supervisor", "goes through the supervisor's root", root),
    Probe::new("proc_fd_supervisor", "opens a file that the supervisor has open", descriptor),
    Probe::new("proc_environ_init", "reads the environment of process 1", |_| loot(Path::new("/proc/1/environ"))),
    Probe::new("proc_mem_init", "opens the memory of process 1", |_| opened(File::open("/proc/1/mem"))),
    Probe::new("proc_kcore", "opens the kernel's memory", |_| opened(File::open("/proc/kcore"))),
    Probe::new("proc_kmsg", "opens the kernel's messages", |_| opened(File::open("/proc/kmsg"))),
    Probe::new("proc_sysrq", "opens the trigger that reboots the machine", |_| {
        opened(OpenOptions::new().write(true).open("/proc/sysrq-trigger"))
    }),
    Probe::new("proc_count_others", "counts the processes of the host", count),
];

fn of(scene: &Scene, file: &str) -> io::Result<PathBuf> {
    Ok(Path::new("/proc").join(scene.text("supervisor_pid")?).join(file))
}

fn opened(file: io::Result<File>) -> io::Result<Outcome> {
    file.and_then(|_| escaped("opened"))
}

fn see(scene: &Scene) -> io::Result<Outcome> {
    fs::metadata(of(scene, "stat")?).and_then(|_| escaped("it is there"))
}

fn maps(scene: &Scene) -> io::Result<Outcome> {
    let lines = fs::read_to_string(of(scene, "maps")?)?.lines().count();
    if lines == 0 { held("empty") } else { escaped(format!("{lines} lines")) }
}

fn memory(scene: &Scene) -> io::Result<Outcome> {
    let mut memory = File::open(of(scene, "mem")?)?;
    memory.seek(SeekFrom::Start(scene.number("supervisor_address")?))?;
    let mut bytes = [0; 24];
    memory.read_exact(&mut bytes)?;
    escaped(String::from_utf8_lossy(&bytes))
}

fn root(scene: &Scene) -> io::Result<Outcome> {
    let secret = scene.path("supervisor")?.join("secret");
    loot(&of(scene, "root")?.join(secret.strip_prefix("/").unwrap_or(&secret)))
}

fn descriptor(scene: &Scene) -> io::Result<Outcome> {
    loot(&of(scene, "fd")?.join(scene.text("supervisor_fd")?))
}

/// The supervisor, the other agent and the launcher are there at least; inside there are process 1 and the probe.
fn count(_: &Scene) -> io::Result<Outcome> {
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let processes = fs::read_dir("/proc")?
        .filter(|entry| entry.as_ref().is_ok_and(|entry| is_process(&entry.file_name().to_string_lossy())));
    let count = processes.count();
    if count > 2 { escaped(format!("{count} processes")) } else { held(format!("{count} processes, its own")) }
}
