//! What the agent is told by its environment, read once at the start.
//!
//! Nothing else in this crate looks at the environment.

use std::path::PathBuf;

/// Wire format of the model endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Anthropic Messages.
    Anthropic,
}

/// Everything the agent needs to know before the first line on stdin. Has no `Debug`: it holds the session's key.
#[derive(Clone)]
pub struct Settings {
    /// Name of the model, as the gateway knows it.
    pub model: String,
    /// How to talk to it.
    pub format: Format,
    /// Where its API starts, with the version and a closing slash (`http://127.0.0.1:3128/v1/`).
    pub endpoint: String,
    /// The session's key, worth nothing outside the sandbox.
    pub key: String,
    /// The model's window, prompt and answer together.
    pub context_tokens: u64,
    /// Longest answer asked for.
    pub output_tokens: u32,
    /// Model calls in one turn.
    pub steps_max: u32,
    /// Where session logs live: `$HOME/.muster/sessions`.
    pub sessions_dir: PathBuf,
}

/// A window that every current model has.
const CONTEXT_TOKENS: u64 = 128_000;
/// Room for one large patch.
const OUTPUT_TOKENS: u32 = 8_192;
/// Far more than a healthy task takes; a loop ends here.
const STEPS_MAX: u32 = 200;

/// A variable that is missing or makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: {problem}")]
pub struct BadSetting {
    name: &'static str,
    problem: String,
}

impl Settings {
    /// Reads the settings through `get`, which looks up one environment variable.
    ///
    /// # Errors
    /// [`BadSetting`] names the first variable that is missing or does not fit.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, BadSetting> {
        let format = format(&get)?;
        let (url, key) = match format {
            Format::Anthropic => ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"),
            Format::OpenAiChat | Format::OpenAiResponses => ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
        };
        let base = needed(&get, url)?;
        let base = base.trim_end_matches('/');
        let endpoint = match format {
            // Anthropic's convention leaves the version to the client, OpenAI's does not.
            Format::Anthropic => format!("{base}/v1/"),
            Format::OpenAiChat | Format::OpenAiResponses => format!("{base}/"),
        };
        Ok(Self {
            model: needed(&get, "MUSTER_MODEL")?,
            format,
            endpoint,
            key: needed(&get, key)?,
            context_tokens: number(&get, "MUSTER_CONTEXT_TOKENS", CONTEXT_TOKENS)?,
            output_tokens: number(&get, "MUSTER_OUTPUT_TOKENS", OUTPUT_TOKENS)?,
            steps_max: number(&get, "MUSTER_STEPS_MAX", STEPS_MAX)?,
            sessions_dir: PathBuf::from(needed(&get, "HOME")?).join(".muster/sessions"),
        })
    }

    /// Largest tool result that enters the conversation, in bytes: 64 KiB, or an eighth of a small window
    /// (taking three bytes for a token).
    pub fn result_bytes_max(&self) -> usize {
        let eighth = self.context_tokens.saturating_mul(3) / 8;
        usize::try_from(eighth).unwrap_or(usize::MAX).clamp(1024, 64 * 1024)
    }
}

fn format(get: &impl Fn(&str) -> Option<String>) -> Result<Format, BadSetting> {
    match get("MUSTER_MODEL_FORMAT").as_deref() {
        None | Some("" | "openai-chat") => Ok(Format::OpenAiChat),
        Some("openai-responses") => Ok(Format::OpenAiResponses),
        Some("anthropic") => Ok(Format::Anthropic),
        Some(other) => Err(BadSetting {
            name: "MUSTER_MODEL_FORMAT",
            problem: format!("\"{other}\" is not one of openai-chat, openai-responses, anthropic"),
        }),
    }
}

fn needed(get: &impl Fn(&str) -> Option<String>, name: &'static str) -> Result<String, BadSetting> {
    get(name).filter(|value| !value.is_empty()).ok_or_else(|| BadSetting { name, problem: "not set".into() })
}

fn number<N>(get: &impl Fn(&str) -> Option<String>, name: &'static str, default: N) -> Result<N, BadSetting>
where
    N: std::str::FromStr + PartialOrd + From<u8>,
{
    let Some(text) = get(name).filter(|text| !text.is_empty()) else { return Ok(default) };
    match text.parse::<N>() {
        Ok(number) if number >= N::from(1) => Ok(number),
        _ => Err(BadSetting { name, problem: format!("\"{text}\" is not a whole number above zero") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_conventions_of_base_urls_become_one() {
        assert_eq!(read(&[("MUSTER_MODEL_FORMAT", "anthropic")]).unwrap().endpoint, "http://127.0.0.1:1/v1/");
        assert_eq!(read(&[]).unwrap().endpoint, "http://127.0.0.1:2/v1/");
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(&[("MUSTER_MODEL", "")], "environment variable MUSTER_MODEL: not set");
        check(
            &[("MUSTER_MODEL_FORMAT", "cobol")],
            "environment variable MUSTER_MODEL_FORMAT: \"cobol\" is not one of openai-chat, openai-responses, anthropic",
        );
        check(
            &[("MUSTER_CONTEXT_TOKENS", "0")],
            "environment variable MUSTER_CONTEXT_TOKENS: \"0\" is not a whole number above zero",
        );
    }

    #[test]
    fn results_shrink_with_a_small_window() {
        assert_eq!(read(&[]).unwrap().result_bytes_max(), 48_000);
        assert_eq!(read(&[("MUSTER_CONTEXT_TOKENS", "8000")]).unwrap().result_bytes_max(), 3000);
    }

    fn check(changes: &[(&str, &str)], expected: &str) {
        assert_eq!(read(changes).err().unwrap().to_string(), expected);
    }

    fn read(changes: &[(&str, &str)]) -> Result<Settings, BadSetting> {
        let usual = [
            ("HOME", "/home/agent"),
            ("MUSTER_MODEL", "m"),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:1"),
            ("ANTHROPIC_API_KEY", "k"),
            ("OPENAI_BASE_URL", "http://127.0.0.1:2/v1"),
            ("OPENAI_API_KEY", "k"),
        ];
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(|name| find(changes, name).or_else(|| find(&usual, name)))
    }
}
