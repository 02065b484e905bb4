//! The mission's repositories: making them, trying changes, moving the branch, putting the result into the user's repository.

use super::{Failed, Hands, Outcome, commit};
use crate::console::{Scribe, end_words};
use mission::{AgentId, Check, CheckRun, EffectId, Input, Verdict};
use std::{sync::Arc, time::Duration};
use view::RunBy;
use workspace::{BranchName, CheckCommand, Merge, Repository};

/// What a change is tried with.
pub(super) struct Order {
    pub(super) agent: AgentId,
    pub(super) commit: String,
    pub(super) onto: String,
    pub(super) message: String,
    pub(super) at_ms: u64,
    pub(super) checks: Vec<Check>,
}

impl Hands {
    pub(super) async fn prepare(&self, effect: EffectId, base: &str) -> Outcome {
        let base = commit(base)?;
        let launcher = Arc::clone(&self.tools.launcher);
        let repository = Repository::prepare(&self.tools.dir, &self.tools.source, &base, launcher).await?;
        let head = repository.head().await?;
        // Whoever was first has opened the same.
        let _ = self.repository.set(repository);
        let (tried, problem) = self.try_checks(&head).await?;
        Ok(Input::RepositoryPrepared { effect, head: head.to_string(), tried, problem: problem.map(Box::new) })
    }

    /// Merges the change in our own store and runs the task's checks in a clean sandbox at exactly that commit.
    pub(super) async fn verify(&self, effect: EffectId, order: Order) -> Outcome {
        let repository = self.repository()?;
        let (onto, change) = (commit(&order.onto)?, commit(&order.commit)?);
        let merged = repository.merge_candidate(&onto, &change, &order.message, order.at_ms).await;
        let verdict = match merged {
            Ok(Merge::Conflict(conflict)) => Verdict::Conflict { hunks: conflict.hunks },
            Ok(Merge::Candidate(candidate)) => self.check(repository, candidate.commit, &order).await?,
            Ok(Merge::Nothing) => self.check(repository, onto, &order).await?,
            Err(error) if error.blames_the_files() => Verdict::Rejected { why: super::turn::evidence(&error) },
            Err(error) => return Err(error.into()),
        };
        Ok(Input::ChangeChecked { effect, verdict })
    }

    async fn check(&self, repository: &Repository, at: workspace::CommitId, order: &Order) -> Result<Verdict, Failed> {
        let agent = order.agent;
        let name = self.handle.read(move |mission| mission.agent_name(agent).to_owned()).await?;
        let scribe = self.scribe(&name);
        let mut checks = Vec::with_capacity(order.checks.len());
        for check in &order.checks {
            checks.push(self.run_check(repository, &at, check, &scribe).await?);
        }
        let all = checks.iter().all(|check| check.passed);
        Ok(if all { Verdict::Passed { commit: at.to_string(), checks } } else { Verdict::Failed { checks } })
    }

    async fn run_check(
        &self,
        repository: &Repository,
        at: &workspace::CommitId,
        check: &Check,
        scribe: &Scribe,
    ) -> Result<CheckRun, Failed> {
        let command = CheckCommand { run: check.run.clone(), timeout: Duration::from_millis(check.timeout_ms) };
        let extras = self.tools.settings.checks.for_sandbox();
        let mut recording = scribe.begin(RunBy::Check, &command.run, None);
        let ran = repository.check_aloud(at, &command, &extras, &mut |spoken| recording.said(spoken)).await;
        let run = match ran {
            Ok(run) => run,
            Err(error) => {
                recording.failed(&error.message);
                return Err(error.into());
            }
        };
        recording.ended(run.end, run.ms, run.output_bytes, Vec::new());
        let passed = run.passed();
        Ok(CheckRun {
            passed,
            ended: end_words(run.end),
            output: if passed { String::new() } else { run.output_tail },
            run: run.command,
            ms: run.ms,
        })
    }

    pub(super) async fn merge(&self, effect: EffectId, from: &str, to: &str) -> Outcome {
        if from != to {
            self.repository()?.advance(&commit(from)?, &commit(to)?).await?;
        }
        Ok(Input::ChangeMerged { effect })
    }

    pub(super) async fn publish(&self, effect: EffectId, branch: &str, tip: &str) -> Outcome {
        let branch = BranchName::new(branch)?;
        self.repository()?.publish(&self.tools.source, &branch, &commit(tip)?, None).await?;
        Ok(Input::ResultPublished { effect })
    }
}
