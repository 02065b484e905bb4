//! From the words of a policy to the calls that it allows, or to what is wrong with them.

use std::collections::BTreeSet;

use crate::calls;
use crate::groups::{self, GROUPS, NEVER};
use crate::{Asked, Network, Processes, Refused};

/// What a filter is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Names of the calls that are allowed, some of them only with certain arguments.
    pub allowed: BTreeSet<&'static str>,
    /// Whether processes may be started; if not, threads only, and no memory that a process limit does not count.
    pub children: bool,
    /// The kinds of sockets that may be made (`AF_*`), beside Unix sockets.
    pub families: &'static [u32],
    /// Whether Unix sockets may be made that can be connected. Init then carries out every `connect`, so that none of them leads
    /// out; otherwise there are only pairs.
    pub unix: bool,
    /// Whether space on disk is counted, so that nothing may be taken before it is written.
    pub disk: bool,
    /// Whether the launcher alone may execute, and that once: the policy allows nobody to.
    pub once: bool,
}

/// Calls that start a process, or another program in this one's place.
const STARTS: &[&str] = &["fork", "vfork", "execve", "execveat"];

impl Selection {
    /// Works it out.
    pub fn of(asked: &Asked) -> Result<Self, Refused> {
        let children = asked.processes != Processes::None;
        let words: Vec<&str> = match asked.allowed_syscalls.as_slice() {
            [] => default_words(asked, children),
            words => words.iter().map(String::as_str).collect(),
        };
        let listed = asked.processes == Processes::Listed;
        let mut allowed = BTreeSet::new();
        for word in words {
            let calls = expand(word)?;
            if !children && let Some(call) = calls.iter().find(|call| STARTS.contains(call)) {
                return Err(contradiction(word, call));
            }
            if listed && calls.contains(&"memfd_create") {
                return Err(nameless(word));
            }
            allowed.extend(calls);
        }
        let once = !allowed.contains("execve");
        Ok(Self {
            allowed,
            children,
            families: families(asked, children),
            unix: children && asked.is_checkable && asked.network != Network::Open,
            disk: asked.disk,
            once,
        })
    }
}

fn default_words(asked: &Asked, children: bool) -> Vec<&'static str> {
    match (children, &asked.network) {
        (true, _) => vec!["@tool"],
        (false, Network::None) => vec!["@worker"],
        (false, _) => vec!["@worker", "@net-client"],
    }
}

/// Sockets outside of these lead past the network namespace (`AF_VSOCK`), to the kernel (`AF_NETLINK`, `AF_ALG`), or
/// need rights that nobody has inside.
fn families(asked: &Asked, children: bool) -> &'static [u32] {
    const INET: u32 = libc::AF_INET as u32;
    const INET6: u32 = libc::AF_INET6 as u32;
    match (children, &asked.network) {
        (false, Network::None) => &[],
        _ => &[INET, INET6],
    }
}

/// The calls that a word of `allowed_syscalls` means.
fn expand(word: &str) -> Result<Vec<&'static str>, Refused> {
    if let Some(name) = word.strip_prefix('@') {
        return groups::group(name).map(groups::Group::all).ok_or_else(|| unknown_group(name));
    }
    let call = calls::known(word).ok_or_else(|| unknown_call(word))?;
    if NEVER.contains(&call) {
        return Err(refused(format!(
            "allowed_syscalls: `{call}` is never allowed: with it a program could get around its sandbox or look into \
             others; take it out"
        )));
    }
    Ok(vec![call])
}

fn contradiction(word: &str, call: &str) -> Refused {
    let brings = if word == call { String::new() } else { format!(" brings `{call}`, which") };
    refused(format!(
        "allowed_syscalls: `{word}`{brings} starts processes, and processes: none forbids it; take it out, or use \
         processes: tree"
    ))
}

/// Landlock knows files by where they are; one in memory is nowhere, and everybody may execute it.
fn nameless(word: &str) -> Refused {
    let brings = if word == "memfd_create" { String::new() } else { " brings `memfd_create`, which".to_owned() };
    refused(format!(
        "allowed_syscalls: `{word}`{brings} makes files in memory that could be executed, and processes: exec lets only \
         listed programs run; take it out, or use processes: tree"
    ))
}

fn unknown_group(name: &str) -> Refused {
    let known = || GROUPS.iter().map(|group| group.name);
    let hint = match calls::most_like(name, known()) {
        Some(nearest) => format!("did you mean `@{nearest}`?"),
        None => format!("there are {}", known().map(|name| format!("`@{name}`")).collect::<Vec<_>>().join(", ")),
    };
    refused(format!("allowed_syscalls: there is no group `@{name}`; {hint}"))
}

fn unknown_call(word: &str) -> Refused {
    let hint = match calls::nearest(word) {
        _ if groups::group(word).is_some() => format!("did you mean the group `@{word}`?"),
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "names are those of `man 2 syscalls`, groups begin with `@`".to_owned(),
    };
    refused(format!("allowed_syscalls: there is no system call `{word}`; {hint}"))
}

fn refused(what: String) -> Refused {
    Refused(what)
}
