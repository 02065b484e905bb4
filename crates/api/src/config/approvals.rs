//! What becomes of an agent's requests for permission: `approvals:` of a role.
//!
//! The sandbox is the boundary, so the usual answer is yes. A role may leave some or all requests to a person, or refuse them.

use crate::source::{
    checker::{Checker, quote},
    shape::{At, List, NameText, Text, WordOr},
    suggest::instead_of,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Most rules of one role.
pub const APPROVAL_RULES_MAX: usize = 64;
const WORDS: [&str; 3] = ["allow", "ask", "deny"];

/// What becomes of requests for permission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// What becomes of one that no rule fits.
    pub otherwise: Approval,
    /// The first that fits holds.
    pub rules: Vec<ApprovalRule>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// It is allowed, this once.
    #[default]
    Allow,
    /// A person is asked.
    Ask,
    /// It is refused.
    Deny,
}

/// What a request has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fits {
    /// Exactly this.
    Is(String),
    /// Anything with this somewhere in it. Never allowed by that: whoever asks could put it there.
    Contains(String),
}

impl Fits {
    fn fits(&self, request: &str) -> bool {
        match self {
            Self::Is(text) => request == text,
            Self::Contains(text) => request.contains(text),
        }
    }
}

/// What becomes of requests that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// What a request has to be to fit.
    pub fits: Fits,
    /// What becomes of it.
    pub answer: Approval,
}

impl Approvals {
    /// What becomes of this request.
    pub fn of(&self, request: &str) -> Approval {
        let fits = self.rules.iter().find(|rule| rule.fits.fits(request));
        fits.map_or(self.otherwise, |rule| rule.answer)
    }

    /// Whether every request is allowed.
    pub fn allows_all(&self) -> bool {
        self.otherwise == Approval::Allow && self.rules.iter().all(|rule| rule.answer == Approval::Allow)
    }
}

/// What becomes of requests for permission, in more than a word.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsSpec {
    /// What becomes of a request that no rule fits; `allow` when left out.
    #[schemars(schema_with = "word_schema")]
    pub(crate) otherwise: Option<At<NameText>>,
    /// The first that fits holds.
    #[serde(default)]
    #[schemars(extend("maxItems" = APPROVAL_RULES_MAX))]
    pub(crate) rules: List<RuleSpec>,
}

/// What becomes of requests that fit: those that are `is`, or those that have `contains` somewhere in them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["is"]}, {"required": ["contains"], "properties": {"answer": {"enum": ["ask", "deny"]}}}]))]
pub(crate) struct RuleSpec {
    /// The whole request, as `muster inbox` shows it.
    pub(crate) is: Option<At<Text>>,
    /// A part of it, such as `git push`; not for `allow`, because whoever asks could put it there.
    pub(crate) contains: Option<At<Text>>,
    /// What becomes of it.
    #[schemars(schema_with = "word_schema")]
    pub(crate) answer: At<NameText>,
}

fn word_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": WORDS})
}

pub(super) fn schema(generator: &mut SchemaGenerator) -> Schema {
    let more = generator.subschema_for::<ApprovalsSpec>();
    json_schema!({"anyOf": [{"type": "string", "enum": WORDS}, more]})
}

pub(super) fn approvals(checker: &mut Checker, spec: At<WordOr<ApprovalsSpec>>) -> Approvals {
    let At { value, place } = spec;
    match value {
        WordOr::Word(text) => {
            let otherwise = answer(checker, At { value: NameText(text), place });
            Approvals { otherwise, rules: Vec::new() }
        }
        WordOr::Map(ApprovalsSpec { otherwise, rules: List(rules) }) => {
            if let Some(first) = rules.get(APPROVAL_RULES_MAX) {
                let fix = format!("keep {APPROVAL_RULES_MAX}");
                checker.wrong(first.place, format!("there are {} rules", rules.len()), fix);
            }
            let otherwise = otherwise.map(|word| answer(checker, word)).unwrap_or_default();
            let rules = rules.into_iter().filter_map(|spec| rule(checker, spec)).collect();
            Approvals { otherwise, rules }
        }
    }
}

fn rule(checker: &mut Checker, At { value: spec, place }: At<RuleSpec>) -> Option<ApprovalRule> {
    let told = answer(checker, spec.answer);
    let fits = match (spec.is, spec.contains) {
        (Some(text), None) => Fits::Is(checker.text("the request", text)),
        (None, Some(text)) if told == Approval::Allow => {
            let fix = "write the whole request with `is`, or `ask`";
            checker.wrong(text.place, "whoever asks could put this into any request and be allowed", fix);
            return None;
        }
        (None, Some(text)) => Fits::Contains(checker.text("what a request contains", text)),
        _ => {
            checker.wrong(place, "a rule says which requests fit in one way", "write either `is` or `contains`");
            return None;
        }
    };
    Some(ApprovalRule { fits, answer: told })
}

fn answer(checker: &mut Checker, At { value: NameText(text), place }: At<NameText>) -> Approval {
    match text.as_str() {
        "allow" => Approval::Allow,
        "ask" => Approval::Ask,
        "deny" => Approval::Deny,
        _ => {
            checker.wrong(place, format!("{} is no answer to a request", quote(&text)), instead_of(&text, WORDS));
            Approval::Deny
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{config, source::Source};

    fn load(rule: &str) -> Result<config::Approvals, String> {
        let text = format!(
            "upstreams: {{s: {{scripted: s.yaml}}}}\nroles: {{a: {{runtime: native, model: m, approvals: {{otherwise: ask, rules: [{rule}]}}}}}}\n"
        );
        let config = config::load(&Source::new("muster.yaml", text)).map_err(|problems| problems.to_string())?;
        Ok(config.roles.into_values().next().unwrap().approvals)
    }

    #[test]
    fn what_is_allowed_is_the_whole_request() {
        let exact = load("{is: \"run: make test\", answer: allow}").unwrap();
        assert_eq!(exact.of("run: make test"), config::Approval::Allow);
        assert_eq!(exact.of("run: rm -rf . # run: make test"), config::Approval::Ask);
        let part = load("{contains: rm -rf, answer: deny}").unwrap();
        assert_eq!(part.of("run: true; rm -rf ."), config::Approval::Deny);
        assert!(load("{contains: make test, answer: allow}").unwrap_err().contains("whoever asks could put this"));
        assert!(load("{answer: deny}").unwrap_err().contains("either `is` or `contains`"));
    }
}
