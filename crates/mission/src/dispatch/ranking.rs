//! The choice of a role for a task, with every candidate, its points and what speaks against it.
//!
//! Some reasons rule a role out for good (it lacks what the task needs, it cannot hold a boundary, its budget is used up); others only put it behind
//! those that have none, the lightest first. So a task always has somebody in the end, and the reasons say how it came to that.

use crate::{
    id::{At, RoleId, TaskId},
    plan::TaskSpec,
    spending::Stance,
    state::Mission,
};
use serde::{Deserialize, Serialize};

use super::{Past, Profile, health::State};

/// How the role was chosen: all that could have been, as they were at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// What is known of the task.
    pub profile: Profile,
    /// What whoever does it must be able to.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether they competed by points; otherwise their order counts.
    pub compete: bool,
    /// The roles in the order of preference.
    pub candidates: Vec<Candidate>,
}

/// One role that could have been chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Which role.
    pub role: RoleId,
    /// How many of its agents were free.
    pub free: u32,
    /// Its points of 100, by the weights of the plan.
    pub score: u32,
    /// What they are made of.
    pub points: Points,
    /// What speaks against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<Out>,
}

/// Points of 100 for each consideration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// The share of what is good to have for the task that they can do.
    pub capability: u32,
    /// 100 when nothing is wrong with them, 40 when they are degraded.
    pub health: u32,
    /// The share that is left of their tightest budget.
    pub budget: u32,
    /// The price of the cheapest candidate as a share of theirs; 50 when it is not known.
    pub price: u32,
    /// The share of their attempts at this kind of work that was accepted; 50 without any.
    pub history: u32,
}

/// What speaks against a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Out {
    /// It does not have a capability that the task needs.
    Lacks(String),
    /// It may change no files, and the task does.
    ReadOnly,
    /// Its runtime cannot hold a boundary that was asked for.
    Unheld(String),
    /// A budget of it is used up.
    UsedUp,
    /// What one of its agents met would meet it again.
    Stopped(String),
    /// It works, or has worked, on a rival of the task.
    Rival,
    /// So many of its attempts at the task have failed.
    Tried(u32),
    /// Its agent could not be started for the task.
    Unavailable,
    /// Its provider takes no calls for so many milliseconds.
    Limited {
        /// How long from then on.
        ms: u64,
    },
    /// It is blocked or down.
    Unwell {
        /// Which of the two.
        state: State,
        /// Why.
        reason: String,
        /// For how many milliseconds it has been.
        ms: u64,
    },
}

impl Out {
    /// How far behind the others it puts a role; nothing when it rules it out.
    fn weight(out: Option<&Out>) -> Option<u8> {
        match out {
            None => Some(0),
            Some(Out::Rival) => Some(1),
            Some(Out::Tried(_)) => Some(2),
            Some(Out::Limited { .. }) => Some(3),
            Some(Out::Unavailable | Out::Unwell { .. }) => Some(4),
            Some(Out::Lacks(_) | Out::ReadOnly | Out::Unheld(_) | Out::UsedUp | Out::Stopped(_)) => None,
        }
    }

    /// In words that follow the name of the role.
    pub fn tell(&self) -> String {
        match self {
            Out::Lacks(need) => format!("lacks `{need}`"),
            Out::ReadOnly => "may change no files".to_owned(),
            Out::Unheld(why) => format!("cannot hold its boundaries: {why}"),
            Out::UsedUp => "has used up its budget".to_owned(),
            Out::Stopped(why) => format!("cannot work: {why}"),
            Out::Rival => "is on the same task already".to_owned(),
            Out::Tried(1) => "has failed this task once".to_owned(),
            Out::Tried(times) => format!("has failed this task {times} times"),
            Out::Unavailable => "could not be started".to_owned(),
            Out::Limited { ms } => format!("must wait for its provider, {} more", duration(*ms)),
            Out::Unwell { state, reason, ms } => {
                let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                format!("has been {} for {}{reason}", state.word(), duration(*ms))
            }
        }
    }
}

fn duration(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

impl Mission {
    /// The role that a task is given to now; nothing while it waits for one that is busy. The ranking is there when there was a choice.
    pub(crate) fn choose_role(&self, now: At, id: TaskId) -> Option<(RoleId, Option<Box<Ranking>>)> {
        let task = self.plan.tasks.get(id.index())?;
        let free = |role: RoleId| self.idle.get(role.index()).map_or(0, |idle| idle.len() as u32);
        if task.dispatch.also.is_empty() && self.plan.unfit(task, task.role).is_none() {
            return (free(task.role) > 0).then_some((task.role, None));
        }
        let outs: Vec<Option<Out>> = task.candidates().map(|role| self.speaks_against(now, id, task, role)).collect();
        let best = outs.iter().filter_map(|out| Out::weight(out.as_ref())).min()?;
        let candidates = self.candidates(task, outs, free);
        let fit = candidates.iter().filter(|known| Out::weight(known.out.as_ref()) == Some(best));
        let chosen = if task.dispatch.compete {
            // Of equals the first.
            fit.filter(|known| known.free > 0).rev().max_by_key(|known| known.score)?
        } else {
            fit.take(1).find(|known| known.free > 0)?
        };
        let (profile, needs) = (task.dispatch.profile.clone(), task.dispatch.needs.clone());
        let role = chosen.role;
        Some((role, Some(Box::new(Ranking { profile, needs, compete: task.dispatch.compete, candidates }))))
    }

    /// What speaks against a role, the weightiest of it.
    fn speaks_against(&self, now: At, id: TaskId, task: &TaskSpec, role: RoleId) -> Option<Out> {
        if let Some(unfit) = self.plan.unfit(task, role) {
            return Some(unfit);
        }
        if let Some(stopped) = self.stopped.get(&role) {
            return Some(Out::Stopped(stopped.problem.tell()));
        }
        if self.is_barred(role) || self.role_stances(role).any(|stance| stance != Stance::Open) {
            return Some(Out::UsedUp);
        }
        let health = self.health.get(role.index()).filter(|health| !health.state.can_work());
        if let Some(health) = health {
            let ms = now.0.saturating_sub(health.since.0);
            return Some(Out::Unwell { state: health.state, reason: health.reason.clone(), ms });
        }
        let limited = self.limited.get(&role).and_then(|attempts| attempts.values().max());
        if let Some(until) = limited.filter(|until| **until > now) {
            return Some(Out::Limited { ms: until.0 - now.0 });
        }
        let entry = self.tasks.get(id.index())?;
        if entry.unavailable.contains(&role) {
            return Some(Out::Unavailable);
        }
        let failed = entry.failed_by.get(&role).copied().unwrap_or_default();
        if failed >= task.dispatch.tries_per_role {
            return Some(Out::Tried(failed));
        }
        self.works_on_rival(id, role).then_some(Out::Rival)
    }

    fn candidates(&self, task: &TaskSpec, outs: Vec<Option<Out>>, free: impl Fn(RoleId) -> u32) -> Vec<Candidate> {
        let price = |role: RoleId| self.plan.roles.get(role.index()).and_then(|role| role.skills.price);
        let cheapest = task.candidates().filter_map(price).min();
        let ranked = task.candidates().zip(outs).map(|(role, out)| {
            let points = Points {
                capability: self.capability_points(task, role),
                health: match self.health.get(role.index()).map(|health| health.state) {
                    None | Some(State::Active) => 100,
                    Some(State::Degraded) => 40,
                    Some(State::Blocked | State::Down) => 0,
                },
                budget: self.budget_points(role),
                price: match (price(role), cheapest) {
                    (Some(0), _) => 100,
                    (Some(price), Some(cheapest)) => share(cheapest, price),
                    _ => 50,
                },
                history: self.history_points(task, role),
            };
            Candidate { role, free: free(role), score: self.weighed(points), points, out }
        });
        ranked.collect()
    }

    fn capability_points(&self, task: &TaskSpec, role: RoleId) -> u32 {
        let wants = &task.dispatch.profile.wants;
        let known = self.plan.roles.get(role.index()).map(|role| &role.skills.capabilities);
        let has = wants.iter().filter(|want| known.is_some_and(|known| known.contains(want))).count();
        if wants.is_empty() { 100 } else { share(has as u64, wants.len() as u64) }
    }

    fn budget_points(&self, role: RoleId) -> u32 {
        self.role_rooms(role).map(|(left, most)| share(left, most)).min().unwrap_or(100)
    }

    /// What was accepted of what was tried, before and in this mission, as if there had been one of each more: few attempts say little.
    fn history_points(&self, task: &TaskSpec, role: RoleId) -> u32 {
        let before =
            self.plan.roles.get(role.index()).and_then(|role| role.skills.past.get(&task.dispatch.profile.kind));
        let before = before.copied().unwrap_or_default();
        let here = self.record.get(&(role, task.dispatch.profile.kind.clone())).copied().unwrap_or_default();
        let done = u64::from(before.done) + u64::from(here.done);
        let failed = u64::from(before.failed) + u64::from(here.failed);
        share(done + 1, done + failed + 2)
    }

    fn weighed(&self, points: Points) -> u32 {
        let weights = self.plan.weights;
        let parts = [
            (points.capability, weights.capability),
            (points.health, weights.health),
            (points.budget, weights.budget),
            (points.price, weights.price),
            (points.history, weights.history),
        ];
        let all: u64 = parts.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let sum: u64 = parts.iter().map(|(points, weight)| u64::from(*points) * u64::from(*weight)).sum();
        (sum / all.max(1)) as u32
    }

    /// An attempt of a role at a task has ended.
    pub(crate) fn count_attempt(&mut self, role: RoleId, task: TaskId, done: bool) {
        let kind = self.plan.tasks.get(task.index()).map(|task| task.dispatch.profile.kind.clone()).unwrap_or_default();
        let Past { done: good, failed } = self.record.entry((role, kind)).or_default();
        *(if done { good } else { failed }) += 1;
    }
}

/// A part of a whole in percent, at most 100.
fn share(part: u64, whole: u64) -> u32 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    percent.min(100) as u32
}
