//! What an agent was told is recorded holds, however its turn ends.

use crate::play::*;
use mission::*;

/// An agent that has claimed its result in its first turn, which is effect 2.
fn claimed() -> Play {
    Play::new(and(at_work(), [submitted("k")]))
}

fn is_queued(facts: &[Fact]) -> bool {
    facts.iter().any(|fact| matches!(fact, Fact::ChangeQueued { .. }))
}

#[test]
fn a_turn_that_is_cut_is_judged_by_its_claim() {
    for stop in [Stop::Cancelled, Stop::Budget, Stop::ModelError, Stop::Refusal, Stop::MaxTokens, Stop::MaxSteps] {
        let mut play = claimed();
        play.tell(Input::Pause).unwrap();
        assert!(is_queued(&play.tell(ended(2, stop)).unwrap()), "{stop:?} while paused");
        assert!(is_queued(&claimed().tell(ended(2, stop)).unwrap()), "{stop:?}");
    }
}

#[test]
fn a_turn_that_takes_too_long_after_its_claim_is_judged_by_it() {
    let mut play = claimed();
    let due = play.mission.next_wakeup().unwrap();
    let facts = play.mission.decide(due, Input::Woke).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::TurnCancelling { reason: StopReason::TimedOut, .. })));
    assert!(is_queued(&play.mission.decide(due, ended(2, Stop::Cancelled)).unwrap()));
}

#[test]
fn a_lost_agent_is_not_asked_again_for_what_it_claimed() {
    let mut play = claimed();
    let lost = Input::AgentLost { agent: AgentId(0), reason: "killed".into(), problem: None, outside: false };
    play.tell(lost).unwrap();
    let start = play.mission.in_flight().next().unwrap().id;
    let facts = play.tell(ready(start.0)).unwrap();
    let turn = facts.iter().find_map(Fact::effect).unwrap();
    let Some(EffectKind::RunTurn { claimed, resumed, .. }) = play.mission.effect(turn).map(|effect| effect.kind) else {
        panic!("{facts:?}")
    };
    assert!(claimed && resumed);
    assert!(is_queued(&play.tell(ended(turn.0, Stop::Done)).unwrap()));
}

#[test]
fn a_loss_from_outside_is_not_counted_against_the_agent() {
    let limits = Limits::default().losses_max + 2;
    let mut play = Play::new(at_work());
    for _ in 0..limits {
        let lost = Input::AgentLost { agent: AgentId(0), reason: "killed".into(), problem: None, outside: true };
        let facts = play.tell(lost).unwrap();
        assert!(!facts.iter().any(|fact| matches!(fact, Fact::AttemptFailed { .. })), "{facts:?}");
        let start = play.mission.in_flight().next().unwrap().id;
        play.tell(ready(start.0)).unwrap();
    }
}

#[test]
fn calls_wait_for_each_other_before_a_person_is_asked() {
    let mut play = Play::new([open(Some(3_200)), plan(2, vec![task("a", &[]), task("b", &[])]), prepared()]);
    let ask = |attempt, micros, waits| Input::LeaseAsked {
        attempt: AttemptId(attempt),
        micros: Micros(micros),
        least: Micros(micros),
        waits,
    };
    // All but a hundred of what there is.
    play.tell(ask(0, 2_900, false)).unwrap();
    assert_eq!(play.tell(ask(1, 1_000, true)), Err(Rejected::BudgetHeld));
    assert_eq!(play.mission.status(), Status::Running);
    play.tell(Input::LeaseReturned { attempt: AttemptId(0), micros: Micros(2_000) }).unwrap();
    let granted = play.tell(ask(1, 1_000, true)).unwrap();
    assert!(matches!(granted[..], [Fact::LeaseGranted { .. }]), "{granted:?}");
    let asked = play.tell(ask(1, 3_000, false)).unwrap();
    assert!(asked.contains(&Fact::Paused { why: PauseReason::Budget }), "{asked:?}");
}
