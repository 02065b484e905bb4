//! The first message of a TLS connection, as far as the name in it: the ClientHello (RFC 8446, 4.1.2; RFC 6066, 3).
//!
//! Why it is read: a tunnel to an allowed name must not carry a connection to another one at the same address. It is the
//! name in the open that is compared; what a server answers to a name inside the encryption cannot be seen from here.

/// Bytes that the message and its records may have. Real ones, keys against quantum computers included, stay below 4 KiB.
pub(crate) const HELLO_BYTES_MAX: usize = 16 << 10;

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_BYTES_MAX: usize = 16 << 10;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_IS_HOST: u8 = 0;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// The message has not arrived in full.
    Partial,
    /// It is no TLS, or none that is understood.
    NotTls,
    /// It names no server.
    Unnamed,
    /// It names this server.
    Named(String),
}

/// Reads as much as is there. The message may be spread over several records.
pub(crate) fn read(bytes: &[u8]) -> Hello {
    if bytes.len() > HELLO_BYTES_MAX {
        return Hello::NotTls;
    }
    let Some(message) = unwrapped(bytes) else { return Hello::NotTls };
    match message.as_slice() {
        [] => Hello::Partial,
        [MESSAGE_CLIENT_HELLO, high, middle, low, body @ ..] => {
            let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
            match body.len().cmp(&length) {
                _ if length > HELLO_BYTES_MAX => Hello::NotTls,
                std::cmp::Ordering::Less => Hello::Partial,
                std::cmp::Ordering::Equal => server_name(body).unwrap_or(Hello::NotTls),
                std::cmp::Ordering::Greater => Hello::NotTls,
            }
        }
        [MESSAGE_CLIENT_HELLO, ..] => Hello::Partial,
        _ => Hello::NotTls,
    }
}

/// The contents of the records, as far as they are there; nothing when one is not of a handshake.
fn unwrapped(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let head = [RECORD_HANDSHAKE, 3];
        if !bytes.iter().zip(head).all(|(byte, expected)| *byte == expected) {
            // Early data may follow the message in a record of its own.
            return (!message.is_empty() && is_complete(&message)).then_some(message);
        }
        let Some((head, rest)) = bytes.split_at_checked(5) else { return Some(message) };
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        if length == 0 || length > RECORD_BYTES_MAX {
            return None;
        }
        message.extend(&rest[..length.min(rest.len())]);
        match rest.get(length..) {
            Some(after) if !after.is_empty() => bytes = after,
            _ => return Some(message),
        }
    }
}

fn is_complete(message: &[u8]) -> bool {
    matches!(message, [_, high, middle, low, body @ ..]
        if body.len() >= usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low))
}

/// The one name in a whole message; nothing when it does not keep to the format.
fn server_name(body: &[u8]) -> Option<Hello> {
    let mut rest = Cursor(body);
    rest.take(2 + 32)?; // version, random
    rest.short_block()?; // session
    rest.block()?; // cipher suites
    rest.short_block()?; // compression
    if rest.0.is_empty() {
        return Some(Hello::Unnamed);
    }
    let mut extensions = Cursor(rest.block()?);
    let mut found = Hello::Unnamed;
    while !extensions.0.is_empty() {
        let (kind, data) = (extensions.number()?, extensions.block()?);
        if kind == EXTENSION_SERVER_NAME {
            let first = found == Hello::Unnamed;
            found = Hello::Named(first.then(|| only_name(data))??);
        }
    }
    rest.0.is_empty().then_some(found)
}

fn only_name(data: &[u8]) -> Option<String> {
    let mut rest = Cursor(data);
    let mut list = Cursor(rest.block()?);
    let kind = list.take(1)?[0];
    let name = list.block()?;
    let alone = rest.0.is_empty() && list.0.is_empty() && kind == NAME_IS_HOST;
    alone.then(|| String::from_utf8(name.to_vec()).ok())?
}

/// Takes a message apart from its front.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What a length of two bytes is in front of.
    fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(length.into())
    }

    /// What a length of one byte is in front of.
    fn short_block(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(length.into())
    }
}

/// Messages for tests.
#[cfg(test)]
pub(crate) mod sample {
    fn block(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
    }

    /// An extension that names a server.
    pub fn name(name: &str) -> Vec<u8> {
        [&[0, 0][..], &block(&block(&[&[0], &block(name.as_bytes())[..]].concat()))].concat()
    }

    /// A ClientHello with these extensions, without records around it.
    pub fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[32],
            &[9; 32],
            &block(&[0x13, 0x01, 0x13, 0x02]),
            &[1, 0],
            &block(&extensions.concat()),
        ]
        .concat();
        [&[1][..], &(body.len() as u32).to_be_bytes()[1..], &body].concat()
    }

    /// The message in records of at most `size` bytes.
    pub fn records(message: &[u8], size: usize) -> Vec<u8> {
        message.chunks(size).flat_map(|part| [&[22, 3, 1][..], &block(part)].concat()).collect()
    }

    /// A connection's first bytes, with the name of a server among other extensions.
    pub fn hello(server: &str) -> Vec<u8> {
        let other = [&[0, 43][..], &block(&[2, 3, 4])].concat();
        let padding = [&[0, 21][..], &block(&[0; 300])].concat();
        records(&message(&[other, name(server), padding]), 16 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sample::{hello, message, name, records};

    #[test]
    fn the_name_is_found() {
        assert_eq!(read(&hello("a.example.com")), Hello::Named("a.example.com".into()));
        assert_eq!(read(&records(&message(&[]), 999)), Hello::Unnamed);
    }

    #[test]
    fn every_cut_is_partial_and_every_split_is_joined() {
        let whole = hello("a.example.com");
        (0..whole.len()).for_each(|cut| assert_eq!(read(&whole[..cut]), Hello::Partial, "{cut}"));
        let message = message(&[name("a.example.com")]);
        for size in 1..message.len() {
            let split = records(&message, size);
            assert_eq!(read(&split), Hello::Named("a.example.com".into()), "{size}");
            (0..split.len()).for_each(|cut| assert_eq!(read(&split[..cut]), Hello::Partial, "{size} {cut}"));
        }
    }

    #[test]
    fn early_data_may_follow() {
        let bytes = [hello("a.b"), vec![23, 3, 3, 0, 1, 0]].concat();
        assert_eq!(read(&bytes), Hello::Named("a.b".into()));
    }

    #[test]
    fn everything_else_is_not_tls() {
        let message = message(&[name("a.b")]);
        let whole = records(&message, 16 << 10);
        let two = |first: &str, second: &str| records(&sample::message(&[name(first), name(second)]), 16 << 10);
        let list = |bytes: &[u8]| {
            let extension = [&[0, 0][..], &(bytes.len() as u16).to_be_bytes(), bytes].concat();
            records(&sample::message(&[extension]), 16 << 10)
        };
        let cases: Vec<Vec<u8>> = vec![
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"SSH-2.0-x\r\n".to_vec(),
            vec![0x80, 0x2e, 1],
            vec![22, 2, 0],
            vec![22, 3, 1, 0, 0],
            vec![22, 3, 1, 0x41, 0],
            vec![22, 3, 1, 0, 4, 2, 0, 0, 0],
            vec![22, 3, 1, 0, 4, 1, 0xff, 0, 0],
            [&records(&message[..9], 9)[..], &[23, 3, 3, 0, 1, 0]].concat(),
            records(&[&message[..], &[0]].concat(), 16 << 10),
            two("a.b", "a.b"),
            two("a.b", "c.d"),
            list(&[]),
            list(&[0, 4, 1, 0, 1, b'a']),
            list(&[0, 8, 0, 0, 1, b'a', 0, 0, 1, b'b']),
            list(&[0, 4, 0, 0, 9, b'a']),
            list(&[0, 4, 0, 0, 1, 0xff]),
            records(&[vec![1, 0, 0, 3], vec![3, 3, 0]].concat(), 999),
            vec![22; HELLO_BYTES_MAX + 1],
        ];
        cases.iter().for_each(|bytes| assert_eq!(read(bytes), Hello::NotTls, "{bytes:?}"));
        assert_eq!(read(&whole), Hello::Named("a.b".into()));
    }

    #[test]
    fn no_changed_byte_breaks_the_reader() {
        let whole = hello("a.example.com");
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                // A name that was not written there never comes out.
                if let Hello::Named(found) = read(&changed) {
                    let same = found.bytes().zip("a.example.com".bytes()).filter(|(a, b)| a != b).count();
                    assert!(same <= 1 && found.len() == 13, "{at} {value}: {found}");
                }
            }
        }
    }
}
