//! Real agents of several vendors when things go wrong: what the mission makes of it, what is left running and what is lost.

use crate::{
    real_agents::{KINDS, plan, roles, script, shell, submits, writes},
    support::{Bench, evidence},
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
    /// How many of the kinds of agents it is tried with. The last is opencode, which tries again for ever, so that its turn takes all the time that it may.
    kinds: usize,
}

/// opencode tries again for ever, so that its turns end when their time is up.
const MODEL_GONE: &[&str] = &["the model could not be reached or kept failing", "the turn took too long"];

const FAULTS: &[Fault] = &[
    Fault {
        name: "endpoint answers 500",
        step: |_| json!({"error": {"status": 500, "message": "Broken."}}),
        becomes: MODEL_GONE,
        kinds: 4,
    },
    Fault {
        name: "endpoint answers 401",
        step: |_| json!({"error": {"status": 401, "message": "Who?"}}),
        becomes: MODEL_GONE,
        kinds: 3,
    },
    Fault {
        name: "endpoint answers 429",
        step: |_| json!({"error": {"status": 429, "message": "Slow down."}}),
        becomes: MODEL_GONE,
        kinds: 3,
    },
    Fault { name: "answer breaks off", step: |_| json!({"raw": {"kind": "truncated"}}), becomes: MODEL_GONE, kinds: 3 },
    Fault {
        name: "endpoint is silent",
        step: |_| json!({"latency_ms": 600_000, "text": "late"}),
        becomes: &["the turn took too long"],
        kinds: 4,
    },
    Fault {
        name: "agent is killed",
        step: |shell| shell("[ -e ~/again ] || { touch ~/again; kill -9 $PPID; }"),
        becomes: &["merged"],
        kinds: 4,
    },
    Fault {
        name: "child leaves its session",
        step: |shell| {
            shell("setsid sh -c 'trap : TERM HUP INT; while :; do read x < /dev/zero; done' > /dev/null 2>&1 &")
        },
        becomes: &["merged"],
        kinds: 4,
    },
];

fn kinds(fault: &Fault) -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().take(fault.kinds).map(|(name, ..)| name)
}

fn bench(fault: &Fault) -> Bench {
    let script = script(|kind| {
        // Twice: one that takes up a conversation whose last call has no answer puts words of its own into it.
        json!([writes(kind), (fault.step)(&|command| shell(kind, command)), submits(), submits(), {"text": "All done."}])
    });
    let mut plan = plan(&kinds(fault).collect::<Vec<_>>());
    plan["tasks"].as_array_mut().unwrap().iter_mut().for_each(|task| task["attempts_max"] = json!(1));
    let config = json!({
        "version": 1, "upstreams": {"script": {"scripted": "script.yaml", "retries": 0}}, "roles": roles(), "limits": {"turn_timeout": "40s"},
    });
    let files = [("README", "A repository to work on.\n")];
    Bench::new(&plan.to_string(), &config.to_string(), &script.to_string(), &files)
}

/// What became of a task, in one word or sentence.
fn outcome(view: &Value, name: &str) -> String {
    let task = view["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).unwrap();
    if task["state"] == "merged" {
        return "merged".to_owned();
    }
    let about = |interrupt: &&Value| interrupt["task"] == name;
    let asked = view["interrupts"]
        .as_array()
        .unwrap()
        .iter()
        .find(about)
        .unwrap_or_else(|| panic!("nobody is asked about {name}: {view}"));
    asked["question"].as_str().unwrap().to_owned()
}

#[test]
fn what_goes_wrong_is_known_and_nothing_is_lost() {
    let mut rows = Vec::new();
    for fault in FAULTS {
        let bench = bench(fault);
        let ended = bench.run(&["--all"]);
        assert!(matches!(ended.code, Some(0 | 3)), "{}: {ended}", fault.name);
        bench.wait_until_all_processes_are_gone();
        let journal = bench.journal();
        journal.check();
        let view = ended.json();
        for name in kinds(fault) {
            let told = outcome(&view, name);
            let known = fault.becomes.iter().find(|becomes| told.contains(*becomes));
            let known = known.unwrap_or_else(|| panic!("{}, {name}: {told}\n{}", fault.name, ended.stderr));
            rows.push(vec![
                fault.name.to_owned(),
                name.to_owned(),
                (*known).to_owned(),
                "0".to_owned(),
                kept(&bench, &view, name, &ended.stderr),
            ]);
        }
    }
    let said = "`cargo test -p muster --test it agent_faults`: for each fault one mission with an agent of each vendor, each of which has written its file when the fault \
                comes; turns may take 40 s.";
    let columns = ["fault", "agent", "what the mission makes of it", "processes left", "work lost"];
    evidence::table("agent-faults", "Agents and faults", said, &columns, &rows);
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
