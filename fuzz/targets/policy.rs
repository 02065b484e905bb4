//! Policy files: whatever is written is read or refused with a place, and every host that is taken is one for the proxy too.
#![no_main]

use api::{policy::Network, source::Source};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match api::policy::load(&Source::new("policy.yaml", text)) {
        Ok(policy) => {
            let Some(Network::Hosts(hosts)) = policy.network else { return };
            hosts.iter().for_each(|host| assert!(host.parse::<egress::HostRule>().is_ok(), "{host}"));
        }
        Err(problems) => assert!(!problems.list.is_empty() && !problems.to_string().is_empty()),
    }
});
