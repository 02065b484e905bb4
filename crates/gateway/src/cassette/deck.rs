//! Answers calls from a cassette.
//!
//! A call goes to the recorded one that asked the same (see `varies`). When the same was asked more than once, first to
//! one of the same agent and attempt, then to the earliest; each is given once, but a client that lost an answer and asks
//! again is given it again. Who of several agents does a task may differ from run to run, so agent and attempt decide
//! only between equals.
//!
//! Agents see each other (messages, merges), so what one asks can depend on how far the others are. Therefore an answer
//! waits for its turn: those that came before it in the recording go first. Where the order cannot be kept (nobody asks
//! for the one that is next), it is given up for that one after [`TURN_LIMIT`].

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    BODY_BYTES_MAX, CassetteError, Difference, Ending, Take, blob_path, differs, name_of, takes_path,
    varies::{digest, settled},
};
use crate::scripted::{Ends, ScriptedBody};
use crate::trouble::Unreached;
use crate::upstream::{Asker, Incoming, IncomingBody, Outgoing, Unanswered};

/// How long an answer waits for those before it. Longer than agents take between two calls as a rule; a test run in
/// between may take longer, and then only the order is lost.
const TURN_LIMIT: Duration = Duration::from_secs(5);
/// Differences that are kept.
const DIFFERENCES_MAX: usize = 100;

/// Recorded calls, ready to answer. Clones share what was given already.
#[derive(Clone, Debug)]
pub struct Cassette(Arc<Deck>);

#[derive(Debug)]
struct Deck {
    dir: PathBuf,
    takes: Vec<Take>,
    /// By what was asked, the takes in their order.
    by_digest: BTreeMap<[u8; 32], Vec<usize>>,
    state: Mutex<State>,
    /// The first take that was not given and is waited for.
    next: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    No,
    /// To a call that waits for its turn.
    Waits,
    Out,
}

#[derive(Debug)]
struct State {
    given: Vec<Given>,
    /// Calls so far, by agent and attempt.
    asked: BTreeMap<(String, Option<u32>), usize>,
    differences: Vec<Difference>,
}

impl Cassette {
    /// Reads a cassette that a [`Recorder`](super::Recorder) made.
    ///
    /// # Errors
    /// Names the file and the line, or the body, that is missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, CassetteError> {
        let takes = read_takes(dir)?;
        let mut by_digest: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
        for (at, take) in takes.iter().enumerate() {
            let request = blob(dir, &take.request)?;
            by_digest.entry(digest(&take.path, &settled(&request, &take.mission, &take.agent))).or_default().push(at);
            if let Some(answer) = &take.answer {
                blob(dir, answer)?;
            }
        }
        let state = State { given: vec![Given::No; takes.len()], asked: BTreeMap::new(), differences: Vec::new() };
        let (dir, state, next) = (dir.to_owned(), Mutex::new(state), watch::Sender::new(0));
        Ok(Cassette(Arc::new(Deck { dir, takes, by_digest, state, next })))
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Cassette) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How many calls it has.
    pub fn calls(&self) -> usize {
        self.0.takes.len()
    }

    /// How many of them nobody has asked for.
    pub fn unasked(&self) -> usize {
        self.0.lock().given.iter().filter(|given| **given == Given::No).count()
    }

    /// The requests so far that were not recorded, in the order in which they came; the first hundred.
    pub fn differences(&self) -> Vec<Difference> {
        self.0.lock().differences.clone()
    }

    pub(crate) async fn answer(&self, outgoing: Outgoing) -> Result<Incoming, Unanswered> {
        let deck = &self.0;
        let asked = settled(&outgoing.body, &outgoing.asker.mission, &outgoing.asker.agent);
        let Some(at) = deck.find(&outgoing.asker, &digest(&outgoing.path_and_query, &asked)) else {
            return Ok(deck.refuse(&outgoing, &asked));
        };
        deck.wait_for_turn(at).await;
        let answer = deck.play(at);
        deck.give(at);
        answer
    }
}

impl Deck {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, asker: &Asker, digest: &[u8; 32]) -> Option<usize> {
        let mut state = self.lock();
        *state.asked.entry((asker.agent.clone(), asker.attempt)).or_default() += 1;
        let same = self.by_digest.get(digest)?;
        let own = |at: &&usize| self.is_of(**at, asker);
        let free = |at: &&usize| state.given[**at] == Given::No;
        let found = same.iter().filter(free).find(own).or_else(|| same.iter().find(free));
        let found = found.or_else(|| same.iter().rev().find(own)).or(same.last()).copied()?;
        // From here on it is this call's, even while it waits.
        if state.given[found] == Given::No {
            state.given[found] = Given::Waits;
        }
        Some(found)
    }

    fn is_of(&self, at: usize, asker: &Asker) -> bool {
        self.takes.get(at).is_some_and(|take| take.agent == asker.agent && take.attempt == asker.attempt)
    }

    async fn wait_for_turn(&self, at: usize) {
        let mut next = self.next.subscribe();
        while *next.borrow_and_update() < at {
            if tokio::time::timeout(TURN_LIMIT, next.changed()).await.is_err() {
                // Nobody has asked for the ones before: they are not waited for any more, by anybody.
                self.next.send_if_modified(|next| {
                    let behind = *next < at;
                    *next = at.max(*next);
                    behind
                });
            }
        }
    }

    /// Says that a take's answer is out: whoever waits for it is next.
    fn give(&self, at: usize) {
        let mut state = self.lock();
        state.given[at] = Given::Out;
        self.next.send_if_modified(|next| {
            let out = state.given.iter().skip(*next).take_while(|given| **given == Given::Out).count();
            *next += out;
            out > 0
        });
    }

    fn play(&self, at: usize) -> Result<Incoming, Unanswered> {
        let Some(take) = self.takes.get(at) else {
            return Err(Unanswered::Unreachable(Unreached::lasting("nothing was recorded for it")));
        };
        let body = match (take.ending, &take.answer) {
            (Ending::Unreachable, _) => {
                return Err(Unanswered::Unreachable(Unreached::passing(
                    "it could not be reached when it was recorded",
                )));
            }
            (Ending::Lost, _) => return Err(Unanswered::Lost),
            (_, None) => Bytes::new(),
            (_, Some(name)) => blob(&self.dir, name).map(Bytes::from).map_err(|error| {
                tracing::error!(%error, "a recorded answer has gone");
                Unanswered::Lost
            })?,
        };
        let headers = take.headers.iter().filter_map(|(name, value)| {
            Some((HeaderName::try_from(name.as_str()).ok()?, HeaderValue::try_from(value.as_str()).ok()?))
        });
        let status = StatusCode::from_u16(take.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let breaks_off = take.ending != Ending::Whole;
        let body =
            IncomingBody::Script(ScriptedBody::of(vec![body], if breaks_off { Ends::Broken } else { Ends::Well }));
        Ok(Incoming { status, headers: headers.collect(), ahead: None, body })
    }

    /// Says where a request differs from the one that was recorded in its place.
    fn refuse(&self, outgoing: &Outgoing, asked: &Value) -> Incoming {
        let asker = &outgoing.asker;
        let difference = self.difference(asker, asked);
        tracing::warn!(mission = %asker.mission, %difference, "a request was not recorded");
        let message = format!("The cassette {} has no answer: {difference}", self.dir.display());
        let mut state = self.lock();
        if state.differences.len() < DIFFERENCES_MAX {
            state.differences.push(difference);
        }
        let status = StatusCode::BAD_REQUEST;
        let body = outgoing.format.error_body(status.as_u16(), "replay_differs", &message);
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false")),
        ]);
        Incoming { status, headers, ahead: None, body: IncomingBody::Script(ScriptedBody::of(vec![body], Ends::Well)) }
    }

    fn difference(&self, asker: &Asker, asked: &Value) -> Difference {
        let number = self.lock().asked.get(&(asker.agent.clone(), asker.attempt)).copied().unwrap_or_default();
        let mut own = (0..self.takes.len()).filter(|at| self.is_of(*at, asker));
        let place = own.nth(number.saturating_sub(1)).and_then(|at| self.takes.get(at));
        let recorded =
            place.and_then(|take| Some(settled(&blob(&self.dir, &take.request).ok()?, &take.mission, &take.agent)));
        let spots = recorded.map(|recorded| differs::spots(&recorded, asked)).unwrap_or_default();
        Difference { agent: asker.agent.clone(), attempt: asker.attempt, number, spots }
    }
}

fn read_takes(dir: &Path) -> Result<Vec<Take>, CassetteError> {
    let path = takes_path(dir);
    let text = fs::read_to_string(&path).map_err(|error| CassetteError::new(&path, error))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let takes = whole.lines().zip(1..).map(|(line, number)| {
        let place = PathBuf::from(format!("{}:{number}", path.display()));
        serde_json::from_str(line).map_err(|error| CassetteError::new(&place, format!("not a call: {error}")))
    });
    takes.collect()
}

/// A body, which must be what its name says.
fn blob(dir: &Path, name: &str) -> Result<Vec<u8>, CassetteError> {
    let path = blob_path(dir, name);
    let wrong = |error: std::io::Error| CassetteError::new(&path, error);
    let file = fs::File::open(&path).map_err(wrong)?;
    let mut bytes = Vec::new();
    let reader = zstd::Decoder::new(file).map_err(wrong)?;
    reader.take(BODY_BYTES_MAX).read_to_end(&mut bytes).map_err(wrong)?;
    match name_of(&bytes) == name {
        true => Ok(bytes),
        false => Err(CassetteError::new(&path, "what it holds is not what its name says")),
    }
}
