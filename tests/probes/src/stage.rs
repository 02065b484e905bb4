//! What stands around a probe: the launcher of its sandbox, the people of the scene, and namespaces for a run without a sandbox.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use crate::{attempt, executed};

/// What the arguments ask for.
pub fn run(args: &[&str]) -> ExitCode {
    match args {
        ["__sandbox", rest @ ..] => sandbox::launcher_main_with(rest.iter().map(OsString::from)),
        ["with-env", variable, rest @ ..] => with_env(variable, rest),
        ["as", uid, rest @ ..] => become_user(uid, rest),
        ["person", secret] => told(person(secret)),
        ["executed", name, ..] => executed(name),
        ["effective-user"] => effective_user(),
        ["own-namespaces", rest @ ..] => own_namespaces(rest),
        ["alone", name, rest @ ..] => told(alone(name, rest)),
        ["on-a-terminal", rest @ ..] => on_a_terminal(rest),
        [name, rest @ ..] => attempt(name, rest),
        [] => attempt("", &[]),
    }
}

fn told(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn checked(value: i32) -> io::Result<i32> {
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Goes on with one more variable in the environment.
fn with_env(variable: &str, rest: &[&str]) -> ExitCode {
    if let Some((name, value)) = variable.split_once('=') {
        // SAFETY: there is one thread.
        unsafe { std::env::set_var(name, value) };
    }
    run(rest)
}

/// Goes on as an ordinary user.
fn become_user(uid: &str, rest: &[&str]) -> ExitCode {
    let Ok(uid) = uid.parse() else { return ExitCode::from(2) };
    // SAFETY: no pointers but a null for an empty list.
    let changed = unsafe {
        libc::setgroups(0, std::ptr::null()) == 0
            && libc::setresgid(uid, uid, uid) == 0
            && libc::setresuid(uid, uid, uid) == 0
            && libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) == 0
    };
    if changed { run(rest) } else { told(Err(io::Error::last_os_error())) }
}

/// Somebody with something to lose: a secret in the environment and the arguments (from outside), in memory and in an open file.
/// Says `ADDRESS FD` and stays until the end of input.
fn person(secret: &str) -> io::Result<()> {
    let kept = secret.replace("arguments", "memory").into_bytes().into_boxed_slice();
    let mut file = memory_file()?;
    file.write_all(secret.replace("arguments", "file").as_bytes())?;
    println!("{} {}", kept.as_ptr() as usize, file.as_raw_fd());
    io::stdout().flush()?;
    let _ = io::stdin().read(&mut [0]);
    drop((kept, file));
    Ok(())
}

fn memory_file() -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: a name that ends with NUL; the descriptor is new and nobody else's.
    unsafe { checked(libc::memfd_create(c"kept".as_ptr(), 0)).map(|fd| std::fs::File::from_raw_fd(fd)) }
}

/// For the program with a set-user-id bit: who it is.
fn effective_user() -> ExitCode {
    // SAFETY: cannot fail, involves no pointers.
    println!("{}", unsafe { libc::geteuid() });
    ExitCode::SUCCESS
}

/// Goes on in mount, host name, IPC and network namespaces of its own, so that what works in there leaves the host alone.
/// Where they cannot be had (an ordinary user) it goes on without: what needs them is then refused as well.
fn own_namespaces(rest: &[&str]) -> ExitCode {
    // SAFETY: no pointers but nulls for what a change of propagation does not need.
    unsafe {
        if libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET) == 0 {
            let propagation = libc::MS_REC | libc::MS_PRIVATE;
            libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), propagation, std::ptr::null());
        }
    }
    run(rest)
}

/// Runs a probe in a process namespace of its own beside somebody else, and says in its place whether that one has been killed.
fn alone(name: &str, rest: &[&str]) -> io::Result<()> {
    // SAFETY: there is one thread, and no pointers but a null for a status that is not wanted.
    unsafe {
        let user = if libc::geteuid() == 0 { 0 } else { libc::CLONE_NEWUSER };
        checked(libc::unshare(user | libc::CLONE_NEWPID))?;
        let init = checked(libc::fork())?;
        if init != 0 {
            checked(libc::waitpid(init, std::ptr::null_mut(), 0))?;
            return Ok(());
        }
        let somebody = pausing_child()?;
        let probe = checked(libc::fork())?;
        if probe == 0 {
            libc::dup2(2, 1);
            attempt(name, rest);
            libc::_exit(0);
        }
        let mut status = 0;
        checked(libc::waitpid(probe, std::ptr::null_mut(), 0))?;
        let killed = ends_soon(somebody)? && checked(libc::waitpid(somebody, &raw mut status, 0))? == somebody;
        if killed && libc::WIFSIGNALED(status) {
            executed(name);
        }
        io::stdout().flush()?;
        libc::_exit(0)
    }
}

/// A signal that was sent takes its time on a busy machine.
fn ends_soon(child: i32) -> io::Result<bool> {
    // SAFETY: one descriptor to wait for.
    unsafe {
        let mut end =
            libc::pollfd { fd: libc::syscall(libc::SYS_pidfd_open, child, 0) as i32, events: libc::POLLIN, revents: 0 };
        checked(libc::poll(&raw mut end, 1, 5000)).map(|ready| ready == 1)
    }
}

fn pausing_child() -> io::Result<i32> {
    // SAFETY: the child does nothing but wait.
    unsafe {
        let child = checked(libc::fork())?;
        if child == 0 {
            loop {
                libc::pause();
            }
        }
        Ok(child)
    }
}

/// Goes on with a terminal of its own as the controlling one.
fn on_a_terminal(rest: &[&str]) -> ExitCode {
    let (mut ours, mut theirs) = (0, 0);
    let null = std::ptr::null_mut::<libc::c_char>;
    // SAFETY: two places for descriptors, nulls for what is not wanted; both descriptors stay open until the end.
    let has_terminal = unsafe {
        // A process group's leader cannot make a session; its child can.
        let child = libc::fork();
        if child > 0 {
            libc::waitpid(child, std::ptr::null_mut(), 0);
            return ExitCode::SUCCESS;
        }
        libc::setsid() != -1
            && libc::openpty(&raw mut ours, &raw mut theirs, null(), std::ptr::null(), std::ptr::null()) == 0
            && libc::ioctl(theirs, libc::TIOCSCTTY, 0) == 0
    };
    if has_terminal { run(rest) } else { told(Err(io::Error::last_os_error())) }
}
