//! A task whose result is its text.

use crate::*;

#[test]
fn last_words_are_the_result_of_a_task_that_changes_nothing() {
    let (mut mission, effect) = at_work(Writes::Nothing);
    let facts = mission.decide(At(9), ended(effect, Some("The answer is 7."))).unwrap();
    assert_eq!(result(&facts), Some("The answer is 7."));
}

#[test]
fn what_was_submitted_wins_over_last_words() {
    let (mut mission, effect) = at_work(Writes::Nothing);
    let claim = Input::ResultSubmitted { agent: AgentId(0), key: "k".into(), summary: "7".into() };
    mission.decide(At(8), claim).unwrap();
    let facts = mission.decide(At(9), ended(effect, Some("I have submitted it."))).unwrap();
    assert_eq!(result(&facts), Some("7"));
}

#[test]
fn words_are_no_result_where_files_are_wanted_or_nothing_was_said() {
    for (writes, said) in [(Writes::Anything, Some("Done.")), (Writes::Nothing, Some(" \n")), (Writes::Nothing, None)] {
        let (mut mission, effect) = at_work(writes);
        let facts = mission.decide(At(9), ended(effect, said)).unwrap();
        assert!(facts.iter().any(|fact| matches!(fact, Fact::TurnOwed { brief: Brief::Nudge, .. })), "{facts:?}");
    }
}

#[test]
fn an_agent_that_has_asked_a_question_is_waiting_and_not_done() {
    let (mut mission, effect) = at_work(Writes::Nothing);
    let asked = Input::InterruptAsked { agent: AgentId(0), key: "k".into(), question: "Which?".into(), default: None };
    mission.decide(At(8), asked).unwrap();
    let facts = mission.decide(At(9), ended(effect, Some("I am waiting."))).unwrap();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::AttemptParked { .. })), "{facts:?}");
}

#[test]
fn endless_words_are_cut() {
    let (mut mission, effect) = at_work(Writes::Nothing);
    let facts = mission.decide(At(9), ended(effect, Some(&"é".repeat(limits::TEXT_BYTES_MAX)))).unwrap();
    assert_eq!(result(&facts).map(str::len), Some(limits::TEXT_BYTES_MAX));
}

/// A mission of one task whose agent is in its first turn, and the turn's effect.
fn at_work(writes: Writes) -> (Mission, EffectId) {
    let check = Check { run: "true".into(), timeout_ms: 1000 };
    let task = TaskSpec {
        name: "t".into(),
        title: "a task".into(),
        role: RoleId(0),
        instructions: "do it".into(),
        depends_on: vec![],
        checks: if writes == Writes::Nothing { vec![] } else { vec![check] },
        writes,
        may_change_nothing: false,
        attempts_max: 1,
        budget: None,
        dispatch: crate::dispatch::Dispatch::default(),
    };
    let role = Role { name: "r".into(), count: 1, ..Role::default() };
    let opening = Opening {
        goal: "g".into(),
        repository: "/r".into(),
        base: "b".into(),
        branch: "muster/m".into(),
        budget: None,
        limits: Limits::default(),
        settings: String::new(),
    };
    let mut mission = Mission::default();
    mission.decide(At(1), Input::Open(Box::new(opening))).unwrap();
    mission
        .decide(At(1), Input::ProposePlan(Box::new(Plan { roles: vec![role], tasks: vec![task], ..Plan::default() })))
        .unwrap();
    let effect = only_effect(&mission);
    mission
        .decide(At(2), Input::RepositoryPrepared { effect, head: "b".into(), tried: Vec::new(), problem: None })
        .unwrap();
    let effect = only_effect(&mission);
    mission.decide(At(3), Input::AgentReady { effect }).unwrap();
    let effect = only_effect(&mission);
    (mission, effect)
}

fn only_effect(mission: &Mission) -> EffectId {
    mission.in_flight().next().unwrap().id
}

fn ended(effect: EffectId, said: Option<&str>) -> Input {
    Input::TurnEnded { effect, stop: Stop::Done, work: Work::None, said: said.map(str::to_owned), problem: None }
}

fn result(facts: &[Fact]) -> Option<&str> {
    facts.iter().find_map(|fact| match fact {
        Fact::TaskDone { summary, .. } => Some(summary.as_str()),
        _ => None,
    })
}
