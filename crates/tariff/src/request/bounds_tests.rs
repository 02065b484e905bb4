//! Requests that hide what they cost: bounded or refused, and never dearer than an oracle that knows nothing of the rules.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Wanted, read};
use crate::format::Format;
use crate::price::{ModelPrice, Prices};
use crate::route::Named;

const MICROS_INPUT: u64 = 2;
const MICROS_OUTPUT: u64 = 8;

/// $2 and $8 for a million tokens; nothing says how much the model takes or gives.
fn open_price() -> ModelPrice {
    ModelPrice::per_million(MICROS_INPUT as f64, MICROS_OUTPUT as f64, None, None).unwrap()
}

fn wanted(format: Format, body: &Value) -> Result<Wanted, String> {
    let named = (format == Format::Gemini).then_some(Named { model: "m", stream: false });
    read(format, named, Bytes::from(body.to_string()))
}

/// What the agent is told under a cap; nothing when the call goes out.
fn refusal(format: Format, body: &Value) -> Option<String> {
    match wanted(format, body) {
        Err(message) => Some(message),
        Ok(wanted) => wanted.worst(Some(&open_price())).for_money().err().map(|refusal| {
            assert!(refusal.status == 400 && refusal.kind != "budget", "{refusal:?}");
            refusal.message
        }),
    }
}

/// A request that is bounded, with more in it.
fn with(format: Format, more: &Value) -> Value {
    let mut body = match format {
        Format::OpenAiChat => {
            json!({"model": "m", "max_completion_tokens": 16, "messages": [{"role": "user", "content": "hi"}]})
        }
        Format::OpenAiResponses => json!({"model": "m", "max_output_tokens": 16, "input": "hi"}),
        Format::Anthropic => json!({"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}),
        Format::Gemini => {
            json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 16}})
        }
    };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn content(part: &Value) -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, part]}]})
}

fn parts(part: &Value) -> Value {
    json!({"contents": [{"role": "user", "parts": [part]}]})
}

/// Requests that cost more than their bytes, with the word that their refusal has.
fn hostile() -> Vec<(Format, Value, &'static str)> {
    use Format::{Anthropic as A, Gemini as G, OpenAiChat as C, OpenAiResponses as R};
    let url = json!({"url": "https://x.example/p.png"});
    vec![
        (C, content(&json!({"type": "image_url", "image_url": url})), "messages.content"),
        (
            C,
            content(&json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
            "messages.content",
        ),
        (C, content(&json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})), "input_audio"),
        (C, content(&json!({"type": "file", "file": {"file_id": "file-1"}})), "messages.content"),
        (C, content(&json!({"type": "video_url", "video_url": url})), "video_url"),
        (C, json!({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}), "messages.audio"),
        (C, json!({"messages": [{"role": "user", "content": "x", "images": ["AAAA"]}]}), "messages.images"),
        (C, json!({"web_search_options": {}}), "web_search_options"),
        (C, json!({"modalities": ["text", "audio"]}), "modalities"),
        (C, json!({"audio": {"voice": "alloy", "format": "wav"}}), "audio"),
        (C, json!({"prediction": {"type": "content", "content": "x"}}), "prediction"),
        (C, json!({"service_tier": "priority"}), "service_tier"),
        (C, json!({"service_tier": "fast"}), "service_tier"),
        (C, json!({"tools": [{"type": "web_search"}]}), "web_search"),
        (C, json!({"tools": [{"type": "builtin_function", "function": {"name": "$web_search"}}]}), "builtin_function"),
        (C, json!({"plugins": [{"id": "web"}]}), "plugins"),
        (C, json!({"search_parameters": {"mode": "on"}}), "search_parameters"),
        (C, json!({"enable_search": true}), "enable_search"),
        (C, json!({"models": ["dear"], "route": "fallback"}), "models"),
        (C, json!({"provider": {"only": ["dear"]}}), "provider"),
        (C, json!({"best_of": 20}), "best_of"),
        (C, json!({"N": 20}), "N"),
        (C, json!({"api_base": "http://evil.example"}), "api_base"),
        (C, json!({"never_heard_of": 1}), "never_heard_of"),
        (C, json!({"max_completion_tokens": null}), "output_tokens"),
        (C, json!({"max_completion_tokens": 0}), "output_tokens"),
        (C, json!({"n": 2.5}), "JSON"),
        (C, json!({"model": "gpt-4o-search-preview"}), "search-preview"),
        (C, json!({"model": "gpt-4o-audio-preview"}), "audio"),
        (C, json!({"model": "x/y:online"}), ":online"),
        (R, json!({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}), "code_interpreter"),
        (R, json!({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}), "file_search"),
        (R, json!({"tools": [{"type": "image_generation"}]}), "image_generation"),
        (R, json!({"tools": [{"type": "mcp", "server_url": "https://x.example"}]}), "mcp"),
        (R, json!({"tools": [{"type": "computer_use_preview"}]}), "computer_use_preview"),
        (R, json!({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]}]}), "web_search"),
        (R, json!({"tools": [{"type": "function", "type": "mcp"}]}), "mcp"),
        (R, json!({"tools": {"type": "mcp"}}), "tools"),
        (R, json!({"tool_choice": {"type": "web_search"}}), "tool_choice"),
        (R, json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (R, json!({"conversation": "conv_1"}), "conversation"),
        (R, json!({"prompt": {"id": "pmpt_1"}}), "prompt"),
        (R, json!({"background": true}), "background"),
        (R, json!({"context_management": [{"type": "compaction"}]}), "context_management"),
        (R, json!({"input": [{"id": "msg_1"}]}), "input.id"),
        (R, json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input"),
        (
            R,
            json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}),
            "input.content",
        ),
        (
            R,
            json!({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://x.example"}]}]}),
            "input.content",
        ),
        (
            R,
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "https://x.example"}]}]}),
            "input.output",
        ),
        (R, json!({"max_output_tokens": null}), "output_tokens"),
        (
            A,
            content(&json!({"type": "image", "source": {"type": "url", "url": "https://x.example/p.png"}})),
            "messages.content",
        ),
        (
            A,
            content(&json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})),
            "messages.content",
        ),
        (
            A,
            content(&json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
            "messages.content.source",
        ),
        (
            A,
            content(&json!({"type": "document", "source": {"type": "base64", "data": "AAAA"}})),
            "messages.content.source",
        ),
        (A, content(&json!({"type": "container_upload", "file_id": "file_1"})), "container_upload"),
        (
            A,
            content(
                &json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}),
            ),
            "messages.content.content",
        ),
        (A, json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}), "web_search_20250305"),
        (A, json!({"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}), "web_fetch"),
        (A, json!({"tools": [{"type": "code_execution_20250825", "name": "c"}]}), "code_execution"),
        (A, json!({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}), "mcp_toolset"),
        (A, json!({"mcp_servers": [{"type": "url", "url": "https://x.example"}]}), "mcp_servers"),
        (A, json!({"container": {"skills": []}}), "container"),
        (A, json!({"service_tier": "priority"}), "service_tier"),
        (A, json!({"speed": "fast"}), "speed"),
        (A, json!({"inference_geo": "us"}), "inference_geo"),
        (A, json!({"context_management": {"edits": [{"type": "compact_20260112"}]}}), "compact"),
        (A, json!({"n": 5}), "`n`"),
        (
            G,
            parts(&json!({"fileData": {"fileUri": "https://x.example", "mimeType": "image/png"}})),
            "contents.parts.fileData",
        ),
        (G, parts(&json!({"file_data": {"file_uri": "https://x.example"}})), "fileData"),
        (G, parts(&json!({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}})), "audio/wav"),
        (G, parts(&json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}})), "inlineData"),
        (
            G,
            parts(&json!({"functionResponse": {"name": "f", "parts": [{"fileData": {"mimeType": "image/png"}}]}})),
            "parts.fileData",
        ),
        (G, json!({"tools": [{"googleSearch": {}}]}), "googleSearch"),
        (G, json!({"tools": [{"google_search": {}}]}), "googleSearch"),
        (G, json!({"tools": [{"codeExecution": {}}]}), "codeExecution"),
        (G, json!({"tools": [{"urlContext": {}}]}), "urlContext"),
        (G, json!({"tools": [{"fileSearch": {"fileSearchStoreNames": ["x"]}}]}), "fileSearch"),
        (G, json!({"cachedContent": "cachedContents/1"}), "cachedContent"),
        (
            G,
            json!({"generationConfig": {"maxOutputTokens": 16, "responseModalities": ["TEXT", "IMAGE"]}}),
            "responseModalities",
        ),
        (G, json!({"generationConfig": {"maxOutputTokens": 16, "speechConfig": {"x": 1}}}), "speechConfig"),
        (
            G,
            json!({"generationConfig": {"maxOutputTokens": 16, "thinkingConfig": {"thinkingBudget": -1}}}),
            "output_tokens",
        ),
        (G, json!({"generationConfig": {}}), "output_tokens"),
    ]
}

#[test]
fn what_costs_more_than_its_bytes_is_refused_under_a_cap_and_named() {
    for (format, more, named) in hostile() {
        let told = refusal(format, &with(format, &more));
        assert!(told.as_ref().is_some_and(|told| told.contains(named)), "{format:?} {more}: {told:?}");
    }
}

#[test]
fn a_model_whose_window_is_known_takes_pictures_at_the_price_of_the_window() {
    let price = open_price().with_limits(Some(300_000), None);
    let body =
        with(Format::OpenAiChat, &content(&json!({"type": "image_url", "image_url": {"url": "https://x.example"}})));
    let worst = wanted(Format::OpenAiChat, &body).unwrap().worst(Some(&price)).for_money().unwrap();
    assert_eq!(worst.micros(), Some(300_000 * MICROS_INPUT + 16 * MICROS_OUTPUT));
}

#[test]
fn a_field_that_stands_twice_is_refused_always() {
    for (format, body) in [
        (Format::OpenAiChat, r#"{"model":"m","tools":[],"tools":[{"type":"web_search"}]}"#),
        (Format::OpenAiChat, r#"{"model":"m","messages":[{"role":"user","content":"a","content":[]}]}"#),
        (Format::OpenAiChat, r#"{"model":"m","to\u006fls":[],"tools":[]}"#),
        (Format::Anthropic, r#"{"model":"m","max_tokens":1,"max_tokens":100000}"#),
        (Format::OpenAiResponses, r#"{"model":"m","input":[{"type":"message","type":"item_reference"}]}"#),
        (Format::Gemini, r#"{"generationConfig":{"maxOutputTokens":1},"generation_config":{"maxOutputTokens":9}}"#),
        (Format::Gemini, r#"{"generationConfig":{"candidateCount":1,"candidate_count":9}}"#),
        (Format::Gemini, r#"{"contents":[],"contents":[{"parts":[]}]}"#),
    ] {
        let named = (format == Format::Gemini).then_some(Named { model: "m", stream: false });
        let told = read(format, named, Bytes::from_static(body.as_bytes())).unwrap_err();
        assert!(told.contains("twice") || told.contains("duplicate"), "{body}: {told}");
    }
}

/// What Codex 0.169, Claude Code 2.1.329, opencode, the Gemini CLI and our own agent send.
#[test]
fn what_agents_send_goes_out_under_a_cap() {
    let tool = json!({"type": "function", "name": "exec_command", "description": "x", "parameters": {"type": "object"}, "strict": false});
    let codex = json!({"model": "m", "stream": true, "max_output_tokens": 100, "instructions": "Be good.",
        "input": [{"type": "message", "role": "developer", "id": "i", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "AAAA"},
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]}],
        "tools": [tool, {"type": "namespace", "name": "n", "description": "d", "tools": [tool]},
            {"type": "web_search", "external_web_access": false}],
        "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": {"a": "b"}});
    let cached = json!({"type": "ephemeral", "ttl": "1h"});
    let claude = json!({"model": "m", "max_tokens": 128, "stream": true, "metadata": {"user_id": "u"},
        "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "medium"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "system": [{"type": "text", "text": "x", "cache_control": cached}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": cached}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "h", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}]},
            {"role": "user", "output_config": {"effort": "low"}, "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok", "is_error": false}]}],
        "tools": [{"name": "Bash", "description": "d", "input_schema": {"type": "object"}}]});
    let opencode = json!({"model": "m", "max_tokens": 32, "stream": true, "stream_options": {"include_usage": true}, "tool_choice": "auto",
        "messages": [{"role": "system", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "x", "thoughtSignature": "s"}, {"functionCall": {"name": "f", "args": {}}},
            {"functionResponse": {"name": "f", "response": {"output": "x"}}}]}],
        "systemInstruction": {"role": "user", "parts": [{"text": "x"}]}, "tools": [{"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
        "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64, "maxOutputTokens": 100,
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 8192}}});
    for (format, body) in [
        (Format::OpenAiResponses, codex),
        (Format::Anthropic, claude),
        (Format::OpenAiChat, opencode),
        (Format::Gemini, gemini),
    ] {
        assert_eq!(refusal(format, &body), None, "{body}");
    }
}

#[test]
fn a_cache_for_the_longer_time_is_seen_however_it_is_written() {
    let price = ModelPrice::per_million(1.0, 1.0, None, None).unwrap();
    let long = |ttl: &str| {
        let body = format!(
            r#"{{"model":"m","max_tokens":1,"system":[{{"type":"text","text":"x","cache_control":{{"type":"ephemeral","ttl":{ttl}}}}}]}}"#
        );
        read(Format::Anthropic, None, Bytes::from(body)).unwrap().found.long_cache
    };
    assert!(long(r#""1h""#) && long(r#""\u0031h""#) && long(r#""60m""#) && !long(r#""5m""#) && !long("null"));
    assert!(price.has_tier(None));
}

#[test]
fn thinking_that_is_apart_from_the_answer_is_added() {
    let most = |format, more: Value| wanted(format, &with(format, &more)).unwrap().output_max(None);
    let budget = |tokens: u64| json!({"max_tokens": 100, "thinking": {"type": "enabled", "budget_tokens": tokens}});
    assert_eq!(most(Format::Anthropic, budget(50)), Some(100));
    assert_eq!(most(Format::Anthropic, budget(5_000)), Some(5_100));
    let gemini = json!({"generationConfig": {"max_output_tokens": 100, "thinking_config": {"thinking_budget": 30}, "candidate_count": 3}});
    assert_eq!(most(Format::Gemini, gemini), Some(390));
    assert_eq!(most(Format::OpenAiChat, json!({"max_tokens": 9_000, "n": 2})), Some(18_000));
}

#[test]
fn a_tier_is_priced_or_refused() {
    let (price, _) = Prices::embedded().of("gpt-5").map(|(price, source)| (price.clone(), source)).unwrap();
    let micros = |tier: &str| {
        let body = json!({"model": "gpt-5", "max_completion_tokens": 1000, "service_tier": tier});
        wanted(Format::OpenAiChat, &body).unwrap().worst(Some(&price)).for_money().map(|worst| worst.micros().unwrap())
    };
    // An answer at the cheaper price may come at the ordinary one after all.
    assert_eq!(micros("flex").unwrap(), micros("auto").unwrap());
    assert!(micros("priority").unwrap() > micros("standard").unwrap());
    assert!(micros("turbo").unwrap_err().message.contains("service_tier"));
}

/// What a provider that reads everything could bill, in micro-dollars; nothing when there is no telling. Knows no rule of ours: what is not one of the plain
/// fields is dear.
fn oracle(format: Format, body: &Value) -> Option<u64> {
    let text = body.to_string();
    let dear = [
        "http",
        "file",
        "image",
        "audio",
        "web_search",
        "code_interpreter",
        "mcp",
        "googleSearch",
        "previous_response_id",
        "cachedContent",
        "prediction",
        "priority",
        "mystery",
        "container",
    ];
    if dear.iter().any(|word| text.contains(word)) {
        return None;
    }
    let number = |name: &str| body.pointer(name).and_then(Value::as_u64);
    let (most, answers) = match format {
        Format::OpenAiChat => {
            (number("/max_tokens").max(number("/max_completion_tokens")), number("/n").unwrap_or(1).max(1))
        }
        Format::OpenAiResponses => (number("/max_output_tokens"), 1),
        Format::Anthropic => (number("/max_tokens"), 1),
        Format::Gemini => (
            number("/generationConfig/maxOutputTokens"),
            number("/generationConfig/candidateCount").unwrap_or(1).max(1),
        ),
    };
    let output = most.filter(|most| *most > 0)? * answers;
    // Two letters of a word are a token at the least, every other byte is one.
    let input: u64 =
        text.bytes().map(|byte| if byte.is_ascii_lowercase() || byte == b' ' { 1 } else { 2 }).sum::<u64>().div_ceil(2);
    Some(input * MICROS_INPUT + output * MICROS_OUTPUT)
}

fn a_format() -> impl Strategy<Value = Format> {
    prop::sample::select(Format::ALL.to_vec())
}

/// Any JSON, of names and texts that mean something to providers.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "text",
        "image_url",
        "file",
        "type",
        "url",
        "https://x.example",
        "tools",
        "web_search",
        "mystery",
        "content",
        "role",
        "input_audio",
        "data",
        "source",
        "function",
        "mcp",
        "parts",
        "fileData",
        "cache_control",
        "ttl",
        "1h",
        "priority",
        "id",
        "prediction",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..100_000).prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "[ -~äñ漢]{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A request of plain and of hostile fields, some of them with anything in them.
fn a_request() -> impl Strategy<Value = (Format, Value)> {
    let name = prop::sample::select(vec![
        "messages",
        "input",
        "system",
        "contents",
        "tools",
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "generationConfig",
        "n",
        "stream",
        "temperature",
        "metadata",
        "service_tier",
        "previous_response_id",
        "prediction",
        "web_search_options",
        "mystery",
        "store",
        "container",
        "audio",
        "cachedContent",
        "instructions",
        "user",
        "tool_choice",
    ]);
    let hostile = prop::sample::select(hostile()).prop_map(|(_, more, _)| more);
    let odd = prop::collection::btree_map(name.prop_map(str::to_owned), any_json(), 0..3)
        .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>()));
    (a_format(), prop::option::weighted(0.4, hostile), odd, 0_u64..5).prop_map(|(format, hostile, odd, n)| {
        let mut body = with(format, &odd);
        let fields = body.as_object_mut().unwrap();
        fields.extend(hostile.and_then(|more| more.as_object().cloned()).unwrap_or_default());
        if format == Format::OpenAiChat {
            fields.entry("n").or_insert(n.into());
        }
        (format, body)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_request_is_bounded_or_refused((format, body) in a_request()) {
        let Ok(wanted) = wanted(format, &body) else { return Ok(()) };
        let Ok(worst) = wanted.worst(Some(&open_price())).for_money() else { return Ok(()) };
        let sent: Value = serde_json::from_slice(&wanted.without_hosted()).unwrap();
        if let Some(dearest) = oracle(format, &sent) {
            prop_assert!(worst.micros().unwrap() >= dearest, "{} < {dearest}: {body}", worst.micros().unwrap());
        }
    }
}
