//! `muster replay`: a finished mission run again from its recorded calls, and the two results compared.

use super::{engine, follow, run, runtime};
use crate::{
    cli::ReplayArgs,
    outcome::{Error, Outcome},
    screen::{self, Screen},
};
use engine::{Comparison, ReplayedCalls};
use serde::Serialize;
use std::path::Path;

/// How a replay ended, as `--json` prints it.
#[derive(Serialize)]
struct Replayed {
    recorded: String,
    replayed: String,
    same_tree: bool,
    recorded_tree: String,
    replayed_tree: String,
    /// The first file that differs.
    first_difference: Option<String>,
    calls_recorded: usize,
    calls_unasked: usize,
    /// Requests that were not recorded, each with where it differs.
    requests_not_recorded: Vec<String>,
    waits_for_person: bool,
}

pub(crate) fn run(home: &Path, args: ReplayArgs) -> Result<Outcome, Error> {
    runtime()?.block_on(async {
        let name = super::read::mission_name(home, &args.mission.mission)?;
        let screen = Screen::new(run::detail(args.all));
        screen.say(&format!("the model calls of {name} are answered from what was recorded; everything else is real"));
        let engine = engine(home)?;
        let recorded = engine.mission(&name)?;
        let engine::Replay { running, calls } = engine.replay(&recorded).await?;
        let key = running.handle.key().clone();
        let ended = follow::quietly(&engine, running, &screen).await?;
        let comparison = engine.compare(&recorded, &key).await?;
        let result = Replayed::of(&name, key.as_str(), comparison, &calls, ended == Outcome::Waiting);
        match args.json {
            true => screen::json(&result)?,
            // Requests hold the words of agents.
            false => screen::out(&result.text())?,
        };
        Ok(if result.same_tree { Outcome::Done } else { Outcome::Failed })
    })
}

impl Replayed {
    fn of(recorded: &str, replayed: &str, compared: Comparison, calls: &ReplayedCalls, waits: bool) -> Self {
        Self {
            recorded: recorded.to_owned(),
            replayed: replayed.to_owned(),
            same_tree: compared.same(),
            recorded_tree: compared.recorded,
            replayed_tree: compared.replayed,
            first_difference: compared.first,
            calls_recorded: calls.recorded(),
            calls_unasked: calls.unasked(),
            requests_not_recorded: calls.differences(),
            waits_for_person: waits,
        }
    }

    fn text(&self) -> String {
        let Self { recorded, replayed, recorded_tree, replayed_tree, calls_recorded, .. } = self;
        let asked = calls_recorded - self.calls_unasked;
        let mut lines = vec![match self.same_tree {
            true => format!(
                "same tree {recorded_tree}: {replayed} ended as {recorded} did ({asked} of {calls_recorded} recorded calls)"
            ),
            false => format!("another tree: {recorded} ended with {recorded_tree}, {replayed} with {replayed_tree}"),
        }];
        match (self.requests_not_recorded.first(), &self.first_difference) {
            (Some(request), _) => lines.push(format!("the first request that was not recorded: {request}")),
            (None, Some(path)) => {
                lines.push(format!("every request was recorded; the first file that differs: {path}"))
            }
            (None, None) => {}
        }
        if self.waits_for_person {
            lines.push(format!("{replayed} waits for a person; what people answered is not replayed"));
        }
        lines.join("\n")
    }
}
