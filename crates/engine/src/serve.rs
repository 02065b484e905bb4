//! What answers inside an agent's sandbox, on the listener that was made in there and given to us: the model gateway and the agent tools.
//!
//! The listener that a connection comes in on is the agent; nobody else can reach it. The session's key is asked for as well, so that a
//! program that the agent runs without giving it the key gets nothing.

use crate::{meter::Meter, tools::AgentTools};
use gateway::{Gateway, Session};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    task::{AbortHandle, JoinSet},
};

/// Where the agent tools are.
pub(crate) const MCP_PATH: &str = "/mcp";
/// Connections of one agent at one time.
const CONNECTIONS_MAX: usize = 64;
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;
type Mcp = StreamableHttpService<AgentTools, NeverSessionManager>;

/// Answers on an agent's listener until the task is aborted.
pub(crate) fn agent(
    listener: std::net::TcpListener,
    gateway: Gateway<Meter>,
    session: Session,
    tools: AgentTools,
) -> io::Result<AbortHandle> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut config = StreamableHttpServerConfig::default();
    config.legacy_session_mode = false;
    config.json_response = true;
    config.sse_keep_alive = None;
    let mcp = Mcp::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config);
    let door = Arc::new(Door { gateway, session, mcp });
    Ok(tokio::spawn(accept(listener, door)).abort_handle())
}

struct Door {
    gateway: Gateway<Meter>,
    session: Session,
    mcp: Mcp,
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it a small answer waits for the peer's acknowledgement; it works without, only slower.
                let _ = stream.set_nodelay(true);
                let door = Arc::clone(&door);
                connections.spawn(async move {
                    let answer = service_fn(|request| door.answer(request));
                    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                });
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
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if request.uri().path() != MCP_PATH {
            let answer = self.gateway.handle(&self.session, request).await;
            return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
        }
        if !self.session.admits(request.headers()) {
            return Ok(forbidden());
        }
        let answer = self.mcp.handle(request).await;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }
}

fn forbidden() -> Response<Body> {
    let text = "The agent tools need the session's key: Authorization: Bearer <key>.";
    let body = Full::new(bytes::Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}
