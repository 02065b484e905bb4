//! Which protection a mission does without, because its configuration says so by name.

use policies::{Extras, layer_name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A layer that may have been missing on the host, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Degraded {
    /// The layer, as a policy names it.
    pub layer: &'static str,
    /// The roles whose agents ran without it, and `checks`.
    pub of: Vec<String>,
}

/// The part of a mission's settings that is read here; whoever makes them says what else there is.
#[derive(Deserialize)]
struct Settings {
    roles: BTreeMap<String, Role>,
    #[serde(default)]
    checks: Extras,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    extras: Extras,
}

/// What the settings of a mission give up, in the order of layers. Settings that cannot be read give up nothing: with them
/// nothing could have been run.
pub(super) fn degraded(settings: &str) -> Vec<Degraded> {
    let Ok(settings) = serde_json::from_str::<Settings>(settings) else { return Vec::new() };
    let roles = settings.roles.iter().map(|(name, role)| (name.as_str(), &role.extras));
    let mut layers: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (name, extras) in roles.chain([("checks", &settings.checks)]) {
        let mut given_up = extras.allow_degraded.clone();
        given_up.sort_unstable();
        given_up.dedup();
        given_up.into_iter().for_each(|layer| layers.entry(layer).or_default().push(name.to_owned()));
    }
    layers.into_iter().map(|(layer, of)| Degraded { layer: layer_name(layer), of }).collect()
}

impl Degraded {
    /// In one line.
    pub(super) fn line(&self) -> String {
        format!("where this host lacks it, {} ran without {}", self.of.join(", "), self.layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_and_whose_they_were() {
        let extras = |layers: &[&str]| serde_json::json!({"allow_degraded": layers});
        let role = |layers: &[&str]| serde_json::json!({"model": "m", "upstream": "u", "extras": extras(layers)});
        let settings = serde_json::json!({
            "roles": {"builder": role(&["seccomp", "landlock", "landlock"]), "reviewer": role(&[])},
            "upstreams": {},
            "checks": extras(&["landlock"]),
        });
        let found = degraded(&settings.to_string());
        let lines: Vec<String> = found.iter().map(Degraded::line).collect();
        assert_eq!(
            lines,
            [
                "where this host lacks it, builder, checks ran without landlock",
                "where this host lacks it, builder ran without seccomp"
            ]
        );
        assert_eq!(degraded(""), []);
    }

    #[test]
    fn settings_of_older_journals_are_read() {
        let settings =
            r#"{"roles": {"a": {"model": "m", "upstream": "u", "extras": {"memory_mib": 5}}}, "upstreams": {}}"#;
        assert_eq!(degraded(settings), []);
    }
}
