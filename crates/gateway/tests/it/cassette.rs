//! Calls that are kept and answered again.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use gateway::{Cassette, Cost, Format, Masker, Outcome, PriceSource, Recorder, Upstream, UpstreamKind};

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Recorded, Scene, once, passthrough, path_of, recorded};

const SECRET: &str = "a-secret-of-some-length";

fn recording(format: Format, url: &str, dir: &Path) -> Scene {
    let scene = Scene::of(passthrough(format, url));
    let masker = Masker::new([("PROVIDER_KEY".to_owned(), SECRET.into())]);
    scene.gateway.record(Recorder::open(dir, masker).unwrap());
    scene
}

fn replaying(dir: &Path) -> Scene {
    let kind = UpstreamKind::Replay(Cassette::open(dir).unwrap_or_else(|error| panic!("{error}")));
    Scene::of(Upstream { name: "replay".to_owned(), kind, models: vec![], rules: once() })
}

fn asking(text: &str) -> String {
    serde_json::json!({"model": MODEL, "stream": true, "messages": [{"role": "user", "content": text}]}).to_string()
}

fn differences(scene: &Scene) -> Vec<String> {
    scene.gateway.cassettes()[0].differences().iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_was_answered_is_answered_again_byte_for_byte_at_no_cost() {
    for Recorded { format, stream, document, .. } in recorded() {
        let dir = tempfile::tempdir().unwrap();
        let mock = Mock::start(move |seen| match seen.body.windows(13).any(|part| part == br#""stream":true"#) {
            true => Reply::events(vec![Play::Send(stream.into())]),
            false => Reply::json(document),
        })
        .await;
        let mut scene = recording(format, &mock.url, dir.path());
        let whole = format!(r#"{{"model":"{MODEL}"}}"#);
        for (stream, body) in [(true, asking("hello")), (false, whole.clone())] {
            assert!(scene.ask(&path_of(format, stream), body).await.whole);
            assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Complete);
        }

        let mut scene = replaying(dir.path());
        for (streaming, body, expected) in [(false, whole, document), (true, asking("hello"), stream)] {
            let answer = scene.ask(&path_of(format, streaming), body).await;
            assert_eq!((answer.text(), answer.whole, answer.status), (expected, true, 200), "{format:?}");
            let settled = scene.settlements.recv().await.unwrap();
            assert_eq!(settled.cost, Cost::Known { micros: 0, source: PriceSource::Replayed });
            assert_eq!(settled.usage.output_tokens, 20, "usage is read as ever");
        }
        assert_eq!((scene.gateway.cassettes()[0].unasked(), differences(&scene)), (0, vec![]));
    }
}

#[tokio::test]
async fn errors_and_answers_that_broke_off_are_kept_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let calls = AtomicUsize::new(0);
    let mock = Mock::start(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Reply {
            status: "429 Too Many Requests",
            headers: vec![("content-type", "application/json".into()), ("retry-after", "7".into())],
            before: None,
            plays: vec![Play::Send(br#"{"error":{"message":"slow down"}}"#.to_vec())],
        },
        _ => Reply::events(vec![Play::Send(b"data: {\"choices\":[]}\n\n".to_vec()), Play::Break]),
    })
    .await;
    let scene = recording(Format::OpenAiChat, &mock.url, dir.path());
    let path = Format::OpenAiChat.path();
    let first = [scene.ask(path, asking("hello")).await, scene.ask(path, asking("hello")).await];
    let scene = replaying(dir.path());
    for recorded in first {
        let answer = scene.ask(path, asking("hello")).await;
        assert_eq!((answer.status, answer.whole), (recorded.status, recorded.whole));
        assert_eq!(answer.headers.get("retry-after"), recorded.headers.get("retry-after"));
        if answer.whole {
            assert_eq!(answer.body, recorded.body);
        }
    }
}

#[tokio::test]
async fn secrets_are_not_kept_and_a_torn_line_is_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let stream = recorded()[0].stream;
    let mock = Mock::start(move |_| Reply::events(vec![Play::Send(stream.into())])).await;
    for text in [SECRET, "a second run of the same mission"] {
        let scene = recording(Format::OpenAiChat, &mock.url, dir.path());
        scene.ask("/v1/chat/completions", asking(text)).await;
        let takes = dir.path().join("takes.jsonl");
        fs::OpenOptions::new().append(true).open(takes).unwrap().write_all(br#"{"mission":"m1","#).unwrap();
    }
    let cassette = Cassette::open(dir.path()).unwrap();
    assert_eq!(cassette.calls(), 2, "what the process died in is cut off when it goes on");
    // The cassette answers the masked question, and holds the secret nowhere.
    let scene = replaying(dir.path());
    assert_eq!(scene.ask("/v1/chat/completions", asking("[masked:PROVIDER_KEY]")).await.status, 200);
}

#[tokio::test]
async fn a_question_that_was_not_asked_is_refused_with_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let stream = recorded()[0].stream;
    let mock = Mock::start(move |_| Reply::events(vec![Play::Send(stream.into())])).await;
    let scene = recording(Format::OpenAiChat, &mock.url, dir.path());
    scene.ask("/v1/chat/completions", asking("Ran 3 tests in 0.002s")).await;

    let mut scene = replaying(dir.path());
    assert_eq!(scene.ask("/v1/chat/completions", asking("Ran 3 tests in 1.5s")).await.status, 200);
    let answer = scene.ask("/v1/chat/completions", asking("Ran 2 tests in 0.002s")).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.headers.get("x-should-retry").map(|value| value.as_bytes()), Some(&b"false"[..]));
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("call 2 of ada in attempt 7 was not recorded"), "{message}");
    assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Complete);
    assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Refused { status: 400 });

    let scene = replaying(dir.path());
    let answer = scene.ask("/v1/chat/completions", asking("Ran 2 tests in 0.002s")).await;
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    let told = r#"/messages/0/content: recorded "Ran 3 tests in <duration>", asked "Ran 2 tests in <duration>""#;
    assert!(message.contains(told), "{message}");
    assert_eq!(differences(&scene).len(), 1);
}

#[tokio::test]
async fn a_cassette_that_cannot_be_read_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let error = |dir: &Path| Cassette::open(dir).unwrap_err().to_string();
    assert!(error(dir.path()).contains("takes.jsonl: "), "{}", error(dir.path()));
    fs::write(dir.path().join("takes.jsonl"), "{}\n").unwrap();
    assert!(error(dir.path()).contains("takes.jsonl:1: not a call: missing field"), "{}", error(dir.path()));
}
