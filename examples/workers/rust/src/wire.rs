//! ACP on standard input and output, and the agent tools over HTTP.

use crate::Worker;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, Read, Write},
    net::TcpStream,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
};

/// A session, as the worker sees it.
#[derive(Clone)]
pub struct Context {
    /// The folder that is worked in.
    pub cwd: String,
    session: String,
    server: Value,
    cancelled: Arc<(Mutex<bool>, Condvar)>,
}

fn send(mut message: Value) {
    message["jsonrpc"] = json!("2.0");
    let mut output = io::stdout().lock();
    // Whoever does not read any more closes our input next.
    let _ = writeln!(output, "{message}").and_then(|()| output.flush());
}

impl Context {
    /// Tells what is being done, for the transcript.
    pub fn stream(&self, text: &str) {
        let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
        send(json!({"method": "session/update", "params": {"sessionId": self.session, "update": update}}));
    }

    /// Returns when the turn is to end.
    pub fn wait_until_cancelled(&self) {
        let (cancelled, told) = &*self.cancelled;
        let guard = cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        drop(told.wait_while(guard, |cancelled| !*cancelled));
    }

    fn set_cancelled(&self, is: bool) {
        *self.cancelled.0.lock().unwrap_or_else(PoisonError::into_inner) = is;
        self.cancelled.1.notify_all();
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls an agent tool. The id makes a call that is sent twice count once.
    pub fn call(&self, tool: &str, arguments: &Value) -> io::Result<Value> {
        let meta = json!({"muster/callId": format!("{}/{}/{tool}", self.session, std::process::id())});
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
        let url = self.server["url"].as_str().unwrap_or_default();
        let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).unwrap_or_default();
        let headers = self.server["headers"].as_array().into_iter().flatten();
        let text = |header: &Value, name: &str| header[name].as_str().unwrap_or_default().to_owned();
        let headers: String =
            headers.map(|header| format!("{}: {}\r\n", text(header, "name"), text(header, "value"))).collect();
        let mut stream = TcpStream::connect(host)?;
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
             content-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        // The answer's body is one document, or events with a document each; either way a line has it.
        let documents =
            answer.lines().filter_map(|line| line.strip_prefix("data:").unwrap_or(line).trim().strip_prefix('{'));
        let mut messages = documents.filter_map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).ok());
        let message = messages.find(|message| message["id"] == 1).unwrap_or_default();
        match (&message["result"], &message["result"]["isError"]) {
            (Value::Object(_), failed) if *failed != json!(true) => Ok(message["result"].clone()),
            _ => Err(io::Error::other(format!("the tool did not work: {message}"))),
        }
    }
}

/// Serves until standard input ends.
pub fn serve(worker: Worker) {
    let worker = Arc::new(Mutex::new(worker));
    let mut session: Option<Context> = None;
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str::<Value>(&line) {
            Ok(message) => take(&message, &mut session, &worker),
            Err(_) => send(json!({"id": null, "error": {"code": -32700, "message": "this is not JSON"}})),
        }
    }
    if let Some(session) = session {
        session.set_cancelled(true);
    }
    worker.lock().unwrap_or_else(PoisonError::into_inner).shutdown();
}

fn take(message: &Value, session: &mut Option<Context>, worker: &Arc<Mutex<Worker>>) {
    let (id, params) = (&message["id"], &message["params"]);
    let refuse = |code: i64, why: &str| send(json!({"id": id, "error": {"code": code, "message": why}}));
    match message["method"].as_str() {
        Some("initialize") => {
            let capabilities = json!({"loadSession": true, "mcpCapabilities": {"http": true}});
            let info = json!({"name": "example-worker", "version": "1"});
            send(
                json!({"id": id, "result": {"protocolVersion": 1, "agentCapabilities": capabilities, "agentInfo": info}}),
            );
        }
        Some("session/new") => match new_session() {
            Ok(name) => {
                open(&name, params, session, worker);
                send(json!({"id": id, "result": {"sessionId": name}}));
            }
            Err(error) => refuse(-32603, &error.to_string()),
        },
        Some("session/load") => {
            let name = params["sessionId"].as_str().unwrap_or_default();
            if name.contains('/') || !folder().join(name).exists() {
                return refuse(-32602, "there is no such session");
            }
            open(name, params, session, worker);
            send(json!({"id": id, "result": {}}));
        }
        Some("session/prompt") => {
            let Some(ctx) = session.clone() else { return refuse(-32602, "there is no session") };
            let blocks = params["prompt"].as_array().into_iter().flatten();
            let text: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
            let (id, text, worker) = (id.clone(), text.join("\n"), Arc::clone(worker));
            ctx.set_cancelled(false);
            thread::spawn(move || turn(&id, &text, &ctx, &worker));
        }
        Some("session/cancel") => {
            if let Some(ctx) = session {
                ctx.set_cancelled(true);
            }
        }
        Some(other) if !id.is_null() => refuse(-32601, &format!("{other} is not known here")),
        _ => {}
    }
}

fn turn(id: &Value, text: &str, ctx: &Context, worker: &Mutex<Worker>) {
    let done = worker.lock().unwrap_or_else(PoisonError::into_inner).on_task(ctx, text);
    let done = done.and_then(|summary| match summary.filter(|_| !ctx.is_cancelled()) {
        Some(summary) => ctx.call("submit_result", &json!({"summary": summary})).map(drop),
        None => Ok(()),
    });
    let stop = if ctx.is_cancelled() { "cancelled" } else { "end_turn" };
    send(match done {
        Ok(()) => json!({"id": id, "result": {"stopReason": stop}}),
        Err(error) => json!({"id": id, "error": {"code": -32603, "message": error.to_string()}}),
    });
}

fn open(name: &str, params: &Value, session: &mut Option<Context>, worker: &Mutex<Worker>) {
    let ctx = Context {
        cwd: params["cwd"].as_str().unwrap_or_default().to_owned(),
        session: name.to_owned(),
        server: params["mcpServers"][0].clone(),
        cancelled: Arc::default(),
    };
    worker.lock().unwrap_or_else(PoisonError::into_inner).init(&ctx);
    *session = Some(ctx);
}

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".worker")
}

/// A session is a file: it is there when the next process is asked for it.
fn new_session() -> io::Result<String> {
    std::fs::create_dir_all(folder())?;
    let name = format!("s{}", std::fs::read_dir(folder())?.count() + 1);
    std::fs::write(folder().join(&name), "")?;
    Ok(name)
}
