//! One connection from a sandbox to a proxy: read what it asks, judge it, find the host, and let bytes through or say why
//! not.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::head::{self, Asks, Head, Kind, Request};
use super::hello::{self, Hello};
use super::host::Host;
use super::relay::{exchange, farewell, tunnel};
use super::resolve::{Resolve, SystemResolver};
use super::rule::{DEFAULT_PORT as TLS_PORT, HostRule, HostRules, Verdict};
use super::tally::{Refusals, Tally, Traffic};
use super::why::{Refused, Why};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;
/// The alert `access_denied` (RFC 8446, 6): what a TLS client understands instead of an answer in words.
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 49];
/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 22;

/// How much of a proxy one sandbox may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyLimits {
    /// Requests and tunnels at one time; a further one is answered 503.
    pub connections: usize,
    /// From the first byte of a connection, and after that of a tunnel, until it is known what it asks.
    pub greeting: Duration,
    /// Finding a host's addresses and connecting to one.
    pub connect: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for ProxyLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            greeting: Duration::from_secs(30),
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(300),
        }
    }
}

/// The proxy of one sandbox. Clones are the same.
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    rules: HostRules,
    limits: ProxyLimits,
    resolver: Box<dyn Resolve>,
    tally: Tally,
    free: Semaphore,
}

/// What became of a connection.
#[derive(Debug)]
pub enum Served {
    /// It was to the proxy, and is over.
    Done,
    /// It is not to a proxy; these bytes were read from it.
    Other(TcpStream, Vec<u8>),
}

/// Why a host is not connected to.
enum Failed {
    Refused(Why),
    Unreachable(String),
}

impl Proxy {
    /// A proxy for one sandbox. `on_refused` is told of refusals, not of each time; it must not block.
    pub fn new(rules: HostRules, on_refused: impl Fn(Refused) + Send + Sync + 'static) -> Self {
        Self::with(rules, ProxyLimits::default(), SystemResolver, on_refused)
    }

    /// The same with limits and a resolver of one's own.
    pub fn with(
        rules: HostRules,
        limits: ProxyLimits,
        resolver: impl Resolve + 'static,
        on_refused: impl Fn(Refused) + Send + Sync + 'static,
    ) -> Self {
        let free = Semaphore::new(limits.connections);
        let tally = Tally::new(Box::new(on_refused));
        Self(Arc::new(Shared { rules, limits, resolver: Box::new(resolver), tally, free }))
    }

    /// Serves a connection of which `first` was read already (often nothing). Returns when it is over, or as soon as it is
    /// known that it is not to a proxy.
    pub async fn serve(&self, mut client: TcpStream, first: Vec<u8>) -> Served {
        let mut bytes = first;
        loop {
            match head::kind(&bytes) {
                Kind::Proxy => break,
                Kind::Other => return Served::Other(client, bytes),
                Kind::Unclear => {}
            }
            match self.more(&mut client, &mut bytes).await {
                Ok(()) => {}
                Err(_) if bytes.is_empty() => return Served::Done,
                Err(_) => return Served::Other(client, bytes),
            }
        }
        let Ok(_place) = self.0.free.try_acquire() else {
            let text = format!("muster: {} connections are open already.\n", self.0.limits.connections);
            farewell(client, &answer("503 Too Many Connections", &text)).await;
            return Served::Done;
        };
        self.0.serve(client, bytes).await;
        Served::Done
    }

    /// Bytes and connections by `host:port`.
    pub fn traffic(&self) -> BTreeMap<String, Traffic> {
        self.0.tally.traffic()
    }

    /// What was refused, with the number of times.
    pub fn refusals(&self) -> Refusals {
        self.0.tally.refusals()
    }

    pub(crate) fn limits(&self) -> &ProxyLimits {
        &self.0.limits
    }

    async fn more(&self, client: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
        timeout(self.0.limits.greeting, more(client, bytes)).await?
    }
}

impl Shared {
    async fn serve(&self, mut client: TcpStream, mut bytes: Vec<u8>) {
        let head = match timeout(self.limits.greeting, read_head(&mut client, &mut bytes)).await {
            Ok(Ok(head)) => head,
            // It is gone.
            Ok(Err(_)) => return,
            Err(_) => {
                return farewell(client, &answer("408 Request Timeout", "muster: the request took too long.\n")).await;
            }
        };
        let asks = match head {
            Head::Asks(asks) => asks,
            Head::Refused(host, port, why) => return self.refuse(client, &host, port, why).await,
            Head::NoLength => {
                let text = "muster: a body in chunks cannot pass this proxy; send a Content-Length.\n";
                return farewell(client, &answer("411 Length Required", text)).await;
            }
            Head::TooLarge | Head::Partial => {
                let text = "muster: the head of the request is too long.\n";
                return farewell(client, &answer("431 Request Header Fields Too Large", text)).await;
            }
        };
        let (host, rule) = match self.rules.judge(&asks.host, asks.port) {
            Verdict::Allowed(host, rule) => (host, rule),
            Verdict::Refused(why) => return self.refuse(client, &asks.host, asks.port, why).await,
        };
        match timeout(self.limits.connect, self.reach(&host, asks.port, &rule)).await {
            Ok(Ok(upstream)) => self.connected(client, upstream, host, asks, bytes).await,
            Ok(Err(Failed::Refused(why))) => self.refuse(client, &asks.host, asks.port, why).await,
            Ok(Err(Failed::Unreachable(error))) => {
                let text = format!("muster: {host}:{} is allowed, but: {error}.\n", asks.port);
                farewell(client, &answer("502 Bad Gateway", &text)).await;
            }
            Err(_) => {
                let text = format!("muster: {host}:{} is allowed, but does not answer.\n", asks.port);
                farewell(client, &answer("504 Gateway Timeout", &text)).await;
            }
        }
    }

    /// Finds the addresses once, and connects to one of those that the rule admits.
    async fn reach(&self, host: &Host, port: u16, rule: &HostRule) -> Result<TcpStream, Failed> {
        let found = match host {
            Host::Address(address) => vec![SocketAddr::new(*address, port)],
            Host::Name(name) => {
                let found = self.resolver.resolve(name, port).await;
                found.map_err(|error| Failed::Unreachable(format!("its name cannot be resolved ({error})")))?
            }
        };
        let (admitted, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|place| rule.admits(place.ip()));
        if admitted.is_empty() {
            return Err(match others.first() {
                Some(place) => Failed::Refused(Why::NotPublic(place.ip())),
                None => Failed::Unreachable("its name has no address".to_owned()),
            });
        }
        let mut last = None;
        for place in admitted.into_iter().take(ADDRESSES_MAX) {
            match TcpStream::connect(place).await {
                Ok(upstream) => return Ok(upstream),
                Err(error) => last = Some(error),
            }
        }
        Err(Failed::Unreachable(format!(
            "it cannot be connected to ({})",
            last.unwrap_or_else(|| io::ErrorKind::Other.into())
        )))
    }

    async fn connected(&self, client: TcpStream, upstream: TcpStream, host: Host, asks: Asks, mut bytes: Vec<u8>) {
        // Without it small messages wait for acknowledgements; it works without, only slower.
        let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
        bytes.drain(..asks.length);
        match asks.request {
            None => self.tunnel(client, upstream, host, asks.port, bytes).await,
            // A failure is a side that is gone.
            Some(request) => _ = self.pass_on(client, upstream, &format!("{host}:{}", asks.port), request, bytes).await,
        }
    }

    /// One request and its answer; `bytes` are what came behind its head.
    async fn pass_on(
        &self,
        mut client: TcpStream,
        mut upstream: TcpStream,
        place: &str,
        request: Request,
        mut bytes: Vec<u8>,
    ) -> io::Result<()> {
        let meter = self.tally.connected(place.to_owned());
        bytes.truncate(usize::try_from(request.body).unwrap_or(usize::MAX));
        let left = request.body - bytes.len() as u64;
        let out = [request.head, bytes].concat();
        timeout(self.limits.idle, upstream.write_all(&out)).await??;
        meter.sent.fetch_add(out.len() as u64, std::sync::atomic::Ordering::Relaxed);
        exchange(&mut client, upstream, left, &meter, self.limits.idle).await;
        farewell(client, &[]).await;
        Ok(())
    }

    async fn tunnel(&self, mut client: TcpStream, mut upstream: TcpStream, host: Host, port: u16, mut bytes: Vec<u8>) {
        if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err() {
            return;
        }
        match self.opening(&mut client, &upstream, &host, port, &mut bytes).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                let is_http = bytes.first().is_some_and(u8::is_ascii_uppercase);
                let refused = self.tally.refuse(&host.to_string(), port, why);
                let words = if is_http { forbidden(&refused) } else { ALERT.to_vec() };
                return farewell(client, &words).await;
            }
        }
        let meter = self.tally.connected(format!("{host}:{port}"));
        if let Ok(Ok(())) = timeout(self.limits.idle, upstream.write_all(&bytes)).await {
            meter.sent.fetch_add(bytes.len() as u64, std::sync::atomic::Ordering::Relaxed);
            tunnel(client, upstream, &meter, self.limits.idle).await;
        }
    }

    /// Reads what a tunnel begins with. On the port of HTTPS that is a TLS handshake that names the host; on others, where
    /// the host may speak first, it is one whenever it looks like one. Nothing of it has been passed on yet. `false`: the client went away.
    async fn opening(
        &self,
        client: &mut TcpStream,
        upstream: &TcpStream,
        host: &Host,
        port: u16,
        bytes: &mut Vec<u8>,
    ) -> Result<bool, Why> {
        if port != TLS_PORT {
            if bytes.is_empty() {
                let first = async {
                    tokio::select! {
                        biased;
                        // Who has nothing to say may still listen, and begins no handshake.
                        read = more(client, bytes) => read.map_or_else(|error| is_end(&error), |()| true),
                        _ = upstream.readable() => true,
                    }
                };
                if !timeout(self.limits.idle, first).await.unwrap_or(false) {
                    return Ok(false);
                }
            }
            if bytes.first() != Some(&HANDSHAKE) {
                return Ok(true);
            }
        }
        let greeting = async {
            loop {
                match hello::read(bytes) {
                    Hello::Partial => more(client, bytes).await?,
                    hello => return io::Result::Ok(hello),
                }
            }
        };
        match timeout(self.limits.greeting, greeting).await {
            Ok(Ok(hello)) => judge_hello(&hello, host).map(|()| true),
            // It went away without a word, or in the middle of one.
            _ if bytes.is_empty() => Ok(false),
            _ => Err(Why::NotTls),
        }
    }

    async fn refuse(&self, client: TcpStream, host: &str, port: u16, why: Why) {
        let refused = self.tally.refuse(host, port, why);
        farewell(client, &forbidden(&refused)).await;
    }
}

/// A handshake must name the host that the tunnel was asked for; to an address it cannot name anything.
fn judge_hello(hello: &Hello, host: &Host) -> Result<(), Why> {
    match (hello, host) {
        (Hello::Named(name), host) if Host::parse(name).as_ref() == Ok(host) && matches!(host, Host::Name(_)) => Ok(()),
        (Hello::Named(_), _) => Err(Why::OtherName),
        (Hello::Unnamed, Host::Address(_)) => Ok(()),
        (Hello::Unnamed, Host::Name(_)) => Err(Why::Unnamed),
        (Hello::NotTls | Hello::Partial, _) => Err(Why::NotTls),
    }
}

/// Reads until the head is there in full, or can never be.
async fn read_head(client: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Head> {
    loop {
        match head::read(bytes) {
            Head::Partial => more(client, bytes).await?,
            head => return Ok(head),
        }
    }
}

/// Whether the other side has said all, as against one that is gone.
fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

/// Reads what is there, at least one byte. Loses nothing when it is dropped.
async fn more(client: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    match client.read(&mut chunk).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            bytes.extend(&chunk[..count]);
            Ok(())
        }
    }
}

/// The answer to a refusal. Its first line says the most important, because many programs show nothing else.
fn forbidden(refused: &Refused) -> Vec<u8> {
    let status = format!("403 Forbidden by the sandbox policy: {}:{}", refused.host, refused.port);
    answer(&status, &refused.tell())
}

pub(crate) fn answer(status: &str, text: &str) -> Vec<u8> {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
    .into_bytes()
}
