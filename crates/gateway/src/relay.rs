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
use crate::books::Books;
use crate::cassette::{Ending, Heard};
use crate::gateway::{Candidate, Core};
use crate::guard::Guard;
use crate::joined::Place;
use crate::ledger::{Call, Ledger, Outcome, StoredAnswer};
use crate::meter::{End, Meter};
use crate::request::Wanted;
use crate::tries::{self, Tried};
use crate::trouble::{What, no_answer};
use crate::upstream::{Incoming, IncomingBody};
use crate::worst::Worst;

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
    /// The upstreams that may answer, in the order in which they are asked.
    pub(crate) candidates: Vec<Candidate>,
}

/// Where the head of the answer goes.
pub(crate) type HeadSender = oneshot::Sender<Response<Body>>;

/// Makes the call. Whatever happens, a granted reservation is settled.
pub(crate) async fn run<L: Ledger>(core: Arc<Core<L>>, mut order: Order, mut head: HeadSender) {
    let _under_way = UnderWay::begin(&core.under_way);
    let place = loop {
        match core.joined.enter(&order.call) {
            Ok(place) => break place,
            // The same is being answered: its answer is recalled then.
            Err(mut on) => tokio::select! {
                _ = on.wait_for(|over| *over) => {}
                () = head.closed() => return,
            },
        }
    };
    if let Some(stored) = core.ledger.recall(&order.call).await {
        core.recalled.fetch_add(1, Ordering::Relaxed);
        let _ = head.send(replay(stored));
        return;
    }
    if head.is_closed() {
        return;
    }
    let worst = worst(&core, &mut order);
    let Some(mut books) = Books::of(&core, &order, worst) else { return };
    if let Err(response) = books.open().await {
        let _ = head.send(*response);
        return;
    }
    if head.is_closed() {
        // The agent gave up while the money was found: nothing is sent that nobody waits for.
        books.settle(Outcome::Unreachable, None, None, None).await;
        return;
    }
    match tries::answer(&mut books, &order, &mut head, &place).await {
        Tried::Answered(incoming, _turn) => pass(books, *incoming, head, &place).await,
        Tried::Refused(response) => drop(head.send(*response)),
        Tried::Gone => {}
    }
}

/// The most that the call can cost, whoever answers. An upstream whose price is unknown is no fallback of one whose
/// price is known.
fn worst<L: Ledger>(core: &Core<L>, order: &mut Order) -> Worst {
    let of = |candidate: &Candidate| {
        let line = core.lines.get(candidate.line)?;
        Some(core.price_for(line, &candidate.model)?.worst(&order.wanted))
    };
    let worst: Vec<Option<Worst>> = order.candidates.iter().map(of).collect();
    let priced = |worst: &Option<Worst>| worst.as_ref().is_some_and(|worst| worst.micros().is_some());
    let Some(first) = worst.first().filter(|first| priced(first)).cloned().flatten() else {
        return worst.into_iter().next().flatten().unwrap_or_else(|| order.wanted.worst(None).at(None));
    };
    let mut known = worst.iter().map(priced);
    order.candidates.retain(|_| known.next().unwrap_or(false));
    worst.into_iter().filter(priced).flatten().fold(first, Worst::or)
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

/// Passes the answer on, then settles it, then lets go of its end.
async fn pass<L: Ledger>(mut books: Books<'_, L>, incoming: Incoming, head: HeadSender, place: &Place<'_>) {
    let status = incoming.status;
    let content_type = content_type(&incoming.headers);
    let events = status.is_success() && content_type.starts_with("text/event-stream");
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
    let mut agent = Agent { sender: Some(sender), gone_at: None, place };
    let guard = Guard::new(&books.core.secrets.masker, events);
    let mut headers = incoming.headers;
    guard.head(&mut headers);
    if head.send(response(status, headers.clone(), Body::chunks(receiver))).is_err() {
        agent.leave();
    }
    let limits = &books.core.limits;
    let patience = Patience {
        silence: books.line.rules.silence.unwrap_or(limits.idle),
        agent: limits.idle,
        drain: limits.drain,
        end: Instant::now() + limits.whole,
    };
    let hold = Hold::new(books.call.format, events, limits.stored_bytes);
    let (ahead, body) = (incoming.ahead, incoming.body);
    let mut flow = Flow { ahead, body, guard, hold, first_byte_ms: None, started: books.started };
    let whole = flow.run(&mut agent, &patience).await;

    let (meter, copy) = flow.hold.finish(status.is_success() && !events);
    let unread = !events && copy.is_none();
    let outcome = outcome(status, whole, unread, &meter);
    let ending = match (whole, &copy) {
        (_, None) => Ending::TooLarge,
        (true, Some(_)) => Ending::Whole,
        (false, Some(_)) => Ending::Broken,
    };
    books.keep(Heard { ending, status: Some(status), headers, body: copy.clone() }).await;
    if let Some(what) = trouble(outcome, &content_type, copy.as_deref(), whole) {
        books.failed(what, false);
    }
    let answer = (outcome == Outcome::Complete).then_some(copy).flatten();
    let answer = answer.map(|body| StoredAnswer { status: status.as_u16(), content_type, body });
    if agent.gone_at.is_some() {
        books.call.process = 0;
    }
    let settled = books.settle(outcome, Some(&meter), answer, flow.first_byte_ms).await;

    if !settled || !whole {
        agent.send(Err(Broken), limits.idle).await;
        return;
    }
    for chunk in flow.hold.into_held() {
        agent.send(Ok(chunk), limits.idle).await;
    }
}

/// What is wrong with an answer, if something is.
fn trouble(outcome: Outcome, content_type: &str, body: Option<&[u8]>, whole: bool) -> Option<What> {
    match outcome {
        Outcome::Complete | Outcome::Unreachable => None,
        Outcome::Refused { status } => Some(What::answered(status, body.unwrap_or_default())),
        Outcome::Failed => Some(What::answered(200, body.unwrap_or_default())),
        Outcome::Cut => Some(no_answer(200, content_type, body, whole)),
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

/// How long is waited for what.
struct Patience {
    /// For the upstream's next bytes.
    silence: Duration,
    /// For the agent to take some.
    agent: Duration,
    /// For the rest, once the agent has gone.
    drain: Duration,
    /// When the answer has to be whole.
    end: Instant,
}

/// The bytes of one answer on their way.
struct Flow {
    /// What was read already.
    ahead: Option<Bytes>,
    body: IncomingBody,
    guard: Guard,
    hold: Hold,
    first_byte_ms: Option<u64>,
    started: Instant,
}

impl Flow {
    /// Reads to the end, passing on what may pass; false when the answer broke off or took too long.
    async fn run(&mut self, agent: &mut Agent<'_>, patience: &Patience) -> bool {
        let mut clean = Vec::new();
        let whole = loop {
            let left = patience.end.saturating_duration_since(Instant::now());
            let wait = match agent.gone_at {
                None => patience.silence,
                Some(at) => patience.drain.saturating_sub(at.elapsed()).min(patience.silence),
            };
            if left.is_zero() {
                break false;
            }
            let wait = wait.min(left);
            let next = tokio::select! {
                biased;
                next = tokio::time::timeout(wait, next_chunk(&mut self.ahead, &mut self.body)) => next,
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
            self.pass(&mut clean, agent, patience.agent).await;
        };
        self.guard.finish(&mut clean);
        self.pass(&mut clean, agent, patience.agent).await;
        whole
    }

    /// Hands over what may pass of bytes without secrets.
    async fn pass(&mut self, clean: &mut Vec<Bytes>, agent: &mut Agent<'_>, patience: Duration) {
        let mut ready = Vec::new();
        clean.drain(..).for_each(|chunk| self.hold.feed(chunk, &mut ready));
        for chunk in ready {
            agent.send(Ok(chunk), patience).await;
        }
    }
}

/// What was read already, then the next that comes. May be dropped while waiting.
async fn next_chunk(ahead: &mut Option<Bytes>, body: &mut IncomingBody) -> Result<Option<Bytes>, ()> {
    match ahead.take() {
        Some(read) => Ok(Some(read)),
        None => body.chunk().await,
    }
}

/// The agent's end of an answer.
struct Agent<'a> {
    sender: Option<mpsc::Sender<Result<Bytes, Broken>>>,
    gone_at: Option<Instant>,
    place: &'a Place<'a>,
}

impl Agent<'_> {
    fn leave(&mut self) {
        self.place.leave();
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

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
