//! What a `muster.yaml` asks for.

use super::{AGENTS_UNASKED, Asker, policy, role};
use crate::{
    config::{
        BudgetLimit, BudgetLimitSpec, BudgetMeasure, BudgetScope, BudgetSpec, BudgetWindow, CheckedConfig, ConfigFile,
        DispatchRuleSpec, DispatchSpec, Limits, LimitsSpec, Outgoing, PriceSpec, SecretsSpec, TimeoutsSpec,
        UpstreamSpec, WeightsSpec,
    },
    policy::CheckedPolicy,
    source::{
        Place,
        checker::quote,
        shape::{At, DurationText, Entries, List, Text, Whole},
    },
    value::{duration_ms, usd_micros},
};
use std::path::PathBuf;

/// The share of a budget at which people are warned when nothing is said.
const WARN_PERCENT_USUAL: u64 = 80;
/// How often a change may come back within one attempt when nothing is said, the same as the core's own.
const RETURNS_USUAL: u64 = 3;
/// How long one turn may take when nothing is said, the same as the core's own.
const TURN_MS_USUAL: u64 = 30 * 60_000;
/// How long a question waits when nothing is said, the same as the core's own.
const ANSWER_MS_USUAL: u64 = 24 * 3_600_000;

pub(super) fn config(asker: &mut Asker<'_>, file: &ConfigFile, own: &CheckedConfig) {
    let ConfigFile { version: _, upstreams, roles, budget, limits, dispatch, prices, checks, record: _, secrets } =
        file;
    for (name, spec) in &upstreams.0 {
        if own.upstreams.keys().any(|known| known.as_str() == name.value) {
            asker.ask("upstreams", name.place, format!("replaces your own upstream {}", quote(&name.value)));
        }
        upstream(asker, &name.value, &spec.value);
    }
    for (name, spec) in &roles.0 {
        if own.roles.keys().any(|known| known.as_str() == name.value) {
            asker.ask("roles", name.place, format!("replaces your own role {}", quote(&name.value)));
        }
        role::role(asker, &name.value, &spec.value, own);
    }
    role::agents(asker, roles, AGENTS_UNASKED);
    if let Some(BudgetSpec { usd, warn_percent, limits }) = budget {
        if let (Some(usd), Some(own)) = (usd, own.budget_micros)
            && usd_micros(&usd.value.0).unwrap_or(u64::MAX) > own
        {
            asker.ask("budget.usd", usd.place, format!("a budget of ${}, more than your own", cut(&usd.value.0)));
        }
        let bound = own.budget_warn_percent.map_or(WARN_PERCENT_USUAL, u64::from);
        more(asker, "budget.warn_percent", warn_percent.as_ref(), bound, "a warning only at", "percent");
        budget_limits(asker, limits, &own.budget_limits);
    }
    if let Some(spec) = limits {
        bounds(asker, spec, &own.limits);
    }
    if let Some(spec) = dispatch {
        harmless_dispatch(spec);
    }
    for (model, At { value: PriceSpec { input: _, output: _, cache_read: _, cache_write: _ }, .. }) in &prices.0 {
        asker.ask("prices", model.place, format!("says itself what {} costs", quote(&model.value)));
    }
    if let Some(spec) = checks {
        if own.checks != CheckedPolicy::default() {
            asker.ask("checks", Place::default(), "sets your own `checks` aside");
        }
        policy::policy(asker, spec, policy::For::Checks);
    }
    if let Some(SecretsSpec { mask: _, outgoing: Some(outgoing) }) = secrets
        && openness(outgoing.value) > openness(own.secrets.outgoing)
    {
        let what = match outgoing.value {
            Outgoing::Allow => "sends secrets in requests to models as they are",
            Outgoing::Mask | Outgoing::Refuse => "sends calls that hold a secret, which your own configuration refuses",
        };
        asker.ask("secrets.outgoing", outgoing.place, what);
    }
}

fn openness(outgoing: Outgoing) -> u8 {
    match outgoing {
        Outgoing::Refuse => 0,
        Outgoing::Mask => 1,
        Outgoing::Allow => 2,
    }
}

fn upstream(asker: &mut Asker<'_>, name: &str, spec: &UpstreamSpec) {
    let UpstreamSpec {
        format: _,
        kind: _,
        base_url,
        key_env,
        key_file,
        key_command,
        pass_through,
        scripted,
        replay,
        models: _,
        aliases: _,
        fallback: _,
        retries: _,
        retry_wait: _,
        concurrency: _,
        requests_per_minute: _,
        timeouts,
    } = spec;
    let name = quote(name);
    if let Some(At { value: Text(url), place }) = base_url {
        asker.ask("upstream.base_url", *place, format!("{name}: models are asked at {}", long(url)));
    }
    if let Some(At { value: Text(variable), place }) = key_env {
        let what = format!("{name}: sends the value of your variable {} there as its key", long(variable));
        asker.ask("upstream.key_env", *place, what);
    }
    if let Some(At { value: Text(file), place }) = key_file {
        let what = format!("{name}: sends what stands in your file {} there as its key", long(file));
        asker.ask("upstream.key_file", *place, what);
    }
    if let Some(At { value: words, place }) = key_command {
        let what = format!("{name}: runs {} outside any sandbox, for its key", command(words));
        asker.ask("upstream.key_command", *place, what);
    }
    if let Some(At { value: true, place }) = pass_through {
        asker.ask("upstream.pass_through", *place, format!("{name}: is shown your agent's own credential"));
    }
    if let Some(At { value: Text(file), place }) = scripted {
        let what = format!("{name}: reads answers from {}, outside the repository", long(file));
        // As the configuration takes it, which leaves spaces at the end out.
        asker.ask_outside("upstream.scripted", *place, what, PathBuf::from(file.trim_end()));
    }
    if let Some(At { value: Text(text), place }) = replay {
        let what = format!("{name}: answers from the recorded calls of {}", long(text));
        match text.contains('/') {
            true => asker.ask_outside("upstream.replay", *place, what, PathBuf::from(text.trim_end())),
            false => asker.ask("upstream.replay", *place, what),
        }
    }
    if let Some(TimeoutsSpec { connect: _, first_byte: _, silence: _ }) = timeouts {}
}

/// What bounds a mission: more than what holds already is asked for.
fn bounds(asker: &mut Asker<'_>, spec: &LimitsSpec, own: &Limits) {
    let LimitsSpec { attempts_max, check_timeout, turn_timeout, silence_timeout, answer_timeout, returns_max } = spec;
    let attempts = u64::from(own.attempts_max);
    more(asker, "limits.attempts_max", attempts_max.as_ref(), attempts, "a task is tried", "times");
    longer(asker, "limits.check_timeout", check_timeout.as_ref(), own.check_ms_max, "a check may take");
    longer(
        asker,
        "limits.turn_timeout",
        turn_timeout.as_ref(),
        own.turn_ms_max.unwrap_or(TURN_MS_USUAL),
        "a turn may take",
    );
    longer(
        asker,
        "limits.silence_timeout",
        silence_timeout.as_ref(),
        own.silence_ms_max.unwrap_or(u64::MAX),
        "an agent may be silent for",
    );
    longer(
        asker,
        "limits.answer_timeout",
        answer_timeout.as_ref(),
        own.interrupt_ms.unwrap_or(ANSWER_MS_USUAL),
        "a question waits",
    );
    let returns = own.returns_max.map_or(RETURNS_USUAL, u64::from);
    more(asker, "limits.returns_max", returns_max.as_ref(), returns, "a change may come back", "times");
}

/// A number above what holds already.
pub(super) fn more(
    asker: &mut Asker<'_>,
    key: &'static str,
    number: Option<&At<Whole>>,
    bound: u64,
    what: &str,
    of: &str,
) {
    if let Some(At { value: Whole(number), place }) = number
        && *number > bound
    {
        asker.ask(key, *place, format!("{what} {number} {of}, more than {bound}"));
    }
}

/// A time above what holds already; one that is none is not shorter.
pub(super) fn longer(
    asker: &mut Asker<'_>,
    key: &'static str,
    text: Option<&At<DurationText>>,
    bound_ms: u64,
    what: &str,
) {
    if let Some(At { value: DurationText(text), place }) = text
        && duration_ms(text).unwrap_or(u64::MAX) > bound_ms
    {
        asker.ask(key, *place, format!("{what} {}, longer than what holds already", cut(text)));
    }
}

/// Limits that would take the place of smaller ones.
pub(super) fn budget_limits(asker: &mut Asker<'_>, List(specs): &List<BudgetLimitSpec>, own: &[BudgetLimit]) {
    for At { value: spec, place } in specs {
        let BudgetLimitSpec { role, agent, task, usd, tokens, calls, time, per } = spec;
        let same_scope = |limit: &BudgetLimit| match &limit.scope {
            BudgetScope::Mission => role.is_none() && agent.is_none() && task.is_none(),
            BudgetScope::Role(name) => role.as_ref().is_some_and(|text| text.value.0 == name.as_str()),
            BudgetScope::Agent(name, number) => {
                agent.as_ref().is_some_and(|text| text.value.0 == format!("{name}-{number}"))
            }
            BudgetScope::Task(name) => task.as_ref().is_some_and(|text| text.value.0 == name.as_str()),
        };
        let same_window = |limit: &BudgetLimit| match (limit.per, per.as_ref().map(|per| per.value.0.as_str())) {
            (None, None) => true,
            (Some(BudgetWindow::Day), Some("day")) => true,
            (Some(BudgetWindow::Millis(ms)), Some(text)) => duration_ms(text) == Ok(ms),
            _ => false,
        };
        let most = |measure| match measure {
            BudgetMeasure::Cost => usd.as_ref().and_then(|usd| usd_micros(&usd.value.0).ok()),
            BudgetMeasure::Tokens => tokens.as_ref().map(|tokens| tokens.value.0),
            BudgetMeasure::Calls => calls.as_ref().map(|calls| calls.value.0),
            BudgetMeasure::Time => time.as_ref().and_then(|time| duration_ms(&time.value.0).ok()),
        };
        let held = own.iter().filter(|limit| same_scope(limit) && same_window(limit));
        if held.into_iter().any(|limit| most(limit.measure).is_some_and(|most| most > limit.most)) {
            asker.ask("budget.limits", *place, "a limit in place of a smaller one that holds already");
        }
    }
}

/// Who gets which task is no more than a choice among what there is; taken apart so that a new key is decided on.
fn harmless_dispatch(spec: &DispatchSpec) {
    let DispatchSpec { weights, tries_per_role: _, rules: List(rules) } = spec;
    if let Some(WeightsSpec { capability: _, health: _, budget: _, price: _, history: _ }) = weights {}
    for At { value, .. } in rules {
        let DispatchRuleSpec {
            words: _,
            paths: _,
            text: _,
            words_min: _,
            paths_min: _,
            task_type: _,
            size: _,
            wants: _,
        } = value;
    }
}

/// A command, word by word, so that what is run can be read.
pub(super) fn command(List(words): &List<Text>) -> String {
    let words: Vec<String> = words.iter().take(32).map(|word| long(&word.value.0)).collect();
    format!("[{}]", words.join(", "))
}

/// Something that a person has to read in full before they trust it: escaped, and cut only where nobody reads on.
pub(super) fn long(text: &str) -> String {
    const SHOWN: usize = 300;
    let shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    let rest = text.chars().count().saturating_sub(SHOWN);
    if rest > 0 { format!("`{shown}…` and {rest} characters more") } else { format!("`{shown}`") }
}

fn cut(text: &str) -> String {
    text.chars().take(24).flat_map(char::escape_debug).collect()
}

/// The names of a map, for whoever counts them.
pub(super) fn values<T>(entries: &Entries<T>) -> impl Iterator<Item = &T> {
    entries.0.iter().map(|(_, spec)| &spec.value)
}
