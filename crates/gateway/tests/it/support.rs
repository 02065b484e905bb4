//! Gateways, requests and answers for the tests.

use std::sync::Arc;

use bytes::Bytes;
use gateway::{
    Body, Credential, Format, Gateway, GatewayConfig, Limits, ModelPrice, Prices, Retries, Rules, Script, Secrets,
    Session, Tag, Upstream, UpstreamKind,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use secrecy::{ExposeSecret, SecretString};

use crate::books::{Books, Settlements};

pub struct Scene {
    pub gateway: Gateway<Books>,
    pub session: Session,
    pub books: Arc<Books>,
    pub settlements: Settlements,
}

/// The model of the tests costs $1 in, $10 out, $0.10 cached and $1.25 written per million tokens, and gives at most
/// 1,000 tokens.
pub const MODEL: &str = "test-model";

pub fn prices() -> Prices {
    let price = ModelPrice::per_million(1.0, 10.0, Some(0.1), Some(1.25)).unwrap();
    Prices::embedded().with(MODEL, price.with_limits(Some(100_000), Some(1000)))
}

pub fn passthrough(format: Format, url: &str) -> Upstream {
    let credential = Credential::Key(SecretString::from("provider-key"));
    let kind = UpstreamKind::Passthrough { formats: vec![format], base_url: url.to_owned(), credential };
    Upstream { name: "mock".to_owned(), kind, models: vec![], rules: once() }
}

pub fn scripted(script: &str) -> Upstream {
    let script = Script::parse(script).unwrap_or_else(|error| panic!("{error}"));
    Upstream { name: "script".to_owned(), kind: UpstreamKind::Scripted(script), models: vec![], rules: once() }
}

/// Nothing is tried twice.
pub fn once() -> Rules {
    Rules { retries: Retries { count: 0, ..Retries::default() }, ..Rules::default() }
}

impl Scene {
    pub fn of(upstream: Upstream) -> Scene {
        Scene::with(vec![upstream], Limits::default(), |_| {})
    }

    pub fn with(upstreams: Vec<Upstream>, limits: Limits, prepare: impl FnOnce(&mut Books)) -> Scene {
        Scene::guarded(upstreams, limits, Secrets::default(), prepare)
    }

    pub fn guarded(
        upstreams: Vec<Upstream>,
        limits: Limits,
        secrets: Secrets,
        prepare: impl FnOnce(&mut Books),
    ) -> Scene {
        let (mut books, settlements) = Books::open();
        prepare(&mut books);
        let books = Arc::new(books);
        let config = GatewayConfig { upstreams, prices: prices(), limits, secrets };
        let gateway = Gateway::new(config, Arc::clone(&books)).unwrap();
        let session = gateway.open_session(Tag { mission: "m1".into(), agent: "ada".into() }).unwrap();
        session.bind(Some(7));
        Scene { gateway, session, books, settlements }
    }

    pub fn request(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let key = format!("Bearer {}", self.session.key().expose_secret());
        let request = Request::post(path).header("authorization", key).header("content-type", "application/json");
        request.body(Full::new(body.into())).unwrap()
    }

    /// Calls and gives the head; the body is still on its way.
    pub async fn call(&self, path: &str, body: impl Into<Bytes>) -> Response<Body> {
        self.gateway.handle(&self.session, self.request(path, body)).await
    }

    /// Calls and reads the answer to its end.
    pub async fn ask(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        read(self.call(path, body).await).await
    }
}

pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// Whether it came to a proper end.
    pub whole: bool,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The data of its events, but for `[DONE]`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        assert!(self.text().ends_with("\n\n"), "{:?}", self.text());
        let data = self.text().lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

pub async fn read(response: Response<Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => whole = false,
        }
    }
    let content_type = parts.headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    Answer { status: parts.status.as_u16(), content_type, headers: parts.headers, body: bytes.into(), whole }
}

/// A short stream of each format as the vendors send it, and where its closing event begins.
pub struct Recorded {
    pub format: Format,
    pub stream: &'static str,
    pub closing: usize,
    pub document: &'static str,
}

/// Where a format is asked; Gemini's path names the model and says whether a stream is wanted.
pub fn path_of(format: Format, stream: bool) -> String {
    match (format, stream) {
        (Format::Gemini, true) => format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"),
        (Format::Gemini, false) => format!("/v1beta/models/{MODEL}:generateContent"),
        _ => format.path().to_owned(),
    }
}

pub fn recorded() -> [Recorded; 4] {
    let of = |format, stream: &'static str, closing: &str, document| {
        let closing = stream.find(closing).unwrap();
        Recorded { format, stream, closing, document }
    };
    [
        of(Format::OpenAiChat, CHAT, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},", CHAT_DOCUMENT),
        of(Format::OpenAiResponses, RESPONSES, "event: response.completed", RESPONSES_DOCUMENT),
        of(Format::Anthropic, ANTHROPIC, "event: message_delta", ANTHROPIC_DOCUMENT),
        of(Format::Gemini, GEMINI, "data: {\"candidates\":[{\"finishReason\"", GEMINI_DOCUMENT),
    ]
}

const CHAT: &str = concat!(
    ": hello\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Gr\u{fc}\u{df}e\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":null}]}\r\n\r\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"prompt_tokens_details\":{\"cached_tokens\":40}}}\n\n",
    "data: [DONE]\n\n",
);
const CHAT_DOCUMENT: &str = r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"Grüße!"},"finish_reason":"stop"}], "usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":40}}}"#;

const RESPONSES: &str = concat!(
    "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"usage\":null}}\n\n",
    "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Gr\u{fc}\u{df}e!\"}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":40},\"output_tokens\":20}}}\n\n",
);
const RESPONSES_DOCUMENT: &str = r#"{"id":"r","status":"completed","error":null,"output":[{"type":"message","content":[{"type":"output_text","text":"Grüße!"}]}],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":20}}"#;

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":60,\"cache_read_input_tokens\":40,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Gr\u{fc}\u{df}e!\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":20}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
const ANTHROPIC_DOCUMENT: &str = r#"{"id":"m","type":"message","content":[{"type":"text","text":"Grüße!"}],"usage":{"input_tokens":60,"cache_read_input_tokens":40,"output_tokens":20}}"#;

const GEMINI: &str = concat!(
    "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Gr\u{fc}\u{df}e!\"}]}}],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,\"candidatesTokenCount\":3}}\r\n\r\n",
    "data: {\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":40,\"candidatesTokenCount\":20}}\r\n\r\n",
);
const GEMINI_DOCUMENT: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Grüße!"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":20}}"#;
