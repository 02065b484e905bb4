//! Several upstreams, tries and limits: what is asked, what is booked, what the agent sees.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::{
    BreakerState, Credential, Format, Limits, Outcome, Pace, Retries, Rules, Settled, Upstream, UpstreamKind,
};
use http::Request;
use http_body_util::Full;

use crate::mock::{Mock, Play, Reply, Seen};
use crate::support::{Answer, MODEL, Scene, once, passthrough, read, recorded, scripted};

fn status(status: &'static str, headers: &[(&'static str, &str)]) -> Reply {
    let mut reply = Reply::json(r#"{"error":{"message":"not now"}}"#);
    reply.status = status;
    reply.headers.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    reply
}

/// Answers with `replies` in turn, and then with the last.
async fn mock(replies: Vec<Reply>) -> Mock {
    let next = AtomicUsize::new(0);
    Mock::start(move |_: &Seen| replies[next.fetch_add(1, Ordering::Relaxed).min(replies.len() - 1)].clone()).await
}

/// Tries again at once.
fn again(count: u32) -> Rules {
    Rules { retries: Retries { count, backoff: Duration::ZERO, ..Retries::default() }, ..Rules::default() }
}

fn chat(name: &str, url: &str, rules: Rules) -> Upstream {
    Upstream { name: name.to_owned(), rules, ..passthrough(Format::OpenAiChat, url) }
}

fn scene(upstreams: Vec<Upstream>) -> Scene {
    Scene::with(upstreams, Limits::default(), |_| {})
}

async fn ask(scene: &Scene) -> Answer {
    scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}","max_tokens":10}}"#)).await
}

fn good() -> Reply {
    Reply::json(recorded()[0].document)
}

async fn settled(scene: &mut Scene) -> Settled {
    scene.settlements.recv().await.unwrap()
}

/// An address that nobody listens on.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_failing_upstream_is_asked_again_on_one_reservation() {
    for failing in [status("503 Service Unavailable", &[]), status("429 Too Many Requests", &[("retry-after-ms", "1")])]
    {
        let mock = mock(vec![failing.clone(), failing, good()]).await;
        let mut scene = scene(vec![chat("a", &mock.url, again(2))]);
        assert_eq!(ask(&scene).await.text(), recorded()[0].document);
        let settled = settled(&mut scene).await;
        assert_eq!((settled.outcome, settled.call.id), (Outcome::Complete, 1));
        assert_eq!(scene.books.reserved().len(), 1);
        assert_eq!(scene.gateway.stats().upstreams[0].started, 3);
        assert!(scene.settlements.try_recv().is_err());
    }
}

#[tokio::test]
async fn the_last_error_passes_as_it_came() {
    let mock = mock(vec![status("500 Internal Server Error", &[("x-request-id", "r1")])]).await;
    let mut scene = scene(vec![chat("a", &mock.url, again(2))]);
    let answer = ask(&scene).await;
    assert_eq!((answer.status, answer.text()), (500, r#"{"error":{"message":"not now"}}"#));
    assert_eq!(answer.headers["x-request-id"], "r1");
    assert_eq!(settled(&mut scene).await.outcome, Outcome::Refused { status: 500 });
    assert_eq!(scene.gateway.stats().upstreams[0].started, 3);
}

#[tokio::test]
async fn what_the_agent_did_wrong_is_not_tried_again() {
    let mock = mock(vec![status("400 Bad Request", &[])]).await;
    let scene = scene(vec![chat("a", &mock.url, again(2))]);
    assert_eq!(ask(&scene).await.status, 400);
    assert_eq!(scene.gateway.stats().upstreams[0].started, 1);
}

#[tokio::test]
async fn a_try_that_may_be_billed_is_settled_before_the_next() {
    let lost = Reply { plays: vec![], ..good() };
    // The first connection ends without a word.
    let mock = Mock::start(move |_| lost.clone()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1024]).await;
        }
    });
    let rules = Rules { fallback: vec!["b".to_owned()], ..again(1) };
    let mut scene = scene(vec![chat("a", &url, rules), chat("b", &mock.url, once())]);
    assert_eq!(ask(&scene).await.status, 200);
    for (id, upstream) in [(1, "a"), (2, "a"), (3, "b")] {
        let settled = settled(&mut scene).await;
        assert_eq!((settled.call.id, settled.call.upstream.as_str()), (id, upstream));
        assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Cut, true), "{id}");
    }
    let reserved: Vec<u64> = scene.books.reserved().iter().map(|(call, _)| call.id).collect();
    assert_eq!(reserved, [1, 2, 3]);
}

#[tokio::test]
async fn the_next_in_the_configured_order_answers() {
    let busy = mock(vec![status("429 Too Many Requests", &[])]).await;
    let good = mock(vec![good()]).await;
    let rules = Rules { fallback: vec!["busy".into(), "good".into()], ..once() };
    let upstreams =
        vec![chat("gone", &nowhere().await, rules), chat("busy", &busy.url, once()), chat("good", &good.url, once())];
    let mut scene = scene(upstreams);
    scene.session.pin(Some("gone"));
    assert_eq!(ask(&scene).await.status, 200);
    let settled = settled(&mut scene).await;
    assert_eq!((settled.call.upstream.as_str(), settled.outcome), ("good", Outcome::Complete));
    assert_eq!(scene.books.reserved().len(), 1);
}

#[tokio::test]
async fn when_nobody_answers_a_providers_words_are_passed_on() {
    let busy = mock(vec![status("503 Service Unavailable", &[])]).await;
    let rules = Rules { fallback: vec!["gone".into()], ..once() };
    let mut scene = scene(vec![chat("busy", &busy.url, rules), chat("gone", &nowhere().await, once())]);
    assert_eq!(ask(&scene).await.status, 503);
    let settled = settled(&mut scene).await;
    assert_eq!((settled.call.upstream.as_str(), settled.outcome), ("busy", Outcome::Refused { status: 503 }));
}

#[tokio::test]
async fn nothing_is_asked_elsewhere_once_a_byte_has_come() {
    let broken = Reply::events(vec![Play::Send(recorded()[0].stream[..200].into()), Play::Break]);
    let broken = mock(vec![broken]).await;
    let other = mock(vec![good()]).await;
    let rules = Rules { fallback: vec!["other".into()], ..again(2) };
    let mut scene = scene(vec![chat("broken", &broken.url, rules), chat("other", &other.url, once())]);
    assert!(!ask(&scene).await.whole);
    assert_eq!(settled(&mut scene).await.outcome, Outcome::Cut);
    assert_eq!(scene.gateway.stats().upstreams[1].started, 0);
}

#[tokio::test]
async fn a_long_rate_limit_is_a_state() {
    let limited = mock(vec![status("429 Too Many Requests", &[("retry-after", "3600")]), good()]).await;
    let mut scene = scene(vec![chat("a", &limited.url, again(2))]);
    let first = ask(&scene).await;
    assert_eq!((first.status, first.text()), (429, r#"{"error":{"message":"not now"}}"#));
    assert_eq!(settled(&mut scene).await.outcome, Outcome::Refused { status: 429 });
    // The next call is answered without asking.
    let second = ask(&scene).await;
    assert_eq!((second.status, second.json()["error"]["code"].as_str()), (429, Some("rate_limit")));
    let seconds: u64 = second.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&seconds), "{seconds}");
    assert_eq!(scene.gateway.stats().upstreams[0].started, 1);
    let told = scene.books.limited.lock().unwrap().clone();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].1, Duration::from_secs(3600));
    assert!(told.iter().all(|(call, _)| call.attempt == Some(7)));
}

#[tokio::test]
async fn an_upstream_that_keeps_failing_is_left_alone() {
    let down = mock(vec![status("500 Internal Server Error", &[])]).await;
    let mut scene = scene(vec![chat("a", &down.url, once())]);
    for _ in 0..5 {
        assert_eq!(ask(&scene).await.status, 500);
        settled(&mut scene).await;
    }
    assert_eq!(scene.gateway.stats().upstreams[0].breaker, BreakerState::Open);
    let answer = ask(&scene).await;
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true));
    assert_eq!(scene.gateway.stats().upstreams[0].started, 5);
    // Nothing was asked, so that nothing was set aside.
    assert_eq!(scene.books.reserved().len(), 6);
    assert_eq!(settled(&mut scene).await.outcome, Outcome::Unreachable);
}

#[tokio::test]
async fn an_alias_is_the_only_change_on_the_way() {
    for (format, path, sent_path) in [
        (Format::OpenAiResponses, "/v1/responses", "/v1/responses"),
        (Format::Gemini, "/v1beta/models/fast:generateContent?x=1", "/v1beta/models/test-model:generateContent?x=1"),
    ] {
        let mut mock = mock(vec![Reply::json("{}")]).await;
        let aliases = [("fast".to_owned(), MODEL.to_owned())].into();
        let upstream = Upstream {
            models: vec!["none".into()],
            rules: Rules { aliases, ..once() },
            ..passthrough(format, &mock.url)
        };
        let mut scene = scene(vec![upstream]);
        let _ = scene.ask(path, r#"{ "x": 1.0, "model" : "fast","input":"fast"}"#).await;
        let seen = mock.next().await;
        assert_eq!(seen.head.lines().next(), Some(format!("POST {sent_path} HTTP/1.1").as_str()));
        let model = if format == Format::Gemini { "fast" } else { MODEL };
        assert_eq!(
            String::from_utf8(seen.body).unwrap(),
            format!(r#"{{ "x": 1.0, "model" : "{model}","input":"fast"}}"#)
        );
        let settled = settled(&mut scene).await;
        assert_eq!(settled.call.model, "fast");
        // Priced as the model that it is.
        assert!(matches!(settled.cost, gateway::Cost::Known { micros: 1.., .. }), "{:?}", settled.cost);
        assert_eq!(scene.call("/v1/responses", r#"{"model":"other"}"#).await.status(), 404);
    }
}

#[tokio::test]
async fn one_call_at_a_time_when_the_upstream_wants_it_so() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = Reply { before: Some(std::sync::Arc::clone(&gate)), ..good() };
    let mut mock = mock(vec![held]).await;
    let pace = Pace { concurrency: Some(1), requests_per_minute: None };
    let scene = scene(vec![chat("a", &mock.url, Rules { pace, ..once() })]);
    let (first, second, third) = (ask(&scene), ask(&scene), async {
        mock.next().await;
        // The other call is in the queue before the first is let go.
        while scene.gateway.stats().upstreams[0].waiting == 0 {
            tokio::task::yield_now().await;
        }
        assert!(mock.seen.try_recv().is_err());
        gate.add_permits(2);
    });
    let (first, second, ()) = tokio::join!(first, second, third);
    assert_eq!((first.status, second.status), (200, 200));
}

#[tokio::test]
async fn an_agents_own_credential_goes_through_and_is_asked_of_no_key() {
    let mut mock = mock(vec![good()]).await;
    let kind = UpstreamKind::Passthrough {
        formats: vec![Format::OpenAiChat],
        base_url: mock.url.clone(),
        credential: Credential::Agents,
    };
    let own = Upstream { name: "own".into(), kind, models: vec![], rules: once() };
    let mut scene = scene(vec![own, scripted("version: 1\nreplies:\n  - steps:\n      - text: hello\n")]);
    let request = || {
        let request = Request::post("/v1/chat/completions").header("authorization", "Bearer of-the-agent");
        request.body(Full::<bytes::Bytes>::from(format!(r#"{{"model":"{MODEL}"}}"#))).unwrap()
    };
    // Only a session that is pinned to it, and only while it is open.
    assert_eq!(scene.gateway.handle(&scene.session, request()).await.status(), 401);
    scene.session.pin(Some("own"));
    assert_eq!(read(scene.gateway.handle(&scene.session, request()).await).await.status, 200);
    assert_eq!(mock.next().await.header("authorization"), Some("Bearer of-the-agent"));
    let settled = settled(&mut scene).await;
    assert_eq!(settled.usage.output_tokens, 20);
    assert!(!format!("{settled:?}").contains("of-the-agent"));
    // Our own key is worth nothing there and stays here.
    assert_eq!(ask(&scene).await.status, 200);
    assert_eq!(mock.next().await.header("authorization"), None);
    scene.gateway.close_session(&scene.session);
    assert_eq!(scene.gateway.handle(&scene.session, request()).await.status(), 401);
}

#[tokio::test]
async fn a_session_without_a_pin_is_not_sent_where_credentials_pass() {
    let kind = UpstreamKind::Passthrough {
        formats: vec![Format::OpenAiChat],
        base_url: nowhere().await,
        credential: Credential::Agents,
    };
    let own = Upstream { name: "own".into(), kind, models: vec![], rules: once() };
    let scene = scene(vec![own]);
    assert_eq!(ask(&scene).await.status, 404);
}

#[tokio::test]
async fn an_upstream_that_stalls_is_given_up() {
    let never = || std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let short = Some(Duration::from_millis(20));
    // Before the head.
    let silent = mock(vec![Reply { before: Some(never()), ..good() }]).await;
    let mut quiet = scene(vec![chat("a", &silent.url, Rules { first_byte: short, ..once() })]);
    let answer = ask(&quiet).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (504, Some("upstream")));
    assert_eq!(settled(&mut quiet).await.outcome, Outcome::Cut);
    // In the middle.
    let start = Play::Send(recorded()[0].stream[..200].into());
    let stalls = mock(vec![Reply::events(vec![start, Play::Wait(never())])]).await;
    let mut stalled = scene(vec![chat("a", &stalls.url, Rules { silence: short, ..once() })]);
    assert!(!ask(&stalled).await.whole);
    let settled = settled(&mut stalled).await;
    assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Cut, true));
}

#[test]
fn a_fallback_has_to_be_another_upstream() {
    for name in ["a", "none"] {
        let rules = Rules { fallback: vec![name.to_owned()], ..once() };
        let (books, _) = crate::books::Books::open();
        let upstreams = vec![chat("a", "http://127.0.0.1:9", rules)];
        let config = gateway::GatewayConfig {
            upstreams,
            prices: gateway::Prices::embedded(),
            limits: Limits::default(),
            secrets: gateway::Secrets::default(),
        };
        let error = gateway::Gateway::new(config, std::sync::Arc::new(books)).err().unwrap();
        assert!(error.to_string().starts_with(&format!("the upstream a cannot fall back to {name}")), "{error}");
    }
}
