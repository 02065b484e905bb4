//! The agent's end of the pipes, played step by step.

use agents::acp::{AgentError, Connection, Io, SessionId, Settings, Tap, Update, Updates};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};

pub struct Peer {
    lines: Option<Lines<BufReader<DuplexStream>>>,
    output: Option<DuplexStream>,
    pub stderr: Option<DuplexStream>,
}

pub type PeerIo = Io<DuplexStream, DuplexStream, DuplexStream>;

/// Both ends, with pipes of 64 KiB as the kernel's are.
pub fn pipes() -> (PeerIo, Peer) {
    let (stdin, input) = tokio::io::duplex(64 * 1024);
    let (output, stdout) = tokio::io::duplex(64 * 1024);
    let (errors, stderr) = tokio::io::duplex(64 * 1024);
    let lines = Some(BufReader::new(input).lines());
    (Io { stdin, stdout, stderr: Some(stderr) }, Peer { lines, output: Some(output), stderr: Some(errors) })
}

/// An agent that has said hello.
pub async fn started(settings: Settings) -> (Connection, Peer, Updates) {
    let (io, mut peer) = pipes();
    let (tap, updates) = Tap::new(1000);
    let (connection, ()) = tokio::join!(Connection::start(io, tap, settings), peer.hello());
    (connection.unwrap(), peer, updates)
}

pub fn session() -> SessionId {
    SessionId("s1".into())
}

impl Peer {
    pub async fn hello(&mut self) {
        let id = self.expect("initialize").await["id"].clone();
        let mcp = json!({"http": true});
        self.answer(
            &id,
            json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true, "mcpCapabilities": mcp}}),
        )
        .await;
    }

    /// The next line, which must be a call of this method or, if empty, a response.
    pub async fn expect(&mut self, method: &str) -> Value {
        let message = self.next().await.expect("the connection wrote nothing more");
        assert_eq!(message["method"].as_str().unwrap_or_default(), method, "{message}");
        message
    }

    pub async fn next(&mut self) -> Option<Value> {
        let lines = self.lines.as_mut().expect("the input is closed");
        let line = within(lines.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    pub async fn answer(&mut self, id: &Value, result: Value) {
        self.write(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()).await;
    }

    pub async fn fail(&mut self, id: &Value, error: Value) {
        self.write(&json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string()).await;
    }

    pub async fn update(&mut self, update: Value) {
        let params = json!({"sessionId": "s1", "update": update});
        self.write(&json!({"jsonrpc": "2.0", "method": "session/update", "params": params}).to_string()).await;
    }

    pub async fn say(&mut self, text: &str) {
        self.update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})).await;
    }

    pub async fn write(&mut self, line: &str) {
        self.write_bytes(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub async fn write_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.output.as_mut().expect("the output is closed").write_all(bytes).await
    }

    pub fn close_output(&mut self) {
        self.output = None;
        self.stderr = None;
    }

    pub fn close_input(&mut self) {
        self.lines = None;
    }
}

/// Everything in the tap once the connection is gone, one line each.
pub async fn told(connection: Connection, mut updates: Updates) -> Vec<String> {
    drop(connection);
    let mut told = Vec::new();
    while let Some(update) = updates.next().await {
        told.push(line(&update));
    }
    told
}

pub fn line(update: &Update) -> String {
    match update {
        Update::Session { change, .. } => format!("{change:?}"),
        Update::Permission { title, choice, .. } => format!("{title}: {choice:?}"),
        Update::Stderr { text } => format!("stderr {text:?}"),
        Update::BadLine { problem, line } => format!("bad line ({problem}): {line}"),
        Update::Note { text } => format!("note: {text}"),
        Update::Lost { count } => format!("lost {count}"),
    }
}

/// The future's result, or a failed test: nothing here takes long unless it never ends.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(30), future).await.expect("it does not end")
}

pub fn short() -> Settings {
    Settings { answer_limit: std::time::Duration::from_secs(5), ..Settings::default() }
}

pub fn is_timeout(error: &AgentError) -> bool {
    matches!(error, AgentError::Timeout { .. })
}
