//! The proxy with real connections: a client that writes bytes, servers that record what arrives, and names that mean
//! what the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::hello::sample;
use super::*;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn a_tunnel_carries_tls_to_the_name_it_was_asked_for() {
    let server = Server::new(b"from the server").await;
    let scene = scene(&["a.test:443 private"], [("a.test", vec![server.at])]);
    let hello = sample::hello("A.test");
    let answer = scene.say(&[b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", &hello[..], b"END"].concat()).await;
    assert_eq!(answer, format!("{CONNECTED}from the server"));
    assert_eq!(server.got().await, [&hello[..], b"END"].concat());
    let traffic = scene.proxy.traffic()["a.test:443"];
    assert_eq!(traffic, Traffic { connections: 1, sent: hello.len() as u64 + 3, received: 15 });
    assert_eq!(scene.refused(), []);
}

#[tokio::test]
async fn a_handshake_that_dribbles_in_is_joined() {
    let server = Server::new(b"ok").await;
    let scene = scene(&["a.test:443 private"], [("a.test", vec![server.at])]);
    let hello = sample::records(&sample::message(&[sample::name("a.test")]), 7);
    let mut client = scene.connect().await;
    for byte in [b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", &hello[..], b"END"].concat() {
        client.write_all(&[byte]).await.unwrap();
        client.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(&mut client).await, format!("{CONNECTED}ok"));
    assert_eq!(server.got().await, [&hello[..], b"END"].concat());
}

#[tokio::test]
async fn a_handshake_must_name_the_host() {
    let unnamed = sample::records(&sample::message(&[]), 999);
    let split = sample::records(&sample::message(&[sample::name("evil.test")]), 3);
    let cases = [
        (sample::hello("evil.test"), Why::OtherName),
        (split, Why::OtherName),
        (sample::hello("10.0.0.1"), Why::OtherName),
        (sample::hello("a.test\0evil"), Why::OtherName),
        (unnamed, Why::Unnamed),
        (b"SSH-2.0-x\r\n".to_vec(), Why::NotTls),
        (b"\0\0\0".to_vec(), Why::NotTls),
    ];
    for (bytes, why) in cases {
        let server = Server::new(b"never").await;
        let scene = scene(&["a.test:443 private"], [("a.test", vec![server.at])]);
        let answer = scene.say(&[b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", &bytes[..]].concat()).await;
        assert!(!answer.contains("never"), "{answer}");
        assert_eq!(server.got().await, b"", "{why}");
        assert_eq!(scene.refused(), [("a.test".into(), 443, why)]);
    }
}

#[tokio::test]
async fn plain_http_in_a_tunnel_to_https_is_refused_in_words() {
    let server = Server::new(b"never").await;
    let scene = scene(&["a.test:443 private"], [("a.test", vec![server.at])]);
    let answer = scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with(&format!("{CONNECTED}HTTP/1.1 403 ")) && answer.contains("is not TLS"), "{answer}");
    assert_eq!(server.got().await, b"");
}

#[tokio::test]
async fn a_name_inside_another_handshake_port_is_judged_as_well() {
    let server = Server::new(b"never").await;
    let scene = scene(&["a.test:8443 private"], [("a.test", vec![server.at])]);
    scene.say(&[b"CONNECT a.test:8443 HTTP/1.1\r\n\r\n", &sample::hello("evil.test")[..]].concat()).await;
    assert_eq!(server.got().await, b"");
    assert_eq!(scene.refused(), [("a.test".into(), 8443, Why::OtherName)]);
}

#[tokio::test]
async fn on_other_ports_the_server_may_speak_first_and_a_half_close_is_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"SSH-2.0-server\r\n").await.unwrap();
        let got = rest(&mut stream).await;
        stream.write_all(b"bye").await.unwrap();
        got
    });
    let scene = scene(&["a.test:22 private"], [("a.test", vec![at])]);
    let mut client = scene.connect().await;
    client.write_all(b"CONNECT a.test:22 HTTP/1.1\r\n\r\n").await.unwrap();
    let greeting = format!("{CONNECTED}SSH-2.0-server\r\n");
    let mut read = vec![0; greeting.len()];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), greeting);
    client.write_all(b"SSH-2.0-client\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "bye");
    assert_eq!(server.await.unwrap(), "SSH-2.0-client\r\n");
}

#[tokio::test]
async fn who_only_listens_gets_what_the_server_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = scene(&["a.test:22 private"], [("a.test", vec![listener.local_addr().unwrap()])]);
    let mut client = scene.connect().await;
    client.write_all(b"CONNECT a.test:22 HTTP/1.1\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    stream.write_all(b"hello").await.unwrap();
    drop(stream);
    assert_eq!(rest(&mut client).await, format!("{CONNECTED}hello"));
}

#[tokio::test]
async fn a_plain_request_is_written_anew_for_the_server() {
    let server = Server::new(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
    let scene = scene(&["a.test:80 private"], [("a.test", vec![server.at])]);
    let answer = scene
        .say(b"POST http://a.test/p HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: keep-alive\r\nContent-Length: 3\r\n\r\nEND")
        .await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let got = "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nConnection: close\r\n\r\nEND";
    assert_eq!(String::from_utf8(server.got().await).unwrap(), got);
}

#[tokio::test]
async fn what_follows_a_request_on_its_connection_reaches_nobody() {
    let (a, b) = (Server::new(b"HTTP/1.1 200 OK\r\n\r\na").await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let names = [("a.test", vec![a.at]), ("b.test", vec![b.local_addr().unwrap()])];
    let scene = scene(&["a.test:80 private"], names);
    let first = "POST http://a.test/1 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nEND";
    let answer = scene.say(format!("{first}GET http://b.test/2 HTTP/1.1\r\nHost: b.test\r\n\r\n").as_bytes()).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\na");
    let got = String::from_utf8(a.got().await).unwrap();
    assert!(got.ends_with("\r\n\r\nEND") && !got.contains("b.test"), "{got}");
    assert!(is_untouched(b));
    // On a connection of its own the second is judged.
    let answer = scene.say(b"GET http://b.test/2 HTTP/1.1\r\nHost: b.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden by the sandbox policy: b.test:80\r\n"), "{answer}");
    assert_eq!(scene.refused(), [("b.test".into(), 80, Why::NotListed)]);
}

#[tokio::test]
async fn a_refusal_tells_the_agent_what_to_do() {
    let scene = scene(&["a.test:443"], []);
    let answer = scene.say(b"CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n").await;
    let body = "muster: this sandbox may not connect to pypi.org:443: no rule of `network: hosts` names it.\n\
                To allow it, add this line to `network: hosts` of its policy:\n  - pypi.org:443\n";
    let length = body.len();
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 403 Forbidden by the sandbox policy: pypi.org:443\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    );
    assert_eq!(scene.refused(), [("pypi.org".into(), 443, Why::NotListed)]);
}

#[tokio::test]
async fn every_trick_with_the_host_is_refused() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = target.local_addr().unwrap();
    let scene = scene(&["a.test:443 private", &format!("a.test:{} private", at.port())], [("a.test", vec![at])]);
    let port = at.port();
    let tricks = [
        format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT 2130706433:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT 0x7f000001:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT 0177.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT 127.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT [::1]:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT [::ffff:127.0.0.1]:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test@127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test:443@127.0.0.1:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test%00.b.test:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test..:{port} HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test:{port}\nX: HTTP/1.1\r\n\r\n"),
        format!("CONNECT a.test:{port} HTTP/1.1\r\nX: a\rHost: b\r\n\r\n"),
        format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"),
        format!("GET http://a.test@127.0.0.1:{port}/ HTTP/1.1\r\n\r\n"),
        format!("GET http://user:word@a.test:{port}/ HTTP/1.1\r\n\r\n"),
        format!("GET http://127.0.0.1:{port}#@a.test:{port}/ HTTP/1.1\r\n\r\n"),
        format!("GET http://127.0.0.1:{port}\\@a.test:{port}/ HTTP/1.1\r\n\r\n"),
        format!("GET http://a.test:{port}/ HTTP/1.1\r\nHost: b.test\r\n\r\n"),
        format!("GET http://a.test:{port}/\r\nHost: b.test HTTP/1.1\r\n\r\n"),
        format!("GET https://a.test:{port}/ HTTP/1.1\r\n\r\n"),
    ];
    for trick in &tricks {
        let answer = scene.say(trick.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{trick}: {answer}");
    }
    assert!(is_untouched(target));
    let counted: u64 = scene.proxy.refusals().known.iter().map(|refused| refused.times).sum();
    assert_eq!(counted, tricks.len() as u64);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = target.local_addr().unwrap().port();
    for address in
        ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "::1", "100.64.0.1", "fd00::1", "64:ff9b::7f00:1"]
    {
        let address = address.parse().unwrap();
        let scene = scene(&["a.test:443"], [("a.test", vec![SocketAddr::new(address, port)])]);
        let answer = scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("  - a.test:443 private\n"), "{answer}");
        assert_eq!(scene.refused(), [("a.test".into(), 443, Why::NotPublic(address))]);
    }
    assert!(is_untouched(target));
}

#[tokio::test]
async fn only_the_admitted_addresses_of_a_name_are_connected_to() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listed = Server::new_at("127.0.0.2:0", b"listed").await;
    // The rule names the second address, not the first, and an address that the rule names may be asked for as itself.
    let scene = scene(&[&format!("127.0.0.2:{}", listed.at.port())], []);
    let answer = scene.say(format!("CONNECT {} HTTP/1.1\r\n\r\nEND", listed.at).as_bytes()).await;
    assert_eq!(answer, format!("{CONNECTED}listed"));
    let port = inside.local_addr().unwrap().port();
    let answer = scene.say(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(is_untouched(inside));
}

#[tokio::test]
async fn a_name_is_resolved_once_for_a_connection() {
    let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = inside.local_addr().unwrap();
    // First an address that nobody answers at, and which is public; then the one that an attacker wants.
    let turns = Arc::new(AtomicUsize::new(0));
    let resolver =
        Turns { turns: Arc::clone(&turns), answers: vec![vec!["[2001:db9::1]:443".parse().unwrap()], vec![at]] };
    let scene = with(&["a.test:443"], ProxyLimits { connect: Duration::from_millis(200), ..limits() }, resolver);
    let answer = scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
    assert_eq!(turns.load(Ordering::SeqCst), 1);
    let answer = scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!((turns.load(Ordering::SeqCst), is_untouched(inside)), (2, true));
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_no_refusal() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let scene = scene(&["a.test:443 private", "b.test:443"], [("a.test", vec![closed]), ("c.test", vec![])]);
    let answer = scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("a.test:443 is allowed, but"), "{answer}");
    let answer = scene.say(b"CONNECT b.test:443 HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("cannot be resolved"), "{answer}");
    assert_eq!(scene.refused(), []);
}

#[tokio::test]
async fn a_head_without_end_and_a_silent_client_are_dropped() {
    let hasty = ProxyLimits { greeting: Duration::from_millis(50), idle: Duration::from_millis(50), ..limits() };
    let scene = with(&["a.test:80 private"], hasty, Names::default());
    let long = format!("GET http://a.test/{} HTTP/1.1\r\n", "x".repeat(64 << 10));
    assert!(scene.say(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let mut silent = scene.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let mut slow = scene.connect().await;
    slow.write_all(b"CONNECT a.te").await.unwrap();
    assert!(rest(&mut slow).await.starts_with("HTTP/1.1 408 "));
    let chunks = b"POST http://a.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(scene.say(chunks).await.starts_with("HTTP/1.1 411 "));
}

#[tokio::test]
async fn an_idle_tunnel_ends() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = Names::of([("a.test", vec![server.local_addr().unwrap()])]);
    let scene = with(&["a.test:22 private"], ProxyLimits { idle: Duration::from_millis(50), ..limits() }, names);
    let mut client = scene.connect().await;
    client.write_all(b"CONNECT a.test:22 HTTP/1.1\r\n\r\nx").await.unwrap();
    let (mut stream, _) = server.accept().await.unwrap();
    assert_eq!(rest(&mut client).await, CONNECTED);
    assert_eq!(rest(&mut stream).await, "x");
}

#[tokio::test]
async fn one_sandbox_has_so_many_connections_and_no_more() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let names = Names::of([("a.test", vec![server.local_addr().unwrap()])]);
    let scene = with(&["a.test:22 private"], ProxyLimits { connections: 1, ..limits() }, names);
    let mut first = scene.connect().await;
    first.write_all(b"CONNECT a.test:22 HTTP/1.1\r\n\r\n").await.unwrap();
    let (held, _) = server.accept().await.unwrap();
    assert!(scene.say(b"CONNECT a.test:22 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 503 "));
    drop((first, held));
    // The place is free as soon as the first tunnel has noticed its end.
    let again =
        async { while !scene.say(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n").await.starts_with("HTTP/1.1 403 ") {} };
    timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn what_is_not_to_a_proxy_is_handed_back_whole() {
    let scene = scene(&[], []);
    for text in ["GET /v1/models HTTP/1.1\r\n\r\n", "\x16\x03\x01", "G /"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let Served::Other(stream, first) = scene.proxy.serve(stream, Vec::new()).await else { panic!("{text}") };
        assert_eq!(rest(&mut Replay::new(first, stream)).await, text);
    }
    let answer = scene.say(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("only an HTTP proxy"), "{answer}");
}

#[tokio::test]
async fn a_dropped_proxy_takes_its_connections_along() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let scene = scene(&["a.test:22 private"], [("a.test", vec![server.local_addr().unwrap()])]);
    let mut client = scene.connect().await;
    client.write_all(b"CONNECT a.test:22 HTTP/1.1\r\n\r\n").await.unwrap();
    let (mut stream, _) = server.accept().await.unwrap();
    drop(scene);
    assert_eq!(rest(&mut stream).await, "");
}

struct Scene {
    proxy: Proxy,
    at: SocketAddr,
    told: Mutex<mpsc::Receiver<Refused>>,
    _serving: Serving,
}

fn limits() -> ProxyLimits {
    ProxyLimits { greeting: SOON, connect: SOON, idle: SOON, ..ProxyLimits::default() }
}

fn scene<const N: usize>(rules: &[&str], names: [(&'static str, Vec<SocketAddr>); N]) -> Scene {
    with(rules, limits(), Names::of(names))
}

fn with(rules: &[&str], limits: ProxyLimits, resolver: impl Resolve + 'static) -> Scene {
    let (tell, told) = mpsc::channel();
    let rules = HostRules::new(rules.iter().map(|rule| rule.parse().unwrap()).collect());
    let proxy = Proxy::with(rules, limits, resolver, move |refused| _ = tell.send(refused));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let _serving = serve(&Handle::current(), listener, proxy.clone()).unwrap();
    Scene { proxy, at, told: Mutex::new(told), _serving }
}

impl Scene {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// What comes back for these bytes, until the proxy ends the connection.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut client = self.connect().await;
        client.write_all(bytes).await.unwrap();
        rest(&mut client).await
    }

    /// What was told of refusals since the last call.
    fn refused(&self) -> Vec<(String, u16, Why)> {
        let told = self.told.lock().unwrap();
        told.try_iter().map(|refused| (refused.host, refused.port, refused.why)).collect()
    }
}

async fn rest(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    timeout(SOON, from.read_to_end(&mut bytes)).await.expect("the connection does not end").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether nobody has connected.
fn is_untouched(listener: TcpListener) -> bool {
    let listener = listener.into_std().unwrap();
    listener.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Accepts one connection, records what arrives, and answers once that is a whole message: it ends with `END`, or with the
/// end of a head.
struct Server {
    at: SocketAddr,
    got: tokio::task::JoinHandle<Vec<u8>>,
}

impl Server {
    async fn new(reply: &'static [u8]) -> Self {
        Self::new_at("127.0.0.1:0", reply).await
    }

    async fn new_at(at: &str, reply: &'static [u8]) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let at = listener.local_addr().unwrap();
        let got = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut got, mut chunk) = (Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = stream.read(&mut chunk).await {
                got.extend(&chunk[..count]);
                if got.ends_with(b"END") {
                    stream.write_all(reply).await.unwrap();
                    break;
                }
            }
            got
        });
        Self { at, got }
    }

    async fn got(self) -> Vec<u8> {
        timeout(SOON, self.got).await.expect("the server waits for ever").unwrap()
    }
}

/// Names with fixed addresses; every other name does not exist.
#[derive(Default)]
struct Names(BTreeMap<&'static str, Vec<SocketAddr>>);

impl Names {
    fn of<const N: usize>(names: [(&'static str, Vec<SocketAddr>); N]) -> Self {
        Self(names.into_iter().collect())
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str, _: u16) -> Addresses<'a> {
        let found = self.0.get(name).cloned().ok_or(std::io::ErrorKind::NotFound.into());
        Box::pin(async { found })
    }
}

/// Another answer at every question, as from a name server of an attacker.
struct Turns {
    turns: Arc<AtomicUsize>,
    answers: Vec<Vec<SocketAddr>>,
}

impl Resolve for Turns {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Addresses<'a> {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(self.answers[turn].clone()) })
    }
}
