//! What a program may write where a host belongs: a name or an address, read strictly.
//!
//! Why strict: the C library and browsers read `2130706433`, `0x7f.1` and `127.1` as addresses. Whatever they would read
//! so is refused here, so that nothing that looks like a name can be an address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest host name (RFC 1035, in its text form).
const NAME_BYTES_MAX: usize = 253;
/// The longest part of a name between two dots (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;

/// A host, as a program asks for it or a rule names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// A name in lower case, without a dot at its end.
    Name(String),
    /// An address, written in its one plain form: four decimal numbers, or IPv6.
    Address(IpAddr),
}

/// Why a text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum HostError {
    /// Nothing is there.
    #[error("the host is empty")]
    Empty,
    /// More than 253 bytes, or a part of more than 63.
    #[error("the host name is too long")]
    TooLong,
    /// A letter outside of ASCII.
    #[error("write the name in its ASCII form (`xn--…`)")]
    NotAscii,
    /// A character that no name has, an empty part, or a hyphen at the end of one.
    #[error("that is no host name")]
    Malformed,
    /// A number in a form that some programs read as an address.
    #[error("an address is written as four decimal numbers or as IPv6 in brackets, and in no other form")]
    Disguised,
}

impl Host {
    /// Reads a host. One dot at the end of a name is dropped; IPv6 stands in brackets.
    ///
    /// # Errors
    /// [`HostError`], when it is neither a name nor an address in its plain form.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            return address.map(|address| Self::Address(address.into())).ok_or(HostError::Malformed);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        check_name(&name).map(|()| Self::Name(name))
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if !name.is_ascii() {
        return Err(HostError::NotAscii);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(HostError::TooLong);
    }
    name.split('.').try_for_each(check_label)?;
    if name.rsplit('.').next().is_some_and(is_number) { Err(HostError::Disguised) } else { Ok(()) }
}

fn check_label(label: &str) -> Result<(), HostError> {
    if label.len() > LABEL_BYTES_MAX {
        return Err(HostError::TooLong);
    }
    let known = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let ends_well = !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    if known && ends_well { Ok(()) } else { Err(HostError::Malformed) }
}

/// Whether the last part of a name makes the whole an address for programs that follow the URL standard: decimal and
/// octal digits, or `0x` and hexadecimal ones.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || label.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for Host {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => to.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(to, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(to, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, HostError> {
        Host::parse(text).map(|host| host.to_string())
    }

    #[test]
    fn names_are_lowered_and_lose_one_dot() {
        let cases = [
            ("example.com", "example.com"),
            ("EXAMPLE.Com.", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_acme.a-b.c3", "_acme.a-b.c3"),
            ("localhost", "localhost"),
            ("3com.example", "3com.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::FFFF:10.0.0.1]", "[::ffff:10.0.0.1]"),
        ];
        cases.iter().for_each(|(text, host)| assert_eq!(read(text).as_deref(), Ok(*host), "{text}"));
    }

    #[test]
    fn what_is_no_host_is_told_why() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a"; 127].join(".") + ".bb";
        let cases = [
            ("", HostError::Empty),
            (".", HostError::Empty),
            ("..", HostError::Malformed),
            ("a..b", HostError::Malformed),
            (".a", HostError::Malformed),
            ("a.b..", HostError::Malformed),
            ("-a.b", HostError::Malformed),
            ("a-.b", HostError::Malformed),
            ("a b", HostError::Malformed),
            ("a@b", HostError::Malformed),
            ("a%2eb", HostError::Malformed),
            ("a\0.b", HostError::Malformed),
            ("a\r\nb", HostError::Malformed),
            ("a/b", HostError::Malformed),
            ("a:b", HostError::Malformed),
            ("::1", HostError::Malformed),
            ("[::1", HostError::Malformed),
            ("[fe80::1%eth0]", HostError::Malformed),
            ("[127.0.0.1]", HostError::Malformed),
            ("bücher.example", HostError::NotAscii),
            ("１２７.0.0.1", HostError::NotAscii),
            (long_label.as_str(), HostError::TooLong),
            (long_name.as_str(), HostError::TooLong),
        ];
        cases.iter().for_each(|(text, error)| assert_eq!(read(text), Err(*error), "{text}"));
    }

    #[test]
    fn addresses_in_disguise_are_no_names() {
        let cases = [
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "127.1",
            "127.0.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.1.1.1",
            "127.0.0.01",
            "0x7f.0.0.1",
            "a.0x",
            "a.1",
        ];
        cases.iter().for_each(|text| assert_eq!(read(text), Err(HostError::Disguised), "{text}"));
    }
}
