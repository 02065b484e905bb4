//! People: they answer, pause, resume, cancel and retry at random while the faults last, and do what is needed afterwards. Beside them stands
//! somebody who says what makes no sense.

use crate::rng::Rng;
use mission::{
    About, AgentId, AllowanceId, Answer, At, AttemptId, EffectFailure, EffectId, HealthState, Input, InterruptId,
    Micros, Mission, PauseReason, Refusal, RoleId, Status, Stop, TaskId, To, Usage, Verdict, Work,
};
use strum::VariantArray;

/// What a person says at random.
pub fn whim(rng: &mut Rng, mission: &Mission) -> Option<Input> {
    let tasks = mission.plan().tasks.len() as u64;
    Some(match rng.below(100) {
        0..=11 => Input::Pause,
        12..=37 => Input::Resume,
        38 => Input::Cancel,
        39..=54 => Input::Retry { task: TaskId(rng.below(tasks + 1) as u32) },
        _ => {
            let open: Vec<(InterruptId, bool)> = mission
                .interrupts()
                .map(|(id, open)| (id, matches!(open.about, About::Budget | About::Allowance(_))))
                .collect();
            // A role stops rarely, and its question is soon over: it is heard first.
            let role = mission.interrupts().find(|(_, open)| matches!(open.about, About::Role(_)));
            if let Some((interrupt, _)) = role {
                let answer = if rng.chance(700) { Answer::Approve } else { Answer::Deny };
                return Some(Input::Answered { interrupt, answer });
            }
            let money = open.iter().find(|(_, about_money)| *about_money);
            let (interrupt, about_money) = *money.or_else(|| rng.pick(&open))?;
            let answer = match rng.below(8) {
                // Such a question is rare, and without an answer soon over.
                4 | 5 if about_money => Answer::Text("0.002".into()),
                6 if about_money => Answer::Text("40".into()),
                0 => Answer::Text("0.01".into()),
                1 => Answer::Text("whatever".into()),
                2 => Answer::Text("$0.000040".into()),
                3 => Answer::Deny,
                _ => Answer::Approve,
            };
            Input::Answered { interrupt, answer }
        }
    })
}

/// What a check of health finds at random.
pub fn sickness(rng: &mut Rng, mission: &Mission) -> Option<Input> {
    let role = RoleId(rng.below(mission.plan().roles.len().max(1) as u64) as u32);
    let state = *rng.pick(HealthState::VARIANTS)?;
    Some(Input::HealthChecked { role, state, reason: "as the seed wants it".into() })
}

/// What a person does who wants the mission to end well: answers everything with yes, and resumes.
pub fn helps(mission: &Mission) -> Option<Input> {
    if let Some((interrupt, _)) = mission.interrupts().next() {
        return Some(Input::Answered { interrupt, answer: Answer::Approve });
    }
    matches!(mission.status(), Status::Paused(PauseReason::Person | PauseReason::Space)).then_some(Input::Resume)
}

/// What a person does who has had enough of being asked: denies what is asked.
pub fn gives_up(mission: &Mission) -> Option<Input> {
    let about = |about: &About| !matches!(about, About::Question(_));
    let open = mission.interrupts().find(|(_, interrupt)| about(&interrupt.about));
    match open {
        Some((interrupt, _)) => Some(Input::Answered { interrupt, answer: Answer::Deny }),
        None => helps(mission),
    }
}

/// Something that makes no sense, or comes too late.
pub fn nonsense(rng: &mut Rng, mission: &Mission) -> Option<Input> {
    let effect = EffectId(rng.below(60));
    let agent = AgentId(rng.below(14) as u32);
    let attempt = AttemptId(rng.below(30) as u32);
    let key = || "nonsense".to_owned();
    Some(match rng.below(22) {
        0 => Input::RepositoryPrepared {
            effect: stale(mission, effect)?,
            head: "nowhere".into(),
            tried: Vec::new(),
            problem: None,
        },
        1 => Input::AgentReady { effect: stale(mission, effect)? },
        2 => Input::AgentStopped { effect: stale(mission, effect)? },
        3 => Input::TurnEnded {
            effect: stale(mission, effect)?,
            stop: Stop::Done,
            work: Work::None,
            said: None,
            problem: None,
        },
        4 => Input::ChangeChecked {
            effect: stale(mission, effect)?,
            verdict: Verdict::Conflict { hunks: String::new() },
        },
        5 => Input::ChangeMerged { effect: stale(mission, effect)? },
        6 => Input::ResultPublished { effect: stale(mission, effect)? },
        7 => Input::EffectFailed {
            effect: stale(mission, effect)?,
            failure: EffectFailure::Fatal,
            error: key(),
            problem: None,
        },
        8 => Input::MessageSent { from: agent, key: key(), to: To::Agent(agent), body: " ".into() },
        9 => Input::MessagesRead { agent: AgentId(99), key: key(), count: 1 },
        10 => Input::InterruptAsked { agent, key: "k".repeat(300), question: "?".into(), default: None },
        11 => Input::ResultSubmitted { agent, key: key(), summary: "x".repeat(70_000) },
        12 => Input::LeaseAsked { attempt, micros: Micros(1 << 50), least: Micros(1 << 50), waits: false },
        20 => Input::PermissionAsked { agent, key: "k".repeat(300), request: key() },
        19 => Input::HealthChecked { role: RoleId(99), state: HealthState::Down, reason: key() },
        18 => Input::AllowanceShort { attempt, allowance: AllowanceId(99) },
        13 => Input::Answered { interrupt: InterruptId(9_999), answer: Answer::Approve },
        14 => Input::ProposePlan(Box::default()),
        15 => Input::Woke,
        16 => Input::EgressRefused {
            agent: AgentId(99),
            refusal: Refusal { host: key(), port: 0, reason: key(), allow: None, times: 1 },
        },
        17 => Input::RateLimited { attempt, until: At(rng.below(60_000)) },
        _ => Input::UsageSettled { attempt: AttemptId(9_999), usage: Usage::default() },
    })
}

/// An effect that nothing waits for. Whoever guesses one that is in flight would be a hand, not nonsense.
fn stale(mission: &Mission, effect: EffectId) -> Option<EffectId> {
    mission.effect(effect).is_none().then_some(effect)
}
