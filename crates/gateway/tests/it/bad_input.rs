//! What upstreams and agents should not send: a proper error or a pass-through, one bill, no hang.

use std::time::Duration;

use gateway::{Cost, Format, Limits, Outcome, Tag};
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Recorded, Scene, passthrough, path_of, read, recorded};

/// An upstream that answers every request with exactly these bytes and hangs up.
async fn raw(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            stream.write_all(answer).await.unwrap();
        }
    });
    url
}

fn body() -> String {
    format!(r#"{{"model":"{MODEL}","max_tokens":10}}"#)
}

#[tokio::test]
async fn what_an_upstream_should_not_send() {
    for format in Format::ALL {
        for (answer, status, whole, text) in [
            (&b"garbage\r\n\r\n"[..], 504, true, None),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"a\":", 200, false, None),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n{\"a\":1}", 200, true, Some("{\"a\":")),
            (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}", 504, true, None),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 200, false, Some("")),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, true, Some("")),
            (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe\x00", 200, true, None),
        ] {
            let mut scene = Scene::of(passthrough(format, &raw(answer).await));
            let told = scene.ask(&path_of(format, false), body()).await;
            let shown = String::from_utf8_lossy(answer);
            assert_eq!((told.status, told.whole), (status, whole), "{format:?} {shown:?}");
            assert!(text.is_none_or(|text| told.text() == text), "{format:?} {shown:?} {:?}", told.body);
            if status == 504 {
                assert!(told.json()["error"]["message"].as_str().unwrap().contains("did not answer"));
            }
            let settled = scene.settlements.recv().await.unwrap();
            assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Cut, true), "{format:?} {shown:?}");
            assert_eq!(settled.answer, None);
            assert!(scene.settlements.try_recv().is_err(), "one bill");
        }
    }
}

/// The key of the output in each format's usage.
fn output_key(format: Format) -> &'static str {
    match format {
        Format::OpenAiChat => "completion_tokens",
        Format::OpenAiResponses | Format::Anthropic => "output_tokens",
        Format::Gemini => "candidatesTokenCount",
    }
}

#[tokio::test]
async fn usage_that_cannot_be_true_is_estimated_and_passes_as_it_is() {
    for Recorded { format, stream, document, .. } in recorded() {
        let key = output_key(format);
        for wrong in
            ["-20", "1000000000000000000", "18446744073709551615", "1e300", "20.5", "\"20\"", "null", "{}", "[20]"]
        {
            for good in [stream, document] {
                let sent = good.replace(&format!("\"{key}\":20"), &format!("\"{key}\":{wrong}"));
                assert_ne!(sent, good);
                let kind = if good == stream { "text/event-stream" } else { "application/json" };
                let plays = vec![Play::Send(sent.clone().into())];
                let mock = Mock::start(move |_| Reply::of(kind, plays.clone())).await;
                let mut scene = Scene::of(passthrough(format, &mock.url));
                let told = scene.ask(&path_of(format, true), format!(r#"{{"model":"{MODEL}"}}"#)).await;
                assert_eq!((told.text(), told.whole), (sent.as_str(), true), "{format:?} {wrong}");
                let settled = scene.settlements.recv().await.unwrap();
                assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Complete, true), "{format:?} {wrong}");
                assert_eq!((settled.usage.input_tokens, settled.usage.cache_read_tokens), (60, 40));
                // \"Grüße!\" is 8 bytes: at least two tokens, at most the model's 1,000.
                assert!((2..=1000).contains(&settled.usage.output_tokens), "{format:?} {wrong} {:?}", settled.usage);
                assert!(matches!(settled.cost, Cost::Known { micros: 64..=10_064, .. }), "{:?}", settled.cost);
            }
        }
    }
}

#[tokio::test]
async fn usage_that_is_told_twice_is_booked_once() {
    for Recorded { format, stream, .. } in recorded() {
        let key = format!("\"{}\":20", output_key(format));
        let end = if format == Format::Gemini { "\r\n\r\n" } else { "\n\n" };
        let event = stream.split_inclusive(end).find(|event| event.contains(&key)).unwrap();
        let sent = stream.replace(event, &event.repeat(3));
        let plays = vec![Play::Send(sent.clone().into())];
        let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        let told = scene.ask(&path_of(format, true), format!(r#"{{"model":"{MODEL}"}}"#)).await;
        assert_eq!(told.text(), sent);
        let usage = scene.settlements.recv().await.unwrap().usage;
        let seen = (usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.estimated);
        assert_eq!(seen, (60, 40, 20, false), "{format:?}");
    }
}

#[tokio::test]
async fn endless_events_come_to_an_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(b"event: ping\ndata: {\"type\":\"ping\"}\n\n").await.is_ok() {}
    });
    let limits = Limits { whole: Duration::from_millis(50), ..Limits::default() };
    let mut scene = Scene::with(vec![passthrough(Format::Anthropic, &url)], limits, |_| {});
    let told = scene.ask("/v1/messages", body()).await;
    assert!(!told.whole);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Cut, true));
    // However much came: no more than the request allows.
    assert_eq!(settled.usage.output_tokens, 10);
}

#[tokio::test]
async fn what_an_agent_should_not_send_is_told_in_its_format_and_costs_nothing() {
    for format in Format::ALL {
        let scene = Scene::of(passthrough(format, "http://127.0.0.1:9"));
        for (body, status) in [("{\"model\":", 400), ("[1]", 400), ("\"x\"", 400), ("", 400), ("\u{0}", 400)] {
            let told = scene.ask(&path_of(format, false), body).await;
            assert_eq!(told.status, status, "{format:?} {body:?}");
            assert!(told.json()["error"]["message"].is_string(), "{format:?} {body:?}");
            assert_eq!(told.headers["x-should-retry"], "false");
        }
        assert!(scene.books.reserved().is_empty());
    }
}

#[tokio::test]
async fn a_key_is_good_for_its_own_session_while_that_is_open() {
    let mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let tag = |agent: &str, mission: &str| Tag { mission: mission.into(), agent: agent.into() };
    let others = [tag("bob", "m1"), tag("ada", "m2")].map(|tag| scene.gateway.open_session(tag).unwrap());
    // The key of an earlier incarnation of the same agent.
    let old = scene.gateway.open_session(tag("ada", "m1")).unwrap();
    scene.gateway.close_session(&old);
    for wrong in others.iter().chain([&old]) {
        let mut request = scene.request("/v1/chat/completions", body());
        let key = format!("Bearer {}", wrong.key().expose_secret());
        request.headers_mut().insert("authorization", key.parse().unwrap());
        assert_eq!(read(scene.gateway.handle(&scene.session, request).await).await.status, 401);
    }
    assert_eq!(scene.gateway.handle(&old, scene.request("/v1/chat/completions", body())).await.status(), 401);
    // Calls are booked on the attempt that the session is bound to when they come in, and on no older one.
    for attempt in [Some(7), Some(8), None] {
        scene.session.bind(attempt);
        assert_eq!(scene.ask("/v1/chat/completions", body()).await.status, 200);
        assert_eq!(scene.settlements.recv().await.unwrap().call.attempt, attempt);
    }
}
