//! The rules of `network: hosts`: which host may be reached on which port.
//!
//! A rule is one line of text, `name:port`; the lines are all that is allowed. [`HostRules::judge`] is pure and says why
//! not, in the words that the agent and the person read.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::is_public;
use super::host::{Host, HostError};
use super::why::Why;

/// The port of a rule that names none: HTTPS.
pub const DEFAULT_PORT: u16 = 443;
/// The word after a rule that lets its names lead to addresses that are not public.
const PRIVATE: &str = "private";

/// One line of the allow-list: `name:port`, `*.suffix:port`, `192.0.2.1:port` or `[2001:db8::1]:port`; without a port it is
/// 443. `private` after a blank (`registry.lan:5000 private`) lets the name lead to an address of a private network.
///
/// `*.suffix` stands for every name below `suffix`, however deep, and not for `suffix` itself. It lets data out through the
/// names that are asked for, so name the hosts where that is possible.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule {
    pattern: Pattern,
    port: u16,
    private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pattern {
    Exactly(Host),
    /// Without the `*.` in front.
    Below(String),
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot be allowed: {what}")]
pub struct RuleError {
    /// The rule as written.
    pub text: String,
    /// What is wrong with it and what to write instead.
    pub what: String,
}

/// What a rule set says of one host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be connected to; the addresses that the name leads to are judged by [`HostRule::admits`].
    Allowed(Host, HostRule),
    /// It may not.
    Refused(Why),
}

/// All that a sandbox may reach beyond its gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules(Vec<HostRule>);

impl HostRules {
    /// These rules and nothing else.
    pub fn new(rules: Vec<HostRule>) -> Self {
        Self(rules)
    }

    /// Judges a host as it was asked for. Of several rules for it, one with `private` wins.
    pub fn judge(&self, host: &str, port: u16) -> Verdict {
        let host = match Host::parse(host) {
            Ok(host) => host,
            Err(error) => return Verdict::Refused(Why::BadHost(error)),
        };
        let named = || self.0.iter().filter(|rule| rule.pattern.matches(&host));
        let on_port = || named().filter(|rule| rule.port == port);
        match (on_port().find(|rule| rule.private).or_else(|| on_port().next()), named().next()) {
            (Some(rule), _) => Verdict::Allowed(host, rule.clone()),
            (None, Some(other)) => Verdict::Refused(Why::OtherPort(other.clone())),
            (None, None) if matches!(host, Host::Address(_)) => Verdict::Refused(Why::Address),
            (None, None) => Verdict::Refused(Why::NotListed),
        }
    }
}

impl HostRule {
    /// Whether a host that this rule allows may be reached at this address: it is public, or the rule names it or says
    /// `private`.
    pub fn admits(&self, address: IpAddr) -> bool {
        self.private || self.pattern == Pattern::Exactly(Host::Address(address)) || is_public(address)
    }
}

impl HostRule {
    /// Whether it allows all that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        self.port == other.port && (self.private || !other.private) && self.pattern.covers(&other.pattern)
    }
}

impl Pattern {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exactly(host)) => self.matches(host),
            (Self::Below(ours), Self::Below(theirs)) => {
                theirs.strip_suffix(ours.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Exactly(_), Self::Below(_)) => false,
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exactly(ours), host) => ours == host,
            (Self::Below(suffix), Host::Name(name)) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

impl FromStr for HostRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text).map_err(|what| RuleError { text: text.to_owned(), what })
    }
}

fn parse(text: &str) -> Result<HostRule, String> {
    let mut words = text.split_ascii_whitespace();
    let place = words.next().ok_or("it is empty; write `name:port`")?;
    let private = match (words.next(), words.next()) {
        (None, _) => false,
        (Some(PRIVATE), None) => true,
        _ => return Err(format!("after `name:port` only the word `{PRIVATE}` may stand")),
    };
    if let Some((_, rest)) = place.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(format!("it is a URL; write the host and the port: `{host}:443`"));
    }
    let (host, port) = split_port(place)?;
    Ok(HostRule { pattern: pattern(host)?, port, private })
}

/// The host of a rule and its port. A colon in brackets belongs to the address.
fn split_port(place: &str) -> Result<(&str, u16), String> {
    match place.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            Err("an IPv6 address stands in brackets: `[2001:db8::1]:443`".to_owned())
        }
        Some((host, port)) if !port.ends_with(']') => match super::head::port(port) {
            Some(port) => Ok((host, port)),
            None => Err(format!("`{port}` is no port; write a number from 1 to 65535")),
        },
        _ => Ok((place, DEFAULT_PORT)),
    }
}

fn pattern(host: &str) -> Result<Pattern, String> {
    let name = |text: &str| Host::parse(text).map_err(|error: HostError| error.to_string());
    let Some(suffix) = host.strip_prefix("*.") else {
        return match host.contains('*') {
            true => {
                Err("`*` may only stand in front: `*.example.com:443`; `network: open` allows every host".to_owned())
            }
            false => name(host).map(Pattern::Exactly),
        };
    };
    match name(suffix)? {
        Host::Name(suffix) if suffix.contains('.') => Ok(Pattern::Below(suffix)),
        Host::Name(_) => Err("it would allow a whole top-level domain; name the domain below it".to_owned()),
        Host::Address(_) => Err("`*` does not go with an address; write each address".to_owned()),
    }
}

impl TryFrom<String> for HostRule {
    type Error = RuleError;

    fn try_from(text: String) -> Result<Self, RuleError> {
        text.parse()
    }
}

impl From<HostRule> for String {
    fn from(rule: HostRule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Exactly(host) => write!(to, "{host}:{}", self.port)?,
            Pattern::Below(suffix) => write!(to, "*.{suffix}:{}", self.port)?,
        }
        if self.private { write!(to, " {PRIVATE}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(lines: &[&str]) -> HostRules {
        HostRules::new(lines.iter().map(|line| line.parse().unwrap()).collect())
    }

    #[test]
    fn a_rule_is_a_line_of_text() {
        let cases = [
            ("crates.io", "crates.io:443"),
            ("Crates.IO.:80", "crates.io:80"),
            ("*.Example.com:8443", "*.example.com:8443"),
            ("registry.lan:5000   private", "registry.lan:5000 private"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[2001:DB8::1]", "[2001:db8::1]:443"),
            ("[::1]:9", "[::1]:9"),
        ];
        for (written, meant) in cases {
            let rule: HostRule = written.parse().unwrap();
            assert_eq!(rule.to_string(), meant);
            assert_eq!(meant.parse(), Ok(rule.clone()));
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!((json.as_str(), serde_json::from_str(&json).unwrap()), (format!("\"{meant}\"").as_str(), rule));
        }
    }

    #[test]
    fn what_is_no_rule_is_told_with_a_suggestion() {
        let cases = [
            ("", "write `name:port`"),
            ("a.b:443 privat", "only the word `private`"),
            ("a.b:443 private x", "only the word `private`"),
            ("https://a.b/c", "write the host and the port: `a.b:443`"),
            ("a.b:0", "`0` is no port"),
            ("a.b:65536", "`65536` is no port"),
            ("a.b:+80", "`+80` is no port"),
            ("a.b:", "`` is no port"),
            ("::1:443", "stands in brackets"),
            ("*", "`network: open`"),
            ("*:443", "`network: open`"),
            ("a*.example.com", "only stand in front"),
            ("*.*.com", "no host name"),
            ("*.com:443", "whole top-level domain"),
            ("*.10.0.0.1", "each address"),
            ("2130706433:80", "four decimal numbers"),
            ("bücher.example", "xn--"),
            ("user@a.b:443", "no host name"),
        ];
        for (written, told) in cases {
            let error = written.parse::<HostRule>().unwrap_err().to_string();
            assert!(error.contains(told) && error.contains(&format!("`{written}`")), "{written}: {error}");
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let rules = rules(&["a.example.com", "*.cdn.example.com:443", "10.0.0.1:80", "a.example.com:80"]);
        let allowed = |host: &str, port| matches!(rules.judge(host, port), Verdict::Allowed(..));
        for (host, port) in [
            ("a.example.com", 443),
            ("a.example.com", 80),
            ("A.EXAMPLE.COM.", 443),
            ("x.cdn.example.com", 443),
            ("y.x.cdn.example.com", 443),
            ("10.0.0.1", 80),
        ] {
            assert!(allowed(host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("example.com", 443),
            ("a.example.com", 22),
            ("b.example.com", 443),
            ("a.example.com.evil.test", 443),
            ("evila.example.com", 443),
            ("cdn.example.com", 443),
            (".cdn.example.com", 443),
            ("evilcdn.example.com", 443),
            ("10.0.0.2", 80),
            ("167772161", 80),
            ("[::ffff:10.0.0.1]", 80),
            ("a.example.com..", 443),
            ("a.example.com\0", 443),
            ("", 443),
        ] {
            assert!(!allowed(host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_rule_covers_what_it_allows_itself_and_nothing_more() {
        let covers = |one: &str, other: &str| one.parse::<HostRule>().unwrap().covers(&other.parse().unwrap());
        for (one, other) in [
            ("a.b:443", "a.b"),
            ("*.a.b", "x.a.b"),
            ("*.a.b", "*.a.b"),
            ("*.a.b", "*.x.a.b"),
            ("a.b private", "a.b"),
            ("10.0.0.1", "10.0.0.1"),
        ] {
            assert!(covers(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("a.b:443", "a.b:80"),
            ("*.a.b", "a.b"),
            ("*.a.b", "*.xa.b"),
            ("x.a.b", "*.a.b"),
            ("*.x.a.b", "*.a.b"),
            ("a.b", "a.b private"),
            ("10.0.0.1", "10.0.0.2"),
        ] {
            assert!(!covers(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let rules = rules(&["a.example.com:443"]);
        let why = |host: &str, port| match rules.judge(host, port) {
            Verdict::Refused(why) => why,
            Verdict::Allowed(..) => panic!("{host} is allowed"),
        };
        assert_eq!(why("b.example.com", 443), Why::NotListed);
        assert_eq!(why("a.example.com", 80), Why::OtherPort("a.example.com:443".parse().unwrap()));
        assert_eq!(why("169.254.169.254", 80), Why::Address);
        assert_eq!(why("[::1]", 80), Why::Address);
        assert_eq!(why("0x7f.1", 80), Why::BadHost(HostError::Disguised));
        assert_eq!(HostRules::default().judge("a.example.com", 443), Verdict::Refused(Why::NotListed));
    }

    #[test]
    fn a_private_address_needs_its_rule() {
        let admits = |rule: &str, address: &str| rule.parse::<HostRule>().unwrap().admits(address.parse().unwrap());
        assert!(admits("a.test:443", "1.1.1.1"));
        assert!(!admits("a.test:443", "10.0.0.1"));
        assert!(admits("a.test:443 private", "10.0.0.1"));
        assert!(admits("10.0.0.1:443", "10.0.0.1"));
        assert!(!admits("10.0.0.1:443", "10.0.0.2"));
        let both = rules(&["a.test:443", "a.test:443 private"]);
        assert!(matches!(both.judge("a.test", 443), Verdict::Allowed(_, rule) if rule.private));
    }
}
