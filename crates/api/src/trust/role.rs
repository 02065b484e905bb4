//! What a role asks for.

use super::{
    Asker,
    config::{command, long, values},
    policy,
};
use crate::{
    config::{ApprovalRuleSpec, ApprovalsSpec, CheckedConfig, HealthSpec, RoleSpec, RuntimeSpec, WorkspaceSpec},
    policy::PolicySpec,
    source::{
        checker::quote,
        shape::{At, Entries, List, NameText, Text, WordOr},
    },
};

pub(super) fn role(asker: &mut Asker<'_>, name: &str, spec: &RoleSpec, own: &CheckedConfig) {
    let RoleSpec {
        runtime,
        command: words,
        model,
        upstream: _,
        instructions: _,
        count: _,
        fallback: _,
        capabilities: _,
        approvals,
        health,
        workspace,
        context_tokens,
        output_tokens,
        sandbox,
    } = spec;
    let name = quote(name);
    match runtime.value {
        // Our own agent, and programs that the person has installed under their usual names.
        RuntimeSpec::Native | RuntimeSpec::Codex | RuntimeSpec::Claude | RuntimeSpec::Cursor => {}
        RuntimeSpec::Acp | RuntimeSpec::Exec => {
            asker.ask("role.runtime", runtime.place, format!("{name}: its agents are a program of the file's choice"));
        }
    }
    if let Some(At { value: words, place }) = words {
        asker.ask("role.command", *place, format!("{name}: runs {} as its agent", command(words)));
    }
    match workspace.as_ref().map(|workspace| workspace.value) {
        None | Some(WorkspaceSpec::Clone | WorkspaceSpec::Scratch) => {}
    }
    let priced = is_priced(&model.value.0, own);
    for (key, tokens) in [("role.context_tokens", context_tokens), ("role.output_tokens", output_tokens)] {
        if let (Some(tokens), true) = (tokens, priced) {
            let what =
                format!("{name}: says how long a call of its model can be, which is how its worst price is known");
            asker.ask(key, tokens.place, what);
        }
    }
    if let Some(At { value: HealthSpec { command: words, url, interval: _, timeout: _ }, .. }) = health {
        if let Some(At { value: words, place }) = words {
            asker.ask("health.command", *place, format!("{name}: runs {} again and again", command(words)));
        }
        if let Some(At { value: Text(url), place }) = url {
            asker.ask("health.url", *place, format!("{name}: this machine asks {} again and again", long(url)));
        }
    }
    match sandbox.as_ref().map(|sandbox| &sandbox.value) {
        None | Some(WordOr::Word(_)) => {}
        Some(WordOr::Map(spec)) => policy::policy(asker, spec, policy::For::Role),
    }
    if asks_a_person(sandbox.as_ref()) {
        approve(asker, &name, approvals.as_ref());
    }
}

/// Whether a price is set for a model, by its name or one that an upstream has for it: how long a call can be is a part of that price.
fn is_priced(model: &str, own: &CheckedConfig) -> bool {
    let aliased = || own.upstreams.values().filter_map(|upstream| upstream.rules()?.aliases.get(model));
    own.prices.contains_key(model) || aliased().any(|model| own.prices.contains_key(model))
}

/// Whether a person is asked about requests when nothing is said: then to allow them is more than the usual.
fn asks_a_person(sandbox: Option<&At<WordOr<PolicySpec>>>) -> bool {
    let Some(WordOr::Map(spec)) = sandbox.map(|sandbox| &sandbox.value) else { return false };
    let shell = spec.permissions.as_ref().and_then(|permissions| permissions.value.shell_commands.as_ref());
    shell.is_some_and(|word| word.value.0 == "approved_only")
}

/// Whatever allows a request where a person would be asked.
fn approve(asker: &mut Asker<'_>, name: &str, approvals: Option<&At<WordOr<ApprovalsSpec>>>) {
    let allows = |word: &At<NameText>| word.value.0 == "allow";
    let what = format!("{name}: allows requests that a person would be asked about");
    match approvals.map(|approvals| (&approvals.value, approvals.place)) {
        None => {}
        Some((WordOr::Word(word), place)) if word == "allow" => asker.ask("role.approvals", place, what),
        Some((WordOr::Word(_), _)) => {}
        Some((WordOr::Map(ApprovalsSpec { otherwise, rules: List(rules) }), place)) => {
            // Left out, it is `allow`.
            if otherwise.as_ref().is_none_or(allows) {
                asker.ask("approvals.otherwise", place, what.clone());
            }
            for At { value: ApprovalRuleSpec { is: _, contains: _, answer }, place } in rules {
                if allows(answer) {
                    asker.ask("approvals.rules", *place, what.clone());
                }
            }
        }
    }
}

/// How many agents all roles of a file have together.
pub(super) fn agents(asker: &mut Asker<'_>, roles: &Entries<RoleSpec>, most: u64) {
    let counts = values(roles).map(|role| role.count.as_ref().map_or(1, |count| count.value.0));
    let all = counts.fold(0u64, u64::saturating_add);
    let largest = values(roles).filter_map(|role| role.count.as_ref()).max_by_key(|count| count.value.0);
    if let (true, Some(count)) = (all > most, largest) {
        asker.ask("role.count", count.place, format!("{all} agents at the same time, more than {most}"));
    }
}
