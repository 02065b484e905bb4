//! A launch, checked and worked out, in the compact form in which it travels to the launcher.
//!
//! Why not the policy itself: the launcher should decide nothing and parse little. What can be refused is refused here,
//! with words; what arrives there is a list of things to do.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::error::SandboxError;
use crate::launcher::Launch;
use crate::policy::{Access, Backend, Bind, Layer, Limits, Network, Ownership, Policy, Processes};
use crate::presets;
use crate::seccomp::{self, Filter, Instruction};
use crate::sys;
use crate::wire::{Reader, Writer};

/// Everything the launcher does for one launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub program: PathBuf,
    pub args: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub env: Vec<Vec<u8>>,
    pub cwd: PathBuf,
    /// Parents before children.
    pub binds: Vec<Bind>,
    /// Places inside that are covered with an empty folder.
    pub masks: Vec<PathBuf>,
    /// Path inside, target.
    pub links: Vec<(PathBuf, PathBuf)>,
    pub files: Vec<(PathBuf, Vec<u8>)>,
    pub tmp_bytes: u64,
    pub terminals: bool,
    /// Whether standard input becomes the controlling terminal.
    pub own_terminal: bool,
    /// Whether memory can be had that only a limit on the whole tree counts.
    pub shared_memory: bool,
    pub net: Net,
    pub landlock_optional: bool,
    pub seccomp_optional: bool,
    pub filter: Filter,
    /// The only programs (paths inside) that may be executed; none means whatever the binds let execute.
    pub programs: Option<Vec<PathBuf>>,
    pub limits: Limits,
    /// The control group to start it in, a directory of the host.
    pub group: Option<PathBuf>,
    pub uid: u32,
    pub gid: u32,
}

/// The enforceable part of [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    Loopback,
    Gateway,
    Host,
}

impl Spec {
    /// Checks a launch and works out what to do.
    pub fn compile(launch: &Launch) -> Result<Self, SandboxError> {
        let policy = &launch.policy;
        refuse_unenforced(policy)?;
        refuse_contradictions(policy)?;
        let (links, mut binds) = match policy.backend {
            Backend::Kernel => links_and_binds(policy),
            Backend::Docker { .. } => (Vec::new(), without_the_hosts_programs(policy)),
        };
        binds.iter().try_for_each(check_bind)?;
        binds.sort_by(|a, b| a.inside.cmp(&b.inside));
        if let Some(pair) = binds.windows(2).find(|pair| pair[0].inside == pair[1].inside) {
            return Err(refused(format!("two binds appear at {}", pair[0].inside.display())));
        }
        Ok(Self {
            program: launch.program.clone(),
            args: launch.args.iter().map(|arg| no_nul("an argument", arg)).collect::<Result<_, _>>()?,
            env: policy.env.iter().map(|(name, value)| variable(name, value)).collect::<Result<_, _>>()?,
            cwd: absolute("the working directory", &launch.cwd)?,
            binds,
            masks: Vec::new(),
            links: links.into_iter().filter_map(|bind| Some((bind.inside, bind.host.read_link().ok()?))).collect(),
            files: files(policy)?,
            tmp_bytes: policy.filesystem.tmp_bytes,
            terminals: policy.filesystem.terminals,
            own_terminal: false,
            shared_memory: policy.processes != Processes::None,
            net: net(&policy.network),
            landlock_optional: policy.allow_degraded.contains(&Layer::Landlock),
            seccomp_optional: policy.allow_degraded.contains(&Layer::Seccomp),
            filter: seccomp::compile(
                policy,
                sys::random().map_err(SandboxError::launcher("asking for a random number"))?,
            )?,
            programs: programs(launch)?,
            limits: enforced_inside(&policy.limits),
            group: None,
            uid: policy.identity.uid,
            gid: policy.identity.gid,
        })
    }

    /// Whether the launcher has to donate a listener.
    pub fn wants_listener(&self) -> bool {
        self.net == Net::Gateway
    }

    /// Whether every program that the binds let execute may be executed.
    pub fn executes_anything(&self) -> bool {
        self.programs.is_none() && self.filter.once.is_none()
    }

    /// The bytes that [`Spec::decode`] reads, without a length in front.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.path(&self.program).path(&self.cwd);
        out.list(&self.args, |out, arg| _ = out.bytes(arg));
        out.list(&self.env, |out, variable| _ = out.bytes(variable));
        out.list(&self.binds, |out, bind| {
            out.path(&bind.host).path(&bind.inside).byte(bind.access as u8).byte(bind.ownership as u8);
        });
        out.list(&self.masks, |out, place| _ = out.path(place));
        out.list(&self.links, |out, (inside, target)| _ = out.path(inside).path(target));
        out.list(&self.files, |out, (inside, text)| _ = out.path(inside).bytes(text));
        out.number(self.tmp_bytes)
            .byte(self.terminals.into())
            .byte(self.own_terminal.into())
            .byte(self.shared_memory.into())
            .byte(self.net as u8)
            .byte(self.landlock_optional.into());
        out.byte(self.seccomp_optional.into());
        out.list(&self.filter.program, write_instruction);
        out.list(self.filter.alone.as_slice(), |out, alone| out.list(alone, write_instruction));
        out.list(self.filter.once.as_slice(), |out, secret| _ = out.number(*secret));
        out.list(self.programs.as_slice(), |out, programs| out.list(programs, |out, program| _ = out.path(program)));
        let Limits { memory_bytes, processes, open_files, file_bytes, cpu_s, wall_ms, .. } = self.limits;
        out.number(memory_bytes).number(processes).number(open_files).number(file_bytes);
        out.number(cpu_s.unwrap_or(u64::MAX)).number(wall_ms.unwrap_or(u64::MAX));
        out.path(self.group.as_deref().unwrap_or(Path::new("")));
        out.number(self.uid.into()).number(self.gid.into());
        out.framed()
    }

    /// Reads what [`Spec::encode`] wrote; fails on anything else.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        let mut input = Reader::new(bytes);
        let spec = Self {
            program: input.path()?,
            cwd: input.path()?,
            args: input.list(Reader::bytes)?,
            env: input.list(Reader::bytes)?,
            binds: input.list(read_bind)?,
            masks: input.list(Reader::path)?,
            links: input.list(|input| Ok((input.path()?, input.path()?)))?,
            files: input.list(|input| Ok((input.path()?, input.bytes()?)))?,
            tmp_bytes: input.number()?,
            terminals: input.one_of(&[false, true])?,
            own_terminal: input.one_of(&[false, true])?,
            shared_memory: input.one_of(&[false, true])?,
            net: input.one_of(&[Net::Loopback, Net::Gateway, Net::Host])?,
            landlock_optional: input.one_of(&[false, true])?,
            seccomp_optional: input.one_of(&[false, true])?,
            filter: Filter {
                program: input.list(read_instruction)?,
                alone: input.list(|input| input.list(read_instruction))?.pop(),
                once: input.list(Reader::number)?.pop(),
            },
            programs: input.list(|input| input.list(Reader::path))?.pop(),
            limits: read_limits(&mut input)?,
            group: Some(input.path()?).filter(|group| !group.as_os_str().is_empty()),
            uid: input.small()?,
            gid: input.small()?,
        };
        input.end().map(|()| spec)
    }
}

fn read_bind(input: &mut Reader<'_>) -> io::Result<Bind> {
    Ok(Bind {
        host: input.path()?,
        inside: input.path()?,
        access: input.one_of(&[Access::Read, Access::ReadExecute, Access::Write, Access::WriteExecute])?,
        ownership: input.one_of(&[Ownership::Agent, Ownership::Host])?,
        ours: false,
    })
}

fn write_instruction(out: &mut Writer, instruction: &Instruction) {
    let Instruction { code, jump_true, jump_false, value } = *instruction;
    out.number(u64::from(code) << 48 | u64::from(jump_true) << 40 | u64::from(jump_false) << 32 | u64::from(value));
}

fn read_instruction(input: &mut Reader<'_>) -> io::Result<Instruction> {
    let number = input.number()?;
    let (code, jump_true, jump_false) = ((number >> 48) as u16, (number >> 40) as u8, (number >> 32) as u8);
    Ok(Instruction { code, jump_true, jump_false, value: number as u32 })
}

fn read_limits(input: &mut Reader<'_>) -> io::Result<Limits> {
    let some = |number| (number != u64::MAX).then_some(number);
    Ok(Limits {
        memory_bytes: input.number()?,
        processes: input.number()?,
        open_files: input.number()?,
        file_bytes: input.number()?,
        cpu_s: some(input.number()?),
        wall_ms: some(input.number()?),
        ..Limits::default()
    })
}

/// What the launcher sets; the limits of a whole tree are kept from outside.
fn enforced_inside(limits: &Limits) -> Limits {
    Limits { tree_memory_bytes: None, cpu_percent: None, disk_bytes: None, ..limits.clone() }
}

fn refused(what: impl Into<String>) -> SandboxError {
    SandboxError::Policy(what.into())
}

/// What the policy language has and this version cannot enforce.
fn refuse_unenforced(policy: &Policy) -> Result<(), SandboxError> {
    if policy.identity.uid == 0 || policy.identity.gid == 0 {
        return Err(refused("nothing runs as root inside a sandbox; choose ids other than 0"));
    }
    Ok(())
}

/// Layers that cannot be given up together with what rests on them alone.
fn refuse_contradictions(policy: &Policy) -> Result<(), SandboxError> {
    let gives_up = |layer| policy.allow_degraded.contains(&layer);
    if gives_up(Layer::Namespaces) {
        return Err(refused(
            "allow_degraded: namespaces cannot be given up: the view of files, processes and network rests on them",
        ));
    }
    match policy.processes {
        Processes::None if gives_up(Layer::Seccomp) => Err(refused(
            "processes: none rests on the filter of system calls; take seccomp out of allow_degraded, or use processes: tree",
        )),
        Processes::Exec(_) if gives_up(Layer::Landlock) => Err(refused(
            "processes: exec rests on Landlock; take landlock out of allow_degraded, or use processes: tree",
        )),
        _ => Ok(()),
    }
}

/// With `processes: exec`, what may be executed; the program itself must be among it.
fn programs(launch: &Launch) -> Result<Option<Vec<PathBuf>>, SandboxError> {
    let Processes::Exec(programs) = &launch.policy.processes else { return Ok(None) };
    let listed = programs.iter().map(|program| absolute("a program of processes: exec", program));
    let listed: Vec<PathBuf> = listed.collect::<Result<_, _>>()?;
    let program = &launch.program;
    let is_it = |listed: &PathBuf| listed == program || listed.file_name() == Some(program.as_os_str());
    if !listed.iter().any(is_it) {
        return Err(refused(format!(
            "processes: exec does not list {}, which is to be run; add it",
            program.display()
        )));
    }
    Ok(Some(listed))
}

fn net(network: &Network) -> Net {
    match network {
        Network::None => Net::Loopback,
        Network::Gateway | Network::Hosts(_) => Net::Gateway,
        Network::Open => Net::Host,
    }
}

/// What is a link inside, and what is mounted.
fn links_and_binds(policy: &Policy) -> (Vec<Bind>, Vec<Bind>) {
    let binds = &policy.filesystem.binds;
    let is_link =
        |bind: &Bind| link_target(bind).is_some_and(|target| binds.iter().any(|other| covers(other, &target)));
    binds.iter().cloned().partition(is_link)
}

/// In a container the programs are the image's: the host's would hide them, and may not fit its C library.
fn without_the_hosts_programs(policy: &Policy) -> Vec<Bind> {
    policy.filesystem.binds.iter().filter(|bind| !is_the_hosts(bind)).cloned().collect()
}

fn is_the_hosts(bind: &Bind) -> bool {
    presets::is_system(&bind.host) && *bind == Bind::system(&bind.host)
}

/// On hosts where `/bin` is a link to `/usr/bin`, a link inside says the same as a mount and costs nothing.
fn link_target(bind: &Bind) -> Option<PathBuf> {
    let link = bind.host == bind.inside && bind.host.symlink_metadata().ok()?.is_symlink();
    link.then(|| bind.host.canonicalize().ok()).flatten()
}

fn covers(bind: &Bind, target: &Path) -> bool {
    bind.host == bind.inside && target.starts_with(&bind.host)
}

fn check_bind(bind: &Bind) -> Result<(), SandboxError> {
    absolute("a bound host path", &bind.host)?;
    let inside = absolute("the place of a bind", &bind.inside)?;
    let taken = ["/", "/proc", "/dev", "/tmp"].iter().any(|taken| inside == Path::new(taken));
    if taken || inside.starts_with("/proc") || inside.starts_with("/dev") {
        return Err(refused(format!("{} cannot be bound at {}", bind.host.display(), inside.display())));
    }
    if bind.host == Path::new("/") {
        return Err(refused("the root of the host cannot be bound"));
    }
    Ok(())
}

/// An absolute path without `.`, `..` or a NUL.
fn absolute(what: &str, path: &Path) -> Result<PathBuf, SandboxError> {
    no_nul(what, path.as_os_str())?;
    let mut components = path.components();
    if components.next() == Some(Component::RootDir) && components.all(|part| matches!(part, Component::Normal(_))) {
        return Ok(path.components().collect());
    }
    Err(refused(format!("{what} must be absolute and without `..`: {}", path.display())))
}

fn no_nul(what: &str, text: &OsStr) -> Result<Vec<u8>, SandboxError> {
    if text.as_bytes().contains(&0) {
        return Err(refused(format!("{what} contains a NUL byte: {}", text.to_string_lossy())));
    }
    Ok(text.as_bytes().to_vec())
}

fn variable(name: &str, value: &str) -> Result<Vec<u8>, SandboxError> {
    if name.is_empty() || name.contains('=') {
        return Err(refused(format!("`{name}` cannot be the name of an environment variable")));
    }
    no_nul("an environment variable", OsStr::new(&format!("{name}={value}")))
}

fn files(policy: &Policy) -> Result<Vec<(PathBuf, Vec<u8>)>, SandboxError> {
    let file = |(path, text): (&PathBuf, &String)| {
        let path = absolute("a file", path)?;
        match policy.filesystem.binds.iter().find(|bind| path.starts_with(&bind.inside)) {
            Some(bind) => Err(refused(format!("{} would be hidden by {}", path.display(), bind.inside.display()))),
            None => Ok((path, text.clone().into_bytes())),
        }
    };
    policy.filesystem.files.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    fn launch(change: impl FnOnce(&mut Policy)) -> Launch {
        let mut policy = presets::agent_cli();
        change(&mut policy);
        Launch { policy, program: "sh".into(), args: vec!["-c".into(), "true".into()], cwd: "/".into() }
    }

    fn refusal(change: impl FnOnce(&mut Policy)) -> String {
        Spec::compile(&launch(change)).expect_err("must be refused").to_string()
    }

    #[test]
    fn a_spec_survives_the_journey() {
        let spec = Spec::compile(&launch(|policy| {
            policy.filesystem.binds.push(Bind::write_execute("/srv/work", "/work"));
            policy.limits.wall_ms = Some(7);
        }))
        .map(|spec| Spec { group: Some("/sys/fs/cgroup/a/b".into()), ..spec })
        .unwrap();
        let bytes = spec.encode();
        assert_eq!(Spec::decode(&bytes[4..]).unwrap(), spec);
        assert_eq!(bytes.len() - 4, u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize);
    }

    #[test]
    fn no_cut_or_prolonged_spec_is_read() {
        let bytes = Spec::compile(&launch(|_| {})).unwrap().encode().split_off(4);
        (0..bytes.len()).for_each(|length| assert!(Spec::decode(&bytes[..length]).is_err(), "{length}"));
        assert!(Spec::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn what_cannot_be_enforced_is_refused_by_name() {
        assert!(refusal(|policy| policy.identity.uid = 0).contains("root"));
    }

    #[test]
    fn what_rests_on_a_layer_cannot_give_it_up() {
        let giving_up = |layer, processes: Processes| {
            refusal(|policy| (policy.allow_degraded, policy.processes) = (vec![layer], processes))
        };
        assert!(giving_up(Layer::Namespaces, Processes::None).contains("cannot be given up"));
        assert!(giving_up(Layer::Seccomp, Processes::None).contains("rests on the filter of system calls"));
        assert!(giving_up(Layer::Landlock, Processes::Exec(vec!["/bin/sh".into()])).contains("rests on Landlock"));
    }

    #[test]
    fn the_program_must_be_among_those_that_may_be_executed() {
        let exec = |program: &str| Processes::Exec(vec![program.into()]);
        assert!(refusal(|policy| policy.processes = exec("/bin/true")).contains("does not list sh"));
        assert!(refusal(|policy| policy.processes = exec("sh")).contains("must be absolute"));
        let spec = Spec::compile(&launch(|policy| policy.processes = exec("/bin/sh"))).unwrap();
        assert_eq!(spec.programs, Some(vec!["/bin/sh".into()]));
        assert_eq!(Spec::decode(&spec.encode()[4..]).unwrap(), spec);
    }

    #[test]
    fn every_launch_has_a_secret_of_its_own() {
        let once = || {
            let filter = Spec::compile(&launch(|policy| policy.processes = Processes::None)).unwrap().filter;
            filter.once.unwrap()
        };
        assert_ne!(once(), once());
        assert_eq!(Spec::compile(&launch(|_| {})).unwrap().filter.once, None);
    }

    #[test]
    fn who_may_reach_hosts_gets_a_listener_for_the_proxy() {
        let wants =
            |network: Network| Spec::compile(&launch(|policy| policy.network = network)).unwrap().wants_listener();
        assert!(wants(Network::Hosts(vec!["a.test:443".parse().unwrap()])));
        assert!(wants(Network::Hosts(Vec::new())));
        assert!(wants(Network::Gateway));
        assert!(!wants(Network::None) && !wants(Network::Open));
    }

    #[test]
    fn places_that_would_undo_the_sandbox_are_refused() {
        let bind = |host: &str, inside: &str| {
            let bind = Bind::write_execute(host, inside);
            refusal(|policy| policy.filesystem.binds.push(bind))
        };
        assert!(bind("/", "/host").contains("root of the host"));
        assert!(bind("/srv", "/").contains("cannot be bound at /"));
        assert!(bind("/srv", "/proc/sys").contains("cannot be bound at"));
        assert!(bind("/srv", "/dev").contains("cannot be bound at"));
        assert!(bind("/srv", "/work/../usr").contains("without `..`"));
        assert!(bind("srv", "/work").contains("absolute"));
        assert!(bind("/srv", "/usr").contains("two binds appear at /usr"));
    }

    #[test]
    fn a_file_below_a_bind_is_refused() {
        let files = |policy: &mut Policy| _ = policy.filesystem.files.insert("/usr/x".into(), String::new());
        assert!(refusal(files).contains("hidden by /usr"));
    }

    #[test]
    fn nul_bytes_and_bad_names_are_refused() {
        assert!(refusal(|policy| _ = policy.env.insert("A".into(), "b\0c".into())).contains("NUL"));
        assert!(refusal(|policy| _ = policy.env.insert("A=B".into(), String::new())).contains("name"));
    }
}
