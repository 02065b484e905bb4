//! Attributes of the repository that mean something else, or nothing, to agents: filters and merge drivers are programs
//! that the user's own configuration names, and none of them is run here.

use crate::{
    CommitId, Error,
    git::Git,
    inspect::{File, LISTING_BYTES_MAX},
    window::Window,
};
use std::{collections::BTreeMap, fmt};

/// What will be otherwise for agents than it is in the user's checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoNote {
    /// Files pass through a filter (git-crypt, nbstripout and others) on their way in and out of the user's checkout.
    Filter {
        /// The filter's name.
        driver: String,
        /// How many files.
        files: usize,
        /// One of them.
        example: String,
    },
    /// Files are merged by a program of the user's.
    MergeDriver {
        /// The driver's name.
        driver: String,
        /// How many files.
        files: usize,
        /// One of them.
        example: String,
    },
    /// Files behind a filter differ from what is committed, or look so.
    NotCompared {
        /// How many files.
        files: usize,
    },
}

impl fmt::Display for RepoNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { driver, files, example } => write!(
                f,
                "{} under the filter '{driver}' ({example}): it is not run for agents, who see what is committed, and what they write there is committed as they write it",
                counted(*files, "file is", "files are")
            ),
            Self::MergeDriver { driver, files, example } => write!(
                f,
                "{} merged by the driver '{driver}' in your checkout ({example}): it is not run here, they are merged as text",
                counted(*files, "file is", "files are")
            ),
            Self::NotCompared { files } => write!(
                f,
                "{} under a filter may have changes in your checkout that are not committed, which only the filter could tell; the mission begins at the last commit",
                counted(*files, "file", "files")
            ),
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What was found.
#[derive(Default)]
pub(crate) struct Peculiar {
    pub notes: Vec<RepoNote>,
    /// Files of which only a pointer is committed.
    pub lfs: Vec<String>,
}

/// Most files of attributes that are read; repositories have one or two.
const ATTRIBUTE_FILES_MAX: usize = 200;
/// A pointer of Git LFS is smaller.
const POINTER_BYTES_MAX: u64 = 1024;
const POINTER_START: &[u8] = b"version https://git-lfs.github.com/spec/";
/// Drivers that are told of.
const NOTES_MAX: usize = 8;

/// Looks through the attributes that hold at `head`.
pub(crate) async fn find(window: &Window, head: &CommitId, files: &[File]) -> Result<Peculiar, Error> {
    let mut found = Peculiar::default();
    if !is_worth_a_look(window, files).await? {
        return Ok(found);
    }
    let stdin: Vec<u8> = files.iter().flat_map(|file| [file.path.as_bytes(), b"\0"].concat()).collect();
    let source = format!("--attr-source={head}");
    let git = window.git().to("reading the attributes of files").args([source]).stdin(stdin);
    let answer =
        git.args(["check-attr", "-z", "--stdin", "filter", "merge"]).output_max(LISTING_BYTES_MAX).run().await?;
    let (mut filters, mut drivers, mut lfs) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let values: Vec<String> = answer.fields().collect();
    // Two answers for each file, in its order, of three fields.
    for (file, answers) in files.iter().zip(values.chunks(6)) {
        let [_, _, filter, _, _, merge] = answers else { continue };
        if filter == "lfs" {
            lfs.push(file);
        } else if is_named(filter) {
            count(&mut filters, filter, &file.path);
        }
        if is_named(merge) && !matches!(merge.as_str(), "union" | "binary" | "text") && filter != "lfs" {
            count(&mut drivers, merge, &file.path);
        }
    }
    found.lfs = pointers(window, &lfs).await?;
    let note = |(driver, (files, example))| RepoNote::Filter { driver, files, example };
    found.notes.extend(filters.into_iter().map(note).take(NOTES_MAX));
    let note = |(driver, (files, example))| RepoNote::MergeDriver { driver, files, example };
    found.notes.extend(drivers.into_iter().map(note).take(NOTES_MAX));
    Ok(found)
}

fn count(found: &mut BTreeMap<String, (usize, String)>, driver: &str, path: &str) {
    found.entry(driver.to_owned()).or_insert_with(|| (0, path.to_owned())).0 += 1;
}

/// Whether the value of an attribute is a name.
pub(crate) fn is_named(value: &str) -> bool {
    !matches!(value, "unspecified" | "unset" | "set" | "")
}

/// Whether any attribute is given that matters here; asking for those of every file takes its time.
async fn is_worth_a_look(window: &Window, files: &[File]) -> Result<bool, Error> {
    if window.manners.attributes().into_iter().any(mentions) {
        return Ok(true);
    }
    let is_attributes = |file: &&File| file.path == ".gitattributes" || file.path.ends_with("/.gitattributes");
    for file in files.iter().filter(is_attributes).take(ATTRIBUTE_FILES_MAX) {
        let git = window.git().to(format!("reading {}", file.path));
        if mentions(&git.args(["cat-file", "blob", &file.oid]).run().await?.stdout) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn mentions(attributes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(attributes);
    let words = ["filter=", "merge="];
    text.lines().any(|line| !line.trim_start().starts_with('#') && words.iter().any(|word| line.contains(word)))
}

/// Which of these files are pointers: an attribute alone makes none.
async fn pointers(window: &Window, files: &[&File]) -> Result<Vec<String>, Error> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let ask = |git: Git, oids: String, args: &'static [&'static str]| git.args(args).stdin(oids).run();
    let oids: String = files.iter().map(|file| format!("{}\n", file.oid)).collect();
    let git = window.git().to("looking for files in Git LFS").output_max(LISTING_BYTES_MAX);
    let sizes = ask(git, oids, &["cat-file", "--batch-check=%(objectsize)"]).await?.line();
    let small = |size: &str| size.parse::<u64>().is_ok_and(|size| size < POINTER_BYTES_MAX);
    let candidates: Vec<&&File> =
        files.iter().zip(sizes.lines()).filter(|(_, size)| small(size)).map(|(file, _)| file).collect();
    let mut found = Vec::new();
    for file in candidates.into_iter().take(ATTRIBUTE_FILES_MAX) {
        let blob =
            window.git().to(format!("reading {}", file.path)).args(["cat-file", "blob", &file.oid]).run().await?;
        if blob.stdout.starts_with(POINTER_START) {
            found.push(file.path.clone());
        }
    }
    Ok(found)
}
