//! An upstream on loopback that sends exactly the bytes it is told to, in exactly these HTTP chunks.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// A request as the mock saw it.
pub struct Seen {
    /// Request line and headers, as sent.
    pub head: String,
    pub body: Vec<u8>,
    /// Counts the connections of the mock.
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

#[derive(Clone)]
pub enum Play {
    /// One HTTP chunk.
    Send(Vec<u8>),
    /// Waits for a permit.
    Wait(Arc<Semaphore>),
    /// Ends the connection without a proper end of the answer.
    Break,
}

#[derive(Clone)]
pub struct Reply {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    /// Waits for a permit before the head.
    pub before: Option<Arc<Semaphore>>,
    pub plays: Vec<Play>,
}

impl Reply {
    pub fn json(body: &str) -> Reply {
        Reply::of("application/json", vec![Play::Send(body.into())])
    }

    pub fn events(plays: Vec<Play>) -> Reply {
        Reply::of("text/event-stream", plays)
    }

    pub fn of(content_type: &str, plays: Vec<Play>) -> Reply {
        Reply { status: "200 OK", headers: vec![("content-type", content_type.to_owned())], before: None, plays }
    }
}

pub struct Mock {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub seen: mpsc::UnboundedReceiver<Seen>,
}

impl Mock {
    /// Answers every request with what `reply` makes of it.
    pub async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, seen) = mpsc::unbounded_channel();
        let reply = Arc::new(reply);
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(connection(stream, Arc::clone(&reply), tell.clone(), number));
            }
        });
        Mock { url, seen }
    }

    pub async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }
}

/// Serves requests until either side ends the connection; an error of the socket is the end of it, too.
async fn connection(
    stream: TcpStream,
    reply: Arc<impl Fn(&Seen) -> Reply>,
    tell: mpsc::UnboundedSender<Seen>,
    number: usize,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let mut seen = Seen { head, body: Vec::new(), connection: number };
        seen.body = vec![0; seen.header("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut seen.body).await?;
        let Reply { status, headers, before, plays } = reply(&seen);
        let _ = tell.send(seen);

        if let Some(permits) = before {
            permits.acquire().await.unwrap().forget();
        }
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{headers}transfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        for play in plays {
            match play {
                Play::Send(bytes) => {
                    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                    stream.write_all(&chunk).await?;
                }
                Play::Wait(permits) => permits.acquire().await.unwrap().forget(),
                Play::Break => return Ok(()),
            }
        }
        stream.write_all(b"0\r\n\r\n").await?;
    }
}
