//! A connection to one agent: the calls that the engine makes.

use super::calls::{self, AgentFacts, McpServer, TurnOutcome};
use super::error::{AgentError, Ended};
use super::link::{Link, drain_stderr, read, write};
use super::permission::PermissionPolicy;
use super::{SessionId, Tap};
use api::rpc::LINE_BYTES_MAX;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// The pipes of an agent's process.
#[derive(Debug)]
pub struct Io<In, Out, Err> {
    /// Its standard input, which we write.
    pub stdin: In,
    /// Its standard output, which we read.
    pub stdout: Out,
    /// Its standard error, which goes to the transcript.
    pub stderr: Option<Err>,
}

/// How an agent is treated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long it may take to answer anything but a prompt.
    pub answer_limit: Duration,
    /// The authentication that it wants before its first session.
    pub auth_method: Option<String>,
    /// How its requests for permission are answered.
    pub permission: PermissionPolicy,
    /// How many bad lines per turn are put up with.
    pub bad_lines_max: u32,
    /// Longest line in bytes.
    pub line_bytes_max: usize,
}

impl Default for Settings {
    /// 60 s (the slowest agent measured took 6 s on a busy machine), no authentication, allow once, 64 bad lines, 8 MiB.
    fn default() -> Self {
        Self {
            answer_limit: Duration::from_secs(60),
            auth_method: None,
            permission: PermissionPolicy::AllowOnce,
            bad_lines_max: 64,
            line_bytes_max: LINE_BYTES_MAX,
        }
    }
}

/// A running agent. Dropping it ends the connection, but not the process: whoever owns that kills it.
pub struct Connection {
    link: Arc<Link>,
    facts: AgentFacts,
    answer_limit: Duration,
}

impl Connection {
    /// Takes over the pipes and says hello: `initialize`, then `authenticate` where the settings ask for it.
    /// Must be called within a tokio runtime; starts three tasks that end with the pipes.
    ///
    /// # Errors
    /// Any [`AgentError`] of these two calls. The process is the caller's to kill then.
    pub async fn start<In, Out, Err>(io: Io<In, Out, Err>, tap: Tap, settings: Settings) -> Result<Self, AgentError>
    where
        In: AsyncWrite + Unpin + Send + 'static,
        Out: AsyncRead + Unpin + Send + 'static,
        Err: AsyncRead + Unpin + Send + 'static,
    {
        let (link, lines) = Link::new(tap, settings.permission, settings.bad_lines_max);
        let link = Arc::new(link);
        let (stderr_ended, stderr_done) = oneshot::channel();
        if let Some(stderr) = io.stderr {
            tokio::spawn(drain_stderr(link.clone(), stderr, stderr_ended));
        }
        tokio::spawn(read(link.clone(), io.stdout, settings.line_bytes_max, stderr_done));
        tokio::spawn(write(link.clone(), io.stdin, lines));
        let mut connection = Self { link, facts: AgentFacts::default(), answer_limit: settings.answer_limit };
        connection.hello(settings.auth_method).await?;
        Ok(connection)
    }

    /// What the agent says of itself.
    pub fn facts(&self) -> &AgentFacts {
        &self.facts
    }

    /// A new session in this directory, as seen from inside the sandbox.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] when servers are given and the agent cannot use them; any other [`AgentError`].
    pub async fn new_session(&self, cwd: &str, servers: &[McpServer]) -> Result<SessionId, AgentError> {
        self.check_servers(servers)?;
        let params = calls::session_params(None, cwd, servers);
        calls::new_session(&self.link.call(calls::NEW_SESSION, params, Some(self.answer_limit)).await?)
    }

    /// Takes up an earlier session. The conversation that the agent replays is kept out of the transcript.
    ///
    /// # Errors
    /// [`AgentError::Unsupported`] when the agent cannot load sessions; any other [`AgentError`].
    pub async fn load_session(&self, session: &SessionId, cwd: &str, servers: &[McpServer]) -> Result<(), AgentError> {
        if !self.facts.load_session {
            return Err(AgentError::Unsupported("loading an earlier session"));
        }
        self.check_servers(servers)?;
        let params = calls::session_params(Some(session), cwd, servers);
        let limit = Some(self.answer_limit);
        self.link.call_loading(calls::LOAD_SESSION, params, limit, session).await.map(drop)
    }

    /// One turn: returns when the agent is idle again, however long that takes. `turn` is its number,
    /// unique in the session: an agent that knows our words carries on with a turn that it knows (`resumed` says that it
    /// may) instead of taking the text as a new message.
    ///
    /// Dropping the future forgets the turn, but does not stop it: [`cancel`](Self::cancel) does.
    ///
    /// # Errors
    /// [`AgentError::Busy`] while another turn of this session runs. A model that cannot be reached is an outcome, not
    /// an error; an agent that is gone or does not know the session is an error.
    pub async fn prompt(
        &self,
        session: &SessionId,
        text: &str,
        turn: u32,
        resumed: bool,
    ) -> Result<TurnOutcome, AgentError> {
        let call = self.link.call(calls::PROMPT, calls::prompt_params(session, text, turn, resumed), None);
        let (answer, cancelled, said) = self.link.in_turn(session, call).await?;
        calls::turn_outcome(answer, cancelled, said)
    }

    /// Asks the agent to end the session's turn; the prompt then returns, normally with `cancelled`. Requests for
    /// permission in that turn are answered with "cancelled" from then on. Never waits.
    pub fn cancel(&self, session: &SessionId) {
        self.link.mark_cancelled(session);
        self.link.notify(calls::CANCEL, json!({"sessionId": session.0}));
    }

    /// Closes the agent's input, at which well-behaved agents exit; [`closed`](Self::closed) resolves when they have.
    pub fn close_input(&self) {
        self.link.close_input();
    }

    /// Resolves when nothing more will come, with the first reason. The process is the caller's to kill then.
    pub async fn closed(&self) -> Ended {
        self.link.ended().await
    }

    async fn hello(&mut self, auth_method: Option<String>) -> Result<(), AgentError> {
        let limit = Some(self.answer_limit);
        let result = self.link.call(calls::INITIALIZE, calls::initialize_params(), limit).await?;
        self.facts = calls::agent_facts(&result)?;
        if let Some(method) = auth_method {
            self.link.call(calls::AUTHENTICATE, json!({"methodId": method}), limit).await?;
        }
        Ok(())
    }

    fn check_servers(&self, servers: &[McpServer]) -> Result<(), AgentError> {
        if servers.is_empty() || self.facts.mcp_http {
            return Ok(());
        }
        Err(AgentError::Unsupported("MCP servers over HTTP, through which it would reach its mission"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.end(Ended::Closed);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("facts", &self.facts).field("ended", &self.link.ended_now()).finish()
    }
}
