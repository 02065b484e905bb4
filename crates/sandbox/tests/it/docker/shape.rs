//! What a container's description must be, field by field: every field that is sent is known here, every field that is
//! known here is sent, and each has the one value that a policy can give it.

use serde_json::{Value, json};

/// What is wrong with a description; empty when nothing is.
pub fn problems(description: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check("", description, CONTAINER, &mut problems);
    check("HostConfig.", &description["HostConfig"], HOST, &mut problems);
    for (number, mount) in list(&description["HostConfig"]["Mounts"]).iter().enumerate() {
        check(&format!("Mounts[{number}]."), mount, MOUNT, &mut problems);
    }
    problems
}

type Field = (&'static str, fn(&Value) -> bool);

const CONTAINER: &[Field] = &[
    ("Hostname", |value| value == "sandbox"),
    ("User", |value| is_user(value)),
    ("AttachStdin", is_false),
    ("AttachStdout", is_false),
    ("AttachStderr", is_false),
    ("Tty", is_false),
    ("OpenStdin", is_false),
    ("StdinOnce", is_false),
    ("Env", |value| *value == json!(["LD_PRELOAD=", "LD_LIBRARY_PATH=", "LD_AUDIT="])),
    ("Cmd", |value| *value == json!([])),
    ("Healthcheck", |value| *value == json!({ "Test": ["NONE"] })),
    ("Image", Value::is_string),
    ("WorkingDir", |value| value == "/"),
    ("Entrypoint", |value| *value == json!(["/.muster/guest", "__sandbox-guest", "/.muster/socket/s"])),
    ("NetworkDisabled", Value::is_boolean),
    ("Labels", is_labels),
    ("HostConfig", Value::is_object),
];

const HOST: &[Field] = &[
    ("Mounts", |value| list(value).len() >= 2),
    ("Tmpfs", is_tmpfs),
    ("ShmSize", is_number),
    ("ReadonlyRootfs", is_true),
    ("NetworkMode", |value| value == "none" || value == "host"),
    ("IpcMode", |value| value == "private"),
    ("CgroupnsMode", |value| value == "private"),
    ("Privileged", is_false),
    ("CapDrop", |value| *value == json!(["ALL"])),
    ("CapAdd", |value| *value == json!([])),
    ("SecurityOpt", is_security),
    ("PidsLimit", is_number),
    ("Ulimits", is_ulimits),
    ("OomScoreAdj", |value| *value == json!(500)),
    ("Init", is_false),
    ("RestartPolicy", |value| *value == json!({ "Name": "no", "MaximumRetryCount": 0 })),
    ("AutoRemove", is_false),
    ("LogConfig", |value| *value == json!({ "Type": "json-file", "Config": { "max-size": "64k" } })),
];

/// Sent only when the policy or the engine asks for it.
const OPTIONAL: &[Field] = &[
    ("Memory", is_number),
    ("MemorySwap", is_number),
    ("NanoCpus", is_number),
    ("UsernsMode", |value| value == "host"),
];

const MOUNT: &[Field] = &[
    ("Target", is_path),
    ("Source", is_path),
    ("Type", |value| value == "bind"),
    ("ReadOnly", Value::is_boolean),
    ("BindOptions", |value| *value == json!({ "Propagation": "rprivate" })),
];

fn check(place: &str, object: &Value, fields: &[Field], problems: &mut Vec<String>) {
    let Some(object) = object.as_object() else {
        return problems.push(format!("{place} is no object"));
    };
    for (name, holds) in fields {
        match object.get(*name) {
            None => problems.push(format!("{place}{name} is missing")),
            Some(value) if !holds(value) => problems.push(format!("{place}{name} is {value}")),
            Some(_) => {}
        }
    }
    for (name, value) in object.iter().filter(|(name, _)| fields.iter().all(|(known, _)| known != name)) {
        match OPTIONAL.iter().find(|(known, _)| place == "HostConfig." && known == name) {
            Some((_, holds)) if holds(value) => {}
            _ => problems.push(format!("{place}{name} is not asked for: {value}")),
        }
    }
}

fn is_user(value: &Value) -> bool {
    let ids: Option<Vec<u32>> = value.as_str().map(|text| text.split(':').filter_map(|id| id.parse().ok()).collect());
    ids.is_some_and(|ids| ids.len() == 2 && ids.iter().all(|id| *id != 0))
}

/// Without the two that a policy can have no say in, and with a filter that forbids by default.
fn is_security(value: &Value) -> bool {
    let [privileges, label, filter] = list(value) else { return false };
    let filter = filter.as_str().and_then(|filter| filter.strip_prefix("seccomp="));
    let filter: Value = filter.and_then(|filter| serde_json::from_str(filter).ok()).unwrap_or_default();
    privileges == "no-new-privileges" && label == "label=disable" && filter["defaultAction"] == "SCMP_ACT_ERRNO"
}

fn is_labels(value: &Value) -> bool {
    let names: Vec<&String> = value.as_object().into_iter().flat_map(|labels| labels.keys()).collect();
    names.len() == 2 && names.iter().all(|name| ["dev.muster.owner", "dev.muster.world"].contains(&name.as_str()))
}

fn is_tmpfs(value: &Value) -> bool {
    let options = value["/tmp"].as_str().unwrap_or_default();
    let options = options.strip_prefix("rw,exec,").or_else(|| options.strip_prefix("rw,noexec,")).unwrap_or_default();
    let size = options.strip_prefix("nosuid,nodev,mode=1777,size=").and_then(|size| size.parse::<u64>().ok());
    size.is_some_and(|size| size > 0) && value.as_object().is_some_and(|places| places.len() == 1)
}

fn is_ulimits(value: &Value) -> bool {
    let names: Vec<&Value> = list(value).iter().map(|limit| &limit["Name"]).collect();
    let same = |limit: &Value| limit["Soft"].is_i64() && limit["Soft"] == limit["Hard"];
    names == ["core", "data", "fsize", "nofile"] && list(value).iter().all(same)
}

fn is_path(value: &Value) -> bool {
    value.as_str().is_some_and(|path| path.starts_with('/'))
}

fn is_number(value: &Value) -> bool {
    value.as_i64().is_some_and(|number| number > 0)
}

fn is_true(value: &Value) -> bool {
    *value == json!(true)
}

fn is_false(value: &Value) -> bool {
    *value == json!(false)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
