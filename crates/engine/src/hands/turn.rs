//! One turn: workspace, session, prompt, and what the workspace holds when the agent is idle again.

use super::{Failed, Hands, agent::Live, commit};
use agents::acp::{AgentError, SessionId, Usage};
use api::{acp_meta, globs::Globs};
use mission::{AgentId, AttemptId, Cause, EffectId, EffectKind, Input, Problem, Stop, TaskId, Work, Writes};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use workspace::{BranchName, INSIDE_WORK, Repository};

/// Paths outside a write-set that are told at most.
const OUTSIDE_MAX: usize = 50;

/// Bytes of what is told of files that cannot be taken over.
const EVIDENCE_BYTES_MAX: usize = 4 * 1024;

/// How long the end of a turn waits for bills of calls that outlive it; shorter than the grace of a cancelled turn.
const BILLS: Duration = Duration::from_secs(5);

/// One turn as it was asked for.
pub(super) struct Order {
    pub(super) id: EffectId,
    pub(super) agent: AgentId,
    pub(super) attempt: AttemptId,
    pub(super) task: TaskId,
    pub(super) turn: u32,
    pub(super) resumed: bool,
    pub(super) claimed: bool,
    pub(super) session: Option<String>,
    pub(super) base: String,
    pub(super) writes: Writes,
    pub(super) prompt: String,
    pub(super) task_brief: Option<String>,
}

impl Hands {
    /// Answers with nothing when the agent is gone and the mission hears so from whoever was first to know.
    pub(super) async fn run_turn(self: &Arc<Self>, order: Order) -> Result<Option<Input>, Failed> {
        let Some(live) = self.live(order.agent) else { return Ok(None) };
        live.gateway.bind(Some(order.attempt.0));
        live.broker.open();
        self.tools.meter.turn_begins(order.attempt.0, order.resumed);
        // What was claimed before the turn was lost is only to be taken: its agent is asked nothing, and nothing is paid for.
        let outcome = match order.claimed {
            true => Ok(Told { stop: Stop::Done, said: None, usage: None, problem: None }),
            false => self.turn(&live, &order).await,
        };
        // What the workspace holds must be still when it is looked at.
        live.broker.close().await;
        live.gateway.bind(None);
        self.tools.meter.booked(order.attempt.0, BILLS).await;
        match outcome {
            Ok(Told { stop, said, usage, problem }) => {
                self.reconcile(&live, order.attempt.0, usage);
                let short = stop != Stop::Cancelled && self.tools.meter.ran_short(order.attempt.0);
                let stop = if short { Stop::Budget } else { stop };
                let work = self.work(&live, &order).await?;
                let problem = if matches!(stop, Stop::Done | Stop::Cancelled) { None } else { problem };
                let problem = problem.map(|words| Box::new(Problem::passing(Cause::Said(words))));
                Ok(Some(Input::TurnEnded { effect: order.id, stop, work, said, problem }))
            }
            Err(Broken::Agent(reason)) => Ok(self.lose(&live, reason).await),
            Err(Broken::Ours(failed)) => Err(failed),
        }
    }

    /// Returns when the agent has been silent for too long, and how long that is; never where no limit is set.
    async fn silence(&self, live: &Live, attempt: u32) -> u64 {
        let Some(ms) = self.tools.settings.silence_ms else { return std::future::pending().await };
        loop {
            let calling = self.tools.meter.is_calling(attempt);
            match live.activity.left(Duration::from_millis(ms), calling) {
                Some(left) => tokio::time::sleep(left).await,
                None => return ms,
            }
        }
    }

    /// Says so when the agent counts otherwise than the gateway. Agents count differently (some the last call only), so it is no failure.
    fn reconcile(&self, live: &Live, attempt: u32, usage: Option<Usage>) {
        let Some((usage, booked)) = usage.zip(self.tools.meter.of_turn(attempt)) else { return };
        let says = [usage.input_tokens, usage.output_tokens];
        if says != booked {
            self.scribe(live.name.as_str()).recounted(says, booked);
        }
    }

    /// How the turn ended, and what the agent said last.
    async fn turn(&self, live: &Arc<Live>, order: &Order) -> Result<Told, Broken> {
        if order.session.is_none() && !live.scratch {
            let branch =
                BranchName::new(format!("task-{}-{}", order.task.0 + 1, order.attempt.0 + 1)).map_err(Failed::from)?;
            live.workspace
                .start_task(&branch, &commit(&order.base)?, self.tools.clock.now().0)
                .await
                .map_err(Failed::from)?;
        }
        // A turn that is to end before its agent was told of it ends without the agent, which may be slow to open a session.
        let Some(opened) = live.unless_cancelled(order.id, self.session(live, order)).await else {
            return Ok(Told { stop: Stop::Cancelled, said: None, usage: None, problem: None });
        };
        let Opened { session, resumed, anew } = opened?;
        let text = order.text(anew);
        let prompt = live.connection.prompt(&session, &text, order.turn, resumed);
        live.activity.seen();
        let answer = live.answer(order.id, &session, prompt);
        let outcome = tokio::select! {
            outcome = answer => outcome,
            limit = self.silence(live, order.attempt.0) => {
                return Err(Broken::Agent(format!("it did nothing for {}", view::duration(limit))));
            }
        };
        live.turn_ended.notify_one();
        let outcome = outcome?;
        if let Some(problem) = &outcome.problem {
            tracing::info!(agent = %live.name, problem, "the turn ended with a problem");
        }
        let said = Some(outcome.said).filter(|said| !said.is_empty());
        Ok(Told { stop: stop_of(outcome.stop), said, usage: outcome.usage, problem: outcome.problem })
    }

    /// The attempt's conversation: the one that this process has, the one that an earlier process had, or a new one.
    async fn session(&self, live: &Arc<Live>, order: &Order) -> Result<Opened, Broken> {
        let servers = live.servers();
        if let Some(session) = order.session.clone().map(SessionId) {
            if live.loaded.lock().unwrap_or_else(PoisonError::into_inner).contains(&session) {
                return Ok(Opened { session, resumed: order.resumed, anew: false });
            }
            match live.connection.load_session(&session, INSIDE_WORK, &servers).await {
                Ok(()) => {
                    live.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone());
                    return Ok(Opened { session, resumed: true, anew: false });
                }
                // A conversation that the agent does not have (any more) is begun anew.
                Err(AgentError::Unsupported(_) | AgentError::Refused { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let session = live.connection.new_session(INSIDE_WORK, &servers).await?;
        live.loaded.lock().unwrap_or_else(PoisonError::into_inner).insert(session.clone());
        let input = Input::SessionOpened { attempt: order.attempt, session: session.0.clone() };
        // Nobody waits until it is durable: no answer of a model and no call of a tool comes before it in the journal, and the agent sees
        // none that is not durable. A crash in between begins a conversation that asks for the same.
        self.handle.report(input).await;
        Ok(Opened { session, resumed: false, anew: order.session.is_some() })
    }

    /// What the workspace holds, kept in a checkpoint first.
    async fn work(&self, live: &Arc<Live>, order: &Order) -> Result<Work, Failed> {
        if live.scratch {
            return Ok(Work::None);
        }
        let globs = match &order.writes {
            Writes::Anything => None,
            Writes::Only(globs) => Some(globs.as_slice()),
            Writes::Nothing => Some([].as_slice()),
        };
        let globs = globs.map(Globs::compile).transpose().map_err(|error| Failed::fatal(error.what))?;
        match self.kept(live, order, globs.as_ref(), self.repository()?).await {
            Ok(work) => Ok(work),
            Err(error) if error.blames_the_files() => Ok(Work::Rejected { why: evidence(&error) }),
            Err(error) => Err(error.into()),
        }
    }

    async fn kept(
        &self,
        live: &Live,
        order: &Order,
        globs: Option<&Globs>,
        repository: &Repository,
    ) -> workspace::Result<Work> {
        let label = format!("{} at the end of turn {}", live.name, order.turn);
        let checkpoint = live.workspace.checkpoint(&label, self.tools.clock.now().0).await?;
        let commit = checkpoint.commit.to_string();
        if checkpoint.files_changed == 0 {
            return Ok(Work::Unchanged { commit });
        }
        let outside = match globs {
            None => Vec::new(),
            Some(globs) => {
                let changed = repository.changed_paths(&checkpoint.base, &checkpoint.commit).await?;
                let outside = globs.outside(changed.iter().map(String::as_str));
                outside.into_iter().take(OUTSIDE_MAX).map(str::to_owned).collect()
            }
        };
        Ok(Work::Changed { commit, paths: u32::try_from(checkpoint.files_changed).unwrap_or(u32::MAX), outside })
    }
}

/// What an agent is told of files that cannot be taken over.
pub(super) fn evidence(error: &workspace::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.floor_char_boundary(EVIDENCE_BYTES_MAX));
    text
}

/// The conversation of a turn.
struct Opened {
    session: SessionId,
    /// Whether the agent may know this turn already.
    resumed: bool,
    /// Whether it is a new one in place of one that the agent could not load.
    anew: bool,
}

impl Order {
    /// Of an effect that runs a turn.
    pub(super) fn of(id: EffectId, kind: EffectKind) -> Result<Self, Failed> {
        let EffectKind::RunTurn {
            agent,
            attempt,
            task,
            turn,
            resumed,
            claimed,
            session,
            base,
            writes,
            prompt,
            task_brief,
        } = kind
        else {
            return Err(Failed::fatal("this is not a turn"));
        };
        Ok(Self { id, agent, attempt, task, turn, resumed, claimed, session, base, writes, prompt, task_brief })
    }

    /// What an agent has to know that has lost its conversation.
    fn lost(&self) -> String {
        let turns = match self.turn {
            1 => "This is still your first turn.".to_owned(),
            turn => format!("This is your turn {turn}."),
        };
        format!(
            "Your earlier conversation about this task is lost. {turns} What you have changed so far is in your workspace, which began at commit {}: look at it \
             with git status and git diff before you go on, and do not begin anew.",
            self.base
        )
    }

    /// The text of the turn: with the task before it, when the agent has forgotten what was said.
    fn text(&self, anew: bool) -> String {
        match &self.task_brief {
            Some(task) if anew => format!("{task}\n\n{}\n\n{}", self.lost(), self.prompt),
            None if anew => format!("{}\n\n{}", self.prompt, self.lost()),
            _ => self.prompt.clone(),
        }
    }
}

/// What came of a turn, as the agent says.
struct Told {
    stop: Stop,
    said: Option<String>,
    usage: Option<Usage>,
    /// What the agent says went wrong.
    problem: Option<String>,
}

/// Why a turn did not come to its end.
enum Broken {
    /// The agent is no use any more.
    Agent(String),
    /// Something of ours failed.
    Ours(Failed),
}

impl From<AgentError> for Broken {
    fn from(error: AgentError) -> Self {
        Broken::Agent(error.to_string())
    }
}

impl From<Failed> for Broken {
    fn from(failed: Failed) -> Self {
        Broken::Ours(failed)
    }
}

fn stop_of(stop: acp_meta::Stop) -> Stop {
    match stop {
        acp_meta::Stop::Done => Stop::Done,
        acp_meta::Stop::Budget => Stop::Budget,
        acp_meta::Stop::ModelError => Stop::ModelError,
        acp_meta::Stop::BadAnswers => Stop::BadAnswers,
        acp_meta::Stop::Refusal => Stop::Refusal,
        acp_meta::Stop::MaxTokens => Stop::MaxTokens,
        acp_meta::Stop::MaxSteps => Stop::MaxSteps,
        acp_meta::Stop::Cancelled => Stop::Cancelled,
        acp_meta::Stop::ContextFull => Stop::ContextFull,
    }
}
