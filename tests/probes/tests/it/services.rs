//! What others on the host offer to whoever reaches it: each says a secret, or counts what it is sent.

use std::ffi::CString;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::give;

/// Everything that can be reached without a file.
pub struct Services {
    arrived: Arc<AtomicUsize>,
    datagrams: [UnixDatagram; 2],
    queue: i32,
    queue_name: CString,
    shm: i32,
    semaphores: i32,
    posix_shm: String,
    /// Where they are, for the probes.
    pub args: Vec<String>,
}

impl Services {
    /// Opens them for this user; `token` is a word of this scene.
    pub fn open(token: &str, uid: u32, socket: &Path, shown: &Path) -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let greet = |kind: &str| (format!("SECRET-{token}-{kind}"), Arc::clone(&arrived));
        let tcp4 = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp6 = TcpListener::bind("[::1]:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (port4, port6) = (tcp4.local_addr().unwrap().port(), tcp6.local_addr().unwrap().port());
        let port_udp = udp.local_addr().unwrap().port();
        serve(greet("tcp4"), move || tcp4.accept().map(|(stream, _)| stream));
        serve(greet("tcp6"), move || tcp6.accept().map(|(stream, _)| stream));
        serve_udp(greet("udp"), udp);
        let name = format!("probe-{token}");
        let abstract_socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        serve(greet("abstract"), move || abstract_socket.accept().map(|(stream, _)| stream));
        let by_path = UnixListener::bind(socket).unwrap();
        give(socket, uid);
        serve(greet("socket"), move || by_path.accept().map(|(stream, _)| stream));
        let in_sight = UnixListener::bind(shown.join("socket")).unwrap();
        give(&shown.join("socket"), uid);
        serve(greet("shown"), move || in_sight.accept().map(|(stream, _)| stream));
        let in_sight = UnixDatagram::bind(shown.join("datagrams")).unwrap();
        give(&shown.join("datagrams"), uid);
        let datagram_name = format!("probe-datagram-{token}");
        let datagrams = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&datagram_name).unwrap()).unwrap();
        let datagrams = [datagrams, in_sight];
        datagrams.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        let posix_shm = format!("/dev/shm/probe-{token}");
        std::fs::write(&posix_shm, format!("SECRET-{token}-posix")).unwrap();
        give(Path::new(&posix_shm), uid);
        let key = 0x7000_0000 | i32::from(port4);
        let (shm, semaphores) = (shared_memory(token, uid), semaphores(key, uid));
        let queue_name = CString::new(format!("/probe-{token}")).unwrap();
        let queue = queue(&queue_name, uid);
        let args = [
            format!("tcp4={port4}"),
            format!("tcp6={port6}"),
            format!("udp={port_udp}"),
            format!("abstract={name}"),
            format!("abstract_datagram={datagram_name}"),
            format!("shm={shm}"),
            format!("semaphore_key={key}"),
            format!("posix_shm=probe-{token}"),
            format!("queue=/probe-{token}"),
        ];
        Self { arrived, datagrams, queue, queue_name, shm, semaphores, posix_shm, args: args.into() }
    }

    /// How often anything was reached since the last time, and by whom.
    pub fn reached(&self) -> Vec<String> {
        let mut seen = Vec::new();
        match self.arrived.swap(0, Ordering::SeqCst) {
            0 => {}
            count => seen.push(format!("{count} connections arrived")),
        }
        for socket in &self.datagrams {
            while socket.recv(&mut [0; 64]).is_ok() {
                seen.push("a datagram arrived".to_owned());
            }
        }
        let mut message = [0_i8; 8192];
        while unsafe {
            libc::mq_receive(self.queue, message.as_mut_ptr().cast(), message.len(), std::ptr::null_mut()) >= 0
        } {
            seen.push("a message arrived".to_owned());
        }
        seen
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        unsafe {
            libc::shmctl(self.shm, libc::IPC_RMID, std::ptr::null_mut());
            libc::semctl(self.semaphores, 0, libc::IPC_RMID);
            libc::mq_close(self.queue);
            libc::mq_unlink(self.queue_name.as_ptr());
        }
        let _ = std::fs::remove_file(&self.posix_shm);
    }
}

/// Answers every connection with a secret, until the end of the tests.
fn serve<S: Write>(
    (secret, arrived): (String, Arc<AtomicUsize>),
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
) {
    std::thread::spawn(move || {
        while let Ok(mut stream) = accept() {
            arrived.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(secret.as_bytes());
        }
    });
}

fn serve_udp((secret, arrived): (String, Arc<AtomicUsize>), socket: UdpSocket) {
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
            arrived.fetch_add(1, Ordering::SeqCst);
            let _ = socket.send_to(secret.as_bytes(), from);
        }
    });
}

fn shared_memory(token: &str, uid: u32) -> i32 {
    let secret = format!("SECRET-{token}-shm");
    unsafe {
        let id = libc::shmget(libc::IPC_PRIVATE, 64, 0o600);
        let place = libc::shmat(id, std::ptr::null(), 0);
        assert!(id >= 0 && place as isize != -1 && secret.len() < 64);
        std::ptr::copy_nonoverlapping(secret.as_ptr(), place.cast(), secret.len());
        assert_eq!(libc::shmdt(place), 0);
        let mut about: libc::shmid_ds = std::mem::zeroed();
        (about.shm_perm.uid, about.shm_perm.gid, about.shm_perm.mode) = (uid, uid, 0o600);
        assert_eq!(libc::shmctl(id, libc::IPC_SET, &raw mut about), 0);
        id
    }
}

fn semaphores(key: i32, uid: u32) -> i32 {
    unsafe {
        let id = libc::semget(key, 1, libc::IPC_CREAT | 0o600);
        assert!(id >= 0);
        let mut about: libc::semid_ds = std::mem::zeroed();
        (about.sem_perm.uid, about.sem_perm.gid, about.sem_perm.mode) = (uid, uid, 0o600);
        assert_eq!(libc::semctl(id, 0, libc::IPC_SET, &raw mut about), 0);
        id
    }
}

fn queue(name: &CString, uid: u32) -> i32 {
    unsafe {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK;
        let mut size: libc::mq_attr = std::mem::zeroed();
        (size.mq_maxmsg, size.mq_msgsize) = (4, 64);
        let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut size);
        assert!(queue >= 0);
        assert!(!crate::is_root() || libc::fchown(queue, uid, uid) == 0);
        queue
    }
}
