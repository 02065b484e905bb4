//! Programs in a real sandbox reach the hosts that its policy names, through the proxy and in no other way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use sandbox::egress::{Addresses, HostRule, HostRules, Proxy, ProxyLimits, Resolve, Why, proxy_variables, serve};
use sandbox::{Exit, Network, Policy};
use tokio::runtime::Runtime;

use crate::{Host, each};

/// Fetches with what Python has; says what came, or what a program shows of a refusal.
const FETCH: &str = r"
import sys, urllib.request, urllib.error
for url in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(url, timeout=20).read().decode())
    except urllib.error.HTTPError as e:
        print(e.code, e.read().decode().splitlines()[-1])
    except OSError as e:
        print(e)
";

/// Tries every way around the proxy.
const AROUND: &str = r"
import socket, sys
port = int(sys.argv[1])
def attempt(name, act):
    try:
        act()
        print(name, 'passed')
    except OSError:
        print(name, 'held')
def udp(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(address)
    s.send(b'x')
attempt('server', lambda: socket.create_connection(('127.0.0.1', port), timeout=20))
attempt('internet', lambda: socket.create_connection(('1.1.1.1', 443), timeout=20))
attempt('metadata', lambda: socket.create_connection(('169.254.169.254', 80), timeout=20))
attempt('name', lambda: socket.getaddrinfo('allowed.test', 443))
attempt('dns', lambda: udp(('8.8.8.8', 53)))
";

#[test]
fn an_allowed_host_is_reached_and_all_others_are_refused_with_a_reason() {
    each(|host| {
        let (port, server) = upstream();
        let (tell, told) = std::sync::mpsc::channel();
        let rules = vec![format!("allowed.test:{port} private").parse().unwrap(), "inside.test:80".parse().unwrap()];
        let scene =
            Scene::new(host, rules, port, move |refused| _ = tell.send((refused.host, refused.port, refused.why)));
        let allowed = format!("http://allowed.test:{port}/a?b");
        let urls = [&allowed, "http://denied.test/", "https://denied.test/", "http://inside.test/", "http://10.0.0.1/"];
        let out = scene.python(host, FETCH, &urls);
        assert_eq!(
            out.lines().collect::<Vec<_>>(),
            [
                "from the server",
                "403   - denied.test:80",
                "<urlopen error Tunnel connection failed: 403 Forbidden by the sandbox policy: denied.test:443>",
                "403   - inside.test:80 private",
                "403   - 10.0.0.1:80",
            ]
        );
        let got = server.join().unwrap();
        assert!(got.starts_with("GET /a?b HTTP/1.1\r\n"), "{got}");
        assert!(got.contains(&format!("\r\nHost: allowed.test:{port}\r\n")), "{got}");
        let refused: Vec<_> = told.try_iter().collect();
        assert_eq!(
            refused,
            [
                ("denied.test".to_owned(), 80, Why::NotListed),
                ("denied.test".to_owned(), 443, Why::NotListed),
                ("inside.test".to_owned(), 80, Why::NotPublic([127, 0, 0, 1].into())),
                ("10.0.0.1".to_owned(), 80, Why::Address),
            ]
        );
    });
}

#[test]
fn there_is_no_way_around_the_proxy() {
    each(|host| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let scene = Scene::new(host, vec!["allowed.test:443".parse().unwrap()], port, |_| {});
        let out = scene.python(host, AROUND, &[&port.to_string()]);
        assert_eq!(out, "server held\ninternet held\nmetadata held\nname held\ndns held\n");
    });
}

/// A sandbox's policy with a network, and the proxy that serves it.
struct Scene {
    runtime: Runtime,
    policy: Policy,
    proxy: Proxy,
}

impl Scene {
    fn new(
        host: &Host,
        rules: Vec<HostRule>,
        port: u16,
        on_refused: impl Fn(sandbox::egress::Refused) + Send + Sync + 'static,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut policy = host.policy();
        policy.network = Network::Hosts(rules.clone());
        policy.env.extend(proxy_variables(sandbox::GATEWAY));
        let here = AlwaysHere(SocketAddr::from(([127, 0, 0, 1], port)));
        let proxy = Proxy::with(HostRules::new(rules), ProxyLimits::default(), here, on_refused);
        Self { runtime, policy, proxy }
    }

    /// What a Python program says that must succeed.
    fn python(&self, host: &Host, program: &str, args: &[&str]) -> String {
        let command = [&["python3", "-c", program], args].concat();
        let mut sandboxed = host.launch(self.policy.clone(), &command).unwrap();
        let listener = sandboxed.listener.take().unwrap();
        let _serving = serve(self.runtime.handle(), listener, self.proxy.clone()).unwrap();
        let output = crate::output(sandboxed);
        assert_eq!((output.exit, output.err.as_str()), (Exit::Code(0), ""));
        output.out
    }
}

/// Every name leads to this place.
struct AlwaysHere(SocketAddr);

impl Resolve for AlwaysHere {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Addresses<'a> {
        Box::pin(async { Ok(vec![self.0]) })
    }
}

/// A server of the host that answers one request and returns it.
fn upstream() -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut got, mut chunk) = (Vec::new(), [0; 1024]);
        while !got.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut chunk).unwrap();
            assert_ne!(count, 0, "the request has no end");
            got.extend(&chunk[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nfrom the server").unwrap();
        String::from_utf8(got).unwrap()
    });
    (port, server)
}
