//! What the simulator found, each in the fewest inputs that show it.

use crate::play::*;
use expect_test::expect;
use mission::*;

#[test]
fn a_question_that_is_moot_is_not_left_open_when_its_task_goes_on() {
    check(
        and(at_work(), [asked("q"), submitted("k"), ended(2, Stop::Done)]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            interrupt_answered interrupt=0 answer=deny by=moot
            change_queued change=0 attempt=0 commit=work
            verify_started change=0 effect=3 onto=base at=7000 ✱ verify_change
        "#]],
    );
    let outside = Work::Changed {
        commit: "work".into(),
        paths: 2,
        outside: vec!["elsewhere".into()],
        left_out: Default::default(),
    };
    let back = Input::TurnEnded { effect: EffectId(2), stop: Stop::Done, work: outside, said: None, problem: None };
    check(
        and(at_work(), [asked("q"), submitted("k"), back]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            interrupt_answered interrupt=0 answer=deny by=moot
            turn_owed attempt=0 brief=returned(outside([1]))
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1807000 ✱ run_turn
        "#]],
    );
}

#[test]
fn the_answer_to_a_question_survives_a_pause_and_a_budget_stop() {
    let paused = and(at_work(), [asked("q"), Input::Pause, ended(2, Stop::Cancelled)]);
    check(
        paused.clone(),
        expect![[r#"
        turn_ended attempt=0 stop=cancelled work=changed(…)
        attempt_parked attempt=0 interrupt=0
    "#]],
    );
    check(
        and(paused, [answer(0, Answer::Approve), Input::Resume]),
        expect![[r#"
            resumed
            turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1809000 ✱ run_turn
        "#]],
    );
    check(
        and(at_work(), [asked("q"), ended(2, Stop::Budget)]),
        expect![[r#"
        turn_ended attempt=0 stop=budget work=changed(…)
        attempt_parked attempt=0 interrupt=0
    "#]],
    );
}

#[test]
fn a_turn_that_failed_for_want_of_space_over_a_question_is_over() {
    check(
        and(at_work(), [asked("q"), failed(2, EffectFailure::NoSpace), Input::Woke, Input::Woke]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=text(Nobody answered in time. Decide by yourself, say which assum) by=default
            turn_owed attempt=0 brief=answered(…)
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=88205000 ✱ run_turn
        "#]],
    );
}

#[test]
fn an_agent_that_was_told_nothing_yet_is_told_its_task_again() {
    let opened = Input::SessionOpened { attempt: AttemptId(0), session: "s".into() };
    check(
        and(at_work(), [failed(2, EffectFailure::NoSpace)]),
        expect![[r#"
            turn_owed attempt=0 brief=task
            paused why=space
            interrupt_raised interrupt=0 about=space question=The disk is full. Nothing is lost. Make room and approve to deadline=65000 default=approve key=null
        "#]],
    );
    check(
        and(at_work(), [opened, failed(2, EffectFailure::NoSpace)]),
        expect![[r#"
            turn_owed attempt=0 brief=continue
            paused why=space
            interrupt_raised interrupt=0 about=space question=The disk is full. Nothing is lost. Make room and approve to deadline=66000 default=approve key=null
        "#]],
    );
}

#[test]
fn money_spent_beyond_a_lease_does_not_stay_set_aside() {
    let lease = Input::LeaseAsked { attempt: AttemptId(0), micros: Micros(50), least: Micros(50), waits: false };
    let usage = Usage { cost: Some(Micros(140)), ..Usage::default() };
    let mut play = Play::new([open(Some(3_200)), plan(1, vec![task("a", &[])]), prepared(), ready(1)]);
    play.tell(Input::UsageSettled { attempt: AttemptId(0), usage }).unwrap();
    play.tell(lease).unwrap();
    assert_eq!(play.mission.lease_left(AttemptId(0)), Some(play.mission.ledger().leased));
    play.tell(ended(2, Stop::Refusal)).unwrap();
    // A call of it may still be on: what is left is free when the gateway says so.
    let left = play.mission.ledger().leased;
    assert_eq!(play.mission.lingering_leases().collect::<Vec<_>>(), [(AttemptId(0), left)]);
    play.tell(Input::LeaseReturned { attempt: AttemptId(0), micros: left }).unwrap();
    assert_eq!(play.mission.ledger().leased, Micros(0));
}

/// `c` needs `a` and `b`; both have failed.
fn both_failed() -> Vec<Input> {
    let once = |name, needs: &[u32]| TaskSpec { attempts_max: 1, ..task(name, needs) };
    let plan = plan(2, vec![once("a", &[]), once("b", &[]), once("c", &[0, 1]), once("d", &[])]);
    let begun = vec![open(None), plan, prepared(), ready(1), ready(2)];
    and(begun, [ended(3, Stop::Refusal), ended(4, Stop::Refusal)])
}

#[test]
fn a_task_that_needs_two_failed_ones_does_not_wait_for_ever_when_one_is_reopened() {
    let denied = [answer(0, Answer::Deny), answer(1, Answer::Deny)];
    check(
        and(both_failed(), denied.into_iter().chain([Input::Retry { task: TaskId(0) }])),
        expect![[r#"
            task_reopened task=0
            task_skipped task=2 because=1
            assigned task=0 attempt=3 agent=1 because=… lease=null base=base
            turn_started attempt=3 turn=1 resumed=false effect=6 deadline=1810000 ✱ run_turn
        "#]],
    );
}

#[test]
fn a_task_whose_need_is_reopened_during_a_pause_is_not_skipped_afterwards() {
    let paused = [Input::Pause, answer(0, Answer::Deny), Input::Retry { task: TaskId(0) }, Input::Resume];
    check(
        and(both_failed(), paused),
        expect![[r#"
            resumed
            assigned task=0 attempt=3 agent=1 because=… lease=null base=base
            turn_started attempt=3 turn=1 resumed=false effect=7 deadline=1811000 ✱ run_turn
        "#]],
    );
}

#[test]
fn a_task_that_is_doomed_twice_is_skipped_once() {
    let once = |name, needs: &[u32]| TaskSpec { attempts_max: 1, ..task(name, needs) };
    let diamond = vec![once("a", &[]), once("b", &[0]), once("c", &[0]), once("d", &[1, 2]), once("e", &[])];
    let begun = vec![open(None), plan(1, diamond), prepared(), ready(1), ended(2, Stop::Refusal)];
    check(
        and(begun, [answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
            task_failed task=0 why=its attempts are used up
            task_skipped task=1 because=0
            task_skipped task=2 because=0
            task_skipped task=3 because=0
        "#]],
    );
}

#[test]
fn a_mission_begins_to_end_once() {
    let work = vec![open(Some(3_200)), plan(1, vec![task("a", &[])]), prepared(), ready(1)];
    let lease = Input::LeaseAsked { attempt: AttemptId(0), micros: Micros(9_999), least: Micros(9_999), waits: false };
    check(
        and(work, [lease, Input::Cancel, answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
        "#]],
    );
}

#[test]
fn nothing_wakes_when_all_is_over() {
    check(
        [open(None), Input::Cancel, Input::Woke],
        expect![[r#"
        refused: the mission is over
    "#]],
    );
}

#[test]
fn a_move_of_the_branch_that_may_have_happened_is_not_given_up() {
    let mut play = Play::new(and(at_work(), [submitted("k"), ended(2, Stop::Done), passed(3)]));
    for effect in 4..20 {
        let facts = play.tell(failed(effect, EffectFailure::Transient)).unwrap();
        assert!(matches!(facts.as_slice(), [Fact::EffectDelayed { .. }]), "{facts:?}");
        play.tell(Input::Woke).unwrap();
    }
}

#[test]
fn a_refusal_for_want_of_money_names_the_question_about_it() {
    let work = vec![open(Some(3_200)), plan(1, vec![task("a", &[])]), prepared(), ready(1)];
    let lease =
        || Input::LeaseAsked { attempt: AttemptId(0), micros: Micros(9_999), least: Micros(9_999), waits: false };
    check(
        and(work.clone(), [lease(), asked("q"), lease()]),
        expect![[r#"
            refused: the budget does not cover this; interrupt i0 asks for more
        "#]],
    );
    check(
        and(work, [Input::Pause, lease()]),
        expect![[r#"
        refused: the mission is paused
    "#]],
    );
}

#[test]
fn many_agents_can_begin_before_the_budget_is_set_aside() {
    let tasks = (0..100).map(|n| task(&n.to_string(), &[])).collect();
    let play = Play::new([open(Some(1_000_000)), plan(100, tasks), prepared()]);
    assert_eq!((play.mission.attempts().count(), play.mission.status()), (100, Status::Running));
    assert!(play.mission.ledger().leased <= Micros(250_000));
}

#[test]
fn a_call_of_an_attempt_that_is_over_is_not_one_of_the_next() {
    let next = [submitted("k"), ended(2, Stop::Refusal), Input::Woke];
    check(
        and(at_work(), next.into_iter().chain([submitted("k")])),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
}

#[test]
fn a_reading_that_is_repeated_after_another_takes_no_messages() {
    let sent = |key: &str| Input::MessageSent {
        from: AgentId(0),
        key: key.into(),
        to: To::Agent(AgentId(1)),
        body: "Hello.".into(),
    };
    let read = |key: &str| Input::MessagesRead { agent: AgentId(1), key: key.into(), count: 9 };
    let two = vec![open(None), plan(2, vec![task("a", &[]), task("b", &[])]), prepared(), ready(1), ready(2)];
    check(
        and(two, [sent("1"), read("r1"), sent("2"), read("r2"), sent("3"), read("r1")]),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
}
