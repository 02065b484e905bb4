//! What the environment says is secret: it is known before anything is logged or printed.

use engine::{Masking, Named};
use std::{
    io::{self, Write},
    path::Path,
    sync::OnceLock,
};

/// Ends of the names of variables that hold secrets.
const ENDINGS: [&str; 4] = ["_KEY", "_TOKEN", "_SECRET", "_PASSWORD"];

/// What must not be written by this process. The engine adds to it.
pub(crate) fn masking() -> &'static Masking {
    static MASKING: OnceLock<Masking> = OnceLock::new();
    MASKING.get_or_init(|| {
        let masking = Masking::default();
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        masking.add(
            variables
                .filter(|(name, value)| is_secret(name, value))
                .map(|(name, value)| -> Named { (name, value.into()) }),
        );
        masking
    })
}

/// The name tells. A place where a secret lies is none itself.
fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let path = Path::new(value);
    ENDINGS.iter().any(|end| name.ends_with(end)) && !(path.is_absolute() && path.exists())
}

/// Standard error for logs: one write is one whole line.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        crate::screen::live::above(|out| out.write_all(&masking().masker().bytes(bytes)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
        for name in ["OPENAI_API_KEY", "github_token", "X_SECRET", "DB_PASSWORD"] {
            assert!(is_secret(name, "0123456789"), "{name}");
        }
        for (name, value) in [("KEYBOARD", "0123456789"), ("PATH", "0123456789"), ("SSL_KEY", "/")] {
            assert!(!is_secret(name, value), "{name}");
        }
    }
}
