//! Upstreams: where calls go, and how one is sent.
//!
//! One HTTP client serves them all: HTTP/1.1 with connections kept open, no proxy from the environment, no redirects
//! (a redirect would carry the provider's key elsewhere), made when the first call needs it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use secrecy::{ExposeSecret, SecretString};

use crate::cassette::Cassette;
use crate::format::Format;
use crate::gateway::SetupError;
use crate::scripted::{Script, ScriptedBody};

/// A place that answers model calls.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Its name in the configuration and in the books.
    pub name: String,
    /// What it is.
    pub kind: UpstreamKind,
    /// The models it serves; empty: any.
    pub models: Vec<String>,
}

/// What an upstream is.
#[derive(Clone, Debug)]
pub enum UpstreamKind {
    /// An HTTP service of one format; calls pass through unchanged.
    Passthrough {
        /// The format that it speaks.
        format: Format,
        /// Where it is, with or without a trailing `/v1`: `https://api.example.com/v1`.
        base_url: String,
        /// The provider's key; `None`: no key is sent.
        key: Option<SecretString>,
    },
    /// A script, answering in process in every format.
    Scripted(Script),
    /// Recorded calls, answering in process in the format in which they were recorded, at no cost.
    Replay(Cassette),
}

/// An upstream made ready.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) models: Vec<String>,
    pub(crate) end: LineEnd,
    pub(crate) started: AtomicU64,
    pub(crate) answered: AtomicU64,
}

pub(crate) enum LineEnd {
    Http { format: Format, base: String, auth: Option<(HeaderName, HeaderValue)> },
    Script(Script),
    Replay(Cassette),
}

/// The client that all upstreams share; `None` inside when the system lets none be made.
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
    pub(crate) body: IncomingBody,
}

pub(crate) enum IncomingBody {
    Http(reqwest::Response),
    Script(ScriptedBody),
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// No connection; nothing was sent.
    Unreachable,
    /// The request may have been read, but no answer came.
    Lost,
}

impl Line {
    pub(crate) fn new(upstream: Upstream) -> Result<Self, SetupError> {
        let end = match upstream.kind {
            UpstreamKind::Scripted(script) => LineEnd::Script(script),
            UpstreamKind::Replay(cassette) => LineEnd::Replay(cassette),
            UpstreamKind::Passthrough { format, base_url, key } => LineEnd::Http {
                format,
                base: base(&upstream.name, &base_url)?,
                auth: key.map(|key| auth(&upstream.name, format, &key)).transpose()?,
            },
        };
        let (started, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Line { name: upstream.name, models: upstream.models, end, started, answered })
    }

    /// Whether it answers calls of that format for that model.
    pub(crate) fn serves(&self, format: Format, model: &str) -> bool {
        let speaks = match &self.end {
            LineEnd::Http { format: own, .. } => *own == format,
            LineEnd::Script(_) | LineEnd::Replay(_) => true,
        };
        speaks && (self.models.is_empty() || self.models.iter().any(|own| own == model))
    }

    /// The models it is known to have.
    pub(crate) fn model_names(&self) -> impl Iterator<Item = &str> {
        let scripted = match &self.end {
            LineEnd::Script(script) if self.models.is_empty() => Some(script.model()),
            _ => None,
        };
        self.models.iter().map(String::as_str).chain(scripted)
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
    pub(crate) async fn ask(&self, http: &Http, outgoing: Outgoing) -> Result<Incoming, Unanswered> {
        self.started.fetch_add(1, Ordering::Relaxed);
        let incoming = match &self.end {
            LineEnd::Script(script) => script.answer(&outgoing).await,
            LineEnd::Replay(cassette) => cassette.answer(outgoing).await?,
            LineEnd::Http { base, auth, .. } => http.post(base, auth.as_ref(), outgoing).await?,
        };
        Ok(incoming)
    }
}

impl IncomingBody {
    /// The next bytes; `Ok(None)` at a proper end, `Err` when the answer broke off. May be dropped while waiting.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ()> {
        match self {
            IncomingBody::Http(response) => response.chunk().await.map_err(|_| ()),
            IncomingBody::Script(body) => body.chunk(),
        }
    }
}

impl Http {
    async fn post(
        &self,
        base: &str,
        auth: Option<&(HeaderName, HeaderValue)>,
        out: Outgoing,
    ) -> Result<Incoming, Unanswered> {
        let url = format!("{base}{}", out.path_and_query);
        let mut headers = out.headers;
        HOP_BY_HOP.iter().chain(&NOT_SENT_ON).for_each(|name| drop(headers.remove(name)));
        if let Some((name, value)) = auth {
            headers.insert(name, value.clone());
        }
        let client = self.0.get_or_init(client).as_ref().ok_or(Unanswered::Unreachable)?;
        let sent = client.post(url).headers(headers).body(out.body).send().await;
        let mut response =
            sent.map_err(|error| if error.is_connect() { Unanswered::Unreachable } else { Unanswered::Lost })?;
        let mut headers = std::mem::take(response.headers_mut());
        HOP_BY_HOP.iter().chain(&[header::SET_COOKIE]).for_each(|name| drop(headers.remove(name)));
        Ok(Incoming { status: response.status(), headers, body: IncomingBody::Http(response) })
    }
}

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

/// The agent's own key and what would describe the request wrongly. `accept-encoding` goes because usage is read from
/// the answer, which must therefore not be compressed.
static NOT_SENT_ON: [HeaderName; 8] = [
    header::AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("x-goog-api-key"),
    header::HOST,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    header::COOKIE,
    header::EXPECT,
];

fn client() -> Option<reqwest::Client> {
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
        .connect_timeout(Duration::from_secs(10));
    builder.build().inspect_err(|error| tracing::error!(%error, "no HTTP client can be made")).ok()
}

/// The address that paths such as `/v1/chat/completions` are put after.
fn base(upstream: &str, url: &str) -> Result<String, SetupError> {
    let wrong = || SetupError::BaseUrl { upstream: upstream.to_owned(), url: url.to_owned() };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if !plain || uri.query().is_some() || authority.contains('@') {
        return Err(wrong());
    }
    let trimmed = url.trim_end_matches('/');
    let root = ["/v1", "/v1beta"].iter().find_map(|version| trimmed.strip_suffix(version));
    Ok(root.unwrap_or(trimmed).to_owned())
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
        for wrong in ["", "example.com", "ftp://example.com", "http://", "http://a/v1?x=1", "http://me:pw@example.com"]
        {
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
