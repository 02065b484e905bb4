//! Real agents of several vendors when things go wrong: what the mission makes of it, what is left running and what is lost.

use crate::{
    real_agents::{plan, roles, script, shell, submits, writes},
    support::{Bench, evidence, journal::Journal},
};
use serde_json::{Value, json};

/// Makes the step in which a vendor's agent runs a command.
type Shell<'a> = &'a dyn Fn(&str) -> Value;

/// Something that goes wrong, after the agent has written its file.
struct Fault {
    name: &'static str,
    /// The step of the script in which it does.
    step: fn(Shell) -> Value,
    /// What becomes of the task: `merged`, or what a person is told.
    becomes: &'static [&'static str],
    /// The agents that it is tried with. opencode tries again for ever, so that its turn takes all the time that it may.
    of: &'static [&'static str],
}

/// opencode tries again for ever, so that its turns end when their time is up.
const BROKEN: &[&str] = &["answered 500 Internal Server Error", "the turn took too long"];
const UNAUTHORIZED: &[&str] = &["answered 401 Unauthorized"];
const TOO_MANY: &[&str] = &["answered 429 Too Many Requests"];
const UNREACHABLE: &[&str] = &["cannot be reached"];
const BROKEN_OFF: &[&str] = &["broke it off"];
const TOO_LONG: &[&str] = &["the turn took too long"];
const MERGED: &[&str] = &["merged"];
const ALL: &[&str] = &["codex", "claude", "native", "opencode"];
const IMPATIENT: &[&str] = &["codex", "claude", "native"];
/// How long a turn may take, in seconds: the watchdog.
const TURN_S: u64 = 30;
/// What an agent is asked about before it runs it.
const ASKED_ABOUT: &str = "echo may I";

const OF_THE_ENDPOINT: &[Fault] = &[
    Fault {
        name: "endpoint answers 500",
        step: |_| json!({"error": {"status": 500, "message": "Broken."}}),
        becomes: BROKEN,
        of: ALL,
    },
    Fault {
        name: "endpoint answers 401",
        step: |_| json!({"error": {"status": 401, "message": "Who?"}}),
        becomes: UNAUTHORIZED,
        of: IMPATIENT,
    },
    Fault {
        name: "endpoint answers 429",
        step: |_| json!({"error": {"status": 429, "message": "Slow down."}}),
        becomes: TOO_MANY,
        of: IMPATIENT,
    },
    Fault {
        name: "endpoint refuses connections",
        step: |_| json!({"raw": {"kind": "unreachable"}}),
        becomes: UNREACHABLE,
        of: IMPATIENT,
    },
    Fault {
        name: "answer breaks off",
        step: |_| json!({"raw": {"kind": "truncated"}}),
        becomes: BROKEN_OFF,
        of: IMPATIENT,
    },
    Fault {
        name: "endpoint sends no headers",
        step: |_| json!({"latency_ms": 600_000, "text": "late"}),
        becomes: TOO_LONG,
        of: ALL,
    },
    Fault {
        name: "silence within the answer",
        step: |_| json!({"raw": {"kind": "stalled"}}),
        becomes: TOO_LONG,
        of: ALL,
    },
];

const OF_THE_PROGRAM: &[Fault] = &[
    Fault {
        name: "agent is killed",
        step: |shell| shell("[ -e ~/again ] || { touch ~/again; kill -9 $PPID; }"),
        becomes: MERGED,
        of: ALL,
    },
    Fault {
        name: "agent gets SIGINT",
        step: |shell| shell("[ -e ~/again ] || { touch ~/again; kill -INT $PPID; }"),
        becomes: MERGED,
        of: ALL,
    },
    Fault {
        name: "agent stops, its stdin is held and not read",
        step: |shell| shell("[ -e ~/again ] || { touch ~/again; kill -STOP $PPID; }"),
        becomes: TOO_LONG,
        of: ALL,
    },
    Fault {
        name: "garbage on stdout",
        step: |shell| shell("printf '}{ no message\\n\\377\\376{\"jsonrpc\": 2}\\n' > /proc/$PPID/fd/1"),
        becomes: MERGED,
        of: ALL,
    },
    Fault {
        name: "permission prompt that nobody answers",
        step: |shell| shell(ASKED_ABOUT),
        becomes: MERGED,
        of: &["claude", "native", "opencode"],
    },
    Fault {
        name: "child leaves its session",
        step: |shell| {
            shell("setsid sh -c 'trap : TERM HUP INT; while :; do read x < /dev/zero; done' > /dev/null 2>&1 &")
        },
        becomes: MERGED,
        of: ALL,
    },
];

/// The roles as usual; where permission is the matter, each asks for that one command, and nobody answers.
fn roles_for(fault: &Fault) -> Value {
    let mut roles = roles();
    if fault.name.starts_with("permission") {
        let rules = json!({"otherwise": "allow", "rules": [{"contains": ASKED_ABOUT, "answer": "ask"}]});
        roles["native"]["sandbox"] = json!({"permissions": {"shell_commands": "approved_only"}});
        fault.of.iter().for_each(|name| roles[*name]["approvals"] = rules.clone());
        let mut config: Value =
            serde_json::from_str(roles["opencode"]["sandbox"]["env"]["CONFIG"].as_str().unwrap()).unwrap();
        config["permission"] = json!({"bash": "ask"});
        roles["opencode"]["sandbox"]["env"]["CONFIG"] = json!(config.to_string());
    }
    roles
}

fn bench(fault: &Fault) -> Bench {
    let script = script(|kind| {
        // Twice: one that takes up a conversation whose last call has no answer puts words of its own into it.
        json!([writes(kind), (fault.step)(&|command| shell(kind, command)), submits(), submits(), {"text": "All done."}])
    });
    let mut plan = plan(fault.of);
    plan["tasks"].as_array_mut().unwrap().iter_mut().for_each(|task| task["attempts_max"] = json!(1));
    // An upstream for each: what one of them learns of an upstream holds for all who call it.
    let mut roles = roles_for(fault);
    let mut upstreams = json!({});
    for (name, role) in roles.as_object_mut().unwrap() {
        upstreams[name] = json!({"scripted": "script.yaml", "retries": 0});
        role["upstream"] = json!(name);
    }
    let config = json!({
        "version": 1, "upstreams": upstreams, "roles": roles,
        "limits": {"turn_timeout": format!("{TURN_S}s"), "answer_timeout": if fault.becomes == MERGED { "2s" } else { "1h" }},
    });
    let files = [("README", "A repository to work on.\n")];
    Bench::new(&plan.to_string(), &config.to_string(), &script.to_string(), &files)
}

/// How long a turn of the task took that was not the last of a task that is merged, in seconds: until the mission knew.
fn known_after(journal: &Journal, task: u64, merged: bool) -> Option<u64> {
    let facts: Vec<Value> = journal.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let attempt = facts.iter().find_map(|fact| {
        let assigned = &fact["fact"]["assigned"];
        (assigned["task"] == task).then(|| (assigned["attempt"].clone(), assigned["agent"].clone()))
    });
    let (attempt, agent) = attempt.unwrap();
    let mut began = None;
    let mut longest = None;
    for fact in &facts {
        let (kind, at) = (fact["kind"].as_str().unwrap(), fact["at_ms"].as_u64().unwrap());
        let body = &fact["fact"][kind];
        match kind {
            "turn_started" if body["attempt"] == attempt => began = Some(at),
            "turn_cancelling" | "turn_ended" if body["attempt"] == attempt => {
                longest = longest.max(began.take().map(|began| at - began));
            }
            "agent_lost" if body["agent"] == agent => longest = longest.max(began.take().map(|began| at - began)),
            _ => {}
        }
    }
    longest.filter(|_| !merged).map(|ms| ms.div_ceil(1_000))
}

/// What became of a task, in one word or sentence.
fn outcome(view: &Value, name: &str) -> String {
    let task = view["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap();
    if task["state"] == "merged" {
        return "merged".to_owned();
    }
    // Role and task have one name here: what stops a role is asked about the role.
    let role = format!("Role '{name}' cannot work");
    let about =
        |interrupt: &&Value| interrupt["task"] == name || interrupt["question"].as_str().unwrap().starts_with(&role);
    let asked = view["interrupts"]
        .as_array()
        .unwrap()
        .iter()
        .find(about)
        .unwrap_or_else(|| panic!("nobody is asked about {name}: {view}"));
    asked["question"].as_str().unwrap().to_owned()
}

#[test]
fn what_goes_wrong_with_an_endpoint_is_known_and_nothing_is_lost() {
    all("agent-faults-endpoint", "Agents and faults of their endpoint", OF_THE_ENDPOINT);
}

#[test]
fn what_goes_wrong_with_a_program_is_known_and_nothing_is_lost() {
    all("agent-faults-program", "Agents and faults of their program", OF_THE_PROGRAM);
}

fn all(name: &str, title: &str, faults: &[Fault]) {
    let mut rows = Vec::new();
    for fault in faults {
        let bench = bench(fault);
        let ended = bench.run(&["--all"]);
        assert!(matches!(ended.code, Some(0 | 3)), "{}: {ended}", fault.name);
        bench.wait_until_all_processes_are_gone();
        let journal = bench.journal();
        journal.check();
        let view = ended.json();
        for (task, name) in (0..).zip(fault.of) {
            let told = outcome(&view, name);
            let known = fault.becomes.iter().find(|becomes| told.contains(*becomes));
            let known = known.unwrap_or_else(|| panic!("{}, {name}: {told}\n{}", fault.name, ended.stderr));
            let after = known_after(&journal, task, *known == "merged");
            // The watchdog bounds it; what comes on top is a busy machine's.
            assert!(after.is_none_or(|after| after <= 2 * TURN_S), "{}, {name}: known after {after:?} s", fault.name);
            rows.push(vec![
                fault.name.to_owned(),
                (*name).to_owned(),
                (*known).to_owned(),
                after.map_or("-".to_owned(), |after| format!("{after} s")),
                "0".to_owned(),
                kept(&bench, &view, name, &ended.stderr),
            ]);
        }
    }
    let said = format!(
        "`cargo test -p muster --test it agent_faults`: for each fault one mission with an agent of each vendor, each of which has written its file when the fault comes; \
         turns may take {TURN_S} s, of which a part passes before the fault. A task that is merged went on after it."
    );
    let columns = [
        "fault",
        "agent",
        "what the mission makes of it",
        "known after, from the turn's start",
        "processes left",
        "work lost",
    ];
    evidence::table(name, title, &said, &columns, &rows);
}

/// Whether the file that the agent wrote is there: on the mission branch, or in its workspace.
fn kept(bench: &Bench, view: &Value, name: &str, told: &str) -> String {
    let merged = outcome(view, name) == "merged";
    let place =
        bench.home().join("missions").join(view["name"].as_str().unwrap()).join("agents").join(format!("{name}-1"));
    let file = place.join("work").join(format!("{name}.txt"));
    assert!(
        merged || std::fs::read_to_string(&file).is_ok_and(|text| text == "done\n"),
        "{} is lost\n{told}",
        file.display()
    );
    "0".to_owned()
}
