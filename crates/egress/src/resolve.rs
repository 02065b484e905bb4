//! Names become addresses outside of the sandbox, so that nothing inside can ask a name server.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

/// A name's addresses, later.
pub type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Who finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// The addresses where `name` is served on `port`, best first. It is asked once for a connection: what it says is
    /// judged, and one of the addresses that passed is connected to.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a>;
}

/// Names that are looked up at a time, for all sandboxes. Each holds a thread of the runtime until the name server has answered
/// or the system has given up, also when nobody waits any more; the runtime needs its threads for files as well.
const LOOKUPS_MAX: usize = 32;

static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS_MAX)));

/// The host's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        let name = name.to_owned();
        Box::pin(one_of(&LOOKUPS, move || Ok((name.as_str(), port).to_socket_addrs()?.collect())))
    }
}

/// Runs this on a thread that may be blocked, when its turn comes. The turn is over when the thread is free, not when the caller
/// stops waiting.
async fn one_of<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let turn = Arc::clone(turns).acquire_owned().await.map_err(io::Error::other)?;
    let looked_up = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        look_up()
    });
    looked_up.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_turn_is_over_when_its_thread_is_free() {
        let turns = Arc::new(Semaphore::new(1));
        let (go, going) = mpsc::channel::<()>();
        let (began, begun) = tokio::sync::oneshot::channel();
        let first = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                one_of(&turns, move || {
                    began.send(()).unwrap();
                    let _ = going.recv();
                    Ok(1)
                })
                .await
            }
        });
        begun.await.unwrap();
        first.abort();
        assert!(first.await.is_err());
        assert_eq!(turns.available_permits(), 0, "nobody waits, but the thread is taken");
        drop(go);
        assert_eq!(one_of(&turns, || Ok(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_host_knows_itself() {
        let found = SystemResolver.resolve("localhost", 80).await.unwrap();
        assert!(found.iter().any(|address| address.ip().is_loopback() && address.port() == 80), "{found:?}");
    }
}
