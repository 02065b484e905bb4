//! An agent's way out to the hosts that its role names: a proxy of the sandbox, whose refusals the mission is told.

use crate::driver::Handle;
use mission::{AgentId, Input, Refusal};
use workspace::egress::{HostRule, HostRules, Proxy, Refused};

/// The proxy of one agent. Refusals that it tells are few, however often the agent tries.
pub(crate) fn proxy(handle: Handle, agent: AgentId, rules: Vec<HostRule>) -> Proxy {
    Proxy::new(HostRules::new(rules), move |refused| {
        let (handle, refusal) = (handle.clone(), refusal(refused));
        // The connection does not wait for the journal.
        tokio::spawn(async move { handle.report(Input::EgressRefused { agent, refusal }).await });
    })
}

fn refusal(refused: Refused) -> Refusal {
    let Refused { host, port, why, times } = refused;
    Refusal { reason: why.to_string(), allow: why.line(&host, port), host, port, times }
}

#[cfg(test)]
mod tests {
    use super::*;
    use workspace::egress::Why;

    #[test]
    fn a_refusal_keeps_what_would_allow_it() {
        let told = refusal(Refused { host: "pypi.org".into(), port: 443, why: Why::NotListed, times: 9 });
        let expected = Refusal {
            host: "pypi.org".into(),
            port: 443,
            reason: "no rule of `network: hosts` names it".into(),
            allow: Some("pypi.org:443".into()),
            times: 9,
        };
        assert_eq!(told, expected);
        let trick = refusal(Refused { host: "a@b".into(), port: 0, why: Why::Malformed("no"), times: 1 });
        assert_eq!(trick.allow, None);
    }
}
