//! Whether a mission's prices are invented: its model is scripted, so nothing is ever paid, and what it "costs" was made up by whoever wrote the
//! script's file. Wherever money is shown that has to stand beside it.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What stands beside such money.
pub(super) const INVENTED: &str = "invented prices, the model is scripted: nothing was paid";

/// The part of a mission's settings that is read here.
#[derive(Deserialize)]
struct Settings {
    roles: BTreeMap<String, Role>,
    upstreams: BTreeMap<String, BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct Role {
    upstream: String,
}

/// Whether every model of a mission with these settings is scripted.
pub(super) fn invented(settings: &str) -> bool {
    let Ok(Settings { roles, upstreams }) = serde_json::from_str(settings) else { return false };
    let scripted = |role: &Role| upstreams.get(&role.upstream).is_some_and(|kind| kind.contains_key("scripted"));
    !roles.is_empty() && roles.values().all(scripted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_every_model_is_scripted() {
        let settings = |of: &[&str]| {
            let roles: serde_json::Map<_, _> =
                of.iter().map(|of| (format!("r-{of}"), serde_json::json!({"upstream": of}))).collect();
            let upstreams =
                serde_json::json!({"s": {"scripted": {"file": "/s"}}, "u": {"url": {"base_url": "http://x"}}});
            serde_json::json!({"roles": roles, "upstreams": upstreams}).to_string()
        };
        assert!(invented(&settings(&["s"])));
        assert!(!invented(&settings(&["s", "u"])));
        assert!(!invented(&settings(&["none"])));
        assert!(!invented("{}"));
    }
}
