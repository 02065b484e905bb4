//! What is wrong is said in the shape of the format that was spoken.

use expect_test::{Expect, expect};
use gateway::{Cost, Format, Limits, Outcome, Refusal};
use http::Request;
use http_body_util::Full;

use crate::mock::{Mock, Play, Reply};
use crate::support::{Answer, MODEL, Scene, passthrough, path_of, read};

/// An upstream that nobody listens on: port 9 of loopback.
fn scene(format: Format) -> Scene {
    Scene::of(passthrough(format, "http://127.0.0.1:9"))
}

fn check(answer: &Answer, expected: Expect) {
    assert_eq!(answer.content_type, "application/json");
    let retry = answer.headers.get("x-should-retry").map_or("", |_| " (do not retry)");
    expected.assert_eq(&format!("{}{retry} {}", answer.status, answer.text()));
}

#[tokio::test]
async fn a_refusal_of_the_ledger_is_told() {
    for (format, status, expected) in [
        (
            Format::OpenAiChat,
            402,
            expect![[
                r#"402 (do not retry) {"error":{"message":"The budget of $1 is used up.","type":"insufficient_quota","param":null,"code":"budget"}}"#
            ]],
        ),
        (
            Format::OpenAiResponses,
            429,
            expect![[
                r#"429 {"error":{"message":"The budget of $1 is used up.","type":"rate_limit_error","param":null,"code":"budget"}}"#
            ]],
        ),
        (
            Format::Gemini,
            402,
            expect![[
                r#"402 (do not retry) {"error":{"code":402,"message":"The budget of $1 is used up.","status":"FAILED_PRECONDITION","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"budget","domain":"muster"}]}}"#
            ]],
        ),
        (
            Format::Anthropic,
            402,
            expect![[
                r#"402 (do not retry) {"type":"error","error":{"type":"billing_error","message":"The budget of $1 is used up."}}"#
            ]],
        ),
    ] {
        let mut scene = scene(format);
        *scene.books.refusal.lock().unwrap() =
            Some(Refusal { status, message: "The budget of $1 is used up.".into(), kind: "budget".into() });
        check(&scene.ask(&path_of(format, true), format!(r#"{{"model":"{MODEL}"}}"#)).await, expected);
        assert!(scene.settlements.try_recv().is_err());
        assert_eq!((scene.gateway.stats().refused, scene.gateway.stats().upstreams[0].started), (1, 0));
    }
}

#[tokio::test]
async fn a_bad_request_is_told() {
    let chat = scene(Format::OpenAiChat);
    check(
        &chat.ask("/v1/chat/completions", "{\"model\":").await,
        expect![[
            r#"400 (do not retry) {"error":{"message":"The request's body cannot be read as JSON: EOF while parsing a value at line 1 column 9","type":"invalid_request_error","param":null,"code":"invalid_request"}}"#
        ]],
    );
    let anthropic = scene(Format::Anthropic);
    check(
        &anthropic.ask("/v1/messages", "{}").await,
        expect![[
            r#"400 (do not retry) {"type":"error","error":{"type":"invalid_request_error","message":"The request names no model."}}"#
        ]],
    );
    check(
        &anthropic.ask("/v1/messages/batches", "{}").await,
        expect![[
            r#"404 (do not retry) {"type":"error","error":{"type":"not_found_error","message":"Nothing is served at /v1/messages/batches. Served are /v1/chat/completions, /v1/responses, /v1/messages, /v1/messages/count_tokens, /v1beta/models/MODEL:generateContent, :streamGenerateContent and :countTokens, and /v1/models."}}"#
        ]],
    );
    // The upstream speaks Anthropic's format only.
    check(
        &anthropic.ask("/v1/responses", format!(r#"{{"model":"{MODEL}"}}"#)).await,
        expect![[
            r#"404 (do not retry) {"error":{"message":"No upstream serves the model test-model in the format openai-responses.","type":"not_found_error","param":null,"code":"model_not_found"}}"#
        ]],
    );
    anthropic.session.pin(Some("other"));
    check(
        &anthropic.ask("/v1/messages", format!(r#"{{"model":"{MODEL}"}}"#)).await,
        expect![[
            r#"404 (do not retry) {"type":"error","error":{"type":"not_found_error","message":"The upstream other does not serve the model test-model in the format anthropic."}}"#
        ]],
    );
    assert!(chat.books.reserved().is_empty() && anthropic.books.reserved().is_empty());
}

#[tokio::test]
async fn a_call_is_a_post() {
    let scene = scene(Format::OpenAiResponses);
    let mut request = scene.request("/v1/responses", "");
    *request.method_mut() = http::Method::GET;
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    let answer = read(scene.gateway.handle(&scene.session, request).await).await;
    check(
        &answer,
        expect![[
            r#"405 (do not retry) {"error":{"message":"GET /v1/responses is not served; calls are made with POST.","type":"invalid_request_error","param":null,"code":"method_not_allowed"}}"#
        ]],
    );
}

#[tokio::test]
async fn only_the_sessions_own_key_is_let_in() {
    let scene = scene(Format::Anthropic);
    let other = scene.gateway.open_session(scene.session.tag().clone()).unwrap();
    let stranger = Request::post("/v1/messages")
        .header("x-api-key", "muster-none")
        .body(Full::<bytes::Bytes>::from("{}"))
        .unwrap();
    check(
        &read(scene.gateway.handle(&scene.session, stranger).await).await,
        expect![[
            r#"401 (do not retry) {"type":"error","error":{"type":"authentication_error","message":"This key opens no session here. Use the key that the session was started with."}}"#
        ]],
    );
    let others_key = scene.request("/v1/messages", "{}");
    assert_eq!(scene.gateway.handle(&other, others_key).await.status(), 401);
    let nothing = Request::get("/v1/models").body(Full::<bytes::Bytes>::from("")).unwrap();
    assert_eq!(scene.gateway.handle(&scene.session, nothing).await.status(), 401);
    scene.gateway.close_session(&scene.session);
    assert_eq!(scene.call("/v1/messages", "{}").await.status(), 401);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let limits = Limits { request_bytes: 100, ..Limits::default() };
    let scene = Scene::with(vec![passthrough(Format::Anthropic, "http://127.0.0.1:9")], limits, |_| {});
    check(
        &scene.ask("/v1/messages", "x".repeat(101)).await,
        expect![[
            r#"413 (do not retry) {"type":"error","error":{"type":"request_too_large","message":"The request's body is larger than 100 bytes."}}"#
        ]],
    );
    // A body that does not say how long it is.
    let (parts, body) = scene.request("/v1/messages", "x".repeat(101)).into_parts();
    let unsized_body = http_body_util::StreamBody::new(http_body_util::BodyExt::into_data_stream(body).map_ok_frames());
    let answer = read(scene.gateway.handle(&scene.session, Request::from_parts(parts, unsized_body)).await).await;
    assert_eq!(answer.status, 413);
}

trait MapOkFrames: futures::TryStream<Ok = bytes::Bytes> + Sized {
    fn map_ok_frames(self) -> impl futures::Stream<Item = Result<hyper::body::Frame<bytes::Bytes>, Self::Error>> {
        futures::TryStreamExt::map_ok(self, hyper::body::Frame::data)
    }
}

impl<S: futures::TryStream<Ok = bytes::Bytes>> MapOkFrames for S {}

#[tokio::test]
async fn an_upstream_out_of_reach_is_told_and_costs_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &url));
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)).await;
    check(
        &answer,
        expect![[
            r#"424 (do not retry) {"error":{"message":"The upstream mock cannot be reached. Is it running, and is its base_url right?","type":"invalid_request_error","param":null,"code":"upstream"}}"#
        ]],
    );
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Unreachable, false));
    assert!(matches!(settled.cost, Cost::Known { micros: 0, .. }));
}

#[tokio::test]
async fn an_upstream_that_hangs_up_without_an_answer_may_have_billed() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
    });
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &url));
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}","max_tokens":10}}"#)).await;
    assert_eq!(answer.status, 504);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.usage.estimated, settled.usage.output_tokens), (Outcome::Cut, true, 10));
}

#[tokio::test]
async fn an_upstreams_key_is_in_no_error_and_no_debug_text() {
    let mock = Mock::start(|_| Reply::of("application/json", vec![Play::Break])).await;
    let upstream = passthrough(Format::OpenAiChat, &mock.url);
    assert!(!format!("{upstream:?}").contains("provider-key"));
    let mut scene = Scene::of(upstream);
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)).await;
    assert!(!answer.text().contains("provider-key") && !answer.whole);
    assert!(!format!("{:?}", scene.settlements.recv().await).contains("provider-key"));
}
