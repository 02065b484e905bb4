//! One call, from the ledger's word to its settlement, in a task of its own.
//!
//! The agent's end is a channel. When the agent hangs up, the channel closes and the rest of the answer is still read
//! (for at most [`Limits::drain`](crate::Limits)), because it is paid for: it is settled, and kept for the agent's
//! next incarnation to recall.
//!
//! An agent acts when it has the end of an answer. That end is therefore held back until the books are durable: of a
//! stream, everything from the event on that says that the model has finished; of any other body, its last chunk.
//! Bytes of an event under way are held too (a client cannot read half an event) up to [`HELD_BYTES_MAX`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::sync::{mpsc, oneshot, watch};

use crate::body::{Body, Broken};
use crate::cassette::{Ending, Heard};
use crate::gateway::{Core, problem};
use crate::guard::Guard;
use crate::ledger::{Call, Cost, Ledger, Outcome, Settled, StoredAnswer, Usage};
use crate::meter::{End, Meter};
use crate::price::PriceSource;
use crate::request::Wanted;
use crate::upstream::{Asker, Incoming, IncomingBody, Line, Outgoing, Unanswered};

mod hold;

use hold::Hold;

/// Chunks that may wait for a slow agent before the upstream has to wait too.
const CHUNKS_WAITING_MAX: usize = 16;

/// One call, ready to be made.
pub(crate) struct Order {
    pub(crate) call: Call,
    pub(crate) wanted: Wanted,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    /// Which of the gateway's upstreams answers.
    pub(crate) line: usize,
}

/// Where the head of the answer goes.
pub(crate) type HeadSender = oneshot::Sender<Response<Body>>;

/// Makes the call. Whatever happens, a granted reservation is settled.
pub(crate) async fn run<L: Ledger>(core: Arc<Core<L>>, order: Order, mut head: HeadSender) {
    let _under_way = UnderWay::begin(&core.under_way);
    let call = &order.call;
    if let Some(stored) = core.ledger.recall(call).await {
        core.recalled.fetch_add(1, Ordering::Relaxed);
        let _ = head.send(replay(stored));
        return;
    }
    let Some(line) = core.lines.get(order.line) else { return };
    if head.is_closed() {
        return;
    }
    let worst = core.price_for(line, &call.model).map(|priced| priced.worst(&order.wanted));
    if let Err(refusal) = core.ledger.reserve(call, worst.flatten()).await {
        core.refused.fetch_add(1, Ordering::Relaxed);
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
        let _ = head.send(problem(call.format, status, &refusal.kind, &refusal.message));
        return;
    }
    let started = Instant::now();
    let path = order.path_and_query.clone();
    let books = Books { core: &core, line, wanted: &order.wanted, call: order.call.clone(), path, started };
    if head.is_closed() {
        // The agent gave up while the money was found: nothing is sent that nobody waits for.
        books.settle(Outcome::Unreachable, None, None, None).await;
        return;
    }
    let outgoing = Outgoing {
        asker: Asker { mission: call.mission.clone(), agent: call.agent.clone(), attempt: call.attempt },
        format: call.format,
        model: call.model.clone(),
        stream: call.stream,
        path_and_query: order.path_and_query,
        headers: order.headers,
        body: order.wanted.body.clone(),
    };
    match answer_head(&core, line, outgoing, &mut head).await {
        Ok(incoming) => pass(books, incoming, head).await,
        Err(unanswered) => {
            let response = books.unanswered(unanswered).await;
            let _ = head.send(response);
        }
    }
}

/// Counts a call as under way until it is dropped.
struct UnderWay<'a>(&'a watch::Sender<usize>);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        UnderWay(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Waits for the head of the answer: as long as the limits allow, less when the agent has gone.
async fn answer_head<L: Ledger>(
    core: &Core<L>,
    line: &Line,
    outgoing: Outgoing,
    head: &mut HeadSender,
) -> Result<Incoming, Unanswered> {
    let asking = tokio::time::timeout(core.limits.head, line.ask(&core.http, outgoing));
    tokio::pin!(asking);
    let answered = tokio::select! {
        answered = &mut asking => answered,
        () = head.closed() => {
            tokio::time::timeout(core.limits.drain, asking).await.map_err(|_| Unanswered::Lost)?
        }
    };
    answered.map_err(|_| Unanswered::Lost)?
}

/// Passes the answer on, then settles it, then lets go of its end.
async fn pass<L: Ledger>(books: Books<'_, L>, incoming: Incoming, head: HeadSender) {
    let status = incoming.status;
    let content_type = content_type(&incoming.headers);
    let events = status.is_success() && content_type.starts_with("text/event-stream");
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let mut agent = Agent { sender: Some(sender), gone_at: None };
    let guard = Guard::new(&books.core.secrets.masker, events);
    let mut headers = incoming.headers;
    guard.head(&mut headers);
    if head.send(response(status, headers.clone(), Body::chunks(receiver))).is_err() {
        agent.leave();
    }
    let limits = &books.core.limits;
    let hold = Hold::new(books.call.format, events, limits.stored_bytes);
    let mut flow = Flow { body: incoming.body, guard, hold, first_byte_ms: None, started: books.started };
    let whole = flow.run(&mut agent, limits.idle, limits.drain).await;

    let (meter, copy) = flow.hold.finish(status.is_success() && !events);
    let unread = !events && copy.is_none();
    let outcome = outcome(status, whole, unread, &meter);
    let ending = match (whole, &copy) {
        (_, None) => Ending::TooLarge,
        (true, Some(_)) => Ending::Whole,
        (false, Some(_)) => Ending::Broken,
    };
    books.keep(Heard { ending, status: Some(status), headers, body: copy.clone() }).await;
    let answer = (outcome == Outcome::Complete).then_some(copy).flatten();
    let answer = answer.map(|body| StoredAnswer { status: status.as_u16(), content_type, body });
    let settled = books.settle(outcome, Some(&meter), answer, flow.first_byte_ms).await;

    if !settled || !whole {
        agent.send(Err(Broken), limits.idle).await;
        return;
    }
    for chunk in flow.hold.into_held() {
        agent.send(Ok(chunk), limits.idle).await;
    }
}

/// `unread`: the answer was too large to be read.
fn outcome(status: StatusCode, whole: bool, unread: bool, meter: &Meter) -> Outcome {
    if !status.is_success() {
        return Outcome::Refused { status: status.as_u16() };
    }
    match meter.reading.end {
        End::Failed => Outcome::Failed,
        End::Complete => Outcome::Complete,
        // Some servers leave out the last word of a chat stream.
        End::Closing if whole => Outcome::Complete,
        End::Open if whole && unread => Outcome::Complete,
        End::Open | End::Closing => Outcome::Cut,
    }
}

/// The bytes of one answer on their way.
struct Flow {
    body: IncomingBody,
    guard: Guard,
    hold: Hold,
    first_byte_ms: Option<u64>,
    started: Instant,
}

impl Flow {
    /// Reads to the end, passing on what may pass; false when the answer broke off or took too long.
    async fn run(&mut self, agent: &mut Agent, idle: Duration, drain: Duration) -> bool {
        let mut clean = Vec::new();
        let whole = loop {
            let wait = match agent.gone_at {
                None => idle,
                Some(at) => drain.saturating_sub(at.elapsed()).min(idle),
            };
            let next = tokio::select! {
                biased;
                next = tokio::time::timeout(wait, self.body.chunk()) => next,
                () = agent.closed() => {
                    agent.leave();
                    continue;
                }
            };
            let chunk = match next {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break true,
                Ok(Err(())) | Err(_) => break false,
            };
            self.first_byte_ms.get_or_insert_with(|| millis(self.started.elapsed()));
            self.guard.feed(chunk, &mut clean);
            self.pass(&mut clean, agent, idle).await;
        };
        self.guard.finish(&mut clean);
        self.pass(&mut clean, agent, idle).await;
        whole
    }

    /// Hands over what may pass of bytes without secrets.
    async fn pass(&mut self, clean: &mut Vec<Bytes>, agent: &mut Agent, idle: Duration) {
        let mut ready = Vec::new();
        clean.drain(..).for_each(|chunk| self.hold.feed(chunk, &mut ready));
        for chunk in ready {
            agent.send(Ok(chunk), idle).await;
        }
    }
}

/// The agent's end of an answer.
struct Agent {
    sender: Option<mpsc::Sender<Result<Bytes, Broken>>>,
    gone_at: Option<Instant>,
}

impl Agent {
    fn leave(&mut self) {
        self.sender = None;
        self.gone_at.get_or_insert_with(Instant::now);
    }

    /// Returns when the agent hangs up; never, when it has already.
    async fn closed(&self) {
        match &self.sender {
            Some(sender) => sender.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Hands over a chunk. An agent that does not take it in time counts as gone.
    async fn send(&mut self, chunk: Result<Bytes, Broken>, patience: Duration) {
        let Some(sender) = &self.sender else { return };
        let sent = match sender.try_send(chunk) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(chunk)) => {
                matches!(tokio::time::timeout(patience, sender.send(chunk)).await, Ok(Ok(())))
            }
        };
        if !sent {
            self.leave();
        }
    }
}

/// What is needed to settle a call.
struct Books<'a, L: Ledger> {
    core: &'a Core<L>,
    line: &'a Line,
    wanted: &'a Wanted,
    call: Call,
    /// Path and query.
    path: String,
    started: Instant,
}

impl<L: Ledger> Books<'_, L> {
    /// Keeps the call in the cassette, if there is one: before it is settled, so that no answer is used that is not kept.
    async fn keep(&self, heard: Heard) {
        if let Some(recorder) = self.core.recorder.get() {
            recorder.keep(&self.call, self.path.clone(), self.wanted.body.clone(), heard).await;
        }
    }

    /// Settles; false when the ledger could not write.
    async fn settle(
        &self,
        outcome: Outcome,
        meter: Option<&Meter>,
        answer: Option<StoredAnswer>,
        ttfb_ms: Option<u64>,
    ) -> bool {
        if matches!(outcome, Outcome::Complete | Outcome::Failed | Outcome::Refused { .. }) {
            self.line.answered.fetch_add(1, Ordering::Relaxed);
        }
        let (usage, cost) = self.usage_and_cost(outcome, meter);
        let ms = millis(self.started.elapsed());
        let settled = Settled { call: self.call.clone(), usage, cost, answer, ms, ttfb_ms, outcome };
        let written = self.core.ledger.settle(settled).await;
        if let Err(error) = &written {
            tracing::error!(call = self.call.id, agent = %self.call.agent, %error, "a call could not be settled");
        }
        written.is_ok()
    }

    fn usage_and_cost(&self, outcome: Outcome, meter: Option<&Meter>) -> (Usage, Cost) {
        if matches!(outcome, Outcome::Refused { .. } | Outcome::Unreachable) {
            return (Usage::default(), Cost::Known { micros: 0, source: PriceSource::NotBilled });
        }
        let priced = self.core.price_for(self.line, &self.call.model);
        let price = priced.as_ref().and_then(|priced| priced.price);
        let input_max = self.wanted.input_max(price).unwrap_or(0);
        let output_max = self.wanted.output_max(price);
        let reading = meter.map(|meter| meter.reading.clone()).unwrap_or_default();
        let usage = match meter {
            Some(_) => reading.usage(input_max, output_max),
            // Nothing of the answer was seen: it may have been written in full.
            None => Usage {
                input_tokens: input_max,
                output_tokens: output_max.unwrap_or(0),
                estimated: true,
                ..Usage::default()
            },
        };
        let cost = priced.and_then(|priced| priced.cost(&usage, reading.service_tier.as_deref()));
        (usage, cost.unwrap_or(Cost::Unknown))
    }

    /// Settles a call without an answer and says so to the agent.
    async fn unanswered(&self, why: Unanswered) -> Response<Body> {
        let name = &self.line.name;
        let (outcome, ending, status, message) = match why {
            Unanswered::Unreachable => (
                Outcome::Unreachable,
                Ending::Unreachable,
                StatusCode::BAD_GATEWAY,
                format!("The upstream {name} cannot be reached. Is it running, and is its base_url right?"),
            ),
            Unanswered::Lost => (
                Outcome::Cut,
                Ending::Lost,
                StatusCode::GATEWAY_TIMEOUT,
                format!("The upstream {name} took the request and did not answer."),
            ),
        };
        self.keep(Heard { ending, status: None, headers: HeaderMap::new(), body: None }).await;
        self.settle(outcome, None, None, None).await;
        problem(self.call.format, status, "upstream", &message)
    }
}

fn replay(stored: StoredAnswer) -> Response<Body> {
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    if let Ok(content_type) = HeaderValue::try_from(stored.content_type) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    response(status, headers, Body::whole(stored.body))
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn content_type(headers: &HeaderMap) -> String {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
