//! What the values of a policy mean, and which of them contradict each other.

use super::{
    Backend, CheckedPolicy, Identity, Network, Placed, Preset, Processes, Words, Work, contradictions, files, network,
    spec::{BackendSpec, ExecSpec, HostsSpec, IdentitySpec, PolicySpec},
};
use crate::source::{
    Place,
    checker::{Checker, Wrong, quote},
    shape::{At, List, NameText, Text, Value, WordOr},
    suggest::instead_of,
};

/// Most hosts, programs or system calls of one policy.
const LISTED_MAX: usize = 1_000;

/// Whether a policy may ask for what only the operator may give: the network of the host, the caller's variables, and
/// paths relative to the file. A file of a project may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wider {
    Allowed,
    Refused,
}

pub(super) fn policy(checker: &mut Checker, spec: PolicySpec, wider: Wider) -> CheckedPolicy {
    let keys = spec.keys();
    checker.version(spec.version);
    let mut policy = spec.permissions.map(|at| permissions(checker, at)).unwrap_or_default();
    let bounds = policy.clone();
    policy.preset = spec.preset.and_then(|preset| word(checker, preset)).or(policy.preset);
    policy.work = spec.work.and_then(|work| word(checker, work)).or(policy.work);
    files::files(checker, &mut policy, spec.files.unwrap_or_default(), spec.read, wider);
    policy.network = spec.network.and_then(|network| connect(checker, network)).or(policy.network);
    policy.allowed_syscalls = syscalls(checker, spec.allowed_syscalls);
    policy.processes = spec.processes.and_then(|processes| children(checker, processes)).or(policy.processes);
    policy.limits = spec.limits.map(|limits| limits.value.judge(checker)).unwrap_or_default();
    let passed_at: Vec<Place> = spec.pass.0.iter().map(|name| name.place).collect();
    policy.env = spec.env.0.into_iter().map(|(name, value)| variable(checker, name, value)).collect();
    policy.pass = spec.pass.0.into_iter().map(|name| passed(checker, name, wider)).collect();
    policy.identity = spec.identity.map(|identity| who(checker, identity));
    policy.backend = spec.backend.and_then(|backend| enforcer(checker, backend));
    policy.allow_degraded = spec.allow_degraded.0.into_iter().filter_map(|layer| word(checker, layer)).collect();
    policy.keys = keys;
    contradictions::tell(checker, &bounds, &policy, &passed_at);
    if let (Some(Network::Open), Some(place), Wider::Refused) =
        (&policy.network, policy.keys.get("network").copied(), wider)
    {
        let fix = "name the hosts that are needed: `network: {hosts: [\"crates.io:443\"]}`";
        checker.wrong(place, "a file of a project cannot open the network of this machine", fix);
    }
    policy
}

/// The `sandbox:` of a role: a preset's name, or a policy.
pub(crate) fn role_policy(checker: &mut Checker, spec: At<WordOr<PolicySpec>>) -> CheckedPolicy {
    match spec.value {
        WordOr::Word(text) => {
            let preset = word(checker, At { value: NameText(text), place: spec.place });
            CheckedPolicy { preset, ..CheckedPolicy::default() }
        }
        WordOr::Map(spec) => {
            let network = spec.network.as_ref().map(|network| network.place);
            let policy = policy(checker, spec, Wider::Refused);
            if let (Some(Network::None), Some(place)) = (&policy.network, network) {
                let fix = "remove it: `gateway` is the least that an agent needs";
                checker.wrong(place, "without the gateway an agent reaches no model", fix);
            }
            policy
        }
    }
}

/// The `checks:` of a configuration. They are always run under the preset `check`.
pub(crate) fn checks_policy(checker: &mut Checker, spec: PolicySpec) -> CheckedPolicy {
    let place = |text: &Option<At<NameText>>| text.as_ref().map(|text| text.place);
    let (preset, work) = (place(&spec.preset), place(&spec.work));
    let network = spec.network.as_ref().map(|network| network.place);
    let policy = policy(checker, spec, Wider::Refused);
    if let (Some(place), Some(Preset::Worker | Preset::AgentCli | Preset::ReadOnly)) = (preset, policy.preset) {
        checker.wrong(place, "checks are always run under the preset `check`", "remove this line");
    }
    if let (Some(place), Some(Work::None | Work::Read)) = (work, policy.work) {
        checker.wrong(place, "a check writes in its own check-out, which is thrown away", "remove this line");
    }
    if let (Some(place), Some(Network::Gateway)) = (network, &policy.network) {
        checker.wrong(place, "checks ask no model, so they have no gateway", "write `none`, or `{hosts: [HOST:PORT]}`");
    }
    policy
}

/// The word's meaning, or a problem that names the nearest.
pub(super) fn word<W: Words>(checker: &mut Checker, text: At<NameText>) -> Option<W> {
    let At { value: NameText(text), place } = text;
    let known = W::ALL.iter().find(|(name, _)| *name == text).map(|(_, word)| *word);
    if known.is_none() {
        let what = format!("{} is not one of the choices", quote(&text));
        checker.wrong(place, what, instead_of(&text, W::ALL.iter().map(|(name, _)| *name)));
    }
    known
}

fn permissions(checker: &mut Checker, at: At<super::permissions::PermissionsSpec>) -> CheckedPolicy {
    let mapped = at.value.judge(checker).map();
    CheckedPolicy {
        work: mapped.work,
        network: mapped.network,
        processes: mapped.processes,
        remains: mapped.remains,
        ..CheckedPolicy::default()
    }
}

fn unknown(checker: &mut Checker, place: Place, text: &str, words: &[&str]) {
    checker.wrong(place, format!("{} is not one of the choices", quote(text)), instead_of(text, words.iter().copied()));
}

fn connect(checker: &mut Checker, network: At<WordOr<HostsSpec>>) -> Option<Network> {
    match network.value {
        WordOr::Map(HostsSpec { hosts }) => {
            let hosts = listed(checker, hosts, "hosts", "`network: gateway` reaches no other host");
            let take = |At { value: Text(text), place }| checker.take(place, network::host(&text), String::new());
            Some(Network::Hosts(hosts.0.into_iter().map(take).collect()))
        }
        WordOr::Word(text) => match text.as_str() {
            "none" => Some(Network::None),
            "gateway" => Some(Network::Gateway),
            "open" => Some(Network::Open),
            _ => {
                unknown(checker, network.place, &text, &["none", "gateway", "open", "{hosts: [HOST:PORT]}"]);
                None
            }
        },
    }
}

fn children(checker: &mut Checker, processes: At<WordOr<ExecSpec>>) -> Option<Processes> {
    match processes.value {
        WordOr::Map(ExecSpec { exec }) => {
            let programs = listed(checker, exec, "programs", "`processes: none` starts none");
            let take = |At { value: Text(text), place }| checker.take(place, program(text), String::new());
            Some(Processes::Exec(programs.0.into_iter().map(take).collect()))
        }
        WordOr::Word(text) => match text.as_str() {
            "none" => Some(Processes::None),
            "tree" => Some(Processes::Tree),
            _ => {
                unknown(checker, processes.place, &text, &["none", "tree", "{exec: [PROGRAM]}"]);
                None
            }
        },
    }
}

fn enforcer(checker: &mut Checker, backend: At<WordOr<BackendSpec>>) -> Option<Backend> {
    match backend.value {
        WordOr::Map(BackendSpec { docker }) => {
            let image = checker.text("the image", docker.image);
            Some(Backend::Docker { image })
        }
        WordOr::Word(text) if text == "kernel" => Some(Backend::Kernel),
        WordOr::Word(text) => {
            unknown(checker, backend.place, &text, &["kernel", "{docker: {image: NAME}}"]);
            None
        }
    }
}

/// A list that names something, and not without end.
fn listed(checker: &mut Checker, list: At<List<Text>>, of: &str, empty: &str) -> List<Text> {
    match list.value.0.len() {
        0 => checker.wrong(list.place, format!("the list of {of} is empty"), format!("name one, or note that {empty}")),
        1..=LISTED_MAX => {}
        more => checker.wrong(list.place, format!("{more} {of} are listed"), format!("list at most {LISTED_MAX}")),
    }
    list.value
}

fn program(text: String) -> Result<String, Wrong> {
    let full = text.starts_with('/') && !text.split('/').any(|part| part == ".." || part == ".") && text.len() > 1;
    let bare = !text.is_empty() && !text.contains('/') && !text.chars().any(char::is_whitespace);
    if (full || bare) && !text.contains('\0') {
        return Ok(text);
    }
    Err(Wrong::new(
        format!("{} is not a program", quote(&text)),
        "write a name such as `git`, or a full path such as `/usr/bin/git`",
    ))
}

fn syscalls(checker: &mut Checker, list: Option<At<List<Text>>>) -> Vec<Placed<String>> {
    let Some(At { value: list, place }) = list else { return Vec::new() };
    if list.0.is_empty() {
        let fix = "name calls or groups such as `@worker`, or remove `allowed_syscalls` for those of the preset";
        checker.wrong(place, "without any system call no program can run", fix);
    }
    let mut kept: Vec<Placed<String>> = Vec::new();
    for At { value: Text(text), place } in list.0.into_iter().take(LISTED_MAX) {
        let bare = text.strip_prefix('@').unwrap_or(&text);
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        let begins = bare.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        if !begins || bare.len() > 64 || !bare.bytes().all(named) {
            let fix = "write the name of a system call such as `openat`, or of a group such as `@worker`";
            checker.wrong(place, format!("{} is not the name of a system call", quote(&text)), fix);
        }
        kept.push(Placed { value: text, place });
    }
    kept
}

fn who(checker: &mut Checker, spec: IdentitySpec) -> Identity {
    let id = |checker: &mut Checker, id| checker.number("this id", id, 1..=u32::MAX - 1).unwrap_or(1000);
    Identity { uid: id(checker, spec.uid), gid: id(checker, spec.gid) }
}

fn is_variable(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn variable(checker: &mut Checker, name: At<String>, value: At<Value>) -> (String, String) {
    const RESERVED: [&str; 4] = ["MUSTER_", "OPENAI_", "ANTHROPIC_", "HOME"];
    let text = &name.value;
    if !is_variable(text) {
        let what = format!("{} is not the name of an environment variable", quote(text));
        checker.wrong(name.place, what, "use letters, digits and _, not beginning with a digit");
    } else if RESERVED.iter().any(|reserved| text == reserved || reserved.ends_with('_') && text.starts_with(reserved))
    {
        checker.wrong(name.place, format!("{} is set by muster itself", quote(text)), "remove it, or use another name");
    }
    let value = checker.value("this value", value);
    (name.value, value)
}

fn passed(checker: &mut Checker, name: At<Text>, wider: Wider) -> String {
    let At { value: Text(name), place } = name;
    if !is_variable(&name) {
        let what = format!("{} is not the name of an environment variable", quote(&name));
        checker.wrong(place, what, "use letters, digits and _, not beginning with a digit");
    } else if wider == Wider::Refused {
        let fix = "write its value under `env`; keys belong to `key_env` of an upstream, where no agent sees them";
        checker.wrong(place, "a file of a project cannot hand on variables of whoever runs muster", fix);
    }
    name
}
