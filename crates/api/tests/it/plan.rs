//! Plan files: what is taken, and what a person is told about the rest.

use crate::{config, plan, told};
use api::{
    plan::{CheckedPlan, Writes},
    source::Source,
};
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(plan(text)));
}

fn ids(plan: &CheckedPlan) -> Vec<&str> {
    plan.tasks.iter().map(|task| task.id.as_str()).collect()
}

#[test]
fn every_key_arrives() {
    let plan = plan(
        "
version: 1
goal: Ship it.
roles:
  builder: {runtime: native, model: other-1, count: 4}
  unused: {runtime: native, model: other-1, count: 900}
tasks:
  - id: parser
    title: Read quotes
    role: builder
    instructions: |
      Two
      lines.
    writes: ['src/**', Makefile]
    checks: [{run: ' make test ', timeout: 5m}, {run: make lint}]
    attempts_max: 2
    budget_usd: 0.10
  - {id: survey, role: reviewer, instructions: look, writes: [], depends_on: [parser]}
  - {id: free, role: reviewer, instructions: change, checks: [{run: 'true'}], depends_on: [survey, parser]}
",
    )
    .unwrap();
    assert_eq!(plan.goal.as_deref(), Some("Ship it."));
    let roles: Vec<(&str, u32, &str)> =
        plan.roles.iter().map(|(name, role)| (name.as_str(), role.count, role.model.as_str())).collect();
    assert_eq!(roles, [("builder", 4, "other-1"), ("reviewer", 1, "scripted-1")]);
    let [parser, survey, free] = plan.tasks.as_slice() else { panic!("three tasks: {plan:?}") };
    assert_eq!((parser.title.as_str(), parser.instructions.as_str()), ("Read quotes", "Two\nlines."));
    assert_eq!(parser.writes, Writes::Only(vec!["src/**".into(), "Makefile".into()]));
    let checks: Vec<(&str, u64)> = parser.checks.iter().map(|check| (check.run.as_str(), check.timeout_ms)).collect();
    assert_eq!(checks, [("make test", 300_000), ("make lint", 600_000)]);
    assert_eq!((parser.attempts_max, parser.budget_micros), (2, Some(100_000)));
    assert_eq!((survey.title.as_str(), &survey.writes, survey.attempts_max), ("survey", &Writes::Nothing, 3));
    assert_eq!(free.writes, Writes::Anything);
    assert_eq!(free.depends_on.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["survey", "parser"]);
}

#[test]
fn the_configuration_sets_what_the_plan_leaves_out() {
    let limits = "{upstreams: {a: {scripted: s}}, roles: {r: {runtime: native, model: m}}, limits: {attempts_max: 7, check_timeout: 3s}}";
    let source = api::source::Source::new("p", "tasks: [{id: a, role: r, instructions: i, checks: [{run: x}]}]");
    let plan = api::plan::load(&source, &config(limits).unwrap()).unwrap();
    assert_eq!((plan.tasks[0].attempts_max, plan.tasks[0].checks[0].timeout_ms), (7, 3_000));
}

#[test]
fn all_problems_are_told_at_once() {
    check(
        "\
version: 1
roles:
  extra: {runtime: native, model: m, upstream: scrip}
tasks:
  - {id: Fix It, role: bilder, instructions: ' ', checks: [{run: ''}]}
  - {id: a, role: builder, instructions: x}
  - {id: a, role: builder, instructions: x, writes: [../x, 'src/'], checks: [{run: x, timeout: 5}]}
  - id: b
    title: ' '
    role: builder
    instructions: x
    depends_on: [aa, a, a]
    writes: []
    attempts_max: 0
    budget_usd: 1.2345678
",
        expect![[r#"
            plan.yaml:3:48: there is no upstream `scrip`
              help: did you mean `script`?
            plan.yaml:5:10: `Fix It` is not a name
              help: write `fix-it`: 1 to 64 of a-z, 0-9 and -, not beginning with -
            plan.yaml:5:24: there is no role `bilder`
              help: did you mean `builder`?
            plan.yaml:5:46: the instructions must not be empty
              help: write the instructions
            plan.yaml:5:66: this check is empty, so it would always pass
              help: write a command that can fail
            plan.yaml:6:5: this task changes files but has no acceptance check
              help: add `checks: [{run: COMMAND}]`, what must succeed before the change is merged; or `writes: []` for a task that only reports
            plan.yaml:7:10: a second task has the id `a`
              help: choose another one; the first stands in line 6
            plan.yaml:7:54: `../x` has a `.` or `..` in it
              help: write the path from the repository's root without them
            plan.yaml:7:60: `src/` names a folder
              help: write `src/**` for everything in it
            plan.yaml:7:96: `5` is not a length of time
              help: write for example `500ms`, `60s`, `5m` or `2h`
            plan.yaml:9:12: the title must not be empty
              help: write the title
            plan.yaml:12:18: there is no task `aa`
              help: did you mean `a`?
            plan.yaml:12:25: `a` is named twice
              help: name it once
            plan.yaml:14:19: the number of attempts is 0
              help: write a number from 1 to 100
            plan.yaml:15:17: `1.2345678` is not an amount of money
              help: write US dollars in decimal with at most six decimals, for example `2.50`
        "#]],
    );
}

#[test]
fn a_circle_is_named() {
    check(
        "\
tasks:
  - {id: start, role: builder, instructions: x, writes: []}
  - {id: a, role: builder, instructions: x, writes: [], depends_on: [start, c]}
  - {id: b, role: builder, instructions: x, writes: [], depends_on: [a]}
  - {id: c, role: builder, instructions: x, writes: [], depends_on: [b]}
",
        expect![[r#"
            plan.yaml:4:70: these tasks wait for each other: `a` -> `c` -> `b` -> `a`
              help: remove one of these dependencies, or split a task so that a part of it can be done first
        "#]],
    );
    check(
        "tasks: [{id: a, role: builder, instructions: x, writes: [], depends_on: [a]}]",
        expect![[r#"
        plan.yaml:1:74: a task waits for itself: `a` -> `a`
          help: remove one of these dependencies, or split a task so that a part of it can be done first
    "#]],
    );
}

#[test]
fn a_plan_of_the_wrong_shape_gives_one_problem() {
    check(
        "tasks: [{id: a, role: builder, instructions: x, dependson: []}]",
        expect![[r#"
            plan.yaml:1:9: this task changes files but has no acceptance check
              help: add `checks: [{run: COMMAND}]`, what must succeed before the change is merged; or `writes: []` for a task that only reports
            plan.yaml:1:49: unknown key `dependson`
              help: did you mean `depends_on`?
        "#]],
    );
    check(
        "tasks: []",
        expect![[r#"
        plan.yaml:1:8: the plan has no tasks
          help: add at least one
    "#]],
    );
    check(
        "goal: nothing to do\n",
        expect![[r#"
        plan.yaml:1:1: the key `tasks` is missing
          help: add `tasks: …` here
    "#]],
    );
    check(
        "tasks: [{id: 1, role: builder, instructions: x}]",
        expect![[r#"
            plan.yaml:1:9: this task changes files but has no acceptance check
              help: add `checks: [{run: COMMAND}]`, what must succeed before the change is merged; or `writes: []` for a task that only reports
            plan.yaml:1:10: this is the integer `1`, not a text
              help: write a text; put quotes around one that looks like a number or a word like true
        "#]],
    );
    check(
        "tasks: [{id: a, role: builder, instructions: x, checks: [make]}]",
        expect![[r#"
        plan.yaml:1:58: this is not a map
          help: write a map of keys and values, or `{}` for an empty one
    "#]],
    );
    check(
        "tasks: [{id: a, role: builder, instructions: x, checks: make}]",
        expect![[r#"
            plan.yaml:1:49: this is the text "make", not a list
              help: write a list: `[one, two]`, or `[]` for an empty one
        "#]],
    );
    check(
        "{\"tasks\": [{\"id\": \"a\"]}",
        expect![[r#"
        plan.yaml:1:12: mismatched bracket '{' closed by ']'
          help: correct the YAML or JSON here
    "#]],
    );
}

#[test]
fn an_alias_is_read_where_it_stands() {
    let text = "tasks:\n  - {id: a, role: builder, instructions: x, checks: &tests [{run: make}]}\n";
    let more: String =
        (0..500).map(|n| format!("  - {{id: t{n}, role: builder, instructions: x, checks: *tests}}\n")).collect();
    assert_eq!(plan(&format!("{text}{more}")).unwrap().tasks.len(), 501);
    check(
        &format!("{text}  - {{id: b, role: builder, instructions: x, checks: *test}}\n"),
        expect![[r#"
        plan.yaml:3:53: alias references unknown anchor
          help: correct the YAML or JSON here
    "#]],
    );
}

#[test]
fn a_document_that_grows_by_aliases_ends() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let inner = vec![format!("*a{}", n - 1); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{inner}]\n"));
    }
    assert!(told(plan(&format!("tasks: []\n{text}"))).starts_with("plan.yaml:"));
}

#[test]
fn limits_hold() {
    let tasks = |count: usize| {
        let tasks = (0..count).map(|n| format!("  - {{id: t{n}, role: builder, instructions: x, writes: []}}\n"));
        plan(&format!("tasks:\n{}", tasks.collect::<String>()))
    };
    assert_eq!(tasks(10_000).unwrap().tasks.len(), 10_000);
    expect![[r#"
        plan.yaml:10002:5: the plan has 10001 tasks
          help: keep 10000, or split the work into several missions
    "#]]
    .assert_eq(&told(tasks(10_001)));
    let long = "x".repeat(65 * 1024);
    check(
        &format!("tasks: [{{id: a, role: builder, instructions: {long}, writes: []}}]"),
        expect![[r#"
        plan.yaml:1:46: the instructions: 66560 bytes, at most 65536 are allowed
          help: shorten it, or put it into a file of the repository and name that file
    "#]],
    );
    check(
        "{roles: {builder: {runtime: native, model: m, count: 1000}}, tasks: [{id: a, role: builder, instructions: x, writes: []}, {id: b, role: reviewer, instructions: x, writes: []}]}",
        expect![[r#"
            plan.yaml:1:69: these tasks use 1001 agents
              help: keep 1000: lower `count` of a role
        "#]],
    );
}

#[test]
fn ten_thousand_mistakes_are_counted_without_guessing_at_each() {
    let tasks = (0..10_000)
        .map(|n| format!("- {{id: t{n}, role: builder, instructions: x, writes: [], depends_on: [u{n}]}}\n"));
    let told = told(plan(&format!("tasks:\n{}", tasks.collect::<String>())));
    assert!(told.starts_with("plan.yaml:2:69: there is no task `u0`\n  help: did you mean `t0`?\n"), "{told}");
    assert!(told.ends_with("and 9980 more\n"), "{told}");
}

#[test]
fn a_plan_without_any_role_says_where_they_go() {
    let source = api::source::Source::new("plan.yaml", "tasks: [{id: a, role: builder, instructions: x, writes: []}]");
    expect![[r#"
        plan.yaml:1:23: there is no role `builder`
          help: add it under `roles`, here or in muster.yaml
    "#]]
    .assert_eq(&told(api::plan::load(&source, &Default::default())));
}

proptest! {
    /// Whatever the text, there is an answer with a place in the file, never a panic.
    #[test]
    fn no_text_panics(text in "[ -~\n\t{}\\[\\]:&*-]{0,200}") {
        if let Err(problems) = plan(&text) {
            prop_assert!(!problems.list.is_empty());
        }
    }

    /// Nearly right plans, cut and mended at random.
    #[test]
    fn no_cut_plan_panics(at in 0usize..300, insert in "[a-z0-9:{}\\[\\],&*'\" \n-]{0,8}") {
        let whole = "goal: g\ntasks:\n  - id: a\n    role: builder\n    instructions: x\n    depends_on: [b]\n    checks: [{run: make, timeout: 5m}]\n  - {id: b, role: reviewer, instructions: y, writes: []}\n";
        let at = at.min(whole.len());
        let text = format!("{}{insert}{}", &whole[..at], &whole[at..]);
        match plan(&text) {
            Ok(plan) => prop_assert!(ids(&plan).len() <= 3),
            Err(problems) => prop_assert!(problems.list.iter().all(|problem| !problem.what.is_empty() && !problem.fix.is_empty())),
        }
    }
}

#[test]
fn six_mistakes_are_told_at_once_whatever_they_are() {
    let text = "goal: g
tasks:
  - id: one
    role: builder
    instructoins: do it
    checks: [{run: x, timeout: 60}]
  - id: two
    role: bulider
    instructions: 5
    best_of: many
    depends_on: one
    checks: [{runs: x}]
";
    expect![[r#"
        plan.yaml:5:5: unknown key `instructoins`
          help: did you mean `instructions`?
        plan.yaml:6:32: `60` is not a length of time
          help: write for example `500ms`, `60s`, `5m` or `2h`
        plan.yaml:8:11: there is no role `bulider`
          help: did you mean `builder`?
        plan.yaml:9:5: this is the integer `5`, not a text
          help: write a text; put quotes around one that looks like a number or a word like true
        plan.yaml:10:5: this is the text "many", not a whole number
          help: write a whole number without quotes, zero or more
        plan.yaml:11:5: this is the text "one", not a list
          help: write a list: `[one, two]`, or `[]` for an empty one
        plan.yaml:12:15: unknown key `runs`
          help: did you mean `run`?
    "#]]
    .assert_eq(&told(plan(text)));
}

#[test]
fn both_files_are_told_of_at_once() {
    let configured = Source::new(
        "muster.yaml",
        "upstreams: {s: {scripted: s.yaml}}\nrolls: {}\nroles: {a: {runtime: naive, model: m}}\n",
    );
    let source = Source::new("plan.yaml", "tasks: [{id: t, role: a, instructions: x, check: []}]\nbudgets: {}\n");
    let problems = api::plan::load_both(Some(&configured), &Default::default(), &source).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    expect![[r#"
        muster.yaml:2:1: unknown key `rolls`
          help: did you mean `roles`?
        muster.yaml:3:22: `naive` is not one of the choices
          help: did you mean `native`?
        plan.yaml:1:43: unknown key `check`
          help: did you mean `checks`?
        plan.yaml:2:1: unknown key `budgets`
          help: did you mean `budget`?
    "#]]
    .assert_eq(&format!("{}\n", text.join("\n")));
}
