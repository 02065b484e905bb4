//! Answers with secrets in every shape of event, in pieces of every size.

use super::*;
use serde_json::{Value, json};

const SECRET: &str = "sk-live \"7\\é-0123456789";

fn masker() -> Arc<Masker> {
    Arc::new(Masker::new([("KEY".to_owned(), SECRET.into()), ("OTHER".to_owned(), "sk-live-other".into())]))
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// How a format carries a piece of text in an event: at `block`.
const SHAPES: [fn(usize, &str) -> Value; 5] = [
    |block, text| json!({"id": "c", "choices": [{"index": block, "delta": {"content": text}, "finish_reason": null}]}),
    |block, text| {
        let call = json!([{"index": block, "function": {"arguments": text}}]);
        json!({"choices": [{"index": 0, "delta": {"tool_calls": call}, "finish_reason": null}]})
    },
    |block, text| json!({"type": "response.output_text.delta", "output_index": block, "content_index": 0, "delta": text}),
    |block, text| json!({"type": "content_block_delta", "index": block, "delta": {"type": "text_delta", "text": text}}),
    |block, text| json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": block}]}),
];

/// The text that a client joins of one block.
fn text_of(shape: usize, stream: &str, block: usize) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events =
        events.map(|data| serde_json::from_str::<Value>(data).unwrap_or_else(|error| panic!("{error}: {data}")));
    let text = |event: Value| {
        let (index, text) = match shape {
            0 => (&event["choices"][0]["index"], &event["choices"][0]["delta"]["content"]),
            1 => {
                let call = &event["choices"][0]["delta"]["tool_calls"][0];
                (&call["index"], &call["function"]["arguments"])
            }
            2 => (&event["output_index"], &event["delta"]),
            3 => (&event["index"], &event["delta"]["text"]),
            _ => (&event["candidates"][0]["index"], &event["candidates"][0]["content"]["parts"][0]["text"]),
        };
        (*index == block).then(|| text.as_str().unwrap_or_default().to_owned())
    };
    events.filter_map(text).collect()
}

fn guarded(stream: &[u8], events: bool, sizes: &[usize]) -> String {
    let (mut guard, mut out, mut rest) = (Guard::new(&masker(), events), Vec::new(), stream);
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        guard.feed(Bytes::copy_from_slice(now), &mut out);
        rest = later;
    }
    guard.finish(&mut out);
    String::from_utf8(out.concat()).unwrap()
}

fn characters(text: &str) -> Vec<String> {
    text.chars().map(String::from).collect()
}

#[test]
fn a_secret_in_single_characters_is_covered_in_every_shape() {
    for (number, shape) in SHAPES.iter().enumerate() {
        let text = format!("It is {SECRET}, sk-live you know.");
        let stream: String = characters(&text).iter().map(|piece| event(&shape(0, piece))).collect();
        for size in [1, 7, 100_000] {
            let passed = guarded(stream.as_bytes(), true, &[size]);
            assert_eq!(text_of(number, &passed, 0), "It is [masked:KEY], sk-live you know.", "{number}");
            assert_eq!(passed.matches("\n\n").count(), stream.matches("\n\n").count(), "no event is lost");
        }
    }
}

#[test]
fn blocks_that_take_turns_do_not_hide_a_secret() {
    for (number, shape) in SHAPES.iter().enumerate() {
        let other = "x".repeat(SECRET.chars().count());
        let pieces = characters(SECRET).into_iter().zip(characters(&other));
        let stream: String =
            pieces.map(|(secret, other)| event(&shape(0, &secret)) + &event(&shape(1, &other))).collect();
        let passed = guarded(stream.as_bytes(), true, &[50]);
        assert_eq!(text_of(number, &passed, 0), "[masked:KEY]");
        assert_eq!(text_of(number, &passed, 1), other);
    }
}

#[test]
fn what_is_no_secret_passes_as_the_bytes_that_it_is() {
    let plain = concat!(
        ": sk-live\n\nevent: x\r\ndata: {\"delta\" : \"sk-\"}\r\n\r\ndata:{\"delta\":\"live \"}\n\n",
        "data: {\"delta\":\"\\u0073k\\/live\",\"n\":1.50}\n\ndata: a\ndata: b\n\nid: 4\ndata: {\"delta\":\"s\"}\n\ndata: [DONE]\n\ndata: cut sk-"
    );
    for events in [true, false] {
        for first in 1..plain.len() {
            assert_eq!(guarded(plain.as_bytes(), events, &[first, plain.len()]), plain);
        }
        assert_eq!(guarded(plain.as_bytes(), events, &[1]), plain);
    }
}

#[test]
fn an_event_without_a_beginning_of_a_secret_passes_at_once_and_unjoined() {
    let mut guard = Guard::new(&masker(), true);
    let chunk = Bytes::from(event(&SHAPES[3](0, "Hello")) + &event(&SHAPES[3](0, " you")));
    let mut out = Vec::new();
    guard.feed(chunk.clone(), &mut out);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), chunk.as_ptr(), "the same bytes, not a copy");
}

#[test]
fn what_is_held_is_let_go_at_the_end_of_its_block_or_when_nothing_comes_of_it() {
    let stop = event(&json!({"type": "content_block_stop", "index": 0}));
    let others: String = (0..=IDLE_EVENTS_MAX).map(|_| event(&SHAPES[3](1, "!"))).collect();
    for after in [stop, others] {
        let (mut guard, mut out) = (Guard::new(&masker(), true), Vec::new());
        let begun = event(&SHAPES[3](0, "sk-li"));
        guard.feed(Bytes::from(begun.clone()), &mut out);
        assert!(out.is_empty());
        guard.feed(Bytes::from(after.clone()), &mut out);
        assert_eq!(String::from_utf8(out.concat()).unwrap(), begun + &after);
    }
}

#[test]
fn a_secret_elsewhere_in_an_event_or_spelt_with_escapes_is_covered() {
    let spelt: String = SECRET.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    for stream in [
        event(&json!({"error": {"message": format!("bad key {SECRET}")}})),
        format!(": {SECRET}\ndata: {{}}\n\n"),
        format!("data: {{\"delta\":\"{spelt}\"}}\n\n"),
        format!("data: {{\"delta\":\ndata: \"{spelt}\"}}\n\n"),
    ] {
        let passed = guarded(stream.as_bytes(), true, &[3]);
        assert!(
            passed.contains("[masked:KEY]") && !passed.contains(&spelt) && !passed.contains("0123456789"),
            "{passed}"
        );
    }
}

#[test]
fn the_head_of_an_answer_is_covered_too() {
    let mut headers = HeaderMap::new();
    headers.insert("x-debug", "key=sk-live-other;".parse().unwrap());
    headers.insert("content-length", "7".parse().unwrap());
    headers.insert("x-id", "sk-live".parse().unwrap());
    Guard::new(&masker(), false).head(&mut headers);
    assert_eq!(headers["x-debug"], "key=[masked:OTHER];");
    assert_eq!(headers["x-id"], "sk-live");
    assert!(!headers.contains_key("content-length"));
}

proptest::proptest! {
    /// However a text is cut into events and the stream into chunks, a client reads what masking the whole text gives.
    #[test]
    fn a_stream_reads_as_the_whole_text_masked(
        parts in proptest::collection::vec(proptest::sample::select(vec![SECRET, "sk-live", "sk-live-other", "s", " \"7\\", "é", "\n"]), 0..10),
        cuts in proptest::collection::vec(1_usize..9, 1..30),
        sizes in proptest::collection::vec(1_usize..300, 1..30),
        shape in 0_usize..5,
    ) {
        let text = parts.concat();
        let (mut stream, mut letters, mut cuts) = (String::new(), text.chars().peekable(), cuts.iter().cycle());
        while letters.peek().is_some() {
            let piece: String = letters.by_ref().take(*cuts.next().unwrap()).collect();
            stream += &event(&SHAPES[shape](0, &piece));
        }
        let passed = guarded(stream.as_bytes(), true, &sizes);
        proptest::prop_assert_eq!(text_of(shape, &passed, 0), masker().text(&text).into_owned());
        proptest::prop_assert_eq!(guarded(text.as_bytes(), false, &sizes), masker().text(&text).into_owned());
    }
}
