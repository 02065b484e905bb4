//! Boundaries in the words of other systems, and what each becomes here.
//!
//! Configurations of agents often say `file_system`, `network`, `shell_commands` and `git_operations` in a few words. Each
//! word becomes a part of a policy; where a sandbox alone cannot hold what the word means, the rest is said, so that nobody
//! believes in a boundary that is not there.
//!
//! | key | word | what the sandbox holds | what remains for the rules on permission |
//! |---|---|---|---|
//! | `file_system` | `none` | `work: none`: nothing of the machine but its programs, and an empty place to work | |
//! | | `read` | `work: read` | |
//! | | `read_write` | `work: write` | |
//! | `network` | `none` | `network: none` | |
//! | | `restricted` | `network: gateway`; approved endpoints are named as `network: {hosts: […]}` | |
//! | | `allowed` | `network: open` | |
//! | `shell_commands` | `none` | `processes: none` | |
//! | | `approved_only` | `processes: none`: it starts no command itself | the supervisor runs what was approved, in a sandbox of its own |
//! | | `sandboxed` | `processes: tree`, inside this sandbox | |
//! | | `allowed` | `processes: tree`, inside this sandbox | |
//! | `git_operations` | `none` | nothing of its own: with `shell_commands: none` no git runs | which commands are approved |
//! | | `pr_only` | a private clone; work leaves it as a branch that muster makes | |
//! | | `allowed` | a private clone; nobody else's refs, hooks or configuration can be reached | |
//!
//! `allowed_syscalls` needs no mapping: the key is the same.

use super::{Network, Processes, Words, Work, judge::word, spec::word_schema, words};
use crate::source::{
    Place,
    checker::Checker,
    shape::{At, NameText, Text},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Four boundaries; what is not said is not restricted beyond the preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// What may be done with files.
    pub file_system: Option<FileSystem>,
    /// What may be connected to.
    pub network: Option<NetworkWord>,
    /// Which commands may be run.
    pub shell_commands: Option<ShellCommands>,
    /// What may be done with git.
    pub git_operations: Option<GitOperations>,
}

/// What may be done with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSystem {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and change.
    ReadWrite,
}

/// What may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkWord {
    /// Nothing.
    None,
    /// Approved endpoints.
    Restricted,
    /// Everything.
    Allowed,
}

/// Which commands may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShellCommands {
    /// None.
    None,
    /// Those that were approved.
    ApprovedOnly,
    /// Any, in a sandbox.
    Sandboxed,
    /// Any.
    Allowed,
}

/// What may be done with git.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GitOperations {
    /// Nothing.
    None,
    /// Offer work for review.
    PrOnly,
    /// Anything in its own repository.
    Allowed,
}

words! {
    FileSystem: "none" = None, "read" = Read, "read_write" = ReadWrite;
    NetworkWord: "none" = None, "restricted" = Restricted, "allowed" = Allowed;
    ShellCommands: "none" = None, "approved_only" = ApprovedOnly, "sandboxed" = Sandboxed, "allowed" = Allowed;
    GitOperations: "none" = None, "pr_only" = PrOnly, "allowed" = Allowed;
}

/// What four boundaries become: parts of a policy, and what is left for the rules on permission.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mapped {
    /// What may be done with the place where work is done.
    pub work: Option<Work>,
    /// What may be connected to.
    pub network: Option<Network>,
    /// Whether it may start others.
    pub processes: Option<Processes>,
    /// What the sandbox cannot hold alone, a sentence each.
    pub remains: Vec<&'static str>,
}

const APPROVED_ONLY: &str = "shell_commands: approved_only: the sandbox lets it start nothing; which commands are \
    approved is for the rules on permission, and what they approve is run in a sandbox of its own";
const GIT_NONE: &str = "git_operations: none: a sandbox that runs commands can run git in the agent's own clone; \
    shell_commands: none forbids it, or processes: {exec: […]} without git";

impl Permissions {
    /// The parts of a policy that hold these boundaries; the table is in the documentation of this module.
    pub fn map(self) -> Mapped {
        let work = self.file_system.map(|word| match word {
            FileSystem::None => Work::None,
            FileSystem::Read => Work::Read,
            FileSystem::ReadWrite => Work::Write,
        });
        let network = self.network.map(|word| match word {
            NetworkWord::None => Network::None,
            NetworkWord::Restricted => Network::Gateway,
            NetworkWord::Allowed => Network::Open,
        });
        let processes = self.shell_commands.map(|word| match word {
            ShellCommands::None | ShellCommands::ApprovedOnly => Processes::None,
            ShellCommands::Sandboxed | ShellCommands::Allowed => Processes::Tree,
        });
        let approved = self.shell_commands == Some(ShellCommands::ApprovedOnly);
        let git = self.git_operations == Some(GitOperations::None) && processes != Some(Processes::None);
        let remains = [(approved, APPROVED_ONLY), (git, GIT_NONE)].into_iter().filter(|(holds, _)| *holds);
        Mapped { work, network, processes, remains: remains.map(|(_, text)| text).collect() }
    }
}

/// Boundaries in the words of other systems.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermissionsSpec {
    /// What may be done with files.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<FileSystem>")]
    pub(crate) file_system: Option<At<Text>>,
    /// What may be connected to.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<NetworkWord>")]
    pub(crate) network: Option<At<Text>>,
    /// Which commands may be run.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<ShellCommands>")]
    pub(crate) shell_commands: Option<At<Text>>,
    /// What may be done with git.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<GitOperations>")]
    pub(crate) git_operations: Option<At<Text>>,
}

impl PermissionsSpec {
    /// Where the word about the network stands.
    pub(super) fn network_place(&self) -> Option<Place> {
        self.network.as_ref().map(|network| network.place)
    }

    /// Where the word about files stands.
    pub(super) fn files_place(&self) -> Option<Place> {
        self.file_system.as_ref().map(|files| files.place)
    }

    /// Where the word about commands stands.
    pub(super) fn shell_place(&self) -> Option<Place> {
        self.shell_commands.as_ref().map(|shell| shell.place)
    }

    pub(super) fn judge(self, checker: &mut Checker) -> Permissions {
        Permissions {
            file_system: one(checker, self.file_system),
            network: one(checker, self.network),
            shell_commands: one(checker, self.shell_commands),
            git_operations: one(checker, self.git_operations),
        }
    }
}

fn one<W: Words>(checker: &mut Checker, text: Option<At<Text>>) -> Option<W> {
    let At { value: Text(text), place } = text?;
    word(checker, At { value: NameText(text), place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_becomes_what_the_table_says() {
        let file_system = |word| Permissions { file_system: Some(word), ..Permissions::default() }.map().work;
        assert_eq!(file_system(FileSystem::None), Some(Work::None));
        assert_eq!(file_system(FileSystem::Read), Some(Work::Read));
        assert_eq!(file_system(FileSystem::ReadWrite), Some(Work::Write));
        let network = |word| Permissions { network: Some(word), ..Permissions::default() }.map().network;
        assert_eq!(network(NetworkWord::None), Some(Network::None));
        assert_eq!(network(NetworkWord::Restricted), Some(Network::Gateway));
        assert_eq!(network(NetworkWord::Allowed), Some(Network::Open));
        let shell = |word| Permissions { shell_commands: Some(word), ..Permissions::default() }.map().processes;
        assert_eq!(shell(ShellCommands::None), Some(Processes::None));
        assert_eq!(shell(ShellCommands::ApprovedOnly), Some(Processes::None));
        assert_eq!(shell(ShellCommands::Sandboxed), Some(Processes::Tree));
        assert_eq!(shell(ShellCommands::Allowed), Some(Processes::Tree));
    }

    #[test]
    fn what_the_sandbox_cannot_hold_alone_is_said() {
        let remains = |shell_commands, git_operations| {
            Permissions { shell_commands: Some(shell_commands), git_operations, ..Permissions::default() }.map().remains
        };
        assert_eq!(remains(ShellCommands::Allowed, None), [""; 0]);
        assert_eq!(remains(ShellCommands::ApprovedOnly, None), [APPROVED_ONLY]);
        assert_eq!(remains(ShellCommands::Allowed, Some(GitOperations::None)), [GIT_NONE]);
        assert_eq!(remains(ShellCommands::None, Some(GitOperations::None)), [""; 0]);
        for word in [GitOperations::PrOnly, GitOperations::Allowed] {
            assert_eq!(remains(ShellCommands::Allowed, Some(word)), [""; 0]);
        }
    }

    #[test]
    fn nothing_said_restricts_nothing_more() {
        assert_eq!(Permissions::default().map(), Mapped::default());
    }
}
