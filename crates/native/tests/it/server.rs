//! An HTTP server that says what a test tells it to say, and remembers what it was asked.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// Nothing here takes this long; a test that waits longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One answer.
#[derive(Clone)]
pub enum Reply {
    /// A whole response.
    Send { status: u16, headers: &'static str, body: String },
    /// Part of a response, then the end of the connection.
    Cut(String),
    /// No answer for as long as the client waits.
    Hold,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub struct Server {
    pub url: String,
    asked: Receiver<Asked>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Server {
    /// Answers requests in order; one more than there are replies gets a 500.
    pub fn scripted(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(replies.into_iter().collect()));
        let queue = Arc::clone(&replies);
        let spent = || Reply::Send { status: 400, headers: "", body: "the script is at its end".into() };
        Self::start(replies, move |_| queue.lock().unwrap().pop_front().unwrap_or_else(spent))
    }

    /// Answers every request by a function of it.
    pub fn answering(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Arc::default(), answer)
    }

    fn start(replies: Arc<Mutex<VecDeque<Reply>>>, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = channel();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, answer) = (sender.clone(), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream.unwrap(), &sender, answer.as_ref()));
            }
        });
        Self { url, asked, replies }
    }

    /// Adds a reply to the script.
    pub fn then(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// The next request; waits for it.
    pub fn next(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("the agent asked nothing")
    }

    /// All requests that came and were not looked at.
    pub fn rest(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn serve(stream: TcpStream, asked: &Sender<Asked>, answer: &dyn Fn(&Asked) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read(&mut reader) {
        let reply = answer(&request);
        if asked.send(request).is_err() {
            return;
        }
        match reply {
            Reply::Send { status, headers, body } => write(&stream, status, headers, &body, body.len()),
            Reply::Cut(body) => {
                write(&stream, 200, "content-type: text/event-stream\r\n", &body, body.len() + 1);
                return;
            }
            // Until the client goes away.
            Reply::Hold => {
                let _ = reader.read(&mut [0]);
                return;
            }
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = String::new();
    while reader.read_line(&mut headers).ok()? > 2 {}
    let headers = headers.to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { path, headers, body })
}

fn write(mut stream: &TcpStream, status: u16, headers: &str, body: &str, length: usize) {
    // The client may have gone away already.
    let _ =
        stream.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{body}").as_bytes());
}
