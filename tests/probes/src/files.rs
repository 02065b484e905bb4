//! Files of others and of the host.

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::scene::c_path;
use crate::{Outcome, Probe, Scene, check, escaped, held, partly};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("fs_read_other_memory", "reads another agent's memory", |s| loot(&s.memory()?)),
    Probe::new("fs_write_other_memory", "writes in another agent's memory", write_memory),
    Probe::new("fs_create_in_other", "makes a file beside another agent's memory", create_in_other),
    Probe::new("fs_unlink_other", "removes another agent's memory", |s| done(fs::remove_file(s.memory()?))),
    Probe::new("fs_truncate_other", "truncates another agent's memory by its path", truncate_memory),
    Probe::new("fs_symlink_escape", "reads through a symbolic link in its own place", symlink_escape),
    Probe::new("fs_symlink_dir_escape", "lists through a symbolic link to a directory", symlink_dir_escape),
    Probe::new("fs_hardlink_other", "gives another agent's memory a second name in its own place", hardlink),
    Probe::new("fs_list_other_dir", "lists another agent's directory", |s| list(&s.path("other")?)),
    Probe::new("fs_stat_other", "sees that another agent's memory exists", |s| done(fs::metadata(s.memory()?))),
    Probe::new("fs_chmod_other", "opens another agent's memory to everybody", chmod_memory),
    Probe::new("fs_utime_other", "sets the times of another agent's memory", utime_memory),
    Probe::new("fs_xattr_other", "sets an attribute on another agent's memory", xattr_memory),
    Probe::new("fs_rename_other", "renames another agent's memory", rename_memory),
    Probe::new("fs_rename_into_own", "moves another agent's memory into its own place", move_memory),
    Probe::new("fs_dotdot", "climbs out of its own place with ..", dotdot),
    Probe::new("fs_supervisor_secret", "reads a file of the supervisor", |s| {
        loot(&s.path("supervisor")?.join("secret"))
    }),
    Probe::new("fs_bindname_proc_root", "goes through every /proc/PID/root", proc_root),
    Probe::new("fs_proc_cwd_link", "goes through every /proc/PID/cwd", proc_cwd),
    Probe::new("fs_open_by_handle", "opens another agent's memory by its file handle", open_by_handle),
    Probe::new("fs_etc_shadow", "reads /etc/shadow", |_| done(fs::read("/etc/shadow"))),
    Probe::new("fs_root_home", "lists root's home", |_| done(fs::read_dir("/root").map(Iterator::count))),
    Probe::new("fs_docker_sock_stat", "sees the socket of a container engine", |s| {
        done(fs::metadata(s.path("engine")?))
    }),
    Probe::new("fs_write_usr", "makes a file below /usr", |_| nameless("/usr/bin")),
    Probe::new("fs_write_etc", "makes a file below /etc", |_| nameless("/etc")),
    Probe::new("fs_write_own_program", "writes in the program that it runs", write_own_program),
    Probe::new("fs_write_cgroup", "makes a control group", write_cgroup),
    Probe::new("fs_sysctl_write", "opens kernel settings to write", sysctl),
    Probe::new("fs_core_pattern", "opens the host's handler of core dumps to write", |_| {
        writable("/proc/sys/kernel/core_pattern")
    }),
    Probe::new("fs_sysfs_write", "opens a device's file below /sys to write", |_| writable("/sys/power/state")),
    Probe::new("fs_dev_disk", "opens a disk of the host", dev_disk),
    Probe::new("fs_dev_mem", "opens the memory of the host", |_| done(File::open("/dev/mem"))),
    Probe::new("fs_mknod_disk", "makes a device file for the disk and opens it", mknod_disk),
    Probe::new("fs_setuid_bit", "leaves a program with a set-user-id bit behind", setuid_bit),
    Probe::new("fs_exec_from_ws", "executes a program that it wrote in its own place", exec_from_workspace),
    Probe::new("fs_suid_sudo", "becomes root through a program with a set-user-id bit", suid),
];

/// An attempt that is over when a call works.
fn done<T>(result: io::Result<T>) -> io::Result<Outcome> {
    result.and_then(|_| escaped("it worked"))
}

/// An attempt that wants the text of a file.
pub(crate) fn loot(path: &Path) -> io::Result<Outcome> {
    let mut text = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut text)?;
    escaped(String::from_utf8_lossy(&text))
}

fn write_memory(scene: &Scene) -> io::Result<Outcome> {
    done(OpenOptions::new().append(true).open(scene.memory()?)?.write_all(b"changed\n"))
}

fn create_in_other(scene: &Scene) -> io::Result<Outcome> {
    done(fs::write(scene.path("other")?.join("planted"), "planted"))
}

fn truncate_memory(scene: &Scene) -> io::Result<Outcome> {
    let path = c_path(&scene.memory()?)?;
    // SAFETY: a path that ends with NUL.
    done(unsafe { check(libc::truncate(path.as_ptr(), 1)) })
}

fn symlink_escape(scene: &Scene) -> io::Result<Outcome> {
    let link = writable_place(scene)?.join("link");
    symlink(scene.memory()?, &link)?;
    loot(&link)
}

fn symlink_dir_escape(scene: &Scene) -> io::Result<Outcome> {
    let link = writable_place(scene)?.join("link-to-directory");
    symlink(scene.path("other")?, &link)?;
    list(&link)
}

fn hardlink(scene: &Scene) -> io::Result<Outcome> {
    let name = writable_place(scene)?.join("second-name");
    fs::hard_link(scene.memory()?, &name)?;
    loot(&name)
}

fn list(dir: &Path) -> io::Result<Outcome> {
    let names: Vec<_> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    if names.is_empty() { held("an empty directory") } else { escaped(format!("{names:?}")) }
}

fn chmod_memory(scene: &Scene) -> io::Result<Outcome> {
    done(fs::set_permissions(scene.memory()?, fs::Permissions::from_mode(0o777)))
}

fn utime_memory(scene: &Scene) -> io::Result<Outcome> {
    let path = c_path(&scene.memory()?)?;
    let times = [libc::timespec { tv_sec: 1, tv_nsec: 0 }; 2];
    // SAFETY: a path that ends with NUL, and two times.
    done(unsafe { check(libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0)) })
}

fn xattr_memory(scene: &Scene) -> io::Result<Outcome> {
    let path = c_path(&scene.memory()?)?;
    // SAFETY: a path and a name that end with NUL, and one byte.
    done(unsafe { check(libc::setxattr(path.as_ptr(), c"user.probe".as_ptr(), c"x".as_ptr().cast(), 1, 0)) })
}

fn rename_memory(scene: &Scene) -> io::Result<Outcome> {
    done(fs::rename(scene.memory()?, scene.path("other")?.join("renamed")))
}

fn move_memory(scene: &Scene) -> io::Result<Outcome> {
    done(fs::rename(scene.memory()?, writable_place(scene)?.join("moved")))
}

fn dotdot(scene: &Scene) -> io::Result<Outcome> {
    let work = scene.path("work")?;
    let beside = loot(&work.join("../other/memory.md"));
    let memory = scene.memory()?;
    beside.or_else(|_| loot(&work.join("../../../../../..").join(memory.strip_prefix("/").unwrap_or(&memory))))
}

/// What every process that is seen leads to, one way or another.
fn through_processes(link: &str, rest: &Path) -> io::Result<Outcome> {
    let processes = fs::read_dir("/proc")?.filter_map(|entry| Some(entry.ok()?.path().join(link).join(rest)));
    // Its own root and directory are no way out.
    let mut last = io::Error::from_raw_os_error(libc::ENOENT);
    for path in processes.filter(|path| !path.starts_with("/proc/self") && !path.starts_with("/proc/thread-self")) {
        match loot(&path) {
            Ok(found) => return Ok(found),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn proc_root(scene: &Scene) -> io::Result<Outcome> {
    let memory = scene.memory()?;
    through_processes("root", memory.strip_prefix("/").unwrap_or(&memory))
}

fn proc_cwd(_: &Scene) -> io::Result<Outcome> {
    through_processes("cwd", Path::new("memory.md"))
}

/// `struct file_handle` with room for what ext4, xfs and btrfs need.
#[repr(C)]
struct Handle {
    length: u32,
    kind: i32,
    bytes: [u8; 128],
}

fn open_by_handle(scene: &Scene) -> io::Result<Outcome> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no handle");
    let (kind, hex) = scene.text("handle")?.split_once(':').ok_or_else(wrong)?;
    let mut handle = Handle { length: 0, kind: kind.parse().map_err(|_| wrong())?, bytes: [0; 128] };
    for (place, pair) in handle.bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *place = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        handle.length += 1;
    }
    let place = File::open(scene.path("work")?)?;
    // SAFETY: a handle with as many bytes as it says.
    let fd = unsafe { libc::syscall(libc::SYS_open_by_handle_at, place.as_raw_fd(), &raw mut handle, libc::O_RDONLY) };
    loot(&PathBuf::from(format!("/proc/self/fd/{}", check(fd)?)))
}

/// Whether a file can be made in a directory; it has no name, so it leaves nothing behind.
pub(crate) fn nameless(dir: &str) -> io::Result<Outcome> {
    done(OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(dir))
}

fn writable(path: &str) -> io::Result<Outcome> {
    done(OpenOptions::new().write(true).open(path))
}

fn write_own_program(_: &Scene) -> io::Result<Outcome> {
    let program = fs::read_link("/proc/self/exe")?;
    let beside = program.parent().map(|dir| nameless(&dir.to_string_lossy()));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777))
        .and_then(|()| escaped("its permissions can be changed"))
        .or_else(|error| beside.unwrap_or(Err(error)))
}

/// The hierarchies differ from host to host; one that lets a group be made is enough.
fn write_cgroup(_: &Scene) -> io::Result<Outcome> {
    let mut last = io::Error::from_raw_os_error(libc::ENOENT);
    let below = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    for dir in below.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let group = dir.join(format!("probe-{}", std::process::id()));
        match fs::create_dir(&group).and_then(|()| fs::remove_dir(&group)) {
            Ok(()) => return escaped(group.to_string_lossy()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn sysctl(_: &Scene) -> io::Result<Outcome> {
    let files =
        ["kernel/panic", "kernel/hostname", "vm/overcommit_memory", "net/ipv4/ip_forward", "user/max_user_namespaces"];
    let open = |name: &&str| writable(&format!("/proc/sys/{name}"));
    files.iter().map(open).reduce(io::Result::or).unwrap_or_else(|| held("no file"))
}

/// The first disk that the host tells of, as major and minor number.
fn disk() -> io::Result<(String, u32, u32)> {
    let none = || io::Error::new(io::ErrorKind::InvalidData, "no disk is known");
    let Ok(partitions) = fs::read_to_string("/proc/partitions") else { return Ok(("vda".into(), 254, 0)) };
    let words: Vec<&str> = partitions.lines().nth(2).ok_or_else(none)?.split_ascii_whitespace().collect();
    match words[..] {
        [major, minor, _, name] => {
            Ok((name.to_owned(), major.parse().map_err(|_| none())?, minor.parse().map_err(|_| none())?))
        }
        _ => Err(none()),
    }
}

fn dev_disk(_: &Scene) -> io::Result<Outcome> {
    let (name, ..) = disk()?;
    done(File::open(Path::new("/dev").join(name)))
}

fn mknod_disk(scene: &Scene) -> io::Result<Outcome> {
    let (_, major, minor) = disk()?;
    let path = writable_place(scene)?.join("disk");
    let c = c_path(&path)?;
    // SAFETY: a path that ends with NUL.
    check(unsafe { libc::mknod(c.as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(major, minor)) })?;
    let opened = File::open(&path);
    fs::remove_file(&path)?;
    opened.map_or_else(Err, |_| escaped("opened"))
}

/// Whether anybody else could execute it is seen on the host.
fn setuid_bit(scene: &Scene) -> io::Result<Outcome> {
    let path = scene.own("set-user-id")?;
    fs::write(&path, "#!/bin/sh\nid\n")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755))?;
    partly("the bit is set")
}

fn exec_from_workspace(scene: &Scene) -> io::Result<Outcome> {
    let path = scene.own("program")?;
    fs::copy(scene.path("program")?, &path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Err(execute(&c_path(&path)?, "fs_exec_from_ws"))
}

/// Becomes another program, which reports in the name of the probe; returns why not.
pub(crate) fn execute(path: &CStr, probe: &str) -> io::Error {
    let Ok(probe) = CString::new(probe) else { return io::ErrorKind::InvalidInput.into() };
    let args = [path.as_ptr(), c"executed".as_ptr(), probe.as_ptr(), std::ptr::null()];
    let env = [std::ptr::null()];
    // SAFETY: strings that end with NUL in lists that end with null.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

fn suid(scene: &Scene) -> io::Result<Outcome> {
    let output = Command::new(scene.path("suid")?).arg("effective-user").output()?;
    let user = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if user == "0" { escaped("it ran as root") } else { held(format!("it ran as {user}")) }
}

/// A place of its own where something can be made: where work is done or, if that is only to read, `/tmp`.
fn writable_place(scene: &Scene) -> io::Result<PathBuf> {
    let work = scene.path("work")?;
    let trial = work.join("trial");
    match fs::write(&trial, "") {
        Ok(()) => fs::remove_file(&trial).map(|()| work),
        Err(_) => scene.path("tmp"),
    }
}
