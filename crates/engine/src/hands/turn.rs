//! One turn: workspace, session, prompt, and what the workspace holds when the agent is idle again.

use super::{Failed, Hands, agent::Live, commit, left};
use crate::causes;
use agents::acp::{AgentError, SessionId, Usage};
use api::{
    acp_meta::{self, ProgramFailure},
    globs::Globs,
};
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
        let role = self.role(&live.role)?;
        self.tools.meter.turn_begins(order.attempt.0, order.resumed, &role.upstream);
        // What was claimed before the turn was lost is only to be taken: its agent is asked nothing, and nothing is paid for.
        let outcome = match order.claimed {
            true => Ok(Told { stop: Stop::Done, said: None, usage: None, wrong: None }),
            false => self.turn(&live, &order).await,
        };
        // What the workspace holds must be still when it is looked at.
        live.broker.close().await;
        live.gateway.bind(None);
        self.tools.meter.booked(order.attempt.0, BILLS).await;
        match outcome {
            Ok(Told { stop, said, usage, wrong }) => {
                self.reconcile(&live, order.attempt.0, usage);
                let short = stop != Stop::Cancelled && self.tools.meter.ran_short(order.attempt.0);
                let trouble = self.tools.meter.trouble(order.attempt.0).filter(|_| !short);
                let stop = match stop {
                    _ if short => Stop::Budget,
                    // Not our budget, then: the provider's own, or a rule that has nothing to do with what is spent.
                    Stop::Budget if trouble.is_some() => Stop::ModelError,
                    stop => stop,
                };
                let work = self.work(&live, &order).await?;
                let seen = trouble.map(|trouble| causes::of_call(&trouble, role, &self.tools.settings));
                let problem = match stop {
                    Stop::Cancelled | Stop::Budget => None,
                    Stop::Done => seen,
                    _ => seen.or_else(|| wrong.map(|wrong| wrong.problem(&live.role))),
                };
                let problem = problem.map(Box::new);
                Ok(Some(Input::TurnEnded { effect: order.id, stop, work, said, problem }))
            }
            Err(Broken::Agent(Lost { reason, program })) => {
                let seen = self.tools.meter.trouble(order.attempt.0).filter(|trouble| trouble.lasting);
                let seen = seen.map(|trouble| causes::of_call(&trouble, role, &self.tools.settings));
                let problem = program.map(|program| causes::of_program(program, &live.role)).or(seen);
                Ok(self.lose(&live, reason, problem).await)
            }
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
            return Ok(Told { stop: Stop::Cancelled, said: None, usage: None, wrong: None });
        };
        let Opened { session, resumed, anew } = opened?;
        let text = order.text(anew);
        let prompt = live.connection.prompt(&session, &text, order.turn, resumed);
        live.activity.seen();
        let answer = live.answer(order.id, &session, prompt);
        let outcome = tokio::select! {
            outcome = answer => outcome,
            limit = self.silence(live, order.attempt.0) => {
                let reason = format!("it did nothing for {}", view::duration(limit));
                return Err(Broken::Agent(Lost { reason, program: None }));
            }
        };
        live.turn_ended.notify_one();
        let outcome = outcome?;
        let said = Some(outcome.said).filter(|said| !said.is_empty());
        let wrong = match (outcome.program, outcome.problem) {
            (Some(program), _) => Some(Wrong::Program(program)),
            (None, words) => words.map(Wrong::Said),
        };
        Ok(Told { stop: stop_of(outcome.stop), said, usage: outcome.usage, wrong })
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
        let left_out = left::told(&checkpoint.left_out, globs);
        if checkpoint.files_changed == 0 {
            return Ok(Work::Unchanged { commit, left_out });
        }
        let outside = match globs {
            None => Vec::new(),
            Some(globs) => {
                let changed = repository.changed_paths(&checkpoint.base, &checkpoint.commit).await?;
                let outside = globs.outside(changed.iter().map(String::as_str));
                outside.into_iter().take(OUTSIDE_MAX).map(str::to_owned).collect()
            }
        };
        Ok(Work::Changed {
            commit,
            paths: u32::try_from(checkpoint.files_changed).unwrap_or(u32::MAX),
            outside,
            left_out,
        })
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
    wrong: Option<Wrong>,
}

/// What went wrong, as the agent says.
enum Wrong {
    Program(ProgramFailure),
    Said(String),
}

impl Wrong {
    fn problem(self, role: &str) -> Problem {
        match self {
            Wrong::Program(program) => causes::of_program(program, role),
            Wrong::Said(words) => Problem::passing(Cause::Said(words)),
        }
    }
}

/// What is known of an agent that is no use any more.
struct Lost {
    reason: String,
    /// The program that it could not start.
    program: Option<ProgramFailure>,
}

/// Why a turn did not come to its end.
enum Broken {
    /// The agent is no use any more.
    Agent(Lost),
    /// Something of ours failed.
    Ours(Failed),
}

impl From<AgentError> for Broken {
    fn from(error: AgentError) -> Self {
        let program = match &error {
            AgentError::Refused { error, .. } => ProgramFailure::read(error.data.as_ref()),
            _ => None,
        };
        Broken::Agent(Lost { reason: error.to_string(), program })
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
