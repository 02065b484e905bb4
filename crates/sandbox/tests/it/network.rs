//! Nothing is reachable but loopback and the donated listener.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use sandbox::{Exit, Network, presets};

use crate::each;

/// Connects to an address, says a line, and prints what comes back.
const CLIENT: &str = r"
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20) as s:
    s.sendall(b'GET / HTTP/1.0\r\n\r\n')
    s.shutdown(socket.SHUT_WR)
    print(s.makefile().read(), end='')
";

#[test]
fn there_is_only_loopback() {
    each(|host| {
        for network in [Network::None, Network::Gateway] {
            let mut policy = host.policy();
            policy.network = network;
            let interfaces = host.sh(policy, "tail -n +3 /proc/net/dev");
            assert_eq!(interfaces.lines().count(), 1, "{interfaces}");
            assert!(interfaces.trim_start().starts_with("lo:"), "{interfaces}");
        }
    });
}

#[test]
fn the_hosts_servers_are_out_of_reach() {
    each(|host| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let output = host.run(host.policy(), &["python3", "-c", CLIENT, "127.0.0.1", &port]);
        assert!(output.err.contains("Connection refused"), "{output:?}");
        let output = host.run(host.policy(), &["python3", "-c", CLIENT, "192.0.2.1", "80"]);
        assert!(output.err.contains("Network is unreachable"), "{output:?}");
    });
}

#[test]
fn the_donated_listener_answers_and_is_the_callers_alone() {
    each(|host| {
        let mut policy = presets::agent_cli();
        policy.limits.wall_ms = Some(60_000);
        let launch = || host.launch(policy.clone(), &["python3", "-c", CLIENT, "127.0.0.1", "3128"]).unwrap();
        let (mut first, mut second) = (launch(), launch());
        let listeners = [first.listener.take().unwrap(), second.listener.take().unwrap()];
        for (name, listener) in ["first", "second"].iter().zip(listeners) {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut request = String::new();
            stream.read_to_string(&mut request).unwrap();
            assert_eq!(request, "GET / HTTP/1.0\r\n\r\n");
            stream.write_all(name.as_bytes()).unwrap();
            stream.shutdown(Shutdown::Both).unwrap();
        }
        for (name, sandboxed) in [("first", first), ("second", second)] {
            let output = crate::output(sandboxed);
            assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), name), "{}", output.err);
        }
    });
}

#[test]
fn without_the_gateway_nobody_listens() {
    each(|host| {
        let sandboxed = host.launch(host.policy(), &["python3", "-c", CLIENT, "127.0.0.1", "3128"]).unwrap();
        assert!(sandboxed.listener.is_none());
        assert!(crate::output(sandboxed).err.contains("Connection refused"));
    });
}

#[test]
fn servers_inside_can_be_used_inside() {
    each(|host| {
        let script = "
import socket
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
server.accept()[0].sendall(b'inside')
print(client.recv(6).decode(), end='')
";
        assert_eq!(host.run(host.policy(), &["python3", "-c", script]).out, "inside");
    });
}

#[test]
fn the_open_network_is_the_hosts() {
    each(|host| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port().to_string();
        let mut policy = host.policy();
        policy.network = Network::Open;
        let sandboxed = host.launch(policy, &["python3", "-c", CLIENT, "127.0.0.1", &port]).unwrap();
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(b"host").unwrap();
        drop(stream);
        assert!(crate::output(sandboxed).exit != Exit::Killed);
    });
}
