//! The gateway beside LiteLLM's proxy and beside no proxy: the same mock upstream, the same calls, in turns, in one run.
//!
//! ```text
//! MUSTER_LITELLM_PROGRAM=$(scripts/litellm.sh) cargo bench -p gateway --bench beside
//! ```
//!
//! Upstream, gateway and LiteLLM are processes of their own on loopback; this program is the agent. Latency is measured
//! one call at a time, requests per CPU second with several at once, each way after the other in every round. Processor
//! time is the proxy's process's, all threads, from `/proc`. Without the variable LiteLLM is left out, and the table says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that cannot be made has no better end"
)]

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use gateway::{
    Call, Credential, Format, Gateway, GatewayConfig, Ledger, Limits, Listener, Prices, Refusal, Rules, Settled,
    StoredAnswer, Tag, Upstream, UpstreamKind, Worst, serve,
};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::sync::watch;

const ROUNDS: usize = 5;
/// Calls of each way and round, one at a time.
const CALLS: usize = 100;
/// Calls of each way and round for processor time, and how many at once.
const LOAD_CALLS: usize = 200;
const AT_ONCE: usize = 8;
const STREAMS: usize = 1000;

/// Books that grant and write nothing.
struct NoBooks;

impl Ledger for NoBooks {
    async fn recall(&self, _: &Call) -> Option<StoredAnswer> {
        None
    }

    async fn reserve(&self, _: &Call, worst: Worst) -> Result<Worst, Refusal> {
        Ok(worst)
    }

    async fn settle(&self, _: Settled) -> Result<(), String> {
        Ok(())
    }
}

/// A process that answers calls.
struct Server {
    name: &'static str,
    url: String,
    key: String,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("upstream") => runtime().block_on(upstream()),
        Some("gateway") => runtime().block_on(gateway(&arguments[2])),
        _ => runtime().block_on(measure()),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn measure() {
    let upstream = Server::of_ours("no proxy", &["upstream"]);
    let gateway = Server::of_ours("muster", &["gateway", &upstream.url]);
    let litellm = std::env::var("MUSTER_LITELLM_PROGRAM").ok().map(|program| Server::litellm(&program, &upstream.url));
    let ways: Vec<&Server> = [Some(&upstream), Some(&gateway), litellm.as_ref()].into_iter().flatten().collect();
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap().trim());
    if litellm.is_none() {
        println!("LiteLLM is not measured: MUSTER_LITELLM_PROGRAM is not set (see scripts/litellm.sh)");
    }
    for streaming in [false, true] {
        let body = request("gpt-5", streaming);
        println!("\n{}, 1 KB request, {ROUNDS} rounds", if streaming { "streaming" } else { "whole" });
        compare(&ways, &body).await;
    }
    println!("\nmemory with {STREAMS} streams open at once");
    hold_streams(&upstream, &gateway).await;
}

/// Latency and requests per CPU second of each way.
async fn compare(ways: &[&Server], body: &Bytes) {
    let client = client();
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
    let mut cpu = vec![Duration::ZERO; ways.len()];
    for way in ways {
        // The first calls make connections and, in Python, load modules.
        for _ in 0..20 {
            call(&client, way, body).await;
        }
    }
    for _ in 0..ROUNDS {
        for (at, way) in ways.iter().enumerate() {
            for _ in 0..CALLS {
                let start = Instant::now();
                call(&client, way, body).await;
                times[at].push(start.elapsed());
            }
        }
        for (at, way) in ways.iter().enumerate() {
            let before = way.cpu();
            let calls = stream::iter(0..LOAD_CALLS).map(|_| call(&client, way, body));
            calls.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
            cpu[at] += way.cpu() - before;
        }
    }
    print_table(ways, &mut times, &cpu);
}

fn print_table(ways: &[&Server], times: &mut [Vec<Duration>], cpu: &[Duration]) {
    let millis = |times: &[Duration], part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    times.iter_mut().for_each(|times| times.sort());
    let titles = ["", "median ms", "p99 ms", "added median", "added p99", "requests/CPU s"];
    println!(
        "{:<10} {:>10} {:>10} {:>13} {:>10} {:>15}",
        titles[0], titles[1], titles[2], titles[3], titles[4], titles[5]
    );
    let direct = times[0].clone();
    for (at, way) in ways.iter().enumerate() {
        let (median, p99) = (millis(&times[at], 50), millis(&times[at], 99));
        let added = (median - millis(&direct, 50), p99 - millis(&direct, 99));
        let rate = (ROUNDS * LOAD_CALLS) as f64 / cpu[at].as_secs_f64();
        println!("{:<10} {median:>10.3} {p99:>10.3} {:>13.3} {:>10.3} {rate:>15.0}", way.name, added.0, added.1);
    }
}

/// Opens all streams, looks at the gateway's memory while each has had its first bytes, and lets them end.
async fn hold_streams(upstream: &Server, gateway: &Server) {
    let (client, body) = (client(), request("held", true));
    let before = gateway.memory_kib("VmRSS");
    let mut open = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut answer = send(&client, gateway, &body).await;
        assert!(answer.chunk().await.unwrap().is_some());
        open.push(answer);
    }
    let held = gateway.memory_kib("VmRSS");
    println!("muster: {:.1} MiB before, {:.1} MiB with them open", before as f64 / 1024.0, held as f64 / 1024.0);
    client.post(format!("{}/release", upstream.url)).send().await.unwrap();
    for mut answer in open {
        while answer.chunk().await.unwrap().is_some() {}
    }
    println!("muster: {:.1} MiB at the most", gateway.memory_kib("VmHWM") as f64 / 1024.0);
}

fn request(model: &str, streaming: bool) -> Bytes {
    let prompt = "Please add the numbers and say what comes out. ".repeat(20);
    let body = serde_json::json!({"model": model, "stream": streaming, "max_tokens": 1000,
        "stream_options": streaming.then(|| serde_json::json!({"include_usage": true})),
        "messages": [{"role": "user", "content": prompt}]});
    Bytes::from(body.to_string())
}

async fn call(client: &reqwest::Client, server: &Server, body: &Bytes) {
    assert!(!send(client, server, body).await.bytes().await.unwrap().is_empty());
}

async fn send(client: &reqwest::Client, server: &Server, body: &Bytes) -> reqwest::Response {
    let post = client.post(format!("{}/v1/chat/completions", server.url)).bearer_auth(&server.key);
    let answer = post.header("content-type", "application/json").body(body.clone()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}: {}", server.name, answer.status());
    answer
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().http1_only().build().unwrap()
}

impl Server {
    /// This program in another role; it says where it listens and with which key.
    fn of_ours(name: &'static str, arguments: &[&str]) -> Server {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut process = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = || lines.next().unwrap().unwrap();
        let (url, key) = (line(), line());
        Server { name, url, key, process }
    }

    /// LiteLLM's proxy with one worker, in front of that upstream.
    fn litellm(program: &str, upstream: &str) -> Server {
        let dir = std::env::temp_dir().join(format!("muster-beside-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let config = format!(
            "model_list:\n  - model_name: gpt-5\n    litellm_params: {{model: openai/gpt-5, api_base: \"{upstream}/v1\", api_key: k}}\n\
             litellm_settings: {{num_retries: 0}}\ngeneral_settings: {{master_key: sk-beside}}\n"
        );
        std::fs::write(dir.join("litellm.yaml"), config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let mut command = Command::new(program);
        command.args(["--config", "litellm.yaml", "--host", "127.0.0.1", "--port", &port, "--num_workers", "1"]);
        command.args(["--telemetry", "False"]).current_dir(&dir).env("HOME", &dir);
        command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("DISABLE_ADMIN_UI", "True");
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        lines.find(|line| line.contains("Uvicorn running")).expect("LiteLLM ended before it listened");
        // What it goes on to say must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Server { name: "LiteLLM", url: format!("http://127.0.0.1:{port}"), key: "sk-beside".into(), process }
    }

    /// Processor time so far, in user and system mode, of all threads (proc_pid_stat(5), fields 14 and 15).
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // USER_HZ is 100 on every Linux that Rust runs on.
        Duration::from_millis(ticks * 10)
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

async fn gateway(url: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let kind = UpstreamKind::Passthrough {
        formats: vec![Format::OpenAiChat],
        base_url: url.to_owned(),
        credential: Credential::None,
    };
    let upstreams = vec![Upstream { name: "upstream".into(), kind, models: vec![], rules: Rules::default() }];
    let config = GatewayConfig {
        upstreams,
        prices: Prices::embedded(),
        limits: Limits::default(),
        secrets: gateway::Secrets::default(),
    };
    let gateway = Gateway::new(config, Arc::new(NoBooks)).unwrap();
    let session = gateway.open_session(Tag { mission: "m1".into(), agent: "ada".into() }).unwrap();
    session.bind(Some(1));
    say(&format!("http://{}\n{}", listener.local_addr().unwrap(), session.key().expose_secret()));
    serve(gateway, Listener::Tcp(listener)).await.unwrap();
}

/// Answers at once, but for the model `held`, whose answers stop after their first event until `/release` is asked for.
async fn upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    say(&format!("http://{}\nnone", listener.local_addr().unwrap()));
    let release = Arc::new(watch::Sender::new(false));
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let release = Arc::clone(&release);
        let answer = move |request: http::Request<hyper::body::Incoming>| answer(request, Arc::clone(&release));
        let served = hyper::server::conn::http1::Builder::new();
        tokio::spawn(served.serve_connection(TokioIo::new(socket), service_fn(answer)));
    }
}

async fn answer(
    request: http::Request<hyper::body::Incoming>,
    release: Arc<watch::Sender<bool>>,
) -> Result<http::Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let released = request.uri().path() == "/release";
    let body = request.into_body().collect().await?.to_bytes();
    if released {
        release.send_replace(true);
    }
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let (kind, first, rest) = match asked["stream"] == true {
        true => ("text/event-stream", event("The"), events()),
        false => ("application/json", Bytes::new(), Bytes::from(document())),
    };
    let held = asked["model"] == "held";
    let rest = async move {
        if held {
            let _ = release.subscribe().wait_for(|released| *released).await;
        }
        Ok(Frame::data(rest))
    };
    let body = stream::once(async { Ok(Frame::data(first)) }).chain(stream::once(rest));
    Ok(http::Response::builder().header("content-type", kind).body(BodyExt::boxed(StreamBody::new(body))).unwrap())
}

fn event(word: &str) -> Bytes {
    let choices =
        serde_json::json!([{"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": null}]);
    let chunk = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5", "choices": choices});
    Bytes::from(format!("data: {chunk}\n\n"))
}

fn events() -> Bytes {
    let last = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5",
        "choices": [], "usage": usage()});
    let mut text: Vec<u8> = " answer is forty-two.".split_inclusive(' ').flat_map(event).collect();
    text.extend_from_slice(format!("data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n").as_bytes());
    Bytes::from(text)
}

fn document() -> String {
    let message = serde_json::json!({"role": "assistant", "content": "The answer is forty-two."});
    let choices = serde_json::json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
    serde_json::json!({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5", "choices": choices,
        "usage": usage()})
    .to_string()
}

fn usage() -> serde_json::Value {
    serde_json::json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120})
}

fn say(text: &str) {
    println!("{text}");
    std::io::stdout().flush().unwrap();
}
