//! The way out of a sandbox with `network: hosts`: a proxy that lets named hosts through and nothing else.
//!
//! Why a proxy and not the kernel: the kernel knows addresses and ports, people mean names. A sandbox has no network but
//! loopback and the donated listener; who serves that listener runs this proxy on it, resolves the names itself, and
//! connects to exactly the addresses that it judged. There is no name server inside, and nothing else to connect to.
//!
//! Who may connect is decided by the listener alone: only the sandbox that it was made in can reach it, so no key is asked.
//!
//! # What is let through
//!
//! `CONNECT host:port` and `GET http://host:port/…`, when a [`HostRule`] names the host and the port, and the name leads to
//! an address of the public internet (or the rule says `private`). In a tunnel to port 443 the TLS handshake must name the
//! same host; on other ports it must when there is one. A connection carries one request to a server in plain HTTP: what
//! follows is never passed on, so every request is judged.
//!
//! # What it cannot stop
//!
//! * An allowed host that takes uploads takes anything. `*.suffix` lets data out through the very names that are asked for.
//! * In a tunnel to a port other than 443, what is not TLS is not looked at.
//! * Inside TLS nothing is seen: hosts that share an address and a certificate may answer for each other.

mod address;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod hello;
mod host;
mod proxy;
mod relay;
mod replay;
mod resolve;
mod rule;
mod serve;
mod tally;
#[cfg(test)]
mod tests;
mod why;

pub use host::{Host, HostError};
pub use proxy::{Proxy, ProxyLimits, Served};
pub use replay::Replay;
pub use resolve::{Addresses, Resolve, SystemResolver};
pub use rule::{DEFAULT_PORT, HostRule, HostRules, RuleError, Verdict};
pub use serve::{Serving, proxy_variables, serve};
pub use tally::{REFUSALS_MAX, Refusals, Traffic};
pub use why::{Refused, Why};
