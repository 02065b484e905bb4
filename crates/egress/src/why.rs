//! Why a connection is refused, in the words that the agent gets as its answer and the person reads in the report.

use std::net::IpAddr;

use super::host::{Host, HostError};
use super::rule::HostRule;

/// The rule that refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// No rule is for this host.
    #[error("no rule of `network: hosts` names it")]
    NotListed,
    /// A rule is for this host, on another port.
    #[error("the rule `{0}` is for another port")]
    OtherPort(HostRule),
    /// The host is an address, and no rule names that very address.
    #[error("it is an address, and no rule of `network: hosts` names it")]
    Address,
    /// The host is neither a name nor an address.
    #[error("{0}")]
    BadHost(HostError),
    /// The request is none that a proxy may pass on.
    #[error("{0}")]
    Malformed(&'static str),
    /// The `Host` line names another host than the address line.
    #[error("its `Host` line names another host")]
    HostLine,
    /// The name leads to an address that is not on the public internet.
    #[error("the name leads to {0}, which is not on the public internet")]
    NotPublic(IpAddr),
    /// What follows is no TLS, on a port that is for TLS.
    #[error("what was sent to it is not TLS")]
    NotTls,
    /// The TLS handshake names no server.
    #[error("its TLS handshake does not name the server (SNI)")]
    Unnamed,
    /// The TLS handshake names another server.
    #[error("its TLS handshake names another server (SNI)")]
    OtherName,
}

impl Why {
    /// The line that would have to be added to `hosts` for it, if a line could allow it.
    pub fn line(&self, host: &str, port: u16) -> Option<String> {
        let host = Host::parse(host).ok()?;
        match self {
            Self::NotListed | Self::OtherPort(_) | Self::Address => Some(format!("{host}:{port}")),
            Self::NotPublic(_) => Some(format!("{host}:{port} private")),
            _ => None,
        }
    }
}

/// One refusal, as it is told to whoever serves the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The host as it was asked for, without anything unprintable, and cut when it is long.
    pub host: String,
    /// The port as it was asked for; 0 when none could be read.
    pub port: u16,
    /// Why.
    pub why: Why,
    /// How often it was refused since it was last told, this time included. It is told at the first, the 10th, the 100th,
    /// … time.
    pub times: u64,
}

impl Refused {
    /// What happened and what can be done, for the program that asked.
    pub fn tell(&self) -> String {
        let Self { host, port, why, .. } = self;
        let mut text = format!("muster: this sandbox may not connect to {host}:{port}: {why}.\n");
        if let Some(line) = self.why.line(host, *port) {
            text.push_str(&format!("To allow it, add this line to `network: hosts` of its policy:\n  - {line}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_the_line_to_add() {
        let tell = |host: &str, port, why| Refused { host: host.into(), port, why, times: 1 }.tell();
        assert_eq!(
            tell("pypi.org", 443, Why::NotListed),
            "muster: this sandbox may not connect to pypi.org:443: no rule of `network: hosts` names it.\n\
             To allow it, add this line to `network: hosts` of its policy:\n  - pypi.org:443\n"
        );
        let private = tell("reg.lan", 5000, Why::NotPublic("10.0.0.1".parse().unwrap()));
        assert!(private.contains("leads to 10.0.0.1") && private.contains("  - reg.lan:5000 private\n"), "{private}");
        assert_eq!(
            tell("2130706433", 80, Why::BadHost(HostError::Disguised)),
            "muster: this sandbox may not connect to 2130706433:80: an address is written as four decimal numbers or as \
             IPv6 in brackets, and in no other form.\n"
        );
    }

    #[test]
    fn the_line_to_add_would_allow_it() {
        use super::super::rule::{HostRules, Verdict};
        for (host, port, why) in [
            ("Pypi.Org", 443, Why::NotListed),
            ("169.254.169.254", 80, Why::Address),
            ("[fd00::1]", 80, Why::Address),
            ("reg.lan", 5000, Why::NotPublic("10.0.0.1".parse().unwrap())),
        ] {
            let rule: HostRule = why.line(host, port).unwrap().parse().unwrap();
            let Verdict::Allowed(asked, rule) = HostRules::new(vec![rule]).judge(host, port) else { panic!("{host}") };
            let leads_to = match (asked, why) {
                (Host::Address(address), _) | (_, Why::NotPublic(address)) => address,
                _ => "1.1.1.1".parse().unwrap(),
            };
            assert!(rule.admits(leads_to), "{host}");
        }
    }
}
