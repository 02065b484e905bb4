//! Dispatch by table: who gets a task, and how that is explained.

use super::*;
use expect_test::{Expect, expect};
use mission::*;

/// A mission in which the task `a` is looked at, and rivals of it.
struct Play {
    mission: Mission,
    trail: Trail,
    now: At,
    /// What was decided about the task so far.
    told: Vec<String>,
}

fn role(name: &str, capabilities: &[&str]) -> Role {
    let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
    Role {
        name: name.into(),
        count: 1,
        instructions: String::new(),
        skills: Skills { capabilities, ..Skills::default() },
    }
}

fn priced(name: &str, dollars: u64) -> Role {
    let known = role(name, &[]);
    Role { skills: Skills { price: Some(dollars * 1_000_000), ..known.skills }, ..known }
}

/// A role that did so many bug fixes well, and so many badly.
fn with_past(name: &str, done: u32, failed: u32) -> Role {
    let known = role(name, &[]);
    let past = [("bug_fix".to_owned(), Past { done, failed })].into();
    Role { skills: Skills { past, ..known.skills }, ..known }
}

fn found(name: &str, state: HealthState, reason: &str) -> Role {
    let known = role(name, &[]);
    let found = Some(Health { state, reason: reason.into(), since: At(500) });
    Role { skills: Skills { found, ..known.skills }, ..known }
}

fn task(name: &str, roles: &[u32], compete: bool) -> TaskSpec {
    let also = roles[1..].iter().map(|role| RoleId(*role)).collect();
    let profile = Profile { kind: "bug_fix".into(), size: Size::Small, wants: vec![] };
    TaskSpec {
        name: name.into(),
        title: name.into(),
        role: RoleId(roles[0]),
        instructions: "Do it.".into(),
        depends_on: vec![],
        writes: Writes::Anything,
        checks: vec![Check { run: "true".into(), timeout_ms: 1_000 }],
        may_change_nothing: false,
        attempts_max: 4,
        budget: None,
        dispatch: Dispatch { also, compete, profile, ..Dispatch::default() },
    }
}

fn wants(task: TaskSpec, wants: &[&str]) -> TaskSpec {
    let wants = wants.iter().map(|want| (*want).to_owned()).collect();
    let profile = Profile { wants, ..task.dispatch.profile.clone() };
    TaskSpec { dispatch: Dispatch { profile, ..task.dispatch }, ..task }
}

fn needs(task: TaskSpec, need: &str) -> TaskSpec {
    TaskSpec { dispatch: Dispatch { needs: vec![need.into()], ..task.dispatch }, ..task }
}

/// The task waits for `b`, which the second role does, while the first is at `c`.
fn behind_two(a: TaskSpec) -> Vec<TaskSpec> {
    vec![
        TaskSpec { depends_on: vec![TaskId(1)], ..a },
        TaskSpec { writes: Writes::Nothing, ..task("b", &[1], false) },
        task("c", &[0], false),
    ]
}

fn plan(roles: Vec<Role>, tasks: Vec<TaskSpec>) -> Plan {
    Plan { roles, tasks, ..Plan::default() }
}

impl Play {
    fn new(plan: Plan) -> Self {
        let mut play = Self { mission: Mission::default(), trail: Trail::default(), now: At(0), told: Vec::new() };
        let opening = Opening {
            goal: "a goal".into(),
            repository: "/r".into(),
            base: "base".into(),
            branch: "muster/m".into(),
            budget: None,
            limits: Limits { effect_retries_max: 0, ..Limits::default() },
            settings: String::new(),
        };
        play.tell(Input::Open(Box::new(opening)));
        play.tell(Input::ProposePlan(Box::new(plan)));
        play
    }

    fn begin(&mut self) {
        self.tell(Input::RepositoryPrepared {
            effect: EffectId(0),
            head: "base".into(),
            tried: Vec::new(),
            problem: None,
        });
    }

    fn tell(&mut self, input: Input) {
        self.now = self.now.after(1_000);
        if input == Input::Woke {
            self.now = self.now.max(self.mission.next_wakeup().unwrap());
        }
        for fact in self.mission.decide(self.now, input).unwrap() {
            self.trail.note(&fact);
            if let Fact::Assigned { task, agent, because, .. } = &fact
                && self.trail.task_name(*task).starts_with('a')
            {
                let ranking = because.ranking.as_deref();
                let why = ranking.map_or("there was no choice".to_owned(), |ranking| {
                    format!(
                        "{}\n{}",
                        why(&self.trail, ranking, because.role),
                        evidence(&self.trail, ranking, because.role)
                    )
                });
                self.told.push(format!("{}: {why}\n", self.trail.agent_name(*agent)));
            }
            self.trail.apply(&fact);
        }
    }

    /// The agent of the task starts and ends its turn for a reason that fails the attempt; then the task's rest is over.
    fn fails(&mut self) {
        let start = self.mission.in_flight().find(|effect| matches!(effect.kind, EffectKind::StartAgent { .. }));
        if let Some(effect) = start {
            self.tell(Input::AgentReady { effect: effect.id });
        }
        let turn = self.mission.in_flight().find(|effect| matches!(effect.kind, EffectKind::RunTurn { .. })).unwrap();
        let work = Work::Unchanged { commit: "base".into(), left_out: Default::default() };
        self.tell(Input::TurnEnded { effect: turn.id, stop: Stop::Refusal, work, said: None, problem: None });
        self.tell(Input::Woke);
    }

    /// The agent of the task cannot be started; then the task's rest is over.
    fn cannot_start(&mut self) {
        let start =
            self.mission.in_flight().find(|effect| matches!(effect.kind, EffectKind::StartAgent { .. })).unwrap();
        self.tell(Input::EffectFailed {
            effect: start.id,
            failure: EffectFailure::Fatal,
            error: "no such program".into(),
            problem: None,
        });
        self.tell(Input::Woke);
    }

    /// Everybody who has a task is at work on it.
    fn all_begin(&mut self) {
        self.begin();
        let starts: Vec<EffectId> = self.mission.in_flight().map(|effect| effect.id).collect();
        starts.into_iter().for_each(|effect| self.tell(Input::AgentReady { effect }));
    }

    /// Task `b` is done.
    fn the_other_ends(&mut self) {
        let is_b = |effect: &Effect| matches!(effect.kind, EffectKind::RunTurn { task: TaskId(1), .. });
        let effect = self.mission.in_flight().find(is_b).unwrap().id;
        let work = Work::Unchanged { commit: "base".into(), left_out: Default::default() };
        self.tell(Input::TurnEnded { effect, stop: Stop::Done, work, said: Some("Done.".into()), problem: None });
    }

    fn limited(&mut self, attempt: u32) {
        self.tell(Input::RateLimited { attempt: AttemptId(attempt), until: self.now.after(600_000) });
    }

    fn health(&mut self, role: u32, state: HealthState, reason: &str) {
        self.tell(Input::HealthChecked { role: RoleId(role), state, reason: reason.into() });
    }
}

struct Case {
    name: &'static str,
    plan: Plan,
    then: fn(&mut Play),
    expect: Expect,
}

fn begin(play: &mut Play) {
    play.begin();
}

#[test]
fn who_gets_a_task_and_why() {
    use HealthState::{Active, Blocked, Degraded, Down};
    let two = || vec![role("codex", &[]), role("claude", &[])];
    let first = |compete| task("a", &[0, 1], compete);
    let limit = |role| Allowance { scope: Scope::Role(RoleId(role)), measure: Measure::Calls, most: 10, per: None };
    let cases = [
        Case {
            name: "one role is no choice",
            plan: plan(two(), vec![task("a", &[0], false)]),
            then: begin,
            expect: expect![[r#"
                one role is no choice
                codex-1: there was no choice
            "#]],
        },
        Case {
            name: "the preferred one",
            plan: plan(two(), vec![first(false)]),
            then: begin,
            expect: expect![[r#"
            the preferred one
            codex-1: codex is preferred
            the task: bug_fix, small
            > codex   80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
              claude  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
        "#]],
        },
        Case {
            name: "the preferred one is down",
            plan: plan(vec![found("codex", Down, "exit status 1"), role("claude", &[])], vec![first(false)]),
            then: begin,
            expect: expect![[r#"
                the preferred one is down
                claude-1: codex has been down for 2 s: exit status 1; claude is next
                the task: bug_fix, small
                  codex   57 points  has been down for 2 s: exit status 1  capability 100, health 0, budget 100, price 50, history 50
                > claude  80 points  1 free                                capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "the preferred one is blocked",
            plan: plan(vec![found("cursor", Blocked, "log in first"), role("claude", &[])], vec![first(false)]),
            then: begin,
            expect: expect![[r#"
                the preferred one is blocked
                claude-1: cursor has been blocked for 2 s: log in first; claude is next
                the task: bug_fix, small
                  cursor  57 points  has been blocked for 2 s: log in first  capability 100, health 0, budget 100, price 50, history 50
                > claude  80 points  1 free                                  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "degraded is still preferred",
            plan: plan(vec![found("codex", Degraded, "slow"), role("claude", &[])], vec![first(false)]),
            then: begin,
            expect: expect![[r#"
                degraded is still preferred
                codex-1: codex is preferred
                the task: bug_fix, small
                > codex   66 points  1 free  capability 100, health 40, budget 100, price 50, history 50
                  claude  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "all are down, so the first is tried",
            plan: plan(vec![found("codex", Down, "gone"), found("claude", Down, "gone too")], vec![first(false)]),
            then: begin,
            expect: expect![[r#"
                all are down, so the first is tried
                codex-1: nothing less speaks against codex than against any other, though it has been down for 2 s: gone
                the task: bug_fix, small
                > codex   57 points  has been down for 2 s: gone      capability 100, health 0, budget 100, price 50, history 50
                  claude  57 points  has been down for 2 s: gone too  capability 100, health 0, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "the preferred one falls ill before its second attempt",
            plan: plan(two(), vec![first(false)]),
            then: |play| {
                play.begin();
                play.health(0, Down, "no answer within 5000 ms");
                play.fails();
            },
            expect: expect![[r#"
                the preferred one falls ill before its second attempt
                claude-1: codex has been down for 3 s: no answer within 5000 ms; claude is next
                the task: bug_fix, small
                  codex   53 points  has been down for 3 s: no answer within 5000 ms  capability 100, health 0, budget 100, price 50, history 33
                > claude  80 points  1 free                                           capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "it is well again",
            plan: plan(vec![found("codex", Down, "gone"), role("claude", &[])], vec![first(false)]),
            then: |play| {
                play.health(0, Active, "");
                play.begin();
            },
            expect: expect![[r#"
                it is well again
                codex-1: codex is preferred
                the task: bug_fix, small
                > codex   80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
                  claude  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "a first failure is tried again by the same, with evidence",
            plan: plan(two(), vec![first(false)]),
            then: |play| {
                play.begin();
                play.fails();
            },
            expect: expect![[r#"
                a first failure is tried again by the same, with evidence
                codex-1: codex is preferred
                the task: bug_fix, small
                > codex   76 points  1 free  capability 100, health 100, budget 100, price 50, history 33
                  claude  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "a second failure goes to the next",
            plan: plan(two(), vec![first(false)]),
            then: |play| {
                play.begin();
                play.fails();
                play.fails();
            },
            expect: expect![[r#"
                a second failure goes to the next
                claude-1: codex has failed this task 2 times; claude is next
                the task: bug_fix, small
                  codex   75 points  has failed this task 2 times  capability 100, health 100, budget 100, price 50, history 25
                > claude  80 points  1 free                        capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "one that cannot be started goes to the next at once",
            plan: plan(two(), vec![first(false)]),
            then: |play| {
                play.begin();
                play.cannot_start();
            },
            expect: expect![[r#"
                one that cannot be started goes to the next at once
                claude-1: codex could not be started; claude is next
                the task: bug_fix, small
                  codex   80 points  could not be started  capability 100, health 100, budget 100, price 50, history 50
                > claude  80 points  1 free                capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "the provider of the preferred one takes no calls",
            plan: plan(vec![Role { count: 2, ..role("codex", &[]) }, role("claude", &[])], behind_two(first(false))),
            then: |play| {
                play.all_begin();
                play.limited(0);
                play.the_other_ends();
            },
            expect: expect![[r#"
                the provider of the preferred one takes no calls
                claude-1: codex must wait for its provider, 9 min more; claude is next
                the task: bug_fix, small
                  codex   80 points  must wait for its provider, 9 min more  capability 100, health 100, budget 100, price 50, history 50
                > claude  84 points  1 free                                  capability 100, health 100, budget 100, price 50, history 66
            "#]],
        },
        Case {
            name: "a need that the preferred one lacks",
            plan: plan(
                vec![role("codex", &["edit"]), role("claude", &["edit", "web"])],
                vec![needs(first(false), "web")],
            ),
            then: begin,
            expect: expect![[r#"
                a need that the preferred one lacks
                claude-1: codex lacks `web`; claude is next
                the task: bug_fix, small, needs web
                  codex   80 points  lacks `web`  capability 100, health 100, budget 100, price 50, history 50
                > claude  80 points  1 free       capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "a boundary that a runtime cannot hold",
            plan: plan(
                vec![
                    Role {
                        skills: Skills {
                            unheld: Some("runtime `codex` starts its commands itself".into()),
                            ..Skills::default()
                        },
                        ..role("codex", &[])
                    },
                    role("claude", &[]),
                ],
                vec![first(false)],
            ),
            then: begin,
            expect: expect![[r#"
                a boundary that a runtime cannot hold
                claude-1: codex cannot hold its boundaries: runtime `codex` starts its commands itself; claude is next
                the task: bug_fix, small
                  codex   80 points  cannot hold its boundaries: runtime `codex` starts its commands itself  capability 100, health 100, budget 100, price 50, history 50
                > claude  80 points  1 free                                                                  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "a role that may change no files",
            plan: plan(
                vec![
                    Role { skills: Skills { read_only: true, ..Skills::default() }, ..role("reader", &[]) },
                    role("claude", &[]),
                ],
                vec![first(false)],
            ),
            then: begin,
            expect: expect![[r#"
                a role that may change no files
                claude-1: reader may change no files; claude is next
                the task: bug_fix, small
                  reader  80 points  may change no files  capability 100, health 100, budget 100, price 50, history 50
                > claude  80 points  1 free               capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "a budget that is used up",
            plan: Plan {
                allowances: vec![limit(0)],
                ..plan(vec![Role { count: 2, ..role("codex", &[]) }, role("claude", &[])], behind_two(first(false)))
            },
            then: |play| {
                play.all_begin();
                play.tell(Input::AllowanceShort { attempt: AttemptId(0), allowance: AllowanceId(0) });
                play.the_other_ends();
            },
            expect: expect![[r#"
                a budget that is used up
                claude-1: codex has used up its budget; claude is next
                the task: bug_fix, small
                  codex   80 points  has used up its budget  capability 100, health 100, budget 100, price 50, history 50
                > claude  84 points  1 free                  capability 100, health 100, budget 100, price 50, history 66
            "#]],
        },
        Case {
            name: "the cheapest of those who compete",
            plan: plan(
                vec![priced("dear", 12), priced("cheap", 3), role("unknown", &[])],
                vec![task("a", &[0, 1, 2], true)],
            ),
            then: begin,
            expect: expect![[r#"
                the cheapest of those who compete
                cheap-1: cheap has the most points, 88; next is unknown with 80
                the task: bug_fix, small
                  dear     76 points  1 free  capability 100, health 100, budget 100, price 25, history 50
                > cheap    88 points  1 free  capability 100, health 100, budget 100, price 100, history 50
                  unknown  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "whoever did such work well before",
            plan: plan(
                vec![with_past("young", 0, 0), with_past("clumsy", 2, 8), with_past("seasoned", 9, 1)],
                vec![task("a", &[0, 1, 2], true)],
            ),
            then: begin,
            expect: expect![[r#"
                whoever did such work well before
                seasoned-1: seasoned has the most points, 88; next is young with 80
                the task: bug_fix, small
                  young     80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
                  clumsy    75 points  1 free  capability 100, health 100, budget 100, price 50, history 25
                > seasoned  88 points  1 free  capability 100, health 100, budget 100, price 50, history 83
            "#]],
        },
        Case {
            name: "whoever can what is good to have",
            plan: plan(
                vec![role("plain", &[]), role("thinker", &["complex_reasoning", "web"])],
                vec![wants(first(true), &["complex_reasoning", "images"])],
            ),
            then: begin,
            expect: expect![[r#"
                whoever can what is good to have
                thinker-1: thinker has the most points, 65; next is plain with 50
                the task: bug_fix, small, wants complex_reasoning, images
                  plain    50 points  1 free  capability 0, health 100, budget 100, price 50, history 50
                > thinker  65 points  1 free  capability 50, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "of equals the first",
            plan: plan(two(), vec![first(true)]),
            then: begin,
            expect: expect![[r#"
                of equals the first
                codex-1: codex and claude have 80 points; the first is taken
                the task: bug_fix, small
                > codex   80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
                  claude  80 points  1 free  capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
        Case {
            name: "the best is busy, so the best that is free",
            plan: plan(vec![priced("cheap", 1), priced("dear", 9)], behind_two(first(true))),
            then: |play| {
                play.all_begin();
                play.the_other_ends();
            },
            expect: expect![[r#"
                the best is busy, so the best that is free
                dear-1: dear has the most points of those that are free, 78
                the task: bug_fix, small
                  cheap  88 points  busy    capability 100, health 100, budget 100, price 100, history 50
                > dear   78 points  1 free  capability 100, health 100, budget 100, price 11, history 66
            "#]],
        },
        Case {
            name: "other weights, another choice",
            plan: Plan {
                weights: Weights { capability: 0, health: 0, budget: 0, price: 0, history: 1 },
                ..plan(vec![priced("cheap", 1), with_past("seasoned", 9, 1)], vec![first(true)])
            },
            then: begin,
            expect: expect![[r#"
                other weights, another choice
                seasoned-1: seasoned has the most points, 83; next is cheap with 50
                the task: bug_fix, small
                  cheap     50 points  1 free  capability 100, health 100, budget 100, price 100, history 50
                > seasoned  83 points  1 free  capability 100, health 100, budget 100, price 50, history 83
            "#]],
        },
        Case {
            name: "rivals go to different roles",
            plan: plan(
                two(),
                vec![
                    first(false),
                    TaskSpec {
                        name: "a.2".into(),
                        dispatch: Dispatch { rival_of: Some(TaskId(0)), ..first(false).dispatch },
                        ..first(false)
                    },
                ],
            ),
            then: begin,
            expect: expect![[r#"
                rivals go to different roles
                claude-1: codex is on the same task already; claude is next
                the task: bug_fix, small
                  codex   80 points  is on the same task already  capability 100, health 100, budget 100, price 50, history 50
                > claude  80 points  1 free                       capability 100, health 100, budget 100, price 50, history 50
            "#]],
        },
    ];
    for Case { name, plan, then, expect } in cases {
        let mut play = Play::new(plan);
        then(&mut play);
        assert!(!play.told.is_empty(), "{name}: nobody got it");
        let shown = format!("{name}\n{}", play.told.last().unwrap());
        expect.assert_eq(&shown);
    }
}
