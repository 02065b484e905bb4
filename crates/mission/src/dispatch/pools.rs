//! The agenda of what can be given out: tasks that the same roles may do wait in one pool, so that no decision looks through all tasks.

use crate::{
    id::{RoleId, TaskId},
    plan::Plan,
    state::Mission,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many tasks of a pool are looked at for one that somebody free may have. Those behind them wait until one of these is given out.
const LOOK_MAX: usize = 64;

/// Tasks that are ready, by the roles that may do them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pools {
    /// The roles of each pool; the first pools are the single roles, in their order.
    roles: Vec<Vec<RoleId>>,
    of_task: Vec<usize>,
    of_role: Vec<Vec<usize>>,
    ready: Vec<BTreeSet<(u64, TaskId)>>,
    since: BTreeMap<TaskId, u64>,
    /// Pools that have both a task and somebody free.
    assignable: BTreeSet<usize>,
}

impl Pools {
    pub(crate) fn of(plan: &Plan) -> Pools {
        let mut roles: Vec<Vec<RoleId>> = (0..plan.roles.len() as u32).map(|role| vec![RoleId(role)]).collect();
        let mut known: BTreeMap<Vec<RoleId>, usize> = roles.iter().cloned().zip(0..).collect();
        let mut of_task = Vec::with_capacity(plan.tasks.len());
        for task in &plan.tasks {
            let mut key: Vec<RoleId> = task.candidates().collect();
            key.sort_unstable();
            let next = roles.len();
            let pool = *known.entry(key.clone()).or_insert(next);
            if pool == next {
                roles.push(key);
            }
            of_task.push(pool);
        }
        let mut of_role = vec![Vec::new(); plan.roles.len()];
        for (pool, members) in roles.iter().enumerate() {
            members
                .iter()
                .filter_map(|role| of_role.get_mut(role.index()).map(|pools: &mut Vec<_>| pools.push(pool)))
                .count();
        }
        let ready = vec![BTreeSet::new(); roles.len()];
        Pools { roles, of_task, of_role, ready, since: BTreeMap::new(), assignable: BTreeSet::new() }
    }

    /// The tasks at the head of each pool that has somebody free, oldest first.
    pub(crate) fn due(&self) -> impl Iterator<Item = TaskId> + '_ {
        let heads = self.assignable.iter().filter_map(|pool| self.ready.get(*pool));
        heads.flat_map(|ready| ready.iter().take(LOOK_MAX)).map(|(_, task)| *task)
    }
}

impl Mission {
    /// The task waits for somebody, since the `since`th time that one did.
    pub(crate) fn enter_pool(&mut self, task: TaskId, since: u64) {
        let Some(pool) = self.pools.of_task.get(task.index()).copied() else { return };
        self.pools.since.insert(task, since);
        if let Some(ready) = self.pools.ready.get_mut(pool) {
            ready.insert((since, task));
        }
        self.refresh_pool(pool);
    }

    /// Tasks that are ready and that a role may do, the first of each pool.
    pub(crate) fn ready_for(&self, role: RoleId) -> impl Iterator<Item = TaskId> + '_ {
        let pools = self.pools.of_role.get(role.index()).into_iter().flatten();
        let ready = pools.filter_map(|pool| self.pools.ready.get(*pool));
        ready.flat_map(|ready| ready.iter().take(LOOK_MAX)).map(|(_, task)| *task)
    }

    pub(crate) fn leave_pool(&mut self, task: TaskId) {
        let Some(since) = self.pools.since.remove(&task) else { return };
        let Some(pool) = self.pools.of_task.get(task.index()).copied() else { return };
        if let Some(ready) = self.pools.ready.get_mut(pool) {
            ready.remove(&(since, task));
        }
        self.refresh_pool(pool);
    }

    /// Keeps the pools of a role, after who is free in it or whether anybody may work for it changed.
    pub(crate) fn refresh_role(&mut self, role: RoleId) {
        let pools = self.pools.of_role.get(role.index()).map_or(0, Vec::len);
        for at in 0..pools {
            let pool = self.pools.of_role[role.index()][at];
            self.refresh_pool(pool);
        }
    }

    fn refresh_pool(&mut self, pool: usize) {
        let waits = self.pools.ready.get(pool).is_some_and(|ready| !ready.is_empty());
        let free = |role: &RoleId| self.idle.get(role.index()).is_some_and(|idle| !idle.is_empty());
        // Where nobody may work any more, the task is given up instead.
        let roles = self.pools.roles.get(pool).filter(|_| waits);
        let due = roles.is_some_and(|roles| roles.iter().any(|role| free(role) || self.is_barred(*role)));
        if due {
            self.pools.assignable.insert(pool);
        } else {
            self.pools.assignable.remove(&pool);
        }
    }
}
