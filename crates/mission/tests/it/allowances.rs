//! Budgets beside the mission's own: who waits, who is asked, and what becomes of what was denied.

use crate::play::*;
use expect_test::expect;
use mission::*;

fn planned(agents: u32, tasks: Vec<TaskSpec>, allowances: Vec<Allowance>) -> Vec<Input> {
    let roles = vec![Role { name: "builder".into(), count: agents, ..Role::default() }];
    let plan = Plan { roles, tasks, allowances, ..Plan::default() };
    vec![open(None), Input::ProposePlan(Box::new(plan)), prepared()]
}

fn of(scope: Scope, measure: Measure, most: u64) -> Allowance {
    Allowance { scope, measure, most, per: None }
}

fn call(input_tokens: u64) -> Input {
    let usage = Usage { input_tokens, output_tokens: 10, cost: Some(Micros(100)), ..Usage::default() };
    Input::UsageSettled { attempt: AttemptId(0), usage }
}

fn short(attempt: u32) -> Input {
    Input::AllowanceShort { attempt: AttemptId(attempt), allowance: AllowanceId(0) }
}

fn and(mut inputs: Vec<Input>, more: impl IntoIterator<Item = Input>) -> Vec<Input> {
    inputs.extend(more);
    inputs
}

/// One builder in its first turn of `a`, which is effect 2, with 100 tokens for the task.
fn tokens_for_a() -> Vec<Input> {
    let only = vec![of(Scope::Task(TaskId(0)), Measure::Tokens, 100)];
    and(planned(1, vec![task("a", &[]), task("b", &[])], only), [ready(1)])
}

#[test]
fn usage_is_counted_and_warned_of_once() {
    let mut play = Play::new(and(tokens_for_a(), [call(60)]));
    let room = play.mission.room(play.now, AttemptId(0));
    assert_eq!(room, [Room { allowance: AllowanceId(0), measure: Measure::Tokens, left: 30 }]);
    let warned =
        |facts: &[Fact]| facts.iter().any(|fact| matches!(fact, Fact::AllowanceWarned { used: 85, most: 100, .. }));
    assert!(warned(&play.tell(call(5)).unwrap()));
    assert_eq!(play.tell(call(0)).unwrap().len(), 1, "it is told once");
}

#[test]
fn one_that_is_used_up_asks_a_person_and_everything_else_goes_on() {
    check(
        and(tokens_for_a(), [call(60), short(0)]),
        expect![[r#"
            allowance_used_up allowance=0 until=null
            interrupt_raised interrupt=0 about=allowance(0) question=The budget of 100 tokens for task a is used up (70 tokens us deadline=86406000 default=deny key=null
        "#]],
    );
    check(
        and(tokens_for_a(), [call(60), short(0), short(0)]),
        expect![[r#"
            refused: the budget does not cover this; interrupt i0 asks for more
        "#]],
    );
    // Its turn is owed, and not begun before the answer.
    check(
        and(tokens_for_a(), [call(60), short(0), ended(2, Stop::Budget)]),
        expect![[r#"
            turn_ended attempt=0 stop=budget work=changed(…)
            turn_owed attempt=0 brief=task
        "#]],
    );
    check(
        and(tokens_for_a(), [call(60), short(0), ended(2, Stop::Budget), answer(0, Answer::Text("50 cents".into()))]),
        expect![[r#"
        refused: '50 cents' is not a number of tokens, such as 100000
    "#]],
    );
    check(
        and(tokens_for_a(), [call(60), short(0), ended(2, Stop::Budget), answer(0, Answer::Approve)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            allowance_raised allowance=0 by=100
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1808000 ✱ run_turn
        "#]],
    );
}

#[test]
fn a_denied_task_is_given_up_and_its_agent_takes_the_next() {
    let mut play = Play::new(and(tokens_for_a(), [call(60), short(0), ended(2, Stop::Budget)]));
    let facts = play.tell(answer(0, Answer::Deny)).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::AttemptFailed { attempt: AttemptId(0), .. })), "{facts:?}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Assigned { task: TaskId(1), .. })), "{facts:?}");
    let facts = play.tell(Input::Woke).unwrap();
    assert_eq!(play.mission.task(TaskId(0)).map(|task| task.state), Some(TaskState::Ready), "{facts:?}");
    // It is given up when somebody could take it.
    let facts = play.tell(ended(3, Stop::Refusal)).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::TaskFailed { task: TaskId(0), .. })), "{facts:?}");
    assert_eq!(Mission::replay(&play.journal), play.mission);
}

#[test]
fn without_a_denied_agent_the_others_go_on_and_without_any_its_role_gives_up() {
    let only = |agent| of(Scope::Agent(AgentId(agent)), Measure::Calls, 1);
    let mut play = Play::new(and(
        planned(2, vec![task("a", &[]), task("b", &[0])], vec![only(0), only(1)]),
        [ready(1), call(5), short(0), ended(2, Stop::Budget)],
    ));
    play.tell(answer(0, Answer::Deny)).unwrap();
    let facts = play.tell(Input::Woke).unwrap();
    let taken = facts.iter().any(|fact| matches!(fact, Fact::Assigned { agent: AgentId(1), task: TaskId(0), .. }));
    assert!(taken, "{facts:?}");
    let starting = facts.iter().find_map(|fact| match fact {
        Fact::AgentStarting { effect, .. } => Some(effect.0),
        _ => None,
    });
    play.tell(ready(starting.unwrap())).unwrap();
    play.tell(Input::AllowanceShort { attempt: AttemptId(1), allowance: AllowanceId(1) }).unwrap();
    play.tell(ended(starting.unwrap() + 1, Stop::Budget)).unwrap();
    play.tell(answer(1, Answer::Deny)).unwrap();
    let facts = play.tell(Input::Woke).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::TaskFailed { task: TaskId(0), .. })), "{facts:?}");
    assert!(facts.iter().any(|fact| matches!(fact, Fact::TaskSkipped { task: TaskId(1), .. })), "{facts:?}");
    assert!(matches!(play.mission.status(), Status::Closing(_) | Status::Closed(_)));
    assert_eq!(Mission::replay(&play.journal), play.mission);
}

#[test]
fn a_window_is_waited_for() {
    let window = Allowance { per: Some(Per::Millis(60_000)), ..of(Scope::Mission, Measure::Calls, 1) };
    let begun = and(planned(1, vec![task("a", &[])], vec![window]), [ready(1), call(5)]);
    check(
        and(begun.clone(), [short(0)]),
        expect![[r#"
            allowance_used_up allowance=0 until=65000
            attempt_limited attempt=0 until=65000 lasts_ms=59000 own=true
            turn_cancelling attempt=0 effect=3 reason=limited deadline=16000 ✱ cancel_turn
        "#]],
    );
    let mut play = Play::new(and(begun, [short(0), ended(2, Stop::Budget), Input::Woke]));
    assert_eq!(play.now, At(65_000));
    assert_eq!(play.mission.room(play.now, AttemptId(0))[0].left, 1, "a new window");
    let facts = play.tell(call(5)).unwrap();
    assert_eq!(facts[0], Fact::WindowBegan { allowance: AllowanceId(0), until: At(126_000) });
}

#[test]
fn one_call_that_is_too_much_for_a_whole_window_asks() {
    let window = Allowance { per: Some(Per::Day), ..of(Scope::Mission, Measure::Tokens, 5) };
    let mut play = Play::new(and(planned(1, vec![task("a", &[])], vec![window]), [ready(1)]));
    let facts = play.tell(short(0)).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::InterruptRaised { .. })), "{facts:?}");
}

#[test]
fn time_counts_while_a_turn_is_on_and_ends_it() {
    let time = of(Scope::Role(RoleId(0)), Measure::Time, 90_000);
    let mut play = Play::new(and(planned(2, vec![task("a", &[]), task("b", &[])], vec![time]), [ready(1), ready(2)]));
    // The first turn began at 4 s, the second at 5 s; both count once.
    let facts = play.tell(Input::Woke).unwrap();
    assert_eq!(play.now, At(94_000));
    let kinds: Vec<&str> = facts.iter().map(Fact::kind).collect();
    assert_eq!(kinds, ["time_counted", "allowance_used_up", "interrupt_raised", "turn_cancelling", "turn_cancelling"]);
    let (_, _, spent) = play.mission.allowances().next().unwrap();
    assert_eq!((spent.used, spent.left(play.now)), (90_000, 0));
    for effect in [3, 4] {
        play.tell(ended(effect, Stop::Cancelled)).unwrap();
    }
    let facts = play.tell(answer(0, Answer::Text("10s".into()))).unwrap();
    let begun = facts.iter().filter(|fact| matches!(fact, Fact::TurnStarted { .. })).count();
    assert_eq!(begun, 2, "{facts:?}");
    play.tell(Input::Woke).unwrap();
    assert_eq!(play.mission.allowances().next().unwrap().2.used, 100_000);
    assert_eq!(Mission::replay(&play.journal), play.mission);
}

#[test]
fn an_allowance_of_nothing_or_nobody_is_refused() {
    let refused = |allowance: Allowance| {
        let mut play = Play::new([open(None)]);
        let roles = vec![Role { name: "builder".into(), count: 1, ..Role::default() }];
        let plan = Plan {
            roles,
            tasks: vec![task("a", &[])],
            allowances: vec![allowance.clone(), allowance],
            ..Plan::default()
        };
        play.tell(Input::ProposePlan(Box::new(plan))).unwrap_err().to_string()
    };
    assert!(refused(of(Scope::Mission, Measure::Calls, 0)).contains("0 calls"));
    assert!(refused(of(Scope::Agent(AgentId(1)), Measure::Calls, 1)).contains("does not have"));
    assert!(refused(of(Scope::Mission, Measure::Calls, 1)).contains("two entries"));
}
