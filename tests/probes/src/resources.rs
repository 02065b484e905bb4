//! Using the machine up. Every probe has a bound, so that it can be run without a sandbox; a policy that is to hold it allows
//! half of that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use crate::{Outcome, Probe, Scene, check, escaped, held};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("res_disk_taken_at_once", "takes space on disk without writing", taken_at_once),
    Probe::new("res_disk_taken_by_ioctl", "the same by another call", taken_by_ioctl),
    Probe::new("res_fork_bomb", "starts more processes than it may", fork_bomb),
    Probe::new("res_thread_bomb", "starts more threads than it may", thread_bomb),
    Probe::new("res_mem_bomb", "takes more memory than it may", |s| memory(s, libc::MAP_PRIVATE)),
    Probe::new("res_shared_anon_bomb", "takes more memory than it may, as shared memory", |s| {
        memory(s, libc::MAP_SHARED)
    }),
    Probe::new("res_memfd_bomb", "takes more memory than it may, as files without a name", memfd_bomb),
    Probe::new("res_tree_mem_bomb", "takes more memory than it may, in several processes", tree_memory),
    Probe::new("res_disk_fill_ws", "writes a file larger than it may", |s| one_file(&s.path("work")?)),
    Probe::new("res_disk_fill_many", "fills the disk by many files", |s| many_files(s, &s.path("work")?)),
    Probe::new("res_disk_fill_tmp", "fills /tmp", |s| many_files(s, &s.path("tmp")?)),
    Probe::new("res_shm_fill", "fills /dev/shm", |s| many_files(s, Path::new("/dev/shm"))),
    Probe::new("res_inode_fill", "fills /tmp by empty files", inodes),
    Probe::new("res_fallocate", "reserves more of the disk than it may", fallocate),
    Probe::new("res_sparse_file", "makes a file that claims a terabyte", sparse),
    Probe::new("res_fd_exhaust", "opens more files than it may", descriptors),
    Probe::new("res_cpu_spin_wall", "computes longer than it may", spin),
    Probe::new("res_core_dump", "allows itself core dumps", core_dump),
    Probe::new("res_limit_raise", "raises its own limits", raise),
    Probe::new("res_mlock", "pins memory", mlock),
    Probe::new("res_pipe_mem", "makes the buffer of a pipe larger than others may", pipe),
    Probe::new("res_nice", "puts itself before others", nice),
    Probe::new("res_realtime", "computes in real time, before everybody", realtime),
    Probe::new("res_log_flood", "writes more output than anybody can keep", log_flood),
];

const PROCESSES: usize = 160;
const FILES: usize = 600;
const MEMORY: usize = 128 << 20;
const ONE_FILE: usize = 16 << 20;
const ALL_FILES: usize = 32 << 20;
const EMPTY_FILES: usize = 6_000;
const OUTPUT: usize = 8 << 20;
const SPIN: Duration = Duration::from_millis(700);
const KEEP: Duration = Duration::from_secs(3);
const CHUNK: usize = 1 << 20;

/// What only a watcher can count may be exceeded for a moment; getting away with it means to keep it. Where nobody watches, there
/// is nothing to wait for.
fn keep(scene: &Scene) {
    if scene.text("plainly").is_err() {
        std::thread::sleep(KEEP);
    }
}

/// How far it got, and whether that is all that it wanted.
fn got(count: usize, wanted: usize, what: &str, error: Option<io::Error>) -> io::Result<Outcome> {
    match error {
        None => escaped(format!("{count} {what}")),
        Some(error) => held(format!("{count} of {wanted} {what}, then {}", crate::errno_name(&error))),
    }
}

fn fork_bomb(_: &Scene) -> io::Result<Outcome> {
    let (mut children, mut error) = (Vec::new(), None);
    while children.len() < PROCESSES && error.is_none() {
        // SAFETY: one thread; the child only waits, and an alarm ends it if nobody else does.
        match unsafe { libc::fork() } {
            0 => crate::spawn::daemon(),
            -1 => error = Some(io::Error::last_os_error()),
            child => children.push(child),
        }
    }
    for child in &children {
        // SAFETY: a child of our own that has not been waited for.
        unsafe {
            libc::kill(*child, libc::SIGKILL);
            libc::waitpid(*child, std::ptr::null_mut(), 0);
        }
    }
    if children.is_empty() {
        Err(error.unwrap_or_else(|| io::ErrorKind::Other.into()))
    } else {
        got(children.len(), PROCESSES, "processes", error)
    }
}

fn thread_bomb(_: &Scene) -> io::Result<Outcome> {
    let (mut threads, mut error) = (Vec::new(), None);
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write();
    while threads.len() < PROCESSES && error.is_none() {
        let gate = Arc::clone(&gate);
        match std::thread::Builder::new().stack_size(64 << 10).spawn(move || drop(gate.read())) {
            Ok(thread) => threads.push(thread),
            Err(refused) => error = Some(refused),
        }
    }
    drop(closed);
    let count = threads.len();
    threads.into_iter().for_each(|thread| _ = thread.join());
    got(count, PROCESSES, "threads", error)
}

/// Takes and touches memory in one piece.
fn memory(scene: &Scene, kind: libc::c_int) -> io::Result<Outcome> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, written to within its length.
    unsafe {
        let place = libc::mmap(std::ptr::null_mut(), MEMORY, access, kind | libc::MAP_ANONYMOUS, -1, 0);
        check(place as isize as i64)?;
        (0..MEMORY).step_by(4096).for_each(|at| place.cast::<u8>().add(at).write_volatile(1));
    }
    keep(scene);
    escaped(format!("{MEMORY} bytes"))
}

fn memfd_bomb(scene: &Scene) -> io::Result<Outcome> {
    let (chunk, mut files, mut written) = (vec![1; CHUNK], Vec::new(), 0);
    let mut error = None;
    while written < MEMORY && error.is_none() {
        // SAFETY: a name that ends with NUL; the descriptor is new and nobody else's.
        let fd = unsafe { check(libc::memfd_create(c"bomb".as_ptr(), 0)) };
        let file = fd.map(|fd| unsafe { File::from_raw_fd(fd as i32) });
        match file.and_then(|mut file| (0..8).try_for_each(|_| file.write_all(&chunk)).map(|()| file)) {
            Ok(file) => files.push(file),
            Err(refused) => error = Some(refused),
        }
        written += 8 * CHUNK;
    }
    if error.is_none() {
        keep(scene);
    }
    match error {
        Some(error) if files.is_empty() => Err(error),
        error => got(files.len() * 8 * CHUNK, MEMORY, "bytes", error),
    }
}

/// Three children that hold together what one alone may not.
fn tree_memory(scene: &Scene) -> io::Result<Outcome> {
    const EACH: usize = MEMORY / 3;
    let (mut ours, mut theirs) = ([0; 2], [0; 2]);
    let (mut children, mut byte) = (Vec::new(), 0_u8);
    // SAFETY: pairs of places for descriptors; the children write to new mappings within their length and end.
    unsafe {
        check(libc::pipe(ours.as_mut_ptr()))?;
        check(libc::pipe(theirs.as_mut_ptr()))?;
        for _ in 0..3 {
            let child = check(libc::fork())?;
            if child == 0 {
                let access = libc::PROT_READ | libc::PROT_WRITE;
                let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let place = libc::mmap(std::ptr::null_mut(), EACH, access, kind, -1, 0);
                if place != libc::MAP_FAILED {
                    (0..EACH).step_by(4096).for_each(|at| place.cast::<u8>().add(at).write_volatile(1));
                    libc::write(ours[1], c"x".as_ptr().cast(), 1);
                }
                libc::close(theirs[1]);
                libc::read(theirs[0], (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
            children.push(child as i32);
        }
        libc::close(ours[1]);
        let mut ready = 0;
        while ready < 3 && libc::read(ours[0], (&raw mut byte).cast(), 1) == 1 {
            ready += 1;
        }
        if ready == 3 {
            keep(scene);
        }
        libc::close(theirs[1]);
        children.iter().for_each(|child| _ = libc::waitpid(*child, std::ptr::null_mut(), 0));
        if ready == 3 {
            escaped(format!("{MEMORY} bytes in three processes"))
        } else {
            held(format!("{ready} of 3 processes"))
        }
    }
}

/// Without the signal that a file beyond the limit raises: the error says the same and leaves time to report.
fn ignore_file_size_signal() {
    // SAFETY: no handler is involved.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

fn one_file(dir: &Path) -> io::Result<Outcome> {
    ignore_file_size_signal();
    let path = dir.join(format!("fill-{}", std::process::id()));
    let mut file = File::create(&path)?;
    let chunk = vec![1; CHUNK];
    let written = (0..ONE_FILE / CHUNK).try_for_each(|_| file.write_all(&chunk));
    let length = file.metadata()?.len() as usize;
    fs::remove_file(&path)?;
    got(length, ONE_FILE, "bytes in one file", written.err())
}

/// Files of eight megabytes, each of a size that is allowed. What is left behind is seen and removed on the host.
fn many_files(scene: &Scene, dir: &Path) -> io::Result<Outcome> {
    ignore_file_size_signal();
    let chunk = vec![1; CHUNK];
    let (mut written, mut paths) = (0, Vec::new());
    let mut fill = || {
        for number in 0..ALL_FILES / (8 * CHUNK) {
            let path = dir.join(format!("fill-{}-{number}", std::process::id()));
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            paths.push(path);
            for _ in 0..8 {
                file.write_all(&chunk)?;
                written += CHUNK;
            }
            file.sync_data()?;
        }
        Ok(())
    };
    let error = fill().err();
    if error.is_none() {
        keep(scene);
    }
    paths.iter().for_each(|path| _ = fs::remove_file(path));
    match error {
        Some(error) if written == 0 => Err(error),
        error => got(written, ALL_FILES, "bytes in many files", error),
    }
}

fn inodes(scene: &Scene) -> io::Result<Outcome> {
    let dir = scene.path("tmp")?.join(format!("empty-{}", std::process::id()));
    fs::create_dir(&dir)?;
    let made = (0..EMPTY_FILES).map(|number| File::create(dir.join(number.to_string())));
    let refused = made.enumerate().find_map(|(number, file)| Some((number, file.err()?)));
    fs::remove_dir_all(&dir)?;
    let (count, error) = refused.map_or((EMPTY_FILES, None), |(number, error)| (number, Some(error)));
    got(count, EMPTY_FILES, "empty files", error)
}

fn fallocate(scene: &Scene) -> io::Result<Outcome> {
    ignore_file_size_signal();
    let path = scene.own("reserved")?;
    let file = File::create(&path)?;
    // SAFETY: no pointers are involved.
    let reserved = check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, ONE_FILE as i64) });
    fs::remove_file(&path)?;
    reserved.and_then(|_| escaped(format!("{ONE_FILE} bytes")))
}

fn sparse(scene: &Scene) -> io::Result<Outcome> {
    ignore_file_size_signal();
    let path = scene.own("sparse")?;
    let length = File::create(&path)?.set_len(1 << 40);
    fs::remove_file(&path)?;
    length.and_then(|()| escaped("a terabyte"))
}

fn descriptors(_: &Scene) -> io::Result<Outcome> {
    let (mut files, mut error) = (Vec::new(), None);
    while files.len() < FILES && error.is_none() {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(refused) => error = Some(refused),
        }
    }
    let count = files.len();
    drop(files);
    got(count, FILES, "open files", error)
}

fn spin(_: &Scene) -> io::Result<Outcome> {
    let start = Instant::now();
    let mut turns = 0_u64;
    while start.elapsed() < SPIN {
        turns = std::hint::black_box(turns + 1);
    }
    escaped(format!("for {} ms", SPIN.as_millis()))
}

fn core_dump(_: &Scene) -> io::Result<Outcome> {
    let most = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: one limit to read.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const most) })?;
    escaped("allowed")
}

/// Without a sandbox the limits are those of the machine, which only root can raise.
fn raise(_: &Scene) -> io::Result<Outcome> {
    let kinds = [libc::RLIMIT_NOFILE, libc::RLIMIT_NPROC, libc::RLIMIT_DATA, libc::RLIMIT_FSIZE, libc::RLIMIT_MEMLOCK];
    let mut last = None;
    for kind in kinds {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: one limit to write, then to read.
        let raised = unsafe {
            check(libc::getrlimit(kind, &raw mut limit))?;
            if limit.rlim_max == libc::RLIM_INFINITY {
                continue;
            }
            limit.rlim_max += 1;
            check(libc::setrlimit(kind, &raw const limit))
        };
        match raised {
            Ok(_) => return escaped(format!("limit {kind}")),
            Err(error) => last = Some(error),
        }
    }
    last.map_or_else(|| held("there is no limit to raise"), Err)
}

fn mlock(_: &Scene) -> io::Result<Outcome> {
    let pages = vec![1_u8; 16 << 20];
    // SAFETY: a range of our own.
    check(unsafe { libc::mlock(pages.as_ptr().cast(), pages.len()) })?;
    escaped(format!("{} bytes", pages.len()))
}

fn pipe(_: &Scene) -> io::Result<Outcome> {
    let mut ends = [0; 2];
    // SAFETY: places for two descriptors.
    unsafe {
        check(libc::pipe(ends.as_mut_ptr()))?;
        check(libc::fcntl(ends[1], libc::F_SETPIPE_SZ, 4 << 20))?;
    }
    escaped("four megabytes")
}

fn nice(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) })?;
    escaped("it comes first")
}

fn realtime(_: &Scene) -> io::Result<Outcome> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters are read only.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })?;
    escaped("it comes first")
}

/// Whether all of it could be written is seen by who reads it, or does not.
fn log_flood(_: &Scene) -> io::Result<Outcome> {
    let line = [b'x'; 4096];
    let mut out = io::stdout().lock();
    (0..OUTPUT / line.len()).try_for_each(|_| out.write_all(&line))?;
    out.write_all(b"\n")?;
    escaped(format!("{OUTPUT} bytes"))
}

/// Bytes that are taken at once; more than any test lets a tree have.
const AT_ONCE: libc::off_t = 64 << 20;

/// A file of its own where it may write, in memory if nowhere else.
fn own_file(scene: &Scene) -> io::Result<File> {
    let made = |dir: &str| File::create(scene.path(dir)?.join("taken"));
    made("work").or_else(|_| made("tmp"))
}

fn taken_at_once(scene: &Scene) -> io::Result<Outcome> {
    let file = own_file(scene)?;
    // SAFETY: no pointers are involved.
    check(unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, AT_ONCE) })?;
    escaped("it was given")
}

fn taken_by_ioctl(scene: &Scene) -> io::Result<Outcome> {
    /// FS_IOC_RESVSP64, and `struct space_resv` (`linux/falloc.h`): kind, from where it counts, start, length, and padding.
    const RESERVE: libc::c_ulong = 0x4030_582A;
    let request: [i64; 6] = [0, 0, AT_ONCE, 0, 0, 0];
    let file = own_file(scene)?;
    // SAFETY: the request is as long as the kernel reads.
    check(unsafe { libc::ioctl(file.as_raw_fd(), RESERVE as _, request.as_ptr()) })?;
    escaped("it was given")
}
