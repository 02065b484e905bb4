//! The ledger under random calls: with a gateway that spends only what is set aside the cap holds, whatever is asked, spent, raised and ended.

use crate::play::*;
use mission::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Ask(u8, u64),
    Spend(u8, u64),
    Fail(u8),
    Raise(u64),
    GiveBack(u8, u64),
    Settle,
    Wake,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4u8, 1..2_000u64).prop_map(|(agent, micros)| Step::Ask(agent, micros)),
        6 => (0..4u8, 0..2_000u64).prop_map(|(agent, micros)| Step::Spend(agent, micros)),
        1 => (0..4u8).prop_map(Step::Fail),
        1 => (1..5_000u64).prop_map(Step::Raise),
        2 => (0..4u8, 1..2_000u64).prop_map(|(agent, micros)| Step::GiveBack(agent, micros)),
        1 => Just(Step::Settle),
        1 => Just(Step::Wake),
    ]
}

fn attempt_of(mission: &Mission, agent: u8) -> Option<AttemptId> {
    mission.agent(AgentId(agent.into()))?.attempt
}

/// One step; returns what the provider was paid in it.
fn take(play: &mut Play, step: &Step) -> u64 {
    match *step {
        Step::Ask(agent, micros) => {
            let Some(attempt) = attempt_of(&play.mission, agent) else { return 0 };
            let before = play.mission.lease_left(attempt).unwrap();
            let outcome =
                play.tell(Input::LeaseAsked { attempt, micros: Micros(micros), least: Micros(micros), waits: false });
            let granted = outcome.iter().flatten().any(|fact| matches!(fact, Fact::LeaseGranted { .. }));
            let left = play.mission.lease_left(attempt).unwrap();
            assert!(!granted || left >= before.plus(Micros(micros)), "granted less than was asked for");
            0
        }
        Step::Spend(agent, micros) => {
            let Some(attempt) = attempt_of(&play.mission, agent) else { return 0 };
            let cost = Micros(micros).min(play.mission.lease_left(attempt).unwrap());
            let usage = Usage { cost: Some(cost), ..Usage::default() };
            play.tell(Input::UsageSettled { attempt, usage }).unwrap();
            cost.0
        }
        Step::Fail(agent) => {
            let turn = play.mission.in_flight().find_map(|effect| match effect.kind {
                EffectKind::RunTurn { agent: of, .. } if of == AgentId(agent.into()) => Some(effect.id.0),
                EffectKind::StartAgent { agent: of } if of == AgentId(agent.into()) => Some(effect.id.0),
                _ => None,
            });
            let Some(effect) = turn else { return 0 };
            let starts = play.tell(ready(effect)).is_ok();
            if !starts {
                play.tell(ended(effect, Stop::Refusal)).unwrap();
            }
            0
        }
        Step::Raise(micros) => {
            let open = play.mission.interrupts().find(|(_, interrupt)| interrupt.about == About::Budget);
            let Some((InterruptId(id), _)) = open else { return 0 };
            play.tell(answer(id, Answer::Text(format!("0.{micros:06}")))).unwrap();
            0
        }
        Step::GiveBack(agent, micros) => {
            let Some(attempt) = attempt_of(&play.mission, agent) else { return 0 };
            let before = play.mission.lease_left(attempt).unwrap();
            let told = play.tell(Input::LeaseReturned { attempt, micros: Micros(micros) });
            assert_eq!(told.is_ok(), before > Micros(0), "{told:?}");
            assert_eq!(play.mission.lease_left(attempt), Some(before.less(Micros(micros))));
            0
        }
        // Bills of calls that outlived their attempts, and what is left of their leases then.
        Step::Settle => {
            let mut paid = 0;
            for (attempt, left) in play.mission.lingering_leases().collect::<Vec<_>>() {
                let usage = Usage { cost: Some(Micros(left.0 / 2)), estimated: true, ..Usage::default() };
                play.tell(Input::UsageSettled { attempt, usage }).unwrap();
                paid += left.0 / 2;
                drop(play.tell(Input::LeaseReturned { attempt, micros: left }));
            }
            assert_eq!(play.mission.lingering_leases().count(), 0);
            paid
        }
        Step::Wake => {
            drop(play.tell(Input::Woke));
            0
        }
    }
}

#[test]
fn a_task_has_its_own_budget_where_the_mission_has_none() {
    let tasks = vec![TaskSpec { budget: Some(Micros(100)), ..task("bounded", &[]) }, task("free", &[])];
    let mut play = Play::new([open(None), plan(2, tasks), prepared()]);
    let (bounded, free) = (AttemptId(0), AttemptId(1));
    assert_eq!((play.mission.lease_left(bounded), play.mission.lease_left(free)), (Some(Micros(0)), None));
    play.tell(Input::LeaseAsked { attempt: bounded, micros: Micros(60), least: Micros(60), waits: false }).unwrap();
    assert_eq!(play.mission.lease_left(bounded), Some(Micros(60)));
    let more = play.tell(Input::LeaseAsked { attempt: bounded, micros: Micros(60), least: Micros(60), waits: false });
    assert_eq!(more, Err(Rejected::TaskBudgetExhausted));
}

#[test]
fn people_are_warned_once_for_each_cap() {
    let mut play = Play::new([open(Some(1_000)), plan(1, vec![task("a", &[])]), prepared()]);
    let mut spend = |micros: u64| {
        let usage = Usage { cost: Some(Micros(micros)), ..Usage::default() };
        let facts = play.tell(Input::UsageSettled { attempt: AttemptId(0), usage }).unwrap();
        let warned = facts.iter().find_map(|fact| match fact {
            Fact::BudgetWarned { spent, cap } => Some((spent.0, cap.0)),
            _ => None,
        });
        (warned, play.mission.ledger().warned)
    };
    assert_eq!(spend(799), (None, false));
    assert_eq!(spend(1), (Some((800, 1_000)), true));
    assert_eq!(spend(100), (None, true));
    let raised = Fact::BudgetRaised { by: Micros(1_000) };
    play.mission.apply(&raised);
    assert!(!play.mission.ledger().warned, "another cap, another warning");
}

proptest! {
    #[test]
    fn what_is_settled_and_what_is_set_aside_never_pass_the_cap(
        cap in 0..20_000u64,
        own in proptest::option::of(1..3_000u64),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let tasks = (0..12).map(|n| TaskSpec { budget: own.map(Micros), attempts_max: 50, ..task(&n.to_string(), &[]) });
        let mut play = Play::new([open(Some(cap)), plan(4, tasks.collect()), prepared()]);
        let mut paid = 0;
        for step in &steps {
            paid += take(&mut play, step);
            let ledger = *play.mission.ledger();
            prop_assert_eq!(ledger.settled, Micros(paid));
            prop_assert!(ledger.settled.plus(ledger.leased) <= ledger.cap.unwrap());
            let leases: u64 = play.mission.attempts().filter_map(|(id, _)| play.mission.lease_left(id)).map(|left| left.0).sum();
            let over: u64 = play.mission.lingering_leases().map(|(_, left)| left.0).sum();
            prop_assert_eq!(ledger.leased, Micros(leases + over));
        }
        prop_assert_eq!(Mission::replay(&play.journal), play.mission);
    }
}
