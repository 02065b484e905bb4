//! The answer to `session/request_permission`.
//!
//! The kernel's sandbox is the boundary, not the agent's good manners, so the usual policy says yes, once, to what the
//! agent can do at all. Options are chosen by `kind`: their ids differ between agents (`once`, `allow-once`,
//! `proceed_once`).

use serde::Serialize;
use serde_json::{Value, json};
use std::{fmt, pin::Pin, sync::Arc};

/// Answers a request: whether what it says may be done.
pub type Approve = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// How requests for permission are answered.
#[derive(Clone, Default)]
pub enum PermissionPolicy {
    /// Yes, this time; yes for good only where the agent offers nothing else.
    #[default]
    AllowOnce,
    /// No, this time; no for good only where the agent offers nothing else.
    Refuse,
    /// As somebody says, who may take his time. The turn's end gives the question up.
    Ask(Approve),
}

impl fmt::Debug for PermissionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllowOnce => "AllowOnce",
            Self::Refuse => "Refuse",
            Self::Ask(_) => "Ask",
        })
    }
}

/// What choosing an option means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// `allow_once`
    AllowOnce,
    /// `allow_always`
    AllowAlways,
    /// `reject_once`
    RejectOnce,
    /// `reject_always`
    RejectAlways,
    /// A word that the protocol does not have.
    Unknown,
}

/// One possible answer, as the agent offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermissionOption {
    /// What is sent back.
    pub id: String,
    /// What it means.
    pub kind: OptionKind,
}

/// What an agent was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Choice {
    /// This option.
    Selected {
        /// Its id.
        option: String,
    },
    /// Nothing was chosen: the turn is being cancelled, or no option fits the policy.
    Cancelled,
}

impl Choice {
    /// The first option that means this answer, this once if that is offered.
    pub fn of(allow: bool, options: &[PermissionOption]) -> Choice {
        let kinds = match allow {
            true => [OptionKind::AllowOnce, OptionKind::AllowAlways],
            false => [OptionKind::RejectOnce, OptionKind::RejectAlways],
        };
        let found = kinds.iter().find_map(|kind| options.iter().find(|option| option.kind == *kind));
        found.map_or(Choice::Cancelled, |option| Choice::Selected { option: option.id.clone() })
    }
}

impl OptionKind {
    pub(crate) fn read(word: &str) -> Self {
        match word {
            "allow_once" => Self::AllowOnce,
            "allow_always" => Self::AllowAlways,
            "reject_once" => Self::RejectOnce,
            "reject_always" => Self::RejectAlways,
            _ => Self::Unknown,
        }
    }
}

impl Choice {
    /// The `result` of the agent's request.
    pub(crate) fn to_result(&self) -> Value {
        match self {
            Self::Selected { option } => json!({"outcome": {"outcome": "selected", "optionId": option}}),
            Self::Cancelled => json!({"outcome": {"outcome": "cancelled"}}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_chosen_by_what_they_mean() {
        let claude = ["allow_always:allow", "allow_once:allow-once", "reject_once:reject"];
        check(true, &claude, Some("allow-once"));
        check(false, &claude, Some("reject"));
        check(true, &["allow_always:always", "reject_once:no"], Some("always"));
        check(true, &["reject_once:allow", "maybe:allow_once"], None);
        check(true, &[], None);
    }

    fn check(allow: bool, options: &[&str], expected: Option<&str>) {
        let options: Vec<_> = options
            .iter()
            .filter_map(|option| option.split_once(':'))
            .map(|(kind, id)| PermissionOption { id: id.into(), kind: OptionKind::read(kind) })
            .collect();
        let expected = expected.map_or(Choice::Cancelled, |id| Choice::Selected { option: id.into() });
        assert_eq!(Choice::of(allow, &options), expected);
    }
}
