//! A server of its own, for use without an engine: sessions are told apart by their key alone.

use std::io;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::format::Format;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::own::unauthorized;

/// Where [`serve`] listens.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket; bind it to loopback.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Serves the gateway over HTTP/1.1 until the listener fails; dropping the future ends its connections. Calls under
/// way are settled all the same.
pub async fn serve<L: Ledger>(gateway: Gateway<L>, listener: Listener) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                // Without it only the latency suffers.
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(gateway.clone(), stream));
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                connections.spawn(connection(gateway.clone(), stream));
            }),
        };
        match accepted {
            // A client that was gone before it was let in.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            other => other?,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<L: Ledger>(gateway: Gateway<L>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let answer = |request: Request<Incoming>| {
        let gateway = &gateway;
        async move {
            Ok::<_, std::convert::Infallible>(match gateway.session_of(request.headers()) {
                Some(session) => gateway.handle(&session, request).await,
                None => unauthorized(Format::of_errors_on(request.uri().path())),
            })
        }
    };
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
