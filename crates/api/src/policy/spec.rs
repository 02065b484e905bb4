//! The shape of a policy, before its values are judged.

use super::{Layer, Preset, Words, Work, limits::LimitsSpec, permissions::PermissionsSpec};
use crate::source::{
    Place,
    shape::{At, Entries, List, NameText, Text, Value, Whole, WordOr},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a sandboxed process may see, reach, start and use up: a preset, and what changes it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "muster sandbox policy")]
pub(crate) struct PolicySpec {
    /// The version of this file's format.
    #[schemars(extend("maximum" = 1, "minimum" = 1))]
    pub(crate) version: Option<At<Whole>>,
    /// What everything else changes: `worker` starts no process, `agent-cli` runs commands, `check` builds and tests without
    /// a network, `read-only` looks.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<Preset>")]
    pub(crate) preset: Option<At<NameText>>,
    /// Boundaries in the words of other systems; each becomes a part of this policy.
    pub(crate) permissions: Option<At<PermissionsSpec>>,
    /// What may be done with the place where work is done.
    #[serde(default)]
    #[schemars(schema_with = "word_schema::<Work>")]
    pub(crate) work: Option<At<NameText>>,
    /// Files and folders of this machine that are shown inside.
    pub(crate) files: Option<FilesSpec>,
    /// Files and folders to read and execute: short for `files: {execute: …}`.
    #[serde(default)]
    pub(crate) read: List<Text>,
    /// What may be connected to: `none`, `gateway`, `open`, or `{hosts: [HOST:PORT]}`.
    #[serde(default)]
    #[schemars(schema_with = "network_schema")]
    pub(crate) network: Option<At<WordOr<HostsSpec>>>,
    /// Names and groups (`@worker`) of system calls that are allowed.
    #[serde(default)]
    #[schemars(extend("minItems" = 1, "items" = {"type": "string", "pattern": "^@?[a-z_][a-z0-9_-]{0,63}$"}))]
    pub(crate) allowed_syscalls: Option<At<List<Text>>>,
    /// Whether it may start others: `none`, `tree`, or `{exec: [PROGRAM]}`.
    #[serde(default)]
    #[schemars(schema_with = "processes_schema")]
    pub(crate) processes: Option<At<WordOr<ExecSpec>>>,
    /// What bounds it and everything that it starts.
    pub(crate) limits: Option<At<LimitsSpec>>,
    /// Environment variables that it gets.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}))]
    pub(crate) env: Entries<Value>,
    /// Names of variables that it gets from whoever starts it, if they have them.
    #[serde(default)]
    #[schemars(extend("items" = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$"}))]
    pub(crate) pass: List<Text>,
    /// Who it is inside.
    pub(crate) identity: Option<IdentitySpec>,
    /// What enforces it: `kernel`, or `{docker: {image: NAME}}`.
    #[serde(default)]
    #[schemars(schema_with = "backend_schema")]
    pub(crate) backend: Option<At<WordOr<BackendSpec>>>,
    /// Layers of protection that may be missing on the host; whatever is not named here must hold.
    #[serde(default)]
    #[schemars(schema_with = "layers_schema")]
    pub(crate) allow_degraded: List<NameText>,
}

impl PolicySpec {
    /// Where its keys stand.
    pub(super) fn keys(&self) -> BTreeMap<&'static str, Place> {
        fn first<T>(list: &List<T>) -> Option<Place> {
            list.0.first().map(|at| at.place)
        }
        fn place<T>(at: &Option<At<T>>) -> Option<Place> {
            at.as_ref().map(|at| at.place)
        }
        let permissions = self.permissions.as_ref().map(|at| &at.value);
        let named = |word: fn(&PermissionsSpec) -> Option<Place>| permissions.and_then(word);
        [
            ("preset", place(&self.preset)),
            ("work", place(&self.work).or(named(PermissionsSpec::files_place))),
            ("network", place(&self.network).or(named(PermissionsSpec::network_place))),
            ("processes", place(&self.processes).or(named(PermissionsSpec::shell_place))),
            ("allowed_syscalls", self.allowed_syscalls.as_ref().map(|at| at.place)),
            ("limits", place(&self.limits)),
            ("pass", first(&self.pass)),
            ("backend", place(&self.backend)),
            ("allow_degraded", first(&self.allow_degraded)),
        ]
        .into_iter()
        .filter_map(|(key, place)| Some((key, place?)))
        .collect()
    }
}

/// Files and folders of this machine that are shown inside.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilesSpec {
    /// To read.
    #[serde(default)]
    #[schemars(schema_with = "paths_schema")]
    pub(crate) read: List<WordOr<PathSpec>>,
    /// To read and write.
    #[serde(default)]
    #[schemars(schema_with = "paths_schema")]
    pub(crate) write: List<WordOr<PathSpec>>,
    /// To read and execute.
    #[serde(default)]
    #[schemars(schema_with = "paths_schema")]
    pub(crate) execute: List<WordOr<PathSpec>>,
}

/// A path that appears inside at another place.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathSpec {
    /// The path on this machine.
    pub(crate) host: At<Text>,
    /// Where it appears inside.
    #[schemars(extend("pattern" = "^/"))]
    pub(crate) inside: At<Text>,
}

/// Hosts that may be connected to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostsSpec {
    /// `HOST:PORT`, 443 without a port; `*.` in front of a host stands for any name below it; ` private` after it lets the
    /// name lead to an address of a private network.
    pub(crate) hosts: At<List<Text>>,
}

/// Programs that may be executed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExecSpec {
    /// Bare names, looked up in `PATH`, or absolute paths inside.
    pub(crate) exec: At<List<Text>>,
}

/// Who the process is inside.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentitySpec {
    /// User id.
    #[schemars(extend("minimum" = 1, "maximum" = 4_294_967_294u32))]
    pub(crate) uid: Option<At<Whole>>,
    /// Group id.
    #[schemars(extend("minimum" = 1, "maximum" = 4_294_967_294u32))]
    pub(crate) gid: Option<At<Whole>>,
}

/// A back end that needs to know more.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackendSpec {
    /// A container of Docker or Podman.
    pub(crate) docker: DockerSpec,
}

/// A container of Docker or Podman.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DockerSpec {
    /// The image, as the engine knows it.
    pub(crate) image: At<Text>,
}

fn words<W: Words>() -> Vec<&'static str> {
    W::ALL.iter().map(|(word, _)| *word).collect()
}

pub(super) fn word_schema<W: Words>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": words::<W>()})
}

fn layers_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "enum": words::<Layer>()}})
}

fn word_or<T: JsonSchema>(generator: &mut SchemaGenerator, words: &[&str]) -> Schema {
    let map = generator.subschema_for::<T>();
    json_schema!({"anyOf": [{"type": "string", "enum": words}, map]})
}

fn network_schema(generator: &mut SchemaGenerator) -> Schema {
    word_or::<HostsSpec>(generator, &["none", "gateway", "open"])
}

fn processes_schema(generator: &mut SchemaGenerator) -> Schema {
    word_or::<ExecSpec>(generator, &["none", "tree"])
}

fn backend_schema(generator: &mut SchemaGenerator) -> Schema {
    word_or::<BackendSpec>(generator, &["kernel"])
}

fn paths_schema(generator: &mut SchemaGenerator) -> Schema {
    let map = generator.subschema_for::<PathSpec>();
    json_schema!({"type": "array", "items": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 65536}, map]}})
}

/// A preset's name, or a whole policy.
pub(crate) fn sandbox_schema(generator: &mut SchemaGenerator) -> Schema {
    word_or::<PolicySpec>(generator, &words::<Preset>())
}
