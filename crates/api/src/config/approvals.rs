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

/// What becomes of requests that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// A request fits when this stands somewhere in it.
    pub contains: String,
    /// What becomes of it.
    pub answer: Approval,
}

impl Approvals {
    /// What becomes of this request.
    pub fn of(&self, request: &str) -> Approval {
        let fits = self.rules.iter().find(|rule| request.contains(&rule.contains));
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
    otherwise: Option<At<NameText>>,
    /// The first that fits holds.
    #[serde(default)]
    #[schemars(extend("maxItems" = APPROVAL_RULES_MAX))]
    rules: List<RuleSpec>,
}

/// What becomes of requests that fit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    /// A request fits when this stands somewhere in it, such as `git push`.
    contains: At<Text>,
    /// What becomes of it.
    #[schemars(schema_with = "word_schema")]
    answer: At<NameText>,
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
            let rules = rules.into_iter().map(|At { value: rule, .. }| ApprovalRule {
                contains: checker.text("what a request contains", rule.contains),
                answer: answer(checker, rule.answer),
            });
            Approvals { otherwise, rules: rules.collect() }
        }
    }
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
