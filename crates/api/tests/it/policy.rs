//! Policy files: what is taken, and what a person is told about the rest.

use crate::{config, told};
use api::{
    policy::{Backend, CheckedPolicy, Identity, Layer, Network, Preset, Processes, Work},
    source::{Problems, Source},
};
use expect_test::{Expect, expect};
use std::path::{Path, PathBuf};

pub fn policy(text: &str) -> Result<CheckedPolicy, Problems> {
    api::policy::load(&Source::new("policy.yaml", text))
}

fn check(text: &str, expected: Expect) {
    expected.assert_eq(&told(policy(text)));
}

pub const WHOLE: &str = r#"
version: 1
preset: worker
work: read
files:
  read: [~/x, {host: /srv/data, inside: /data}]
  write: [./out]
  execute: [/opt/tool]
network: {hosts: ["Crates.io:443", "*.example.org:443"]}
allowed_syscalls: ["@worker", openat]
processes: {exec: [git, /usr/bin/make]}
limits: {memory: 512MiB, tree_memory: 2GiB, processes: 64, open_files: 256, file: 100MiB, disk: 1GiB, tmp: 64MiB, cpu_time: 10m, cpu_percent: 100, wall: 30m}
env: {LANG: C.UTF-8}
pass: [TERM]
identity: {uid: 1001, gid: 1002}
backend: {docker: {image: "debian:12"}}
allow_degraded: [landlock]
"#;

#[test]
fn every_key_arrives() {
    let policy = policy(WHOLE).unwrap();
    assert_eq!((policy.preset, policy.work), (Some(Preset::Worker), Some(Work::Read)));
    let resolved: Vec<(PathBuf, PathBuf)> =
        policy.host_paths().map(|shown| shown.resolve(Path::new("/home/me"), Path::new("/project"))).collect();
    let pairs = [
        ("/home/me/x", "/home/me/x"),
        ("/srv/data", "/data"),
        ("/project/out", "/project/out"),
        ("/opt/tool", "/opt/tool"),
    ];
    assert_eq!(resolved, pairs.map(|(host, inside)| (host.into(), inside.into())));
    assert_eq!(policy.network, Some(Network::Hosts(vec!["crates.io:443".into(), "*.example.org:443".into()])));
    let calls: Vec<&str> = policy.allowed_syscalls.iter().map(|call| call.value.as_str()).collect();
    assert_eq!(calls, ["@worker", "openat"]);
    assert_eq!(policy.processes, Some(Processes::Exec(vec!["git".into(), "/usr/bin/make".into()])));
    let limits = &policy.limits;
    assert_eq!((limits.memory_bytes, limits.tree_memory_bytes), (Some(512 << 20), Some(2 << 30)));
    assert_eq!((limits.processes, limits.open_files), (Some(64), Some(256)));
    assert_eq!((limits.file_bytes, limits.disk_bytes), (Some(100 << 20), Some(1 << 30)));
    assert_eq!((limits.tmp_bytes, limits.cpu_ms), (Some(64 << 20), Some(600_000)));
    assert_eq!((limits.cpu_percent, limits.wall_ms), (Some(100), Some(1_800_000)));
    assert_eq!(policy.env.get("LANG").map(String::as_str), Some("C.UTF-8"));
    assert_eq!(policy.pass, ["TERM"]);
    assert_eq!(policy.identity, Some(Identity { uid: 1001, gid: 1002 }));
    assert_eq!(policy.backend, Some(Backend::Docker { image: "debian:12".into() }));
    assert_eq!(policy.allow_degraded, [Layer::Landlock]);
}

#[test]
fn the_words_of_other_systems_become_a_policy_and_a_key_of_ours_wins() {
    let words =
        "permissions: {file_system: read, network: restricted, shell_commands: approved_only, git_operations: pr_only}";
    let mapped = policy(words).unwrap();
    assert_eq!((mapped.work, mapped.network), (Some(Work::Read), Some(Network::Gateway)));
    assert_eq!((mapped.processes, mapped.remains.len()), (Some(Processes::None), 1));
    let over = policy(&format!("{words}\nnetwork: {{hosts: ['a.example:443']}}")).unwrap();
    assert_eq!(over.network, Some(Network::Hosts(vec!["a.example:443".into()])));
}

#[test]
fn words_that_nobody_knows() {
    check(
        "permissions:\n  file_system: readwrite\n  network: limited\n  shell_commands: ask\n  git_operations: pr-only\n",
        expect![[r"
            policy.yaml:2:16: `readwrite` is not one of the choices
              help: did you mean `read_write`?
            policy.yaml:3:12: `limited` is not one of the choices
              help: use one of: `none`, `restricted`, `allowed`
            policy.yaml:4:19: `ask` is not one of the choices
              help: use one of: `none`, `approved_only`, `sandboxed`, `allowed`
            policy.yaml:5:19: `pr-only` is not one of the choices
              help: did you mean `pr_only`?
        "]],
    );
    check(
        "preset: agent_cli\nnetwork: gatway\nprocesses: some\nbackend: doker\nallow_degraded: [landlok]\n",
        expect![[r#"
            policy.yaml:1:9: `agent_cli` is not one of the choices
              help: did you mean `agent-cli`?
            policy.yaml:2:10: `gatway` is not one of the choices
              help: did you mean `gateway`?
            policy.yaml:3:12: `some` is not one of the choices
              help: did you mean `none`?
            policy.yaml:4:10: `doker` is not one of the choices
              help: use one of: `kernel`, `{docker: {image: NAME}}`
            policy.yaml:5:18: `landlok` is not one of the choices
              help: did you mean `landlock`?
        "#]],
    );
}

#[test]
fn contradictions() {
    check(
        "files: {read: [/a], write: [/a]}\nlimits:\n  memory: 2GiB\n  tree_memory: 1GiB\n  tmp: 1GiB\n  tmp_mib: 5\n  file: 2GiB\n  disk: 1GiB\n",
        expect![[r#"
            policy.yaml:1:16: this path stands in `read` and in `write`
              help: keep it in `write`, which allows reading too
            policy.yaml:4:16: one process may use more memory than all of them together
              help: raise `tree_memory`, or lower `memory`
            policy.yaml:6:12: `tmp` and `tmp_mib` say the same
              help: keep `tmp`
            policy.yaml:8:9: one file may be larger than all of them together
              help: raise `disk`, or lower `file`
        "#]],
    );
    check(
        "files:\n  read: [{host: /a, inside: /x}, {host: /b, inside: /x}]\nnetwork: {hosts: ['a.b:443', 'a.b:443 private']}\nenv: {TERM: dumb}\npass: [TERM]\n",
        expect![[r#"
            policy.yaml:2:41: another path appears at `/x` too
              help: give one of them another place: `{host: …, inside: …}`
            policy.yaml:3:10: `a.b:443` stands there with and without `private`
              help: keep one of them
            policy.yaml:5:8: `TERM` stands in `env` and in `pass`
              help: keep it in `env` for this value, or in `pass` for the caller's
        "#]],
    );
    check(
        "permissions: {file_system: read, network: none, shell_commands: none}\nwork: write\nfiles: {write: [/a]}\nnetwork: open\nprocesses: {exec: [git]}\n",
        expect![[r#"
            policy.yaml:2:7: `work` allows more than `permissions: {file_system: …}`
              help: keep one of the two: `work` alone, or a wider `file_system`
            policy.yaml:3:17: `permissions: {file_system: …}` lets nothing be written
              help: show it with `read`, or write `file_system: read_write`
            policy.yaml:4:10: `network` allows more than `permissions: {network: …}`
              help: keep one of the two: `network` alone, or a wider `network`
            policy.yaml:5:12: `processes` allows more than `permissions: {shell_commands: …}`
              help: keep one of the two: `processes` alone, or a wider `shell_commands`
        "#]],
    );
    assert!(
        policy("permissions: {shell_commands: approved_only, network: restricted}\nprocesses: {exec: [git]}\n").is_ok()
    );
    assert!(
        policy("permissions: {file_system: read_write, shell_commands: allowed}\nwork: read\nprocesses: none\n")
            .is_ok()
    );
}

#[test]
fn the_corpus_of_the_fuzzer_is_read_or_refused_with_a_reason() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/policy");
    let files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 10, "the corpus is gone: {files:?}");
    for file in files {
        let Ok(text) = String::from_utf8(std::fs::read(&file).unwrap()) else { continue };
        if let Err(problems) = policy(&text) {
            assert!(!problems.list.is_empty(), "{}", file.display());
        }
    }
}

#[test]
fn values_out_of_their_bounds() {
    check(
        "network: {hosts: ['*:443', 'https://crates.io/']}\nprocesses: {exec: []}\nlimits: {memory: 1MiB, wall: 5, file: 7MB}\nidentity: {uid: 0}\nallowed_syscalls: ['open at']\nfiles: {write: [/, ../x, {host: /a, inside: /proc/x}]}\nenv: {HOME: /x}\npass: ['A-B']\n",
        expect![[r#"
            policy.yaml:1:19: `*:443` matches everything, or nearly so
              help: name the hosts that are needed; `*.example.org:443` has at least two parts after `*.`
            policy.yaml:1:28: `https://crates.io/` is not HOST:PORT
              help: write only the host and its port, as in `crates.io`
            policy.yaml:2:19: the list of programs is empty
              help: name one, or note that `processes: none` starts none
            policy.yaml:3:18: `memory` is too small for any program
              help: write at least `16MiB`
            policy.yaml:3:30: `5` is not a length of time
              help: write for example `500ms`, `60s`, `5m` or `2h`
            policy.yaml:3:39: `7MB` is not a size
              help: write for example `64KiB`, `512MiB` or `2GiB`
            policy.yaml:4:17: this id is 0
              help: write a number from 1 to 4294967294
            policy.yaml:5:20: `open at` is not the name of a system call
              help: write the name of a system call such as `openat`, or of a group such as `@worker`
            policy.yaml:6:17: `/` is the whole machine
              help: name the folders that are needed
            policy.yaml:6:20: `../x` has a `..` or a zero byte in it
              help: write the path without it
            policy.yaml:6:45: `/proc/x` is taken: every sandbox has its own
              help: choose another place, for example below `/data`
            policy.yaml:7:7: `HOME` is set by muster itself
              help: remove it, or use another name
            policy.yaml:8:8: `A-B` is not the name of an environment variable
              help: use letters, digits and _, not beginning with a digit
        "#]],
    );
}

#[test]
fn keys_that_nobody_knows() {
    check(
        "filesystem: {}\n",
        expect![[r#"
            policy.yaml:1:1: unknown key `filesystem`
              help: use one of: `version`, `preset`, `permissions`, `work`, `files`, `read`, `network`, `allowed_syscalls`, `processes`, `limits`, `env`, `pass` and 3 more
        "#]],
    );
    check(
        "limits: {memroy: 1GiB}\n",
        expect![[r#"
            policy.yaml:1:10: unknown key `memroy`
              help: did you mean `memory`?
        "#]],
    );
    check(
        "backend: {docker: {imgae: x}}\n",
        expect![[r#"
            policy.yaml:1:20: unknown key `imgae`
              help: did you mean `image`?
        "#]],
    );
}

#[test]
fn a_file_of_a_project_asks_for_less() {
    let role = |policy: &str| {
        format!(
            "upstreams: {{a: {{scripted: s}}}}\nroles:\n  r:\n    runtime: native\n    model: m\n    sandbox: {policy}\n"
        )
    };
    let refused = |policy: &str, expected: Expect| expected.assert_eq(&told(config(&role(policy))));
    assert_eq!(config(&role("worker")).unwrap().roles.values().next().unwrap().sandbox.preset, Some(Preset::Worker));
    refused(
        "{network: open, pass: [TOKEN], files: {read: [./x]}}",
        expect![[r#"
            muster.yaml:6:24: a file of a project cannot open the network of this machine
              help: name the hosts that are needed: `network: {hosts: ["crates.io:443"]}`
            muster.yaml:6:37: a file of a project cannot hand on variables of whoever runs muster
              help: write its value under `env`; keys belong to `key_env` of an upstream, where no agent sees them
            muster.yaml:6:60: `./x` is not a full path
              help: write a path that begins with `/` or `~/`
        "#]],
    );
    refused(
        "{network: none}",
        expect![[r#"
            muster.yaml:6:24: without the gateway an agent reaches no model
              help: remove it: `gateway` is the least that an agent needs
        "#]],
    );
    refused(
        "strict.yaml",
        expect![[r#"
            muster.yaml:6:14: `strict.yaml` is not one of the choices
              help: use one of: `worker`, `agent-cli`, `check`, `read-only`
        "#]],
    );
    let checks = "checks: {preset: worker, work: read, network: gateway}\n";
    expect![[r#"
        muster.yaml:1:18: checks are always run under the preset `check`
          help: remove this line
        muster.yaml:1:32: a check writes in its own check-out, which is thrown away
          help: remove this line
        muster.yaml:1:47: checks ask no model, so they have no gateway
          help: write `none`, or `{hosts: [HOST:PORT]}`
    "#]]
    .assert_eq(&told(config(checks)));
}
