//! The proxy on a donated listener, with nothing else behind it.

use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::proxy::{Proxy, Served, answer};
use super::relay::farewell;

/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait for their first bytes, beyond those that the proxy serves.
const WAITING_MAX: usize = 64;

/// A proxy at work; dropping it ends it with all its connections.
#[derive(Debug)]
pub struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves a sandbox's listener on `runtime`, until the answer is dropped. What is not to a proxy is answered 403.
///
/// # Errors
/// When the listener cannot be used for waiting.
pub fn serve(runtime: &Handle, listener: std::net::TcpListener, proxy: Proxy) -> io::Result<Serving> {
    listener.set_nonblocking(true)?;
    let _here = runtime.enter();
    let listener = TcpListener::from_std(listener)?;
    Ok(Serving(runtime.spawn(accept(listener, proxy)).abort_handle()))
}

async fn accept(listener: TcpListener, proxy: Proxy) {
    let most = proxy.limits().connections + WAITING_MAX;
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= most {
            connections.join_next().await;
        }
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => _ = connections.spawn(connection(stream, proxy.clone())),
            // A client that is gone before it was let in, or no free descriptor: neither is the listener's end.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, proxy: Proxy) {
    if let Served::Other(stream, _) = proxy.serve(stream, Vec::new()).await {
        let text = "muster: there is only an HTTP proxy here; see HTTPS_PROXY.\n";
        farewell(stream, &answer("403 Forbidden", text)).await;
    }
}

/// The variables that make programs use a proxy at `door`; upper and lower case, because programs differ.
pub fn proxy_variables(door: SocketAddrV4) -> impl Iterator<Item = (String, String)> {
    let proxy = format!("http://{door}");
    let direct = "127.0.0.1,localhost,::1".to_owned();
    [("http_proxy", proxy.clone()), ("https_proxy", proxy), ("no_proxy", direct)]
        .into_iter()
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_ascii_uppercase(), value)])
}
