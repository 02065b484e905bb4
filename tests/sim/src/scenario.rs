//! What one seed is about: a plan, a beginning, and which faults strike how often.
//!
//! Every fault is a named rate. Each seed has some of them and not others, so that a rare combination is not drowned by the common ones.

use crate::rng::Rng;
use mission::{
    AgentId, Allowance, Check, Dispatch, Limits, Measure, Micros, Opening, Per, Plan, Role, RoleId, Scope, TaskId,
    TaskSpec, Writes,
};

/// The commit that every mission begins at.
pub const BASE: &str = "base";

/// What one seed is about.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// How the mission is opened.
    pub opening: Opening,
    /// Its plan.
    pub plan: Plan,
    /// The faults.
    pub faults: Faults,
    /// How many steps of the driver the faults last.
    pub chaos_steps: u64,
    /// Nobody answers and nobody resumes while the faults last.
    pub unattended: bool,
    /// Whether the role of this position has no repository.
    pub scratch: Vec<bool>,
}

/// How often each fault strikes, in so many of 1,000 cases.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The engine dies before an append is durable.
    pub crash_before: u64,
    /// The engine dies after an append is durable and before anything follows from it.
    pub crash_after: u64,
    /// An append finds the disk full; it stays full for a while.
    pub disk_full: u64,
    /// An effect of ours fails.
    pub effect_fails: u64,
    /// A failing effect fails for want of space.
    pub no_space: u64,
    /// A failing effect fails for good.
    pub fatal: u64,
    /// An agent's process dies at a step of its turn, or while it starts.
    pub dies: u64,
    /// An agent hangs in its turn.
    pub hangs: u64,
    /// A hanging agent ignores the request to end its turn.
    pub deaf: u64,
    /// An agent ends its turn for a reason other than being done.
    pub bad_stop: u64,
    /// An agent claims to be done without any work.
    pub lies: u64,
    /// An agent works outside of its write-set.
    pub outside: u64,
    /// An agent leaves files that cannot be taken over.
    pub rejected: u64,
    /// An agent ends its turn without a claim.
    pub silent: u64,
    /// An agent makes the same call again with the same key.
    pub repeats: u64,
    /// An effect is answered twice.
    pub twice: u64,
    /// A change fails its checks.
    pub check_fails: u64,
    /// A change does not merge.
    pub conflicts: u64,
    /// An agent asks a person.
    pub asks: u64,
    /// A person does something, at each step.
    pub person: u64,
    /// A bill comes long after its call.
    pub late_bill: u64,
    /// A call costs more than was set aside for it.
    pub overspends: u64,
    /// A check finds the agents of a role otherwise, at each step.
    pub sickness: u64,
    /// Somebody says something that makes no sense, at each step.
    pub nonsense: u64,
}

impl Faults {
    /// Whether the hands spend only what is set aside: then the cap must hold, however late bills come and whenever engines die.
    pub fn respectful(&self) -> bool {
        self.overspends == 0
    }

    fn draw(rng: &mut Rng) -> Faults {
        let calm = rng.chance(100);
        let mut rate = |worst: u64| if calm || rng.chance(450) { 0 } else { rng.range(1, worst) };
        Faults {
            crash_before: rate(30),
            crash_after: rate(30),
            disk_full: rate(25),
            effect_fails: rate(150),
            no_space: rate(500),
            fatal: rate(250),
            dies: rate(120),
            hangs: rate(150),
            deaf: rate(900),
            bad_stop: rate(200),
            lies: rate(300),
            outside: rate(250),
            rejected: rate(250),
            silent: rate(250),
            repeats: rate(300),
            twice: rate(300),
            check_fails: rate(400),
            conflicts: rate(300),
            asks: rate(300),
            person: rate(150),
            late_bill: rate(200).saturating_sub(100),
            overspends: rate(200).saturating_sub(100),
            nonsense: rate(60),
            sickness: rate(40),
        }
    }
}

impl Scenario {
    /// What this seed is about.
    pub fn of(seed: u64) -> Scenario {
        let mut rng = Rng::of(seed, 1);
        let big = rng.chance(15);
        let roles = if big { rng.range(2, 5) } else { rng.range(1, 3) };
        let tasks = if big { rng.range(40, 90) } else { rng.range(1, 12) };
        let scratch: Vec<bool> = (0..roles).map(|_| rng.chance(120)).collect();
        let plan = Plan {
            roles: (0..roles).map(|role| draw_role(&mut rng, role)).collect(),
            tasks: (0..tasks).map(|task| draw_task(&mut rng, task, tasks, roles)).collect(),
            ..Plan::default()
        };
        let plan = Plan { allowances: draw_allowances(&mut Rng::of(seed, 9), &plan), ..plan };
        let plan = draw_dispatch(&mut Rng::of(seed, 10), plan);
        let budget =
            rng.chance(500).then(|| Micros(if rng.chance(500) { rng.range(0, 3_000) } else { rng.range(200, 60_000) }));
        let limits = draw_limits(&mut rng);
        let faults = Faults::draw(&mut rng);
        let opening = Opening {
            goal: "a goal".into(),
            repository: "/repository".into(),
            base: BASE.into(),
            branch: "muster/m".into(),
            budget,
            limits,
            settings: String::new(),
        };
        let chaos_steps = rng.range(100, 400 + 60 * tasks);
        Scenario { opening, plan, faults, chaos_steps, unattended: rng.chance(150), scratch }
    }
}

/// Who may take whose place, what they can do, and which tasks are done by several. What nobody could do is left as it was.
fn draw_dispatch(rng: &mut Rng, mut plan: Plan) -> Plan {
    if rng.chance(400) {
        return plan;
    }
    let roles = plan.roles.len() as u64;
    for role in &mut plan.roles {
        let all = ["edit", "web", "large_context"];
        role.skills.capabilities = all.iter().filter(|_| rng.chance(800)).map(|name| (*name).to_owned()).collect();
        role.skills.read_only = rng.chance(80);
        role.skills.unheld = rng.chance(40).then(|| "it cannot".to_owned());
        role.skills.price = rng.chance(600).then(|| rng.range(0, 9));
    }
    for index in 0..plan.tasks.len() {
        let usual = plan.tasks[index].dispatch.clone();
        let own = u64::from(plan.tasks[index].role.0);
        let also = (0..roles).filter(|role| *role != own && rng.chance(600));
        plan.tasks[index].dispatch = Dispatch {
            also: also.map(|role| RoleId(role as u32)).collect(),
            compete: rng.chance(400),
            tries_per_role: rng.range(1, 3) as u32,
            needs: if rng.chance(200) { vec!["web".to_owned()] } else { Vec::new() },
            ..usual
        };
        if plan.check().is_err() {
            plan.roles.iter_mut().for_each(|role| role.skills.unheld = None);
        }
        if plan.check().is_err() {
            plan.tasks[index].dispatch.needs.clear();
            plan.roles.iter_mut().for_each(|role| role.skills.read_only = false);
        }
    }
    let tasks = plan.tasks.len();
    for leader in 0..tasks.min(6) {
        for number in 2..=1 + rng.below(4).saturating_sub(1) {
            let mut rival = plan.tasks[leader].clone();
            rival.name = format!("{}.{number}", rival.name);
            rival.dispatch.rival_of = Some(TaskId(leader as u32));
            plan.tasks.push(rival);
        }
    }
    plan
}

/// Budgets beside the mission's own, small enough to be used up; each of a scope and measure once.
fn draw_allowances(rng: &mut Rng, plan: &Plan) -> Vec<Allowance> {
    let mut drawn: Vec<Allowance> = Vec::new();
    let agents: u64 = plan.roles.iter().map(|role| u64::from(role.count)).sum();
    for _ in 0..rng.below(8).saturating_sub(3) {
        let scope = match rng.below(4) {
            0 => Scope::Mission,
            1 => Scope::Role(RoleId(rng.below(plan.roles.len() as u64) as u32)),
            2 => Scope::Agent(AgentId(rng.below(agents) as u32)),
            _ => Scope::Task(TaskId(rng.below(plan.tasks.len() as u64) as u32)),
        };
        let (measure, most) = match rng.below(4) {
            0 => (Measure::Cost, rng.range(400, 5_000)),
            1 => (Measure::Tokens, rng.range(12, 300)),
            2 => (Measure::Calls, rng.range(1, 20)),
            _ => (Measure::Time, rng.range(100, 60_000)),
        };
        let per = rng.chance(350).then(|| if rng.chance(200) { Per::Day } else { Per::Millis(rng.range(500, 90_000)) });
        if !drawn.iter().any(|known| (known.scope, known.measure, known.per) == (scope, measure, per)) {
            drawn.push(Allowance { scope, measure, most, per });
        }
    }
    drawn
}

fn draw_role(rng: &mut Rng, role: u64) -> Role {
    Role {
        name: format!("role{role}"),
        count: rng.range(1, 4) as u32,
        instructions: "Work well.".into(),
        ..Role::default()
    }
}

/// Dependencies point to lower or higher positions alike: the order of the plan is a permutation of an order of the graph.
fn draw_task(rng: &mut Rng, task: u64, tasks: u64, roles: u64) -> TaskSpec {
    // A task of rank n stands at position n * step mod tasks; those it needs have a lower rank.
    let writes = match rng.below(5) {
        0 => Writes::Nothing,
        1 => Writes::Only(vec!["src/**".into()]),
        _ => Writes::Anything,
    };
    let checks = if writes == Writes::Nothing { vec![] } else { vec![Check { run: "true".into(), timeout_ms: 1_000 }] };
    let mut depends_on = Vec::new();
    let backwards = tasks.is_multiple_of(2);
    let lower = if backwards { tasks - 1 - task } else { task };
    for _ in 0..rng.below(4) {
        if lower > 0 && rng.chance(600) {
            let needed = rng.below(lower);
            let needed = if backwards { tasks - 1 - needed } else { needed };
            depends_on.push(TaskId(needed as u32));
        }
    }
    TaskSpec {
        name: format!("task{task}"),
        title: format!("Task {task}"),
        role: RoleId(rng.below(roles) as u32),
        instructions: "Do it.".into(),
        depends_on,
        writes,
        checks,
        may_change_nothing: rng.chance(100),
        attempts_max: rng.range(1, 4) as u32,
        budget: rng.chance(200).then(|| Micros(rng.range(50, 5_000))),
        dispatch: mission::Dispatch::default(),
    }
}

fn draw_limits(rng: &mut Rng) -> Limits {
    Limits {
        turn_ms_max: rng.range(5_000, 60_000),
        cancel_grace_ms: rng.range(100, 10_000),
        returns_max: rng.below(4) as u32,
        nudges_max: rng.below(3) as u32,
        losses_max: rng.below(4) as u32,
        effect_retries_max: rng.below(4) as u32,
        backoff_ms: rng.range(1, 2_000),
        backoff_ms_max: rng.range(2_000, 20_000),
        interrupt_ms: rng.range(1_000, 400_000),
        space_retry_ms: rng.range(500, 60_000),
        budget_warn_percent: 80,
    }
}
