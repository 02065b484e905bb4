//! Roles: what a kind of agent is for and how it is run.

use super::{
    AGENTS_MAX, Approvals, HealthCheck, ROLES_MAX, RoleSpec, Upstream, Upstreams, ability, approvals,
    spec::{RuntimeSpec, WorkspaceSpec},
};
use crate::{
    policy::{self, CheckedPolicy, Work},
    source::{
        Place,
        checker::{Checker, Wrong, quote},
        shape::{At, Entries, List, NameText, Text},
        suggest::{instead_of, one_of},
    },
    value::Name,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a kind of agent is for and how it is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Role {
    /// How its agents are run.
    pub runtime: Runtime,
    /// The model that its agents ask for.
    pub model: String,
    /// Which upstream serves the model. `None` only in a configuration without upstreams, which
    /// [`super::CheckedConfig::ready_to_run`] refuses.
    pub upstream: Option<Name>,
    /// What every turn of this role begins with; may be empty.
    pub instructions: String,
    /// How many agents of this role may work at the same time, at least 1.
    pub count: u32,
    /// What its agents work in.
    pub workspace: WorkspaceKind,
    /// How many tokens the model can read at once, if that was said.
    pub context_tokens: Option<u32>,
    /// How many tokens one answer may have, if that was said.
    pub output_tokens: Option<u32>,
    /// What its agents may use beyond the system's own folders and their workspace.
    pub sandbox: CheckedPolicy,
    /// Who takes its tasks when it cannot, in this order; other roles, each once.
    pub fallback: Vec<Name>,
    /// What its agents can do beyond what every agent of the runtime can.
    pub capabilities: Vec<String>,
    /// What becomes of its agents' requests for permission.
    pub approvals: Approvals,
    /// How their health is looked after.
    pub health: Option<HealthCheck>,
}

/// How an agent is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Our own agent.
    Native,
    /// A program of somebody else's.
    Program {
        /// What it speaks.
        speaks: Speaks,
        /// The program and its arguments; never empty.
        command: Vec<String>,
    },
}

/// What a program speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaks {
    /// The Agent Client Protocol on stdio.
    #[default]
    Acp,
    /// What the Codex CLI speaks.
    Codex,
    /// What Claude Code speaks.
    Claude,
    /// The Agent Client Protocol as the Cursor CLI speaks it.
    Cursor,
    /// Nothing: it is given a prompt and prints.
    Exec,
}

impl Speaks {
    /// The name of the runtime.
    pub fn name(self) -> &'static str {
        match self {
            Self::Acp => "acp",
            Self::Codex => "codex",
            Self::Claude => "claude",
            Self::Cursor => "cursor",
            Self::Exec => "exec",
        }
    }

    /// What is run when nothing is said.
    fn usual_command(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Codex => Some(&["codex"]),
            Self::Claude => Some(&["claude"]),
            Self::Cursor => Some(&["cursor-agent", "acp"]),
            Self::Acp | Self::Exec => None,
        }
    }
}

/// What an agent works in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceKind {
    /// A private clone of the repository.
    #[default]
    Clone,
    /// An empty folder.
    Scratch,
}

pub(crate) fn roles(
    checker: &mut Checker,
    specs: Entries<RoleSpec>,
    upstreams: &Upstreams,
    others: &BTreeMap<Name, Role>,
) -> BTreeMap<Name, Role> {
    let known: Vec<String> =
        specs.0.iter().map(|(name, _)| name.value.clone()).chain(others.keys().map(ToString::to_string)).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut judged = BTreeMap::new();
    let mut agents = 0u32;
    for (index, (name, spec)) in specs.0.into_iter().enumerate() {
        let taken = checker.take(name.place, Name::parse(&name.value), Name::stand_in(&name.value));
        let fallback = named_roles(checker, &spec.value.fallback, &known, Some(&name.value));
        let role = Role { fallback, ..role(checker, spec, upstreams) };
        if index == ROLES_MAX {
            checker.wrong(
                name.place,
                format!("this is role number {}", ROLES_MAX + 1),
                format!("keep {ROLES_MAX} roles"),
            );
        }
        let before = agents;
        agents = agents.saturating_add(role.count);
        if before <= AGENTS_MAX && agents > AGENTS_MAX {
            checker.wrong(
                name.place,
                format!("with this role there are {agents} agents"),
                format!("keep {AGENTS_MAX} in all"),
            );
        }
        judged.insert(taken, role);
    }
    judged
}

fn role(checker: &mut Checker, spec: At<RoleSpec>, upstreams: &Upstreams) -> Role {
    let At { value: spec, place } = spec;
    let count = checker.number("the number of agents", spec.count, 1..=AGENTS_MAX).unwrap_or(1);
    let output_place = spec.output_tokens.as_ref().map(|tokens| tokens.place);
    let context_tokens = checker.number("the number of tokens", spec.context_tokens, 1_024..=100_000_000);
    let output_tokens = checker.number("the number of tokens", spec.output_tokens, 1..=100_000_000);
    if let (Some(context), Some(output), Some(place)) = (context_tokens, output_tokens, output_place)
        && output > context
    {
        checker.wrong(
            place,
            format!("an answer of {output} tokens does not fit"),
            format!("write at most {context}, the context"),
        );
    }
    let runtime_place = spec.runtime.place;
    let sandbox = spec.sandbox.map(|policy| policy::role_policy(checker, policy)).unwrap_or_default();
    let runtime = runtime(checker, spec.runtime, spec.command);
    let approvals = match spec.approvals {
        Some(spec) => approvals::approvals(checker, spec),
        None => Approvals { otherwise: ability::usual_approval(&sandbox), ..Approvals::default() },
    };
    let usual_health = ability::usual_health(&runtime);
    let upstream = upstream(checker, spec.upstream, place, upstreams);
    let spoken = upstream.as_ref().and_then(|name| upstreams.all.get(name)).is_none_or(Upstream::speaks_native);
    if runtime == Runtime::Native && !spoken {
        let fix = "name an upstream of another format, or run a program that speaks Gemini's with `runtime: acp`";
        checker.wrong(runtime_place, "our own agent does not speak the format of its upstream", fix);
    }
    Role {
        runtime,
        model: model(checker, spec.model),
        upstream,
        instructions: spec.instructions.map(|text| checker.text("the instructions", text)).unwrap_or_default(),
        count,
        workspace: workspace(checker, spec.workspace, sandbox.work),
        context_tokens,
        output_tokens,
        sandbox,
        fallback: Vec::new(),
        capabilities: ability::capabilities(checker, spec.capabilities),
        approvals,
        health: match spec.health {
            Some(health) => ability::health(checker, health),
            None => usual_health,
        },
    }
}

/// Roles by name, each once and none of them `own`.
pub(crate) fn named_roles(
    checker: &mut Checker,
    List(named): &List<NameText>,
    known: &[&str],
    own: Option<&str>,
) -> Vec<Name> {
    let mut roles: Vec<Name> = Vec::new();
    for At { value: NameText(text), place } in named {
        let Some(role) = known.iter().find(|name| *name == text).and_then(|name| Name::parse(name).ok()) else {
            checker.wrong(*place, format!("there is no role {}", quote(text)), instead_of(text, known.iter().copied()));
            continue;
        };
        if own == Some(text.as_str()) || roles.contains(&role) {
            checker.wrong(*place, format!("{} is named twice", quote(text)), "name it once");
            continue;
        }
        roles.push(role);
    }
    roles
}

/// What agents work in; a policy that shows no work leaves them an empty folder.
fn workspace(checker: &mut Checker, kind: Option<At<WorkspaceSpec>>, work: Option<Work>) -> WorkspaceKind {
    match (kind.map(|kind| (kind.value, kind.place)), work) {
        (Some((WorkspaceSpec::Clone, place)), Some(Work::None)) => {
            let fix = "remove one of the two";
            checker.wrong(place, "the role has a clone to work in, and its sandbox shows no work", fix);
            WorkspaceKind::Clone
        }
        (Some((WorkspaceSpec::Scratch, _)), _) | (None, Some(Work::None)) => WorkspaceKind::Scratch,
        (Some((WorkspaceSpec::Clone, _)) | None, _) => WorkspaceKind::Clone,
    }
}

fn runtime(checker: &mut Checker, runtime: At<RuntimeSpec>, command: Option<At<List<Text>>>) -> Runtime {
    let speaks = match runtime.value {
        RuntimeSpec::Native => {
            if let Some(command) = command {
                let fix = "remove `command`, or write `runtime: acp` to run a program of your own";
                checker.wrong(command.place, "runtime `native` is our own agent and takes no `command`", fix);
            }
            return Runtime::Native;
        }
        RuntimeSpec::Acp => Speaks::Acp,
        RuntimeSpec::Codex => Speaks::Codex,
        RuntimeSpec::Claude => Speaks::Claude,
        RuntimeSpec::Cursor => Speaks::Cursor,
        RuntimeSpec::Exec => Speaks::Exec,
    };
    match (command, speaks.usual_command()) {
        (Some(command), _) if !command.value.0.is_empty() => {
            let words = command.value.0.into_iter();
            let command = words.map(|word| checker.text("this part of the command", word)).collect();
            Runtime::Program { speaks, command }
        }
        (None, Some(usual)) => {
            Runtime::Program { speaks, command: usual.iter().map(|word| (*word).to_owned()).collect() }
        }
        (command, _) => {
            let place = command.map_or(runtime.place, |command| command.place);
            let what = match speaks {
                Speaks::Exec => {
                    "a program that is given the prompt, on its standard input or in place of the argument `{prompt}`"
                }
                _ => "a program that speaks the Agent Client Protocol on stdio",
            };
            let fix = format!("add `command: [PROGRAM, ARGUMENT, …]`, {what}");
            checker.wrong(place, format!("runtime `{}` needs a `command`", speaks.name()), fix);
            Runtime::Native
        }
    }
}

fn model(checker: &mut Checker, model: At<Text>) -> String {
    let At { value: Text(text), place } = model;
    let usable = !text.is_empty() && text.len() <= 256 && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let refused =
        || Wrong::new(format!("{} is not the name of a model", quote(&text)), "write it as the provider does");
    checker.take(place, usable.then(|| text.clone()).ok_or_else(refused), String::new())
}

/// The upstream that is named, or the only one.
fn upstream(checker: &mut Checker, named: Option<At<NameText>>, place: Place, upstreams: &Upstreams) -> Option<Name> {
    let all = || upstreams.all.keys().map(Name::as_str);
    let Some(named) = named else {
        if upstreams.all.len() > 1 && upstreams.usual.is_none() {
            let fix = format!("add `upstream: NAME`: {}", one_of(all()));
            checker.wrong(place, "this role does not say which upstream it uses", fix);
        }
        return upstreams.usual.clone().or_else(|| upstreams.all.keys().next().cloned());
    };
    let known = upstreams.all.keys().find(|name| name.as_str() == named.value.0);
    if known.is_none() {
        let what = format!("there is no upstream {}", quote(&named.value.0));
        checker.wrong(named.place, what, instead_of(&named.value.0, all()));
    }
    known.cloned()
}
