//! Which vendors there are, and what each needs to be started.

use crate::{
    claude, codex, exec,
    settings::Settings,
    talk::{Opening, Talk},
};
use std::path::PathBuf;

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// OpenAI's Codex CLI, by its app-server.
    Codex,
    /// Anthropic's Claude Code, by its stream of JSON.
    Claude,
    /// Any program: a prompt in, its output out.
    Exec,
}

/// How a program is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Files that it wants to find.
    pub(crate) files: Vec<(PathBuf, String)>,
}

impl Kind {
    pub(crate) fn read(word: &str) -> Option<Self> {
        match word {
            "codex" => Some(Self::Codex),
            "claude" => Some(Self::Claude),
            "exec" => Some(Self::Exec),
            _ => None,
        }
    }

    /// What its agent is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Claude => "claude-code",
            Self::Exec => "exec",
        }
    }

    /// Whether each turn is a process of its own.
    pub(crate) fn runs_per_turn(self) -> bool {
        self == Self::Exec
    }

    /// Whether a conversation of this name can be taken up.
    pub(crate) fn knows(self, settings: &Settings, session: &str) -> bool {
        match self {
            Self::Codex => true,
            Self::Claude => claude::has_session(&settings.home, session),
            Self::Exec => true,
        }
    }

    pub(crate) fn launch(self, settings: &Settings, opening: &Opening) -> Launch {
        match self {
            Self::Codex => codex::launch(settings, opening),
            Self::Claude => claude::launch(settings, opening),
            Self::Exec => Launch::default(),
        }
    }

    pub(crate) fn talk(self, settings: &Settings, opening: &Opening) -> Box<dyn Talk> {
        match self {
            Self::Codex => Box::new(codex::Conversation::new(opening.clone(), settings.model.clone())),
            Self::Claude => Box::new(claude::Conversation::new(opening.session.clone())),
            Self::Exec => Box::new(exec::Conversation::new(opening.session.clone())),
        }
    }
}
