//! The head of a request to a proxy: `CONNECT host:port`, or `GET http://host/path`.
//!
//! Why so strict: two programs that read one request differently are how requests are smuggled. What is passed on is
//! never the bytes that came in but a head written anew from what was understood, and what is unusual is refused.

use std::fmt::Write;

use super::why::Why;

/// Bytes that a head may have.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;
/// Lines that a head may have, the first not counted.
const LINES_MAX: usize = 100;
/// The longest word before the address.
const METHOD_BYTES_MAX: usize = 32;
/// Lines that are between two neighbours only (RFC 9110, 7.6.1), and what the proxy writes itself.
const NOT_PASSED_ON: &[&str] = &[
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It cannot be told yet.
    Unclear,
    /// A request to a proxy.
    Proxy,
    /// Anything else, such as a request to a server.
    Other,
}

/// A head that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// It has not arrived in full.
    Partial,
    /// It is longer than [`HEAD_BYTES_MAX`] bytes.
    TooLarge,
    /// The length of the body is not told in advance, so that its end cannot be known without reading into it.
    NoLength,
    /// It is not passed on. The host and the port are as far as they could be read.
    Refused(String, u16, Why),
    /// It asks for this.
    Asks(Asks),
}

/// What a request asks of the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asks {
    pub host: String,
    pub port: u16,
    /// How many of the bytes were the head.
    pub length: usize,
    /// What to pass on; nothing for a tunnel.
    pub request: Option<Request>,
}

/// A request to pass on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its head, for a server.
    pub head: Vec<u8>,
    /// Bytes of its body.
    pub body: u64,
}

/// Tells a request to a proxy from everything else by as few bytes as that needs.
pub(crate) fn kind(bytes: &[u8]) -> Kind {
    let word = bytes.iter().take(METHOD_BYTES_MAX + 1).position(|byte| !byte.is_ascii_alphabetic());
    match word {
        None if bytes.len() <= METHOD_BYTES_MAX => Kind::Unclear,
        Some(end @ 1..) if bytes[end] == b' ' => match bytes.get(end + 1) {
            _ if &bytes[..end] == b"CONNECT" => Kind::Proxy,
            None => Kind::Unclear,
            Some(b'/' | b'*') => Kind::Other,
            Some(_) => Kind::Proxy,
        },
        _ => Kind::Other,
    }
}

/// Reads the head of a request to a proxy from the bytes that are there.
pub(crate) fn read(bytes: &[u8]) -> Head {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|start| start + 4);
    let head = &bytes[..end.unwrap_or(bytes.len())];
    if let Some(what) = stray(head) {
        return refused("?", 0, Why::Malformed(what));
    }
    if head.len() > HEAD_BYTES_MAX {
        return Head::TooLarge;
    }
    if end.is_none() {
        return Head::Partial;
    }
    let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
    let mut request = httparse::Request::new(&mut lines);
    match (request.parse(head), request.method, request.path) {
        (Ok(httparse::Status::Complete(length)), Some(method), Some(target)) if length == head.len() => {
            asks(method, target, request.headers, length)
        }
        _ => refused("?", 0, Why::Malformed("its head is not HTTP")),
    }
}

/// Reads a port: a decimal number without a sign, not 0.
pub(crate) fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// A control character where only line ends may be. Programs disagree about half line ends.
fn stray(head: &[u8]) -> Option<&'static str> {
    let half = |(at, byte): (usize, &u8)| match byte {
        b'\n' => at == 0 || head[at - 1] != b'\r',
        b'\r' => head.get(at + 1).is_some_and(|next| *next != b'\n'),
        0 => true,
        _ => false,
    };
    head.iter().enumerate().any(half).then_some("its head has a stray control character")
}

fn asks(method: &str, target: &str, lines: &[httparse::Header<'_>], length: usize) -> Head {
    let tunnel = method == "CONNECT";
    let (place, path) = match (tunnel, split_url(target)) {
        (true, _) => (target, ""),
        (false, Some(split)) => split,
        (false, None) => {
            return refused(target, 0, Why::Malformed("only `CONNECT` and `http://` go through the proxy"));
        }
    };
    if place.contains('@') {
        return refused(place, 0, Why::Malformed("its address has a user name in it"));
    }
    let Some((host, port)) = split_place(place, (!tunnel).then_some(80)) else {
        return refused(place, 0, Why::Malformed("its address has no valid port"));
    };
    if !host_lines_agree(lines, host, port, tunnel) {
        return refused(host, port, Why::HostLine);
    }
    let body = match body(lines) {
        Ok(0) => 0,
        Ok(_) if tunnel => return refused(host, port, Why::Malformed("a `CONNECT` request has no body")),
        Ok(body) => body,
        Err(Some(what)) => return refused(host, port, Why::Malformed(what)),
        Err(None) => return Head::NoLength,
    };
    let request = (!tunnel).then(|| Request { head: rewritten(method, place, path, lines), body });
    Head::Asks(Asks { host: host.to_owned(), port, length, request })
}

fn refused(host: &str, port: u16, why: Why) -> Head {
    Head::Refused(host.to_owned(), port, why)
}

/// The authority and the path of an `http://` address.
fn split_url(target: &str) -> Option<(&str, &str)> {
    let rest = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &target[7..])?;
    if target.contains('#') {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// Host and port of an authority. A colon within brackets belongs to the address.
fn split_place(place: &str, default: Option<u16>) -> Option<(&str, u16)> {
    match place.rsplit_once(':') {
        Some((host, text)) if !text.ends_with(']') => Some((host, port(text)?)),
        _ => Some((place, default?)),
    }
}

/// Whether there is no `Host` line, or one that says the same as the address.
fn host_lines_agree(lines: &[httparse::Header<'_>], host: &str, port: u16, tunnel: bool) -> bool {
    let mut named = values(lines, "host");
    let (first, more) = (named.next(), named.next());
    let Some(line) = first else { return true };
    // Some programs leave the port away in the line of a tunnel.
    let default = if tunnel { port } else { 80 };
    let said = std::str::from_utf8(line).ok().and_then(|line| split_place(line, Some(default)));
    more.is_none() && said.is_some_and(|(name, other)| name.eq_ignore_ascii_case(host) && other == port)
}

fn values<'a>(lines: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
}

/// Bytes of the body; `Err(None)` when it comes in chunks.
fn body(lines: &[httparse::Header<'_>]) -> Result<u64, Option<&'static str>> {
    if values(lines, "transfer-encoding").next().is_some() {
        return Err(None);
    }
    let mut lengths = values(lines, "content-length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(0),
        (Some(length), None) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length)
                .ok()
                .and_then(|length| length.parse().ok())
                .ok_or(Some("the length of its body is no number"))
        }
        _ => Err(Some("the length of its body is not one number")),
    }
}

/// The head for the server. The connection ends after one answer, so that no second request can follow to this server
/// unjudged.
fn rewritten(method: &str, place: &str, path: &str, lines: &[httparse::Header<'_>]) -> Vec<u8> {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut first = String::new();
    // Writing into a string does not fail.
    let _ = write!(first, "{method} {slash}{path} HTTP/1.1\r\nHost: {place}\r\n");
    let mut head = first.into_bytes();
    let connection: Vec<u8> = values(lines, "connection").collect::<Vec<_>>().join(&b',');
    let named = |name: &str| {
        connection.split(|byte| *byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    };
    for line in lines {
        let name = line.name.to_ascii_lowercase();
        let hop = NOT_PASSED_ON.contains(&name.as_str()) || named(&name) && name != "content-length";
        if !hop {
            head.extend([line.name.as_bytes(), b": ", line.value, b"\r\n"].concat());
        }
    }
    head.extend(b"Connection: close\r\n\r\n");
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(text: &str) -> (String, u16) {
        match read(text.as_bytes()) {
            Head::Asks(Asks { host, port, length, request: None }) if length == text.len() => (host, port),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn passed_on(text: &str) -> (String, u16, String, u64) {
        match read(text.as_bytes()) {
            Head::Asks(Asks { host, port, request: Some(Request { head, body }), .. }) => {
                (host, port, String::from_utf8(head).unwrap(), body)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn why(text: &str) -> Why {
        match read(text.as_bytes()) {
            Head::Refused(_, _, why) => why,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_few_bytes_tell_what_a_request_is() {
        let cases = [
            ("CONNECT ", Kind::Proxy),
            ("CONNECT a.b:443 HTTP/1.1", Kind::Proxy),
            ("GET http://a.b/", Kind::Proxy),
            ("GET h", Kind::Proxy),
            ("connect a.b:443", Kind::Proxy),
            ("", Kind::Unclear),
            ("G", Kind::Unclear),
            ("GET ", Kind::Unclear),
            ("GET /", Kind::Other),
            ("OPTIONS *", Kind::Other),
            ("\r\nGET /", Kind::Other),
            (" GET /", Kind::Other),
            ("\x16\x03\x01", Kind::Other),
            ("\x05\x01", Kind::Other),
        ];
        cases.iter().for_each(|(text, expected)| assert_eq!(kind(text.as_bytes()), *expected, "{text:?}"));
        assert_eq!(kind(&[b'a'; 33]), Kind::Other);
    }

    #[test]
    fn tunnels_are_read() {
        assert_eq!(tunnel("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n"), ("a.b".into(), 443));
        assert_eq!(tunnel("CONNECT a.b:22 HTTP/1.0\r\n\r\n"), ("a.b".into(), 22));
        assert_eq!(tunnel("CONNECT a.b:443 HTTP/1.1\r\nHost: A.B\r\n\r\n"), ("a.b".into(), 443));
        assert_eq!(tunnel("CONNECT [::1]:443 HTTP/1.1\r\n\r\n"), ("[::1]".into(), 443));
    }

    #[test]
    fn a_request_is_written_anew() {
        let text = "POST http://A.b:8080/p?q=1 HTTP/1.1\r\nHost: a.b:8080\r\nProxy-Authorization: Basic x\r\nX-Kept: 1\r\n\
                    Connection: keep-alive, X-Hop, Content-Length\r\nX-Hop: 1\r\nUpgrade: websocket\r\n\
                    Content-Length: 3\r\n\r\nabc";
        let head =
            "POST /p?q=1 HTTP/1.1\r\nHost: A.b:8080\r\nX-Kept: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
        assert_eq!(passed_on(text), ("A.b".into(), 8080, head.into(), 3));
        let (host, port, head, body) = passed_on("GET HTTP://a.b?x HTTP/1.1\r\n\r\n");
        assert_eq!((host.as_str(), port, body), ("a.b", 80, 0));
        assert!(head.starts_with("GET /?x HTTP/1.1\r\nHost: a.b\r\n"), "{head}");
        assert!(passed_on("GET http://a.b HTTP/1.0\r\n\r\n").2.starts_with("GET / HTTP/1.1\r\n"));
    }

    #[test]
    fn what_two_programs_could_read_differently_is_refused() {
        let malformed = |text: &str| assert!(matches!(why(text), Why::Malformed(_)), "{text}");
        malformed("CONNECT a.b HTTP/1.1\r\n\r\n");
        malformed("CONNECT a.b:0 HTTP/1.1\r\n\r\n");
        malformed("CONNECT a.b:+443 HTTP/1.1\r\n\r\n");
        malformed("CONNECT a.b:443:443x HTTP/1.1\r\n\r\n");
        malformed("CONNECT good.test@evil.test:443 HTTP/1.1\r\n\r\n");
        malformed("CONNECT a.b:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
        malformed("CONNECT a.b:443 HTTP/1.1\nHost: a.b\r\n\r\n");
        malformed("CONNECT a.b:443\rX: y HTTP/1.1\r\n\r\n");
        malformed("CONNECT a.b:443 HTTP/1.1\r\n Host: folded\r\n\r\n");
        malformed("CONNECT a.b:443 HTTP/1.1\r\nX : y\r\n\r\n");
        malformed("CONNECT a.b:443 HTTP/2.0\r\n\r\n");
        malformed("CONNECT a.b:443\r\n\r\n");
        malformed("GET https://a.b/ HTTP/1.1\r\n\r\n");
        malformed("GET ftp://a.b/ HTTP/1.1\r\n\r\n");
        malformed("GET a.b:80 HTTP/1.1\r\n\r\n");
        malformed("GET http://user:pass@a.b/ HTTP/1.1\r\n\r\n");
        malformed("GET http://a.b@10.0.0.1/ HTTP/1.1\r\n\r\n");
        malformed("GET http://a.b/#x HTTP/1.1\r\n\r\n");
        malformed("GET http://a.b/ HTTP/1.1\r\nX: a\nHost: evil\r\n\r\n");
        malformed("GET http://a.b/ HTTP/1.1\r\nX: a\0b\r\n\r\n");
        malformed("POST http://a.b/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
        malformed("POST http://a.b/ HTTP/1.1\r\nContent-Length: +1\r\n\r\n");
        malformed("POST http://a.b/ HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n");
        malformed("POST http://a.b/ HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n");
        let many: String = (0..=LINES_MAX).map(|line| format!("X-{line}: y\r\n")).collect();
        malformed(&format!("GET http://a.b/ HTTP/1.1\r\n{many}\r\n"));
    }

    #[test]
    fn a_host_line_that_says_something_else_is_refused() {
        for text in [
            "GET http://a.b/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nHost: a.b:81\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nHost: a.b\r\nHost: a.b\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nHost:\r\n\r\n",
            "CONNECT a.b:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
        ] {
            assert_eq!(why(text), Why::HostLine, "{text}");
        }
    }

    #[test]
    fn chunks_are_not_passed_on() {
        let text = "POST http://a.b/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(read(text.as_bytes()), Head::NoLength);
    }

    #[test]
    fn every_cut_of_a_head_is_partial() {
        for text in [
            "CONNECT a.b:443 HTTP/1.1\r\nHost: a.b:443\r\n\r\n",
            "GET http://a.b/ HTTP/1.1\r\nHost: a.b\r\nX-A: b\r\n\r\n",
        ] {
            let bytes = text.as_bytes();
            (0..bytes.len()).for_each(|cut| assert_eq!(read(&bytes[..cut]), Head::Partial, "{cut}"));
            assert!(matches!(read(bytes), Head::Asks(_)));
            let told = (0..bytes.len()).map(|cut| kind(&bytes[..cut])).filter(|kind| *kind == Kind::Other).count();
            assert_eq!(told, 0);
        }
    }

    #[test]
    fn a_head_has_an_end() {
        let long = format!("GET http://a.b/{} HTTP/1.1\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert_eq!(read(long.as_bytes()), Head::TooLarge);
        assert_eq!(read(format!("{long}\r\n").as_bytes()), Head::TooLarge);
    }
}
