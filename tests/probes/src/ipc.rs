//! Ways by which processes talk to each other.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::files::loot;
use crate::scene::c_path;
use crate::{Outcome, Probe, Scene, check, escaped, held, let_through, partly};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("ipc_abstract_unix", "connects to an abstract socket", abstract_unix),
    Probe::new("ipc_abstract_datagram", "sends to an abstract datagram socket", abstract_datagram),
    Probe::new("ipc_path_unix", "connects to a socket of another agent", |s| {
        greeting(UnixStream::connect(s.path("socket")?))
    }),
    Probe::new("ipc_shown_unix", "connects to a host service whose socket lies in a shown folder", |s| {
        greeting(UnixStream::connect(shown(s, "socket")?))
    }),
    Probe::new("ipc_shown_unix_link", "the same by a link of its own", |s| {
        let link = s.path("tmp")?.join("link");
        symlink(shown(s, "socket")?, &link)?;
        greeting(UnixStream::connect(link))
    }),
    Probe::new("ipc_shown_unix_relative", "the same by a name in its own folder", |s| {
        std::env::set_current_dir(s.path("shown_hub")?)?;
        greeting(UnixStream::connect("socket"))
    }),
    Probe::new("ipc_shown_unix_descriptor", "the same by the file of the socket", |s| {
        let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(shown(s, "socket")?)?;
        greeting(UnixStream::connect(format!("/proc/self/fd/{}", file.as_raw_fd())))
    }),
    Probe::new("ipc_shown_unix_nonblocking", "the same without waiting", nonblocking),
    Probe::new("ipc_shown_unix_exchanged", "the same with an address that another thread exchanges", exchanged),
    Probe::new("ipc_shown_datagram", "sends to a host service whose socket lies in a shown folder", |s| {
        UnixDatagram::unbound()?.send_to(b"planted", shown(s, "datagrams")?)?;
        escaped("it was sent")
    }),
    Probe::new("ipc_shown_datagram_pair", "the same with one of a pair of sockets", |s| {
        UnixDatagram::pair()?.0.send_to(b"planted", shown(s, "datagrams")?)?;
        escaped("it was sent")
    }),
    Probe::new("ipc_sysv_shm", "reads shared memory (System V)", sysv_shm),
    Probe::new("ipc_sysv_sem", "sees semaphores (System V)", sysv_semaphores),
    Probe::new("ipc_posix_shm", "reads shared memory (POSIX)", posix_shm),
    Probe::new("ipc_dev_shm_shared", "lists the shared memory of others", dev_shm),
    Probe::new("ipc_mqueue", "sends to a message queue", mqueue),
    Probe::new("ipc_inherited_fd", "reads what its parent left open", inherited),
    Probe::new("ipc_vsock", "makes a socket to the machine's host", |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
    Probe::new("ipc_netlink", "asks the kernel for network interfaces", netlink),
    Probe::new("ipc_packet", "makes a socket for raw packets", |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    Probe::new("ipc_alg", "makes a socket to the kernel's ciphers", |_| socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)),
    Probe::new("ipc_bluetooth", "makes a socket for Bluetooth", |_| socket(libc::AF_BLUETOOTH, libc::SOCK_RAW, 1)),
    Probe::new("ipc_tty_tiocsti", "types into the terminal of its parent", terminal),
    Probe::new("ipc_fsnotify_other", "watches another agent's directory", watch),
];

/// The end of an attempt that has connected: the service says its secret to whoever does.
pub(crate) fn greeting(stream: io::Result<impl Read>) -> io::Result<Outcome> {
    let mut text = String::new();
    stream?.take(64).read_to_string(&mut text)?;
    escaped(text)
}

/// Whether a kind of socket can be had at all.
pub(crate) fn socket(family: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::socket(family, kind, protocol) })?;
    escaped("a socket was made")
}

/// What lies in the folder that is shown to read.
fn shown(scene: &Scene, name: &str) -> io::Result<PathBuf> {
    Ok(scene.path("shown_hub")?.join(name))
}

/// A Unix socket's address in memory.
fn address(path: &Path) -> libc::sockaddr_un {
    // SAFETY: all zero is a value of the type.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    address
}

/// Connects a new socket to whatever is at this place when the kernel looks.
fn connect(address: *const libc::sockaddr_un, flags: libc::c_int) -> io::Result<UnixStream> {
    // SAFETY: the address is as long as is told; the descriptor is new and nobody else's.
    unsafe {
        let fd = check(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | flags, 0))? as i32;
        let stream = UnixStream::from_raw_fd(fd);
        check(libc::connect(fd, address.cast(), size_of::<libc::sockaddr_un>() as u32))?;
        Ok(stream)
    }
}

fn nonblocking(scene: &Scene) -> io::Result<Outcome> {
    let address = address(&shown(scene, "socket")?);
    let stream = connect(&raw const address, libc::SOCK_NONBLOCK)?;
    stream.set_nonblocking(false)?;
    greeting(Ok(stream))
}

/// The address is that of a socket of its own half of the time.
fn exchanged(scene: &Scene) -> io::Result<Outcome> {
    let own = scene.path("tmp")?.join("own");
    let _listener = UnixListener::bind(&own)?;
    let addresses = [address(&own), address(&shown(scene, "socket")?)];
    let (place, over) =
        (Box::leak(Box::new(addresses[0])) as *mut libc::sockaddr_un as usize, Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&over);
    let thread = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            for address in addresses {
                // SAFETY: the place is there for good, and what is read from it meanwhile is only ever an address.
                unsafe { (place as *mut libc::sockaddr_un).write_volatile(address) };
            }
        }
    });
    let until = Instant::now() + Duration::from_secs(3);
    let tried = std::iter::repeat(()).take_while(|()| Instant::now() < until).find_map(|()| {
        std::thread::yield_now();
        let stream = connect(place as *const libc::sockaddr_un, libc::SOCK_NONBLOCK).ok()?;
        let theirs = stream.peer_addr().ok().and_then(|peer| Some(peer.as_pathname()? != own)).unwrap_or(false);
        theirs.then_some(stream)
    });
    over.store(true, Ordering::Relaxed);
    let _ = thread.join();
    tried.map_or_else(|| held("never"), |stream| greeting(stream.set_nonblocking(false).map(|()| stream)))
}

fn abstract_unix(scene: &Scene) -> io::Result<Outcome> {
    greeting(UnixStream::connect_addr(&SocketAddr::from_abstract_name(scene.text("abstract")?)?))
}

fn abstract_datagram(scene: &Scene) -> io::Result<Outcome> {
    let name = SocketAddr::from_abstract_name(scene.text("abstract_datagram")?)?;
    UnixDatagram::unbound()?.send_to_addr(b"planted", &name)?;
    escaped("it was sent")
}

fn sysv_shm(scene: &Scene) -> io::Result<Outcome> {
    // SAFETY: the kernel chooses the place; the segment of the scene has 64 bytes.
    unsafe {
        let place = libc::shmat(scene.number("shm")? as i32, std::ptr::null(), libc::SHM_RDONLY);
        check(place as isize as i64)?;
        escaped(String::from_utf8_lossy(std::slice::from_raw_parts(place.cast::<u8>(), 64)))
    }
}

fn sysv_semaphores(scene: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved.
    check(unsafe { libc::semget(scene.number("semaphore_key")? as i32, 0, 0) })?;
    escaped("they are there")
}

fn posix_shm(scene: &Scene) -> io::Result<Outcome> {
    loot(&Path::new("/dev/shm").join(scene.text("posix_shm")?))
}

fn dev_shm(_: &Scene) -> io::Result<Outcome> {
    let count = fs::read_dir("/dev/shm")?.count();
    if count == 0 { held("it is empty") } else { escaped(format!("{count} files")) }
}

fn mqueue(scene: &Scene) -> io::Result<Outcome> {
    let name = CString::new(scene.text("queue")?)?;
    // SAFETY: a name that ends with NUL, and as many bytes as are told.
    unsafe {
        let queue = check(libc::mq_open(name.as_ptr(), libc::O_WRONLY | libc::O_NONBLOCK))?;
        check(libc::mq_send(queue as i32, c"planted".as_ptr(), 7, 0))?;
    }
    escaped("it was sent")
}

fn inherited(_: &Scene) -> io::Result<Outcome> {
    let mut open = 0;
    for fd in 3..1024 {
        let path = format!("/proc/self/fd/{fd}");
        if fs::symlink_metadata(&path).is_ok() {
            open += 1;
            if let Ok(Outcome::Escaped(text)) = loot(Path::new(&path))
                && !text.is_empty()
            {
                return escaped(text);
            }
        }
    }
    held(format!("{open} other files are open"))
}

/// Asks for all network interfaces; loopback is number 1 and the only one of a fresh network namespace.
fn netlink(_: &Scene) -> io::Result<Outcome> {
    const DUMP: u16 = 0x301;
    // `struct nlmsghdr` (length, kind, flags, sequence, port) and `struct ifinfomsg`, 16 bytes each.
    let mut request = [0_u8; 32];
    request[..4].copy_from_slice(&32_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    let mut answer = vec![0_u8; 65_536];
    // SAFETY: as many bytes as are told; the descriptor is new and nobody else's.
    let read = unsafe {
        let fd = check(libc::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE))? as i32;
        let socket = fs::File::from_raw_fd(fd);
        check(libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) as i64)?;
        check(libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0) as i64)?
    };
    let links = links(&answer[..usize::try_from(read).unwrap_or(0)]);
    if links > 1 {
        escaped(format!("{links} interfaces"))
    } else {
        partly(format!("{links} interface, its own loopback"))
    }
}

fn links(mut answer: &[u8]) -> usize {
    let mut links = 0;
    while let Some((head, _)) = answer.split_first_chunk::<8>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        links += usize::from(u16::from_ne_bytes([head[4], head[5]]) == libc::RTM_NEWLINK);
        answer = answer.get(length.max(16).next_multiple_of(4)..).unwrap_or_default();
    }
    links
}

fn terminal(_: &Scene) -> io::Result<Outcome> {
    let terminal = fs::File::open("/dev/tty")?;
    let letter = b'x';
    // SAFETY: one byte to read.
    let_through(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, &raw const letter) })
}

fn watch(scene: &Scene) -> io::Result<Outcome> {
    let path = c_path(&scene.path("other")?)?;
    // SAFETY: a path that ends with NUL.
    unsafe {
        let watcher = check(libc::inotify_init1(libc::IN_CLOEXEC))?;
        check(libc::inotify_add_watch(watcher as i32, path.as_ptr(), libc::IN_ALL_EVENTS))?;
    }
    escaped("watched")
}
