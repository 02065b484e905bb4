//! What is in an agent's tree and not in its checkpoint, and why.
//!
//! The script that takes a checkpoint says which paths are left when everything was added that can be: those that are
//! ignored (whole folders as one), those that git could not take, and those that are neither files nor links. What git said
//! while it tried tells why. All of it comes out of a sandbox over an agent's files, so it is bounded, and no more than names.

use crate::{Error, ErrorKind, Result};
use std::{collections::BTreeMap, fmt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

/// Paths that are named; of more the number is known.
pub const LEFT_OUT_MAX: usize = 60;
/// Bytes of one list that the script sends.
const LIST_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a path that are shown.
const PATH_BYTES_MAX: usize = 300;

/// Sends the lists of what is left. Comes after everything was added; `$GIT_DIR` is the snapshot store.
///
/// Folders that are ignored as a whole are not looked into, but for the name of one file of the first few.
pub(crate) const REPORT: &str = r#"
out=$GIT_DIR/left
git ls-files -z -t -o -m --exclude-standard >$out.others || :
git ls-files -z -o -i --exclude-standard --directory >$out.ignored || :
: >$out.rules; : >$out.inside
if [ -s $out.ignored ]; then
  head -c 65536 $out.ignored | sed -z 's|^|./|' | env -u GIT_LITERAL_PATHSPECS git check-ignore -v -z --stdin >$out.rules || :
  head -z -n 60 $out.ignored | grep -z '/$' | head -z -n 12 | xargs -0 -r -n 1 sh -c \
    'printf "%s\0" "$1"; find "./$1" ! -type d -print0 2>/dev/null | head -z -n 1 | grep -z . || printf "\0"' sh >$out.inside || :
fi
long=$(printf '%4090s' '' | tr ' ' '?')
find . -name .git -prune -o -path "./$long*" -prune -print0 -o ! -type f ! -type d ! -type l -print0 >$out.odd 2>/dev/null || :
echo left $(tr -dc '\000' <$out.others | wc -c) $(tr -dc '\000' <$out.ignored | wc -c) $(tr -dc '\000' <$out.odd | wc -c)
for list in others rules inside odd; do
  head -c 65536 $out.$list >$out.cut
  wc -c <$out.cut
  cat $out.cut
done
"#;

/// One path of the tree, or a folder of them, that is not in the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The path; a folder ends in `/`. At most some hundred bytes, and bytes that are not UTF-8 as the replacement character.
    pub path: String,
    /// A file in it, where it is a folder and that is known.
    pub inside: Option<String>,
    /// Why.
    pub why: WhyLeftOut,
}

/// Why something is not in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyLeftOut {
    /// A rule says so.
    Ignored {
        /// Where it stands: file, line and pattern.
        rule: String,
    },
    /// It cannot be read; the system's words.
    Unreadable(String),
    /// The path is longer than the system allows.
    TooLong,
    /// git takes no such name: it would mean git's own files on some system.
    Name,
    /// Its content cannot be turned into the encoding that an attribute names; git's words.
    Conversion(String),
    /// It is another repository inside this one.
    Repository,
    /// It is a socket, a pipe or a device.
    Special,
    /// What git said, or nothing.
    Other(String),
}

/// All that is known of what a checkpoint lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOuts {
    /// The first of them: those that could not be taken before those that are ignored.
    pub shown: Vec<LeftOut>,
    /// How many more there are; a folder counts once.
    pub more: usize,
}

impl WhyLeftOut {
    /// Whether a rule of the repository or of its user says so, and nothing went wrong.
    pub fn is_ignored(&self) -> bool {
        matches!(self, Self::Ignored { .. })
    }
}

impl fmt::Display for WhyLeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ignored { rule } => write!(f, "ignored by {rule}"),
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::TooLong => f.write_str("its path is longer than the system allows"),
            Self::Name => f.write_str("git takes no file of such a name"),
            Self::Conversion(said) => write!(f, "its content cannot be converted: {said}"),
            Self::Repository => f.write_str("it is a repository of its own"),
            Self::Special => f.write_str("it is neither a file nor a link"),
            Self::Other(said) if said.is_empty() => f.write_str("git did not take it"),
            Self::Other(said) => write!(f, "git did not take it: {said}"),
        }
    }
}

/// The lists as they come out of the sandbox.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    total: usize,
    others: Vec<Vec<u8>>,
    rules: Vec<Vec<u8>>,
    inside: Vec<Vec<u8>>,
    odd: Vec<Vec<u8>>,
}

impl Lists {
    /// Reads them. Errors: `Rejected` for anything of another form.
    pub async fn read(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Result<Self> {
        let head = line(stream).await?;
        let counts = head.strip_prefix("left ").ok_or_else(|| rejected("nothing is said of what it lacks"))?;
        let total = counts.split(' ').filter_map(|count| count.parse::<usize>().ok()).fold(0, usize::saturating_add);
        let mut lists = Self { total, ..Self::default() };
        for list in [&mut lists.others, &mut lists.rules, &mut lists.inside, &mut lists.odd] {
            let size = line(stream).await?.trim().parse().ok().filter(|size| *size <= LIST_BYTES_MAX);
            let size: u64 = size.ok_or_else(|| rejected("a list of what it lacks is too long"))?;
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
            stream.read_exact(&mut bytes).await.map_err(|e| Error::io("reading a snapshot", &e))?;
            let whole = bytes.iter().filter(|byte| **byte == 0).count();
            *list = bytes.split(|byte| *byte == 0).take(whole).map(<[u8]>::to_vec).collect();
        }
        Ok(lists)
    }

    /// What they come to, with what git said while it tried.
    pub fn understood(self, said: &str) -> LeftOuts {
        let said: Vec<&str> = said.lines().collect();
        let mut shown = unreadable_folders(&said);
        let closed = shown.len();
        shown.extend(self.others.iter().filter_map(|entry| {
            let path = entry.get(2..)?;
            (!path.is_empty()).then(|| LeftOut { path: shown_path(path), inside: None, why: reason(path, &said) })
        }));
        shown.extend(self.odd.iter().map(|path| {
            let why = if path.len() > 4000 { WhyLeftOut::TooLong } else { WhyLeftOut::Special };
            let path = path.strip_prefix(b"./").unwrap_or(path);
            LeftOut { path: shown_path(path), inside: None, why }
        }));
        shown.extend(self.ignored());
        let all = shown.len().max(self.total.saturating_add(closed));
        shown.truncate(LEFT_OUT_MAX);
        LeftOuts { more: all - shown.len(), shown }
    }

    fn ignored(&self) -> impl Iterator<Item = LeftOut> + '_ {
        let pairs = self.inside.chunks_exact(2).filter(|pair| !pair[1].is_empty());
        let inside: BTreeMap<&[u8], &[u8]> = pairs.map(|pair| (&pair[0][..], &pair[1][..])).collect();
        self.rules.chunks_exact(4).map(move |rule| {
            let path = rule[3].strip_prefix(b"./").unwrap_or(&rule[3]);
            let found = inside.get(path).map(|found| shown_path(found.strip_prefix(b"./").unwrap_or(found)));
            LeftOut { path: shown_path(path), inside: found, why: WhyLeftOut::Ignored { rule: rule_words(rule) } }
        })
    }
}

/// Where a rule stands, in the words of its user.
fn rule_words(rule: &[Vec<u8>]) -> String {
    let text = |bytes: &[u8]| shown_path(bytes);
    let source = match text(&rule[0]) {
        source if source.ends_with("info/user-exclude") => "the user's core.excludesFile".to_owned(),
        source if source.ends_with("snapshot.git/info/exclude") => ".git/info/exclude".to_owned(),
        source => source,
    };
    format!("{source}:{} ({})", text(&rule[1]), text(&rule[2]))
}

fn rejected(what: &str) -> Error {
    Error::new(ErrorKind::Rejected, format!("the snapshot is refused: {what}"))
}

async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Result<String> {
    let mut line = Vec::new();
    let mut bounded = stream.take(256);
    bounded.read_until(b'\n', &mut line).await.map_err(|e| Error::io("reading a snapshot", &e))?;
    if line.pop() != Some(b'\n') {
        return Err(rejected("it ended early"));
    }
    String::from_utf8(line).map_err(|_| rejected("it is not text"))
}

fn shown_path(path: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(path).into_owned();
    if text.len() > PATH_BYTES_MAX {
        text.truncate(text.floor_char_boundary(PATH_BYTES_MAX));
        text.push('…');
    }
    text
}

/// Folders that git could not open; what is in them is not known.
fn unreadable_folders(said: &[&str]) -> Vec<LeftOut> {
    let mut found: Vec<LeftOut> = Vec::new();
    for line in said {
        let Some(rest) = line.strip_prefix("warning: could not open directory '") else { continue };
        let Some((path, error)) = rest.rsplit_once("': ") else { continue };
        let why = WhyLeftOut::Unreadable(error.to_owned());
        let entry = LeftOut { path: shown_path(path.as_bytes()), inside: None, why };
        if error != "File name too long" && !found.contains(&entry) && found.len() < LEFT_OUT_MAX {
            found.push(entry);
        }
    }
    found
}

/// Why git did not take a path, by what it said of it.
fn reason(path: &[u8], said: &[&str]) -> WhyLeftOut {
    let path = String::from_utf8_lossy(path);
    let bare = path.trim_end_matches('/');
    let about = |line: &&&str| line.contains(&format!("'{path}'")) || line.contains(&format!("'{bare}'"));
    if let Some(error) = said.iter().find_map(|line| line.strip_prefix(&format!("error: open(\"{path}\"): "))) {
        return WhyLeftOut::Unreadable(error.to_owned());
    }
    for line in said.iter().filter(about) {
        let words = line.trim_start_matches("error: ").trim_start_matches("fatal: ");
        if words.starts_with("invalid path") {
            return WhyLeftOut::Name;
        }
        if words.contains("failed to encode") || words.contains("CRLF") || words.contains("BOM") {
            return WhyLeftOut::Conversion(words.to_owned());
        }
        if words.contains("does not have a commit checked out") {
            return WhyLeftOut::Repository;
        }
    }
    if path.ends_with('/') {
        return WhyLeftOut::Repository;
    }
    if path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
        return WhyLeftOut::Name;
    }
    WhyLeftOut::Other(said.iter().find(about).map(|line| (*line).to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Lists> {
        Lists::read(&mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn lists_are_read_and_explained() {
        let text = "left 3 2 1\n33\n? .GIT/config\0? a.u\0C secret.txt\0\u{30}\n\n";
        assert!(read(text).await.is_err());
        let others = "? .GIT/config\0? a.u\0C secret.txt\0";
        let rules = ".gitignore\x001\0dist/\0./dist/\0/muster/snapshot.git/info/exclude\x007\0*.o\0./b.o\0";
        let (inside, odd) = ("dist/\0./dist/bundle.js\0", "./pipe\0");
        let mut text = "left 3 2000 1\n".to_owned();
        for list in [others, rules, inside, odd] {
            text.push_str(&format!("{}\n{list}", list.len()));
        }
        let said = "error: invalid path '.GIT/config'\nfatal: failed to encode 'a.u' from UTF-16LE to UTF-8\n\
                    error: open(\"secret.txt\"): Permission denied\nwarning: could not open directory 'no/': Permission denied";
        let found = read(&text).await.unwrap().understood(said);
        let told: Vec<String> = found.shown.iter().map(|entry| format!("{}: {}", entry.path, entry.why)).collect();
        assert_eq!(
            told,
            [
                "no/: it cannot be read: Permission denied",
                ".GIT/config: git takes no file of such a name",
                "a.u: its content cannot be converted: failed to encode 'a.u' from UTF-16LE to UTF-8",
                "secret.txt: it cannot be read: Permission denied",
                "pipe: it is neither a file nor a link",
                "dist/: ignored by .gitignore:1 (dist/)",
                "b.o: ignored by .git/info/exclude:7 (*.o)",
            ]
        );
        assert_eq!(found.shown[5].inside.as_deref(), Some("dist/bundle.js"));
        assert_eq!(found.more, 2005 - 7);
    }

    #[tokio::test]
    async fn what_is_no_list_is_refused() {
        for text in ["", "same\n", "left\n", "left 0 0 0\n999999999\n", "left 0 0 0\n-1\n", "left 0 0 0\n5\nab"] {
            assert!(read(text).await.is_err(), "{text:?}");
        }
    }
}
