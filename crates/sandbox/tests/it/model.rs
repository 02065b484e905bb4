//! A model for the real agents: it asks for one command, and when it gets the result it says that it is done. It speaks the
//! three formats, as streams, with the least that each agent takes, and listens on the listener that a sandbox donates.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;

/// A model at work; dropping it ends it.
pub struct Model {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Model {
    /// Answers until it is dropped; the command is the same in every conversation.
    pub fn serve(listener: TcpListener, command: &str) -> Self {
        let (ours, command) = (listener.try_clone().unwrap(), command.to_owned());
        let serve = move || {
            while let Ok((stream, _)) = ours.accept() {
                let command = command.clone();
                // Who hangs up early has what it wanted.
                std::thread::spawn(move || _ = answer(stream, &command));
            }
        };
        Self { listener, thread: Some(std::thread::spawn(serve)) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        self.thread.take().unwrap().join().unwrap();
    }
}

fn answer(mut stream: TcpStream, command: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body);
    let path = first.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
    let (status, text) = match path {
        "/v1/responses" => ("200 OK", responses(&body, command)),
        "/v1/messages" => ("200 OK", messages(&body, command)),
        "/v1/chat/completions" => ("200 OK", chat(&body, command)),
        _ => ("404 Not Found", String::new()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/event-stream\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// Whether it is time to ask for the command: the tool is there and has not been used.
fn asks(body: &str, tool: &str, result: &str) -> bool {
    body.contains(tool) && !body.contains(result)
}

fn responses(body: &str, command: &str) -> String {
    let args = serde_json::json!({"cmd": command}).to_string();
    let item = if asks(body, "exec_command", "function_call_output") {
        serde_json::json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "exec_command",
            "arguments": args, "status": "completed"})
    } else {
        serde_json::json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "all done", "annotations": []}]})
    };
    let usage = serde_json::json!({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15});
    events(&[
        serde_json::json!({"type": "response.created", "response": {"id": "resp_1"}}),
        serde_json::json!({"type": "response.output_item.done", "item": item}),
        serde_json::json!({"type": "response.completed", "response": {"id": "resp_1", "usage": usage}}),
    ])
}

fn messages(body: &str, command: &str) -> String {
    let asks = asks(body, "\"Bash\"", "\"tool_result\"");
    let args = serde_json::json!({"command": command, "description": "makes a file"}).to_string();
    let (block, delta, reason) = match asks {
        true => (
            serde_json::json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}),
            serde_json::json!({"type": "input_json_delta", "partial_json": args}),
            "tool_use",
        ),
        false => (
            serde_json::json!({"type": "text", "text": ""}),
            serde_json::json!({"type": "text_delta", "text": "all done"}),
            "end_turn",
        ),
    };
    let usage = serde_json::json!({"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": 1});
    events(&[
        serde_json::json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "model": "scripted", "content": [], "stop_reason": null, "usage": usage}}),
        serde_json::json!({"type": "content_block_start", "index": 0, "content_block": block}),
        serde_json::json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        serde_json::json!({"type": "content_block_stop", "index": 0}),
        serde_json::json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 5}}),
        serde_json::json!({"type": "message_stop"}),
    ])
}

fn chat(body: &str, command: &str) -> String {
    let args = serde_json::json!({"command": command, "description": "makes a file"}).to_string();
    let (delta, reason) = match asks(body, "\"bash\"", "\"role\":\"tool\"") {
        true => (
            serde_json::json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "call_1", "type": "function",
                "function": {"name": "bash", "arguments": args}}]}),
            "tool_calls",
        ),
        false => (serde_json::json!({"role": "assistant", "content": "all done"}), "stop"),
    };
    let chunk = |choices: serde_json::Value, usage: serde_json::Value| {
        let chunk = serde_json::json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let null = serde_json::Value::Null;
    let usage = serde_json::json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    [
        chunk(serde_json::json!([{"index": 0, "delta": delta, "finish_reason": null}]), null.clone()),
        chunk(serde_json::json!([{"index": 0, "delta": {}, "finish_reason": reason}]), null),
        chunk(serde_json::json!([]), usage),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat()
}

fn events(list: &[serde_json::Value]) -> String {
    list.iter().map(|value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())).collect()
}
