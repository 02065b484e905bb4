//! The files that people write, read as a person's editor and terminal would see them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod config;
mod examples;
mod plan;
mod policy;
mod schema;
mod trust;
mod untrusted;

use api::{
    config::CheckedConfig,
    plan::CheckedPlan,
    source::{Problems, Source},
};

/// A configuration with two roles and one upstream, for plans to run under.
const CONFIG: &str = "
upstreams: {script: {scripted: script.yaml}}
roles:
  builder: {runtime: native, model: scripted-1, count: 2}
  reviewer: {runtime: native, model: scripted-1}
";

fn config(text: &str) -> Result<CheckedConfig, Problems> {
    api::config::load(&Source::new("muster.yaml", text))
}

fn plan(text: &str) -> Result<CheckedPlan, Problems> {
    api::plan::load(&Source::new("plan.yaml", text), &config(CONFIG).unwrap())
}

/// What a person reads who runs with this file.
fn told<T: std::fmt::Debug>(result: Result<T, Problems>) -> String {
    match result {
        Ok(value) => panic!("accepted: {value:?}"),
        Err(problems) => format!("{problems}\n"),
    }
}
