//! One agent's pipes and everything that waits on them: open requests, running turns, what is still to be written.
//!
//! Three tasks serve a link: one reads and answers, one writes, one drains standard error. They end with the link, and
//! the link ends once, with the first reason.

mod pumps;

pub(super) use pumps::{drain_stderr, read, write};

use super::change::Change;
use super::decode::Incoming;
use super::error::{AgentError, Ended};
use super::permission::{Approve, Choice, PermissionOption, PermissionPolicy};
use super::tap::{Tap, Update, clip_to};
use super::{SessionId, TEXT_BYTES_MAX};
use api::rpc::{ErrorObject, Id, Malformed, Notification, Request, Response};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Most bytes that may wait to be written to an agent. Room for any prompt; an agent beyond it has stopped reading.
pub(super) const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of standard error per turn that go to the transcript.
const STDERR_BYTES_MAX: usize = 256 * 1024;
/// How much of the end of standard error is kept to explain an exit.
const STDERR_TAIL_BYTES: usize = 2 * 1024;
/// How much of a bad line goes to the transcript.
const BAD_LINE_BYTES_MAX: usize = 500;

/// Most requests for permission that wait for an answer in one turn.
const ASKING_MAX: usize = 16;

type Answer = Result<Value, ErrorObject>;

pub(super) struct Link {
    tap: Tap,
    policy: PermissionPolicy,
    bad_lines_max: u32,
    ended: watch::Sender<Option<Ended>>,
    state: Mutex<State>,
}

struct State {
    /// What is to be written; gone once our end is closed.
    outbox: Option<mpsc::UnboundedSender<String>>,
    waiting_bytes: usize,
    last_id: i64,
    open: BTreeMap<i64, Open>,
    turns: BTreeMap<SessionId, Turn>,
    bad_lines: u32,
    stderr_bytes_left: usize,
    stderr_tail: String,
}

/// A request of ours without an answer.
struct Open {
    caller: oneshot::Sender<Answer>,
    loading: Option<Loading>,
}

/// A session that the agent replays before it answers.
struct Loading {
    session: SessionId,
    replayed: bool,
}

#[derive(Default)]
struct Turn {
    /// How many requests for permission wait for an answer.
    asking: usize,
    /// Says when the turn is cancelled by us; gone with the turn.
    cancelled: watch::Sender<bool>,
    said: String,
}

impl Link {
    pub fn new(tap: Tap, policy: PermissionPolicy, bad_lines_max: u32) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (outbox, lines) = mpsc::unbounded_channel();
        let state = State {
            outbox: Some(outbox),
            waiting_bytes: 0,
            last_id: 0,
            open: BTreeMap::new(),
            turns: BTreeMap::new(),
            bad_lines: 0,
            stderr_bytes_left: STDERR_BYTES_MAX,
            stderr_tail: String::new(),
        };
        (Self { tap, policy, bad_lines_max, ended: watch::Sender::new(None), state: Mutex::new(state) }, lines)
    }

    /// Sends a request and waits for its answer, for ever without a limit. Dropping the future forgets the request.
    pub async fn call(
        &self,
        method: &'static str,
        params: Value,
        limit: Option<Duration>,
    ) -> Result<Value, AgentError> {
        self.call_with(method, params, limit, None).await
    }

    /// The same for a request upon which the agent replays a session: what it replays before it answers is kept out
    /// of the transcript, which has it.
    pub async fn call_loading(
        &self,
        method: &'static str,
        params: Value,
        limit: Option<Duration>,
        session: &SessionId,
    ) -> Result<Value, AgentError> {
        self.call_with(method, params, limit, Some(Loading { session: session.clone(), replayed: false })).await
    }

    async fn call_with(
        &self,
        method: &'static str,
        params: Value,
        limit: Option<Duration>,
        loading: Option<Loading>,
    ) -> Result<Value, AgentError> {
        let (caller, answer) = oneshot::channel();
        let id = self.open_request(Open { caller, loading })?;
        let _forget = Guard(|| drop(self.close_request(id)));
        self.send(Request::new(Id::Number(id), method, params).to_line());
        let answer = match limit {
            None => answer.await,
            Some(limit) => {
                tokio::time::timeout(limit, answer).await.map_err(|_| AgentError::Timeout { method, limit })?
            }
        };
        match answer {
            Ok(outcome) => outcome.map_err(|error| AgentError::Refused { method, error: bounded(error) }),
            Err(_) => Err(self.ended_now().unwrap_or(Ended::Closed).into()),
        }
    }

    pub fn notify(&self, method: &'static str, params: Value) {
        self.send(Notification::new(method, params).to_line());
    }

    /// Runs `turn` as the only turn of its session; returns what was said and whether it was cancelled as well.
    pub async fn in_turn<T>(
        &self,
        session: &SessionId,
        turn: impl Future<Output = T>,
    ) -> Result<(T, bool, String), AgentError> {
        {
            let mut state = self.state();
            if state.turns.contains_key(session) {
                return Err(AgentError::Busy);
            }
            state.turns.insert(session.clone(), Turn::default());
            state.bad_lines = 0;
            state.stderr_bytes_left = STDERR_BYTES_MAX;
        }
        let _end = Guard(|| {
            self.state().turns.remove(session);
        });
        let result = turn.await;
        let Turn { cancelled, said, .. } = self.state().turns.remove(session).unwrap_or_default();
        let cancelled = *cancelled.borrow();
        Ok((result, cancelled, said))
    }

    /// Marks the session's turn, if one runs, as cancelled by us.
    pub fn mark_cancelled(&self, session: &SessionId) {
        if let Some(turn) = self.state().turns.get_mut(session) {
            turn.cancelled.send_replace(true);
        }
    }

    /// Closes our end of the pipe once everything is written.
    pub fn close_input(&self) {
        self.state().outbox = None;
    }

    /// Ends the link, if it has not ended.
    pub fn end(&self, why: Ended) {
        let mut state = self.state();
        let first = self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why);
            }
            first
        });
        if first {
            state.outbox = None;
            state.open.clear();
        }
    }

    pub fn ended_now(&self) -> Option<Ended> {
        self.ended.borrow().clone()
    }

    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or(Ended::Closed),
            Err(_) => Ended::Closed,
        }
    }

    /// Takes one line of the agent.
    fn take(self: &Arc<Self>, line: &[u8]) {
        match super::decode::decode(line) {
            Ok(incoming) => self.handle(incoming),
            Err(malformed) => self.bad_line(line, &malformed),
        }
    }

    fn handle(self: &Arc<Self>, incoming: Incoming) {
        match incoming {
            Incoming::Response(response) => self.settle(response),
            Incoming::Update { session, change } => self.update(session, change),
            Incoming::Permission { id, session, title, options } => self.permit(id, session, title, options),
            Incoming::UnknownRequest { id, method } => {
                self.tap.note(format!("the agent asked for {method}, which is not offered"));
                self.send(Response::error(id, ErrorObject::method_not_found(&method)).to_line());
            }
            Incoming::UnknownNotification { method } => self.tap.note(format!("unknown notification {method}")),
            Incoming::Unusable { id, method, why } => {
                self.tap.note(format!("a {method} that cannot be used: {why}"));
                if let Some(id) = id {
                    self.send(Response::error(id, ErrorObject::invalid_params(why)).to_line());
                }
            }
        }
    }

    fn settle(&self, Response { id, outcome }: Response) {
        let open = match &id {
            Id::Number(number) => self.close_request(*number),
            Id::Text(_) | Id::Null => None,
        };
        match open {
            // The caller may have given up at this very moment; then the answer is for nobody.
            Some(caller) => drop(caller.send(outcome)),
            None => self.tap.note(clip_to(&format!("an answer to no open request, id {id}"), BAD_LINE_BYTES_MAX)),
        }
    }

    fn update(&self, session: SessionId, change: Change) {
        {
            let mut state = self.state();
            let mut loading = state.open.values_mut().filter_map(|open| open.loading.as_mut());
            if let Some(loading) = loading.find(|loading| loading.session == session) {
                loading.replayed = true;
                return;
            }
            if let (Change::Text { text }, Some(turn)) = (&change, state.turns.get_mut(&session)) {
                push_tail(&mut turn.said, text, TEXT_BYTES_MAX);
            }
        }
        self.tap.send(Update::Session { session, change });
    }

    fn permit(self: &Arc<Self>, id: Id, session: SessionId, title: String, options: Vec<PermissionOption>) {
        let choice = match &self.policy {
            _ if self.is_cancelled(&session) => Choice::Cancelled,
            PermissionPolicy::AllowOnce => Choice::of(true, &options),
            PermissionPolicy::Refuse => Choice::of(false, &options),
            PermissionPolicy::Ask(approve) => return self.ask(id, session, title, options, approve),
        };
        self.chosen(id, session, title, choice);
    }

    /// Lets somebody else decide; the end of the turn decides otherwise.
    fn ask(
        self: &Arc<Self>,
        id: Id,
        session: SessionId,
        title: String,
        options: Vec<PermissionOption>,
        approve: &Approve,
    ) {
        let turn = {
            let mut state = self.state();
            let turn = state.turns.get_mut(&session).filter(|turn| turn.asking < ASKING_MAX);
            turn.map(|turn| {
                turn.asking += 1;
                turn.cancelled.subscribe()
            })
        };
        // Outside of a turn, and of an agent that asks without end, nobody is asked.
        let Some(mut cancelled) = turn else {
            return self.chosen(id, session, title, Choice::of(false, &options));
        };
        let (link, answer) = (Arc::clone(self), approve(title.clone()));
        tokio::spawn(async move {
            let choice = tokio::select! {
                biased;
                // The end of the turn's sender is the end of the turn too.
                _ = cancelled.wait_for(|cancelled| *cancelled) => Choice::Cancelled,
                _ = link.ended() => return,
                allow = answer => Choice::of(allow, &options),
            };
            if let Some(turn) = link.state().turns.get_mut(&session) {
                turn.asking -= 1;
            }
            link.chosen(id, session, title, choice);
        });
    }

    fn is_cancelled(&self, session: &SessionId) -> bool {
        self.state().turns.get(session).is_some_and(|turn| *turn.cancelled.borrow())
    }

    fn chosen(&self, id: Id, session: SessionId, title: String, choice: Choice) {
        self.send(Response::ok(id, choice.to_result()).to_line());
        self.tap.send(Update::Permission { session, title, choice });
    }

    fn bad_line(&self, line: &[u8], malformed: &Malformed) {
        let head = String::from_utf8_lossy(&line[..line.len().min(BAD_LINE_BYTES_MAX)]);
        self.tap.send(Update::BadLine { problem: malformed.to_string(), line: head.into_owned() });
        if let Some(reply) = malformed.reply() {
            self.send(reply.to_line());
        }
        let count = {
            let mut state = self.state();
            state.bad_lines += 1;
            state.bad_lines
        };
        if count > self.bad_lines_max {
            self.end(Ended::TooManyBadLines { count });
        }
    }

    fn stderr(&self, text: &str) {
        let (shown, was_last) = {
            let mut state = self.state();
            push_tail(&mut state.stderr_tail, text, STDERR_TAIL_BYTES);
            let shown = state.stderr_bytes_left > 0;
            state.stderr_bytes_left = state.stderr_bytes_left.saturating_sub(text.len());
            (shown, shown && state.stderr_bytes_left == 0)
        };
        if shown {
            self.tap.send(Update::Stderr { text: text.to_owned() });
        }
        if was_last {
            self.tap.note("standard error is not shown any further in this turn");
        }
    }

    fn end_of_output(&self) {
        let stderr = self.state().stderr_tail.trim().to_owned();
        self.end(Ended::EndOfOutput { stderr });
    }

    /// Queues a line for the agent. Without an input it goes nowhere: what the agent has said is still to be read.
    fn send(&self, line: String) {
        let mut state = self.state();
        let bytes = state.waiting_bytes.saturating_add(line.len());
        if state.outbox.as_ref().is_some_and(|outbox| outbox.send(line).is_ok()) {
            state.waiting_bytes = bytes;
        }
        drop(state);
        if bytes > WAITING_BYTES_MAX {
            self.end(Ended::InputIgnored { bytes });
        }
    }

    fn open_request(&self, request: Open) -> Result<i64, AgentError> {
        let mut state = self.state();
        if let Some(why) = self.ended_now() {
            return Err(why.into());
        }
        if state.outbox.is_none() {
            return Err(Ended::Closed.into());
        }
        state.last_id += 1;
        let id = state.last_id;
        state.open.insert(id, request);
        Ok(id)
    }

    fn close_request(&self, id: i64) -> Option<oneshot::Sender<Answer>> {
        let Open { caller, loading } = self.state().open.remove(&id)?;
        if let Some(Loading { replayed: true, .. }) = loading {
            self.tap.note("the earlier conversation of the loaded session is not shown again");
        }
        Some(caller)
    }

    fn written(&self, bytes: usize) {
        let mut state = self.state();
        state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error that may travel on: a peer's text is not passed on without a bound.
fn bounded(mut error: ErrorObject) -> ErrorObject {
    error.message = clip_to(&error.message, TEXT_BYTES_MAX);
    error.data = error.data.filter(|data| data.to_string().len() <= TEXT_BYTES_MAX);
    error
}

/// Does something at the end of a scope, also when a future is dropped half way.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// Appends, keeping the last `bytes_max` bytes or a little more.
fn push_tail(tail: &mut String, text: &str, bytes_max: usize) {
    tail.push_str(text);
    if tail.len() > 2 * bytes_max {
        let cut = tail.floor_char_boundary(tail.len() - bytes_max);
        tail.drain(..cut);
    }
}
