//! What answers inside an agent's sandbox, on the listener that was made in there and given to us: the model gateway and the agent tools.
//!
//! The listener that a connection comes in on is the agent; nobody else can reach it. The session's key is asked for as well, so that a
//! program that the agent runs without giving it the key gets nothing. Of the proxy to allowed hosts no key is asked: what an agent may reach, all
//! that it starts may.

use crate::{
    intake::{self, Intake},
    meter::Meter,
    tools::AgentTools,
};
use api::rpc::LINE_BYTES_MAX;
use gateway::{Gateway, Session};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};
use workspace::egress::{Proxy, ProxyLimits, Replay, Served, Traffic};

/// Where the agent tools are.
pub(crate) const MCP_PATH: &str = "/mcp";
/// Connections of one agent at one time, beside those through its proxy.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, and how long a connection may wait for its next one.
const HEAD_LIMIT: Duration = Duration::from_secs(120);
/// The longest head, in bytes, and what is read ahead of what is asked for.
const HEAD_BYTES_MAX: usize = 128 << 10;
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;
type Mcp = StreamableHttpService<AgentTools, NeverSessionManager>;

/// Answers on an agent's listener until the task is aborted. `proxy` lets it through to the hosts of its policy, if there are any.
pub(crate) fn agent(
    listener: std::net::TcpListener,
    gateway: Gateway<Meter>,
    session: Session,
    tools: AgentTools,
    proxy: Option<Proxy>,
) -> io::Result<AbortHandle> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = true;
    config.sse_keep_alive = None;
    let mcp = Mcp::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    let door = Arc::new(Door { gateway, session, mcp, proxy, intake: Intake::new() });
    Ok(tokio::spawn(accept(listener, door)).abort_handle())
}

struct Door {
    gateway: Gateway<Meter>,
    session: Session,
    mcp: Mcp,
    proxy: Option<Proxy>,
    intake: Intake,
}

impl Drop for Door {
    fn drop(&mut self) {
        let traffic = self.proxy.iter().flat_map(Proxy::traffic);
        for (host, Traffic { connections, sent, received }) in traffic {
            tracing::info!(host, connections, sent, received, "an agent used the network");
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let proxied = if door.proxy.is_some() { ProxyLimits::default().connections } else { 0 };
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX + proxied {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it a small answer waits for the peer's acknowledgement; it works without, only slower.
                let _ = stream.set_nodelay(true);
                let door = Arc::clone(&door);
                connections.spawn(async move { door.serve(stream).await });
            }
            // A client that is gone before it was let in, or no free descriptor: neither is the listener's end.
            Err(error) => {
                tracing::warn!(%error, "an agent's connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    /// One connection: to the proxy, if there is one and the first words are for it; else to the gateway and the tools.
    async fn serve(&self, stream: TcpStream) {
        let (stream, first) = match &self.proxy {
            None => (stream, Vec::new()),
            Some(proxy) => match proxy.serve(stream, Vec::new()).await {
                Served::Done => return,
                Served::Other(stream, first) => (stream, first),
            },
        };
        let answer = service_fn(|request| self.answer(request));
        let stream = TokioIo::new(Replay::new(first, stream));
        let mut connection = http1::Builder::new();
        connection.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_BYTES_MAX);
        if let Err(error) = connection.serve_connection(stream, answer).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let is_tool = request.uri().path() == MCP_PATH;
        if is_tool && !self.session.admits(request.headers()) {
            return Ok(forbidden());
        }
        let (parts, body) = request.into_parts();
        let Ok((body, held)) = self.intake.admit(body).await else { return Ok(no_room()) };
        let answer = if is_tool {
            let answer = self.mcp.handle(Request::from_parts(parts, Limited::new(body, LINE_BYTES_MAX))).await;
            answer.map(|body| body.map_err(Into::into).boxed_unsync())
        } else {
            let answer = self.gateway.handle(&self.session, Request::from_parts(parts, body)).await;
            answer.map(|body| body.map_err(Into::into).boxed_unsync())
        };
        Ok(answer.map(|body| intake::holding(body, held).boxed_unsync()))
    }
}

fn forbidden() -> Response<Body> {
    let text = "The agent tools need the session's key: Authorization: Bearer <key>.";
    said(StatusCode::UNAUTHORIZED, text)
}

fn no_room() -> Response<Body> {
    said(
        StatusCode::SERVICE_UNAVAILABLE,
        "Too many large requests are under way. Try again when some have been answered.",
    )
}

fn said(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(bytes::Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
