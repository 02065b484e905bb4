//! `muster run` and `muster resume`: a mission from its files to its end, in the foreground.

use super::{engine, folder_of, follow, runtime, user_home};
use crate::{
    cli::{ResumeArgs, RunArgs},
    outcome::{Error, Outcome},
    screen::{self, Detail, Screen},
};
use api::{
    config::{self, CheckedConfig},
    plan::{self, CheckedPlan},
    policy::{CheckedPolicy, Preset},
    source::Source,
};
use engine::{
    Engine, Places, Request, Settings,
    control::{self, ControlError},
};
use std::path::{Path, PathBuf};

/// A mission as its files describe it, checked.
pub(crate) struct Files {
    pub(crate) config: CheckedConfig,
    pub(crate) config_dir: PathBuf,
    pub(crate) plan: CheckedPlan,
}

pub(crate) fn run(home: &Path, args: RunArgs) -> Result<Outcome, Error> {
    let config = args.config.clone().unwrap_or_else(|| args.repo.join("muster.yaml"));
    let files = Files::read(&config, &args.plan, args.ceiling.as_deref())?;
    if args.config.is_none() {
        no_key_commands(&files.config, &config)?;
    }
    let budget = args.budget.as_deref().map(budget_micros).transpose()?;
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
        let mut request = files.request(goal, repository, budget)?;
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

/// What a configuration shows in sandboxes is there, and none of them is wider than the ceiling.
fn sandboxes_fit(config: &CheckedConfig, file: &Path, config_dir: &Path, ceiling: Option<&Path>) -> Result<(), Error> {
    let home = user_home().unwrap_or_else(|| PathBuf::from("/"));
    let places = Places { config_dir, home: &home };
    let policies = config.roles.values().map(|role| &role.sandbox).chain([&config.checks]);
    let fits = |policy| engine::sandboxed::check(&file.display().to_string(), policy, places);
    policies.into_iter().try_for_each(fits).map_err(Error::usage)?;
    let Some(ceiling) = ceiling.map(super::sandbox::named).transpose()? else { return Ok(()) };
    // Checks name no preset: there is one for them.
    let checks = CheckedPolicy { preset: Some(Preset::Check), ..config.checks.clone() };
    let policies = config.roles.values().map(|role| &role.sandbox).chain([&checks]);
    let within = |policy| engine::sandboxed::check_within(&file.display().to_string(), policy, places, &ceiling);
    policies.into_iter().try_for_each(within).map_err(Error::usage)
}

/// A configuration that lies in a repository may have come with it; it does not get to run programs of its choice.
fn no_key_commands(config: &CheckedConfig, file: &Path) -> Result<(), Error> {
    let Some((upstream, words)) = config.key_commands().next() else { return Ok(()) };
    let (file, command) = (file.display(), words.join(" "));
    Err(Error::usage(format!(
        "{file}: the upstream '{upstream}' takes its key from `{command}`, a program that would run outside any sandbox; a configuration \
         that may have come with a repository cannot ask for that\n  help: read the file, and if it is yours: muster run --config {file} …"
    )))
}

impl Files {
    /// Reads and checks both files; every problem names file, line and column.
    pub(crate) fn read(config_file: &Path, plan_file: &Path, ceiling: Option<&Path>) -> Result<Self, Error> {
        let config_dir = folder_of(config_file)?;
        if !config_file.exists() {
            let (file, example) = (config_file.display(), config::EXAMPLE);
            let text = format!(
                "{file}: there is no configuration; say where it is with --config, or write it, for example\n{example}"
            );
            return Err(Error::usage(text));
        }
        let config = Source::read(config_file).and_then(|source| config::load(&source)).map_err(Error::usage)?;
        config.ready_to_run(&config_file.display().to_string()).map_err(Error::usage)?;
        sandboxes_fit(&config, config_file, &config_dir, ceiling)?;
        let plan = Source::read(plan_file).and_then(|source| plan::load(&source, &config)).map_err(Error::usage)?;
        Ok(Self { config, config_dir, plan })
    }

    /// What the engine is asked for.
    pub(crate) fn request(
        &self,
        goal: String,
        repository: engine::RepoFacts,
        budget: Option<u64>,
    ) -> Result<Request, Error> {
        let home = user_home().unwrap_or_else(|| PathBuf::from("/"));
        let places = Places { config_dir: &self.config_dir, home: &home };
        Ok(Request {
            goal,
            repository,
            plan: engine::core_plan(&self.plan),
            settings: Settings::of(&self.config, &self.plan, places),
            limits: engine::limits(&self.config),
            budget_micros: budget.or(self.config.budget_micros),
        })
    }
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
