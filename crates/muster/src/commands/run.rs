//! `muster run` and `muster resume`: a mission from its files to its end, in the foreground.

use super::{engine, follow, runtime};
use crate::{
    cli::{ResumeArgs, RunArgs},
    outcome::{Error, Outcome},
    project::{Files, Named},
    screen::{self, Detail, Screen},
    trust::Door,
};
use api::plan::CheckedPlan;
use engine::{
    Engine,
    control::{self, ControlError},
};
use std::path::Path;

pub(crate) fn run(home: &Path, args: RunArgs) -> Result<Outcome, Error> {
    let budget = args.budget.as_deref().map(budget_micros).transpose()?;
    let named = Named {
        config: args.config.as_deref(),
        plan: &args.plan,
        repo: &args.repo,
        ceiling: args.ceiling.as_deref(),
        budget_micros: budget,
    };
    let files = Files::read(&named, &Door { home: Some(home), trust: args.trust }, home)?;
    let goal = goal(args.goal.clone(), &files.plan)?;
    let repo = std::path::absolute(&args.repo).map_err(Error::usage)?;
    let follow = follow::Manner { wait: args.wait, json: args.json };
    runtime()?.block_on(async {
        let screen = Screen::new(detail(args.all));
        let repository = engine::inspect(&repo).await.map_err(Error::usage)?;
        if repository.dirty {
            screen.say("your checkout has changes that are not committed; the mission begins at the last commit and does not see them");
        }
        repository.notes.iter().for_each(|note| screen.say(&note.to_string()));
        let engine = engine(home)?;
        let mut request = files.request(goal, repository, budget);
        request.settings.record |= args.record;
        let running = engine.begin(request).await?;
        follow::to_the_end(&engine, running, &screen, follow).await
    })
}

pub(crate) fn resume(home: &Path, args: ResumeArgs) -> Result<Outcome, Error> {
    let follow = follow::Manner { wait: args.wait, json: args.json };
    runtime()?.block_on(async {
        let name = super::read::mission_name(home, &args.mission.mission)?;
        match control::tell(home, &name, engine::Order::Resume).await {
            Ok(_) => {
                screen::out(&format!("{name} goes on, in the process that runs it; to follow it: muster tail {name}"))?;
                return Ok(Outcome::Done);
            }
            Err(ControlError::Refused(why)) => {
                return Err(Error::failed(format!(
                    "{name} is being run already: {why}\n  help: to follow it: muster tail {name}"
                )));
            }
            // Nobody runs it; whether the home is free is found out next.
            Err(ControlError::Nobody | ControlError::Another(_) | ControlError::Io(_)) => {}
        }
        let engine = engine(home)?;
        resume_in(&engine, &name, &Screen::new(detail(args.all)), follow).await
    })
}

/// Takes a mission up in an engine that is open, and follows it.
pub(crate) async fn resume_in(
    engine: &Engine,
    name: &str,
    screen: &Screen,
    manner: follow::Manner,
) -> Result<Outcome, Error> {
    let key = engine.mission(name)?;
    let running = engine.resume(&key).await?;
    // A mission that a person paused goes on because a person says so.
    if running.is_paused_by_person().await {
        running.handle.order(engine::Order::Resume).await.map_err(Error::failed)?;
    }
    follow::to_the_end(engine, running, screen, manner).await
}

pub(crate) fn detail(all: bool) -> Detail {
    if all { Detail::All } else { Detail::Steps }
}

fn goal(given: Option<String>, plan: &CheckedPlan) -> Result<String, Error> {
    let goal = given.or_else(|| plan.goal.clone()).filter(|goal| !goal.trim().is_empty());
    goal.ok_or_else(|| {
        Error::usage("there is no goal: say it on the command line, `muster run \"GOAL\" …`, or as `goal:` in the plan")
    })
}

fn budget_micros(text: &str) -> Result<u64, Error> {
    engine::dollars(text)
        .ok_or_else(|| Error::usage(format!("--budget {text}: not an amount of US dollars, such as 2 or 2.50")))
}
