//! What the gateway adds to a call: latency as the agent sees it, and the gateway's own CPU time.
//!
//! `masked` is `through` with five known secrets. `cargo bench -p gateway` runs an upstream, a gateway and an agent on one thread each, over loopback, one call at a
//! time (latency) and 64 at a time (CPU). The gateway's CPU time is its thread's, from `/proc`; ratios and CPU times
//! hold on a busy machine, latencies less so.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot be made has no better end")]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::{
    Call, Credential, Format, Gateway, GatewayConfig, Ledger, Limits, Listener, Masker, Prices, Refusal, Rules, Script,
    Secrets, Settled, StoredAnswer, Tag, Upstream, UpstreamKind, Worst, serve,
};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

const SCRIPT: &str =
    "version: 1\nreplies:\n  - steps:\n      - text: The answer is forty-two, and it has some words.\n";
const CALLS: usize = 2000;
const AT_ONCE: usize = 64;

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

/// A server on a thread of its own: where it is, and how much CPU it has used when asked.
struct Server {
    url: String,
    key: String,
    ask: Sender<Sender<Duration>>,
}

fn main() {
    let upstream = upstream();
    let http = || UpstreamKind::Passthrough {
        formats: vec![Format::OpenAiChat],
        base_url: upstream.url.clone(),
        credential: Credential::None,
    };
    let through = gateway_to(http(), Secrets::default());
    let masked = gateway_to(http(), secrets());
    let scripted = gateway_to(UpstreamKind::Scripted(Script::parse(SCRIPT).unwrap()), Secrets::default());
    println!("{:<34} {:>10} {:>10} {:>16} {:>14}", "", "median us", "p95 us", "gateway CPU us", "calls/CPU s");
    for (name, bytes) in [("1 KB request", 1000), ("100 KB request", 100_000)] {
        for stream in [false, true] {
            let body = request(bytes, stream);
            let shape = if stream { "streaming" } else { "whole" };
            for (way, server) in
                [("direct", &upstream), ("through", &through), ("masked", &masked), ("scripted", &scripted)]
            {
                let (median, p95) = latency(server, &body);
                let cpu = (way != "direct").then(|| cpu_per_call(server, &body));
                let cpu = cpu.map_or(String::new(), |cpu| {
                    format!("{:>16.1} {:>14.0}", cpu.as_secs_f64() * 1e6, 1.0 / cpu.as_secs_f64())
                });
                println!("{:<34} {median:>10.0} {p95:>10.0} {cpu}", format!("{name}, {shape}, {way}"));
            }
        }
    }
}

fn request(bytes: usize, stream: bool) -> Bytes {
    let prompt = "Please add the numbers and say what comes out. ".repeat(bytes / 47);
    let body = serde_json::json!({"model": "gpt-5", "stream": stream, "max_tokens": 1000,
        "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": prompt}]});
    Bytes::from(body.to_string())
}

/// One call after the other: median and 95th percentile, in microseconds.
fn latency(server: &Server, body: &Bytes) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = client();
    let mut times: Vec<Duration> = runtime.block_on(async {
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let start = Instant::now();
            call(&client, server, body).await;
            times.push(start.elapsed());
        }
        times
    });
    times.sort();
    let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
    (at(50), at(95))
}

/// The server's CPU time per call, with many calls at once.
fn cpu_per_call(server: &Server, body: &Bytes) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = client();
    let before = server.cpu();
    runtime.block_on(futures::future::join_all((0..AT_ONCE).map(|_| async {
        for _ in 0..CALLS / AT_ONCE {
            call(&client, server, body).await;
        }
    })));
    let calls = (CALLS / AT_ONCE * AT_ONCE) as u32;
    (server.cpu() - before) / calls
}

async fn call(client: &reqwest::Client, server: &Server, body: &Bytes) {
    let url = format!("{}/v1/chat/completions", server.url);
    let answer = client.post(url).bearer_auth(&server.key).body(body.clone()).send().await.unwrap();
    assert!(answer.status().is_success());
    assert!(!answer.bytes().await.unwrap().is_empty());
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().http1_only().build().unwrap()
}

impl Server {
    fn cpu(&self) -> Duration {
        let (tell, told) = channel();
        self.ask.send(tell).unwrap();
        told.recv().unwrap()
    }

    /// `run` is told where to listen; it serves until the process ends.
    fn start<F: Future<Output = ()>>(run: impl FnOnce(TcpListener, Sender<String>) -> F + Send + 'static) -> Server {
        let (ask, asked) = channel();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
                answer_for_cpu(asked);
                run(listener, tell).await;
            });
        });
        let (url, key) = (told.recv().unwrap(), told.recv().unwrap());
        Server { url, key, ask }
    }
}

/// Answers from outside how much CPU this thread has used.
fn answer_for_cpu(asked: Receiver<Sender<Duration>>) {
    let stat = std::fs::canonicalize("/proc/thread-self").unwrap().join("schedstat");
    std::thread::spawn(move || {
        for tell in asked {
            let text = std::fs::read_to_string(&stat).unwrap();
            let nanos = text.split(' ').next().unwrap().parse().unwrap();
            tell.send(Duration::from_nanos(nanos)).unwrap();
        }
    });
}

/// Five keys that look like those of the vendors.
fn secrets() -> Secrets {
    let key = |name: &str, prefix: &str, unit: &str| (name.to_owned(), format!("{prefix}{}", unit.repeat(4)).into());
    let keys = [
        key("OPENAI_API_KEY", "sk-proj-", "Xq7Zk2Lm9"),
        key("ANTHROPIC_API_KEY", "sk-ant-api03-", "Qw4Er8Ty1"),
        key("GEMINI_API_KEY", "AIzaSy", "Bn3Vc6Xz0"),
        key("GITHUB_TOKEN", "ghp_", "Uj5Ik8Ol2"),
        key("DB_PASSWORD", "", "hT6gR4eD1"),
    ];
    Secrets { masker: Arc::new(Masker::new(keys)), ..Secrets::default() }
}

fn gateway_to(kind: UpstreamKind, secrets: Secrets) -> Server {
    Server::start(|listener, tell| async move {
        let upstreams = vec![Upstream { name: "upstream".into(), kind, models: vec![], rules: Rules::default() }];
        let config = GatewayConfig { upstreams, prices: Prices::embedded(), limits: Limits::default(), secrets };
        let gateway = Gateway::new(config, Arc::new(NoBooks)).unwrap();
        let session = gateway.open_session(Tag { mission: "m1".into(), agent: "ada".into() }).unwrap();
        tell.send(session.key().expose_secret().to_owned()).unwrap();
        serve(gateway, Listener::Tcp(listener)).await.unwrap();
    })
}

/// Answers at once with what the script says, as one piece.
fn upstream() -> Server {
    let chunk = |delta: serde_json::Value, finish: Option<&str>| {
        let choices = serde_json::json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        format!("data: {}\n\n", serde_json::json!({"id": "c", "object": "chat.completion.chunk", "choices": choices}))
    };
    let usage = serde_json::json!({"prompt_tokens": 100, "completion_tokens": 20});
    let words = "The answer is forty-two, and it has some words.".split_inclusive(' ');
    let mut stream: String = words.map(|word| chunk(serde_json::json!({"content": word}), None)).collect();
    stream += &chunk(serde_json::json!({}), Some("stop"));
    stream += &format!("data: {}\n\ndata: [DONE]\n\n", serde_json::json!({"choices": [], "usage": usage}));
    let message = serde_json::json!({"role": "assistant", "content": "The answer is forty-two."});
    let document = serde_json::json!({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage});
    let (stream, document) = (Bytes::from(stream), Bytes::from(document.to_string()));

    Server::start(move |listener, tell| async move {
        tell.send(String::new()).unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let (stream, document) = (stream.clone(), document.clone());
            let answer = move |request: http::Request<hyper::body::Incoming>| {
                let (stream, document) = (stream.clone(), document.clone());
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    let streaming = body[..200].windows(13).any(|part| part == br#""stream":true"#)
                        || body[body.len() - 200..].windows(13).any(|part| part == br#""stream":true"#);
                    let (kind, body) =
                        if streaming { ("text/event-stream", stream) } else { ("application/json", document) };
                    let response = http::Response::builder().header("content-type", kind).body(Full::new(body));
                    Ok::<_, hyper::Error>(response.unwrap())
                }
            };
            let served = hyper::server::conn::http1::Builder::new();
            tokio::spawn(served.serve_connection(TokioIo::new(socket), service_fn(answer)));
        }
    })
}
