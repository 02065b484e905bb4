//! The one HTTP client of the process, for models and tool servers alike.
//!
//! Everything it reaches is plain HTTP on the sandbox's own loopback, so it is built without TLS roots (there is no
//! `/etc/ssl` in there, and loading roots would cost more memory than the rest of the client), without proxies and
//! without compression.

use std::time::Duration;

/// A loopback listener answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds the client.
///
/// # Errors
/// A text; the HTTP library could not start, which no input can cause.
pub fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_certs_only(std::iter::empty())
        .http1_only()
        .no_proxy()
        .gzip(false)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|error| format!("cannot build the HTTP client: {error}"))
}
