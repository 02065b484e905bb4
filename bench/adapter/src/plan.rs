//! The workloads as plans: what the harness calls an agent or a task becomes a task whose result is its text.

use crate::{Args, Workload};
use anyhow::{Context, Result};
use engine::{Extras, RoleSettings, RulesSettings, Settings, UpstreamSettings};
use mission::{Plan, Role, RoleId, TaskId, TaskSpec, Writes};
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};

const ROLE: &str = "specialist";
const UPSTREAM: &str = "mock";

/// The file of w3.
#[derive(Deserialize)]
struct Dag {
    tasks: Vec<DagTask>,
    /// From, to: positions in `tasks`.
    edges: Vec<(usize, usize)>,
}

#[derive(Deserialize)]
struct DagTask {
    latency_ms: u64,
}

/// The workload's plan.
pub(crate) fn of(args: &Args) -> Result<Plan> {
    match args.workload {
        Workload::W1 | Workload::W4 | Workload::W5 => {
            let tasks = (0..args.n).map(|i| task(i, format!("[[mock id=a{i}]] Add 3 and 4, twice."), Vec::new()));
            Ok(Plan { roles: roles(args.n), tasks: tasks.collect(), ..Plan::default() })
        }
        Workload::W3 => dag(args.dag.as_deref().context("w3 needs --dag")?, args.conc),
    }
}

fn dag(file: &Path, conc: u32) -> Result<Plan> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    let dag: Dag = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    let tasks = (0..).zip(&dag.tasks).map(|(i, DagTask { latency_ms })| {
        let before = dag.edges.iter().filter(|edge| edge.1 == i as usize).map(|edge| TaskId(edge.0 as u32));
        task(i, format!("[[mock id=t{i} lat={latency_ms}]] Do task {i}."), before.collect())
    });
    Ok(Plan { roles: roles(conc), tasks: tasks.collect(), ..Plan::default() })
}

fn roles(count: u32) -> Vec<Role> {
    vec![Role { name: ROLE.to_owned(), count, ..Role::default() }]
}

fn task(number: u32, instructions: String, depends_on: Vec<TaskId>) -> TaskSpec {
    TaskSpec {
        name: format!("t{number}"),
        title: format!("task {number}"),
        role: RoleId(0),
        instructions,
        depends_on,
        writes: Writes::Nothing,
        checks: Vec::new(),
        may_change_nothing: false,
        attempts_max: 3,
        budget: None,
        dispatch: mission::Dispatch::default(),
    }
}

/// One role without a repository, whose model is the mock server.
pub(crate) fn settings(base_url: &str) -> Settings {
    let role = RoleSettings {
        health: None,
        approvals: Default::default(),
        off: Vec::new(),
        rules: String::new(),
        speaks: Default::default(),
        command: None,
        model: "mock".to_owned(),
        upstream: UPSTREAM.to_owned(),
        scratch: true,
        context_tokens: None,
        output_tokens: None,
        extras: Extras::default(),
    };
    let upstream = match base_url.strip_prefix("scripted:") {
        Some(file) => UpstreamSettings::Scripted { file: file.into(), rules: RulesSettings::default() },
        None => UpstreamSettings::Url {
            format: "openai-chat".to_owned(),
            also: Vec::new(),
            base_url: base_url.to_owned(),
            key_env: None,
            key_file: None,
            key_command: None,
            bearer: false,
            pass_through: false,
            rules: RulesSettings::default(),
        },
    };
    Settings {
        roles: BTreeMap::from([(ROLE.to_owned(), role)]),
        upstreams: BTreeMap::from([(UPSTREAM.to_owned(), upstream)]),
        prices: BTreeMap::new(),
        silence_ms: None,
        record: false,
        secrets: Default::default(),
        checks: Extras::default(),
    }
}
