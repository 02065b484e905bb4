//! Which hosts a policy allows: patterns that name something, never everything.

use crate::source::checker::{Wrong, quote};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of a host that names none: HTTPS.
const PORT: u16 = 443;
/// The word after a host that lets its name lead to addresses that are not public.
const PRIVATE: &str = " private";

/// A pattern `HOST:PORT`, in lower case: a name, `*.` and a name with at least two parts, or an address (IPv6 in brackets);
/// without a port it is 443. ` private` after it lets the name lead to an address of a private network.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str, fix: String| Wrong::new(format!("{} {why}", quote(text)), fix);
    let (pattern, private) = text.strip_suffix(PRIVATE).map_or((text, ""), |pattern| (pattern, PRIVATE));
    if let Some((place, word)) =
        pattern.split_once(' ').filter(|(place, word)| host(place).is_ok() && !word.contains(' '))
    {
        let what = format!("after the host only the word `private` may stand, not {}", quote(word.trim()));
        let fix = format!("write {} or {}", quote(&format!("{place}{PRIVATE}")), quote(place));
        return Err(wrong("is not HOST:PORT", format!("{what}; {fix}")));
    }
    if pattern.contains(['/', '@', ' ']) {
        let bare = pattern.split("://").last().unwrap_or(pattern).split('/').next().unwrap_or(pattern);
        return Err(wrong("is not HOST:PORT", format!("write only the host and its port, as in {}", quote(bare))));
    }
    let (host, port) = match pattern.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !open_bracket(host)) {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|_| !port.starts_with(['+', '0']))),
        None => (pattern, Some(PORT)),
    };
    let Some(port) = port else {
        return Err(wrong("has no port that can be", "write a port from 1 to 65535".into()));
    };
    judge(text, host).map(|()| format!("{host}:{port}{private}").to_ascii_lowercase())
}

fn judge(text: &str, host: &str) -> Result<(), Wrong> {
    let wrong = |why: &str, fix: &str| Err(Wrong::new(format!("{} {why}", quote(text)), fix));
    if let Some(name) = host.strip_prefix("*.") {
        if named(name) && ends_in_a_number(name) {
            return wrong("has a `*` before an address", "write each address");
        }
        return if named(name) && !is_registry(name) { Ok(()) } else { Err(everything(text)) };
    }
    if host.contains('*') && host.trim_matches(['*', '.']).is_empty() {
        return Err(everything(text));
    }
    if host.contains('*') {
        return wrong("has a `*` where none can stand", "write `*.` in front of a name, as in `*.example.org:443`");
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if named(host) || bracketed.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
        return Ok(());
    }
    wrong("is not the name of a host", "write it in letters, digits, `-` and `.`; other letters as `xn--…`")
}

/// Whether anybody can have a name below this one: a top-level domain, or what many countries have below theirs, such as `co.uk`. The whole
/// list of such names (<https://publicsuffix.org>) changes daily; these are the words that most of them use.
fn is_registry(name: &str) -> bool {
    const SECOND: [&str; 14] =
        ["ac", "co", "com", "edu", "go", "gob", "gov", "gv", "mil", "ne", "net", "nom", "or", "org"];
    match name.trim_end_matches('.').to_ascii_lowercase().split_once('.') {
        None => true,
        Some((second, country)) => country.len() == 2 && SECOND.contains(&second),
    }
}

fn open_bracket(host: &str) -> bool {
    host.starts_with('[') && !host.ends_with(']')
}

fn everything(text: &str) -> Wrong {
    Wrong::new(
        format!("{} matches everything, or nearly so", quote(text)),
        "name the hosts that are needed; `*.example.org:443` has at least two parts after `*.`",
    )
}

/// A host name as the DNS has it, or an address: parts of letters, digits, `-` and `_`, at most 253 bytes. Anything else
/// that ends in a number would be an address to some of those who resolve it, and a name to others.
fn named(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let hyphen = |part: &str| part.starts_with('-') || part.ends_with('-');
    let part = |part: &str| (1..=63).contains(&part.len()) && part.bytes().all(allowed) && !hyphen(part);
    let plain = !ends_in_a_number(name) || name.parse::<Ipv4Addr>().is_ok();
    plain && name.len() <= 253 && name.split('.').all(part)
}

fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_with_their_ports() {
        for text in [
            "crates.io:443",
            "*.example.org:443",
            "localhost:8080",
            "*.example.co.uk:443",
            "*.de.example:1",
            "10.0.0.5:80",
            "[2001:db8::1]:443",
        ] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        assert_eq!(host("Crates.IO").as_deref(), Ok("crates.io:443"));
        assert_eq!(host("[2001:db8::1]").as_deref(), Ok("[2001:db8::1]:443"));
        assert_eq!(host("registry.lan:5000 private").as_deref(), Ok("registry.lan:5000 private"));
    }

    #[test]
    fn what_matches_everything_is_refused() {
        for text in ["*:443", "*.:443", "*.*:443", "*.com:443", "*.*.org:443", "*.co.uk:443", "*.COM.au"] {
            let what = host(text).map_err(|wrong| wrong.what).unwrap_err();
            assert!(what.contains("matches everything") || what.contains('*'), "{text}: {what}");
        }
    }

    #[test]
    fn what_is_no_host_comes_with_what_would_be() {
        let fix = |text| host(text).map_err(|wrong| wrong.fix).unwrap_err();
        assert!(fix("https://crates.io/x").ends_with("`crates.io`"));
        assert!(fix("https://crates.io:8443/").ends_with("`crates.io:8443`"));
        assert!(fix("crates.io:0").contains("1 to 65535"));
        assert!(fix("registry.lan:5000 privat").ends_with("write `registry.lan:5000 private` or `registry.lan:5000`"));
        assert!(fix("a*.example.org:443").contains("in front of a name"));
        for text in [
            "",
            ":443",
            "a b:443",
            "-a:443",
            "a..b:443",
            "a@b:443",
            "[::1:443",
            "ü.org:443",
            "a.b:99999",
            "*.10.0.0.1:80",
            "2130706433:80",
            "a.0x7f:80",
            "a-.b:80",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
