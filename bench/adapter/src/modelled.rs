//! Agents modelled in this process, to measure the control plane alone: what the engine costs when agents cost next to nothing.
//!
//! A modelled agent speaks the agent protocol on its two pipes, asks the model over HTTP at the gateway, with a stream as our own agent does,
//! and calls tools over MCP; to the engine it is like any other. It keeps no log, reads no files and never gives up: what fails, ends it.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use engine::{Modelled, ModelledAgent};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream},
    net::TcpStream,
    runtime::{Builder, Runtime},
};

/// The thread that all modelled agents share; by this name its processor time is told from the engine's.
pub(crate) const THREAD: &str = "modelled-agents";

/// The runtime of the modelled agents, and what the engine needs to begin one.
pub(crate) fn agents() -> Result<(Runtime, Modelled)> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(THREAD).enable_all().build()?;
    let modelled = Modelled {
        runtime: runtime.handle().clone(),
        run: Arc::new(|agent| {
            Box::pin(async move {
                if let Err(error) = serve(agent).await {
                    eprintln!("bench-adapter: a modelled agent ended: {error:#}");
                }
            })
        }),
    };
    Ok((runtime, modelled))
}

/// Answers the engine until its end of the pipe is closed. A turn is over before the next line is read, so none can be cancelled.
async fn serve(agent: ModelledAgent) -> Result<()> {
    let mut lines = BufReader::new(agent.stdin).lines();
    let mut agent = Agent::new(agent.stdout, &agent.env)?;
    while let Some(line) = lines.next_line().await? {
        let request: Value = serde_json::from_str(&line)?;
        let (Some(id), Some(method)) = (request.get("id"), request.get("method").and_then(Value::as_str)) else {
            continue;
        };
        let result = agent.answer(method, &request["params"]).await?;
        agent.say(&json!({ "jsonrpc": "2.0", "id": id, "result": result })).await?;
    }
    Ok(())
}

struct Agent {
    out: DuplexStream,
    http: Http,
    /// The path of the model's API.
    api: String,
    model: String,
    sessions: BTreeMap<String, Session>,
}

/// What a session can call.
#[derive(Clone)]
struct Session {
    /// The path of the tool server.
    server: String,
    /// Its tools as a model is told of them.
    tools: Value,
}

impl Agent {
    fn new(out: DuplexStream, env: &BTreeMap<String, String>) -> Result<Self> {
        let get = |name: &str| env.get(name).with_context(|| format!("{name} is not set"));
        ensure!(get("MUSTER_MODEL_FORMAT")? == "openai-chat", "modelled agents speak openai-chat only");
        let (address, path) = split(get("OPENAI_BASE_URL")?)?;
        let http = Http { address, authorization: format!("Bearer {}", get("OPENAI_API_KEY")?), connection: None };
        let model = get("MUSTER_MODEL")?.clone();
        Ok(Self { out, http, api: format!("{path}/chat/completions"), model, sessions: BTreeMap::new() })
    }

    async fn answer(&mut self, method: &str, params: &Value) -> Result<Value> {
        match method {
            "initialize" => Ok(json!({
                "protocolVersion": 1,
                "agentCapabilities": { "loadSession": false, "mcpCapabilities": { "http": true } },
                "agentInfo": { "name": "modelled", "version": env!("CARGO_PKG_VERSION") },
            })),
            "session/new" => {
                let name = format!("s{}", self.sessions.len());
                self.sessions.insert(name.clone(), Session::new(&params["mcpServers"][0])?);
                Ok(json!({ "sessionId": name }))
            }
            "session/prompt" => {
                let name = params["sessionId"].as_str().context("a prompt without a session")?;
                let session = self.sessions.get(name).context("an unknown session")?.clone();
                self.turn(name, &session, &params["prompt"][0]["text"]).await?;
                Ok(json!({ "stopReason": "end_turn" }))
            }
            other => bail!("the engine asked for {other}"),
        }
    }

    async fn turn(&mut self, name: &str, session: &Session, prompt: &Value) -> Result<()> {
        let mut messages = vec![json!({ "role": "user", "content": prompt })];
        loop {
            let body = json!({
                "model": self.model,
                "stream": true,
                "stream_options": { "include_usage": true },
                "messages": messages,
                "tools": session.tools,
            });
            let said = said(&self.http.post(&self.api, &body).await?)?;
            if said.calls.is_empty() {
                let content = json!({ "type": "text", "text": said.text });
                return self.update(name, json!({ "sessionUpdate": "agent_message_chunk", "content": content })).await;
            }
            let calls: Vec<Value> = said.calls.iter().map(Call::for_model).collect();
            messages.push(json!({ "role": "assistant", "content": null, "tool_calls": calls }));
            for call in &said.calls {
                let result = self.call(name, session, call).await?;
                messages.push(json!({ "role": "tool", "tool_call_id": call.id, "content": result }));
            }
        }
    }

    async fn call(&mut self, name: &str, session: &Session, call: &Call) -> Result<Value> {
        let arguments: Value = serde_json::from_str(&call.arguments)?;
        let begun = json!({
            "sessionUpdate": "tool_call", "toolCallId": call.id, "title": call.name, "status": "in_progress", "rawInput": arguments,
        });
        self.update(name, begun).await?;
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {
                "name": call.name, "arguments": arguments,
                "_meta": { "muster/callId": format!("{name}/{}", call.id) },
            },
        });
        let answer: Value = serde_json::from_slice(&self.http.post(&session.server, &request).await?)?;
        let result = answer["result"]["content"][0]["text"].clone();
        ensure!(result.is_string(), "a tool's answer has no text: {answer}");
        let ended = json!({
            "sessionUpdate": "tool_call_update", "toolCallId": call.id, "status": "completed", "rawOutput": result,
        });
        self.update(name, ended).await?;
        Ok(result)
    }

    async fn update(&mut self, session: &str, update: Value) -> Result<()> {
        let params = json!({ "sessionId": session, "update": update });
        self.say(&json!({ "jsonrpc": "2.0", "method": "session/update", "params": params })).await
    }

    async fn say(&mut self, message: &Value) -> Result<()> {
        Ok(self.out.write_all(format!("{message}\n").as_bytes()).await?)
    }
}

impl Session {
    fn new(server: &Value) -> Result<Self> {
        let url = server["url"].as_str().context("a session without a tool server")?;
        let told = server["_meta"]["muster/tools"].as_array().context("the tools are not told")?;
        let tool = |tool: &Value| {
            json!({ "type": "function", "function": {
                "name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"],
            }})
        };
        Ok(Self { server: split(url)?.1, tools: told.iter().map(tool).collect() })
    }
}

/// A connection that is kept, as every HTTP client keeps it.
struct Http {
    address: String,
    authorization: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Http {
    async fn post(&mut self, path: &str, body: &Value) -> Result<Bytes> {
        let request = Request::post(path)
            .header("host", &self.address)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-06-18")
            .body(Full::new(Bytes::from(serde_json::to_vec(body)?)))?;
        let answer = self.connection().await?.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && connection.ready().await.is_err()
        {
            kept = None;
        }
        if kept.is_none() {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            kept = Some(sender);
        }
        Ok(self.connection.insert(kept.context("no connection")?))
    }
}

/// What the model said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    text: String,
    calls: Vec<Call>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

impl Call {
    fn for_model(&self) -> Value {
        json!({ "id": self.id, "type": "function", "function": { "name": self.name, "arguments": self.arguments } })
    }
}

/// The whole answer from a stream of Chat Completions.
fn said(stream: &[u8]) -> Result<Said> {
    let mut said = Said::default();
    for data in std::str::from_utf8(stream)?.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            return Ok(said);
        }
        let chunk: Value = serde_json::from_str(data)?;
        let delta = &chunk["choices"][0]["delta"];
        said.text.push_str(delta["content"].as_str().unwrap_or_default());
        for part in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = part["index"].as_u64().and_then(|at| usize::try_from(at).ok()).unwrap_or_default();
            ensure!(at <= said.calls.len(), "a tool call out of order");
            if at == said.calls.len() {
                said.calls.push(Call::default());
            }
            let call = &mut said.calls[at];
            call.id.push_str(part["id"].as_str().unwrap_or_default());
            call.name.push_str(part["function"]["name"].as_str().unwrap_or_default());
            call.arguments.push_str(part["function"]["arguments"].as_str().unwrap_or_default());
        }
    }
    bail!("the model's answer breaks off")
}

/// Address and path of a plain URL, the path without a slash at its end.
fn split(url: &str) -> Result<(String, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} is not plain HTTP"))?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((address.to_owned(), format!("/{}", path.trim_end_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_becomes_one_answer() {
        let stream = concat!(
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"calc","arguments":"{\"a\":"}}]}}]}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"3}"}}]}}]}"#,
            "\n\ndata: [DONE]\n\n"
        );
        let call = Call { id: "c1".into(), name: "calc".into(), arguments: r#"{"a":3}"#.into() };
        assert_eq!(said(stream.as_bytes()).unwrap(), Said { text: String::new(), calls: vec![call] });
        assert!(said(b"data: {}\n\n").is_err());
    }
}
