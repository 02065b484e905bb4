//! Children of every kind, and other programs in its own place.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use crate::files::execute;
use crate::kernel::{child_of, clone3, execute_descriptor};
use crate::scene::c_path;
use crate::{Outcome, Probe, Scene, check, escaped, held, partly};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("spawn_fork", "forks", fork),
    Probe::new("spawn_vfork", "forks and lends its memory", vfork),
    Probe::new("spawn_clone_proc", "makes a child by clone", clone),
    Probe::new("spawn_clone3_proc", "makes a child by clone3", |_| clone3(0)),
    Probe::new("spawn_clone_shared", "makes a child that shares memory and files but is no thread", clone_shared),
    Probe::new("spawn_posix", "starts a program as libc does", posix),
    Probe::new("spawn_command", "starts a program as Rust does", command),
    Probe::new("spawn_shell", "starts a shell", shell),
    Probe::new("spawn_exec_self", "executes its own program anew", exec_self),
    Probe::new("spawn_exec_other", "executes another program in its own place", exec_other),
    Probe::new("spawn_execveat_reuse", "reuses the descriptor that it was started by", execveat_reuse),
    Probe::new("spawn_exec_loader", "has the loader execute a program that it may only read", exec_loader),
    Probe::new("spawn_double_fork_survive", "leaves a daemon behind", double_fork),
    Probe::new("spawn_thread_ok", "starts a thread, as it may", thread),
];

fn fork(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: one thread; the child ends at once.
    child_of(unsafe { libc::fork() }.into())
}

/// By hand, because the child runs on the parent's stack: it must not return from anything.
#[cfg(target_arch = "x86_64")]
fn vfork(_: &Scene) -> io::Result<Outcome> {
    let child: i64;
    // SAFETY: the child ends within these instructions (`exit(42)`), on registers alone.
    unsafe {
        std::arch::asm!(
            "syscall", "test rax, rax", "jnz 2f", "mov edi, 42", "mov eax, 60", "syscall", "2:",
            inlateout("rax") libc::SYS_vfork => child, out("rcx") _, out("r11") _, out("rdi") _
        );
    }
    if child < 0 {
        return Err(io::Error::from_raw_os_error(-child as i32));
    }
    child_of(child)
}

#[cfg(not(target_arch = "x86_64"))]
fn vfork(_: &Scene) -> io::Result<Outcome> {
    Ok(Outcome::NotApplicable("other processors have no such call".to_owned()))
}

fn clone(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: without a stack this is a fork; the child ends at once.
    child_of(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0_usize, 0_usize, 0_usize, 0_usize) })
}

/// As near to a thread as a process comes: it shares all that can be shared but the thread group.
fn clone_shared(_: &Scene) -> io::Result<Outcome> {
    extern "C" fn end(_: *mut libc::c_void) -> libc::c_int {
        42
    }
    let mut stack = vec![0_u64; 8192];
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SIGHAND | libc::SIGCHLD;
    // SAFETY: the stack lives until the child is waited for, and begins at its aligned end.
    let child = unsafe { libc::clone(end, stack.as_mut_ptr_range().end.cast(), flags, std::ptr::null_mut()) };
    child_of(child.into())
}

fn posix(scene: &Scene) -> io::Result<Outcome> {
    let path = c_path(&scene.path("program")?)?;
    let args = [path.as_ptr().cast_mut(), c"effective-user".as_ptr().cast_mut(), std::ptr::null_mut()];
    let env = [std::ptr::null_mut()];
    let (mut child, mut status) = (0, 0);
    // SAFETY: strings that end with NUL in lists that end with null; nulls for what is not wanted.
    unsafe {
        let error = libc::posix_spawn(
            &raw mut child,
            path.as_ptr(),
            std::ptr::null(),
            std::ptr::null(),
            args.as_ptr(),
            env.as_ptr(),
        );
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        check(libc::waitpid(child, &raw mut status, 0))?;
    }
    escaped(format!("a child ran, its status is {status}"))
}

fn command(scene: &Scene) -> io::Result<Outcome> {
    let output = std::process::Command::new(scene.path("program")?).arg("effective-user").output()?;
    escaped(format!("a child ran: {}", output.status))
}

fn shell(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: a command that ends with NUL.
    match unsafe { libc::system(c"exit 42".as_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        status if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42 => escaped("a shell ran"),
        status => held(format!("its status is {status}")),
    }
}

fn exec_self(scene: &Scene) -> io::Result<Outcome> {
    Err(execute(&c_path(&scene.path("program")?)?, "spawn_exec_self"))
}

/// A program that says the same line, for want of one that knows how.
fn exec_other(_: &Scene) -> io::Result<Outcome> {
    let line = CString::new(crate::report("spawn_exec_other", &Outcome::Escaped("executed".to_owned())))?;
    let args = [c"echo".as_ptr(), line.as_ptr(), std::ptr::null()];
    // SAFETY: strings that end with NUL in a list that ends with null.
    unsafe { libc::execv(c"/bin/echo".as_ptr(), args.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// A launcher may allow one number of a descriptor to be executed, above all that a program can get. It tries to get there,
/// from every kind of descriptor that it can have.
fn execveat_reuse(scene: &Scene) -> io::Result<Outcome> {
    let program = File::open(scene.path("program")?)?;
    let most = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
    // SAFETY: one limit to read; no pointers otherwise.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const most) };
    for fd in [1000, 1023, 1024, 4096, 65_535, 1_048_575] {
        // SAFETY: no pointers are involved; numbers that are not open stand for nothing of this program.
        if unsafe { libc::dup2(program.as_raw_fd(), fd) } == fd {
            execute_descriptor(fd, c"spawn_execveat_reuse");
        }
        execute_descriptor(fd, c"spawn_execveat_reuse");
    }
    Err(execute_descriptor(program.as_raw_fd(), c"spawn_execveat_reuse"))
}

/// `noexec` is no answer to a loader that reads: mapping the program as code has to be refused too.
fn exec_loader(scene: &Scene) -> io::Result<Outcome> {
    let path = scene.own("loaded-program")?;
    std::fs::copy(scene.path("program")?, &path)?;
    let path = c_path(&path)?;
    for loader in [c"/lib64/ld-linux-x86-64.so.2", c"/lib/ld-linux-aarch64.so.1"] {
        let args =
            [loader.as_ptr(), path.as_ptr(), c"executed".as_ptr(), c"spawn_exec_loader".as_ptr(), std::ptr::null()];
        // SAFETY: strings that end with NUL in a list that ends with null.
        unsafe { libc::execv(loader.as_ptr(), args.as_ptr()) };
    }
    Err(io::Error::last_os_error())
}

/// Whether the daemon outlives the sandbox is seen on the host, by a word in its arguments.
fn double_fork(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: one thread; the children do nothing but calls without memory of this program.
    unsafe {
        match check(libc::fork())? {
            0 => {
                libc::setsid();
                if libc::fork() == 0 {
                    daemon()
                }
                libc::_exit(0)
            }
            child => check(libc::waitpid(child as i32, std::ptr::null_mut(), 0))?,
        }
    };
    held("a daemon was started")
}

/// Stays for a minute, deaf to every request to end; holds nothing of its parent's open.
pub(crate) fn daemon() -> ! {
    // SAFETY: no pointers are involved; an alarm ends it, so that no failed test leaves it behind for long.
    unsafe {
        (0..3).for_each(|fd| _ = libc::close(fd));
        [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].iter().for_each(|signal| _ = libc::signal(*signal, libc::SIG_IGN));
        libc::alarm(60);
        loop {
            libc::pause();
        }
    }
}

fn thread(_: &Scene) -> io::Result<Outcome> {
    let thread = std::thread::Builder::new().spawn(|| 42)?;
    if thread.join().is_ok_and(|value| value == 42) { partly("a thread ran") } else { held("it died") }
}
