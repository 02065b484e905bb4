//! Moving bytes between a sandbox and a host, for as long as either has something to say.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::tally::Meter;

const CHUNK_BYTES: usize = 16 << 10;
/// Bytes that are read and dropped after a refusal, so that the answer is not lost with the connection.
const FAREWELL_BYTES_MAX: usize = 256 << 10;
/// How long that may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// Both directions, until both have ended, one fails, or nothing moves for `idle`. An end is passed on by itself, so that
/// who has said all may still listen.
pub(crate) async fn tunnel(client: TcpStream, upstream: TcpStream, meter: &Meter, idle: Duration) {
    let ((mut from_client, mut to_client), (mut from_upstream, mut to_upstream)) =
        (client.into_split(), upstream.into_split());
    let moved = Notify::new();
    let out = pump(&mut from_client, &mut to_upstream, u64::MAX, &meter.sent, &moved);
    let back = pump(&mut from_upstream, &mut to_client, u64::MAX, &meter.received, &moved);
    tokio::select! {
        // Whatever failed, the other side cannot be served any more.
        _ = async { tokio::try_join!(out, back) } => {}
        () = silence(&moved, idle) => {}
    }
}

/// The rest of one request's body out, `left` bytes of it; one answer back, until its end or silence.
pub(crate) async fn exchange(client: &mut TcpStream, upstream: TcpStream, left: u64, meter: &Meter, idle: Duration) {
    let ((mut from_client, mut to_client), (mut from_upstream, mut to_upstream)) =
        (client.split(), upstream.into_split());
    let moved = Notify::new();
    let out = async {
        // A server may refuse the rest and say why: its answer is what counts. It is not told the end by a half-close,
        // which some take for a client that is gone.
        let _ = take(&mut from_client, &mut to_upstream, left, &meter.sent, &moved).await;
        std::future::pending::<()>().await;
    };
    let back = take(&mut from_upstream, &mut to_client, u64::MAX, &meter.received, &moved);
    tokio::select! {
        () = out => {}
        _ = back => {}
        () = silence(&moved, idle) => {}
    }
}

/// The last words to a client: it gets them even when it is still sending.
pub(crate) async fn farewell(mut client: TcpStream, words: &[u8]) {
    let goodbye = async {
        client.write_all(words).await?;
        client.shutdown().await?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut dropped = 0;
        while dropped < FAREWELL_BYTES_MAX {
            match client.read(&mut chunk).await? {
                0 => break,
                count => dropped += count,
            }
        }
        io::Result::Ok(())
    };
    // It is gone or does not listen; there is nobody left to tell.
    let _ = timeout(FAREWELL, goodbye).await;
}

async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    most: u64,
    count: &AtomicU64,
    moved: &Notify,
) -> io::Result<()> {
    take(from, to, most, count, moved).await?;
    to.shutdown().await
}

/// Moves at most `most` bytes.
async fn take(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    most: u64,
    count: &AtomicU64,
    moved: &Notify,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = most;
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let read = from.read(&mut chunk[..room]).await?;
        if read == 0 {
            break;
        }
        moved.notify_one();
        to.write_all(&chunk[..read]).await?;
        moved.notify_one();
        count.fetch_add(read as u64, Ordering::Relaxed);
        left -= read as u64;
    }
    Ok(())
}

/// Ends when nothing has moved for so long.
async fn silence(moved: &Notify, idle: Duration) {
    while timeout(idle, moved.notified()).await.is_ok() {}
}
