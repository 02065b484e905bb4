//! Keeps calls in a cassette.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{CassetteError, Ending, Take, blob_path, name_of, takes_path};
use crate::ledger::Call;
use crate::mask::Masker;

/// How hard bodies are compressed: zstd's own default, a few milliseconds for a request of a megabyte.
const LEVEL: i32 = 3;

/// Headers of an answer that clients act on.
static KEPT: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
];

/// Keeps calls. Clones write the same cassette.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Tape>);

#[derive(Debug)]
struct Tape {
    dir: PathBuf,
    masker: Masker,
    takes: Mutex<File>,
}

/// What came back from a call.
pub(crate) struct Heard {
    pub(crate) ending: Ending,
    pub(crate) status: Option<StatusCode>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Recorder {
    /// A recorder into that folder, which is made, or gone on with when it is a cassette already. Everything that
    /// `masker` knows is covered in what is kept.
    ///
    /// # Errors
    /// The folder or a file in it cannot be written.
    pub fn open(dir: &Path, masker: Masker) -> Result<Self, CassetteError> {
        let wrong = |error: io::Error| CassetteError::new(dir, format!("cannot be written: {error}"));
        DirBuilder::new().recursive(true).mode(0o700).create(dir.join("blobs")).map_err(wrong)?;
        let path = takes_path(dir);
        let wrong = |error: io::Error| CassetteError::new(&path, format!("cannot be written: {error}"));
        let takes = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(&path).map_err(wrong)?;
        cut_torn_line(&path, &takes).map_err(wrong)?;
        Ok(Recorder(Arc::new(Tape { dir: dir.to_owned(), masker, takes: Mutex::new(takes) })))
    }

    /// Keeps one call. A call that cannot be kept is told to the log and goes on: the mission matters more.
    pub(crate) async fn keep(&self, call: &Call, path: String, request: Bytes, heard: Heard) {
        let (tape, take) = (Arc::clone(&self.0), take_of(call, path, &heard));
        let kept = tokio::task::spawn_blocking(move || tape.keep(take, &request, heard.body.as_deref())).await;
        let kept = kept.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = kept {
            tracing::error!(agent = %call.agent, %error, "a call cannot be kept; the mission cannot be replayed in full");
        }
    }
}

impl Tape {
    fn keep(&self, mut take: Take, request: &[u8], answer: Option<&[u8]>) -> io::Result<()> {
        take.request = self.blob(request)?;
        take.answer = answer.map(|answer| self.blob(answer)).transpose()?;
        let mut line = self.masker.text(&serde_json::to_string(&take)?).into_owned();
        line.push('\n');
        self.takes.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }

    fn blob(&self, bytes: &[u8]) -> io::Result<String> {
        let bytes = self.masker.bytes(bytes);
        let name = name_of(&bytes);
        let path = blob_path(&self.dir, &name);
        if path.exists() {
            return Ok(name);
        }
        let folder = path.parent().unwrap_or(&self.dir);
        fs::create_dir_all(folder)?;
        // Two calls may write the same body at the same time; each has a file of its own until it is whole.
        let mut fresh = tempfile::NamedTempFile::new_in(folder)?;
        fresh.write_all(&zstd::encode_all(&*bytes, LEVEL)?)?;
        fresh.persist(&path)?;
        Ok(name)
    }
}

fn take_of(call: &Call, path: String, heard: &Heard) -> Take {
    let kept = KEPT.iter().filter_map(|name| {
        let value = heard.headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    Take {
        mission: call.mission.clone(),
        agent: call.agent.clone(),
        attempt: call.attempt,
        path,
        request: String::new(),
        ending: heard.ending,
        status: heard.status.map_or(0, |status| status.as_u16()),
        headers: kept.collect(),
        answer: None,
    }
}

fn cut_torn_line(path: &Path, takes: &File) -> io::Result<()> {
    let text = fs::read(path)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < text.len() { takes.set_len(whole as u64) } else { Ok(()) }
}
