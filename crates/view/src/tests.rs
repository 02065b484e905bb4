//! One small mission in which everything that can be told happens, and what each reading makes of it.

use super::{explain::Explanation, history::History, list::MissionLine, report::Report, standing::MissionView, *};
use ::mission::*;
use expect_test::{Expect, expect};
use store::{MissionRow, Spend};

const HEAD: &str = "1111111111111111111111111111111111111111";
const MERGED: &str = "2222222222222222222222222222222222222222";
/// When the mission was begun; each fact comes a second after the one before it.
const BEGAN_MS: u64 = 1_767_225_600_000;

fn plan() -> Plan {
    let task = |name: &str, depends_on: &[u32], checks: &[&str]| TaskSpec {
        name: name.to_owned(),
        title: format!("Mend the {name}"),
        role: RoleId(0),
        instructions: String::new(),
        depends_on: depends_on.iter().copied().map(TaskId).collect(),
        writes: if checks.is_empty() { Writes::Nothing } else { Writes::Anything },
        checks: checks.iter().map(|run| Check { run: (*run).to_owned(), timeout_ms: 60_000 }).collect(),
        may_change_nothing: false,
        attempts_max: 2,
        budget: None,
        dispatch: mission::Dispatch::default(),
    };
    let role = Role { name: "builder".to_owned(), count: 2, ..Role::default() };
    let tasks = vec![task("parser", &[], &["make test"]), task("dates", &[], &["make test"]), task("notes", &[1], &[])];
    Plan { roles: vec![role], tasks, ..Plan::default() }
}

fn opened() -> Fact {
    let opening = Opening {
        goal: "make the tests pass\nand <b>nothing</b> else".to_owned(),
        repository: "/home/a/kit".to_owned(),
        base: HEAD.to_owned(),
        branch: "muster/kit-a1b2c".to_owned(),
        budget: Some(Micros(5_000_000)),
        limits: Limits::default(),
        settings: String::new(),
    };
    Fact::Opened { opening: Box::new(opening), effect: EffectId(0) }
}

fn assigned(task: u32, attempt: u32, agent: u32, free: u32, fresh_eyes: bool) -> Fact {
    let because = Choice { role: RoleId(0), free, warm: attempt > 1, failures: 0, fresh_eyes, ranking: None };
    let (task, attempt, agent) = (TaskId(task), AttemptId(attempt), AgentId(agent));
    Fact::Assigned { task, attempt, agent, because, lease: Some(Micros(150_000)), base: HEAD.to_owned() }
}

fn turn(attempt: u32, effect: u64) -> Fact {
    let (attempt, effect) = (AttemptId(attempt), EffectId(effect));
    Fact::TurnStarted { attempt, turn: 1, resumed: false, effect, deadline: At(0) }
}

fn used(attempt: u32, cost: Option<u64>) -> Fact {
    let usage = Usage { input_tokens: 1_000, output_tokens: 50, cost: cost.map(Micros), ..Usage::default() };
    Fact::UsageSettled { attempt: AttemptId(attempt), usage }
}

fn checked(passed: bool) -> Vec<CheckRun> {
    let (ended, output) = if passed { ("exit 0", "") } else { ("exit 2", "FAILED \u{1b}[31mtest_a\u{1b}[0m\n```\n") };
    vec![CheckRun { run: "make test".to_owned(), passed, ended: ended.to_owned(), output: output.to_owned(), ms: 120 }]
}

/// Both agents are up; the parser's change comes back once; the dates' agent is lost, then asks.
fn middle() -> Vec<Fact> {
    let (parser, dates) = (AttemptId(0), AttemptId(1));
    let (first, second) = (AgentId(0), AgentId(1));
    vec![
        opened(),
        Fact::Planned { plan: Box::new(plan()) },
        Fact::RepositoryReady { head: HEAD.to_owned(), tried: Vec::new() },
        assigned(0, 0, 0, 2, false),
        assigned(1, 1, 1, 1, false),
        Fact::AgentStarting { agent: first, effect: EffectId(1) },
        Fact::AgentStarting { agent: second, effect: EffectId(2) },
        Fact::AgentUp { agent: first },
        Fact::AgentUp { agent: second },
        turn(0, 3),
        turn(1, 4),
        Fact::MessageSent {
            message: MessageId(0),
            from: first,
            key: "k0".to_owned(),
            to: To::Agent(second),
            body: "I change parser.py | \u{1b}[2Jonly\nsecond line".to_owned(),
        },
        used(0, Some(20_000)),
        used(1, None),
        Fact::AgentLost { agent: second, reason: "killed by signal 9".to_owned(), blame: true },
        Fact::ResultClaimed {
            attempt: parser,
            key: "k1".to_owned(),
            summary: "done <script>alert(1)</script>".to_owned(),
        },
        Fact::TurnEnded { attempt: parser, stop: Stop::Done, work: Work::None, problem: None },
        Fact::ChangeQueued { change: ChangeId(0), attempt: parser, commit: MERGED.to_owned() },
        Fact::VerifyStarted { change: ChangeId(0), effect: EffectId(5), onto: HEAD.to_owned(), at: At(0) },
        Fact::ChangeReturned { change: ChangeId(0), why: Return::Checks(checked(false)) },
        Fact::ChangeQueued { change: ChangeId(1), attempt: parser, commit: MERGED.to_owned() },
        Fact::VerifyStarted { change: ChangeId(1), effect: EffectId(6), onto: HEAD.to_owned(), at: At(0) },
        Fact::ChangeVerified {
            change: ChangeId(1),
            commit: MERGED.to_owned(),
            checks: checked(true),
            effect: EffectId(7),
        },
        Fact::Merged { change: ChangeId(1), head: MERGED.to_owned(), nothing: false },
        Fact::InterruptRaised {
            interrupt: InterruptId(0),
            about: About::Question(dates),
            question: "Which calendar?\n\u{202e}really".to_owned(),
            deadline: At(BEGAN_MS + 3_600_000),
            default: Answer::Text("the Gregorian one".to_owned()),
            key: Some("k2".to_owned()),
        },
    ]
}

/// The question is answered by nobody; the task fails, and what needs it is skipped; what is merged is published.
fn end() -> Vec<Fact> {
    let dates = AttemptId(1);
    let task_question = Fact::InterruptRaised {
        interrupt: InterruptId(1),
        about: About::Task(TaskId(1)),
        question: "Another round?".to_owned(),
        deadline: At(BEGAN_MS + 7_200_000),
        default: Answer::Deny,
        key: None,
    };
    let more = vec![
        Fact::InterruptAnswered {
            interrupt: InterruptId(0),
            answer: Answer::Text("the Gregorian one".to_owned()),
            by: By::Default,
        },
        Fact::AttemptFailed { attempt: dates, reason: Failure::TimedOut, retry: Some(At(0)), problem: None },
        assigned(1, 2, 0, 2, true),
        Fact::Paused { why: PauseReason::Budget },
        Fact::BudgetRaised { by: Micros(1_000_000) },
        Fact::Resumed,
        Fact::AttemptFailed {
            attempt: AttemptId(2),
            reason: Failure::Stopped(Stop::Refusal),
            retry: None,
            problem: None,
        },
        task_question,
        Fact::InterruptAnswered { interrupt: InterruptId(1), answer: Answer::Deny, by: By::Person },
        Fact::TaskFailed { task: TaskId(1), why: "its attempts are used up".to_owned() },
        Fact::TaskSkipped { task: TaskId(2), because: TaskId(1) },
        Fact::Closing { outcome: Outcome::Failed, why: None },
        Fact::PublishStarted { commit: MERGED.to_owned(), effect: EffectId(9) },
        Fact::Published { branch: "muster/kit-a1b2c".to_owned(), commit: MERGED.to_owned() },
        Fact::Closed { outcome: Outcome::Failed },
    ];
    middle().into_iter().chain(more).collect()
}

fn history(facts: Vec<Fact>) -> History {
    let mut history = History::default();
    for (seq, fact) in (1..).zip(facts) {
        history.follow(&Recorded { seq, at_ms: BEGAN_MS + seq * 1_000, fact });
    }
    history
}

fn row() -> MissionRow {
    MissionRow {
        key: "kit-a1b2c".into(),
        goal: "make the tests pass\nand <b>nothing</b> else".to_owned(),
        repository: "/home/a/kit".to_owned(),
        created_at_ms: BEGAN_MS,
        updated_at_ms: BEGAN_MS,
        status: String::new(),
        setup: String::new(),
    }
}

fn spends() -> Vec<Spend> {
    let spend = |agent: &str, source: &str, unpriced_calls, cost_micros| Spend {
        agent: agent.to_owned(),
        model: "model-1".to_owned(),
        cost_source: source.to_owned(),
        prices_version: if unpriced_calls == 0 { "table 1".to_owned() } else { String::new() },
        reasoning_tokens: 5,
        calls: 1,
        unpriced_calls,
        cost_micros,
        input_tokens: 900,
        output_tokens: 50,
        cache_read_tokens: 100,
        cache_write_tokens: 0,
    };
    vec![spend("builder-1", "list-price", 0, 20_000), spend("builder-2", "unknown", 1, 0)]
}

fn view(facts: Vec<Fact>) -> MissionView {
    MissionView::of(&row(), &history(facts), &spends())
}

/// Seconds since the mission was begun, so that the tests do not depend on a time zone.
fn when(at_ms: u64) -> String {
    format!("+{}s", at_ms.saturating_sub(BEGAN_MS) / 1_000)
}

fn check(shown: &str, expected: Expect) {
    expected.assert_eq(shown);
}

#[test]
fn show_of_a_mission_that_waits() {
    check(
        &visible(&view(middle()).text(BEGAN_MS + 90_000, &when, true)),
        expect![[r#"
            kit-a1b2c: waits for you, begun 1 min 30 s ago
              goal    make the tests pass
                      and <b>nothing</b> else
              repo    /home/a/kit
              tasks   1 of 3 done, 2 open
              result  2222222222 merged so far; branch muster/kit-a1b2c appears at the end
              money   $0.02 of $5.00 spent in 2 model calls, 1 of them of unknown price, $0.28 set aside

              task    state            agent      attempts  commit
              parser  merged           builder-1  1         2222222222
              dates   running          builder-2  1
              notes   waits for dates             0

              agent      process      task   cost
              builder-1  up                  $0.02
              builder-2  not started  dates  unknown

            waits for you:
              i0 (user_input, task dates, builder-2)
                Which calendar?
                �really
                  muster answer kit-a1b2c/i0 "YOUR ANSWER"  # the agent goes on with your words
                without an answer by +3600s: the Gregorian one

            an engine runs it: muster tail kit-a1b2c
        "#]],
    );
}

#[test]
fn what_nobody_runs_is_stopped_and_what_a_cancelled_mission_left_is_not_done() {
    let stopped = view(middle()[..12].to_vec()).text(BEGAN_MS + 90_000, &when, false);
    check(
        &stopped,
        expect![[r#"
        kit-a1b2c: stopped, begun 1 min 30 s ago
          goal    make the tests pass
                  and <b>nothing</b> else
          repo    /home/a/kit
          tasks   0 of 3 done, 3 open
          result  nothing is merged yet
          money   $0.00 of $5.00 spent in 0 model calls, $0.30 set aside

          task    state            agent      attempts  commit
          parser  running          builder-1  1
          dates   running          builder-2  1
          notes   waits for dates             0

        no engine runs it; to go on: muster resume kit-a1b2c
    "#]],
    );
    let cancel =
        [Fact::Closing { outcome: Outcome::Cancelled, why: None }, Fact::Closed { outcome: Outcome::Cancelled }];
    let history = history(middle()[..12].iter().cloned().chain(cancel).collect());
    let report = Report::of(MissionView::of(&row(), &history, &[]), history);
    let not_done = report.not_done.iter().map(|task| format!("{}: {}\n", task.task, task.why));
    check(
        &not_done.collect::<String>(),
        expect![[r#"
        parser: the mission ended before
        dates: the mission ended before
        notes: the mission ended before
    "#]],
    );
}

#[test]
fn summary_of_a_mission_that_is_over() {
    check(
        &view(end()).summary(),
        expect![[r#"
        mission kit-a1b2c: failed
          tasks   1 of 3 done, 1 failed, 1 skipped
          result  branch muster/kit-a1b2c at 2222222222; take it: git merge muster/kit-a1b2c
          money   $0.02 of $6.00 spent in 2 model calls, 1 of them of unknown price

        everything about it: muster report kit-a1b2c"#]],
    );
}

#[test]
fn summary_of_a_mission_that_waits() {
    check(
        &visible(&view(middle()).summary()),
        expect![[r#"
            mission kit-a1b2c: waits for you
              tasks   1 of 3 done, 2 open
              result  2222222222 merged so far; branch muster/kit-a1b2c appears at the end
              money   $0.02 of $5.00 spent in 2 model calls, 1 of them of unknown price, $0.28 set aside

            waits for you:
              i0 (user_input, task dates, builder-2)
                Which calendar?
                �really
                  muster answer kit-a1b2c/i0 "YOUR ANSWER"  # the agent goes on with your words

            then: muster resume kit-a1b2c
            everything about it: muster report kit-a1b2c"#]],
    );
}

#[test]
fn a_mission_without_facts_can_be_shown() {
    check(
        &view(Vec::new()).text(BEGAN_MS + 1_500, &when, false),
        expect![[r#"
            kit-a1b2c: stopped, begun 1.5 s ago
              goal    make the tests pass
                      and <b>nothing</b> else
              repo    /home/a/kit
              tasks   0 of 0 done
              result  nothing is merged yet
              money   $0.00 spent in 0 model calls

            no engine runs it; to go on: muster resume kit-a1b2c
        "#]],
    );
}

#[test]
fn list_and_inbox() {
    let lines = [MissionLine::of(&row(), &history(middle())), MissionLine::of(&row(), &history(end()))];
    check(
        &missions(&lines, BEGAN_MS + 7_500_000, None),
        expect![[r#"
            mission    status         tasks  cost             begun          goal
            kit-a1b2c  waits for you  1/3    $0.02 + unknown  2 h 5 min ago  make the tests pass
            kit-a1b2c  failed         1/3    $0.02 + unknown  2 h 5 min ago  make the tests pass
        "#]],
    );
    check(
        &visible(&inbox(&view(middle()).interrupts, &when)),
        expect![[r#"
        kit-a1b2c
          i0 (user_input, task dates, builder-2)
            Which calendar?
            �really
              muster answer kit-a1b2c/i0 "YOUR ANSWER"  # the agent goes on with your words
            without an answer by +3600s: the Gregorian one
    "#]],
    );
    check(
        &inbox(&view(end()).interrupts, &when),
        expect![[r#"
        nothing waits for you
    "#]],
    );
}

#[test]
fn tail_lines() {
    let mut teller = Teller::default();
    let line = |fact: &Fact| {
        let Line { weight, agent, task, text, .. } = teller.tell(fact);
        format!("{weight:?} {} {}: {}\n", agent.unwrap_or_default(), task.unwrap_or_default(), visible(&text))
    };
    check(
        &end().iter().map(line).collect::<String>(),
        expect![[r#"
        Step  : mission opened on /home/a/kit at 1111111111
        Step  : 3 tasks planned for 2 agents
        Detail  : the mission's own repository stands at 1111111111
        Step builder-1 parser: takes the task (2 free, 0 failures before, $0.15 set aside)
        Step builder-2 dates: takes the task (1 free, 0 failures before, $0.15 set aside)
        Detail builder-1 : starts
        Detail builder-2 : starts
        Detail builder-1 : is up in its own sandbox and workspace
        Detail builder-2 : is up in its own sandbox and workspace
        Detail builder-1 parser: turn 1 begins
        Detail builder-2 dates: turn 1 begins
        Step builder-1 : tells builder-2: I change parser.py | �[2Jonly
        Detail builder-1 parser: model call: 1000 in, 50 out, $0.02
        Detail builder-2 dates: model call: 1000 in, 50 out, cost unknown
        Notice builder-2 dates: was lost: killed by signal 9
        Step builder-1 parser: submits: done <script>alert(1)</script>
        Detail builder-1 parser: the agent ended its turn
        Detail builder-1 parser: change c0 at 2222222222 waits in the merge queue
        Detail builder-1 parser: is merged on 1111111111 and checked in a clean sandbox
        Notice builder-1 parser: sent back: 1 of 1 checks fail: make test (exit 2)
        Detail builder-1 parser: change c1 at 2222222222 waits in the merge queue
        Detail builder-1 parser: is merged on 1111111111 and checked in a clean sandbox
        Detail builder-1 parser: 1 check passes at the merge commit (120 ms)
        Step builder-1 parser: merged, verified at 2222222222
        Notice builder-2 dates: i0 (user_input): Which calendar?
        �really
        Step builder-2 dates: i0 answered by nobody in time; the default: the Gregorian one
        Notice builder-2 dates: the attempt failed: the turn took too long; it is tried again
        Step builder-1 dates: takes the task (2 free, 0 failures before, $0.15 set aside)
        Notice  : paused: the budget is used up
        Notice  : the budget is raised by $1.00
        Notice  : going on
        Notice builder-1 dates: the attempt failed: the model refused
        Notice  dates: i1 (user_input): Another round?
        Step  dates: i1 answered by a person: no
        Notice  dates: will not be done: its attempts are used up
        Notice  notes: is skipped, because it needs 'dates'
        Detail  : closing: failed
        Detail  : the result 2222222222 goes into your repository
        Step  : branch muster/kit-a1b2c stands at 2222222222 in your repository
        Notice  : mission failed
    "#]],
    );
}

#[test]
fn explain_everything() {
    let explanation = Explanation::of("kit-a1b2c".to_owned(), history(end()), None).unwrap();
    check(
        &visible(&explanation.text(&when)),
        expect![[r#"
        +1s  mission: at most $5.00 may be spent
              because the mission was begun with this budget
        +4s  builder-1, parser: it is given the task (attempt 1, with $0.15 of the budget set aside)
              because the task asks for role builder; of 2 that were free, none had fewer failed attempts (0)
        +5s  builder-2, dates: it is given the task (attempt 1, with $0.15 of the budget set aside)
              because the task asks for role builder, and no other agent of it was free
        +15s  builder-2, dates: its process is gone; a turn that was on is owed again
              because killed by signal 9; this counts as one of the losses that an attempt may have
        +20s  builder-1, parser: its change goes back to it
              because 1 of 1 checks fail: make test (exit 2)
              | $ make test
              | FAILED �[31mtest_a�[0m
              | ```
              | exit 2
        +23s  builder-1, parser: its change is accepted as 2222222222
              because in a clean sandbox at exactly this commit every check succeeded: make test (120 ms)
        +25s  builder-2, dates: i0 asks a person: Which calendar?
              �really
              because the agent asked
        +26s  builder-2, dates: i0 is answered: the Gregorian one
              because nobody answered in time, so its default holds
        +27s  builder-2, dates: attempt 1 ends without success; the task is tried again after a pause
              because the turn took too long
        +28s  builder-1, dates: it is given the task (attempt 2, with $0.15 of the budget set aside)
              because the task asks for role builder; of 2 that were free, one had failed this very task, and this one comes next (0 failed attempts, its process is up)
        +29s  mission: the mission pauses
              because the budget is used up
        +30s  mission: the budget is raised by $1.00
              because a person allowed it
        +31s  mission: the mission goes on
              because a person wants it to go on
        +32s  builder-1, dates: attempt 2 ends without success; its attempts are used up, so a person is asked
              because the model refused
        +33s  dates: i1 asks a person: Another round?
              because the attempts of the task are used up
        +34s  dates: i1 is answered: no
              because a person answered
        +35s  dates: it will not be done
              because its attempts are used up
        +36s  notes: it will not be done
              because it needs 'dates', which will not be done
        +37s  mission: the mission ends: failed
              because 1 task failed and 1 skipped
    "#]],
    );
}

#[test]
fn explain_one_thing() {
    let about = |name: &str| {
        let explanation = Explanation::of("kit-a1b2c".to_owned(), history(end()), Some(name)).unwrap();
        explanation.reasons.iter().map(|reason| reason.kind).collect::<Vec<_>>().join(" ")
    };
    check(&about("notes"), expect!["task_skipped"]);
    check(&about("builder-2"), expect!["assigned agent_lost interrupt_raised interrupt_answered attempt_failed"]);
    check(&about("i1"), expect!["interrupt_raised interrupt_answered"]);
    let unknown = Explanation::of("kit-a1b2c".to_owned(), history(end()), Some("i7")).unwrap_err();
    check(&unknown.to_string(), expect!["the mission has no task, agent or interrupt 'i7'; `muster show` lists them"]);
}

#[test]
fn report_as_markdown() {
    let history = history(end());
    let report = Report::of(MissionView::of(&row(), &history, &spends()), history);
    check(
        &report.markdown(),
        expect![[r#"
        # Mission `kit-a1b2c`: failed

        > make the tests pass
        > and \<b\>nothing\</b\> else

        * tasks: 1 of 3 done, 1 failed, 1 skipped
        * money: \$0.02 of \$6.00 spent in 2 model calls, 1 of them of unknown price
        * time: begun 2026-01-01 00:00:00 UTC, ended 2026-01-01 00:00:40 UTC, took 40 s
        * repository: `/home/a/kit` from `1111111111`

        ## The result

        Branch muster/kit-a1b2c at 2222222222.

        Every commit on it was merged by muster after the task's checks had succeeded in a clean sandbox at exactly that commit. Your checkout and your branches were not touched. Take it with:

        ```text
        git merge muster/kit-a1b2c
        ```

        ## What was not done

        * `dates`: its attempts are used up
        * `notes`: it needs 'dates', which will not be done

        ## Tasks

        | task | title | state | agent | attempts | commit |
        |---|---|---|---|---|---|
        | `parser` | Mend the parser | merged | builder-1 | 1 | `2222222222` |
        | `dates` | Mend the dates | failed | builder-1 | 2 |  |
        | `notes` | Mend the notes | skipped |  | 0 |  |

        ### `parser`: Mend the parser

        The agent's own account:

        > done \<script\>alert(1)\</script\>

        Verified at `2222222222222222222222222222222222222222`:

        | check | ended | took |
        |---|---|---|
        | `make test` | exit 0 | 120 ms |

        Attempt 1 by builder-1: merged after 20 s (1 turn, 1 model call, cost \$0.02)

        2026-01-01 00:00:20 its change came back: 1 of 1 checks fail: make test (exit 2)

        ````text
        $ make test
        FAILED �[31mtest_a�[0m
        ```
        exit 2
        ````

        ### `dates`: Mend the dates

        Attempt 1 by builder-2: failed after 22 s: the turn took too long (1 turn, 1 loss, 1 model call, cost unknown)

        Attempt 2 by builder-1: failed after 4.0 s: the model refused (0 turns, 0 model calls, cost \$0.00)

        ## Messages

        * 2026-01-01 00:00:12 builder-1 to builder-2: I change parser.py \| �\[2Jonly second line

        ## Decisions

        * 2026-01-01 00:00:01 mission: at most \$5.00 may be spent, because the mission was begun with this budget
        * 2026-01-01 00:00:04 builder-1, parser: it is given the task (attempt 1, with \$0.15 of the budget set aside), because the task asks for role builder; of 2 that were free, none had fewer failed attempts (0)
        * 2026-01-01 00:00:05 builder-2, dates: it is given the task (attempt 1, with \$0.15 of the budget set aside), because the task asks for role builder, and no other agent of it was free
        * 2026-01-01 00:00:25 builder-2, dates: i0 asks a person: Which calendar?, because the agent asked
        * 2026-01-01 00:00:26 builder-2, dates: i0 is answered: the Gregorian one, because nobody answered in time, so its default holds
        * 2026-01-01 00:00:28 builder-1, dates: it is given the task (attempt 2, with \$0.15 of the budget set aside), because the task asks for role builder; of 2 that were free, one had failed this very task, and this one comes next (0 failed attempts, its process is up)
        * 2026-01-01 00:00:29 mission: the mission pauses, because the budget is used up
        * 2026-01-01 00:00:30 mission: the budget is raised by \$1.00, because a person allowed it
        * 2026-01-01 00:00:31 mission: the mission goes on, because a person wants it to go on
        * 2026-01-01 00:00:33 dates: i1 asks a person: Another round?, because the attempts of the task are used up
        * 2026-01-01 00:00:34 dates: i1 is answered: no, because a person answered
        * 2026-01-01 00:00:35 dates: it will not be done, because its attempts are used up
        * 2026-01-01 00:00:36 notes: it will not be done, because it needs 'dates', which will not be done
        * 2026-01-01 00:00:37 mission: the mission ends: failed, because 1 task failed and 1 skipped

        ## Cost

        \$0.02 of \$6.00 spent in 2 model calls, 1 of them of unknown price.

        | agent | model | price from | calls | of unknown price | tokens in | tokens out | cost |
        |---|---|---|---|---|---|---|---|
        | builder-1 | model-1 | list-price (table 1) | 1 | 0 | 1000 | 50 | \$0.02 |
        | builder-2 | model-1 | unknown | 1 | 1 | 1000 | 50 | unknown |

        ## What went wrong on the way

        * 2026-01-01 00:00:15 builder-2, dates: was lost: killed by signal 9
        * 2026-01-01 00:00:27 builder-2, dates: an attempt failed: the turn took too long
        * 2026-01-01 00:00:29 mission: the mission paused: the budget is used up
        * 2026-01-01 00:00:32 builder-1, dates: an attempt failed: the model refused
        * 2026-01-01 00:00:35 dates: will not be done: its attempts are used up
    "#]],
    );
}

#[test]
fn a_report_names_the_protection_that_was_given_up() {
    let mut facts = middle();
    let Some(Fact::Opened { opening, .. }) = facts.first_mut() else { panic!("the first fact opens the mission") };
    let extras = r#"{"model": "m", "upstream": "u", "extras": {"allow_degraded": ["landlock"]}}"#;
    opening.settings = format!(r#"{{"roles": {{"builder": {extras}}}, "upstreams": {{}}}}"#);
    let line = Teller::default().tell(&facts[0]);
    assert_eq!(line.weight, Weight::Notice);
    assert!(
        line.text.ends_with("allow_degraded: where this host lacks landlock, builder run without it"),
        "{}",
        line.text
    );
    let history = history(facts);
    let text = Report::of(MissionView::of(&row(), &history, &[]), history).markdown();
    let section = "## Degraded protection\n\n* where this host lacks it, builder ran without landlock\n";
    assert!(text.contains(section), "{text}");
}

#[test]
fn what_an_accepted_change_lacks_is_told() {
    let left = |path: &str, why| LeftOut { path: path.to_owned(), inside: None, why, wanted: false };
    let target = left("target/", WhyLeftOut::Ignored(".gitignore:1 (target/)".to_owned()));
    let secret = left("secret", WhyLeftOut::Unreadable("Permission denied".to_owned()));
    let facts_with = |left_out: LeftOuts| {
        let work = Work::Changed { commit: MERGED.to_owned(), paths: 1, outside: Vec::new(), left_out };
        let mut facts = end();
        let taken = facts.iter_mut().find_map(|fact| match fact {
            Fact::TurnEnded { work, .. } => Some(work),
            _ => None,
        });
        *taken.unwrap() = work;
        facts
    };
    let merged = |facts: &[Fact]| {
        let mut teller = Teller::default();
        facts.iter().map(|fact| teller.tell(fact).text).find(|text| text.starts_with("merged, ")).unwrap()
    };
    let ignored = facts_with(LeftOuts { shown: vec![target.clone()], more: 0 });
    assert_eq!(merged(&ignored), "merged, verified at 2222222222", "what builds leave behind is no news");

    let facts = facts_with(LeftOuts { shown: vec![secret, target], more: 3 });
    let line =
        "merged, verified at 2222222222; not part of it: secret could not be saved: Permission denied (and 4 more)";
    assert_eq!(merged(&facts), line);
    let explanation = Explanation::of("kit-a1b2c".to_owned(), history(facts.clone()), Some("parser")).unwrap();
    let text = explanation.text(&when);
    let told = "      | not part of the change:
      | secret could not be saved: Permission denied
      | target/ is ignored by .gitignore:1 (target/)
      | and 3 more
";
    assert!(text.contains(told), "{text}");
    let history = history(facts);
    let report = Report::of(MissionView::of(&row(), &history, &[]), history);
    let told = "Not part of the change:\n\n* secret could not be saved: Permission denied\n* target/ is ignored by ";
    assert!(report.markdown().contains(told), "{}", report.markdown());
    assert_eq!(serde_json::to_value(&report).unwrap()["tasks"][0]["left_out"][2], "and 3 more");
}

#[test]
fn a_report_is_one_page_without_scripts_and_the_same_as_json() {
    let history = history(end());
    let report = Report::of(MissionView::of(&row(), &history, &spends()), history);
    let page = report.html();
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("href"), "{page}");
    assert!(!page.contains('\u{1b}'));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["mission"]["ending"], "failed");
    assert_eq!(json["tasks"][0]["tries"][0]["returns"][0]["why"], "1 of 1 checks fail: make test (exit 2)");
    assert_eq!(json["mission"]["money"]["unknown_calls"], 1);
    assert_eq!(json["take_it"][0], "git merge muster/kit-a1b2c");
}

fn refused(agent: u32, host: &str, times: u64, last: bool) -> Fact {
    let allow = Some(format!("{host}:443"));
    Fact::EgressRefused {
        agent: AgentId(agent),
        host: host.to_owned(),
        port: 443,
        reason: "no rule of `network: hosts` names it".to_owned(),
        allow,
        times,
        last,
    }
}

/// Both agents are turned away, one of them again and again; a trick has no line that would allow it.
fn turned_away() -> Vec<Fact> {
    let trick = Fact::EgressRefused {
        agent: AgentId(0),
        host: "2130706433|<b>".to_owned(),
        port: 80,
        reason: "that is no host name".to_owned(),
        allow: None,
        times: 1,
        last: false,
    };
    let more =
        [refused(0, "pypi.org", 1, false), trick, refused(1, "pypi.org", 1, false), refused(0, "pypi.org", 9, true)];
    middle().into_iter().chain(more).collect()
}

#[test]
fn refused_hosts_in_tail_and_explain() {
    let mut teller = Teller::default();
    let lines: Vec<String> =
        turned_away().iter().map(|fact| teller.tell(fact)).map(|line| format!("{line:?}")).collect();
    check(
        &lines[25..].join("\n"),
        expect![[r#"
            Line { weight: Notice, tone: Bad, agent: Some("builder-1"), task: None, text: "may not connect to pypi.org:443: no rule of `network: hosts` names it" }
            Line { weight: Notice, tone: Bad, agent: Some("builder-1"), task: None, text: "may not connect to 2130706433|<b>:80: that is no host name" }
            Line { weight: Notice, tone: Bad, agent: Some("builder-2"), task: Some("dates"), text: "may not connect to pypi.org:443: no rule of `network: hosts` names it" }
            Line { weight: Notice, tone: Bad, agent: Some("builder-1"), task: None, text: "may not connect to pypi.org:443: no rule of `network: hosts` names it (9 times more); further refusals are only counted" }"#]],
    );
    let explanation = Explanation::of("kit-a1b2c".to_owned(), history(turned_away()), Some("builder-2")).unwrap();
    let text = explanation.text(&when);
    check(
        text.split_once("+28s  ").unwrap().1,
        expect![[r#"
          builder-2, dates: it may not connect to pypi.org:443
                because no rule of `network: hosts` names it; to allow it, add `pypi.org:443` to the hosts of its role
    "#]],
    );
}

#[test]
fn refused_hosts_have_a_section_of_the_report() {
    let history = history(turned_away());
    let report = Report::of(MissionView::of(&row(), &history, &[]), history);
    let markdown = report.markdown();
    let section = markdown.split_once("## Refused network access\n").unwrap().1.split("\n## ").next().unwrap();
    check(
        section,
        expect![[r#"

        | agent | host | times | why | to allow it, add to the role's hosts |
        |---|---|---|---|---|
        | builder-1 | `2130706433\|<b>:80` | 1 | that is no host name | cannot be allowed |
        | builder-1 | `pypi.org:443` | 10 (the last recorded of this agent) | no rule of \`network: hosts\` names it | `pypi.org:443` |
        | builder-2 | `pypi.org:443` | 1 | no rule of \`network: hosts\` names it | `pypi.org:443` |
    "#]],
    );
    let json = serde_json::to_value(&report.refused[0]).unwrap();
    assert_eq!((json["times"].as_u64(), json["allow"].as_str()), (Some(1), None));
}
