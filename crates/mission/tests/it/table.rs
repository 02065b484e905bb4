//! The transition table of `lib.rs`, row by row.

use crate::play::*;
use expect_test::expect;
use mission::*;

/// `a`'s change is being tried; that is effect 3.
fn verifying() -> Vec<Input> {
    and(at_work(), [submitted("k"), ended(2, Stop::Done)])
}

/// `a`'s change has passed and the branch is moving; that is effect 4.
fn merging() -> Vec<Input> {
    and(verifying(), [passed(3)])
}

/// One task only; its change is merged, the result is being published as effect 5 and the agent stopped as effect 6.
fn closing() -> Vec<Input> {
    vec![
        open(None),
        plan(1, vec![task("a", &[])]),
        prepared(),
        ready(1),
        submitted("k"),
        ended(2, Stop::Done),
        passed(3),
        Input::ChangeMerged { effect: EffectId(4) },
    ]
}

/// The only task has failed for good and its agent is idle: interrupt 0 asks about the task.
fn asking() -> Vec<Input> {
    let hopeless = TaskSpec { attempts_max: 1, ..task("a", &[]) };
    let plan = plan(1, vec![hopeless, task("b", &[0]), task("c", &[1])]);
    vec![open(None), plan, prepared(), ready(1), ended(2, Stop::Refusal)]
}

#[test]
fn open_asks_for_the_repository() {
    check(
        [open(None)],
        expect![[r#"
            opened opening=… effect=0 ✱ prepare_repository
        "#]],
    );
    check(
        [open(None), open(None)],
        expect![[r#"
        refused: the mission is open already
    "#]],
    );
    check(
        [Input::Pause],
        expect![[r#"
        refused: the mission has not been opened
    "#]],
    );
}

#[test]
fn propose_plan() {
    check(
        [open(None), plan(1, vec![task("a", &[])])],
        expect![[r#"
        planned plan=…
    "#]],
    );
    check(
        [open(None), plan(1, vec![])],
        expect![[r#"
        refused: the plan has no tasks
    "#]],
    );
    check(
        [open(None), plan(1, vec![task("a", &[])]), plan(1, vec![task("a", &[])])],
        expect![[r#"
        refused: the mission has a plan already
    "#]],
    );
}

#[test]
fn repository_prepared_begins_the_work() {
    check(
        [open(Some(1_000_000)), plan(1, vec![task("a", &[]), task("b", &[])]), prepared()],
        expect![[r#"
            repository_ready head=base
            assigned task=0 attempt=0 agent=0 because=… lease=31250 base=base
            agent_starting agent=0 effect=1 ✱ start_agent
        "#]],
    );
}

#[test]
fn engine_started_loses_its_agents() {
    check(
        and(at_work(), [Input::EngineStarted]),
        expect![[r#"
            engine_restarted
            agent_lost agent=0 reason=the engine ended blame=false
            agent_starting agent=0 effect=3 ✱ start_agent
        "#]],
    );
}

#[test]
fn agent_ready_is_given_its_turn() {
    check(
        at_work(),
        expect![[r#"
            agent_up agent=0
            turn_started attempt=0 turn=1 resumed=false effect=2 deadline=1804000 ✱ run_turn
        "#]],
    );
    check(
        and(at_work(), [ready(1)]),
        expect![[r#"
        refused: nothing waits for effect e1
    "#]],
    );
}

#[test]
fn agent_lost_owes_its_turn_again_until_it_was_lost_too_often() {
    let lost = || Input::AgentLost { agent: AgentId(0), reason: "killed".into(), problem: None, outside: false };
    check(
        and(at_work(), [lost()]),
        expect![[r#"
            agent_lost agent=0 reason=killed blame=true
            agent_starting agent=0 effect=3 ✱ start_agent
        "#]],
    );
    check(
        [open(None), plan(1, vec![task("a", &[])]), prepared(), lost()],
        expect![[r#"
            agent_start_failed agent=0 until=5000 error=killed
        "#]],
    );
    let often = (0..5).flat_map(|n| [lost(), ready(3 + 2 * n)]);
    check(
        and(at_work(), often.chain([lost()])),
        expect![[r#"
            agent_lost agent=0 reason=killed blame=true
            attempt_failed attempt=0 reason=lost retry=16000 problem=cause(said(killed))
        "#]],
    );
    check(
        and(closing(), [lost()]),
        expect![[r#"
        refused: the mission is stopping this agent already
    "#]],
    );
}

#[test]
fn agent_stopped_after_its_turn_took_too_long() {
    let stopped = Input::AgentStopped { effect: EffectId(4) };
    check(
        and(at_work(), [Input::Woke]),
        expect![[r#"
            turn_cancelling attempt=0 effect=3 reason=timed_out deadline=1814000 ✱ cancel_turn
        "#]],
    );
    check(
        and(at_work(), [Input::Woke, Input::Woke]),
        expect![[r#"
        agent_stopping agent=0 effect=4 reason=unresponsive ✱ stop_agent
    "#]],
    );
    check(
        and(at_work(), [Input::Woke, Input::Woke, stopped]),
        expect![[r#"
        agent_down agent=0
        attempt_failed attempt=0 reason=timed_out retry=1816000
    "#]],
    );
}

#[test]
fn session_opened() {
    let opened = || Input::SessionOpened { attempt: AttemptId(0), session: "s".into() };
    check(
        and(at_work(), [opened()]),
        expect![[r#"
        session_opened attempt=0 session=s
    "#]],
    );
    check(
        and(at_work(), [opened(), opened()]),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
}

#[test]
fn result_submitted_and_checkpoint_taken() {
    let kept = Input::CheckpointTaken { agent: AgentId(0), key: "k2".into(), commit: "c".into() };
    check(
        and(at_work(), [submitted("k")]),
        expect![[r#"
        result_claimed attempt=0 key=k summary=It works.
    "#]],
    );
    check(
        and(at_work(), [submitted("k"), submitted("k")]),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
    check(
        and(at_work(), [kept]),
        expect![[r#"
            checkpoint_taken attempt=0 key=k2 commit=c
        "#]],
    );
}

#[test]
fn turn_ended_with_a_claim() {
    check(
        verifying(),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            change_queued change=0 attempt=0 commit=work
            verify_started change=0 effect=3 onto=base at=6000 ✱ verify_change
        "#]],
    );
    let outside = Work::Changed {
        commit: "work".into(),
        paths: 2,
        outside: vec!["elsewhere".into()],
        left_out: Default::default(),
    };
    let ended_outside =
        Input::TurnEnded { effect: EffectId(2), stop: Stop::Done, work: outside, said: None, problem: None };
    check(
        and(at_work(), [submitted("k"), ended_outside]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            turn_owed attempt=0 brief=returned(outside([1]))
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    let rejected = Work::Rejected { why: "too large".into() };
    let ended_rejected =
        Input::TurnEnded { effect: EffectId(2), stop: Stop::Done, work: rejected, said: None, problem: None };
    check(
        and(at_work(), [submitted("k"), ended_rejected]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=rejected(why(too large))
            turn_owed attempt=0 brief=returned(rejected(too large))
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    let report = TaskSpec { writes: Writes::Nothing, checks: vec![], ..task("a", &[]) };
    let reporting = vec![open(None), plan(1, vec![report]), prepared(), ready(1)];
    check(
        and(reporting, [submitted("k"), ended(2, Stop::Done)]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            task_done task=0 attempt=0 summary=It works.
            closing outcome=done
            agent_stopping agent=0 effect=3 reason=closing ✱ stop_agent
        "#]],
    );
}

#[test]
fn turn_ended_without_a_claim() {
    check(
        and(at_work(), [ended(2, Stop::Done)]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            turn_owed attempt=0 brief=nudge
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1805000 ✱ run_turn
        "#]],
    );
    check(
        and(at_work(), [ended(2, Stop::Done), ended(3, Stop::Done), ended(4, Stop::Done)]),
        expect![[r#"
        turn_ended attempt=0 stop=done work=changed(…)
        attempt_failed attempt=0 reason=nothing_submitted retry=8000
    "#]],
    );
    check(
        and(at_work(), [asked("q"), ended(2, Stop::Done)]),
        expect![[r#"
        turn_ended attempt=0 stop=done work=changed(…)
        attempt_parked attempt=0 interrupt=0
    "#]],
    );
}

#[test]
fn turn_ended_from_outside() {
    check(
        and(at_work(), [Input::Pause, ended(2, Stop::Cancelled)]),
        expect![[r#"
        turn_ended attempt=0 stop=cancelled work=changed(…)
        turn_owed attempt=0 brief=task
    "#]],
    );
    check(
        and(at_work(), [ended(2, Stop::Budget)]),
        expect![[r#"
            turn_ended attempt=0 stop=budget work=changed(…)
            turn_owed attempt=0 brief=nudge
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1805000 ✱ run_turn
        "#]],
    );
    // A result that was claimed before the money ran out is judged; a turn more would only cost more.
    check(
        and(at_work(), [submitted("k"), ended(2, Stop::Budget)]),
        expect![[r#"
        turn_ended attempt=0 stop=budget work=changed(…)
        change_queued change=0 attempt=0 commit=work
        verify_started change=0 effect=3 onto=base at=6000 ✱ verify_change
    "#]],
    );
    check(
        and(at_work(), [Input::Woke, ended(2, Stop::Cancelled)]),
        expect![[r#"
        turn_ended attempt=0 stop=cancelled work=changed(…)
        attempt_failed attempt=0 reason=timed_out retry=1806000
    "#]],
    );
}

#[test]
fn rate_limited() {
    let limited = |until| Input::RateLimited { attempt: AttemptId(0), until: At(until) };
    check(
        and(at_work(), [limited(9_000)]),
        expect![[r#"
        attempt_limited attempt=0 until=9000 lasts_ms=4000
        turn_cancelling attempt=0 effect=3 reason=limited deadline=15000 ✱ cancel_turn
    "#]],
    );
    // However the agent takes it, the turn is owed, and due when the limit is over.
    let waits = and(at_work(), [limited(9_000), ended(2, Stop::ModelError)]);
    check(
        waits.clone(),
        expect![[r#"
        turn_ended attempt=0 stop=model_error work=changed(…)
        turn_owed attempt=0 brief=task
    "#]],
    );
    check(
        and(waits.clone(), [limited(8_000)]),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
    check(
        and(waits, [Input::Woke]),
        expect![[r#"
        attempt_released attempt=0
        turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1809000 ✱ run_turn
    "#]],
    );
}

#[test]
fn turn_ended_otherwise() {
    check(
        and(at_work(), [ended(2, Stop::ModelError)]),
        expect![[r#"
        turn_ended attempt=0 stop=model_error work=changed(…)
        attempt_failed attempt=0 reason=stopped(model_error) retry=6000
    "#]],
    );
    check(
        and(at_work(), [ended(2, Stop::Refusal), Input::Woke, ended(3, Stop::Refusal)]),
        expect![[r#"
            turn_ended attempt=1 stop=refusal work=changed(…)
            attempt_failed attempt=1 reason=stopped(refusal) retry=null
            interrupt_raised interrupt=0 about=task(0) question=Task 'a': the last of 2 attempts failed: the model refused. deadline=86407000 default=deny key=null
        "#]],
    );
}

#[test]
fn change_checked() {
    let verdict = |verdict| Input::ChangeChecked { effect: EffectId(3), verdict };
    check(
        merging(),
        expect![[r#"
            change_verified change=0 commit=merge3 checks=[1] effect=4 ✱ merge_change
        "#]],
    );
    check(
        and(verifying(), [verdict(Verdict::Failed { checks: vec![] })]),
        expect![[r#"
            change_returned change=0 why=checks([0])
            turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1807000 ✱ run_turn
        "#]],
    );
    check(
        and(verifying(), [verdict(Verdict::Rejected { why: "a repository in it".into() })]),
        expect![[r#"
            change_returned change=0 why=rejected(a repository in it)
            turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1807000 ✱ run_turn
        "#]],
    );
    check(
        and(verifying(), [verdict(Verdict::Conflict { hunks: "<<<<".into() })]),
        expect![[r#"
            change_returned change=0 why=conflict(hunks(<<<<))
            turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1807000 ✱ run_turn
        "#]],
    );
}

#[test]
fn change_merged() {
    check(
        and(merging(), [Input::ChangeMerged { effect: EffectId(4) }]),
        expect![[r#"
            merged change=0 head=merge3
            assigned task=1 attempt=1 agent=0 because=… lease=null base=merge3
            turn_started attempt=1 turn=1 resumed=false effect=5 deadline=1808000 ✱ run_turn
        "#]],
    );
    check(
        closing(),
        expect![[r#"
        merged change=0 head=merge3
        closing outcome=done
        publish_started commit=merge3 effect=5 ✱ publish
        agent_stopping agent=0 effect=6 reason=closing ✱ stop_agent
    "#]],
    );
}

#[test]
fn messages() {
    let two = || vec![open(None), plan(2, vec![task("a", &[]), task("b", &[])]), prepared(), ready(1), ready(2)];
    let sent = |to| Input::MessageSent { from: AgentId(0), key: "m".into(), to, body: "Hello.".into() };
    let read = |key: &str| Input::MessagesRead { agent: AgentId(1), key: key.into(), count: 9 };
    check(
        and(two(), [sent(To::Agent(AgentId(1)))]),
        expect![[r#"
            message_sent message=0 from=0 key=m to=agent(1) body=Hello.
        "#]],
    );
    check(
        and(two(), [sent(To::Agent(AgentId(0)))]),
        expect![[r#"
        refused: there is nobody to receive this message
    "#]],
    );
    check(
        and(two(), [sent(To::Role(RoleId(0))), read("r")]),
        expect![[r#"
        messages_read agent=1 key=r upto=0
    "#]],
    );
    check(
        and(two(), [sent(To::Role(RoleId(0))), read("r"), read("r")]),
        expect![[r#"
        refused: this call was taken before
    "#]],
    );
    check(and(two(), [sent(To::Topic(Topic::Status)), read("r")]), expect![[""]]);
}

#[test]
fn interrupt_asked() {
    check(
        and(at_work(), [asked("q")]),
        expect![[r#"
            interrupt_raised interrupt=0 about=question(0) question=Which one? deadline=86405000 default=text(Nobody answered in time. Decide by yourself, say which assum) key=q
        "#]],
    );
    check(
        and(at_work(), [asked("q"), asked("q2")]),
        expect![[r#"
        refused: a question of this turn is open already; end the turn and wait for the answer
    "#]],
    );
}

#[test]
fn egress_refused() {
    let refused = |agent: u32, host: &str| Input::EgressRefused {
        agent: AgentId(agent),
        refusal: Refusal {
            host: host.into(),
            port: 443,
            reason: "no rule names it".into(),
            allow: Some(format!("{host}:443")),
            times: 9,
        },
    };
    check(
        and(at_work(), [refused(0, "a.test")]),
        expect![[r#"
            egress_refused agent=0 host=a.test port=443 reason=no rule names it allow=a.test:443 times=9 last=false
        "#]],
    );
    let many = |count: u32| (0..count).map(|host| refused(0, &format!("{host}.test")));
    check(
        and(at_work(), many(limits::REFUSALS_MAX)),
        expect![[r#"
            egress_refused agent=0 host=63.test port=443 reason=no rule names it allow=63.test:443 times=9 last=true
        "#]],
    );
    check(
        and(at_work(), many(limits::REFUSALS_MAX + 1)),
        expect![[r#"
            refused: enough refusals of agent a0 are recorded; further ones are only counted
        "#]],
    );
    check(
        and(at_work(), [refused(7, "a.test")]),
        expect![[r#"
            refused: there is no agent a7
        "#]],
    );
    check(
        and(at_work(), [refused(0, &"a".repeat(254))]),
        expect![[r#"
            refused: the text has 254 bytes, at most 253 are allowed
        "#]],
    );
}

#[test]
fn answered() {
    let parked = and(at_work(), [asked("q"), ended(2, Stop::Done)]);
    check(
        and(parked, [answer(0, Answer::Text("The first.".into()))]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=text(The first.) by=person
            turn_owed attempt=0 brief=answered(…)
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1807000 ✱ run_turn
        "#]],
    );
    check(
        and(asking(), [answer(0, Answer::Approve)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            task_reopened task=0
            assigned task=0 attempt=1 agent=0 because=… lease=null base=base
            turn_started attempt=1 turn=1 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    check(
        and(asking(), [answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
            task_failed task=0 why=its attempts are used up
            task_skipped task=1 because=0
            task_skipped task=2 because=0
            closing outcome=failed
            agent_stopping agent=0 effect=3 reason=closing ✱ stop_agent
        "#]],
    );
    check(
        and(at_work(), [answer(0, Answer::Deny)]),
        expect![[r#"
        refused: interrupt i0 is not open; it may have been answered already
    "#]],
    );
    let unpublished = and(closing(), [failed(5, EffectFailure::Fatal)]);
    check(
        and(unpublished.clone(), [answer(0, Answer::Approve)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            publish_started commit=merge3 effect=7 ✱ publish
        "#]],
    );
    check(
        and(unpublished, [answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
            publish_abandoned
        "#]],
    );
}

#[test]
fn lease_asked_and_the_cap() {
    let work = || vec![open(Some(3_200)), plan(1, vec![task("a", &[])]), prepared(), ready(1)];
    let lease = |micros| Input::LeaseAsked {
        attempt: AttemptId(0),
        micros: Micros(micros),
        least: Micros(micros),
        waits: false,
    };
    check(
        and(work(), [lease(1)]),
        expect![[r#"
        lease_granted attempt=0 micros=100
    "#]],
    );
    check(
        and(work(), [lease(3_100)]),
        expect![[r#"
        lease_granted attempt=0 micros=3100
    "#]],
    );
    check(
        and(work(), [lease(3_101)]),
        expect![[r#"
            paused why=budget
            interrupt_raised interrupt=0 about=budget question=The budget of $0.0032 does not cover the next model call: $0 deadline=86405000 default=deny key=null
        "#]],
    );
    check(
        and(work(), [lease(3_101), answer(0, Answer::Text("0.01".into()))]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=text(0.01) by=person
            budget_raised by=10000
            resumed
        "#]],
    );
    check(
        and(work(), [lease(3_101), answer(0, Answer::Text("much".into()))]),
        expect![[r#"
        refused: 'much' is not an amount of dollars, such as 2 or 2.50
    "#]],
    );
    check(
        and(work(), [lease(3_101), answer(0, Answer::Deny)]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=person
            closing outcome=cancelled
            turn_cancelling attempt=0 effect=3 reason=closing deadline=16000 ✱ cancel_turn
        "#]],
    );
    check(
        and(work(), [lease(3_101), lease(3_101)]),
        expect![[r#"
            refused: the budget does not cover this; interrupt i0 asks for more
        "#]],
    );
}

#[test]
fn usage_settled() {
    let usage = Usage { input_tokens: 7, output_tokens: 2, cost: Some(Micros(5)), ..Usage::default() };
    check(
        and(at_work(), [Input::UsageSettled { attempt: AttemptId(0), usage }]),
        expect![[r#"
        usage_settled attempt=0 usage=…
    "#]],
    );
}

#[test]
fn effect_failed() {
    let begun = || vec![open(None), plan(1, vec![task("a", &[])])];
    let starting = || and(begun(), [prepared()]);
    check(
        and(starting(), [failed(1, EffectFailure::Transient)]),
        expect![[r#"
            agent_start_failed agent=0 until=5000 error=it broke
        "#]],
    );
    check(
        and(starting(), [failed(1, EffectFailure::Fatal)]),
        expect![[r#"
            agent_start_failed agent=0 until=5000 error=it broke
            attempt_failed attempt=0 reason=unavailable retry=5000 problem=cause(said(it broke))
        "#]],
    );
    check(
        and(starting(), [failed(1, EffectFailure::NoSpace)]),
        expect![[r#"
            agent_start_failed agent=0 until=64000 error=it broke
            paused why=space
            interrupt_raised interrupt=0 about=space question=The disk is full. Nothing is lost. Make room and approve to deadline=64000 default=approve key=null
        "#]],
    );
    check(
        and(at_work(), [failed(2, EffectFailure::Transient)]),
        expect![[r#"
        attempt_failed attempt=0 reason=infrastructure(it broke) retry=6000
    "#]],
    );
    check(
        and(at_work(), [failed(2, EffectFailure::NoSpace)]),
        expect![[r#"
            turn_owed attempt=0 brief=task
            paused why=space
            interrupt_raised interrupt=0 about=space question=The disk is full. Nothing is lost. Make room and approve to deadline=65000 default=approve key=null
        "#]],
    );
    check(
        and(begun(), [failed(0, EffectFailure::Transient)]),
        expect![[r#"
            effect_delayed failed=0 until=4000 error=it broke
        "#]],
    );
    check(
        and(begun(), [failed(0, EffectFailure::Transient), Input::Woke]),
        expect![[r#"
            effect_retried failed=0 effect=1 error= ✱ prepare_repository
        "#]],
    );
    check(
        and(begun(), [failed(0, EffectFailure::Fatal)]),
        expect![[r#"
            closing outcome=failed why=it broke
            closed outcome=failed
        "#]],
    );
    check(
        and(verifying(), [failed(3, EffectFailure::Fatal)]),
        expect![[r#"
        attempt_failed attempt=0 reason=infrastructure(it broke) retry=8000
    "#]],
    );
    check(
        and(closing(), [failed(5, EffectFailure::Fatal)]),
        expect![[r#"
            interrupt_raised interrupt=0 about=publish question=The result could not be put into your repository: it broke. deadline=86409000 default=deny key=null
        "#]],
    );
}

#[test]
fn space_exhausted() {
    check(
        and(at_work(), [Input::SpaceExhausted]),
        expect![[r#"
            paused why=space
            interrupt_raised interrupt=0 about=space question=The disk is full. Nothing is lost. Make room and approve to deadline=65000 default=approve key=null
        "#]],
    );
    check(
        and(at_work(), [Input::SpaceExhausted, Input::Woke]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=default
            resumed
        "#]],
    );
}

#[test]
fn pause_and_resume() {
    check(
        and(at_work(), [Input::Pause]),
        expect![[r#"
            paused why=person
            turn_cancelling attempt=0 effect=3 reason=paused deadline=15000 ✱ cancel_turn
        "#]],
    );
    check(
        and(at_work(), [Input::Pause, ended(2, Stop::Cancelled), Input::Resume]),
        expect![[r#"
            resumed
            turn_started attempt=0 turn=2 resumed=false effect=4 deadline=1807000 ✱ run_turn
        "#]],
    );
    check(
        and(at_work(), [Input::Resume]),
        expect![[r#"
        refused: the mission is not paused
    "#]],
    );
}

#[test]
fn cancel() {
    check(
        and(at_work(), [Input::Cancel]),
        expect![[r#"
            closing outcome=cancelled
            turn_cancelling attempt=0 effect=3 reason=closing deadline=15000 ✱ cancel_turn
        "#]],
    );
    check(
        and(at_work(), [Input::Cancel, ended(2, Stop::Cancelled)]),
        expect![[r#"
        turn_ended attempt=0 stop=cancelled work=changed(…)
        attempt_failed attempt=0 reason=closing retry=null
        agent_stopping agent=0 effect=4 reason=closing ✱ stop_agent
    "#]],
    );
    check(
        and(merging(), [Input::Cancel]),
        expect![[r#"
        closing outcome=cancelled
    "#]],
    );
    check(
        and(merging(), [Input::Cancel, Input::ChangeMerged { effect: EffectId(4) }]),
        expect![[r#"
        merged change=0 head=merge3
        publish_started commit=merge3 effect=5 ✱ publish
        agent_stopping agent=0 effect=6 reason=closing ✱ stop_agent
    "#]],
    );
    check(
        [open(None), Input::Cancel],
        expect![[r#"
        closing outcome=cancelled
        closed outcome=cancelled
    "#]],
    );
}

#[test]
fn result_published_and_the_end() {
    let published = Input::ResultPublished { effect: EffectId(5) };
    check(
        and(closing(), [published.clone()]),
        expect![[r#"
        published branch=muster/m commit=merge3
    "#]],
    );
    check(
        and(closing(), [published, Input::AgentStopped { effect: EffectId(6) }]),
        expect![[r#"
        agent_down agent=0
        closed outcome=done
    "#]],
    );
}

#[test]
fn retry() {
    check(
        and(asking(), [Input::Retry { task: TaskId(0) }]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=approve by=person
            task_reopened task=0
            assigned task=0 attempt=1 agent=0 because=… lease=null base=base
            turn_started attempt=1 turn=1 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    check(
        and(asking(), [Input::Retry { task: TaskId(1) }]),
        expect![[r#"
        refused: task t1 has not failed
    "#]],
    );
}

#[test]
fn woke_works_off_what_is_due() {
    check(
        and(asking(), [Input::Woke]),
        expect![[r#"
            interrupt_answered interrupt=0 answer=deny by=default
            task_failed task=0 why=its attempts are used up
            task_skipped task=1 because=0
            task_skipped task=2 because=0
            closing outcome=failed
            agent_stopping agent=0 effect=3 reason=closing ✱ stop_agent
        "#]],
    );
    let starting = vec![open(None), plan(1, vec![task("a", &[])]), prepared()];
    check(
        and(starting, [failed(1, EffectFailure::Transient), Input::Woke]),
        expect![[r#"
        agent_rested agent=0
        agent_starting agent=0 effect=2 ✱ start_agent
    "#]],
    );
    check(
        and(at_work(), [ended(2, Stop::Refusal), Input::Woke]),
        expect![[r#"
            task_ready task=0
            assigned task=0 attempt=1 agent=0 because=… lease=null base=base
            turn_started attempt=1 turn=1 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
}
