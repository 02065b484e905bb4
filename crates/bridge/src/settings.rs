//! What the bridge is told by its arguments and its environment, read once at the start. Nothing else in this crate looks at the environment.

use crate::kind::Kind;
use std::path::PathBuf;

/// Everything that is known before the first line on stdin.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    /// The vendor's program: a path, or a name that is looked up.
    pub(crate) program: String,
    /// Its first arguments.
    pub(crate) args: Vec<String>,
    /// The model that is asked for.
    pub(crate) model: String,
    pub(crate) home: PathBuf,
    /// The gateway as OpenAI's clients want it, with the version.
    pub(crate) openai_url: String,
    /// Whether there is a key of the gateway's in the environment; without one the program is logged in by itself.
    pub(crate) has_key: bool,
    /// The rules of its role, which it is given as its own.
    pub(crate) rules: String,
    /// What of it is switched off: `web`, `edit`, `shell`.
    pub(crate) off: Vec<String>,
    /// The model's window, if it is known.
    pub(crate) context_tokens: Option<u64>,
}

impl Settings {
    /// Whether this of the program is switched off.
    pub(crate) fn is_off(&self, what: &str) -> bool {
        self.off.iter().any(|off| off == what)
    }

    pub(crate) fn read(
        mut args: impl Iterator<Item = String>,
        get: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let word = args.next().ok_or("which runtime? One of codex, claude, exec")?;
        let kind =
            Kind::read(&word).ok_or_else(|| format!("there is no runtime {word:?}; one of codex, claude, exec"))?;
        let program = args.next().filter(|program| !program.is_empty()).ok_or("which program?")?;
        let needed =
            |name: &str| get(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is not set"));
        Ok(Self {
            kind,
            program,
            args: args.collect(),
            model: needed("MUSTER_MODEL")?,
            home: needed("HOME")?.into(),
            openai_url: needed("OPENAI_BASE_URL")?,
            has_key: get("OPENAI_API_KEY").is_some_and(|key| !key.is_empty()),
            rules: get("MUSTER_RULES").unwrap_or_default(),
            off: get("MUSTER_OFF").unwrap_or_default().split(',').map(str::to_owned).collect(),
            context_tokens: get("MUSTER_CONTEXT_TOKENS").and_then(|tokens| tokens.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let read = |args: &[&str], env: &[(&str, &str)]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let get = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            Settings::read(args.into_iter(), get)
        };
        let env = [("MUSTER_MODEL", "m"), ("HOME", "/h"), ("OPENAI_BASE_URL", "http://127.0.0.1:3128/v1")];
        assert!(read(&[], &env).unwrap_err().contains("codex, claude, exec"));
        assert!(read(&["cobol", "x"], &env).unwrap_err().contains("\"cobol\""));
        assert_eq!(read(&["codex"], &env).unwrap_err(), "which program?");
        assert_eq!(read(&["codex", "codex"], &env[1..]).unwrap_err(), "MUSTER_MODEL is not set");
        let settings = read(&["claude", "/c", "--debug"], &env).unwrap();
        assert_eq!((settings.kind, settings.args, settings.has_key), (Kind::Claude, vec!["--debug".to_owned()], false));
    }
}
