//! The plan's checks, each started once before anything is spent: one that cannot start fails whatever the agents do. That one fails is as it should be.

use super::{Failed, Hands};
use crate::{causes, console::end_words};
use mission::{Check, CheckRun, Problem};
use std::time::{Duration, Instant};
use workspace::{CheckCommand, CommitId};

/// Checks that are tried.
const TRIED_MAX: usize = 16;

/// How long one of them, and all of them, may take; that one starts is known soon.
const ONE: Duration = Duration::from_secs(10);
const ALL: Duration = Duration::from_secs(30);

impl Hands {
    /// How the checks ran, and why the first of them that cannot start does not.
    pub(super) async fn try_checks(&self, at: &CommitId) -> Result<(Vec<CheckRun>, Option<Problem>), Failed> {
        let of_plan = |mission: &mission::Mission| {
            let mut checks: Vec<Check> = Vec::new();
            for check in mission.plan().tasks.iter().flat_map(|task| &task.checks) {
                if checks.len() < TRIED_MAX && checks.iter().all(|known| known.run != check.run) {
                    checks.push(check.clone());
                }
            }
            checks
        };
        let (mut tried, mut problem) = (Vec::new(), None);
        let began = Instant::now();
        for check in self.handle.read(of_plan).await? {
            let timeout = Duration::from_millis(check.timeout_ms).min(ONE);
            if began.elapsed() + timeout > ALL {
                break;
            }
            // What goes wrong with a trial is no reason not to begin.
            let Ok(run) = self.try_check(at, check, timeout).await else { continue };
            problem = problem.or_else(|| causes::of_check(&run));
            tried.push(CheckRun { output: String::new(), ..run });
        }
        Ok((tried, problem))
    }

    async fn try_check(&self, at: &CommitId, check: Check, timeout: Duration) -> Result<CheckRun, Failed> {
        let command = CheckCommand { run: check.run, timeout };
        let extras = self.tools.settings.checks.for_sandbox();
        let run = self.repository()?.check_aloud(at, &command, &extras, &mut |_| {}).await?;
        let (passed, ended) = (run.passed(), end_words(run.end));
        Ok(CheckRun { passed, ended, output: run.output_tail, run: run.command, ms: run.ms })
    }
}
