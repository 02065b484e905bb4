//! The way out of a sandbox outside of any mission: the proxy to the hosts that its policy names, and what it refused.

use super::{Network, Resolved};
use std::{io, net::TcpListener};
use tokio::runtime::Handle;
use workspace::egress::{HostRules, Proxy, Refused, Serving, serve};

/// A proxy at work; dropping it ends it with all its connections.
pub struct Door {
    proxy: Proxy,
    _serving: Serving,
}

impl Resolved {
    /// Serves the listener of a sandbox with `network: hosts`. Every other listener is closed: who connects to it learns at
    /// once that nobody answers. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the listener cannot be used for waiting.
    pub fn serve(&self, listener: Option<TcpListener>) -> io::Result<Option<Door>> {
        let (Network::Hosts(rules), Some(listener)) = (&self.policy.network, listener) else { return Ok(None) };
        let proxy = Proxy::new(HostRules::new(rules.clone()), |_| {});
        let serving = serve(&Handle::current(), listener, proxy.clone())?;
        Ok(Some(Door { proxy, _serving: serving }))
    }
}

impl Door {
    /// What was refused, a line each, with what would allow it.
    pub fn refused(&self) -> Vec<String> {
        let refusals = self.proxy.refusals();
        let beyond = (refusals.beyond > 0).then(|| format!("refused: {} further connections", refusals.beyond));
        refusals.known.iter().map(line).chain(beyond).collect()
    }
}

fn line(refused: &Refused) -> String {
    let Refused { host, port, why, times } = refused;
    let often = if *times == 1 { "refused".to_owned() } else { format!("refused {times} times") };
    match why.line(host, *port) {
        Some(rule) => format!("{often}: {host}:{port}: {why}; to allow it add `{rule}` to `network: {{hosts: […]}}`"),
        None => format!("{often}: {host}:{port}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workspace::egress::Why;

    #[test]
    fn a_refusal_is_a_line_with_what_would_allow_it() {
        let told = |why, times| line(&Refused { host: "pypi.org".into(), port: 443, why, times });
        assert_eq!(
            told(Why::NotListed, 1),
            "refused: pypi.org:443: no rule of `network: hosts` names it; to allow it add `pypi.org:443` to `network: {hosts: […]}`"
        );
        assert_eq!(told(Why::NotTls, 3), "refused 3 times: pypi.org:443: what was sent to it is not TLS");
    }
}
