//! Limits of a whole tree: a caller whose sandboxes are watched, and programs that use much together.

use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use sandbox::{Bind, Cgroups, Launch, Launcher, Policy, Sandboxed, WatchCounts, presets};

/// How many tiny sandboxes are launched, one after the other, before something that was waited for counts as missing.
const PATIENCE: usize = 5_000;

/// A caller that launches a program with limits (bytes, or `-`) and `dir/work` to write in, and prints how it ended.
/// `how`: `alone`, or `among-others`, who use up much of everything once the program has said that it is ready.
pub fn watched(memory: &str, disk: &str, dir: &str, how: &str, command: &[&str]) {
    let launcher = launcher(Cgroups::none());
    let launch = launch(memory, disk, dir, command);
    let Sandboxed { stdin, stdout, mut tree, .. } = launcher.launch(&launch).unwrap();
    let mut stdout = BufReader::new(File::from(stdout));
    if how == "among-others" {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        others(&launcher, memory != "-", disk != "-", Path::new(dir));
        drop(stdin);
        stdout.read_to_end(&mut Vec::new()).unwrap();
    } else {
        // It ends only when no process inside holds the pipe any more.
        stdout.read_to_end(&mut Vec::new()).unwrap();
        drop(stdin);
    }
    println!("{:?}", tree.wait());
}

/// Sandboxes that do nothing; prints how often they were measured in eight looks.
pub fn idle(memory: &str, disk: &str, dir: &str, count: usize) {
    let launcher = launcher(Cgroups::none());
    let launch = launch(memory, disk, dir, &["cat"]);
    let idle: Vec<Sandboxed> = (0..count).map(|_| launcher.launch(&launch).unwrap()).collect();
    let first = until(&launcher, |counts| counts.looks >= 3);
    let last = until(&launcher, |counts| counts.looks >= first.looks + 8);
    println!("memory {} disk {} then {}", last.memory_walks, first.disk_walks, last.disk_walks - first.disk_walks);
    drop(idle);
}

/// A caller whose sandboxes each get a group below `root`; prints how many processes are in it, how the sandbox ends when
/// the group is killed, and how many groups are left at the end.
pub fn grouped(root: &str) {
    let groups = || {
        let all = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
        all.filter(|path| path.to_string_lossy().contains("/muster-")).collect::<Vec<_>>()
    };
    let launcher = launcher(Cgroups::for_all(Path::new(root)));
    let launch = Launch { policy: presets::tool(), program: "cat".into(), args: vec![], cwd: "/".into() };
    let mut killed = launcher.launch(&launch).unwrap();
    let group = groups().pop().unwrap();
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap().lines().count();
    fs::write(group.join("cgroup.kill"), "1").unwrap();
    let exit = killed.tree.wait();
    drop(killed);
    let after = groups().len();
    // Dropped while it runs: its group can only be removed later.
    drop(launcher.launch(&launch).unwrap());
    drop(launcher);
    println!("{inside} inside, {exit:?}, {after} groups, {} at the end", groups().len());
}

fn launcher(cgroups: Cgroups) -> Launcher {
    let exe = std::env::current_exe().unwrap();
    Launcher::with_cgroups(vec![exe.into(), "__sandbox".into()], cgroups).unwrap()
}

fn launch(memory: &str, disk: &str, dir: &str, command: &[&str]) -> Launch {
    let mut policy = presets::tool();
    policy.allowed_syscalls = vec!["@tool".to_owned(), "@memfd".to_owned()];
    policy.limits.tree_memory_bytes = memory.parse().ok();
    policy.limits.disk_bytes = disk.parse().ok();
    policy.filesystem.binds.push(Bind::write_execute(Path::new(dir).join("work"), "/work"));
    policy.filesystem.binds.push(Bind::read_execute(Path::new(dir).join("kit"), "/opt/kit"));
    let args = command[1..].iter().map(OsString::from).collect();
    Launch { policy, program: command[0].into(), args, cwd: "/work".into() }
}

/// Uses memory and disk outside of the sandbox until the watchdog has measured what is inside.
fn others(launcher: &Launcher, memory: bool, disk: bool, dir: &Path) {
    const CHUNK: usize = 8 << 20;
    let before = launcher.watch_counts();
    let mut blocks = Vec::new();
    let mut file = File::create(dir.join("others")).unwrap();
    let enough = |counts: WatchCounts| {
        (!memory || counts.memory_walks > before.memory_walks) && (!disk || counts.disk_walks > before.disk_walks + 1)
    };
    let counts = until(launcher, |counts| {
        if blocks.len() < 200 {
            blocks.push(vec![1_u8; CHUNK]);
            file.write_all(&[1; CHUNK]).unwrap();
        }
        enough(counts)
    });
    // A measurement takes one look; the second one has ended when the next look has begun.
    until(launcher, |now| now.looks >= counts.looks + 2);
    fs::remove_file(dir.join("others")).unwrap();
}

/// Goes on with something small that takes time until the counts are as wanted.
fn until(launcher: &Launcher, mut wanted: impl FnMut(WatchCounts) -> bool) -> WatchCounts {
    for _ in 0..PATIENCE {
        let counts = launcher.watch_counts();
        if wanted(counts) {
            return counts;
        }
        let policy: Policy = presets::tool();
        let launch = Launch { policy, program: "true".into(), args: vec![], cwd: "/".into() };
        launcher.launch(&launch).unwrap().tree.wait();
    }
    panic!("it did not come to pass: {:?}", launcher.watch_counts());
}

/// Inside: uses something up, `count` times so many bytes.
pub fn use_up(what: &str, count: usize, bytes: usize) {
    match what {
        "memory" => (0..count).for_each(|_| child(|| hold(bytes))),
        "hidden-memory" => (0..count).for_each(|_| child(|| orphan(|| hold(bytes)))),
        "memory-in-common" => {
            let shared = shared(count * bytes);
            (0..count).for_each(|n| child(|| fill(shared, n * bytes, bytes)));
        }
        "one-memory" => {
            let block = vec![1_u8; bytes];
            (0..count).for_each(|_| child(|| assert_eq!(block[bytes - 1], 1)));
            ready();
            return crate::stay();
        }
        "memory-files" => (0..count).for_each(|_| std::mem::forget(memory_file(bytes))),
        "files" => (0..count).for_each(|n| write(&format!("/work/{n}"), bytes)),
        "files-of-a-hidden-process" => {
            // Whoever is not its user's own debugger sees no descriptor of it.
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }, 0);
            use_up("files-without-names", count, bytes);
        }
        "files-without-names" => (0..count).for_each(|n| {
            let path = format!("/work/{n}");
            let file = File::create(&path).unwrap();
            fs::remove_file(path).unwrap();
            pour(file, bytes);
        }),
        "closed-files" => {
            fs::create_dir("/work/closed").unwrap();
            let files: Vec<File> = (0..count).map(|n| File::create(format!("/work/closed/{n}")).unwrap()).collect();
            fs::set_permissions("/work/closed", fs::Permissions::from_mode(0o0)).unwrap();
            files.into_iter().for_each(|file| pour(file, bytes));
        }
        "little" => {
            File::create("/work/sparse").unwrap().set_len(1 << 30).unwrap();
            write("/work/one", bytes);
            (0..count).for_each(|n| fs::hard_link("/work/one", format!("/work/name-{n}")).unwrap());
            symlink("/", "/work/root").unwrap();
            // On the host this leads to the large file that the others write.
            symlink("../others", "/work/huge").unwrap();
            // One that has ended and that nobody takes note of: it shows nothing either.
            if unsafe { libc::fork() } == 0 {
                unsafe { libc::_exit(0) };
            }
            symlink("/usr/bin", "/work/programs").unwrap();
            ready();
            return crate::stay();
        }
        _ => panic!("unknown: {what}"),
    }
    pause();
}

fn ready() {
    println!("ready");
    std::io::stdout().flush().unwrap();
}

fn pause() -> ! {
    loop {
        unsafe { libc::pause() };
    }
}

/// A child that does something and stays.
fn child(work: impl FnOnce()) {
    if unsafe { libc::fork() } == 0 {
        work();
        pause();
    }
}

/// A process in a session of its own whose parent is gone.
fn orphan(work: impl FnOnce()) {
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() == 0 {
                work();
                pause();
            }
        }
        libc::_exit(0);
    }
}

fn hold(bytes: usize) {
    std::mem::forget(vec![1_u8; bytes]);
}

fn shared(bytes: usize) -> *mut u8 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert_ne!(at, libc::MAP_FAILED);
    at.cast()
}

fn fill(at: *mut u8, from: usize, bytes: usize) {
    unsafe { at.add(from).write_bytes(1, bytes) };
}

fn memory_file(bytes: usize) -> File {
    let name = CString::new("muster").unwrap();
    let fd = unsafe { libc::memfd_create(name.as_ptr(), 0) };
    assert!(fd >= 0);
    let file = unsafe { File::from_raw_fd(fd) };
    pour(file.try_clone().unwrap(), bytes);
    file
}

fn write(path: &str, bytes: usize) {
    pour(File::create(path).unwrap(), bytes);
}

/// Writes, and keeps the file open.
fn pour(mut file: File, bytes: usize) {
    let block = vec![1_u8; bytes];
    file.write_all(&block).unwrap();
    std::mem::forget(file);
}
