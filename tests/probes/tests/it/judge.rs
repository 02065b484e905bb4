//! What a run comes to. The host is believed before the probe.

use sandbox::Exit;

use crate::run::Ran;

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Escaped(String),
    Held(String),
    Partly(String),
    NotApplicable(String),
    /// It ended in a way that proves nothing.
    Broken(String),
}

impl Verdict {
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    pub fn shows_capable(&self) -> bool {
        matches!(self, Self::Escaped(_) | Self::Partly(_))
    }

    pub fn words(&self) -> String {
        match self {
            Self::Escaped(how) => format!("ESCAPED ({how})"),
            Self::Held(how) => format!("held ({how})"),
            Self::Partly(how) => format!("worked, on itself ({how})"),
            Self::NotApplicable(how) => format!("n/a ({how})"),
            Self::Broken(how) => format!("broken ({how})"),
        }
    }
}

/// More than a pipe holds that nobody reads.
const KEPT_OUTPUT_MAX: usize = 1 << 20;

/// Probes whose first process may end without a word, while others of theirs go on; those are looked for on the host.
const SILENT: &[&str] = &["time_", "spawn_double_fork_survive"];

pub fn judge(name: &str, ran: &Ran) -> Verdict {
    if !ran.seen.is_empty() {
        return Verdict::Escaped(short(&ran.seen.join("; ")));
    }
    if ran.out.contains("SECRET-") {
        return Verdict::Escaped("it told a secret".to_owned());
    }
    if ran.out.len() > KEPT_OUTPUT_MAX {
        return Verdict::Escaped(format!("{} bytes of output", ran.out.len()));
    }
    said(name, &ran.out).unwrap_or_else(|| ended(name, ran))
}

/// The probe's own word.
fn said(name: &str, out: &str) -> Option<Verdict> {
    let report: serde_json::Value = serde_json::from_str(out.lines().last()?).ok()?;
    let how = short(report["how"].as_str()?);
    if report["probe"] != name {
        return None;
    }
    match report["outcome"].as_str()? {
        "escaped" => Some(Verdict::Escaped(how)),
        "held" => Some(Verdict::Held(how)),
        "partly" => Some(Verdict::Partly(how)),
        "n/a" => Some(Verdict::NotApplicable(how)),
        _ => None,
    }
}

/// What the end says of a probe that could not say anything.
fn ended(name: &str, ran: &Ran) -> Verdict {
    let silent = SILENT.iter().any(|silent| name.starts_with(silent));
    match ran.exit {
        Exit::Limit(limit) => Verdict::Held(format!("ended by limit {limit:?}")),
        Exit::Signal(libc::SIGSYS) => Verdict::Held("ended by the filter".to_owned()),
        Exit::Signal(libc::SIGKILL) | Exit::Killed => Verdict::Held("killed".to_owned()),
        Exit::Signal(libc::SIGSEGV) if name == "sys_int80" => Verdict::Held("there is no such gate".to_owned()),
        Exit::Code(0) if silent => Verdict::Held("it ended with its first process".to_owned()),
        exit => Verdict::Broken(short(&format!("{exit:?}: {}{}", ran.out, ran.err))),
    }
}

fn short(text: &str) -> String {
    let line: String = text.chars().take(120).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "/")
}
