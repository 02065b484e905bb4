//! Names become addresses outside of the sandbox, so that nothing inside can ask a name server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

/// A name's addresses, later.
pub type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Who finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// The addresses where `name` is served on `port`, best first. It is asked once for a connection: what it says is
    /// judged, and one of the addresses that passed is connected to.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a>;
}

/// The host's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, port)).await?.collect()) })
    }
}
