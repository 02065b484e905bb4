//! The network: services of the host, and everything beyond.
//!
//! Without a sandbox nothing is sent to where it could arrive: whether there is a way is asked of the routes.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::ipc::{greeting, socket};
use crate::{Outcome, Probe, Scene, check, escaped, partly};

pub(crate) const PROBES: &[Probe] = &[
    Probe::new("net_tcp_loopback_host", "connects to a service of the host", |s| tcp("127.0.0.1", s.number("tcp4")?)),
    Probe::new("net_ipv6_loopback", "connects to a service of the host by IPv6", |s| tcp("[::1]", s.number("tcp6")?)),
    Probe::new("net_tcp_any_address", "connects to a service of the host at 0.0.0.0", |s| {
        tcp("0.0.0.0", s.number("tcp4")?)
    }),
    Probe::new("net_tcp_mapped", "connects to a service of the host by a mapped address", |s| {
        tcp("[::ffff:127.0.0.1]", s.number("tcp4")?)
    }),
    Probe::new("net_tcp_public", "finds a way to a public address", |s| way(s, "192.0.2.1:443")),
    Probe::new("net_ipv6_public", "finds a way to a public address by IPv6", |s| way(s, "[2001:db8::1]:443")),
    Probe::new("net_metadata", "finds a way to a cloud's metadata service", |s| way(s, "169.254.169.254:80")),
    Probe::new("net_private", "finds a way to a private network", |s| way(s, "10.0.0.1:80")),
    Probe::new("net_udp_dns", "asks a name server by UDP", udp),
    Probe::new("net_udp_multicast", "finds a way to everybody on the local network", |s| way(s, "224.0.0.251:5353")),
    Probe::new("net_icmp_raw", "makes a raw socket", |_| socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
    Probe::new("net_icmp_ping", "finds a way for a ping", ping),
    Probe::new("net_bind_listen", "opens a server", bind_listen),
    Probe::new("net_mptcp", "connects to a service of the host by multipath TCP", |s| {
        connect_kind(s, libc::SOCK_STREAM, 262)
    }),
    Probe::new("net_sctp", "makes a socket of another transport", |_| socket(libc::AF_INET, libc::SOCK_STREAM, 132)),
    Probe::new("net_tcp_fast_open", "sends data with the first packet to a service of the host", fast_open),
    Probe::new("net_unix_via_proc", "connects to a socket through /proc", unix_via_proc),
];

/// Long enough for loopback on a busy machine, and nothing waits for it that is refused at once.
const PATIENCE: Duration = Duration::from_millis(500);

fn address(host: &str, port: u64) -> io::Result<SocketAddr> {
    format!("{host}:{port}").parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

fn tcp(host: &str, port: u64) -> io::Result<Outcome> {
    greeting(TcpStream::connect_timeout(&address(host, port)?, PATIENCE))
}

/// Binding a datagram socket to a far end looks the route up and sends nothing. Only a sandbox, out of which nothing leads,
/// is tried with a connection as well.
fn way(scene: &Scene, to: &str) -> io::Result<Outcome> {
    let to: SocketAddr = to.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let local = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let route = UdpSocket::bind(local).and_then(|socket| socket.connect(to));
    if route.is_ok() || scene.text("plainly").is_ok() {
        return route.and_then(|()| escaped("there is a route"));
    }
    TcpStream::connect_timeout(&to, PATIENCE).and_then(|_| escaped("connected"))
}

fn udp(scene: &Scene) -> io::Result<Outcome> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address("127.0.0.1", scene.number("udp")?)?)?;
    socket.send(b"planted")?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer)?;
    escaped(String::from_utf8_lossy(&answer[..length]))
}

/// The socket of an unprivileged `ping`; a route is looked up, nothing is sent.
fn ping(_: &Scene) -> io::Result<Outcome> {
    // SAFETY: no pointers are involved; the descriptor is new and nobody else's.
    let socket = unsafe {
        let fd = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP))?;
        UdpSocket::from_raw_fd(fd as i32)
    };
    socket.connect("192.0.2.1:0").and_then(|()| escaped("there is a route"))
}

fn bind_listen(_: &Scene) -> io::Result<Outcome> {
    let server = TcpListener::bind("0.0.0.0:0")?;
    partly(format!("listening on {}, for whoever is in its network", server.local_addr()?))
}

/// Connects to the host's service by a socket of another kind.
fn connect_kind(scene: &Scene, kind: libc::c_int, protocol: libc::c_int) -> io::Result<Outcome> {
    let to = loopback(scene)?;
    // SAFETY: an address of the length that is told; the descriptor is new and nobody else's.
    let stream = unsafe {
        let stream = File::from_raw_fd(check(libc::socket(libc::AF_INET, kind, protocol))? as i32);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&stream);
        check(libc::connect(fd, (&raw const to).cast(), size_of_val(&to) as u32))?;
        stream
    };
    greeting(Ok(stream))
}

fn fast_open(scene: &Scene) -> io::Result<Outcome> {
    let to = loopback(scene)?;
    // SAFETY: an address and bytes of the lengths that are told; the descriptor is new and nobody else's.
    let stream = unsafe {
        let stream = File::from_raw_fd(check(libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0))? as i32);
        let fd = std::os::fd::AsRawFd::as_raw_fd(&stream);
        let to_length = size_of_val(&to) as u32;
        check(libc::sendto(fd, c"x".as_ptr().cast(), 1, libc::MSG_FASTOPEN, (&raw const to).cast(), to_length) as i64)?;
        stream
    };
    greeting(Ok(stream))
}

fn loopback(scene: &Scene) -> io::Result<libc::sockaddr_in> {
    Ok(libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: (scene.number("tcp4")? as u16).to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    })
}

fn unix_via_proc(scene: &Scene) -> io::Result<Outcome> {
    let process = Path::new("/proc").join(scene.text("other_pid")?);
    let by_root = process.join("root").join(scene.path("socket")?.strip_prefix("/").unwrap_or(Path::new("")));
    greeting(UnixStream::connect(process.join("cwd/socket")).or_else(|_| UnixStream::connect(by_root)))
}
