//! What the agents of a role are able to: capabilities, the health that is looked after, and boundaries that their runtime cannot hold.

use super::{Approval, Role, Runtime, Speaks, upstream::possible};
use crate::{
    policy::{CheckedPolicy, Network, Processes, Work},
    source::{
        checker::{Checker, Wrong, quote},
        shape::{At, DurationText, List, Text},
    },
};
use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most capabilities of one role or task.
pub const CAPABILITIES_MAX: usize = 32;
/// How often health is looked after when nothing is said.
const INTERVAL_MS: u64 = 60_000;
/// How long a look may take when nothing is said.
const TIMEOUT_MS: u64 = 10_000;

/// How the health of a role's agents is looked after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// What is asked.
    pub ask: HealthAsk,
    /// How long after one answer the next is asked for, in milliseconds.
    pub interval_ms: u64,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What is asked how a role's agents are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthAsk {
    /// A command, in a sandbox as the role's agents have it: exit code 0 is well, 75 degraded, 77 blocked, any other down. What it prints last says why.
    Command(Vec<String>),
    /// An address, by GET: 2xx is well, 429 and 503 degraded, 401 and 403 blocked, anything else down.
    Url(String),
}

/// How the health of a role's agents is looked after: by a `command` or a `url`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["command"]}, {"required": ["url"]}]))]
pub(crate) struct HealthSpec {
    /// A command that is run in a sandbox as the role's agents have it. Exit code 0 is well, 75 degraded, 77 blocked, any other down.
    pub(crate) command: Option<At<List<Text>>>,
    /// An address that is asked by GET. 2xx is well, 429 and 503 degraded, 401 and 403 blocked, anything else down.
    pub(crate) url: Option<At<Text>>,
    /// How long after one answer the next is asked for; `60s` when left out.
    pub(crate) interval: Option<At<DurationText>>,
    /// How long an answer may take; `10s` when left out.
    pub(crate) timeout: Option<At<DurationText>>,
}

pub(super) fn health(checker: &mut Checker, At { value: spec, place }: At<HealthSpec>) -> Option<HealthCheck> {
    let ask = match (spec.command, spec.url) {
        (Some(command), None) if !command.value.0.is_empty() => {
            let words = command.value.0.into_iter();
            Some(HealthAsk::Command(words.map(|word| checker.text("this part of the command", word)).collect()))
        }
        (None, Some(url)) => Some(HealthAsk::Url(checker.take(url.place, address(&url.value.0), String::new()))),
        _ => {
            checker.wrong(
                place,
                "health is looked after by one thing",
                "write either `command: [PROGRAM, …]` or `url: http://…`",
            );
            None
        }
    };
    let interval_ms = spec.interval.map_or(INTERVAL_MS, |text| checker.duration(text));
    let timeout_ms = spec.timeout.map_or(TIMEOUT_MS, |text| checker.duration(text));
    if interval_ms == 0 || timeout_ms == 0 {
        checker.wrong(
            place,
            "health cannot be looked after all the time",
            "write an `interval` and a `timeout` of at least `1ms`",
        );
    }
    Some(HealthCheck { ask: ask?, interval_ms, timeout_ms })
}

/// An address that can be asked: with a host, and a port that can be.
fn address(text: &str) -> Result<String, Wrong> {
    let refused = || Wrong::new(format!("{} is no address", quote(text)), "write `http://…` or `https://…`");
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let host = !uri.host().unwrap_or_default().is_empty() && possible(&uri).is_ok();
    match matches!(uri.scheme_str(), Some("http" | "https")) && host {
        true => Ok(text.to_owned()),
        false => Err(refused()),
    }
}

/// What becomes of requests when nothing is said: where only approved commands may run, a person approves them.
pub(super) fn usual_approval(sandbox: &CheckedPolicy) -> Approval {
    if is_approved_only(sandbox) { Approval::Ask } else { Approval::Allow }
}

fn is_approved_only(sandbox: &CheckedPolicy) -> bool {
    sandbox.remains.iter().any(|text| text.starts_with("shell_commands: approved_only"))
}

/// What is asked when nothing is said: a program that has a login of its own says whether it is there.
pub(super) fn usual_health(runtime: &Runtime) -> Option<HealthCheck> {
    let Runtime::Program { speaks: Speaks::Cursor, command } = runtime else { return None };
    let ask = HealthAsk::Command(vec![command.first()?.clone(), "status".to_owned()]);
    Some(HealthCheck { ask, interval_ms: INTERVAL_MS, timeout_ms: TIMEOUT_MS })
}

pub(crate) fn capabilities(checker: &mut Checker, List(texts): List<Text>) -> Vec<String> {
    if let Some(first) = texts.get(CAPABILITIES_MAX) {
        checker.wrong(
            first.place,
            format!("there are {} capabilities", texts.len()),
            format!("keep {CAPABILITIES_MAX}"),
        );
    }
    texts.into_iter().map(|text| capability(checker, text)).collect()
}

/// The name of a capability or of a type of task.
pub(crate) fn capability(checker: &mut Checker, At { value: Text(text), place }: At<Text>) -> String {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let usable = (1..=64).contains(&text.len()) && text.bytes().all(fits);
    let refused =
        || Wrong::new(format!("{} is no such name", quote(&text)), "use up to 64 small letters, digits, `_` and `-`");
    checker.take(place, usable.then(|| text.clone()).ok_or_else(refused), String::new())
}

impl Role {
    /// Everything that its agents can do: what the runtime can, as far as the sandbox lets it, and what the configuration adds.
    pub fn all_capabilities(&self) -> Vec<String> {
        let speaks = match &self.runtime {
            Runtime::Native => None,
            Runtime::Program { speaks, .. } => Some(*speaks),
        };
        let talks = speaks != Some(Speaks::Exec);
        let runs = self.sandbox.processes != Some(Processes::None);
        let known = [
            ("isolated_execution", true),
            ("headless_operation", true),
            ("edit", !self.is_read_only()),
            ("shell", runs || speaks.is_none()),
            ("mcp_tools", talks),
            ("resume", talks),
            ("iterative_refinement", talks),
        ];
        let mut all: Vec<String> = known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect();
        all.extend(self.capabilities.iter().filter(|own| !known.iter().any(|(name, _)| name == own)).cloned());
        all
    }

    /// Whether its agents start nothing themselves, and muster runs for them what is approved.
    pub fn has_commands_run(&self) -> bool {
        self.runtime == Runtime::Native && is_approved_only(&self.sandbox)
    }

    /// Whether its program is given the role's instructions as rules of its own, and not at the head of each brief.
    pub fn takes_rules(&self) -> bool {
        matches!(self.runtime, Runtime::Program { speaks: Speaks::Codex | Speaks::Claude, .. })
    }

    /// Whether its agents may change no files of the repository.
    pub fn is_read_only(&self) -> bool {
        self.sandbox.work == Some(Work::Read)
    }

    /// What its boundaries switch off in a vendor's program too, so that its model is not offered what the sandbox would refuse.
    pub fn switched_off(&self) -> Vec<&'static str> {
        let web = matches!(self.sandbox.network, None | Some(Network::Gateway | Network::None));
        let shell = self.sandbox.processes == Some(Processes::None);
        let off = [("web", web), ("edit", self.is_read_only()), ("shell", shell)];
        off.iter().filter(|(_, off)| *off).map(|(name, _)| *name).collect()
    }

    /// A boundary that was asked for and that its runtime cannot hold, in words. Its agents get no work then.
    pub fn unheld(&self) -> Option<String> {
        let CheckedPolicy { processes, network, remains, .. } = &self.sandbox;
        let network = network.as_ref();
        let Runtime::Program { speaks, .. } = &self.runtime else {
            let git = remains.iter().find(|text| text.starts_with("git_operations"));
            return git.map(|text| (*text).to_owned()).or_else(|| no_gateway(network));
        };
        let starts = !matches!(speaks, Speaks::Acp);
        let own_service = *speaks == Speaks::Cursor && matches!(network, None | Some(Network::Gateway | Network::None));
        if *processes == Some(Processes::None) && starts {
            let name = speaks.name();
            return Some(format!(
                "runtime `{name}` starts its commands itself, and `shell_commands` lets it start none; runtime `native` has them run for it"
            ));
        }
        if own_service {
            return Some(
                "runtime `cursor` speaks to Cursor's own service; name its hosts as `network: {hosts: […]}`".to_owned(),
            );
        }
        if matches!(speaks, Speaks::Codex | Speaks::Exec) && !self.approvals.allows_all() {
            return Some(format!(
                "runtime `{}` asks nobody before it does something; `approvals` other than `allow` are for `native`, `claude` and `acp`",
                speaks.name()
            ));
        }
        let left = remains.first().map(|text| (*text).to_owned());
        left.or_else(|| if *speaks == Speaks::Exec { None } else { no_gateway(network) })
    }
}

fn no_gateway(network: Option<&Network>) -> Option<String> {
    let none = network == Some(&Network::None);
    none.then(|| {
        "`network: none` would keep it from its model; `restricted` lets it reach nothing but the gateway".to_owned()
    })
}
