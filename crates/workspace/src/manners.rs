//! What the user has set beside the repository's files that shapes them: what is ignored, which attributes hold, how
//! lines end. It holds in every check-out of a mission too.
//!
//! Only plain values and patterns are taken, and each is checked. Files of patterns outside the repository are those that
//! the user's own configuration names, never those that the repository's does: its patterns would be shown to agents.

use crate::{
    Result,
    git::Git,
    layout::{self, INSIDE_HUB},
};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// The patterns of `core.excludesFile`, in a git directory of ours.
pub(crate) const USER_EXCLUDE: &str = "info/user-exclude";
/// The attributes of `core.attributesFile`, in a git directory of ours.
pub(crate) const USER_ATTRIBUTES: &str = "info/user-attributes";
const EXCLUDE: &str = "info/exclude";
const ATTRIBUTES: &str = "info/attributes";
const SETTINGS: &str = "info/settings";
/// Most bytes of one file of patterns; more than a thousand times what people have.
const PATTERNS_BYTES_MAX: u64 = 4 << 20;

/// Settings of `core` whose values are taken, as git lists them.
const CORE: &[&str] =
    &["autocrlf", "eol", "filemode", "ignorecase", "precomposeunicode", "sharedrepository", "symlinks"];
/// Those of them that say how files look in a check-out, wherever it is.
const SHAPING: &[&str] = &["autocrlf", "eol"];

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manners {
    core: Vec<(&'static str, String)>,
    exclude: Vec<u8>,
    attributes: Vec<u8>,
    user_exclude: Vec<u8>,
    user_attributes: Vec<u8>,
    /// The repository's objects have long ids.
    pub sha256: bool,
    /// The refs are kept in tables.
    pub reftable: bool,
    /// Objects may be missing on purpose, it says.
    pub partial: bool,
}

impl Manners {
    /// Reads them for the repository at `git_dir`; `dir` is where its user would ask.
    pub async fn of(dir: &Path, git_dir: &Path) -> Result<Self> {
        let mut manners =
            Self { exclude: own(git_dir, EXCLUDE), attributes: own(git_dir, ATTRIBUTES), ..Self::default() };
        manners.read_values(dir).await?;
        // A copy that was made for a mission has the files of its user with it.
        manners.user_exclude = own(git_dir, USER_EXCLUDE);
        manners.user_attributes = own(git_dir, USER_ATTRIBUTES);
        if !git_dir.join(SETTINGS).is_file() {
            let (exclude, attributes) = user_files(dir).await?;
            manners.user_exclude = exclude.and_then(|path| regular(&path, PATTERNS_BYTES_MAX)).unwrap_or_default();
            manners.user_attributes =
                attributes.and_then(|path| regular(&path, PATTERNS_BYTES_MAX)).unwrap_or_default();
        }
        Ok(manners)
    }

    async fn read_values(&mut self, dir: &Path) -> Result<()> {
        let asked = format!(
            r"^(core\.({})|extensions\.(objectformat|refstorage|partialclone)|remote\..*\.promisor)$",
            CORE.join("|")
        );
        let git = Git::asking(dir).to("reading the repository's settings");
        let answer = git.args(["config", "-z", "--get-regexp", &asked]).accept(&[0, 1]).run().await?;
        for entry in answer.fields() {
            let (key, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
            match key.strip_prefix("core.") {
                Some(name) => self.take_core(name, value),
                None => match key {
                    "extensions.objectformat" => self.sha256 = value == "sha256",
                    "extensions.refstorage" => self.reftable = value == "reftable",
                    _ => self.partial = true,
                },
            }
        }
        Ok(())
    }

    fn take_core(&mut self, name: &str, value: &str) {
        let plain = (1..=16).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let Some(name) = CORE.iter().find(|known| **known == name).filter(|_| plain) else { return };
        self.core.retain(|(other, _)| other != name);
        self.core.push((name, value.to_owned()));
    }

    /// Lines of a configuration, to follow a `[core]`.
    pub fn core(&self, wanted: impl Fn(&str) -> bool) -> String {
        let wanted = self.core.iter().filter(|(name, _)| wanted(name));
        wanted.map(|(name, value)| format!("\t{name} = {value}\n")).collect()
    }

    /// All attributes that are not in the tree.
    pub fn attributes(&self) -> [&[u8]; 2] {
        [&self.attributes, &self.user_attributes]
    }

    /// Puts them into a git directory of ours.
    pub fn write(&self, git_dir: &Path) -> Result<()> {
        layout::make_dir(&git_dir.join("info"))?;
        let files = [
            (EXCLUDE, &self.exclude),
            (ATTRIBUTES, &self.attributes),
            (USER_EXCLUDE, &self.user_exclude),
            (USER_ATTRIBUTES, &self.user_attributes),
        ];
        for (name, bytes) in files.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
            layout::write(&git_dir.join(name), bytes)?;
        }
        layout::write(&git_dir.join(SETTINGS), self.core(|name| SHAPING.contains(&name)).as_bytes())
    }

    /// Copies those of the hub into a git directory that a sandbox uses, where the hub is seen at its place inside. Answers
    /// with what its configuration needs in `[core]`.
    pub fn hand_on(hub: &Path, git_dir: &Path) -> Result<String> {
        layout::make_dir(&git_dir.join("info"))?;
        for name in [EXCLUDE, ATTRIBUTES] {
            if let Some(bytes) = regular(&hub.join(name), PATTERNS_BYTES_MAX) {
                layout::write(&git_dir.join(name), &bytes)?;
            }
        }
        Ok(Self::core_inside(hub))
    }

    /// What a configuration needs in `[core]` where the hub is seen at its place inside.
    pub fn core_inside(hub: &Path) -> String {
        let mut core = regular(&hub.join(SETTINGS), PATTERNS_BYTES_MAX).unwrap_or_default();
        for (setting, name) in [("excludesFile", USER_EXCLUDE), ("attributesFile", USER_ATTRIBUTES)] {
            if hub.join(name).is_file() {
                core.extend(format!("\t{setting} = {INSIDE_HUB}/{name}\n").bytes());
            }
        }
        String::from_utf8_lossy(&core).into_owned()
    }

    /// Copies those of one hub into another.
    pub fn copy(from: &Path, to: &Path) -> Result<()> {
        layout::make_dir(&to.join("info"))?;
        for name in [EXCLUDE, ATTRIBUTES, USER_EXCLUDE, USER_ATTRIBUTES, SETTINGS] {
            if let Some(bytes) = regular(&from.join(name), PATTERNS_BYTES_MAX) {
                layout::write(&to.join(name), &bytes)?;
            }
        }
        Ok(())
    }
}

/// A file of the repository's own git directory, which must lie there and not be a link to elsewhere.
fn own(git_dir: &Path, name: &str) -> Vec<u8> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    let within = real(git_dir).zip(real(&git_dir.join(name))).filter(|(dir, path)| path.starts_with(dir));
    within.and_then(|(_, path)| regular(&path, PATTERNS_BYTES_MAX)).unwrap_or_default()
}

/// A regular file, if it is there and not larger than that.
pub(crate) fn regular(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    fs::metadata(path).ok().filter(|about| about.is_file() && about.len() <= bytes_max)?;
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The files of patterns that the user's (or the machine's) configuration names, or else those at the usual place.
async fn user_files(dir: &Path) -> Result<(Option<PathBuf>, Option<PathBuf>)> {
    let git = Git::asking(dir).to("reading the user's settings");
    let git = git.setting("muster.ignore=~/.config/git/ignore").setting("muster.attributes=~/.config/git/attributes");
    let asked = r"^(core\.(excludesfile|attributesfile)|muster\.(ignore|attributes))$";
    let args = ["config", "-z", "--show-scope", "--type=path", "--get-regexp", asked];
    // It fails where there is no home.
    let answer = git.args(args).accept(&[0, 1, 128]).run().await?;
    let mut fields = answer.fields();
    let (mut named, mut usual) = ([None, None], [None, None]);
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        let Some((key, value)) = entry.split_once('\n') else { continue };
        let is_users = matches!(scope.as_str(), "system" | "global" | "command");
        match key {
            "core.excludesfile" if is_users => named[0] = Some(PathBuf::from(value)),
            "core.attributesfile" if is_users => named[1] = Some(PathBuf::from(value)),
            "muster.ignore" if scope == "command" => usual[0] = Some(PathBuf::from(value)),
            "muster.attributes" if scope == "command" => usual[1] = Some(PathBuf::from(value)),
            _ => {}
        }
    }
    let [exclude, attributes] = named;
    let [ignore, usual_attributes] = usual;
    Ok((exclude.or(ignore), attributes.or(usual_attributes)))
}
