//! Known secrets do not come back in answers and do not leave in requests.

use std::sync::Arc;

use gateway::{Format, Leaving, Limits, Masker, Secrets};

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Scene, passthrough, path_of, recorded};

const KEY: &str = "provider-key";

fn scene(format: Format, url: &str, leaving: Leaving) -> Scene {
    let masker = Masker::new([("PROVIDER_KEY".to_owned(), KEY.into())]);
    let secrets = Secrets { masker: Arc::new(masker), leaving };
    Scene::guarded(vec![passthrough(format, url)], Limits::default(), secrets, |_| {})
}

#[tokio::test]
async fn an_upstream_that_repeats_its_key_does_not_hand_it_to_the_agent() {
    let mock = Mock::start(|seen| {
        let sent = seen.header("authorization").unwrap().to_owned();
        let body = format!(r#"{{"error":{{"message":"not for {sent}"}}}}"#);
        let mut reply = Reply::json(&body);
        reply.headers.push(("x-echo", sent));
        reply.status = "401 Unauthorized";
        reply
    })
    .await;
    let scene = scene(Format::OpenAiChat, &mock.url, Leaving::Mask);
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)).await;
    assert_eq!(answer.text(), r#"{"error":{"message":"not for Bearer [masked:PROVIDER_KEY]"}}"#);
    assert_eq!(answer.headers["x-echo"], "Bearer [masked:PROVIDER_KEY]");
}

#[tokio::test]
async fn a_key_in_events_of_one_byte_reaches_neither_the_agent_nor_the_store() {
    let mock = Mock::start(|seen| {
        let sent = seen.header("authorization").unwrap();
        let delta = |byte: char| {
            format!(
                r#"data: {{"id":"c","choices":[{{"index":0,"delta":{{"content":"{byte}"}},"finish_reason":null}}]}}"#
            )
        };
        let events = sent.chars().map(|byte| Play::Send((delta(byte) + "\n\n").into_bytes()));
        let end = recorded()[0].stream.as_bytes()[recorded()[0].closing..].to_vec();
        Reply::events(events.chain([Play::Send(end)]).collect())
    })
    .await;
    let mut scene = scene(Format::OpenAiChat, &mock.url, Leaving::Mask);
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}","stream":true}}"#)).await;
    let deltas = answer.events();
    let text: String = deltas.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!((text.as_str(), answer.whole), ("Bearer [masked:PROVIDER_KEY]", true));
    let stored = scene.settlements.recv().await.unwrap().answer.unwrap();
    assert_eq!(stored.body, answer.body, "what is recalled is what was heard");
}

#[tokio::test]
async fn streams_without_a_secret_pass_unchanged_wherever_they_are_cut() {
    let recorded = recorded();
    for recorded in &recorded {
        let (stream, format) = (recorded.stream, recorded.format);
        let mock = Mock::start(move |seen| {
            let request: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let (start, end) = stream.as_bytes().split_at(request["cut"].as_u64().unwrap() as usize);
            Reply::events(vec![Play::Send(start.into()), Play::Send(end.into())])
        })
        .await;
        let scene = scene(format, &mock.url, Leaving::Mask);
        for cut in 1..stream.len() {
            let answer =
                scene.ask(&path_of(format, true), format!(r#"{{"model":"{MODEL}","stream":true,"cut":{cut}}}"#)).await;
            assert_eq!((answer.text(), answer.whole), (stream, true), "{format:?} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_request_leaves_without_secrets_or_not_at_all() {
    let mut mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let body = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"mine is {KEY}, 1.50"}}]}}"#);

    let masking = scene(Format::OpenAiChat, &mock.url, Leaving::Mask);
    let mut request = masking.request("/v1/chat/completions", body.clone());
    request.headers_mut().insert("x-note", KEY.parse().unwrap());
    assert_eq!(crate::support::read(masking.gateway.handle(&masking.session, request).await).await.status, 200);
    let seen = mock.next().await;
    assert_eq!(String::from_utf8(seen.body.clone()).unwrap(), body.replace(KEY, "[masked:PROVIDER_KEY]"));
    assert_eq!(seen.header("x-note"), Some("[masked:PROVIDER_KEY]"));
    assert_eq!(seen.header("authorization"), Some("Bearer provider-key"), "our own header is not touched");
    assert_eq!(masking.books.found(), [("PROVIDER_KEY".to_owned(), false)]);

    let refusing = scene(Format::OpenAiChat, &mock.url, Leaving::Refuse);
    let answer = refusing.ask("/v1/chat/completions", body.clone()).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("secret")));
    assert!(answer.text().contains("PROVIDER_KEY") && !answer.text().contains(KEY), "{}", answer.text());
    assert_eq!(refusing.books.found(), [("PROVIDER_KEY".to_owned(), true)]);
    assert!(refusing.books.reserved().is_empty());

    let allowing = scene(Format::OpenAiChat, &mock.url, Leaving::Allow);
    assert_eq!(allowing.ask("/v1/chat/completions", body.clone()).await.status, 200);
    assert_eq!(mock.next().await.body, body.as_bytes(), "and the refused one was never sent");
}
