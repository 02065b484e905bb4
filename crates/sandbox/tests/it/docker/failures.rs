//! What a person reads when it does not work, and that nothing is left then.

use std::path::Path;

use sandbox::{Bind, Exit, Limit, Limits, Network, Sandboxed};
use serde_json::{Value, json};

use super::Fixture;
use super::cases::read_ready;
use super::standin::{Engine, Manner};
use crate::is_root;

fn refusal(fixture: &Fixture) -> String {
    fixture.host.refusal(fixture.policy(), &["true"])
}

#[test]
fn an_image_that_is_not_there_is_named_and_not_fetched() {
    let fixture = Fixture { image: "no/such:image".to_owned(), ..Fixture::standin() };
    let error = refusal(&fixture);
    assert!(error.contains("the image `no/such:image` is not on this machine"), "{error}");
    assert!(error.contains("docker pull no/such:image"), "{error}");
    assert!(!fixture.engine().requests().iter().any(|request| request.contains("/images")), "{error}");
}

#[test]
fn an_engine_that_does_not_answer_is_told_with_what_to_do() {
    let fixture = Fixture::new("any", Path::new("/no/such/engine.sock"));
    let error = refusal(&fixture);
    assert!(error.contains("nobody answers at /no/such/engine.sock"), "{error}");
    assert!(error.contains("Start Docker or Podman"), "{error}");
}

#[test]
fn an_engine_that_is_too_old_or_rootless_is_refused() {
    let error = refusal(&Fixture::with(Manner { api: "1.40", ..Manner::default() }));
    assert!(error.contains("it speaks version `1.40` of the Docker API, and 1.41 is needed"), "{error}");
    let rootless = Manner { security_options: vec!["name=seccomp", "name=rootless"], ..Manner::default() };
    let error = refusal(&Fixture::with(rootless));
    assert!(error.contains("rootless Docker") && error.contains("Use Podman"), "{error}");
}

#[test]
fn the_engines_own_words_are_passed_on() {
    let message = "invalid mount config for type \"bind\"";
    let error = refusal(&Fixture::with(Manner { refuses: Some((400, message)), ..Manner::default() }));
    assert!(error.contains(message), "{error}");
    let fixture = Fixture::with(Manner { start_fails: Some("no space left on device"), ..Manner::default() });
    let error = refusal(&fixture);
    assert!(error.contains("no space left on device"), "{error}");
    fixture.engine().wait_removed();
}

#[test]
fn a_warning_of_the_engine_is_a_refusal() {
    let warning = "Your kernel does not support pids limit capabilities";
    let fixture = Fixture::with(Manner { warnings: vec![warning], ..Manner::default() });
    assert!(refusal(&fixture).contains(warning));
    fixture.engine().wait_removed();
    assert!(!fixture.engine().requests().iter().any(|request| request.ends_with("/start")));
}

#[test]
fn an_engine_that_leaves_out_a_wall_is_found_out() {
    let host = |change: fn(&mut Value)| change;
    let walls = [
        ("root can be written", host(|container| container["HostConfig"]["ReadonlyRootfs"] = json!(false))),
        ("capabilities are left", host(|container| container["HostConfig"]["CapDrop"] = json!([]))),
        ("new privileges", host(|container| container["HostConfig"]["SecurityOpt"] = json!([]))),
        (
            "cannot write in /tmp",
            host(|container| {
                container["HostConfig"]["Tmpfs"] = json!({ "/tmp": "mode=0755,size=1000000" });
            }),
        ),
        ("a network beside loopback", host(|container| container["HostConfig"]["NetworkMode"] = json!("bridge"))),
    ];
    for (expected, leave_out) in walls {
        let fixture = Fixture::with(Manner { leaves_out: Some(leave_out), ..Manner::default() });
        let error = refusal(&fixture);
        assert!(error.contains(expected) && error.contains("did not give what it was asked for"), "{error}");
        fixture.engine().wait_removed();
    }
}

#[test]
fn a_guest_that_cannot_start_is_told_in_the_containers_words() {
    let broken =
        |container: &mut Value| container["Entrypoint"] = json!(["/bin/sh", "-c", "echo no such libc >&2; exit 1"]);
    let fixture = Fixture::with(Manner { leaves_out: Some(broken), ..Manner::default() });
    let error = refusal(&fixture);
    assert!(error.contains("it said: no such libc") && error.contains("C library"), "{error}");
    fixture.engine().wait_removed();
}

#[test]
fn what_a_container_cannot_have_is_refused_before_anything_is_asked() {
    let fixture = Fixture::standin();
    let refusal = |change: &dyn Fn(&mut sandbox::Policy)| {
        let mut policy = fixture.policy();
        change(&mut policy);
        fixture.host.refusal(policy, &["true"])
    };
    assert!(refusal(&|policy| policy.identity.uid = 0).contains("root"));
    let work = fixture.host.path("work");
    let again = refusal(&|policy| policy.filesystem.binds.push(Bind::read(&work, "/again")));
    assert!(again.contains("at /work to execute and at /again not"), "{again}");
    assert_eq!(fixture.engine().requests(), Vec::<String>::new());
    if is_root() {
        std::os::unix::fs::chown(fixture.host.path("work"), Some(0), Some(0)).unwrap();
        assert!(refusal(&|_| ()).contains("belongs to user 0"));
    }
}

#[test]
fn the_engine_is_asked_for_no_more_than_this() {
    let fixture = Fixture::standin();
    assert_eq!(fixture.host.run(fixture.policy(), &["true"]).exit, Exit::Code(0));
    fixture.engine().wait_removed();
    let mut requests = fixture.engine().requests();
    // Waiting goes on beside the rest.
    requests.retain(|request| request != "POST /containers/ID/wait");
    let expected = [
        "GET /version",
        "GET /info",
        "GET /containers/json",
        "POST /containers/create",
        "POST /containers/ID/start",
        "DELETE /containers/ID",
    ];
    assert_eq!(requests, expected);
}

#[test]
fn a_policy_is_a_container() {
    let fixture = Fixture::standin();
    let mut policy = fixture.policy();
    policy.limits = Limits {
        processes: 99,
        tree_memory_bytes: Some(256 << 20),
        cpu_percent: Some(150),
        memory_bytes: 1 << 30,
        open_files: 88,
        file_bytes: 1 << 20,
        ..Limits::default()
    };
    policy.filesystem.tmp_bytes = 512 << 20;
    policy.filesystem.binds.push(Bind::read_execute(fixture.host.path("work"), "/given"));
    policy.network = Network::Gateway;
    assert_eq!(fixture.host.run(policy, &["true"]).exit, Exit::Code(0));
    let description = fixture.engine().descriptions().remove(0);
    let host = &description["HostConfig"];
    assert_eq!(description["Image"], fixture.image.as_str());
    assert_eq!((&host["PidsLimit"], &host["NanoCpus"]), (&json!(99), &json!(1_500_000_000_i64)));
    assert_eq!((&host["Memory"], &host["MemorySwap"]), (&json!(256 << 20), &json!(256 << 20)));
    assert_eq!((&host["NetworkMode"], &description["NetworkDisabled"]), (&json!("none"), &json!(true)));
    assert_eq!(
        (&host["ShmSize"], &host["Tmpfs"]["/tmp"]),
        (&json!(64 << 20), &json!(format!("rw,exec,nosuid,nodev,mode=1777,size={}", 448 << 20)))
    );
    let limits: Vec<(&str, i64)> = host["Ulimits"].as_array().unwrap().iter().map(named).collect();
    assert_eq!(limits, [("core", 1), ("data", 1 << 30), ("fsize", 1 << 20), ("nofile", 88)]);
    let mounts = host["Mounts"].as_array().unwrap();
    let mount = |target: &str| mounts.iter().find(|mount| mount["Target"] == target);
    assert_eq!(mount("/work").unwrap()["ReadOnly"], json!(false));
    assert_eq!(mount("/given").unwrap()["ReadOnly"], json!(true));
    assert_eq!(mount("/.muster/guest").unwrap()["ReadOnly"], json!(true));
    // The programs are the image's.
    assert!(mount("/usr").is_none() && mount("/bin").is_none() && mount("/etc/passwd").is_some());
}

fn named(limit: &Value) -> (&str, i64) {
    (limit["Name"].as_str().unwrap(), limit["Hard"].as_i64().unwrap())
}

#[test]
fn who_was_ended_for_memory_is_told_by_the_engine() {
    for (out_of_memory, expected) in [(true, Exit::Limit(Limit::Memory)), (false, Exit::Signal(libc::SIGKILL))] {
        let fixture = Fixture::with(Manner { out_of_memory, ..Manner::default() });
        let mut policy = fixture.policy();
        policy.limits.tree_memory_bytes = Some(256 << 20);
        assert_eq!(fixture.host.run(policy, &["sh", "-c", "kill -KILL $$"]).exit, expected);
    }
}

#[test]
fn an_engine_that_restarts_takes_its_containers_and_the_next_launch_works() {
    let mut fixture = Fixture::standin();
    let script = "echo ready; sleep 1000";
    let Sandboxed { stdout, mut tree, .. } = fixture.host.launch(fixture.policy(), &["sh", "-c", script]).unwrap();
    read_ready(&stdout);
    fixture.engine().kill_all();
    assert_eq!(tree.wait(), Exit::Killed);
    let socket = fixture.engine().socket.clone();
    drop(fixture.engine.take());
    let error = refusal(&fixture);
    assert!(error.contains("the container engine"), "{error}");
    fixture.engine = Some(Engine::start(socket.parent().unwrap(), Manner::default()));
    assert_eq!(fixture.host.run(fixture.policy(), &["true"]).exit, Exit::Code(0));
}
