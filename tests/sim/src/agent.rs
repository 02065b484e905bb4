//! The fake agent: what it does in one turn, step by step, good and bad.
//!
//! A script is kept for its turn like a session log: an agent that is started again goes on at the first step that was not acknowledged, with
//! the same idempotency key.

use crate::{rng::Rng, scenario::Faults};
use mission::{AgentId, AttemptId, LeftOut, LeftOuts, RoleId, Stop, TaskSpec, To, Topic, WhyLeftOut, Work, Writes};

/// One thing that an agent does in a turn.
#[derive(Clone, Debug)]
pub enum Step {
    /// It sends a message.
    Send(To),
    /// It reads at most so many of its messages.
    Read(u32),
    /// It keeps its work.
    Checkpoint,
    /// It asks a person; the flag says whether it names a default.
    Ask(bool),
    /// It calls a model: set aside and paid, in micro-dollars; a price that is not known is no price.
    Call {
        /// The most that the call can cost.
        worst: u64,
        /// What it costs.
        cost: Option<u64>,
    },
    /// It tries to reach a host that it may not reach, on this port.
    Reach(u16),
    /// Its call meets a provider that takes no more for so many milliseconds.
    Limited(u64),
    /// It wants a person's permission and does nothing until it is told.
    Permit,
    /// It claims to be done.
    Submit,
    /// Its process ends.
    Die,
    /// It does nothing more until it is asked to stop, or not even then.
    Hang {
        /// Whether it ignores the request to end its turn.
        deaf: bool,
    },
}

/// What an agent does in one turn and how that ends.
#[derive(Clone, Debug)]
pub struct Script {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Why the turn ends after them.
    pub stop: Stop,
    /// What the workspace holds then.
    pub work: Work,
}

/// What a script is drawn for.
pub struct Part<'a> {
    /// The task.
    pub task: &'a TaskSpec,
    /// The attempt.
    pub attempt: AttemptId,
    /// The turn's number within it.
    pub turn: u32,
    /// The commit that the attempt's work begins at.
    pub base: &'a str,
    /// Whether the role has no repository.
    pub scratch: bool,
    /// How many agents and roles there are.
    pub agents: u64,
    /// How many roles there are.
    pub roles: u64,
}

impl Script {
    /// A turn as it should be: a claim with work behind it.
    pub fn good(part: &Part<'_>) -> Script {
        Script { steps: vec![Step::Submit], stop: Stop::Done, work: good_work(part) }
    }

    /// A turn with whatever faults strike.
    pub fn draw(rng: &mut Rng, faults: &Faults, part: &Part<'_>) -> Script {
        let mut steps: Vec<Step> = (0..rng.below(6)).map(|_| draw_step(rng, faults, part)).collect();
        if !rng.chance(faults.silent) {
            let at = rng.range(0, steps.len() as u64) as usize;
            steps.insert(if rng.chance(300) { at } else { steps.len() }, Step::Submit);
        }
        if rng.chance(faults.asks) {
            steps.push(Step::Ask(rng.chance(500)));
            if rng.chance(200) {
                steps.push(Step::Ask(false));
            }
        }
        if rng.chance(faults.dies) {
            let at = rng.range(0, steps.len() as u64) as usize;
            steps.insert(at, Step::Die);
        }
        if rng.chance(faults.hangs) {
            let at = rng.range(0, steps.len() as u64) as usize;
            steps.truncate(at);
            steps.push(Step::Hang { deaf: rng.chance(faults.deaf) });
        }
        let bad = [Stop::Budget, Stop::Cancelled, Stop::ModelError, Stop::BadAnswers, Stop::Refusal];
        let worse = [Stop::MaxTokens, Stop::MaxSteps, Stop::ContextFull, Stop::Protocol];
        let stop = match rng.chance(faults.bad_stop) {
            true => rng.pick(&[bad.as_slice(), worse.as_slice()].concat()).copied().unwrap_or(Stop::Protocol),
            false => Stop::Done,
        };
        Script { steps, stop, work: draw_work(rng, faults, part) }
    }
}

fn draw_step(rng: &mut Rng, faults: &Faults, part: &Part<'_>) -> Step {
    match rng.below(12) {
        0..=2 => Step::Send(draw_recipient(rng, part)),
        3 | 4 => Step::Read(rng.below(4) as u32),
        5 => Step::Checkpoint,
        6 => Step::Reach(rng.below(4) as u16),
        7 if rng.chance(250) => Step::Limited(rng.range(1, 120_000)),
        7 if rng.chance(400) => Step::Permit,
        _ => {
            let worst = rng.range(1, 400);
            let paid = if rng.chance(faults.overspends) { worst + rng.below(300) } else { rng.range(0, worst) };
            Step::Call { worst, cost: (!rng.chance(80)).then_some(paid) }
        }
    }
}

/// Sometimes nobody: an agent or a role that the plan does not have.
fn draw_recipient(rng: &mut Rng, part: &Part<'_>) -> To {
    match rng.below(6) {
        0 => To::Topic(Topic::Status),
        1 | 2 => To::Role(RoleId(rng.below(part.roles + 1) as u32)),
        _ => To::Agent(AgentId(rng.below(part.agents + 1) as u32)),
    }
}

fn good_work(part: &Part<'_>) -> Work {
    match (&part.task.writes, part.scratch) {
        (_, true) => Work::None,
        (Writes::Nothing, false) => Work::Unchanged { commit: part.base.to_owned(), left_out: Default::default() },
        _ => {
            let commit = format!("work-{}-{}", part.attempt, part.turn);
            Work::Changed { commit, paths: 1, outside: vec![], left_out: Default::default() }
        }
    }
}

fn draw_left_out(rng: &mut Rng) -> LeftOuts {
    let why = match rng.below(3) {
        0 => WhyLeftOut::Ignored(".gitignore:1 (dist/)".into()),
        1 => WhyLeftOut::Unreadable("Permission denied".into()),
        _ => WhyLeftOut::Special,
    };
    let one = LeftOut { path: "dist/".into(), inside: None, why, wanted: rng.chance(500) };
    LeftOuts { shown: vec![one], more: rng.below(3) as u32 }
}

fn draw_work(rng: &mut Rng, faults: &Faults, part: &Part<'_>) -> Work {
    let work = good_work(part);
    match work {
        Work::Changed { commit, paths, .. } if rng.chance(faults.outside) => {
            Work::Changed { commit, paths: paths + 1, outside: vec!["elsewhere".into()], left_out: Default::default() }
        }
        Work::Changed { commit, paths, outside, .. } if rng.chance(faults.rejected) => {
            Work::Changed { commit, paths, outside, left_out: draw_left_out(rng) }
        }
        Work::Changed { .. } if rng.chance(faults.rejected) => Work::Rejected { why: "too large".into() },
        Work::Changed { .. } if rng.chance(faults.lies) => {
            Work::Unchanged { commit: part.base.to_owned(), left_out: draw_left_out(rng) }
        }
        work => work,
    }
}
