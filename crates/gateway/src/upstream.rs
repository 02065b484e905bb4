//! Upstreams: where calls go, and how one is sent.
//!
//! Each has an HTTP client: HTTP/1.1 with connections kept open, no proxy from the environment, no redirects (a redirect
//! would carry the provider's key elsewhere), made when the first call needs it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};

use crate::cassette::Cassette;
use crate::format::Format;
use crate::gateway::SetupError;
use crate::health::Health;
use crate::models::Models;
use crate::own::REFUSAL;
use crate::pace::{Pace, Queue};
use crate::request;
use crate::retry::Retries;
use crate::route;
use crate::scripted::{Script, ScriptedBody};
use crate::trouble::Unreached;

/// A place that answers model calls.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in the configuration and in the books.
    pub name: String,
    /// What it is.
    pub kind: UpstreamKind,
    /// The models it serves, `*` standing for any text; empty: any.
    pub models: Vec<String>,
    /// How it is treated.
    pub rules: Rules,
}

/// What an upstream is.
#[derive(Clone, Debug)]
pub enum UpstreamKind {
    /// An HTTP service; calls pass through unchanged.
    Passthrough {
        /// The formats that it speaks.
        formats: Vec<Format>,
        /// Where it is, with or without a trailing `/v1` or `/v1beta`: `https://api.example.com/v1`.
        base_url: String,
        /// What it is shown.
        credential: Credential,
    },
    /// A script, answering in process in every format.
    Scripted(Script),
    /// Recorded calls, answering in process in the format in which they were recorded, at no cost.
    Replay(Cassette),
}

/// What an upstream is shown in place of the agent's key.
#[derive(Clone, Debug)]
pub enum Credential {
    /// Nothing.
    None,
    /// The provider's key, in the header of the call's format.
    Key(SecretString),
    /// The provider's key as `Authorization: Bearer`, whatever the format.
    Bearer(SecretString),
    /// The agent's own credential, as it sent it: it is logged in with the provider itself. Such an upstream answers
    /// only sessions that are [pinned](crate::Session::pin) to it; whoever reaches their listener is let in, because
    /// there is no key of ours to ask for.
    Agents,
}

/// How an upstream is treated.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Our name for a model, and the upstream's. Only the name is changed in a request.
    pub aliases: BTreeMap<String, String>,
    /// Upstreams that are asked in this order when this one cannot answer, as far as they serve format and model.
    pub fallback: Vec<String>,
    /// How it is asked again.
    pub retries: Retries,
    /// How much it may be asked.
    pub pace: Pace,
    /// How long a connection may take; 10 seconds when `None`.
    pub connect: Option<Duration>,
    /// How long the head of an answer may take; [`Limits::head`](crate::Limits::head) when `None`.
    pub first_byte: Option<Duration>,
    /// How long an answer may be silent; [`Limits::idle`](crate::Limits::idle) when `None`.
    pub silence: Option<Duration>,
}

/// An upstream made ready.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) models: Models,
    pub(crate) rules: Rules,
    pub(crate) end: LineEnd,
    pub(crate) queue: Arc<Queue>,
    pub(crate) started: AtomicU64,
    pub(crate) answered: AtomicU64,
    health: Mutex<Health>,
    http: Http,
}

pub(crate) enum LineEnd {
    Http { formats: Vec<Format>, base: String, shown: Shown },
    Script(Script),
    Replay(Cassette),
}

/// The credential, ready to be sent.
pub(crate) enum Shown {
    Nothing,
    /// By format.
    Key(BTreeMap<Format, (HeaderName, HeaderValue)>),
    Agents,
}

/// The client of an upstream; `None` inside when the system lets none be made.
#[derive(Default)]
pub(crate) struct Http(OnceLock<Option<reqwest::Client>>);

/// What is sent upstream.
pub(crate) struct Outgoing {
    pub(crate) asker: Asker,
    pub(crate) format: Format,
    /// The model as the upstream knows it.
    pub(crate) model: String,
    /// Whether a stream is asked for.
    pub(crate) stream: bool,
    /// Path and query as the agent asked, e.g. `/v1/messages?beta=true`.
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) mission: String,
    pub(crate) agent: String,
    pub(crate) attempt: Option<u32>,
}

/// An answer under way.
pub(crate) struct Incoming {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What was read of the body before it is passed on.
    pub(crate) ahead: Option<Bytes>,
    pub(crate) body: IncomingBody,
}

pub(crate) enum IncomingBody {
    Http(reqwest::Response),
    Script(ScriptedBody),
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// No connection; nothing was sent.
    Unreachable(Unreached),
    /// The request may have been read, but no answer came.
    Lost,
}

impl Line {
    pub(crate) fn new(upstream: Upstream) -> Result<Self, SetupError> {
        let end = match upstream.kind {
            UpstreamKind::Scripted(script) => LineEnd::Script(script),
            UpstreamKind::Replay(cassette) => LineEnd::Replay(cassette),
            UpstreamKind::Passthrough { formats, base_url, credential } => LineEnd::Http {
                base: base(&upstream.name, &base_url)?,
                shown: shown(&upstream.name, &formats, credential)?,
                formats,
            },
        };
        Ok(Line {
            name: upstream.name,
            models: Models { names: upstream.models, aliases: upstream.rules.aliases.clone() },
            queue: Queue::new(upstream.rules.pace),
            rules: upstream.rules,
            end,
            started: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            health: Mutex::default(),
            http: Http::default(),
        })
    }

    /// What it calls the model that is asked for; `None`: it does not answer such calls.
    pub(crate) fn serves<'a>(&'a self, format: Format, model: &'a str) -> Option<&'a str> {
        let speaks = match &self.end {
            LineEnd::Http { formats, .. } => formats.contains(&format),
            LineEnd::Script(_) | LineEnd::Replay(_) => true,
        };
        self.models.resolve(model).filter(|_| speaks)
    }

    /// The models it is known to have.
    pub(crate) fn model_names(&self) -> impl Iterator<Item = &str> {
        let scripted = match &self.end {
            LineEnd::Script(script) if self.models.names.is_empty() => Some(script.model()),
            _ => None,
        };
        self.models.listed().chain(scripted)
    }

    /// The URL that a path is asked at, without query; empty for what answers in process.
    pub(crate) fn address(&self, path_and_query: &str) -> String {
        let path = path_and_query.split('?').next().unwrap_or_default();
        match &self.end {
            LineEnd::Http { base, .. } => format!("{base}{path}"),
            LineEnd::Script(_) | LineEnd::Replay(_) => String::new(),
        }
    }

    /// Whether the agent's own credential goes there.
    pub(crate) fn passes_credentials(&self) -> bool {
        matches!(&self.end, LineEnd::Http { shown: Shown::Agents, .. })
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_scripted(&self) -> bool {
        matches!(self.end, LineEnd::Script(_))
    }

    /// The calls that it replays, if it does.
    pub(crate) fn cassette(&self) -> Option<&Cassette> {
        match &self.end {
            LineEnd::Replay(cassette) => Some(cassette),
            LineEnd::Http { .. } | LineEnd::Script(_) => None,
        }
    }

    /// Sends a call and waits for the head of its answer.
    pub(crate) async fn ask(&self, outgoing: Outgoing) -> Result<Incoming, Unanswered> {
        self.started.fetch_add(1, Ordering::Relaxed);
        let incoming = match &self.end {
            LineEnd::Script(script) => script.answer(&outgoing).await?,
            LineEnd::Replay(cassette) => cassette.answer(outgoing).await?,
            LineEnd::Http { base, shown, .. } => {
                let none = || Unanswered::Unreachable(Unreached::passing("the system lets no HTTP client be made"));
                let client = self.http.client(self.rules.connect).ok_or_else(none)?;
                post(client, base, shown, outgoing).await?
            }
        };
        Ok(incoming)
    }
}

impl Outgoing {
    /// Puts the upstream's name of the model in place of ours. Nothing else is changed, and nothing at all without an
    /// alias.
    pub(crate) fn rename(&mut self, asked: &str, model: &str) {
        if asked == model {
            return;
        }
        self.model = model.to_owned();
        if self.format == Format::Gemini {
            self.path_and_query = route::with_model(&self.path_and_query, model);
        } else {
            self.body = request::with_model(&self.body, model);
        }
    }
}

impl Incoming {
    /// The beginning of the body, at most so much of it and for so long; it is still there to be passed on.
    pub(crate) async fn peek(&mut self, bytes_max: usize, patience: Duration) -> Bytes {
        let mut read = Vec::new();
        let reading = async {
            while let Ok(Some(chunk)) = self.body.chunk().await {
                read.extend_from_slice(&chunk);
                if read.len() >= bytes_max {
                    return;
                }
            }
        };
        // Whatever came in time is looked at.
        let _ = tokio::time::timeout(patience, reading).await;
        let read = Bytes::from(read);
        self.ahead = Some(read.clone()).filter(|read| !read.is_empty());
        read
    }
}

impl IncomingBody {
    /// The next bytes; `Ok(None)` at a proper end, `Err` when the answer broke off. May be dropped while waiting.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ()> {
        match self {
            IncomingBody::Http(response) => response.chunk().await.map_err(|_| ()),
            IncomingBody::Script(body) => body.chunk().await,
        }
    }
}

impl Http {
    fn client(&self, connect: Option<Duration>) -> Option<&reqwest::Client> {
        self.0.get_or_init(|| client(connect.unwrap_or(CONNECT))).as_ref()
    }
}

async fn post(client: &reqwest::Client, base: &str, shown: &Shown, out: Outgoing) -> Result<Incoming, Unanswered> {
    let url = format!("{base}{}", out.path_and_query);
    let mut headers = out.headers;
    HOP_BY_HOP.iter().chain(&NOT_SENT_ON).for_each(|name| drop(headers.remove(name)));
    NOT_AN_AGENTS.iter().for_each(|name| drop(headers.remove(*name)));
    if !matches!(shown, Shown::Agents) {
        CREDENTIALS.iter().for_each(|name| drop(headers.remove(name)));
    }
    if let Shown::Key(by_format) = shown
        && let Some((name, value)) = by_format.get(&out.format)
    {
        headers.insert(name, value.clone());
    }
    let sent = client.post(url).headers(headers).body(out.body).send().await;
    let mut response = sent.map_err(|error| unanswered(&error))?;
    let mut headers = std::mem::take(response.headers_mut());
    HOP_BY_HOP.iter().chain(&[header::SET_COOKIE, REFUSAL]).for_each(|name| drop(headers.remove(name)));
    Ok(Incoming { status: response.status(), headers, ahead: None, body: IncomingBody::Http(response) })
}

/// Whether anything of a request may have left when it failed so: not while it was built, and not before there was a connection.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    let unsent = error.is_builder() || error.is_connect() || {
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        causes.filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_user)
    };
    if unsent { Unanswered::Unreachable(Unreached::of(error)) } else { Unanswered::Lost }
}

/// How long a connection may take, unless an upstream says otherwise.
const CONNECT: Duration = Duration::from_secs(10);

/// Headers that belong to one connection (RFC 9110, section 7.6.1).
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Where agents put their key.
pub(crate) static CREDENTIALS: [HeaderName; 3] =
    [header::AUTHORIZATION, HeaderName::from_static("x-api-key"), HeaderName::from_static("x-goog-api-key")];

/// What would describe the request wrongly. `accept-encoding` goes because usage is read from the answer, which must
/// therefore not be compressed.
static NOT_SENT_ON: [HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::ACCEPT_ENCODING, header::COOKIE, header::EXPECT];

/// What would have an upstream, or a proxy before it, take the request for another one, or bill somebody else for it.
const NOT_AN_AGENTS: [&str; 14] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-prefix",
    "x-forwarded-host",
    "forwarded",
    "x-goog-user-project",
    "x-goog-request-params",
    "openai-organization",
    "openai-project",
    "x-vertex-ai-llm-request-type",
];

fn client(connect: Duration) -> Option<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // Whatever other crates of the program turn on: bytes pass as they come.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .http1_only()
        .connect_timeout(connect);
    builder.build().inspect_err(|error| tracing::error!(%error, "no HTTP client can be made")).ok()
}

/// The address that paths such as `/v1/chat/completions` are put after.
fn base(upstream: &str, url: &str) -> Result<String, SetupError> {
    let wrong = || SetupError::BaseUrl { upstream: upstream.to_owned(), url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if !plain || uri.query().is_some() || url.contains('#') || authority.contains('@') {
        return Err(wrong());
    }
    // Whatever the client could not make a request of, such as a port over 65,535, is found here.
    reqwest::Url::parse(url).ok().filter(|url| url.port() != Some(0)).ok_or_else(wrong)?;
    let trimmed = url.trim_end_matches('/');
    let root = ["/v1", "/v1beta"].iter().find_map(|version| trimmed.strip_suffix(version));
    Ok(root.unwrap_or(trimmed).to_owned())
}

fn shown(upstream: &str, formats: &[Format], credential: Credential) -> Result<Shown, SetupError> {
    let by_format = |key: &SecretString, style: Option<Format>| {
        let of = |format: &Format| Ok((*format, auth(upstream, style.unwrap_or(*format), key)?));
        formats.iter().map(of).collect::<Result<_, SetupError>>().map(Shown::Key)
    };
    match credential {
        Credential::None => Ok(Shown::Nothing),
        Credential::Key(key) => by_format(&key, None),
        Credential::Bearer(key) => by_format(&key, Some(Format::OpenAiChat)),
        Credential::Agents => Ok(Shown::Agents),
    }
}

fn auth(upstream: &str, format: Format, key: &SecretString) -> Result<(HeaderName, HeaderValue), SetupError> {
    let (name, text) = match format {
        Format::Anthropic => (HeaderName::from_static("x-api-key"), key.expose_secret().to_owned()),
        Format::Gemini => (HeaderName::from_static("x-goog-api-key"), key.expose_secret().to_owned()),
        _ => (header::AUTHORIZATION, format!("Bearer {}", key.expose_secret())),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| SetupError::Key { upstream: upstream.to_owned() })?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_may_end_in_a_version_or_not() {
        for (given, made) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/v1beta", "http://127.0.0.1:8000"),
            ("https://models.example.com/team/v1/", "https://models.example.com/team"),
        ] {
            assert_eq!(base("u", given).unwrap(), made);
        }
        for wrong in [
            "",
            "example.com",
            "ftp://example.com",
            "http://",
            "http://a/v1?x=1",
            "http://me:pw@example.com",
            "http://127.0.0.1:99999/v1",
            "http://127.0.0.1:0/v1",
            "http://[::1/v1",
            "http://256.1.1.1/v1",
            "http://a/v1#x",
        ] {
            assert!(matches!(base("u", wrong), Err(SetupError::BaseUrl { .. })), "{wrong}");
        }
    }

    #[test]
    fn the_key_is_sent_as_the_format_wants_and_never_printed() {
        let key = SecretString::from("a-provider-key");
        let (name, value) = auth("u", Format::Anthropic, &key).unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-api-key", "a-provider-key"));
        assert_eq!(format!("{value:?}"), "Sensitive");
        let (name, value) = auth("u", Format::OpenAiChat, &key).unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer a-provider-key"));
        assert!(matches!(auth("u", Format::Anthropic, &"a\nb".into()), Err(SetupError::Key { .. })));
    }
}
