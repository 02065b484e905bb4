//! What a sandboxed process may use beyond what every one of its kind gets.

use crate::source::{
    checker::{Checker, Wrong, quote},
    shape::{At, Entries, List, Text, Value, Whole},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a sandboxed process may use beyond what every one of its kind gets. Empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SandboxExtras {
    /// Files and folders of this machine that it may read and execute.
    pub read: Vec<HostPath>,
    /// Environment variables that it gets; none of those that muster sets itself.
    pub env: BTreeMap<String, String>,
    /// What bounds it; where nothing is set, the sandbox's own default holds.
    pub limits: ProcessLimits,
}

/// A path on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPath {
    /// From the root.
    Absolute(PathBuf),
    /// Written `~/…`: from the home folder of whoever runs muster.
    Home(PathBuf),
}

impl HostPath {
    /// The absolute path for someone whose home folder is `home`.
    pub fn resolve(&self, home: &Path) -> PathBuf {
        match self {
            Self::Absolute(path) => path.clone(),
            Self::Home(rest) => home.join(rest),
        }
    }
}

/// What bounds one sandboxed process and everything that it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessLimits {
    /// Memory of each process, in MiB.
    pub memory_mib: Option<u32>,
    /// Processes and threads at the same time; two of them are the sandbox's own.
    pub processes: Option<u32>,
    /// Open files of one process.
    pub open_files: Option<u32>,
    /// Largest file, in MiB.
    pub file_mib: Option<u32>,
    /// Room for temporary files, in MiB.
    pub tmp_mib: Option<u32>,
    /// Memory of all its processes together, in MiB.
    pub tree_memory_mib: Option<u32>,
    /// Processor time of all its processes together, in percent of one processor.
    pub cpu_percent: Option<u32>,
    /// What its folders may hold together, in MiB.
    pub disk_mib: Option<u32>,
}

/// What a sandboxed process may use beyond what every one of its kind gets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxSpec {
    /// Files and folders of this machine that it may read and execute: absolute, or beginning with `~/`.
    #[serde(default)]
    read: List<Text>,
    /// Environment variables that it gets.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}))]
    env: Entries<Value>,
    /// What bounds it and everything that it starts.
    limits: Option<ProcessLimitsSpec>,
}

/// What bounds one sandboxed process and everything that it starts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProcessLimitsSpec {
    /// Memory of each process, in MiB.
    #[schemars(extend("minimum" = 16, "maximum" = 16_777_216))]
    memory_mib: Option<At<Whole>>,
    /// Processes and threads at the same time; two of them are the sandbox's own.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
    processes: Option<At<Whole>>,
    /// Open files of one process.
    #[schemars(extend("minimum" = 16, "maximum" = 1_000_000))]
    open_files: Option<At<Whole>>,
    /// Largest file, in MiB.
    #[schemars(extend("minimum" = 1, "maximum" = 16_777_216))]
    file_mib: Option<At<Whole>>,
    /// Room for temporary files, in MiB.
    #[schemars(extend("minimum" = 1, "maximum" = 16_777_216))]
    tmp_mib: Option<At<Whole>>,
    /// Memory of all its processes together, in MiB; it is ended when they use more.
    #[schemars(extend("minimum" = 16, "maximum" = 16_777_216))]
    tree_memory_mib: Option<At<Whole>>,
    /// Processor time of all its processes together, in percent of one processor. Needs cgroup v2 with the `cpu` controller.
    #[schemars(extend("minimum" = 1, "maximum" = 100_000))]
    cpu_percent: Option<At<Whole>>,
    /// What the folders that it may write in may hold together, in MiB; it is ended when they hold more.
    #[schemars(extend("minimum" = 1, "maximum" = 1_073_741_824))]
    disk_mib: Option<At<Whole>>,
}

pub(super) fn extras(checker: &mut Checker, spec: SandboxSpec) -> SandboxExtras {
    let read = spec.read.0.into_iter();
    let env = spec.env.0.into_iter();
    SandboxExtras {
        read: read.map(|path| checker.take(path.place, host_path(&path.value.0), HostPath::Home("".into()))).collect(),
        env: env.map(|(name, value)| variable(checker, name, value)).collect(),
        limits: spec.limits.map(|limits| limits.judge(checker)).unwrap_or_default(),
    }
}

impl ProcessLimitsSpec {
    fn judge(self, checker: &mut Checker) -> ProcessLimits {
        ProcessLimits {
            memory_mib: checker.number("this limit", self.memory_mib, 16..=16_777_216),
            processes: checker.number("this limit", self.processes, 1..=100_000),
            open_files: checker.number("this limit", self.open_files, 16..=1_000_000),
            file_mib: checker.number("this limit", self.file_mib, 1..=16_777_216),
            tmp_mib: checker.number("this limit", self.tmp_mib, 1..=16_777_216),
            tree_memory_mib: checker.number("this limit", self.tree_memory_mib, 16..=16_777_216),
            cpu_percent: checker.number("this limit", self.cpu_percent, 1..=100_000),
            disk_mib: checker.number("this limit", self.disk_mib, 1..=1_073_741_824),
        }
    }
}

fn host_path(text: &str) -> Result<HostPath, Wrong> {
    let refuse = |why: &str, fix: &str| Err(Wrong::new(format!("{} {why}", quote(text)), fix));
    if text.split('/').any(|part| part == "..") || text.contains('\0') {
        return refuse("has a `..` or a zero byte in it", "write the path without it");
    }
    match (text.strip_prefix("~/"), text.starts_with('/')) {
        (Some(rest), _) if !rest.starts_with('/') => Ok(HostPath::Home(rest.into())),
        (None, true) if text.trim_matches('/').is_empty() => {
            refuse("is the whole machine", "name the folders that are needed")
        }
        (None, true) => Ok(HostPath::Absolute(text.into())),
        _ => refuse("is not a full path", "write a path that begins with `/` or `~/`"),
    }
}

fn variable(checker: &mut Checker, name: At<String>, value: At<Value>) -> (String, String) {
    const RESERVED: [&str; 4] = ["MUSTER_", "OPENAI_", "ANTHROPIC_", "HOME"];
    let text = &name.value;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !(1..=128).contains(&text.len()) || !text.bytes().all(allowed) || text.starts_with(|c: char| c.is_ascii_digit())
    {
        let what = format!("{} is not the name of an environment variable", quote(text));
        checker.wrong(name.place, what, "use letters, digits and _, not beginning with a digit");
    } else if RESERVED.iter().any(|reserved| text == reserved || reserved.ends_with('_') && text.starts_with(reserved))
    {
        checker.wrong(name.place, format!("{} is set by muster itself", quote(text)), "remove it, or use another name");
    }
    let value = checker.value("this value", value);
    (name.value, value)
}
