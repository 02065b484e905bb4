//! How the roles of a mission did before in the same repository: read from the journals of its last missions, for the choice of who gets a task.
//!
//! A role counts as the same when its name, its runtime and its model are. Nothing else of those missions is looked at.

use crate::{engine::Beginning, settings::Settings};
use mission::{AgentId, AttemptId, ChangeId, Fact, Failure, Past, Plan, RoleId, TaskId};
use std::collections::BTreeMap;
use store::{MissionRow, ReadError, Reader};

/// How many missions of a repository are looked at, the newest first.
const MISSIONS_MAX: usize = 20;

/// Notes in the plan how each of its roles did before.
pub(crate) fn note(plan: &mut Plan, settings: &Settings, repository: &str, reader: &Reader) -> Result<(), ReadError> {
    let rows = reader.missions()?;
    for row in rows.iter().rev().filter(|row| row.repository == repository).take(MISSIONS_MAX) {
        for ((role, kind), past) in of_mission(row, settings, reader)? {
            let Some(role) = plan.roles.iter_mut().find(|known| known.name == role) else { continue };
            let known = role.skills.past.entry(kind).or_default();
            known.done = known.done.saturating_add(past.done);
            known.failed = known.failed.saturating_add(past.failed);
        }
    }
    Ok(())
}

/// How the roles that are the same did in one mission, by name and kind of task.
fn of_mission(
    row: &MissionRow,
    settings: &Settings,
    reader: &Reader,
) -> Result<BTreeMap<(String, String), Past>, ReadError> {
    let then = serde_json::from_str::<Beginning>(&row.setup).ok();
    let then = then.and_then(|beginning| serde_json::from_str::<Settings>(&beginning.opening.settings).ok());
    // One whose beginning an older version wrote in another form says nothing.
    let Some(then) = then else { return Ok(BTreeMap::new()) };
    let same = |name: &str| {
        let both = then.roles.get(name).zip(settings.roles.get(name));
        both.is_some_and(|(then, now)| {
            (then.command.is_none(), then.speaks, &then.model) == (now.command.is_none(), now.speaks, &now.model)
        })
    };
    let mut count = Count::default();
    for recorded in reader.facts(&row.key, 0)?.decoded() {
        count.take(&recorded?.fact);
    }
    Ok(count.known.into_iter().filter(|((role, _), _)| same(role)).collect())
}

/// Counts how attempts ended.
#[derive(Default)]
struct Count {
    plan: Plan,
    roles: BTreeMap<AgentId, RoleId>,
    attempts: BTreeMap<AttemptId, (TaskId, AgentId)>,
    changes: BTreeMap<ChangeId, AttemptId>,
    known: BTreeMap<(String, String), Past>,
}

impl Count {
    fn take(&mut self, fact: &Fact) {
        match fact {
            Fact::Planned { plan } => {
                self.roles = plan.agents().map(|(agent, role, _)| (agent, role)).collect();
                self.plan = (**plan).clone();
            }
            Fact::Assigned { task, attempt, agent, .. } => drop(self.attempts.insert(*attempt, (*task, *agent))),
            Fact::ChangeQueued { change, attempt, .. } => drop(self.changes.insert(*change, *attempt)),
            Fact::Merged { change, .. } => {
                if let Some(attempt) = self.changes.get(change).copied() {
                    self.ended(attempt, true);
                }
            }
            Fact::TaskDone { attempt, .. } => self.ended(*attempt, true),
            Fact::AttemptFailed { reason: Failure::Closing | Failure::Infrastructure(_), .. } => {}
            // What would meet whoever tries says nothing of them.
            Fact::AttemptFailed { problem: Some(problem), .. } if problem.lasting => {}
            Fact::AttemptFailed { attempt, .. } => self.ended(*attempt, false),
            _ => {}
        }
    }

    fn ended(&mut self, attempt: AttemptId, done: bool) {
        let Some((task, agent)) = self.attempts.get(&attempt).copied() else { return };
        let role = self.roles.get(&agent).and_then(|role| self.plan.roles.get(role.0 as usize));
        let (Some(role), Some(task)) = (role, self.plan.tasks.get(task.0 as usize)) else { return };
        let past = self.known.entry((role.name.clone(), task.dispatch.profile.kind.clone())).or_default();
        *(if done { &mut past.done } else { &mut past.failed }) += 1;
    }
}
