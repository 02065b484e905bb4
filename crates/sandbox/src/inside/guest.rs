//! Process 1 of a container: the same as a sandbox's init, where an engine has made the walls already.
//!
//! The engine gives namespaces, a read-only root and no capabilities. The guest looks whether it did, adds what engines
//! cannot express (Landlock, limits per process, the donated listener), starts the program, and takes everything with it
//! when it goes: because it is process 1, and because nothing inside can end it, its end is the end of all.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::init::{self, Standing};
use super::lacks::Lacks;
use super::{give_up, lock, program};
use crate::docker::INSIDE;
use crate::policy::{Bind, GATEWAY};
use crate::seccomp::Denials;
use crate::spec::{Net, Spec};
use crate::sys;
use crate::wire::{self, Failure, Reply, Step};

/// Places of a container that are not the image's.
const NOT_THE_IMAGES: &[&str] = &["/proc", "/dev", "/sys", "/tmp", INSIDE];

/// The whole of the hidden subcommand `__sandbox-guest SOCKET`: process 1 of a container that [`crate::Launcher`] asked
/// an engine for. `words` are what follows the subcommand. Call it first thing in `main`, before any thread is started or
/// file opened.
pub fn guest_main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(socket) = words.into_iter().next() else {
        eprintln!("sandbox guest: the path of the socket is missing");
        return ExitCode::FAILURE;
    };
    // Only failures come back.
    let error = serve(&socket);
    eprintln!("sandbox guest: {error}");
    ExitCode::FAILURE
}

fn serve(socket: &OsStr) -> io::Error {
    let (reports, spec, stdio) = match take_request(socket) {
        Ok(request) => request,
        Err(error) => return error,
    };
    let kept: Vec<i32> = stdio.iter().chain([&reports]).map(AsRawFd::as_raw_fd).collect();
    let closed = sys::close_all_except(3, &kept).map_err(Step::Request.failed("closing files"));
    match closed.and_then(|()| set_up(spec, reports.as_fd(), &stdio)) {
        Ok(standing) => init::watch(standing, reports.as_fd()),
        Err(failure) => give_up(reports.as_fd(), failure),
    }
}

/// What to do, and the program's standard input, output and error, from the caller.
fn take_request(socket: &OsStr) -> io::Result<(OwnedFd, Spec, [OwnedFd; 3])> {
    let reports = OwnedFd::from(UnixStream::connect(socket)?);
    let (_, fds) = sys::receive_with_fds(reports.as_fd(), &mut [0])?;
    let stdio = <[OwnedFd; 3]>::try_from(fds)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a request without its files"))?;
    let (frame, _) = wire::receive_frame(reports.as_fd())?;
    Ok((reports, Spec::decode(&frame)?, stdio))
}

fn set_up(mut spec: Spec, reports: BorrowedFd<'_>, stdio: &[OwnedFd; 3]) -> Result<Standing, Failure> {
    let deadline = spec.limits.wall_ms.map(|wall_ms| Instant::now() + Duration::from_millis(wall_ms));
    check_walls(&spec)?;
    sys::default_signals();
    sys::set_name(c"muster-init");
    let listener = listen(&spec).map_err(Step::Network.failed("listening for the gateway"))?;
    let init = sys::own_pidfd().map_err(Step::Privileges.failed("referring to itself"))?;
    let places = image_places(Path::new("/"), &spec);
    spec.binds.extend(places.iter().map(Bind::system));
    // Counted by the engine for the container; the kernel would count everything that this user runs on the host.
    spec.limits.processes = u64::MAX;
    let lacks = Lacks::default();
    let program = program::find(&spec)?;
    lock::restrict(&spec, program.executables.as_deref(), lacks)?;
    init::give_up_privileges().map_err(Step::Privileges.failed("giving up privileges"))?;
    let ends = sys::watch_children().map_err(Step::Privileges.failed("watching its processes"))?;
    let counters = sys::memory_file().map_err(Step::Privileges.failed("making its counters"))?;
    let program = init::start(&spec, program, stdio, lacks)?;
    let fds = [init.as_fd(), counters.as_fd()].into_iter().chain(listener.as_ref().map(AsFd::as_fd));
    let fds: Vec<BorrowedFd<'_>> = fds.collect();
    wire::reply(reports, &Reply::Started, &fds).map_err(Step::Request.failed("answering"))?;
    let connects = spec.filter.alone.is_some();
    Ok(Standing { program, denials: Denials::new(counters), connects, ends, deadline })
}

/// Loopback is up in every network namespace of an engine.
fn listen(spec: &Spec) -> io::Result<Option<TcpListener>> {
    if spec.wants_listener() { TcpListener::bind(GATEWAY).map(Some) } else { Ok(None) }
}

/// Whether the engine gave what it was asked for. An engine that leaves something out silently is found out here.
fn check_walls(spec: &Spec) -> Result<(), Failure> {
    let failed = |what: &str| Failure { step: Step::Container, errno: libc::EPERM, what: what.to_owned() };
    let read = |path: &str| fs::read_to_string(path).map_err(Step::Container.failed(path.to_owned()));
    let status = read("/proc/self/status")?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim));
    let interfaces = read("/proc/net/dev")?;
    let walls = [
        (std::process::id() == 1, "the guest is not process 1 of its container"),
        (!sys::is_root(), "the guest is root in its container"),
        (field("NoNewPrivs") == Some("1"), "new privileges can be gained"),
        (["CapPrm", "CapEff", "CapBnd"].iter().all(|set| field(set).is_some_and(is_empty)), "capabilities are left"),
        (field("Seccomp") == Some("2") || spec.seccomp_optional, "system calls are not filtered"),
        (sys::is_read_only(c"/").unwrap_or(false), "the container's root can be written"),
        (sys::can_write(c"/tmp"), "the agent cannot write in /tmp; in the image it needs mode 1777"),
        (spec.net == Net::Host || interfaces.lines().skip(2).all(is_loopback), "there is a network beside loopback"),
    ];
    walls.into_iter().try_for_each(|(holds, problem)| if holds { Ok(()) } else { Err(failed(problem)) })
}

fn is_empty(capabilities: &str) -> bool {
    capabilities.bytes().all(|digit| digit == b'0')
}

fn is_loopback(interface: &str) -> bool {
    interface.trim_start().starts_with("lo:")
}

/// The largest folders and the files of the image that hold no bind: what is executed comes from there. The lock adds
/// rights from the root down, so a folder with a bind in it is taken apart.
fn image_places(folder: &Path, spec: &Spec) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        // What cannot be listed is not allowed; that can only be too strict.
        return Vec::new();
    };
    let taken = || NOT_THE_IMAGES.iter().map(Path::new).chain(spec.binds.iter().map(|bind| bind.inside.as_path()));
    let mut places: Vec<PathBuf> = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if taken().any(|place| path.starts_with(place)) || leads_to_a_bind(&path, spec) {
            continue;
        }
        if taken().any(|place| place.starts_with(&path)) {
            places.extend(image_places(&path, spec));
        } else {
            places.push(path);
        }
    }
    places
}

/// A link of the image may lead to where a bind is, or above it: the lock would follow it.
fn leads_to_a_bind(path: &Path, spec: &Spec) -> bool {
    let is_link = path.symlink_metadata().is_ok_and(|about| about.is_symlink());
    let target = if is_link { path.canonicalize().ok() } else { None };
    target.is_some_and(|target| {
        let places = NOT_THE_IMAGES.iter().map(Path::new).chain(spec.binds.iter().map(|bind| bind.inside.as_path()));
        places.into_iter().any(|place| place.starts_with(&target) || target.starts_with(place))
    })
}
