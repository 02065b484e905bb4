//! The cap, against agents whose calls hide what they cost: a provider that charges for all that it was really asked, and counts it itself.

use crate::support::{Bench, evidence};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

const CAP_MICROS: u64 = 150_000;
/// Dollars for a million tokens, in and out.
const PRICE: [u64; 2] = [10, 50];
/// What a picture, a page of the web or a tool of the provider's is charged: far above the cap.
const DEAR_TOKENS: u64 = 300_000;

/// What the provider has seen.
#[derive(Default)]
struct Seen {
    calls: u64,
    micros: u64,
    dear: Vec<String>,
    places: Vec<String>,
}

fn provider() -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || while answer(&stream, &kept).is_some() {});
        }
    });
    (address, seen)
}

fn answer(mut stream: &TcpStream, seen: &Mutex<Seen>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    let (input, output) = charged(&body);
    {
        let mut seen = seen.lock().unwrap();
        seen.calls += 1;
        seen.micros += input * PRICE[0] + output * PRICE[1];
        if input >= DEAR_TOKENS {
            seen.dear.push(body.clone());
        }
        seen.places.push(path.split('?').next()?.to_owned());
    }
    let told = told(&path, input, output).to_string();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", told.len());
    stream.write_all((head + &told).as_bytes()).ok()
}

/// Tokens that a request is charged, in and out.
fn charged(body: &str) -> (u64, u64) {
    const DEAR: &[&str] = &[
        "https://",
        "file_id",
        "fileUri",
        "web_search",
        "code_interpreter",
        "code_execution",
        "image",
        "audio",
        "mcp",
        "googleSearch",
        "google_search",
        "previous_response_id",
        "conversation",
        "prompt\"",
        "cachedContent",
        "plugins",
        "prediction",
        "priority",
        "background",
        "enable_search",
    ];
    let read: Value = serde_json::from_str(body).unwrap_or_default();
    let number = |path: &str| read.pointer(path).and_then(Value::as_u64);
    let most = ["/max_tokens", "/max_completion_tokens", "/max_output_tokens", "/generationConfig/maxOutputTokens"];
    let output = most.iter().filter_map(|path| number(path)).max().unwrap_or(100_000);
    let answers =
        number("/n").or_else(|| number("/best_of")).or_else(|| number("/generationConfig/candidateCount")).unwrap_or(1);
    let input = if DEAR.iter().any(|word| body.contains(word)) { DEAR_TOKENS } else { body.len() as u64 / 3 };
    (input, output * answers)
}

fn told(path: &str, input: u64, output: u64) -> Value {
    let usage = json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output});
    if path.contains(":generateContent") {
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "ok"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output}})
    } else if path.contains("/messages") {
        json!({"id": "m", "type": "message", "role": "assistant", "model": "test-model", "content": [{"type": "text", "text": "ok"}],
            "stop_reason": "end_turn", "usage": usage})
    } else if path.contains("/responses") {
        json!({"id": "r", "object": "response", "status": "completed", "model": "test-model", "output": [], "usage": usage})
    } else {
        json!({"id": "c", "object": "chat.completion", "model": "test-model",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}})
    }
}

/// Posts each request of a file to the gateway, then plain ones for as long as it is answered.
const AGENT: &str = r#"
import http.client, json, os, sys, random
key = next(v for k, v in os.environ.items() if v.startswith('muster-') and 'KEY' in k)
def post(path, body):
    data = body if isinstance(body, str) else json.dumps(body)
    try:
        c = http.client.HTTPConnection('127.0.0.1', 3128, timeout=60)
        c.putrequest('POST', path, skip_accept_encoding=True)
        for n, v in (('authorization', 'Bearer ' + key), ('content-type', 'application/json'), ('content-length', str(len(data.encode())))): c.putheader(n, v)
        c.endheaders(data.encode())
        return c.getresponse().status
    except Exception as e:
        return repr(e)
kind = open('/dev/stdin').read()
wanted = next(k for k in ('chat', 'responses', 'anthropic', 'gemini') if ('attack ' + k) in kind)
plain, hostile = json.load(open('attacks.json'))[wanted]
random.seed(os.getpid())
random.shuffle(hostile)
counts = {}
for path, body in hostile + [plain] * 40:
    s = post(path, body)
    counts[s] = counts.get(s, 0) + 1
print(wanted, counts)
"#;

/// For each format a plain request, and those that hide something.
fn attacks() -> Value {
    let chat = |more: Value| {
        merged(json!({"model": "test-model", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}), more)
    };
    let responses = |more: Value| merged(json!({"model": "test-model", "max_output_tokens": 16, "input": "hi"}), more);
    let anthropic = |more: Value| {
        merged(json!({"model": "test-model", "max_tokens": 16, "messages": [{"role": "user", "content": "hi"}]}), more)
    };
    let gemini = |more: Value| {
        merged(json!({"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 16}}), more)
    };
    let said = |part: Value| json!({"messages": [{"role": "user", "content": [part]}]});
    let chats: Vec<Value> = [
        said(json!({"type": "image_url", "image_url": {"url": "https://x.example/p.png"}})),
        said(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}})),
        said(json!({"type": "file", "file": {"file_id": "file-1"}})),
        said(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})),
        json!({"web_search_options": {}}),
        json!({"tools": [{"type": "web_search"}]}),
        json!({"plugins": [{"id": "web"}]}),
        json!({"enable_search": true}),
        json!({"modalities": ["text", "audio"]}),
        json!({"prediction": {"type": "content", "content": "x"}}),
        json!({"service_tier": "priority"}),
        json!({"best_of": 1000}),
        json!({"n": 1000}),
        json!({"max_tokens": null}),
        json!({"max_tokens": 0}),
        json!({"max_tokens": 16, "max_completion_tokens": 200}),
    ]
    .map(|more| json!(["/v1/chat/completions", chat(more)]))
    .into();
    let twice = r#"{"model":"test-model","max_tokens":1,"messages":[],"m\u0065ssages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.example"}}]}]}"#;
    let chats = chats.into_iter().chain([
        json!(["/v1/chat/completions", twice]),
        json!(["/v1/embeddings", {"model": "test-model", "input": "https://"}]),
    ]);
    let of_responses = [
        json!({"tools": [{"type": "web_search", "external_web_access": false}]}),
        json!({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
        json!({"tools": [{"type": "image_generation"}]}),
        json!({"tools": [{"type": "mcp", "server_url": "https://x.example"}]}),
        json!({"previous_response_id": "resp_1"}),
        json!({"conversation": "conv_1"}),
        json!({"prompt": {"id": "pmpt_1"}}),
        json!({"background": true}),
        json!({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]}),
        json!({"max_output_tokens": null}),
    ]
    .map(|more| json!(["/v1/responses", responses(more)]));
    let of_anthropic = [
        said(json!({"type": "image", "source": {"type": "url", "url": "https://x.example"}})),
        said(json!({"type": "document", "source": {"type": "file", "file_id": "file_1"}})),
        json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        json!({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
        json!({"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}]}),
        json!({"service_tier": "priority"}),
    ]
    .map(|more| json!(["/v1/messages", anthropic(more)]));
    let of_anthropic = of_anthropic.into_iter().chain([json!(["/v1/messages/batches", {"requests": []}])]);
    let place = "/v1beta/models/test-model:generateContent";
    let of_gemini = [
        json!({"contents": [{"parts": [{"fileData": {"fileUri": "https://x.example", "mimeType": "video/mp4"}}]}]}),
        json!({"tools": [{"google_search": {}}]}),
        json!({"cachedContent": "cachedContents/1"}),
        json!({"generationConfig": {"maxOutputTokens": 16, "candidateCount": 1000}}),
        json!({"generationConfig": {}}),
    ]
    .map(|more| json!([place, gemini(more)]));
    let outside = [
        "/v1beta/models/x/%2e%2e/%2e%2e/admin/keys:countTokens",
        "/v1beta/models/../../admin:generateContent",
        "/v1beta/models/test-model:batchGenerateContent",
    ];
    let of_gemini = of_gemini.into_iter().chain(outside.map(|path| json!([path, gemini(json!({}))])));
    json!({
        "chat": [["/v1/chat/completions", chat(json!({}))], chats.collect::<Vec<_>>()],
        "responses": [["/v1/responses", responses(json!({}))], of_responses],
        "anthropic": [["/v1/messages", anthropic(json!({}))], of_anthropic.collect::<Vec<_>>()],
        "gemini": [[place, gemini(json!({}))], of_gemini.collect::<Vec<_>>()],
    })
}

fn merged(mut body: Value, more: Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn hidden_costs_do_not_pass_the_cap() {
    for run in 1..=evidence::number("MUSTER_CAP_RUNS_HIDDEN", 1) {
        one_run(run);
    }
}

fn one_run(run: u64) {
    let (address, seen) = provider();
    let kinds = [
        ("chat", "openai-chat", "/v1"),
        ("responses", "openai-responses", "/v1"),
        ("anthropic", "anthropic", ""),
        ("gemini", "gemini", "/v1beta"),
    ];
    let upstreams: String = kinds
        .iter()
        .map(|(name, format, path)| format!("  {name}: {{format: {format}, base_url: \"http://{address}{path}\"}}\n"))
        .collect();
    let roles: String = kinds
        .iter()
        .map(|(name, ..)| format!("  {name}: {{runtime: exec, command: [python3, /workspace/agent.py], model: test-model, upstream: {name}}}\n"))
        .collect();
    let config = format!(
        "upstreams:\n{upstreams}roles:\n{roles}budget: {{usd: 0.15}}\nprices: {{test-model: {{input: {}, output: {}}}}}\n",
        PRICE[0], PRICE[1]
    );
    let tasks: String = kinds
        .iter()
        .map(|(name, ..)| {
            format!("  - {{id: {name}, role: {name}, instructions: attack {name}, checks: [{{run: 'true'}}]}}\n")
        })
        .collect();
    let files = [("agent.py", AGENT), ("attacks.json", &attacks().to_string())];
    let bench = Bench::new(&format!("goal: Spend.\ntasks:\n{tasks}"), &config, "", &files);
    let ended = bench.run(&[]);
    let view = ended.json();
    let booked = view["money"]["spent_micros"].as_u64().unwrap();
    let seen = seen.lock().unwrap();
    println!("run {run}: {} calls, paid {} of booked {booked}, cap {CAP_MICROS}", seen.calls, seen.micros);
    assert!(seen.dear.is_empty(), "run {run}: sent on: {:?}", seen.dear);
    assert!(seen.calls >= 1, "run {run}: nobody called: {view}");
    assert!(seen.micros <= booked && booked <= CAP_MICROS, "run {run}: paid {}, booked {booked}", seen.micros);
    let served = ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1beta/models/test-model:generateContent"];
    assert!(seen.places.iter().all(|place| served.contains(&place.as_str())), "run {run}: {:?}", seen.places);
}
