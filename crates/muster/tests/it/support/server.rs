//! A model provider of the test's own: plain HTTP on loopback, answers from a function, everything that came in kept.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// What came in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// A step of the scripted conversation.
#[derive(Clone)]
pub enum Step {
    Call(&'static str, Value),
    Text(&'static str),
    /// Says the key that the request came with, then calls with it in the place of `@KEY@`: a letter for each event.
    Echo(&'static str, Value),
}

/// What a call used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All input, what was cached included.
    pub input: u64,
    pub cached: u64,
    pub output: u64,
}

/// Listens until the test ends.
pub struct Provider {
    pub address: SocketAddr,
    books: Arc<Books>,
}

/// What the provider was asked and has earned, whoever pays it.
#[derive(Default)]
struct Books {
    asked: Mutex<Vec<Asked>>,
    used: Mutex<Tokens>,
    more: Condvar,
}

/// How one provider answers.
#[derive(Clone)]
struct Manner<S, B, P> {
    step: S,
    bill: B,
    pause: P,
}

impl Provider {
    /// A provider whose answer to the n-th turn of a conversation is the n-th step.
    pub fn start(steps: Vec<Step>) -> Self {
        Self::billing(steps, |_| Tokens { input: 100, cached: 0, output: 10 })
    }

    /// A provider that has the same answer for every turn, and so no end.
    pub fn looping(step: Step, bill: impl Fn(usize) -> Tokens + Clone + Send + 'static) -> Self {
        Self::answering(move |_| step.clone(), move |turn, _| bill(turn), |_| Duration::ZERO)
    }

    /// The same with other numbers of tokens.
    pub fn billing(steps: Vec<Step>, bill: impl Fn(usize) -> Tokens + Clone + Send + 'static) -> Self {
        let step = move |turn| steps.get(turn).cloned().unwrap_or(Step::Text("Nothing further."));
        Self::answering(step, move |turn, _| bill(turn), |_| Duration::ZERO)
    }

    /// A provider that bills a token for four bytes of a request and twenty for its answer, as providers do about, and takes its time for each call.
    pub fn metered(
        step: impl Fn(usize) -> Step + Clone + Send + 'static,
        pause: impl Fn(usize) -> Duration + Clone + Send + 'static,
    ) -> Self {
        let bill = |_, asked: &Asked| Tokens { input: asked.body.to_string().len() as u64 / 4, cached: 0, output: 20 };
        Self::answering(step, bill, pause)
    }

    fn answering(
        step: impl Fn(usize) -> Step + Clone + Send + 'static,
        bill: impl Fn(usize, &Asked) -> Tokens + Clone + Send + 'static,
        pause: impl Fn(usize) -> Duration + Clone + Send + 'static,
    ) -> Self {
        let manner = Manner { step, bill, pause };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::<Books>::default();
        let kept = Arc::clone(&books);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (manner, kept) = (manner.clone(), Arc::clone(&kept));
                std::thread::spawn(move || while serve(&stream, &manner, &kept).is_some() {});
            }
        });
        Self { address, books }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.books.asked.lock().unwrap().clone()
    }

    /// How many calls came in.
    pub fn count(&self) -> usize {
        self.books.asked.lock().unwrap().len()
    }

    /// What it bills for every call that came in, whether anybody took the answer or not.
    pub fn used(&self) -> Tokens {
        *self.books.used.lock().unwrap()
    }

    /// Waits until so many calls came in, but not longer than `most`: agents may have come to their end.
    pub fn wait_for(&self, calls: usize, most: Duration) {
        let asked = self.books.asked.lock().unwrap();
        drop(self.books.more.wait_timeout_while(asked, most, |asked| asked.len() < calls).unwrap());
    }
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One request and its answer; nothing when the client has gone.
fn serve(
    stream: &TcpStream,
    manner: &Manner<impl Fn(usize) -> Step, impl Fn(usize, &Asked) -> Tokens, impl Fn(usize) -> Duration>,
    kept: &Books,
) -> Option<()> {
    let asked = read(stream)?;
    let messages = asked.body["messages"].as_array().cloned().unwrap_or_default();
    let said = messages.iter().filter(|message| message["role"] == "assistant").count();
    let items = asked.body["input"].as_array().cloned().unwrap_or_default();
    let turn = said + items.iter().filter(|item| item["type"] == "function_call").count();
    let step = &(manner.step)(turn);
    let bill = |turn| (manner.bill)(turn, &asked);
    let number = kept.enter(&asked, bill(turn));
    // How long the model thinks; nothing waits for it but the answer.
    std::thread::park_timeout((manner.pause)(number));
    let key = asked.header("x-api-key").or(asked.header("authorization")).unwrap_or_default();
    let key = key.trim_start_matches("Bearer ");
    let (kind, body) = match (asked.path.as_str(), asked.body["stream"] == true) {
        ("/v1/models", _) => ("application/json", json!({"object": "list", "data": []}).to_string()),
        ("/v1/messages", true) => ("text/event-stream", anthropic(step, turn, key, bill(turn))),
        ("/v1/responses", true) => ("text/event-stream", responses(step, turn, bill(turn))),
        // Claude Code asks for one token of an answer to "Hi", to see whether the model is there.
        ("/v1/messages", false) => ("application/json", whole_message(turn, bill(turn)).to_string()),
        (_, true) => ("text/event-stream", openai(step, turn, key, bill(turn))),
        (path, false) => panic!("a request to {path} that is not to be streamed: {:?}", asked.body),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: keep-alive\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()
}

impl Books {
    /// The number of a call that came in, which is paid for from here on.
    fn enter(&self, asked: &Asked, used: Tokens) -> usize {
        if asked.path != "/v1/models" {
            let mut sum = self.used.lock().unwrap();
            *sum = Tokens {
                input: sum.input + used.input,
                cached: sum.cached + used.cached,
                output: sum.output + used.output,
            };
        }
        let mut all = self.asked.lock().unwrap();
        all.push(asked.clone());
        self.more.notify_all();
        all.len()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    // Nothing is sent ahead of an answer, so that a reader of its own for each request loses nothing.
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let path = line.split(' ').nth(1)?.split('?').next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value.as_str());
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, headers, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// The arguments of a call that repeats the key.
fn with_key(args: &Value, key: &str) -> String {
    let quoted = json!(key).to_string();
    args.to_string().replace("@KEY@", quoted.trim_matches('"'))
}

fn letters(text: &str) -> impl Iterator<Item = String> + '_ {
    text.chars().map(String::from)
}

fn openai(step: &Step, turn: usize, key: &str, used: Tokens) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"id": format!("chatcmpl-{turn}"), "object": "chat.completion.chunk", "created": 1, "model": "test-model", "choices": [choice]})
    };
    let mut chunks = match step {
        Step::Text(text) => {
            vec![chunk(json!({"role": "assistant", "content": text}), Value::Null), chunk(json!({}), json!("stop"))]
        }
        Step::Call(tool, args) => {
            let function = json!({"name": tool, "arguments": args.to_string()});
            let call = json!({"index": 0, "id": format!("call_{turn}"), "type": "function", "function": function});
            let delta = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            vec![chunk(delta, Value::Null), chunk(json!({}), json!("tool_calls"))]
        }
        Step::Echo(tool, args) => {
            let said = letters(key).map(|letter| chunk(json!({"content": letter}), Value::Null));
            let function = json!({"name": tool, "arguments": ""});
            let call = json!({"index": 0, "id": format!("call_{turn}"), "type": "function", "function": function});
            let begun = chunk(json!({"tool_calls": [call]}), Value::Null);
            let args = with_key(args, key);
            let args = letters(&args).map(|letter| {
                chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": letter}}]}), Value::Null)
            });
            said.chain([begun]).chain(args).chain([chunk(json!({}), json!("tool_calls"))]).collect()
        }
    };
    let usage = json!({"prompt_tokens": used.input, "completion_tokens": used.output, "total_tokens": used.input + used.output,
        "prompt_tokens_details": {"cached_tokens": used.cached}});
    chunks.push(json!({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "test-model", "choices": [], "usage": usage}));
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

/// The least that Codex takes.
fn responses(step: &Step, turn: usize, used: Tokens) -> String {
    let item = match step {
        Step::Call(tool, args) => {
            json!({"type": "function_call", "id": format!("fc_{turn}"), "call_id": format!("call_{turn}"),
            "name": tool, "arguments": args.to_string(), "status": "completed"})
        }
        Step::Text(text) => {
            json!({"type": "message", "id": format!("msg_{turn}"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}]})
        }
        Step::Echo(..) => panic!("no test echoes in this format"),
    };
    let usage = json!({"input_tokens": used.input, "input_tokens_details": {"cached_tokens": used.cached}, "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": used.input + used.output});
    let done = json!({"type": "response.output_item.done", "item": item});
    let completed = json!({"type": "response.completed", "response": {"id": format!("resp_{turn}"), "usage": usage}});
    [done, completed]
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn whole_message(turn: usize, used: Tokens) -> Value {
    json!({"id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": "test-model",
        "content": [{"type": "text", "text": "Hi"}], "stop_reason": "max_tokens", "stop_sequence": null,
        "usage": {"input_tokens": used.input - used.cached, "cache_read_input_tokens": used.cached, "output_tokens": used.output}})
}

fn anthropic(step: &Step, turn: usize, key: &str, used: Tokens) -> String {
    let event = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    let (block, deltas, stop) = match step {
        Step::Text(text) => {
            (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})], "end_turn")
        }
        Step::Call(tool, args) => (
            json!({"type": "tool_use", "id": format!("toolu_{turn}"), "name": tool, "input": {}}),
            vec![json!({"type": "input_json_delta", "partial_json": args.to_string()})],
            "tool_use",
        ),
        Step::Echo(tool, args) => (
            json!({"type": "tool_use", "id": format!("toolu_{turn}"), "name": tool, "input": {}}),
            letters(&with_key(args, key))
                .map(|letter| json!({"type": "input_json_delta", "partial_json": letter}))
                .collect(),
            "tool_use",
        ),
    };
    let message = json!({"id": format!("msg_{turn}"), "type": "message", "role": "assistant", "model": "test-model", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": used.input - used.cached, "cache_read_input_tokens": used.cached, "output_tokens": 1}});
    let said = match step {
        Step::Echo(..) => letters(key).map(|letter| json!({"type": "text_delta", "text": letter})).collect(),
        Step::Call(..) | Step::Text(_) => Vec::new(),
    };
    let text = (json!({"type": "text", "text": ""}), said);
    let blocks = [text, (block, deltas)].into_iter().filter(|(_, deltas): &(Value, Vec<Value>)| !deltas.is_empty());
    let blocks = blocks.zip(0..).flat_map(|((block, deltas), index): ((Value, Vec<Value>), usize)| {
        let begun = json!({"type": "content_block_start", "index": index, "content_block": block});
        let deltas =
            deltas.into_iter().map(move |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
        [begun].into_iter().chain(deltas).chain([json!({"type": "content_block_stop", "index": index})])
    });
    let ends = [
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": used.output}}),
        json!({"type": "message_stop"}),
    ];
    [json!({"type": "message_start", "message": message})]
        .into_iter()
        .chain(blocks)
        .chain(ends)
        .map(|one| event(&one))
        .collect()
}
