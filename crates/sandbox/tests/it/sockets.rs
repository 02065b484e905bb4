//! Unix sockets: those inside work, those of the host are out of reach by whatever way.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use sandbox::{Access, Bind, Exit, Network, Policy, presets};

use crate::{Host, each};

/// Tries every way to a socket of the host that lies at a path; says which of them led there.
const INTRUDER: &str = r#"
import asyncio, ctypes, os, socket, struct, sys, threading
path = sys.argv[1]
folder, name = os.path.split(path)
made = lambda kind=socket.SOCK_STREAM: socket.socket(socket.AF_UNIX, kind)
def tried(how, way):
    try:
        way()
        print("reached", how)
    except OSError as error:
        print("refused", how, error.errno)
def nonblocking():
    s = made(); s.setblocking(False); s.connect(path)
def relative():
    os.chdir(folder); made().connect(name)
def by_link(target, link="/tmp/link"):
    if os.path.lexists(link): os.unlink(link)
    os.symlink(target, link); made().connect(link if not os.path.isdir(link) else link + "/" + name)
def by_descriptor():
    fd = os.open(path, os.O_PATH); made().connect("/proc/self/fd/%d" % fd)
def by_folder():
    fd = os.open(folder, os.O_PATH); made().connect("/proc/self/fd/%d/%s" % (fd, name))
def by_renaming():
    os.rename(path, folder + "/moved"); made().connect(folder + "/moved")
def by_hard_link():
    os.link(path, folder + "/linked"); made().connect(folder + "/linked")
def datagram():
    made(socket.SOCK_DGRAM).sendto(b"x", path)
def of_a_pair():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", path)
def while_it_is_exchanged():
    # The address, and the socket, are others whenever the kernel looks again.
    libc = ctypes.CDLL(None, use_errno=True)
    own = socket.socket(socket.AF_UNIX); own.bind("/tmp/o"); own.listen(1000)
    address = ctypes.create_string_buffer(struct.pack("H", 1) + b"/tmp/o", 110)
    good, bad = (struct.pack("H", 1) + p.encode() + bytes(1) for p in ("/tmp/o", path))
    over = threading.Event()
    def exchange():
        while not over.is_set():
            ctypes.memmove(address, bad, len(bad)); ctypes.memmove(address, good, len(good))
    thread = threading.Thread(target=exchange); thread.start()
    try:
        for _ in range(150):
            s = made(); s.settimeout(0.2)
            if libc.connect(s.fileno(), address, 110) == 0 and s.getpeername() != "/tmp/o": return
    finally:
        over.set(); thread.join()
    raise OSError(0, "never")
tried("plainly", lambda: made().connect(path))
tried("nonblocking", nonblocking)
tried("relative", relative)
tried("by link", lambda: by_link(path))
tried("by link to its folder", lambda: by_link(folder, "/tmp/folder"))
tried("by descriptor", by_descriptor)
tried("by its folder's descriptor", by_folder)
tried("another kind", lambda: made(socket.SOCK_SEQPACKET).connect(path))
tried("by a datagram", datagram)
tried("by one of a pair", of_a_pair)
tried("while it is exchanged", while_it_is_exchanged)
tried("by renaming", by_renaming)
tried("by another name", by_hard_link)
"#;

fn shown(host: &Host, mut policy: Policy, access: Access) -> Policy {
    policy.filesystem.binds.push(Bind { access, ..Bind::read(host.path("work"), "/work") });
    policy
}

#[test]
fn a_service_of_the_host_is_out_of_reach_in_every_preset_and_by_every_way() {
    each(|host| {
        let listener = UnixListener::bind(host.path("work/service")).unwrap();
        listener.set_nonblocking(true).unwrap();
        fs::set_permissions(host.path("work/service"), Permissions::from_mode(0o777)).unwrap();
        let presets =
            [presets::tool(), presets::agent_cli(), presets::check(), presets::read_only(), presets::worker()];
        let open = Policy { network: Network::Open, ..presets::tool() };
        for policy in presets.into_iter().chain([open]) {
            for access in [Access::Read, Access::WriteExecute] {
                let output =
                    host.run(shown(host, policy.clone(), access), &["python3", "-c", INTRUDER, "/work/service"]);
                assert!(output.out.lines().all(|line| line.starts_with("refused")), "{output:?}");
                assert_eq!(output.out.lines().count(), 13, "{output:?}");
                assert!(listener.accept().is_err(), "somebody came: {output:?}");
                let _ = fs::rename(host.path("work/moved"), host.path("work/service"));
                let _ = fs::remove_file(host.path("work/linked"));
            }
        }
    });
}

/// Uses sockets as programs do.
const USER: &str = r#"
import asyncio, multiprocessing, os, socket, sys, threading, time
os.chdir("/work")
def serve(listener, count):
    for _ in range(count):
        peer, _ = listener.accept(); peer.sendall(peer.recv(9)[::-1]); peer.close()
def talk(address, family=socket.AF_UNIX, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind); s.connect(address); s.sendall(b"abc"); return s.recv(9)
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    listener = socket.socket(socket.AF_UNIX, kind); listener.bind("own"); listener.listen(9)
    threading.Thread(target=serve, args=(listener, 3)).start()
    assert [talk(a, kind=kind) for a in ("own", "/work/own", "../work/./own")] == [b"cba"] * 3
    listener.close()
    try: talk("own", kind=kind)
    except ConnectionRefusedError: os.unlink("own")
try: talk("own")
except FileNotFoundError: pass
open("file", "w").close()
try: talk("file")
except ConnectionRefusedError: pass
try: socket.socket(socket.AF_UNIX).connect("x" * 200)
except OSError: pass
listener = socket.socket(socket.AF_UNIX); listener.bind("\0abstract"); listener.listen(9)
threading.Thread(target=serve, args=(listener, 1)).start()
assert talk("\0abstract") == b"cba"
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen(9)
threading.Thread(target=serve, args=(tcp, 2)).start()
assert talk(tcp.getsockname(), socket.AF_INET) == b"cba"
async def asynchronous():
    reader, writer = await asyncio.open_connection(*tcp.getsockname())
    writer.write(b"abc"); return await reader.read(9)
assert asyncio.run(asynchronous()) == b"cba"
port = tcp.getsockname()[1]; tcp.close()
try: talk(("127.0.0.1", port), socket.AF_INET)
except ConnectionRefusedError: pass
try: socket.socket().connect_ex(("127.0.0.1", port)); os.close(99)
except OSError as error: assert error.errno == 9
# One who waits for room keeps nobody else waiting.
full = socket.socket(socket.AF_UNIX); full.bind("full"); full.listen(0)
waiting = [threading.Thread(target=talk, args=("full",), daemon=True) for _ in range(5)]
[thread.start() for thread in waiting]
other = socket.socket(socket.AF_UNIX); other.bind("other"); other.listen(9)
threading.Thread(target=serve, args=(other, 1)).start()
assert talk("other") == b"cba"
threading.Thread(target=serve, args=(full, 5), daemon=True).start()
[thread.join() for thread in waiting]
# A process that does not want to be looked into, one that another thread has made, and one with its own manager.
import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
threading.Thread(target=serve, args=(other, 1)).start()
assert talk("other") == b"cba"
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Manager() as manager:
        shared = manager.list([1]); shared.append(2); assert list(shared) == [1, 2]
    print("all of it")
"#;

#[test]
fn programs_use_their_own_sockets_as_ever() {
    each(|host| {
        let output = host.run(host.policy(), &["python3", "-c", USER]);
        assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), "all of it\n"), "{output:?}");
    });
}

#[test]
fn one_sandbox_does_not_reach_the_sockets_of_another() {
    each(|host| {
        let script = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('/work/mine')\ns.listen(9)\nprint('ready', flush=True)\ns.accept()";
        let first = host.launch(host.policy(), &["python3", "-c", script]).unwrap();
        let mut ready = [0; 6];
        fs::File::from(first.stdout).read_exact(&mut ready).unwrap();
        let script = "import socket; socket.socket(socket.AF_UNIX).connect('/work/mine')";
        let output = host.run(host.policy(), &["python3", "-c", script]);
        assert!(output.err.contains("Connection refused"), "{output:?}");
        first.tree.kill();
    });
}
