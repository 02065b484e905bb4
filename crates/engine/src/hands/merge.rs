//! The mission's repositories: making them, trying changes, moving the branch, putting the result into the user's repository.

use super::{Failed, Hands, Outcome, commit};
use mission::{Check, CheckRun, EffectId, Input, Verdict};
use std::{sync::Arc, time::Duration};
use workspace::{BranchName, CheckCommand, CheckEnd, Merge, Repository};

/// What a change is tried with.
pub(super) struct Order {
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
        let head = repository.head().await?.to_string();
        // Whoever was first has opened the same.
        let _ = self.repository.set(repository);
        Ok(Input::RepositoryPrepared { effect, head })
    }

    /// Merges the change in our own store and runs the task's checks in a clean sandbox at exactly that commit.
    pub(super) async fn verify(&self, effect: EffectId, order: Order) -> Outcome {
        let repository = self.repository()?;
        let (onto, change) = (commit(&order.onto)?, commit(&order.commit)?);
        let merged = repository.merge_candidate(&onto, &change, &order.message, order.at_ms).await;
        let verdict = match merged {
            Ok(Merge::Conflict(conflict)) => Verdict::Conflict { hunks: conflict.hunks },
            Ok(Merge::Candidate(candidate)) => self.check(repository, candidate.commit, &order.checks).await?,
            Ok(Merge::Nothing) => self.check(repository, onto, &order.checks).await?,
            Err(error) if error.kind == workspace::ErrorKind::Rejected => {
                Verdict::Conflict { hunks: error.to_string() }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Input::ChangeChecked { effect, verdict })
    }

    async fn check(
        &self,
        repository: &Repository,
        at: workspace::CommitId,
        checks: &[Check],
    ) -> Result<Verdict, Failed> {
        let commands: Vec<CheckCommand> = checks
            .iter()
            .map(|check| CheckCommand { run: check.run.clone(), timeout: Duration::from_millis(check.timeout_ms) })
            .collect();
        let extras = self.tools.settings.checks.for_sandbox();
        let runs = repository.check(&at, &commands, &extras).await?;
        let checks: Vec<CheckRun> = runs
            .into_iter()
            .map(|run| {
                let passed = run.passed();
                CheckRun {
                    run: run.command.clone(),
                    passed,
                    ended: ended(run.end),
                    output: if passed { String::new() } else { run.output_tail.clone() },
                    ms: run.ms,
                }
            })
            .collect();
        let all = checks.iter().all(|check| check.passed);
        Ok(if all { Verdict::Passed { commit: at.to_string(), checks } } else { Verdict::Failed { checks } })
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

/// How a check ended, for people and agents.
fn ended(end: CheckEnd) -> String {
    match end {
        CheckEnd::Exit(code) => format!("exit status {code}"),
        CheckEnd::Signal(signal) => format!("ended by signal {signal}"),
        CheckEnd::TimedOut => "stopped: it took too long".to_owned(),
        CheckEnd::CpuLimit => "stopped: it used up its processor time".to_owned(),
        CheckEnd::FileSizeLimit => "stopped: it wrote a file that is too large".to_owned(),
        CheckEnd::MemoryLimit => "stopped: its processes together used too much memory".to_owned(),
        CheckEnd::DiskLimit => "stopped: its files together became too large".to_owned(),
    }
}
