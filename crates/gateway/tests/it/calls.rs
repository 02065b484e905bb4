//! The order of a call: recall, reserve, answer, settle, and only then the end of the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use gateway::{Body, Cost, Format, Limits, Outcome, PriceSource, Refusal, StoredAnswer};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

use crate::mock::{Mock, Play, Reply};
use crate::support::{MODEL, Recorded, Scene, passthrough, path_of, read, recorded};

fn streaming() -> String {
    format!(r#"{{"model":"{MODEL}","stream":true}}"#)
}

/// What has arrived and needs no waiting for.
fn arrived(body: &mut Body) -> Vec<u8> {
    let frames = std::iter::from_fn(|| body.frame().now_or_never().flatten());
    frames.flat_map(|frame| frame.unwrap().into_data().unwrap()).collect()
}

#[tokio::test]
async fn the_end_of_an_answer_waits_for_its_settlement() {
    for Recorded { format, stream, closing, document } in recorded() {
        for (content_type, sent, open) in
            [("text/event-stream", stream, closing), ("application/json", document, document.len() - 10)]
        {
            let cut = document.len() - 10;
            let parts = if open == closing { vec![sent] } else { vec![&sent[..cut], &sent[cut..]] };
            let plays: Vec<Play> = parts.iter().map(|part| Play::Send(part.as_bytes().to_vec())).collect();
            let mock = Mock::start(move |_| Reply::of(content_type, plays.clone())).await;
            let may_settle = Arc::new(Semaphore::new(0));
            let gate = Arc::clone(&may_settle);
            let mut scene = Scene::with(vec![passthrough(format, &mock.url)], Limits::default(), |books| {
                books.may_settle = gate;
            });
            let (_, mut body) = scene.call(&path_of(format, true), streaming()).await.into_parts();

            scene.settlements.recv().await.unwrap();
            let before = arrived(&mut body);
            assert_eq!(String::from_utf8_lossy(&before), sent[..open], "{format:?} {content_type}");
            may_settle.add_permits(1);
            let after = body.collect().await.unwrap().to_bytes();
            assert_eq!([&before[..], &after].concat(), sent.as_bytes());
        }
    }
}

#[tokio::test]
async fn events_pass_while_the_model_is_still_speaking() {
    for Recorded { format, stream, closing, .. } in recorded() {
        let speak_on = Arc::new(Semaphore::new(0));
        let plays = vec![
            Play::Send(stream[..closing].into()),
            Play::Wait(Arc::clone(&speak_on)),
            Play::Send(stream[closing..].into()),
        ];
        let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
        let scene = Scene::of(passthrough(format, &mock.url));
        let (_, mut body) = scene.call(&path_of(format, true), streaming()).await.into_parts();
        let mut early = Vec::new();
        while early.len() < closing {
            early.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(early, &stream.as_bytes()[..closing]);
        speak_on.add_permits(1);
        assert_eq!(body.collect().await.unwrap().to_bytes(), &stream.as_bytes()[closing..]);
    }
}

#[tokio::test]
async fn an_event_longer_than_what_is_held_passes_before_its_end() {
    let long = format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}", "x".repeat(600_000));
    let rest = "\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let speak_on = Arc::new(Semaphore::new(0));
    let plays =
        vec![Play::Send(long.clone().into()), Play::Wait(Arc::clone(&speak_on)), Play::Send(rest.as_bytes().to_vec())];
    let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let (_, mut body) = scene.call("/v1/chat/completions", streaming()).await.into_parts();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    speak_on.add_permits(1);
    let all = [&first[..], &body.collect().await.unwrap().to_bytes()].concat();
    assert!(all == format!("{long}{rest}").as_bytes());
    assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Complete);
}

#[tokio::test]
async fn an_answer_that_cannot_be_settled_is_broken_off() {
    let Recorded { format, stream, closing, .. } = &recorded()[2];
    let mock = Mock::start(|_| Reply::events(vec![Play::Send(recorded()[2].stream.into())])).await;
    let scene = Scene::with(vec![passthrough(*format, &mock.url)], Limits::default(), |books| {
        books.settling_fails = true;
    });
    let answer = scene.ask(&path_of(*format, true), streaming()).await;
    assert_eq!((answer.text(), answer.whole), (&stream[..*closing], false));
}

#[tokio::test]
async fn a_stored_answer_is_replayed_byte_for_byte_and_free() {
    for (content_type, body) in [("text/event-stream", "data: \u{fc}\n\ndata: [DONE]\n\n"), ("application/json", "{}")]
    {
        let mut scene = Scene::of(passthrough(Format::OpenAiChat, "http://127.0.0.1:9"));
        let stored =
            StoredAnswer { status: 201, content_type: content_type.into(), body: Bytes::from_static(body.as_bytes()) };
        *scene.books.stored.lock().unwrap() = Some(stored);
        let answer = scene.ask("/v1/chat/completions", streaming()).await;
        assert_eq!((answer.status, answer.content_type.as_str(), answer.text()), (201, content_type, body));
        assert!(scene.books.reserved().is_empty() && scene.settlements.try_recv().is_err());
        assert_eq!((scene.gateway.stats().recalled, scene.gateway.stats().upstreams[0].started), (1, 0));
    }
}

#[tokio::test]
async fn what_was_settled_can_be_recalled() {
    for Recorded { format, stream, .. } in recorded() {
        let mock = Mock::start(move |_| Reply::events(vec![Play::Send(stream.into())])).await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        let first = scene.ask(&path_of(format, true), streaming()).await;
        *scene.books.stored.lock().unwrap() = scene.settlements.recv().await.unwrap().answer;
        let again = scene.ask(&path_of(format, true), streaming()).await;
        assert_eq!((again.status, again.content_type, again.body), (first.status, first.content_type, first.body));
    }
}

#[tokio::test]
async fn the_ledger_is_told_who_asks_what_at_which_price() {
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, "http://127.0.0.1:9"));
    *scene.books.refusal.lock().unwrap() =
        Some(Refusal { status: 402, message: "The budget is used up.".into(), kind: "budget".into() });
    let ask = async |body: &str| {
        let _ = scene.ask("/v1/chat/completions", body.to_owned()).await;
        scene.books.reserved().pop().unwrap()
    };
    let (call, worst) = ask(&format!(r#"{{"model":"{MODEL}","max_tokens":100}}"#)).await;
    assert_eq!((call.mission.as_str(), call.agent.as_str(), call.attempt), ("m1", "ada", Some(7)));
    assert_eq!((call.upstream.as_str(), call.format, call.model.as_str()), ("mock", Format::OpenAiChat, MODEL));
    assert!(!call.stream);
    // 39 bytes of which 23 are lower-case letters: 16 + 12 + 1,024 tokens, at most at $1.25; 100 at $10.
    assert_eq!(worst, Some((1052 * 125_u64).div_ceil(100) + 1000));

    let (again, _) = ask(&format!(r#"{{"model":"{MODEL}","max_tokens":100}}"#)).await;
    assert_eq!(again.digest, call.digest);
    assert_ne!(again.id, call.id);
    let (other, _) = ask(&format!(r#"{{"model":"{MODEL}","max_tokens":101}}"#)).await;
    assert_ne!(other.digest, call.digest);
    let (_, unknown) = ask(r#"{"model":"never-heard-of","max_tokens":100}"#).await;
    assert_eq!(unknown, None);
    assert!(scene.settlements.try_recv().is_err());
}

#[tokio::test]
async fn an_agent_that_hangs_up_changes_nothing_in_the_books() {
    for Recorded { format, stream, closing, .. } in recorded() {
        let speak_on = Arc::new(Semaphore::new(0));
        let plays = vec![
            Play::Send(stream[..closing].into()),
            Play::Wait(Arc::clone(&speak_on)),
            Play::Send(stream[closing..].into()),
        ];
        let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        let (_, mut body) = scene.call(&path_of(format, true), streaming()).await.into_parts();
        body.frame().await.unwrap().unwrap();
        drop(body);
        speak_on.add_permits(1);
        let settled = scene.settlements.recv().await.unwrap();
        assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Complete, false));
        assert_eq!(settled.answer.map(|answer| answer.body), Some(Bytes::from_static(stream.as_bytes())));
    }
}

#[tokio::test]
async fn an_agent_that_hangs_up_before_the_head_changes_nothing_either() {
    let answer_now = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&answer_now);
    let mut mock = Mock::start(move |_| {
        // The head waits, too.
        Reply { before: Some(Arc::clone(&gate)), ..Reply::json(recorded()[0].document) }
    })
    .await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    tokio::select! {
        _ = scene.call("/v1/chat/completions", format!(r#"{{"model":"{MODEL}"}}"#)) => panic!("answered too early"),
        _ = mock.next() => {}
    }
    answer_now.add_permits(1);
    assert_eq!(scene.settlements.recv().await.unwrap().outcome, Outcome::Complete);
}

#[tokio::test]
async fn an_agent_that_gives_up_while_it_waits_for_money_costs_nothing() {
    let may_reserve = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&may_reserve);
    let upstream = passthrough(Format::OpenAiChat, "http://127.0.0.1:9");
    let mut scene = Scene::with(vec![upstream], Limits::default(), |books| books.may_reserve = gate);
    tokio::select! {
        _ = scene.call("/v1/chat/completions", streaming()) => panic!("answered without money"),
        () = scene.books.reserving.notified() => {}
    }
    may_reserve.add_permits(1);
    let settled = scene.settlements.recv().await.unwrap();
    assert!(matches!((settled.outcome, settled.cost), (Outcome::Unreachable, Cost::Known { micros: 0, .. })));
    assert_eq!(scene.gateway.stats().upstreams[0].started, 0);
}

#[tokio::test]
async fn the_gateway_is_idle_when_everything_is_settled() {
    let mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let may_settle = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&may_settle);
    let upstream = passthrough(Format::OpenAiChat, &mock.url);
    let mut scene = Scene::with(vec![upstream], Limits::default(), |books| books.may_settle = gate);
    scene.gateway.idle().await;
    drop(scene.call("/v1/chat/completions", streaming()).await);
    scene.settlements.recv().await.unwrap();
    assert!(scene.gateway.idle().now_or_never().is_none());
    may_settle.add_permits(1);
    scene.gateway.idle().await;
}

#[tokio::test]
async fn the_rest_of_an_answer_is_not_waited_for_forever() {
    let Recorded { format, stream, closing, .. } = &recorded()[2];
    let plays = vec![Play::Send(stream.as_bytes()[..*closing].to_vec()), Play::Wait(Arc::new(Semaphore::new(0)))];
    let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
    let limits = Limits { drain: Duration::ZERO, ..Limits::default() };
    let mut scene = Scene::with(vec![passthrough(*format, &mock.url)], limits, |_| {});
    let (_, mut body) = scene.call(&path_of(*format, true), streaming()).await.into_parts();
    body.frame().await.unwrap().unwrap();
    drop(body);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.answer), (Outcome::Cut, None));
    // Anthropic told the input at the start; the output is estimated from "Grüße!", 8 bytes.
    let usage = settled.usage;
    assert_eq!((usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.estimated), (60, 40, 4, true));
    assert!(matches!(settled.cost, Cost::Known { micros: 104, .. }), "{:?}", settled.cost);
}

#[tokio::test]
async fn a_cut_answer_reaches_the_agent_as_cut_and_is_estimated() {
    for Recorded { format, stream, closing, .. } in recorded() {
        let plays = vec![Play::Send(stream[..closing].into()), Play::Break];
        let mock = Mock::start(move |_| Reply::events(plays.clone())).await;
        let mut scene = Scene::of(passthrough(format, &mock.url));
        let answer = scene.ask(&path_of(format, true), streaming()).await;
        assert_eq!((answer.text(), answer.whole), (&stream[..closing], false));
        let settled = scene.settlements.recv().await.unwrap();
        assert_eq!((settled.outcome, settled.answer, settled.usage.estimated), (Outcome::Cut, None, true));
        let (_, worst) = scene.books.reserved().pop().unwrap();
        let Cost::Known { micros, .. } = settled.cost else { panic!("{:?}", settled.cost) };
        assert!(micros > 0 && micros <= worst.unwrap(), "{micros} of {worst:?}");
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_is_not_kept() {
    let stream = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    let mock = Mock::start(move |_| Reply::events(vec![Play::Send(stream.into())])).await;
    let mut scene = Scene::of(passthrough(Format::Anthropic, &mock.url));
    let answer = scene.ask("/v1/messages", streaming()).await;
    assert_eq!((answer.text(), answer.whole), (stream, true));
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.answer), (Outcome::Failed, None));
}

#[tokio::test]
async fn an_answer_too_large_to_keep_still_passes_and_is_metered() {
    let mock = Mock::start(|_| Reply::events(vec![Play::Send(recorded()[0].stream.into())])).await;
    let limits = Limits { stored_bytes: 100, ..Limits::default() };
    let mut scene = Scene::with(vec![passthrough(Format::OpenAiChat, &mock.url)], limits, |_| {});
    assert_eq!(scene.ask("/v1/chat/completions", streaming()).await.text(), recorded()[0].stream);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.answer, settled.usage.output_tokens), (Outcome::Complete, None, 20));
}

#[tokio::test]
async fn a_document_too_large_to_read_is_complete_and_estimated_from_its_size() {
    let document = recorded()[0].document;
    let mock = Mock::start(move |_| Reply::json(document)).await;
    let limits = Limits { stored_bytes: 100, ..Limits::default() };
    let mut scene = Scene::with(vec![passthrough(Format::OpenAiChat, &mock.url)], limits, |_| {});
    assert_eq!(scene.ask("/v1/chat/completions", streaming()).await.text(), document);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.outcome, settled.usage.estimated), (Outcome::Complete, true));
    assert_eq!(settled.usage.output_tokens, (document.len() as u64).div_ceil(2));
}

#[tokio::test]
async fn a_model_without_a_price_costs_unknown() {
    let mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    let answer = read(scene.call("/v1/chat/completions", r#"{"model":"never-heard-of"}"#).await).await;
    assert_eq!(answer.status, 200);
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!((settled.cost, settled.usage.output_tokens), (Cost::Unknown, 20));
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_what_is_left_is_bounded() {
    let mut mock = Mock::start(|_| Reply::json(recorded()[0].document)).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    // 5,000 tokens at $10 for a million, and at most 1,100 of input at $1.25.
    *scene.books.micros_left.lock().unwrap() = Some(51_400);
    let body = r#"{"model":"gpt-5", "max_tokens": 32000 ,"seed":1}"#;
    scene.ask("/v1/chat/completions", body).await;
    let sent = String::from_utf8(mock.next().await.body.to_vec()).unwrap();
    let bound: u64 = serde_json::from_str::<serde_json::Value>(&sent).unwrap()["max_tokens"].as_u64().unwrap();
    assert!((5_000..5_050).contains(&bound), "{bound}");
    assert_eq!(sent, body.replace("32000", &bound.to_string()), "every other byte stays");
    let settled = scene.settlements.recv().await.unwrap();
    assert_eq!(settled.outcome, Outcome::Complete);
}

#[tokio::test]
async fn what_the_provider_says_that_it_cost_comes_before_the_table_and_after_your_own_price() {
    let document = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":100,"completion_tokens":10,"cost":0.00123}}"#;
    let mock = Mock::start(move |_| Reply::json(document)).await;
    let mut scene = Scene::of(passthrough(Format::OpenAiChat, &mock.url));
    for (model, source) in [("gpt-5", PriceSource::Provider), (MODEL, PriceSource::Configured)] {
        scene.ask("/v1/chat/completions", format!(r#"{{"model":"{model}","max_tokens":100}}"#)).await;
        let Cost::Known { micros, source: from } = scene.settlements.recv().await.unwrap().cost else {
            panic!("{model}")
        };
        assert_eq!((from, micros == 1_230), (source, source == PriceSource::Provider), "{model}");
    }
}
