//! The files of a mission, read and checked: what `muster run` needs before anything is begun, and what `muster config check` tells.
//!
//! Faults are told all at once, in the order in which they can be known: first what is wrong with the texts of all files, then
//! what they ask for and nobody has trusted yet, then what this machine lacks for them.

use crate::{
    commands::user_home,
    outcome::Error,
    trust::{
        Door, Given, Needs,
        own::{self, Own},
        whose,
    },
};
use api::{
    config::{self, CheckedConfig},
    plan::{self, CheckedPlan},
    policy::{CheckedPolicy, Preset},
    source::{Place, Problem, Problems},
    trust as judge,
    value::Name,
};
use engine::{Places, Request, Settings, sandboxed::Resolved};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The name of a project's configuration.
pub(crate) const CONFIG: &str = "muster.yaml";

/// Which files are meant.
pub(crate) struct Named<'a> {
    /// The configuration, if it was named.
    pub(crate) config: Option<&'a Path>,
    /// The plan.
    pub(crate) plan: &'a Path,
    /// The repository that is worked on, or a folder in it.
    pub(crate) repo: &'a Path,
    /// A policy or a preset that no sandbox may be wider than.
    pub(crate) ceiling: Option<&'a Path>,
    /// The budget that was given beside the files.
    pub(crate) budget_micros: Option<u64>,
}

/// A mission as its files describe it, checked.
pub(crate) struct Files {
    pub(crate) config: CheckedConfig,
    pub(crate) config_dir: PathBuf,
    pub(crate) plan: CheckedPlan,
}

/// Where the configuration of a folder is, when it has one of its own.
fn beside(repo: &Path) -> PathBuf {
    if repo == Path::new(".") { CONFIG.into() } else { repo.join(CONFIG) }
}

/// The configuration that holds for a folder: `muster.yaml` there, or in a folder above up to the repository's root, as git looks
/// for its own.
pub(crate) fn found(repo: &Path) -> Option<PathBuf> {
    let here = beside(repo);
    if here.symlink_metadata().is_ok() {
        return Some(here);
    }
    let real = repo.canonicalize().ok()?;
    let root = real.ancestors().find(|folder| whose::is_root(folder))?;
    let above = real.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
    above.map(|folder| folder.join(CONFIG)).find(|file| file.symlink_metadata().is_ok())
}

/// The person's own configuration and the project's.
pub(crate) struct Configured {
    pub(crate) own: Own,
    pub(crate) given: Option<Given>,
    /// The root of the repository that is worked on.
    pub(crate) root: Option<PathBuf>,
}

impl Configured {
    /// Reads what there is.
    ///
    /// # Errors
    /// A file that was named is not there, or one cannot be used.
    pub(crate) fn read(named: Option<&Path>, repo: &Path) -> Result<Self, Error> {
        let root = whose::root_of(repo);
        let own = own::read(root.as_deref());
        let file = named.map(Path::to_owned).or_else(|| found(repo));
        let same = |file: &PathBuf| own::file().is_some_and(|own| own.canonicalize().ok() == file.canonicalize().ok());
        // The person's own file is not over itself.
        let file = file.filter(|file| !file.exists() || !same(file));
        let Some(file) = file else {
            let own = own.map_err(Error::usage)?;
            return match own.config.upstreams.is_empty() {
                true if named.is_none() => Err(nothing(repo)),
                _ => Ok(Self { own, given: None, root }),
            };
        };
        if named.is_none() && file != beside(repo) {
            crate::trust::say_found(&file);
        }
        if !file.exists() {
            return Err(missing(&file));
        }
        let given = Given::read(&file, named.is_some(), root.as_deref());
        match (own, given) {
            (Ok(own), Ok(given)) => Ok(Self { own, given: Some(given), root }),
            (own, given) => Err(all([own.err(), given.err()])),
        }
    }

    /// The folder that relative paths begin in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.given.as_ref().map(|given| given.folder.clone()).or(self.root.clone()).unwrap_or_else(|| "/".into())
    }

    /// What problems call the project's configuration, or the person's own where there is none.
    pub(crate) fn name(&self) -> &str {
        let source = self.given.as_ref().map(|given| &given.source).or(self.own.source.as_ref());
        source.map_or(CONFIG, |source| source.name())
    }

    /// The configuration, and what of it needs trust before it is used.
    ///
    /// # Errors
    /// It is wrong.
    pub(crate) fn judged(&self) -> Result<(CheckedConfig, Vec<Needs<'_>>), Error> {
        let Some(given) = &self.given else { return Ok((self.own.config.clone(), Vec::new())) };
        let config = config::load_over(&given.source, &self.own.config).map_err(Error::usage)?;
        let asks = judge::of_config(&given.source, &self.own.config).map_err(Error::usage)?;
        Ok((config, vec![(given, given.needs(asks))]))
    }

    /// The person's own configuration where a project has none.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn own_alone(repo: &Path) -> Result<Self, Error> {
        let root = whose::root_of(repo);
        let own = own::read(root.as_deref()).map_err(Error::usage)?;
        Ok(Self { own, given: None, root })
    }
}

/// The texts of a mission, right as far as texts can be.
pub(crate) struct Texts {
    configured: Configured,
    planned: Option<Given>,
    config: CheckedConfig,
    plan: CheckedPlan,
}

impl Texts {
    /// Reads the files of a mission; without a plan, for all roles that there are.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, each with file, line and column.
    pub(crate) fn read(config: Option<&Path>, plan: Option<&Path>, repo: &Path) -> Result<Self, Error> {
        let configured = Configured::read(config, repo)?;
        let Configured { own, given, root } = &configured;
        let Some(plan) = plan else {
            let config = match given {
                Some(given) => config::load_over(&given.source, &own.config).map_err(Error::usage)?,
                None => own.config.clone(),
            };
            let plan = CheckedPlan::of_roles(&config);
            return Ok(Self { configured, planned: None, config, plan }.confined());
        };
        let planned = Given::read(plan, true, root.as_deref()).map_err(|problems| no_plan(plan, repo, problems))?;
        let source = given.as_ref().map(|given| &given.source);
        let loaded = plan::load_both(source, &own.config, &planned.source);
        let (config, plan) = loaded.map_err(|problems| all(problems.into_iter().map(Some)))?;
        Ok(Self { configured, planned: Some(planned), config, plan }.confined())
    }

    /// A file that those whom it confines could rewrite is nobody's own, wherever it lies.
    fn confined(mut self) -> Self {
        let writable = self.writable();
        self.configured.given = self.configured.given.map(|given| given.within(&writable));
        self.planned = self.planned.map(|planned| planned.within(&writable));
        self
    }

    /// The folders of this machine that agents and checks may write in.
    fn writable(&self) -> Vec<PathBuf> {
        let (home, folder) = (user_home().unwrap_or_else(|| "/".into()), self.configured.folder());
        let policies = self.plan.roles.values().map(|role| &role.sandbox).chain([&self.config.checks]);
        policies.flat_map(|policy| &policy.write).map(|shown| shown.resolve(&home, &folder).0).collect()
    }

    /// What each file asks for that needs trust.
    ///
    /// # Errors
    /// None that reading them has not had.
    pub(crate) fn needs(&self) -> Result<Vec<Needs<'_>>, Error> {
        let mut needs = Vec::new();
        if let Some(given) = &self.configured.given {
            let asks = judge::of_config(&given.source, &self.configured.own.config).map_err(Error::usage)?;
            needs.push((given, given.needs(asks)));
        }
        if let Some(planned) = &self.planned {
            let asks = judge::of_plan(&planned.source, &self.config).map_err(Error::usage)?;
            needs.push((planned, planned.needs(asks)));
        }
        Ok(needs)
    }

    /// What this machine lacks for them, and where a sandbox is wider than the ceiling. `budget`: whether dollars are counted
    /// beside what the files say; `home`: where missions are kept.
    pub(crate) fn lacks(&self, budget: bool, ceiling: Option<&Resolved>, home: &Path) -> Vec<Problems> {
        let mut problems = self.sandboxes(ceiling);
        problems.extend(self.missing(budget, home));
        problems.extend(self.own_is_written());
        problems
    }

    fn sandboxes(&self, ceiling: Option<&Resolved>) -> Vec<Problems> {
        let (own, configured) = (&self.configured.own, self.configured.name());
        let own_name = own.source.as_ref().map_or("", |source| source.name());
        let of_config = |is_own: bool| if is_own { own_name } else { configured };
        let roles = self.config.roles.iter();
        let roles = roles.map(|(name, role)| (of_config(own.config.roles.get(name) == Some(role)), &role.sandbox));
        let planned = self.plan.roles.iter().filter(|(name, role)| self.config.roles.get(*name) != Some(*role));
        let plan = self.planned.as_ref().map_or("", |planned| planned.source.name());
        let roles = roles.chain(planned.map(|(_, role)| (plan, &role.sandbox)));
        let checks = (of_config(self.config.checks == own.config.checks), &self.config.checks);
        let (home, config_dir) = (user_home().unwrap_or_else(|| "/".into()), self.configured.folder());
        let places = Places { config_dir: &config_dir, home: &home };
        let mut problems = Vec::new();
        for (number, (file, policy)) in std::iter::once(checks).chain(roles).enumerate() {
            problems.extend(engine::sandboxed::check(file, policy, places).err());
            let Some(ceiling) = ceiling else { continue };
            // Checks name no preset: there is one for them.
            let of_checks = CheckedPolicy { preset: Some(Preset::Check), ..policy.clone() };
            let policy = if number == 0 { &of_checks } else { policy };
            problems.extend(engine::sandboxed::check_within(file, policy, places, ceiling).err());
        }
        problems
    }

    /// Keys and addresses are taken from the person's own configuration: no agent and no check may write it.
    fn own_is_written(&self) -> Option<Problems> {
        let own = own::file()?.canonicalize().ok()?;
        let open = self.writable().into_iter().filter_map(|folder| folder.canonicalize().ok());
        let open = open.into_iter().find(|folder| own.starts_with(folder))?;
        let what = format!("a sandbox may write in {}, where your own configuration lies", open.display());
        Some(Problems::one(Problem::whole(self.configured.name(), what, "name folders that do not hold it")))
    }

    fn missing(&self, budget: bool, home: &Path) -> Option<Problems> {
        let (user, config_dir) = (user_home().unwrap_or_else(|| "/".into()), self.configured.folder());
        let places = Places { config_dir: &config_dir, home: &user };
        let mut settings = Settings::of(&self.config, &self.plan, places);
        if self.planned.is_none() {
            // A configuration alone: what it says of upstreams is looked at whether a role uses them or not.
            let of_file = Settings::of_all(&self.config, &self.plan, places).upstreams.into_iter();
            let own = |name: &str| self.configured.own.config.upstreams.keys().any(|own| own.as_str() == name);
            let of_file = of_file.filter(|(name, _)| self.configured.given.is_none() || !own(name));
            settings.upstreams.extend(of_file);
        }
        let counted = |limit: &config::BudgetLimit| limit.measure == config::BudgetMeasure::Cost;
        let budget = budget
            || self.config.budget_micros.is_some()
            || self.plan.budget_limits.iter().any(counted)
            || self.plan.tasks.iter().any(|task| task.budget_micros.is_some());
        let variables: engine::Secrets = Arc::new(|name| std::env::var(name).ok());
        let mut lacks = engine::lacks(&settings, budget, &variables, home);
        let needed = self.needed(&lacks);
        lacks.retain(|lack| program_of(&lack.part).is_none_or(|role| needed.contains(role)));
        let Configured { own, given, .. } = &self.configured;
        let plan = self.planned.as_ref().map(|given| (given.source.name(), config::plan_places(&given.source)));
        let given = given.as_ref().map(|given| (given.source.name(), config::places(&given.source)));
        let own = own.source.as_ref().map(|source| (source.name(), config::places(source)));
        let places: Vec<_> = [plan, given, own].into_iter().flatten().collect();
        let problem = |lack: engine::Lack| {
            let found = places.iter().find_map(|(name, places)| Some((*name, places.of(&lack.part)?)));
            let (file, place) = found.unwrap_or((self.configured.name(), Place::default()));
            Problem { file: file.to_owned(), place, what: lack.what, fix: lack.fix }
        };
        Problems::found(lacks.into_iter().map(problem).collect()).err()
    }

    /// Of the roles whose program cannot be started, those for whose tasks nobody else is there: where somebody is, the work
    /// goes to them.
    fn needed(&self, lacks: &[engine::Lack]) -> BTreeSet<String> {
        let lacking: BTreeSet<&str> = lacks.iter().filter_map(|lack| program_of(&lack.part)).collect();
        let unable = |name: &Name| {
            lacking.contains(name.as_str()) || self.plan.roles.get(name).is_none_or(|role| role.unheld().is_some())
        };
        let tasks = self.plan.tasks.iter().map(|task| (&task.role, &task.fallback));
        // Without a plan every role is looked at as if it had a task.
        let roles =
            self.plan.roles.iter().filter(|_| self.planned.is_none()).map(|(name, role)| (name, &role.fallback));
        let mut needed = BTreeSet::new();
        for (role, fallback) in tasks.chain(roles) {
            let all = std::iter::once(role).chain(fallback);
            if all.clone().all(unable) {
                needed.extend(all.map(ToString::to_string));
            }
        }
        needed
    }

    /// A plan where there is no configuration of a project: under the person's own, or none.
    pub(crate) fn alone(plan: &Path, repo: &Path) -> Result<Self, Error> {
        let configured = Configured::own_alone(repo)?;
        let planned = Given::read(plan, true, configured.root.as_deref()).map_err(Error::usage)?;
        let loaded = plan::load_both(None, &configured.own.config, &planned.source);
        let (config, plan) = loaded.map_err(|problems| all(problems.into_iter().map(Some)))?;
        Ok(Self { configured, planned: Some(planned), config, plan })
    }

    /// The configuration's file, if there is one.
    pub(crate) fn configured_name(&self) -> Option<&str> {
        let Configured { own, given, .. } = &self.configured;
        given.as_ref().map(|given| &given.source).or(own.source.as_ref()).map(|source| source.name())
    }

    /// The person's own configuration and the project's.
    pub(crate) fn config(&self) -> &CheckedConfig {
        &self.config
    }

    /// The plan.
    pub(crate) fn plan(&self) -> &CheckedPlan {
        &self.plan
    }
}

impl Files {
    /// Reads and checks all files of a mission.
    ///
    /// # Errors
    /// Everything that is wrong, each with file, line and column; what is asked for and not trusted; everything that this machine
    /// lacks.
    pub(crate) fn read(named: &Named<'_>, door: &Door<'_>, home: &Path) -> Result<Self, Error> {
        let texts = Texts::read(named.config, Some(named.plan), named.repo)?;
        texts.config.ready_to_run(texts.configured.name()).map_err(Error::usage)?;
        door.pass(texts.needs()?)?;
        let ceiling = named.ceiling.map(|ceiling| crate::commands::sandbox::named(ceiling, Some(door))).transpose()?;
        let problems = texts.lacks(named.budget_micros.is_some(), ceiling.as_ref(), home);
        if !problems.is_empty() {
            return Err(all(problems.into_iter().map(Some)));
        }
        let Texts { configured, config, plan, .. } = texts;
        Ok(Self { config_dir: configured.folder(), config, plan })
    }

    /// What the engine is asked for.
    pub(crate) fn request(&self, goal: String, repository: engine::RepoFacts, budget: Option<u64>) -> Request {
        let home = user_home().unwrap_or_else(|| "/".into());
        let places = Places { config_dir: &self.config_dir, home: &home };
        Request {
            goal,
            repository,
            plan: engine::core_plan(&self.plan),
            settings: Settings::of(&self.config, &self.plan, places),
            limits: engine::limits(&self.config),
            budget_micros: budget.or(self.config.budget_micros),
        }
    }
}

/// The role whose program a part is.
fn program_of(part: &str) -> Option<&str> {
    part.strip_prefix("roles.")?.strip_suffix(".program")
}

/// Faults of several files as one error.
pub(crate) fn all(problems: impl IntoIterator<Item = Option<Problems>>) -> Error {
    let texts: Vec<String> = problems.into_iter().flatten().map(|problems| problems.to_string()).collect();
    Error::usage(texts.join("\n"))
}

fn missing(file: &Path) -> Error {
    let (file, example) = (file.display(), config::EXAMPLE);
    Error::usage(format!(
        "{file}: there is no configuration; say where it is with --config, or write it, for example\n{example}"
    ))
}

fn nothing(repo: &Path) -> Error {
    let (own, example) = (own::file().unwrap_or_default(), config::EXAMPLE);
    let (file, own) = (repo.join(CONFIG), own.display().to_string());
    Error::usage(format!(
        "{}: there is no configuration, nor in a folder above it up to the repository's root, nor {own}; say where it is with --config, or \
         write it, for example\n{example}",
        file.display()
    ))
}

/// A plan that is not where it was said, with the one that may be meant.
fn no_plan(plan: &Path, repo: &Path, problems: Problems) -> Error {
    let near = found(repo).and_then(|config| Some(config.parent()?.join(plan.file_name()?)));
    let near = near.filter(|near| plan.is_relative() && !plan.exists() && near.exists());
    match near {
        Some(near) => Error::usage(format!("{problems}\n  there is one here: {}", near.display())),
        None => Error::usage(problems),
    }
}
