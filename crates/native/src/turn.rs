//! One turn: ask the model, run what it calls, record, until the conversation says that it is over.
//!
//! Every step is recorded before the next one starts, and what the next one is follows from the records alone. So a
//! cancelled turn stops by dropping the step under way, and a killed one goes on from its log.

use std::time::Duration;

use api::acp_meta::Stop;
use tokio_util::sync::CancellationToken;

use crate::bounds::middle_out;
use crate::context::{Room, json_bytes};
use crate::conversation::{Next, TurnEnd};
use crate::judge::{Verdict, judge};
use crate::model::{Model, ModelFailure, Piece, Reply, Request};
use crate::prompt::SYSTEM;
use crate::record::{Call, Definition, Offered, Record, Tokens};
use crate::retry;
use crate::session::Session;
use crate::settings::Settings;
use crate::stdio::Closed;
use crate::toolbox::{self, Place};
use crate::updates::Updates;

/// Times in a row that the model may refuse a request as too long before the turn is given up.
const TIGHTENINGS_MAX: u32 = 2;

/// What a turn needs of the process.
pub struct Agent {
    /// From the environment.
    pub settings: Settings,
    /// The model.
    pub model: Model,
}

/// An open turn.
pub struct Turn<'a> {
    /// The process.
    pub agent: &'a Agent,
    /// The session; its turn is open.
    pub session: &'a mut Session,
    /// The client's view of it.
    pub updates: Updates,
    /// Set when the client cancels.
    pub cancel: CancellationToken,
}

/// What came of a step.
enum Flow {
    GoOn,
    End(Stop, String),
}

impl Turn<'_> {
    /// Runs the turn to its end. One that was begun `before` goes on where it stopped, or is over already; its last words, which
    /// nobody may have heard, are said again then.
    ///
    /// # Errors
    /// The log cannot be written, or the tool servers or the client are gone; the turn stays open and can be resumed.
    pub async fn run(mut self, before: bool) -> Result<TurnEnd, String> {
        let cancel = self.cancel.clone();
        if before && let Some(words) = self.session.talk.last_words().map(str::to_owned) {
            self.updates.text(&words).await.map_err(gone)?;
            self.updates.flush().await.map_err(gone)?;
        }
        loop {
            if let Some(end) = self.session.talk.ended() {
                return Ok(end);
            }
            let flow = tokio::select! {
                biased;
                () = cancel.cancelled() => Flow::End(Stop::Cancelled, String::new()),
                flow = self.step() => flow?,
            };
            if let Flow::End(stop, why) = flow {
                self.session.record(Record::Ended { stop, why })?;
            }
        }
    }

    async fn step(&mut self) -> Result<Flow, String> {
        match self.session.talk.next(self.agent.settings.steps_max) {
            Some(Next::Run(index)) => self.call(index).await,
            Some(Next::Ask) => self.ask().await,
            Some(Next::End(stop)) => Ok(Flow::End(stop, String::new())),
            None => Err("there is no turn to go on with".into()),
        }
    }

    async fn call(&mut self, index: usize) -> Result<Flow, String> {
        let Some(call) = self.session.talk.call(index).cloned() else {
            return Err(format!("there is no call {index}"));
        };
        let id = format!("{}.{index}", self.session.talk.steps());
        self.updates.call(&id, &call).await.map_err(gone)?;
        let outcome = self.outcome(&id, &call).await;
        let failed = outcome.is_err();
        let text = outcome.unwrap_or_else(|problem| format!("Error: {problem}"));
        let text = middle_out(&text, self.agent.settings.result_bytes_max());
        self.updates.result(&id, &text, failed).await.map_err(gone)?;
        self.session.record(Record::Result { index, text, failed })?;
        Ok(Flow::GoOn)
    }

    async fn outcome(&mut self, id: &str, call: &Call) -> Result<String, String> {
        if let Some(problem) = &call.problem {
            return Err(problem.clone());
        }
        let session = &mut *self.session;
        let is_rerun = session.is_rerun();
        let offered = session.talk.offered().unwrap_or_default();
        match toolbox::find(offered, &call.name, &call.arguments)? {
            Place::Here(tool) => tool.run(&session.root, is_rerun).await,
            Place::Server(tool) => {
                let client = session.clients.iter_mut().find(|client| client.name() == tool.server);
                let client = client.ok_or_else(|| format!("The tool server {} is not there any more.", tool.server))?;
                // The same after a restart, so that the server can tell a repeated call from a second one.
                client.call(&tool.name, &call.arguments, &format!("{}/{id}", session.id)).await
            }
        }
    }

    async fn ask(&mut self) -> Result<Flow, String> {
        self.list_tools().await?;
        let tools = toolbox::definitions(self.session.talk.offered().unwrap_or_default());
        let (mut attempt, mut tightenings) = (0, 0);
        let mut room = self.room(&tools);
        loop {
            let Some(cut) = room.fit(&self.session.talk) else {
                return Ok(Flow::End(Stop::ContextFull, "the conversation does not fit the model's window".into()));
            };
            if cut != self.session.talk.cut() {
                self.session.record(Record::Compaction(cut))?;
            }
            match self.attempt(&tools).await? {
                Ok(reply) => return self.take(reply).await,
                Err(ModelFailure::TooLong(_)) if tightenings < TIGHTENINGS_MAX => {
                    tightenings += 1;
                    room = room.tightened(&self.session.talk);
                }
                Err(failure) => {
                    attempt += 1;
                    let Some(pause) = retry::pause(&failure, attempt) else { return Ok(given_up(failure)) };
                    self.wait(&failure, pause).await?;
                }
            }
        }
    }

    async fn wait(&mut self, failure: &ModelFailure, pause: Duration) -> Result<(), String> {
        let told =
            format!("The model did not answer ({}); asking again in {} ms.\n", failure.text(), pause.as_millis());
        self.updates.thought(&told).await.map_err(gone)?;
        self.updates.flush().await.map_err(gone)?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Asks the servers what they offer, once in the life of the session.
    async fn list_tools(&mut self) -> Result<(), String> {
        if self.session.talk.offered().is_some() {
            return Ok(());
        }
        let mut tools: Vec<Offered> = Vec::new();
        for client in &mut self.session.clients {
            let listed = client.tools().await?;
            toolbox::offer(&mut tools, client.name(), listed);
        }
        self.session.record(Record::Tools { tools })
    }

    fn room(&self, tools: &[Definition]) -> Room {
        let of_tool = |tool: &Definition| tool.name.len() + tool.description.len() + json_bytes(&tool.parameters);
        let fixed = SYSTEM.len() + tools.iter().map(of_tool).sum::<usize>();
        Room::new(self.agent.settings.context_tokens, self.agent.settings.output_tokens, fixed)
    }

    async fn attempt(&mut self, tools: &[Definition]) -> Result<Result<Reply, ModelFailure>, String> {
        let messages = self.session.talk.messages(self.session.talk.cut());
        let mut asked = match self.agent.model.ask(Request { system: SYSTEM, messages, tools }).await {
            Ok(asked) => asked,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut said = String::new();
        let mut reply = loop {
            match asked.next().await {
                Ok(Piece::Text(piece)) => {
                    said.push_str(&piece);
                    self.updates.text(&piece).await.map_err(gone)?;
                }
                Ok(Piece::Thought(piece)) => self.updates.thought(&piece).await.map_err(gone)?,
                Ok(Piece::End(reply)) => break reply,
                Err(failure) => {
                    self.updates.flush().await.map_err(gone)?;
                    return Ok(Err(failure));
                }
            }
        };
        self.updates.flush().await.map_err(gone)?;
        if reply.text.is_empty() {
            // An answer that broke off comes without its text.
            reply.text = said;
        }
        Ok(Ok(reply))
    }

    async fn take(&mut self, reply: Reply) -> Result<Flow, String> {
        let tokens: Tokens = reply.tokens;
        let offered = self.session.talk.offered().unwrap_or_default();
        match judge(reply, self.session.talk.steps(), offered) {
            Verdict::Keep(record) => {
                self.session.record(record)?;
                self.updates.usage(tokens).await.map_err(gone)?;
                Ok(Flow::GoOn)
            }
            Verdict::Refused(words) => {
                self.updates.usage(tokens).await.map_err(gone)?;
                Ok(Flow::End(Stop::Refusal, words))
            }
        }
    }
}

fn given_up(failure: ModelFailure) -> Flow {
    let why = failure.text().to_owned();
    match failure {
        ModelFailure::Budget(_) => Flow::End(Stop::Budget, why),
        ModelFailure::TooLong(_) => Flow::End(Stop::ContextFull, why),
        ModelFailure::Passing { .. } | ModelFailure::Lasting(_) => Flow::End(Stop::ModelError, why),
    }
}

fn gone(closed: Closed) -> String {
    closed.to_string()
}
