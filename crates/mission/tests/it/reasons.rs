//! Causes that last: nothing is given to a role until a person answered, another role takes its place, and the question says what to change.

use crate::play::*;
use expect_test::expect;
use mission::*;

fn wrong_key() -> Box<Problem> {
    let cause = Cause::Answered {
        upstream: "main".into(),
        address: "https://api.example.com/v1".into(),
        status: 401,
        code: "invalid_api_key".into(),
        words: "Incorrect API key provided.".into(),
        tries: 1,
    };
    Box::new(Problem::lasting(cause, "Set the variable PROVIDER_KEY to a key that is good."))
}

fn broken(effect: u64, problem: Box<Problem>) -> Input {
    Input::TurnEnded {
        effect: EffectId(effect),
        stop: Stop::ModelError,
        work: changed(),
        said: None,
        problem: Some(problem),
    }
}

/// One builder met a wrong key; `a` is ready again and nobody else may do it.
fn stopped() -> Vec<Input> {
    and(at_work(), [broken(2, wrong_key()), Input::Woke])
}

fn question(mission: &Mission) -> String {
    mission.interrupts().map(|(id, open)| format!("{id} {:?}: {}", open.about, open.question)).collect()
}

#[test]
fn a_lasting_cause_ends_the_attempt_and_stops_the_role_at_once() {
    check(
        and(at_work(), [broken(2, wrong_key())]),
        expect![[r#"
            turn_ended attempt=0 stop=model_error work=changed(…) problem=…
            attempt_failed attempt=0 reason=stopped(model_error) retry=5000 problem=…
            role_stopped role=0 problem=…
        "#]],
    );
}

#[test]
fn without_anybody_else_a_person_is_asked_and_told_what_to_change() {
    let play = Play::new(stopped());
    expect!["i0 Role(RoleId(0)): Role 'builder' cannot work: upstream main (https://api.example.com/v1) answered 401 Unauthorized (invalid_api_key): Incorrect API key provided. Trying again as it is would end the same. Set the variable PROVIDER_KEY to a key that is good. Approve when that is done, or deny to give up what only this role can do."]
    .assert_eq(&question(&play.mission));
    assert_eq!(play.mission.standing(), Standing::WaitingForPerson);
}

#[test]
fn a_yes_lets_the_role_go_on_with_the_same_attempts_left() {
    check(
        and(stopped(), [answer(0, Answer::Approve)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            role_released role=0
            assigned task=0 attempt=1 agent=0 because=… lease=null base=base
            turn_started attempt=1 turn=1 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    let play = Play::new(and(stopped(), [answer(0, Answer::Approve)]));
    assert_eq!(play.mission.task(TaskId(0)).unwrap().tries, 1);
    check(
        and(stopped(), [Input::Retry { task: TaskId(0) }]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            role_released role=0
            assigned task=0 attempt=1 agent=0 because=… lease=null base=base
            turn_started attempt=1 turn=1 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
}

#[test]
fn a_no_gives_up_all_that_only_the_role_can_do_with_one_question() {
    let plan = plan(1, vec![task("a", &[]), task("b", &[]), task("c", &[])]);
    let inputs = vec![open(None), plan, prepared(), ready(1), broken(2, wrong_key()), Input::Woke];
    check(
        and(inputs, [answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
            role_given_up role=0
            task_failed task=1 why=its role cannot work: upstream main (https://api.example.com
            task_failed task=2 why=its role cannot work: upstream main (https://api.example.com
            task_failed task=0 why=its role cannot work: upstream main (https://api.example.com
            closing outcome=failed
            agent_stopping agent=0 effect=3 reason=closing ✱ stop_agent
        "#]],
    );
}

#[test]
fn another_role_takes_the_task_and_nobody_is_asked() {
    let roles =
        ["builder", "other"].map(|name| Role { name: name.into(), count: 1, ..Role::default() }).into_iter().collect();
    let both = TaskSpec {
        attempts_max: 1,
        dispatch: Dispatch { also: vec![RoleId(1)], ..Dispatch::default() },
        ..task("a", &[])
    };
    let plan = Input::ProposePlan(Box::new(Plan { roles, tasks: vec![both], ..Plan::default() }));
    check(
        [open(None), plan, prepared(), ready(1), broken(2, wrong_key()), Input::Woke],
        expect![[r#"
            task_ready task=0
            assigned task=0 attempt=1 agent=1 because=… lease=null base=base
            agent_starting agent=1 effect=3 ✱ start_agent
        "#]],
    );
}

#[test]
fn a_program_that_is_not_there_is_not_started_again() {
    let cause = Cause::Program { program: "codex".into(), words: "cannot be started".into(), errno: Some(2) };
    let problem = Some(Box::new(Problem::lasting(cause, "Install it")));
    let error = "codex cannot be started".to_owned();
    let missing = Input::EffectFailed { effect: EffectId(1), failure: EffectFailure::Fatal, error, problem };
    check(
        [open(None), plan(1, vec![task("a", &[])]), prepared(), missing],
        expect![[r#"
            agent_start_failed agent=0 until=5000 error=codex cannot be started problem=…
            attempt_failed attempt=0 reason=unavailable retry=4000 problem=…
            role_stopped role=0 problem=…
        "#]],
    );
}

#[test]
fn a_passing_cause_keeps_its_retries_and_is_named_in_the_question() {
    let cause = Cause::Unanswered {
        upstream: "main".into(),
        address: String::new(),
        words: "took the request and did not answer".into(),
        tries: 3,
    };
    let once = TaskSpec { attempts_max: 1, ..task("a", &[]) };
    let passing = broken(2, Box::new(Problem::passing(cause)));
    let play = Play::new([open(None), plan(1, vec![once]), prepared(), ready(1), passing]);
    expect![[r#"i0 Task(TaskId(0)): Task 'a': its only attempt failed: upstream main 3 times took the request and did not answer. Approve to give it another round of attempts, deny to go on without it."#]]
        .assert_eq(&question(&play.mission));
}

#[test]
fn work_that_came_back_and_was_not_mended_is_told_as_that() {
    let run = CheckRun {
        run: "cargo test".into(),
        passed: false,
        ended: "exit 101".into(),
        output: "1 passed; 1 failed\nerror: test failed".into(),
        ms: 5,
    };
    let failed = Input::ChangeChecked { effect: EffectId(3), verdict: Verdict::Failed { checks: vec![run] } };
    let once = TaskSpec { attempts_max: 1, ..task("a", &[]) };
    let begun = [open(None), plan(1, vec![once]), prepared(), ready(1), submitted("k"), ended(2, Stop::Done), failed];
    let silent = [4, 5, 6].map(|effect| ended(effect, Stop::Done));
    let play = Play::new(begun.into_iter().chain(silent));
    expect![[r#"
        i0 Task(TaskId(0)): Task 'a': its only attempt failed: the agent ended its turn without mending what it had submitted: its check `cargo test` failed (exit 101):
          1 passed; 1 failed
          error: test failed
        Approve to give it another round of attempts, deny to go on without it."#]]
    .assert_eq(&question(&play.mission));
}
