//! A change that is empty, or lacks what is in the workspace: the agent hears it once, and nothing of it is called merged.

use crate::play::*;
use expect_test::expect;
use mission::*;

fn left(why: WhyLeftOut, wanted: bool) -> LeftOuts {
    LeftOuts { shown: vec![LeftOut { path: "dist/".into(), inside: None, why, wanted }], more: 0 }
}

fn ignored() -> LeftOuts {
    left(WhyLeftOut::Ignored(".gitignore:1 (dist/)".into()), true)
}

fn at_work_on(writes: Writes, may_change_nothing: bool) -> Vec<Input> {
    let task = TaskSpec { writes, may_change_nothing, attempts_max: 1, ..task("a", &[]) };
    vec![open(None), plan(1, vec![task]), prepared(), ready(1)]
}

fn dist() -> Writes {
    Writes::Only(vec!["dist/**".into()])
}

fn ended_with(effect: u64, work: Work) -> Input {
    Input::TurnEnded { effect: EffectId(effect), stop: Stop::Done, work, said: None, problem: None }
}

fn nothing(left_out: LeftOuts) -> Work {
    Work::Unchanged { commit: "base".into(), left_out }
}

#[test]
fn an_empty_change_comes_back_once_and_then_fails_with_the_reason() {
    let first = and(at_work_on(dist(), false), [submitted("k"), ended_with(2, nothing(ignored()))]);
    check(
        first.clone(),
        expect![[r#"
        turn_ended attempt=0 stop=done work=unchanged(…)
        turn_owed attempt=0 brief=returned(unchanged(…))
        turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1806000 ✱ run_turn
    "#]],
    );
    let play = Play::new(and(first, [submitted("l"), ended_with(3, nothing(ignored()))]));
    let question: String = play.mission.interrupts().map(|(_, open)| open.question.clone()).collect();
    assert!(
        question.contains("it was submitted and changes nothing: dist/ is ignored by .gitignore:1 (dist/)"),
        "{question}"
    );
}

#[test]
fn where_nothing_may_be_changed_there_is_nothing_to_merge() {
    for writes in [dist(), Writes::Anything] {
        let inputs = [submitted("k"), ended_with(2, nothing(LeftOuts::default()))];
        let allowed = writes == dist();
        let play = Play::new(and(at_work_on(writes, allowed), inputs));
        assert!(play.mission.in_flight().any(|effect| matches!(effect.kind, EffectKind::VerifyChange { .. })));
    }
    let verified = Input::ChangeChecked {
        effect: EffectId(3),
        verdict: Verdict::Passed { commit: "base".into(), checks: Vec::new() },
    };
    check(
        and(
            at_work_on(dist(), true),
            [submitted("k"), ended_with(2, nothing(ignored())), verified, Input::ChangeMerged { effect: EffectId(4) }],
        ),
        expect![[r#"
            merged change=0 head=base nothing=true
            closing outcome=done
            agent_stopping agent=0 effect=5 reason=closing ✱ stop_agent
        "#]],
    );
}

#[test]
fn what_a_change_lacks_comes_back_once_when_it_matters() {
    let work = |left_out| Work::Changed { commit: "work".into(), paths: 1, outside: Vec::new(), left_out };
    let denied = left(WhyLeftOut::Unreadable("Permission denied".into()), false);
    check(
        and(at_work_on(Writes::Anything, false), [submitted("k"), ended_with(2, work(denied.clone()))]),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            turn_owed attempt=0 brief=returned(left_out(…))
            turn_started attempt=0 turn=2 resumed=false effect=3 deadline=1806000 ✱ run_turn
        "#]],
    );
    // It is submitted again as it is: then that is what it is.
    check(
        and(
            at_work_on(Writes::Anything, false),
            [submitted("k"), ended_with(2, work(denied.clone())), submitted("l"), ended_with(3, work(denied))],
        ),
        expect![[r#"
            turn_ended attempt=0 stop=done work=changed(…)
            change_queued change=0 attempt=0 commit=work
            verify_started change=0 effect=4 onto=base at=8000 ✱ verify_change
        "#]],
    );
    // Build products that the repository ignores are nobody's loss.
    let cache = left(WhyLeftOut::Ignored(".gitignore:1 (dist/)".into()), false);
    check(
        and(at_work_on(Writes::Anything, false), [submitted("k"), ended_with(2, work(cache))]),
        expect![[r#"
        turn_ended attempt=0 stop=done work=changed(…)
        change_queued change=0 attempt=0 commit=work
        verify_started change=0 effect=3 onto=base at=6000 ✱ verify_change
    "#]],
    );
}

#[test]
fn facts_of_before_are_read_as_they_were() {
    let old = r#"{"turn_ended":{"attempt":0,"stop":"done","work":{"unchanged":{"commit":"base"}}}}"#;
    let fact: Fact = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&fact).unwrap(), old);
    let old = r#"{"merged":{"change":0,"head":"base"}}"#;
    let fact: Fact = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&fact).unwrap(), old);
}
