//! A finished mission run again from its recorded calls, and its result compared with the recorded one.
//!
//! Why: whatever is not the model (prompts, tools, checks, merges, the core) has to do the same when the model says the
//! same. A replay is a mission of its own, with the plan, the limits and the settings of the recorded one, on a copy of
//! the commit that that one started from. Only its upstreams are others: all of them answer from the cassette, so it needs
//! no network and no key and costs nothing. It is the trees that are compared: a commit holds the time at which it was made.
//!
//! What it does not replay: what people answered. Where the recorded mission asked a person, the replay waits for one too.

use crate::{
    engine::{Engine, EngineError, Request, Running},
    settings::{Recording, Settings, UpstreamSettings},
    setup,
};
use gateway::Cassette;
use mission::Standing;
use std::sync::Arc;
use store::MissionKey;
use workspace::{CommitId, RepoFacts, Repository};

/// A mission that is being run again.
pub struct Replay {
    /// The new mission.
    pub running: Running,
    /// What it asks the cassette for.
    pub calls: ReplayedCalls,
}

/// What a replay has asked for. Outlives the mission.
pub struct ReplayedCalls(Vec<Cassette>);

/// The results of a recorded mission and of its replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The tree that the recorded mission ended with.
    pub recorded: String,
    /// The tree that the replay ended with.
    pub replayed: String,
    /// The first file that differs; `None` when the trees are the same.
    pub first: Option<String>,
}

impl Comparison {
    /// Whether both ended with the same files.
    pub fn same(&self) -> bool {
        self.recorded == self.replayed
    }
}

impl ReplayedCalls {
    /// The requests that were not recorded, each told with where it differs.
    pub fn differences(&self) -> Vec<String> {
        self.0.iter().flat_map(Cassette::differences).map(|difference| difference.to_string()).collect()
    }

    /// How many calls were recorded.
    pub fn recorded(&self) -> usize {
        self.0.iter().map(Cassette::calls).sum()
    }

    /// How many of them were not asked for.
    pub fn unasked(&self) -> usize {
        self.0.iter().map(Cassette::unasked).sum()
    }
}

impl Engine {
    /// Runs a finished mission again from its recorded calls, as a mission of its own.
    ///
    /// # Errors
    /// [`EngineError::Unfinished`]; [`SetupError::NotRecorded`] or [`SetupError::Cassette`] within [`EngineError::Setup`].
    pub async fn replay(&self, recorded: &MissionKey) -> Result<Replay, EngineError> {
        let (mission, _) = crate::driver::replay_with(&self.reader()?, recorded)?;
        if mission.standing() != Standing::Closed {
            return Err(EngineError::Unfinished { mission: recorded.clone() });
        }
        let (beginning, settings) = self.begun_with(recorded)?;
        let settings = replaying(settings, recorded.as_str());
        let key = setup::fresh_key(&format!("replay {}", beginning.opening.goal), &beginning.plan);
        let repository = self.copy_for(recorded, &key).await?;
        let request = Request {
            goal: beginning.opening.goal,
            repository,
            plan: beginning.plan,
            settings,
            limits: beginning.opening.limits,
            // Nothing costs anything.
            budget_micros: None,
        };
        let running = self.begin_as(key, request).await?;
        let calls = ReplayedCalls(running.cassettes());
        Ok(Replay { running, calls })
    }

    /// Compares what a mission and its replay have merged.
    ///
    /// # Errors
    /// [`EngineError::Workspace`] when a mission has no repository.
    pub async fn compare(&self, recorded: &MissionKey, replayed: &MissionKey) -> Result<Comparison, EngineError> {
        let (one, other) = (self.repository_of(recorded)?, self.repository_of(replayed)?);
        let (head, other_head) = (self.head_of(recorded, &one)?, self.head_of(replayed, &other)?);
        let (tree, other_tree) = (one.tree(&head).await?, other.tree(&other_head).await?);
        let same = tree == other_tree;
        let first = if same { None } else { one.first_difference(&head, &other, &other_head).await? };
        Ok(Comparison { recorded: tree.to_string(), replayed: other_tree.to_string(), first })
    }

    async fn copy_for(&self, recorded: &MissionKey, key: &MissionKey) -> Result<RepoFacts, EngineError> {
        let root = setup::mission_dir(self.home(), key.as_str()).join("source.git");
        let head = self.repository_of(recorded)?.copy_base(&root).await?;
        Ok(RepoFacts {
            git_dir: root.clone(),
            root,
            head,
            branch: None,
            dirty: false,
            shallow: false,
            notes: Vec::new(),
        })
    }

    fn repository_of(&self, key: &MissionKey) -> Result<Repository, EngineError> {
        Ok(Repository::open(&setup::mission_dir(self.home(), key.as_str()), Arc::clone(self.launcher()))?)
    }

    /// The last merge of a mission, or where it started.
    fn head_of(&self, key: &MissionKey, repository: &Repository) -> Result<CommitId, EngineError> {
        let (mission, _) = crate::driver::replay_with(&self.reader()?, key)?;
        match mission.head() {
            Some(head) => Ok(CommitId::new(head)?),
            None => Ok(repository.base()?),
        }
    }
}

/// The same settings with every upstream in the cassette.
fn replaying(settings: Settings, recorded: &str) -> Settings {
    let replayed = |upstream: UpstreamSettings| UpstreamSettings::Replay {
        of: Recording::Mission(recorded.to_owned()),
        format: upstream.format().to_owned(),
    };
    let upstreams = settings.upstreams.into_iter().map(|(name, upstream)| (name, replayed(upstream)));
    Settings { upstreams: upstreams.collect(), record: false, ..settings }
}
