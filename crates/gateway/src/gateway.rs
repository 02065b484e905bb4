//! The gateway itself: its sessions, its upstreams, and the door that requests come in by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as HttpBody;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{oneshot, watch};

use crate::body::Body;
use crate::cassette::{Cassette, Recorder};
use crate::format::Format;
use crate::health::BreakerState;
use crate::joined::Joined;
use crate::ledger::{Call, Digest, Ledger};
use crate::outgoing::Secrets;
use crate::own::{json_response, problem, unauthorized};
use crate::price::{ModelPrice, PriceSource, Prices};
use crate::relay::{self, Order};
use crate::request::{self, Wanted};
use crate::route::{self, Named, Route};
use crate::session::{Session, Sessions, Tag};
use crate::upstream::{Line, Upstream};
use crate::worst::Worst;
use tariff::{Cost, Usage};

/// What an error says of where something is served.
const SERVED: &str = "/v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens, \
    /v1beta/models/MODEL:generateContent, :streamGenerateContent and :countTokens, and /v1/models";

/// The model gateway. Clones are the same gateway.
pub struct Gateway<L: Ledger>(pub(crate) Arc<Core<L>>);

/// What a gateway is made of.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where calls go: a call goes to the first that speaks its format and has its model.
    pub upstreams: Vec<Upstream>,
    /// What models cost.
    pub prices: Prices,
    /// Sizes and times.
    pub limits: Limits,
    /// What must neither leave in a request nor come back in an answer.
    pub secrets: Secrets,
}

/// Limits of one call.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest request body, in bytes; 32 MiB by default, what Anthropic takes.
    pub request_bytes: usize,
    /// The largest answer that is kept for recall (and read, when it is not a stream), in bytes; 16 MiB by default.
    pub stored_bytes: usize,
    /// How long the head of an answer may take; 10 minutes by default, the vendors' own clients' patience.
    pub head: Duration,
    /// How long an answer, or the agent that takes it, may be silent; 5 minutes by default.
    pub idle: Duration,
    /// How long an answer may take from its head to its end, however busy it is; an hour by default.
    pub whole: Duration,
    /// How long the rest of an answer is waited for once the agent has hung up; 5 minutes by default.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_bytes: 32 * 1024 * 1024,
            stored_bytes: 16 * 1024 * 1024,
            head: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            whole: Duration::from_secs(3600),
            drain: Duration::from_secs(300),
        }
    }
}

/// A gateway that cannot be made, or a session that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An upstream's base URL is not one.
    #[error(
        "the base_url of upstream {upstream} is {url:?}; it has to be http:// or https:// with a host, without a query and without a user, for example http://127.0.0.1:4000/v1"
    )]
    BaseUrl {
        /// The upstream's name.
        upstream: String,
        /// What was given.
        url: String,
    },
    /// An upstream's key cannot be sent.
    #[error("the key of upstream {upstream} has characters that an HTTP header cannot carry, such as a line end")]
    Key {
        /// The upstream's name.
        upstream: String,
    },
    /// Two upstreams have one name.
    #[error("two upstreams are called {upstream}")]
    SameName {
        /// The name.
        upstream: String,
    },
    /// A fallback cannot be one.
    #[error(
        "the upstream {upstream} cannot fall back to {name}: a fallback is another upstream of the configuration, and neither of the two passes the agent's own credential on"
    )]
    Fallback {
        /// Whose fallback.
        upstream: String,
        /// Its name.
        name: String,
    },
    /// The system gives no random numbers for a key.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// Counts since the gateway was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Per upstream, in the order of the configuration.
    pub upstreams: Vec<UpstreamStats>,
    /// Calls that the ledger answered from what it had stored.
    pub recalled: u64,
    /// Calls that the ledger refused.
    pub refused: u64,
}

/// Counts of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamStats {
    /// The upstream's name.
    pub name: String,
    /// Calls sent to it.
    pub started: u64,
    /// Calls that it answered to the end, be it with an error.
    pub answered: u64,
    /// Calls that wait for their turn.
    pub waiting: usize,
    /// Whether it is asked at all.
    pub breaker: BreakerState,
}

/// What the tasks of calls share.
pub(crate) struct Core<L> {
    pub(crate) ledger: Arc<L>,
    pub(crate) lines: Vec<Line>,
    pub(crate) limits: Limits,
    pub(crate) secrets: Secrets,
    pub(crate) recalled: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Calls between their first word with the ledger and their settlement.
    pub(crate) under_way: watch::Sender<usize>,
    pub(crate) recorder: OnceLock<Recorder>,
    pub(crate) joined: Joined,
    prices: Prices,
    sessions: Sessions,
    calls: AtomicU64,
}

/// One way to make a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    /// Which of the gateway's upstreams.
    pub(crate) line: usize,
    /// The model as that upstream knows it.
    pub(crate) model: String,
}

/// A model's price at an upstream.
pub(crate) struct Priced<'a> {
    /// `None`: free.
    pub(crate) price: Option<&'a ModelPrice>,
    source: PriceSource,
}

impl<L: Ledger> Clone for Gateway<L> {
    fn clone(&self) -> Self {
        Gateway(Arc::clone(&self.0))
    }
}

impl<L: Ledger> Gateway<L> {
    /// Makes a gateway over those books. Contacts nothing.
    pub fn new(config: GatewayConfig, ledger: Arc<L>) -> Result<Self, SetupError> {
        let mut lines: Vec<Line> = Vec::new();
        for upstream in config.upstreams {
            if lines.iter().any(|line| line.name == upstream.name) {
                return Err(SetupError::SameName { upstream: upstream.name });
            }
            lines.push(Line::new(upstream)?);
        }
        check_fallbacks(&lines)?;
        Ok(Gateway(Arc::new(Core {
            ledger,
            lines,
            limits: config.limits,
            secrets: config.secrets,
            recalled: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            under_way: watch::Sender::new(0),
            recorder: OnceLock::new(),
            joined: Joined::default(),
            prices: config.prices,
            sessions: Sessions::default(),
            calls: AtomicU64::new(0),
        })))
    }

    /// Opens a session with a key of its own.
    pub fn open_session(&self, tag: Tag) -> Result<Session, SetupError> {
        self.0.sessions.open(tag).map_err(|error| SetupError::Random(error.to_string()))
    }

    /// Closes a session: its key is refused from here on. Calls under way go on.
    pub fn close_session(&self, session: &Session) {
        self.0.sessions.close(session);
    }

    /// Keeps every call from here on. A gateway has one recorder; a second one changes nothing.
    pub fn record(&self, recorder: Recorder) {
        let _ = self.0.recorder.set(recorder);
    }

    /// The cassettes that upstreams answer from, each once.
    pub fn cassettes(&self) -> Vec<Cassette> {
        let mut found: Vec<Cassette> = Vec::new();
        for cassette in self.0.lines.iter().filter_map(Line::cassette) {
            if !found.iter().any(|known| known.is(cassette)) {
                found.push(cassette.clone());
            }
        }
        found
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        let upstreams = self.0.lines.iter().map(|line| UpstreamStats {
            name: line.name.clone(),
            started: line.started.load(Ordering::Relaxed),
            answered: line.answered.load(Ordering::Relaxed),
            waiting: line.queue.waiting(),
            breaker: line.health().state(),
        });
        Stats {
            upstreams: upstreams.collect(),
            recalled: self.0.recalled.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
        }
    }

    /// Returns when no call is under way: every answer that was paid for is then settled. For an orderly end, after
    /// the sessions are closed.
    pub async fn idle(&self) {
        // The sender lives as long as the gateway.
        let _ = self.0.under_way.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Answers one request of a session: `POST` of a call or of a count of tokens in any format, `GET` of the models.
    /// Everything else, and everything wrong, is answered with an error in the shape of the format that the path
    /// belongs to.
    pub async fn handle<B>(&self, session: &Session, request: Request<B>) -> Response<Body>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path().to_owned();
        let route = Route::of(&path);
        let shape = route.map_or(Format::of_errors_on(&path), Route::format);
        if !session.admits(request.headers()) && !self.lets_in_by_listener(session) {
            return unauthorized(shape);
        }
        match (route, request.method()) {
            (Some(Route::Call { format, named }), &Method::POST) => {
                self.call(session, format, named, request).await.unwrap_or_else(|no| *no)
            }
            (Some(Route::Count { format, model }), &Method::POST) => {
                self.count(session, format, model, request).await.unwrap_or_else(|no| *no)
            }
            (Some(Route::Models(shape)), &Method::GET) => self.models(shape),
            (Some(_), _) => {
                let message = format!("{} {path} is not served; calls are made with POST.", request.method());
                problem(shape, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message)
            }
            (None, _) => not_found(shape, &path),
        }
    }

    pub(crate) fn session_of(&self, headers: &http::HeaderMap) -> Option<Session> {
        self.0.sessions.find(headers)
    }

    async fn call<B>(
        &self,
        session: &Session,
        format: Format,
        named: Option<Named<'_>>,
        request: Request<B>,
    ) -> Result<Response<Body>, Box<Response<Body>>>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        let body = self.collect(format, body).await?;
        let path_and_query = parts.uri.path_and_query().map_or(format.path(), |path| path.as_str()).to_owned();
        let digest = digest(&parts, &path_and_query, &body);
        let (path_and_query, body) = self.cleared(session, format, &mut parts, path_and_query, body)?;
        let path_and_query =
            route::upstream_path(&path_and_query).ok_or_else(|| not_found(format, parts.uri.path()))?;
        let wanted = request::read(format, named, body)
            .map_err(|message| problem(format, StatusCode::BAD_REQUEST, "invalid_request", &message))?;
        let candidates = self.candidates(session, format, &wanted.model)?;
        let first = candidates.first().and_then(|first| self.0.lines.get(first.line));
        let call = Call {
            id: self.0.next_id(),
            mission: session.tag().mission.clone(),
            agent: session.tag().agent.clone(),
            process: session.number(),
            attempt: session.attempt(),
            upstream: first.map(|line| line.name.clone()).unwrap_or_default(),
            format,
            model: wanted.model.clone(),
            digest,
            stream: wanted.stream,
        };
        let mut headers = parts.headers;
        session.withdraw_key(&mut headers);
        let order = Order { call, wanted, path_and_query, headers, candidates };
        let (head, answered) = oneshot::channel();
        tokio::spawn(relay::run(Arc::clone(&self.0), order, head));
        Ok(answered.await.unwrap_or_else(|_| {
            problem(format, StatusCode::INTERNAL_SERVER_ERROR, "internal", "The call came to no end. Try again.")
        }))
    }

    pub(crate) async fn collect<B>(&self, format: Format, body: B) -> Result<Bytes, Box<Response<Body>>>
    where
        B: HttpBody,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let most = self.0.limits.request_bytes;
        let too_large = || {
            let message = format!("The request's body is larger than {most} bytes.");
            problem(format, StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", &message)
        };
        if body.size_hint().lower() > most as u64 {
            return Err(too_large().into());
        }
        match Limited::new(body, most).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large().into()),
            Err(_) => {
                let message = "The request's body broke off.";
                Err(problem(format, StatusCode::BAD_REQUEST, "invalid_request", message).into())
            }
        }
    }

    /// Whether the session is known by its listener alone: the agent shows its own credential, not our key.
    fn lets_in_by_listener(&self, session: &Session) -> bool {
        let pinned = session.pinned();
        let own = self.0.lines.iter().find(|line| pinned.as_ref() == Some(&line.name));
        session.is_open() && own.is_some_and(Line::passes_credentials)
    }

    /// The upstreams that may answer, in the order in which they are asked; at least one.
    pub(crate) fn candidates(
        &self,
        session: &Session,
        format: Format,
        model: &str,
    ) -> Result<Vec<Candidate>, Box<Response<Body>>> {
        let pinned = session.pinned();
        let lines = &self.0.lines;
        let candidate = |line: usize| {
            let model = lines.get(line)?.serves(format, model)?.to_owned();
            Some(Candidate { line, model })
        };
        let open = |line: &Line| match &pinned {
            Some(name) => *name == line.name,
            None => !line.passes_credentials(),
        };
        let first = (0..lines.len()).filter(|line| lines.get(*line).is_some_and(open)).find_map(candidate);
        let first = first.ok_or_else(|| not_served(format, model, pinned.as_deref()))?;
        let fallback = lines.get(first.line).map(|line| line.rules.fallback.as_slice()).unwrap_or_default();
        let others = fallback.iter().filter_map(|name| lines.iter().position(|line| line.name == *name));
        let others: Vec<Candidate> = others.filter_map(candidate).collect();
        Ok([vec![first], others].concat())
    }

    /// The models that the upstreams are known to have, in a shape that clients of the vendors read.
    fn models(&self, shape: Format) -> Response<Body> {
        let mut names: Vec<&str> = Vec::new();
        for line in &self.0.lines {
            names.extend(line.model_names().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        }
        let list = if shape == Format::Gemini { gemini_list(&names) } else { openai_list(&names) };
        json_response(StatusCode::OK, Bytes::from(list.to_string()))
    }
}

fn check_fallbacks(lines: &[Line]) -> Result<(), SetupError> {
    for line in lines {
        let wrong = line.rules.fallback.iter().find(|name| {
            let other = lines.iter().find(|other| other.name == **name);
            other.is_none_or(|other| other.name == line.name || other.passes_credentials()) || line.passes_credentials()
        });
        if let Some(name) = wrong {
            return Err(SetupError::Fallback { upstream: line.name.clone(), name: name.clone() });
        }
    }
    Ok(())
}

pub(crate) fn not_found(shape: Format, path: &str) -> Response<Body> {
    let message = format!("Nothing is served at {path}. Served are {SERVED}.");
    problem(shape, StatusCode::NOT_FOUND, "not_found", &message)
}

fn not_served(format: Format, model: &str, pinned: Option<&str>) -> Box<Response<Body>> {
    let what = format!("the model {model} in the format {}", format.name());
    let message = match pinned {
        Some(name) => format!("The upstream {name} does not serve {what}."),
        None => format!("No upstream serves {what}."),
    };
    problem(format, StatusCode::NOT_FOUND, "model_not_found", &message).into()
}

fn gemini_list(names: &[&str]) -> serde_json::Value {
    let model = |name: &&str| {
        json!({"name": format!("models/{name}"), "displayName": name,
            "supportedGenerationMethods": ["generateContent", "countTokens"]})
    };
    json!({"models": names.iter().map(model).collect::<Vec<_>>()})
}

/// OpenAI's list, with what Anthropic's clients look for beside it.
fn openai_list(names: &[&str]) -> serde_json::Value {
    let model = |name: &&str| {
        json!({"id": name, "object": "model", "created": 0, "owned_by": "muster", "type": "model",
            "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
    };
    let data: Vec<_> = names.iter().map(model).collect();
    json!({"object": "list", "data": data, "has_more": false, "first_id": names.first(), "last_id": names.last()})
}

impl<L> Core<L> {
    /// The number of the next call.
    pub(crate) fn next_id(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What a model costs at an upstream; `None`: unknown.
    pub(crate) fn price_for(&self, line: &Line, model: &str) -> Option<Priced<'_>> {
        if line.cassette().is_some() {
            return Some(Priced { price: None, source: PriceSource::Replayed });
        }
        let found = self.prices.of(model).map(|(price, source)| Priced { price: Some(price), source });
        if line.is_scripted() {
            let configured = found.filter(|priced| priced.source == PriceSource::Configured);
            return Some(configured.unwrap_or(Priced { price: None, source: PriceSource::Scripted }));
        }
        found
    }
}

impl Priced<'_> {
    pub(crate) fn worst(&self, wanted: &Wanted) -> Worst {
        wanted.worst(self.price)
    }

    /// Whether nobody here has chosen it: it stands in a table, or nowhere.
    pub(crate) fn is_listed(&self) -> bool {
        self.source.is_listed()
    }

    pub(crate) fn cost(&self, usage: &Usage, tier: Option<&str>) -> Option<Cost> {
        let micros = self.price.map_or(Some(0), |price| price.cost(usage, tier))?;
        Some(Cost::Known { micros, source: self.source })
    }
}

fn digest(parts: &Parts, path_and_query: &str, body: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    for part in [parts.method.as_str().as_bytes(), b"\0", path_and_query.as_bytes(), b"\0", body] {
        hash.update(part);
    }
    Digest(hash.finalize().into())
}
