use super::*;

fn metered(format: Format, events: &[&str]) -> Reading {
    let mut meter = Meter::new(format);
    events.iter().for_each(|event| meter.event(event.as_bytes()));
    meter.reading
}

fn usage(format: Format, events: &[&str]) -> Usage {
    metered(format, events).usage(9999, Some(9999))
}

fn document(format: Format, body: &str) -> Reading {
    let mut meter = Meter::new(format);
    meter.document(body.as_bytes());
    meter.reading
}

#[test]
fn openais_input_includes_what_was_cached() {
    let reported = usage(
        Format::OpenAiChat,
        &[
            r#"{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}],"usage":null}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":7,"total_tokens":107,
                "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},
                "completion_tokens_details":{"reasoning_tokens":5}}}"#,
            "[DONE]",
        ],
    );
    let expected = Usage {
        input_tokens: 10,
        cache_read_tokens: 60,
        cache_write_tokens: 30,
        output_tokens: 7,
        reasoning_tokens: 5,
        ..Usage::default()
    };
    assert_eq!(reported, expected);
}

#[test]
fn responses_report_at_the_end_and_tell_long_writes_apart() {
    let reported = usage(
        Format::OpenAiResponses,
        &[
            r#"{"type":"response.created","response":{"status":"in_progress","usage":null}}"#,
            r#"{"type":"response.output_text.delta","delta":"hi"}"#,
            r#"{"type":"response.completed","response":{"status":"completed","output":[],"usage":{"input_tokens":1000,
                "input_tokens_details":{"cached_tokens":200,"cache_write_tokens":300,
                    "cache_write_tokens_details":{"ttl_30m_tokens":100,"ttl_12h_tokens":200}},
                "output_tokens":50,"output_tokens_details":{"reasoning_tokens":10},"total_tokens":1050}}}"#,
        ],
    );
    let expected = Usage {
        input_tokens: 500,
        cache_read_tokens: 200,
        cache_write_tokens: 100,
        cache_write_long_tokens: 200,
        output_tokens: 50,
        reasoning_tokens: 10,
        estimated: false,
    };
    assert_eq!(reported, expected);
    assert_eq!(reported.input_total(), 1000);
}

#[test]
fn anthropics_input_excludes_what_was_cached_and_its_last_word_counts() {
    let reported = usage(
        Format::Anthropic,
        &[
            r#"{"type":"message_start","message":{"type":"message","content":[],"usage":{"input_tokens":10,
                "cache_creation_input_tokens":300,"cache_read_input_tokens":2000,
                "cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},
                "output_tokens":1,"service_tier":"standard"}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},
                "usage":{"input_tokens":12,"cache_creation_input_tokens":300,"output_tokens":42}}"#,
            r#"{"type":"message_stop"}"#,
        ],
    );
    let expected = Usage {
        input_tokens: 12,
        cache_read_tokens: 2000,
        cache_write_tokens: 100,
        cache_write_long_tokens: 200,
        output_tokens: 42,
        ..Usage::default()
    };
    assert_eq!(reported, expected);
}

#[test]
fn an_answer_that_broke_off_is_estimated_upwards() {
    let cut = usage(
        Format::Anthropic,
        &[
            r#"{"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"twelve bytes"}}"#,
        ],
    );
    assert_eq!((cut.input_tokens, cut.output_tokens, cut.estimated), (10, 6, true));

    let delta = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"12345"}}]}}]}"#;
    let cut = usage(Format::OpenAiChat, &[delta]);
    assert_eq!((cut.input_tokens, cut.output_tokens, cut.estimated), (9999, 3, true));
}

#[test]
fn a_whole_answer_that_reports_nothing_is_estimated_too() {
    let silent = document(Format::OpenAiChat, r#"{"choices":[{"message":{"content":"four"},"finish_reason":"stop"}]}"#);
    assert_eq!(silent.end, End::Complete);
    let usage = silent.usage(50, None);
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (50, 2, true));
}

#[test]
fn the_end_is_seen_where_the_model_has_finished() {
    let end = |format, events: &[&str]| metered(format, events).end;
    let chat = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(end(Format::OpenAiChat, &[r#"{"choices":[{"index":0,"delta":{},"finish_reason":""}]}"#]), End::Open);
    assert_eq!(end(Format::OpenAiChat, &[chat]), End::Closing);
    assert_eq!(end(Format::OpenAiChat, &[chat, "[DONE]"]), End::Complete);
    assert_eq!(end(Format::OpenAiChat, &[r#"{"error":{"message":"overloaded"}}"#, "[DONE]"]), End::Failed);
    assert_eq!(end(Format::OpenAiResponses, &[r#"{"type":"response.incomplete","response":{}}"#]), End::Complete);
    assert_eq!(end(Format::OpenAiResponses, &[r#"{"type":"response.failed","response":{"error":{}}}"#]), End::Failed);
    assert_eq!(end(Format::Anthropic, &[r#"{"type":"message_delta","delta":{},"usage":{}}"#]), End::Closing);
    assert_eq!(end(Format::Anthropic, &[r#"{"type":"error","error":{"type":"overloaded_error"}}"#]), End::Failed);
    assert_eq!(end(Format::Anthropic, &["not json", "{}", r#"{"type":"ping"}"#]), End::Open);
}

#[test]
fn whole_documents_are_read_in_every_format() {
    let chat = document(
        Format::OpenAiChat,
        r#"{"choices":[{"message":{"role":"assistant","content":null}}],"usage":{"prompt_tokens":3,"completion_tokens":1},
            "service_tier":"priority"}"#,
    );
    assert_eq!(
        (chat.end, chat.output_tokens, chat.service_tier.as_deref()),
        (End::Complete, Some(1), Some("priority"))
    );
    let responses = document(
        Format::OpenAiResponses,
        r#"{"status":"completed","error":null,"output":[],"usage":{"input_tokens":3,"output_tokens":1}}"#,
    );
    assert_eq!((responses.end, responses.input.map(|input| input.full)), (End::Complete, Some(3)));
    let failed = document(Format::OpenAiResponses, r#"{"status":"failed","error":{"code":"x"},"output":[]}"#);
    assert_eq!(failed.end, End::Failed);
    let anthropic = document(
        Format::Anthropic,
        r#"{"type":"message","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":3,"output_tokens":1}}"#,
    );
    assert_eq!((anthropic.end, anthropic.output_tokens), (End::Complete, Some(1)));
    assert_eq!(document(Format::Anthropic, "<html>").end, End::Open);
}

#[test]
fn text_is_counted_whatever_its_shape() {
    let bytes = |json: &str| serde_json::from_str::<TextBytes>(json).unwrap().0;
    assert_eq!(bytes(r#"{"type":"text_delta","text":"ab","n":[1,null,{"deep":"cde"},true,-1,0.5]}"#), 5);
    assert_eq!(bytes(r#""\u00e4""#), 2);
    assert_eq!(bytes("null"), 0);
}
