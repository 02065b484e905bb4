//! The plan as the core has it: names become positions, and a task that several are to do becomes one for each.

use super::prices_known;
use crate::settings::Settings;
use api::{config, plan, value::Name};
use mission::{
    AgentId, Allowance, Check, Dispatch, Measure, Micros, Per, Plan, Profile, Role, RoleId, Scope, Size, Skills,
    TaskId, TaskSpec, Weights, Writes,
};
use std::collections::BTreeMap;

/// The plan as the core has it.
pub fn core_plan(plan: &plan::CheckedPlan) -> Plan {
    let roles: Vec<_> = plan.roles.iter().collect();
    let role_of = |name: &Name| roles.iter().position(|(known, _)| *known == name).unwrap_or(usize::MAX);
    let positions: BTreeMap<&str, u32> = plan.tasks.iter().zip(0..).map(|(task, at)| (task.id.as_str(), at)).collect();
    let task_of = |name: &Name| TaskId(positions.get(name.as_str()).copied().unwrap_or(u32::MAX));
    let role_id = |name: &Name| RoleId(role_of(name) as u32);
    let mut tasks: Vec<TaskSpec> = plan.tasks.iter().map(|task| spec(task, plan, &role_id, &task_of)).collect();
    // Rivals stand behind all others, so that the positions of the plan stay.
    for (index, task) in plan.tasks.iter().enumerate() {
        for number in 2..=task.best_of {
            let own = &tasks[index];
            let dispatch = Dispatch { rival_of: Some(TaskId(index as u32)), ..own.dispatch.clone() };
            let rival = TaskSpec { name: format!("{}.{number}", own.name), dispatch, ..own.clone() };
            tasks.push(rival);
        }
    }
    let agents: BTreeMap<(RoleId, u32), AgentId> = {
        let each =
            roles.iter().zip(0..).flat_map(|((_, role), id)| (1..=role.count).map(move |number| (RoleId(id), number)));
        each.zip(0..).map(|(key, id)| (key, AgentId(id))).collect()
    };
    let scope_of = |scope: &config::BudgetScope| match scope {
        config::BudgetScope::Mission => Scope::Mission,
        config::BudgetScope::Role(name) => Scope::Role(role_id(name)),
        config::BudgetScope::Agent(role, number) => {
            Scope::Agent(agents.get(&(role_id(role), *number)).copied().unwrap_or(AgentId(u32::MAX)))
        }
        config::BudgetScope::Task(name) => Scope::Task(task_of(name)),
    };
    Plan {
        allowances: plan.budget_limits.iter().map(|limit| allowance(limit, scope_of(&limit.scope))).collect(),
        tasks,
        roles: roles.iter().map(|(name, role)| core_role(name, role)).collect(),
        weights: weights(plan.weights),
    }
}

fn spec(
    task: &plan::Task,
    plan: &plan::CheckedPlan,
    role_id: &impl Fn(&Name) -> RoleId,
    task_of: &impl Fn(&Name) -> TaskId,
) -> TaskSpec {
    let plan::Profile { task_type, size, wants } = &task.profile;
    TaskSpec {
        name: task.id.to_string(),
        title: task.title.clone(),
        role: role_id(&task.role),
        instructions: task.instructions.clone(),
        depends_on: task.depends_on.iter().map(task_of).collect(),
        writes: match &task.writes {
            plan::Writes::Anything => Writes::Anything,
            plan::Writes::Nothing => Writes::Nothing,
            plan::Writes::Only(globs) => Writes::Only(globs.iter().map(ToString::to_string).collect()),
        },
        checks: task
            .checks
            .iter()
            .map(|check| Check { run: check.run.clone(), timeout_ms: check.timeout_ms })
            .collect(),
        may_change_nothing: task.may_change_nothing,
        attempts_max: task.attempts_max,
        budget: task.budget_micros.map(Micros),
        dispatch: Dispatch {
            also: task.fallback.iter().map(role_id).collect(),
            compete: task.compete,
            tries_per_role: plan.tries_per_role,
            needs: task.needs.clone(),
            profile: Profile {
                kind: task_type.clone(),
                size: match size {
                    config::TaskSize::Small => Size::Small,
                    config::TaskSize::Medium => Size::Medium,
                    config::TaskSize::Large => Size::Large,
                },
                wants: wants.clone(),
            },
            rival_of: None,
        },
    }
}

fn core_role(name: &Name, role: &config::Role) -> Role {
    Role {
        name: name.to_string(),
        count: role.count,
        instructions: if role.takes_rules() { String::new() } else { role.instructions.clone() },
        skills: Skills {
            capabilities: role.all_capabilities(),
            read_only: role.is_read_only(),
            unheld: role.unheld(),
            ..Skills::default()
        },
    }
}

fn weights(told: config::Weights) -> Weights {
    let usual = Weights::default();
    Weights {
        capability: told.capability.unwrap_or(usual.capability),
        health: told.health.unwrap_or(usual.health),
        budget: told.budget.unwrap_or(usual.budget),
        price: told.price.unwrap_or(usual.price),
        history: told.history.unwrap_or(usual.history),
    }
}

fn allowance(limit: &config::BudgetLimit, scope: Scope) -> Allowance {
    Allowance {
        scope,
        measure: match limit.measure {
            config::BudgetMeasure::Cost => Measure::Cost,
            config::BudgetMeasure::Tokens => Measure::Tokens,
            config::BudgetMeasure::Calls => Measure::Calls,
            config::BudgetMeasure::Time => Measure::Time,
        },
        most: limit.most,
        per: limit.per.map(|per| match per {
            config::BudgetWindow::Day => Per::Day,
            config::BudgetWindow::Millis(ms) => Per::Millis(ms),
        }),
    }
}

/// Whether a choice between roles is to be made anywhere in the plan, so that it is worth knowing more of them.
pub(crate) fn has_choice(plan: &Plan) -> bool {
    plan.tasks.iter().any(|task| !task.dispatch.also.is_empty())
}

/// Notes what the model of each role costs, as far as that is known.
pub(crate) fn note_prices(plan: &mut Plan, settings: &Settings, table: &gateway::Prices) {
    for role in &mut plan.roles {
        let model = settings.roles.get(&role.name).map(|role| role.model.as_str());
        role.skills.price = model.and_then(|model| prices_known(settings, table, model));
    }
}
