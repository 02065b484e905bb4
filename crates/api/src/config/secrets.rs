//! Secrets: what is masked beyond what muster knows by itself, and what becomes of a secret in a request to a model.

use crate::source::{
    checker::{Checker, Wrong},
    shape::{At, List, Text},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most names in one file.
pub const SECRET_NAMES_MAX: usize = 256;

/// What is masked, and what becomes of a secret in a request to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Secrets {
    /// Environment variables whose values are masked, beyond provider keys and those whose names tell.
    pub mask: Vec<String>,
    /// What becomes of a secret in a request.
    pub outgoing: Outgoing,
}

/// What becomes of a secret in a request to a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Outgoing {
    /// It is masked.
    #[default]
    Mask,
    /// The call is refused.
    Refuse,
    /// It is sent.
    Allow,
}

/// What is masked: provider keys and variables called `*_KEY`, `*_TOKEN`, `*_SECRET` or `*_PASSWORD` always are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretsSpec {
    /// More environment variables whose values are secret. The values themselves never stand in a file.
    #[serde(default)]
    #[schemars(extend("maxItems" = SECRET_NAMES_MAX, "items" = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}))]
    pub(crate) mask: List<Text>,
    /// What becomes of a secret in a request to a model: `mask`, `refuse` or `allow`; `mask` when left out.
    pub(crate) outgoing: Option<At<Outgoing>>,
}

impl SecretsSpec {
    /// What `own` masks stays masked.
    pub(super) fn judge(self, checker: &mut Checker, own: &Secrets) -> Secrets {
        if let Some(name) = self.mask.0.get(SECRET_NAMES_MAX) {
            let count = self.mask.0.len();
            checker.wrong(name.place, format!("there are {count} names"), format!("keep {SECRET_NAMES_MAX}"));
        }
        let names = self.mask.0.into_iter();
        let mut mask = own.mask.clone();
        mask.extend(names.map(|name| checker.take(name.place, variable(&name.value.0), String::new())));
        Secrets { mask, outgoing: self.outgoing.map_or(own.outgoing, |at| at.value) }
    }
}

/// The name of an environment variable. A secret written here by mistake is not repeated.
fn variable(text: &str) -> Result<String, Wrong> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(text.into());
    }
    let fix = "write the variable's name, for example `DATABASE_URL`; its value stays in the environment";
    Err(Wrong::new("this is not the name of an environment variable", fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_and_not_repeated() {
        assert_eq!(variable("DATABASE_URL"), Ok("DATABASE_URL".into()));
        for text in ["", "1A", "hunter2-long", "A B"] {
            let wrong = variable(text).unwrap_err();
            assert!(text.is_empty() || !wrong.what.contains(text) && !wrong.fix.contains(text));
        }
    }
}
