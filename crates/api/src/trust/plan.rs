//! What a plan asks for.

use super::{
    AGENTS_UNASKED, Asker,
    config::{budget_limits, longer, more},
    role,
};
use crate::{
    config::{CheckedConfig, PlanBudgetSpec},
    plan::{CheckSpec, PlanFile, TaskSpec},
    source::{
        checker::quote,
        shape::{At, List},
    },
};

pub(super) fn plan(asker: &mut Asker<'_>, file: &PlanFile, config: &CheckedConfig) {
    let PlanFile { version: _, goal: _, roles, budget, tasks } = file;
    for (name, spec) in &roles.0 {
        if config.roles.keys().any(|known| known.as_str() == name.value) {
            asker.ask(
                "plan.roles",
                name.place,
                format!("replaces the role {} of the configuration", quote(&name.value)),
            );
        }
        role::role(asker, &name.value, &spec.value, config);
    }
    role::agents(asker, roles, AGENTS_UNASKED);
    if let Some(PlanBudgetSpec { limits }) = budget {
        budget_limits(asker, limits, &config.budget_limits);
    }
    for At { value: spec, .. } in &tasks.value.0 {
        task(asker, spec, config);
    }
}

fn task(asker: &mut Asker<'_>, spec: &TaskSpec, config: &CheckedConfig) {
    let TaskSpec {
        id: _,
        title: _,
        role: _,
        fallback: _,
        needs: _,
        task_type: _,
        best_of: _,
        instructions: _,
        depends_on: _,
        writes: _,
        checks: List(checks),
        attempts_max,
        may_change_nothing: _,
        budget_usd: _,
    } = spec;
    let attempts = u64::from(config.limits.attempts_max);
    more(asker, "task.attempts_max", attempts_max.as_ref(), attempts, "a task is tried", "times");
    for At { value: CheckSpec { run: _, timeout }, .. } in checks {
        longer(asker, "check.timeout", timeout.as_ref(), config.limits.check_ms_max, "a check may take");
    }
}
