//! Which models an upstream serves, and what it calls them.

use std::collections::BTreeMap;

/// The models of one upstream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    /// Exact names and patterns with `*`; empty: any.
    pub(crate) names: Vec<String>,
    /// Our name for a model, and the upstream's.
    pub(crate) aliases: BTreeMap<String, String>,
}

impl Models {
    /// What the upstream calls the model that is asked for; `None`: it does not serve it.
    pub(crate) fn resolve<'a>(&'a self, asked: &'a str) -> Option<&'a str> {
        if let Some(model) = self.aliases.get(asked) {
            return Some(model);
        }
        let any = self.names.is_empty() || self.names.iter().any(|name| fits(name, asked));
        any.then_some(asked)
    }

    /// The names that can be listed: a pattern cannot.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().filter(|name| !name.contains('*'));
        names.chain(self.aliases.keys()).map(String::as_str)
    }
}

/// Whether a name fits a pattern, in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [
            ("gpt-5", "gpt-5"),
            ("claude-*", "claude-sonnet-4-5"),
            ("*", ""),
            ("*-mini", "gpt-5-mini"),
            ("a*b*c", "a-b-b-c"),
            ("a**c", "ac"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("gpt-5", "gpt-5-mini"), ("claude-*", "gpt"), ("a*b*c", "a-c"), ("ab*ba", "aba"), ("", "a")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn an_alias_goes_first_and_nothing_listed_means_any() {
        let aliases = BTreeMap::from([("fast".to_owned(), "gpt-5-mini".to_owned())]);
        let any = Models { names: vec![], aliases: aliases.clone() };
        assert_eq!((any.resolve("fast"), any.resolve("x")), (Some("gpt-5-mini"), Some("x")));
        let some = Models { names: vec!["gpt-*".into(), "o3".into()], aliases };
        assert_eq!(
            (some.resolve("fast"), some.resolve("gpt-5"), some.resolve("x")),
            (Some("gpt-5-mini"), Some("gpt-5"), None)
        );
        assert_eq!(some.listed().collect::<Vec<_>>(), ["o3", "fast"]);
    }
}
