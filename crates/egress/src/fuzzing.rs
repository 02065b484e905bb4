//! What has to hold of every reading of what a sandbox sent, for fuzzing and for the test that replays its corpus.

use super::head::{self, Head, Kind};
use super::hello::{self, Hello};
use super::host::Host;

/// Reads bytes as the head of a request.
///
/// # Errors
/// What does not hold.
pub fn head(bytes: &[u8]) -> Result<(), &'static str> {
    let half = head::kind(&bytes[..bytes.len() / 2]);
    if half != Kind::Unclear && half != head::kind(bytes) {
        return Err("a beginning was taken for something else than the whole");
    }
    let Head::Asks(asks) = head::read(bytes) else { return Ok(()) };
    let request = match asks.request {
        _ if asks.port == 0 || asks.length > bytes.len() => return Err("there is no such port or length"),
        None => return Ok(()),
        Some(request) => request.head.iter().map(|byte| char::from(*byte)).collect::<String>(),
    };
    let (first, lines) = request.split_once("\r\n").ok_or("a head was made without an end")?;
    let is_host = |line: &&str| line.to_ascii_lowercase().starts_with("host:");
    if first.split(' ').count() != 3 || !first.split(' ').nth(1).is_some_and(|path| path.starts_with('/')) {
        return Err("a first line was made that is none for a server");
    }
    if lines.split("\r\n").filter(is_host).count() != 1 || !request.ends_with("\r\n\r\n") {
        return Err("a head was made without one host, or without an end");
    }
    if request.replace("\r\n", "").contains(['\r', '\n', '\0']) || request.matches("\r\n\r\n").count() != 1 {
        return Err("a head was made that can be read as two");
    }
    Ok(())
}

/// Reads bytes as the first message of TLS.
///
/// # Errors
/// What does not hold.
pub fn hello(bytes: &[u8]) -> Result<(), &'static str> {
    let Hello::Named(name) = hello::read(bytes) else { return Ok(()) };
    let half = hello::read(&bytes[..bytes.len() / 2]);
    if !matches!(half, Hello::Partial) && half != Hello::Named(name.clone()) {
        return Err("a beginning was read as something else than the whole");
    }
    // A name that a rule can be for is written in the message as it is, unless a record ends within it.
    let whole = bytes.windows(name.len().max(1)).any(|window| window == name.as_bytes());
    let records = bytes.windows(2).filter(|window| window == &[22, 3]).count();
    match Host::parse(&name) {
        Ok(_) if !whole && records < 2 => Err("a name was read that is not there"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn replay(target: &str, read: impl Fn(&[u8]) -> Result<(), &'static str>) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 8, "the corpus is gone: {files:?}");
        files.iter().for_each(|file| assert_eq!(read(&fs::read(file).unwrap()), Ok(()), "{}", file.display()));
    }

    #[test]
    fn the_corpus_of_heads() {
        replay("head", head);
    }

    #[test]
    fn the_corpus_of_first_messages() {
        replay("hello", hello);
    }
}
