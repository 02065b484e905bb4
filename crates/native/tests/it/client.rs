//! A client of the agent, and the places it works in.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{PATIENCE, Server};

/// The key that must not leave the agent.
pub const KEY: &str = "virtual-key-of-the-test";

/// Home and checkout of an agent; outlives the agent's process.
pub struct Place {
    home: TempDir,
    work: TempDir,
    env: Vec<(&'static str, String)>,
}

impl Place {
    pub fn new(model: &Server) -> Self {
        let dir = || tempfile::tempdir().unwrap();
        let env = vec![
            ("MUSTER_MODEL", "model-of-the-test-max".to_owned()),
            ("OPENAI_BASE_URL", format!("{}/v1", model.url)),
            ("OPENAI_API_KEY", KEY.to_owned()),
            ("ANTHROPIC_BASE_URL", model.url.clone()),
            ("ANTHROPIC_API_KEY", KEY.to_owned()),
        ];
        Self { home: dir(), work: dir(), env }
    }

    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    pub fn work(&self) -> &Path {
        self.work.path()
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.work.path().join(name), content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work.path().join(name)).unwrap_or_default()
    }

    /// Records of a session's log.
    pub fn log(&self, session: &str) -> Vec<Value> {
        let path = self.home.path().join(format!(".muster/sessions/{session}.jsonl"));
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A fifo in the checkout. A command that opens it for writing can be waited for, and its death seen.
    pub fn fifo(&self, name: &str) -> std::path::PathBuf {
        let path = self.work.path().join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path
    }

    /// Starts the agent here and says hello.
    pub fn start(&self) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_native-agent"));
        let path = std::env::var("PATH").unwrap();
        command.env_clear().env("PATH", path).env("HOME", self.home.path()).envs(self.env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let stdin = process.stdin.take();
        let mut client = Client { process, stdin, lines, updates: Vec::new(), ids: 0 };
        let hello = client.ask("initialize", json!({ "protocolVersion": 1, "clientCapabilities": {} }));
        assert_eq!(hello["agentCapabilities"]["loadSession"], true);
        client
    }

    /// Starts the agent and opens a session without tool servers.
    pub fn open(&self) -> (Client, String) {
        let mut client = self.start();
        let session = client.new_session(self, json!([]));
        (client, session)
    }
}

/// One process of the agent.
pub struct Client {
    pub process: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What was told by `session/update`, in order.
    pub updates: Vec<Value>,
    ids: i64,
}

impl Client {
    pub fn new_session(&mut self, place: &Place, servers: Value) -> String {
        let opened = self.ask("session/new", json!({ "cwd": place.work(), "mcpServers": servers }));
        opened["sessionId"].as_str().unwrap().to_owned()
    }

    pub fn load(&mut self, place: &Place, session: &str, servers: Value) {
        self.ask("session/load", json!({ "sessionId": session, "cwd": place.work(), "mcpServers": servers }));
    }

    /// A whole turn.
    pub fn prompt(&mut self, session: &str, text: &str) -> Value {
        let id = self.send_prompt(session, text);
        self.result(id)
    }

    pub fn send_prompt(&mut self, session: &str, text: &str) -> i64 {
        self.send("session/prompt", json!({ "sessionId": session, "prompt": [{ "type": "text", "text": text }] }))
    }

    /// A whole turn of this number, begun before or not.
    pub fn turn(&mut self, session: &str, text: &str, number: u32, resumed: bool) -> Value {
        let meta = json!({ "muster/turn": number, "muster/resume": resumed });
        let prompt = json!([{ "type": "text", "text": text }]);
        let id = self.send("session/prompt", json!({ "sessionId": session, "prompt": prompt, "_meta": meta }));
        self.result(id)
    }

    /// Goes on with an interrupted turn.
    pub fn resume(&mut self, session: &str) -> Value {
        let id = self.send_resume(session);
        self.result(id)
    }

    pub fn send_resume(&mut self, session: &str) -> i64 {
        let prompt = json!([{ "type": "text", "text": "go on" }]);
        self.send(
            "session/prompt",
            json!({ "sessionId": session, "prompt": prompt, "_meta": { "muster/resume": true } }),
        )
    }

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        self.result(id)
    }

    pub fn send(&mut self, method: &str, params: Value) -> i64 {
        self.ids += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.ids, "method": method, "params": params });
        self.write(&request.to_string());
        self.ids
    }

    pub fn tell(&mut self, method: &str, params: Value) {
        self.write(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string());
    }

    pub fn write(&mut self, line: &str) {
        let mut stdin = self.stdin.as_ref().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn result(&mut self, id: i64) -> Value {
        let answer = self.answer(&json!(id));
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// The answer to a request; updates before it are kept.
    pub fn answer(&mut self, id: &Value) -> Value {
        loop {
            let message = self.message();
            if message.get("id") == Some(id) {
                return message;
            }
        }
    }

    fn message(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the agent says nothing");
        let message: Value = serde_json::from_str(&line).unwrap();
        if message["method"] == "session/update" {
            self.updates.push(message["params"]["update"].clone());
        }
        message
    }

    /// Texts of updates of one kind.
    pub fn told(&self, kind: &str) -> String {
        let told = self.updates.iter().filter(|update| update["sessionUpdate"] == kind);
        told.map(|update| update["content"]["text"].as_str().unwrap()).collect()
    }

    /// Kills the process at once.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Closes stdin; returns the exit code.
    pub fn leave(mut self) -> Option<i32> {
        self.stdin = None;
        self.process.wait().unwrap().code()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a turn ended: the protocol's word and ours.
pub fn stop(result: &Value) -> (&str, &str) {
    (result["stopReason"].as_str().unwrap(), result["_meta"]["muster/stop"].as_str().unwrap())
}
