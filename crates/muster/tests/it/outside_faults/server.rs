//! A provider that answers every call with the same bytes, and counts.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What it does with a call.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Status line, headers and body as they are.
    Raw(&'static str),
    /// A JSON body with this status.
    Json(u16, &'static str),
    /// The same, with one header more.
    With(u16, &'static str, &'static str),
    /// The head and a first piece of a stream, and then nothing until the test ends.
    Stalls,
    /// Nothing at all: the connection is closed.
    Closes,
}

pub struct Upstream {
    pub port: u16,
    calls: Arc<AtomicUsize>,
}

impl Upstream {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&calls);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || while serve(&stream, answer, &counted).is_some() {});
            }
        });
        Self { port, calls }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: &TcpStream, answer: Answer, calls: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    // What is no HTTP at all (a TLS greeting) is no call.
    if !first.is_ascii() || !first.contains("HTTP/1.1") {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        return None;
    }
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    calls.fetch_add(1, Ordering::SeqCst);
    let json = |status: u16, header: &str, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let text = match answer {
        Answer::Raw(text) => text.replace('\n', "\r\n"),
        Answer::Json(status, body) => json(status, "", body),
        Answer::With(status, header, body) => json(status, &format!("{header}\r\n"), body),
        Answer::Closes => return None,
        Answer::Stalls => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            let piece = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"I\"}}]}\n\n";
            stream.write_all(format!("{head}{piece}").as_bytes()).ok()?;
            stream.flush().ok()?;
            // Until the other side has had enough.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let _ = stream.read(&mut [0; 1]);
            return None;
        }
    };
    stream.write_all(text.as_bytes()).ok()?;
    stream.flush().ok()?;
    if matches!(answer, Answer::Raw(_)) { None } else { Some(()) }
}
