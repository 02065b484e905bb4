//! What may be spent: the mission's dollars, and limits on dollars, tokens, calls and time for a role, an agent or a task, over all or in a window.

use crate::{
    config::Role,
    source::{
        Place,
        checker::{Checker, Wrong, quote},
        shape::{At, DurationText, List, NameText, Text, UsdText, Whole},
        suggest::instead_of,
    },
    value::Name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most limits in one file.
pub const BUDGET_LIMITS_MAX: usize = 512;

/// Most tokens or calls that a limit may name.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// How much of something may be used beside the mission's dollars.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct BudgetLimit {
    /// Whose use counts.
    pub scope: BudgetScope,
    /// What is counted.
    pub measure: BudgetMeasure,
    /// Micro-dollars, tokens, calls or milliseconds; more than zero.
    pub most: u64,
    /// When counting begins anew; never when nothing is set.
    pub per: Option<BudgetWindow>,
}

/// Whose use counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// Everybody's.
    Mission,
    /// That of the agents of a role.
    Role(Name),
    /// That of one agent: the role and its number, from 1.
    Agent(Name, u32),
    /// Whatever is used for a task.
    Task(Name),
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetMeasure {
    /// Money.
    Cost,
    /// Input and output tokens together.
    Tokens,
    /// Model calls.
    Calls,
    /// Wall time in which a turn is on.
    Time,
}

/// When counting begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetWindow {
    /// With every day in UTC.
    Day,
    /// So many milliseconds after the first use.
    Millis(u64),
}

/// What one mission may spend.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetSpec {
    /// US dollars in decimal, at most six decimals.
    pub(crate) usd: Option<At<UsdText>>,
    /// The share of any budget, in percent, at which you are warned; 80 when left out.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    pub(crate) warn_percent: Option<At<Whole>>,
    /// What a role or an agent may use beside that, or everybody in a window.
    #[serde(default)]
    #[schemars(extend("maxItems" = BUDGET_LIMITS_MAX))]
    pub(crate) limits: List<BudgetLimitSpec>,
}

/// What the tasks of a plan may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanBudgetSpec {
    /// What a task, a role or an agent may use, or everybody in a window.
    #[serde(default)]
    #[schemars(extend("maxItems" = BUDGET_LIMITS_MAX))]
    pub(crate) limits: List<BudgetLimitSpec>,
}

/// One limit: of exactly one of `usd`, `tokens`, `calls` and `time`; for everybody unless `role`, `agent` or `task` says for whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["usd"]}, {"required": ["tokens"]}, {"required": ["calls"]}, {"required": ["time"]}]))]
pub(crate) struct BudgetLimitSpec {
    /// The role whose agents it holds for, together.
    pub(crate) role: Option<At<NameText>>,
    /// The agent that it holds for, such as `builder-1`.
    pub(crate) agent: Option<At<NameText>>,
    /// The task that it holds for, in all its attempts; in plans only.
    pub(crate) task: Option<At<NameText>>,
    /// US dollars in decimal.
    pub(crate) usd: Option<At<UsdText>>,
    /// Tokens of model calls, input (cached or not) and output together.
    #[schemars(extend("minimum" = 1))]
    pub(crate) tokens: Option<At<Whole>>,
    /// Model calls.
    #[schemars(extend("minimum" = 1))]
    pub(crate) calls: Option<At<Whole>>,
    /// Wall time in which at least one turn is on, for example `2h`.
    pub(crate) time: Option<At<DurationText>>,
    /// When counting begins anew: `day` (in UTC), or a time such as `5h` after the first use, as subscriptions count.
    pub(crate) per: Option<At<Text>>,
}

/// Where limits stand: what they may be about.
pub(crate) struct Subjects<'a> {
    pub(crate) roles: &'a BTreeMap<Name, Role>,
    /// The tasks of the plan; nothing in a configuration, which has none.
    pub(crate) tasks: Option<BTreeSet<&'a str>>,
}

pub(crate) fn limits(
    checker: &mut Checker,
    List(specs): List<BudgetLimitSpec>,
    subjects: &Subjects<'_>,
) -> Vec<BudgetLimit> {
    if let Some(first) = specs.get(BUDGET_LIMITS_MAX) {
        checker.wrong(first.place, format!("there are {} limits", specs.len()), format!("keep {BUDGET_LIMITS_MAX}"));
    }
    let mut seen = BTreeMap::new();
    let mut limits = Vec::new();
    for At { value: spec, place } in specs {
        let Some(limit) = limit(checker, spec, place, subjects) else { continue };
        let key = (limit.scope.clone(), limit.measure, limit.per);
        if let Some(before) = seen.insert(key, place.line) {
            checker.wrong(
                place,
                "this limits the same as another entry",
                format!("keep one; the first stands in line {before}"),
            );
        }
        limits.push(limit);
    }
    limits
}

/// The limits of two files, where those of the second take the place of those of the first that are for the same.
pub(crate) fn over(first: &[BudgetLimit], second: Vec<BudgetLimit>) -> Vec<BudgetLimit> {
    let same = |a: &BudgetLimit, b: &BudgetLimit| (&a.scope, a.measure, a.per) == (&b.scope, b.measure, b.per);
    let kept = first.iter().filter(|limit| !second.iter().any(|own| same(own, limit))).cloned();
    kept.chain(second.iter().cloned()).collect()
}

fn limit(checker: &mut Checker, spec: BudgetLimitSpec, place: Place, subjects: &Subjects<'_>) -> Option<BudgetLimit> {
    let per = spec.per.and_then(|per| window(checker, per));
    let amounts = [
        spec.usd.map(|usd| (BudgetMeasure::Cost, usd.place, checker.usd(usd))),
        spec.tokens.map(|tokens| (BudgetMeasure::Tokens, tokens.place, tokens.value.0)),
        spec.calls.map(|calls| (BudgetMeasure::Calls, calls.place, calls.value.0)),
        spec.time.map(|time| (BudgetMeasure::Time, time.place, checker.duration(time))),
    ];
    let mut amounts = amounts.into_iter().flatten();
    let Some((measure, at, most)) = amounts.next() else {
        checker.wrong(place, "this limits nothing", "add one of `usd`, `tokens`, `calls` and `time`");
        return None;
    };
    if let Some((_, at, _)) = amounts.next() {
        checker.wrong(at, "one entry limits one thing", "make it two entries");
    }
    if most == 0 || most > COUNT_MAX.max(crate::value::USD_MICROS_MAX) {
        checker.wrong(at, format!("the limit is {most}"), format!("write a number from 1 to {COUNT_MAX}"));
    }
    let scopes = [
        spec.role.map(|name| (name.place, role(checker, name, subjects))),
        spec.agent.map(|name| (name.place, agent(checker, name, subjects))),
        spec.task.map(|name| (name.place, task(checker, name, subjects))),
    ];
    let mut scopes = scopes.into_iter().flatten();
    let scope = scopes.next().map_or(Some(BudgetScope::Mission), |(_, scope)| scope)?;
    if let Some((at, _)) = scopes.next() {
        checker.wrong(at, "one entry is for one role, agent or task", "make it two entries");
    }
    Some(BudgetLimit { scope, measure, most, per })
}

fn window(checker: &mut Checker, per: At<Text>) -> Option<BudgetWindow> {
    let At { value: Text(text), place } = per;
    if text == "day" {
        return Some(BudgetWindow::Day);
    }
    let wrong =
        |_| Wrong::new(format!("{} is not a window", quote(&text)), "write `day`, or a time such as `5h` or `168h`");
    checker.take(place, crate::value::duration_ms(&text).map(|ms| Some(BudgetWindow::Millis(ms))).map_err(wrong), None)
}

fn role(checker: &mut Checker, named: At<NameText>, subjects: &Subjects<'_>) -> Option<BudgetScope> {
    let At { value: NameText(text), place } = named;
    match subjects.roles.keys().find(|name| name.as_str() == text) {
        Some(name) => Some(BudgetScope::Role(name.clone())),
        None => {
            let fix = instead_of(&text, subjects.roles.keys().map(Name::as_str));
            checker.wrong(place, format!("there is no role {}", quote(&text)), fix);
            None
        }
    }
}

fn agent(checker: &mut Checker, named: At<NameText>, subjects: &Subjects<'_>) -> Option<BudgetScope> {
    let At { value: NameText(text), place } = named;
    let known = text.rsplit_once('-').and_then(|(role, number)| {
        let (name, role) = subjects.roles.iter().find(|(name, _)| name.as_str() == role)?;
        let number: u32 = number.parse().ok()?;
        (1..=role.count).contains(&number).then(|| BudgetScope::Agent(name.clone(), number))
    });
    if known.is_none() {
        let all = subjects
            .roles
            .iter()
            .flat_map(|(name, role)| (1..=role.count).map(move |number| format!("{name}-{number}")));
        let all: Vec<String> = all.collect();
        let fix = instead_of(&text, all.iter().map(String::as_str));
        checker.wrong(place, format!("there is no agent {}", quote(&text)), fix);
    }
    known
}

fn task(checker: &mut Checker, named: At<NameText>, subjects: &Subjects<'_>) -> Option<BudgetScope> {
    let At { value: NameText(text), place } = named;
    let Some(tasks) = &subjects.tasks else {
        checker.wrong(place, "a configuration has no tasks", "put this limit under `budget` in the plan");
        return None;
    };
    match tasks.contains(text.as_str()) {
        true => Name::parse(&text).ok().map(BudgetScope::Task),
        false => {
            let fix = instead_of(&text, tasks.iter().copied());
            checker.wrong(place, format!("there is no task {}", quote(&text)), fix);
            None
        }
    }
}
