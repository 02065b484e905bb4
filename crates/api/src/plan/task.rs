//! The tasks of a plan, judged one by one; what concerns their order is in [`super::order`].

use super::{
    BEST_OF_MAX, CHECKS_MAX, Check, DEPENDENCIES_MAX, TASKS_MAX, TITLE_BYTES_MAX, Task, WRITES_MAX, Writes, order,
    profile::{Profile, Told},
    spec::{CheckSpec, TaskSpec},
};
use crate::{
    config::{CheckedConfig, Role, capabilities, capability, named_roles},
    globs::{self, Globs},
    source::{
        Place,
        checker::{Checker, quote},
        shape::{At, List, NameText, Text, Value},
        suggest::instead_of,
    },
    value::Name,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn tasks(
    checker: &mut Checker,
    specs: At<List<TaskSpec>>,
    roles: &BTreeMap<Name, Role>,
    config: &CheckedConfig,
) -> Vec<Task> {
    let At { value: List(specs), place } = specs;
    if specs.is_empty() {
        checker.wrong(place, "the plan has no tasks", "add at least one");
    }
    if let Some(first) = specs.get(TASKS_MAX) {
        let fix = format!("keep {TASKS_MAX}, or split the work into several missions");
        checker.wrong(first.place, format!("the plan has {} tasks", specs.len()), fix);
        return Vec::new();
    }
    check_ids(checker, &specs);
    order::check(checker, &specs);
    specs.into_iter().map(|spec| task(checker, spec, roles, config)).collect()
}

/// Every id is a name and stands once.
fn check_ids(checker: &mut Checker, specs: &[At<TaskSpec>]) {
    let mut first: BTreeMap<&str, Place> = BTreeMap::new();
    for At { value: spec, .. } in specs {
        let (id, place) = (spec.id.value.0.as_str(), spec.id.place);
        if let Some(before) = first.insert(id, place) {
            let what = format!("a second task has the id {}", quote(id));
            checker.wrong(place, what, format!("choose another one; the first stands in line {}", before.line));
            first.insert(id, before);
        }
    }
}

fn task(checker: &mut Checker, spec: At<TaskSpec>, roles: &BTreeMap<Name, Role>, config: &CheckedConfig) -> Task {
    let limits = &config.limits;
    let At { value: spec, place } = spec;
    let id = checker.take(spec.id.place, Name::parse(&spec.id.value.0), Name::stand_in(&spec.id.value.0));
    let writes = writes(checker, spec.writes);
    let checks = checks(checker, spec.checks, limits.check_ms_max);
    if checks.is_empty() && writes != Writes::Nothing {
        let fix = "add `checks: [{run: COMMAND}]`, what must succeed before the change is merged; or `writes: []` for a task \
                   that only reports";
        checker.wrong(place, "this task changes files but has no acceptance check", fix);
    }
    let title = spec.title.map(|title| title_of(checker, title)).unwrap_or_else(|| id.to_string());
    let instructions = checker.text("the instructions", spec.instructions);
    let needs = capabilities(checker, spec.needs);
    let who = who(checker, spec.role, spec.fallback, roles, place);
    check_somebody_can(checker, &who, &needs, &writes, roles, place);
    let told = Told { title: &title, instructions: &instructions, writes: &writes };
    let mut profile = Profile::of(&told, &config.dispatch.rules);
    if let Some(task_type) = spec.task_type {
        profile.task_type = capability(checker, task_type);
    }
    Task {
        title,
        role: who.role,
        fallback: who.fallback,
        compete: who.compete,
        needs,
        best_of: checker.number("`best_of`", spec.best_of, 1..=BEST_OF_MAX).unwrap_or(1),
        profile,
        instructions,
        depends_on: depends_on(checker, spec.depends_on),
        writes,
        checks,
        may_change_nothing: spec.may_change_nothing.unwrap_or(false),
        attempts_max: checker
            .number("the number of attempts", spec.attempts_max, 1..=100)
            .unwrap_or(limits.attempts_max),
        budget_micros: spec.budget_usd.map(|text| checker.usd(text)),
        id,
    }
}

fn title_of(checker: &mut Checker, title: At<Text>) -> String {
    let place = title.place;
    let title = checker.text("the title", title);
    if title.len() > TITLE_BYTES_MAX || title.contains(char::is_control) {
        checker.wrong(
            place,
            "the title is not one short line",
            format!("write one line of at most {TITLE_BYTES_MAX} bytes"),
        );
    }
    title
}

/// Who may do a task.
struct Who {
    role: Name,
    fallback: Vec<Name>,
    compete: bool,
}

/// The role that is named and those that may take its place; all that there are when none is named.
fn who(
    checker: &mut Checker,
    named: Option<At<NameText>>,
    fallback: Option<At<List<NameText>>>,
    roles: &BTreeMap<Name, Role>,
    place: Place,
) -> Who {
    let known: Vec<&str> = roles.keys().map(Name::as_str).collect();
    let Some(named) = named else {
        if let Some(fallback) = fallback {
            checker.wrong(
                fallback.place,
                "without `role` every role may do it already",
                "remove `fallback`, or add `role`",
            );
        }
        let Some(first) = roles.keys().next() else {
            checker.wrong(place, "there is no role that could do it", "add one under `roles`, here or in muster.yaml");
            return Who { role: Name::stand_in("any"), fallback: Vec::new(), compete: false };
        };
        return Who { role: first.clone(), fallback: roles.keys().skip(1).cloned().collect(), compete: true };
    };
    let own = named.value.0.clone();
    let role = role(checker, named, roles);
    let usual = || roles.get(&role).map(|role| role.fallback.clone()).unwrap_or_default();
    let fallback = fallback.map(|list| named_roles(checker, &list.value, &known, Some(&own))).unwrap_or_else(usual);
    Who { role, fallback, compete: false }
}

/// At least one of those who may do a task can.
fn check_somebody_can(
    checker: &mut Checker,
    who: &Who,
    needs: &[String],
    writes: &Writes,
    roles: &BTreeMap<Name, Role>,
    place: Place,
) {
    let why_not = |name: &Name| {
        let role = roles.get(name)?;
        let lacks = || {
            needs.iter().find(|need| !role.all_capabilities().contains(need)).map(|need| format!("it lacks `{need}`"))
        };
        let read_only =
            || (role.is_read_only() && *writes != Writes::Nothing).then(|| "it may change no files".to_owned());
        let why = role.unheld().or_else(lacks).or_else(read_only)?;
        Some(format!("{name}: {why}"))
    };
    let all: Vec<&Name> = std::iter::once(&who.role).chain(&who.fallback).collect();
    let reasons: Vec<String> = all.iter().filter_map(|name| why_not(name)).collect();
    if reasons.len() == all.len() {
        let fix = "name another role, or change what these may and can do";
        checker.wrong(place, format!("nobody can do this task ({})", reasons.join("; ")), fix);
    }
}

fn role(checker: &mut Checker, named: At<NameText>, roles: &BTreeMap<Name, Role>) -> Name {
    let At { value: NameText(text), place } = named;
    let known = roles.keys().find(|name| name.as_str() == text);
    known.cloned().unwrap_or_else(|| {
        let what = format!("there is no role {}", quote(&text));
        let fix = match roles.is_empty() {
            true => "add it under `roles`, here or in muster.yaml".into(),
            false => instead_of(&text, roles.keys().map(Name::as_str)),
        };
        checker.wrong(place, what, fix);
        Name::stand_in(&text)
    })
}

/// The names only; whether they exist is a question of order.
fn depends_on(checker: &mut Checker, List(named): List<NameText>) -> Vec<Name> {
    if let Some(entry) = named.get(DEPENDENCIES_MAX) {
        let what = format!("this task depends on {} others", named.len());
        checker.wrong(entry.place, what, format!("keep {DEPENDENCIES_MAX}: let a task in between wait for the rest"));
    }
    let mut seen = BTreeSet::new();
    for entry in &named {
        if !seen.insert(&entry.value.0) {
            checker.wrong(entry.place, format!("{} is named twice", quote(&entry.value.0)), "name it once");
        }
    }
    named.iter().filter_map(|entry| Name::parse(&entry.value.0).ok()).collect()
}

fn writes(checker: &mut Checker, writes: Option<At<List<Text>>>) -> Writes {
    let Some(At { value: List(globs), place }) = writes else {
        return Writes::Anything;
    };
    if globs.is_empty() {
        return Writes::Nothing;
    }
    if globs.len() > WRITES_MAX {
        checker.wrong(place, format!("there are {} globs", globs.len()), format!("keep {WRITES_MAX}: use `folder/**`"));
    }
    let mut usable = true;
    for glob in &globs {
        let judged = globs::parse(&glob.value.0).map(|_| ());
        usable &= judged.is_ok();
        checker.take(glob.place, judged, ());
    }
    let globs: Vec<String> = globs.into_iter().map(|glob| glob.value.0).collect();
    if let (true, Err(error)) = (usable, Globs::compile(&globs)) {
        checker.wrong(place, error.what, error.fix);
    }
    Writes::Only(globs)
}

fn checks(checker: &mut Checker, List(specs): List<CheckSpec>, timeout_ms: u64) -> Vec<Check> {
    if let Some(entry) = specs.get(CHECKS_MAX) {
        let fix = format!("keep {CHECKS_MAX}: a script in the repository can run many");
        checker.wrong(entry.place, format!("there are {} checks", specs.len()), fix);
    }
    specs.into_iter().map(|spec| check(checker, spec.value, timeout_ms)).collect()
}

fn check(checker: &mut Checker, spec: CheckSpec, timeout_ms: u64) -> Check {
    let At { value: Value(run), place } = spec.run;
    if run.trim().is_empty() {
        checker.wrong(place, "this check is empty, so it would always pass", "write a command that can fail");
    }
    Check {
        run: checker.value("the command", At { value: Value(run.trim().into()), place }),
        timeout_ms: spec.timeout.map_or(timeout_ms, |text| checker.duration(text)),
    }
}
