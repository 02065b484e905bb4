//! Bytes pass unchanged both ways, and usage is read from them wherever they are cut.

use gateway::{Cost, Format, Outcome, PriceSource, Settled, Usage};

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Recorded, Scene, passthrough, path_of, recorded};

/// All recorded answers tell of 60 input tokens, 40 cached and 20 of output: 60 + 4 + 200 micro-dollars.
fn assert_settled(settled: &Settled, sent: &str) {
    let usage = Usage { input_tokens: 60, cache_read_tokens: 40, output_tokens: 20, ..Usage::default() };
    assert_eq!(settled.usage, usage);
    assert_eq!(settled.cost, Cost::Known { micros: 264, source: PriceSource::Configured });
    assert_eq!(settled.outcome, Outcome::Complete);
    assert_eq!(settled.answer.as_ref().map(|answer| &answer.body[..]), Some(sent.as_bytes()));
    assert!(settled.ttfb_ms.is_some_and(|first| first <= settled.ms));
}

#[tokio::test]
async fn a_stream_passes_unchanged_wherever_it_is_cut() {
    for Recorded { format, stream, .. } in recorded() {
        // The request says after how many bytes to cut; 0: after every byte.
        let mock = Mock::start(move |seen| {
            let request: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            let cut = request["cut"].as_u64().unwrap() as usize;
            let parts: Vec<&[u8]> = match cut {
                0 => stream.as_bytes().chunks(1).collect(),
                _ => vec![&stream.as_bytes()[..cut], &stream.as_bytes()[cut..]],
            };
            Reply::events(parts.into_iter().map(|part| Play::Send(part.to_vec())).collect())
        })
        .await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        for cut in 0..stream.len() {
            let body = format!(r#"{{"model":"{MODEL}","stream":true,"cut":{cut}}}"#);
            let answer = scene.ask(&path_of(format, true), body).await;
            assert_eq!((answer.text(), answer.whole), (stream, true), "{format:?} cut at {cut}");
            assert_eq!((answer.status, answer.content_type.as_str()), (200, "text/event-stream"));
            assert_settled(&scene.settlements.recv().await.unwrap(), stream);
        }
    }
}

#[tokio::test]
async fn a_document_passes_unchanged() {
    for Recorded { format, document, .. } in recorded() {
        let (start, end) = document.as_bytes().split_at(50);
        let plays = vec![Play::Send(start.to_vec()), Play::Send(end.to_vec())];
        let mock = Mock::start(move |_| Reply::of("application/json", plays.clone())).await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        let answer = scene.ask(&path_of(format, true), format!(r#"{{"model":"{MODEL}"}}"#)).await;
        assert_eq!((answer.text(), answer.content_type.as_str()), (document, "application/json"));
        assert_settled(&scene.settlements.recv().await.unwrap(), document);
    }
}

#[tokio::test]
async fn the_request_arrives_unchanged_with_the_providers_key() {
    let mut mock = Mock::start(|_| Reply::json("{}")).await;
    let body = format!("{{ \"model\" :\"{MODEL}\", \"max_tokens\": 5, \"unknown\": [1.50, \"\\u00e4\"] }}\n");
    for (format, path, key) in [
        (Format::OpenAiChat, "/v1/chat/completions", ("authorization", "Bearer provider-key")),
        (Format::OpenAiResponses, "/v1/responses", ("authorization", "Bearer provider-key")),
        (Format::Anthropic, "/v1/messages?beta=true", ("x-api-key", "provider-key")),
        (Format::Anthropic, "/v1/messages/count_tokens?beta=true", ("x-api-key", "provider-key")),
        (Format::Gemini, "/v1beta/models/g:generateContent", ("x-goog-api-key", "provider-key")),
        (Format::Gemini, "/v1/models/g:countTokens", ("x-goog-api-key", "provider-key")),
    ] {
        for base in [mock.url.clone(), format!("{}/v1/", mock.url), format!("{}/v1beta", mock.url)] {
            let scene = Scene::of(passthrough(format, &base));
            let mut request = scene.request(path, body.clone());
            let headers = request.headers_mut();
            headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
            headers.insert("accept-encoding", "gzip".parse().unwrap());
            headers.insert("connection", "keep-alive".parse().unwrap());
            let _ = crate::support::read(scene.gateway.handle(&scene.session, request).await).await;

            let seen = mock.next().await;
            assert_eq!(seen.head.lines().next(), Some(format!("POST {path} HTTP/1.1").as_str()));
            assert_eq!(seen.body, body.as_bytes());
            assert_eq!(seen.header(key.0), Some(key.1));
            assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"));
            assert_eq!((seen.header("accept-encoding"), seen.header("content-type")), (None, Some("application/json")));
            assert_eq!(seen.head.matches("muster-").count(), 0, "{}", seen.head);
            assert!(key.0 == "authorization" || seen.header("authorization").is_none());
        }
    }
}

#[tokio::test]
async fn a_chat_stream_asks_for_usage_on_the_agents_behalf() {
    let mut mock = Mock::start(|_| Reply::events(vec![Play::Send(recorded()[0].stream.into())])).await;
    let scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let _ = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}","stream":true}}"#)).await;
    let sent: serde_json::Value = serde_json::from_slice(&mock.next().await.body).unwrap();
    assert_eq!(sent, serde_json::json!({"model": MODEL, "stream": true, "stream_options": {"include_usage": true}}));
}

#[tokio::test]
async fn an_upstreams_error_passes_as_it_is_and_costs_nothing() {
    let body = r#"{"error":{"message":"slow down","type":"tokens"}}"#;
    let mock = Mock::start(move |_| Reply {
        status: "429 Too Many Requests",
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("retry-after", "3".to_owned()),
            ("set-cookie", "a=b".to_owned()),
        ],
        before: None,
        plays: vec![Play::Send(body.into())],
    })
    .await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}","stream":true}}"#)).await;
    assert_eq!((answer.status, answer.text()), (429, body));
    assert_eq!(answer.headers.get("retry-after").unwrap(), "3");
    assert!(answer.headers.get("set-cookie").is_none());
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.answer), (Outcome::Refused { status: 429 }, None));
    assert_eq!(settled.cost, Cost::Known { micros: 0, source: PriceSource::NotBilled });
}

#[tokio::test]
async fn connections_to_an_upstream_are_used_again() {
    let mut mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    for _ in 0..5 {
        let _ = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)).await;
    }
    for _ in 0..5 {
        assert_eq!(mock.next().await.connection, 0);
    }
    let stats = scene.gateway.stats();
    assert_eq!((stats.upstreams[0].started, stats.upstreams[0].answered), (5, 5));
}

#[tokio::test]
async fn a_redirect_is_the_agents_to_see_and_is_not_followed() {
    let mut mock = Mock::start(|_| Reply {
        status: "307 Temporary Redirect",
        headers: vec![("location", "http://127.0.0.1:9/elsewhere".to_owned())],
        before: None,
        plays: vec![],
    })
    .await;
    let scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let answer = scene.ask("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)).await;
    assert_eq!(answer.status, 307);
    drop(scene);
    mock.next().await;
    assert!(mock.seen.try_recv().is_err());
}
