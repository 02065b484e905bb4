//! Small missions that together reach every kind of fact and of effect, each with the person that it needs.

use crate::support::{Bench, Outcome, Running, bench::MUSTER, child::Ended};
use std::process::Command;

const RESUME: [&str; 3] = ["resume", "last", "--json"];
/// No mission here needs more, however it is killed.
const RUNS_MAX: u32 = 12;

/// A small mission.
pub struct Scenario {
    pub name: &'static str,
    plan: &'static str,
    roles: &'static str,
    /// Further lines of muster.yaml.
    more: &'static str,
    /// The script's replies, one after the other.
    script: &'static [&'static str],
    person: Person,
    /// What is done to the user's repository before.
    before: fn(&Bench),
    /// What happens once when the mission has begun.
    once_begun: fn(&Bench),
    /// What happens once when a run says this; answers whether it has happened.
    when_said: Option<(&'static str, Reaction)>,
    /// The exit code at the end.
    pub ends: i32,
}

/// Does something; answers whether it is done.
type Reaction = fn(&Bench) -> bool;

/// What has happened already of what happens once.
#[derive(Default)]
struct Happened {
    begun: bool,
    said: bool,
}

/// What a person does when the mission waits for one.
#[derive(Clone, Copy)]
enum Person {
    /// Is never asked.
    Absent,
    /// Answers so.
    Says(&'static str),
    /// Ends the mission.
    Cancels,
}

/// What became of a mission that was carried on until its end.
pub struct Story {
    pub outcome: Outcome,
    /// How often the program was started for it, answers not counted.
    pub runs: u32,
    /// What the armed crash point killed.
    pub killed: Option<Ended>,
}

impl Scenario {
    pub fn bench(&self) -> Bench {
        let config = format!(
            "version: 1\nupstreams:\n  script: {{scripted: script.yaml, retry_wait: 1s}}\nroles:\n{}{}",
            self.roles.replace("$MUSTER", MUSTER),
            self.more
        );
        let script = format!("version: 1\nmodel: scripted-1\nreplies:\n{}", self.script.concat());
        let bench = Bench::new(self.plan, &config, &script, &[("README", "A repository to work on.\n")]);
        (self.before)(&bench);
        bench
    }

    /// Begins the mission and carries it on until it is over, with the point armed until it has killed. `look` is called after the kill.
    pub fn play(&self, bench: &Bench, fault: Option<&str>, look: impl FnMut(&Bench)) -> Story {
        self.until_over(bench, bench.run_command(&[]), fault, look)
    }

    /// The same with a mission that was begun.
    pub fn carry_on(&self, bench: &Bench, fault: Option<&str>, look: impl FnMut(&Bench)) -> Story {
        self.until_over(bench, bench.command(&RESUME), fault, look)
    }

    fn until_over(&self, bench: &Bench, first: Command, fault: Option<&str>, mut look: impl FnMut(&Bench)) -> Story {
        let (mut killed, mut runs, mut happened) = (None, 0, Happened::default());
        let mut command = first;
        while runs < RUNS_MAX {
            let armed = fault.filter(|_| killed.is_none());
            let run = self.run(bench, command, armed, &mut happened);
            runs += 1;
            match run.code {
                None => {
                    look(bench);
                    killed = Some(run.clone());
                }
                Some(3) => {
                    if let Some(answer) = self.answer(bench, armed) {
                        look(bench);
                        killed = Some(answer);
                    }
                }
                Some(code) => {
                    assert_eq!(code, self.ends, "{}: {run}", self.name);
                    return Story { outcome: bench.outcome(&run), runs, killed };
                }
            }
            command = bench.command(&RESUME);
        }
        panic!("{}: not over after {runs} runs: {}", self.name, bench.show());
    }

    fn run(&self, bench: &Bench, mut command: Command, fault: Option<&str>, happened: &mut Happened) -> Ended {
        command.arg("--all").envs(fault.map(|fault| ("MUSTER_FAULT", fault)));
        let mut running = Running::start(command);
        while let Some(line) = running.line() {
            self.begun(bench, happened);
            let said = self.when_said.filter(|(said, _)| !happened.said && line.contains(said));
            if let Some((_, react)) = said {
                happened.said = react(bench);
            }
        }
        let ended = running.end();
        self.begun(bench, happened);
        if ended.code.is_none() && fault.is_none() {
            panic!("{}: killed without a crash point: {ended}", self.name);
        }
        ended
    }

    fn begun(&self, bench: &Bench, happened: &mut Happened) {
        if !std::mem::replace(&mut happened.begun, true) {
            (self.once_begun)(bench);
        }
    }

    /// Does what the person does about everything that waits. Answers with the answer that was killed, if one was.
    fn answer(&self, bench: &Bench, fault: Option<&str>) -> Option<Ended> {
        let waiting = bench.show()["interrupts"].as_array().unwrap().clone();
        let mut orders: Vec<Vec<String>> = Vec::new();
        let mut order = |words: &[&str]| orders.push(words.iter().map(|word| (*word).to_owned()).collect());
        let ids: Vec<&str> = waiting.iter().map(|interrupt| interrupt["id"].as_str().unwrap()).collect();
        match self.person {
            Person::Absent if ids.is_empty() => {}
            Person::Absent => {
                let told = bench.muster(&["tail", "last", "--all", "--no-follow"]).stdout;
                panic!("{}: nobody is there to answer {waiting:?}\n{told}", self.name)
            }
            Person::Says(words) => ids.iter().for_each(|id| order(&["answer", id, words])),
            Person::Cancels => order(&["cancel", "last"]),
        }
        for words in orders {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut command = bench.command(&words);
            command.envs(fault.map(|fault| ("MUSTER_FAULT", fault)));
            let ended = Running::start(command).end();
            if ended.code.is_none() {
                return Some(ended);
            }
            // What was durable when an earlier one was killed is refused the second time.
            assert!(matches!(ended.code, Some(0..=2)), "{}: {ended}", self.name);
        }
        None
    }
}

/// All of them, the cheapest first.
pub const ALL: &[Scenario] = &[
    SOLO, REPORT, WORKER, DENIED, ASKED, TAKEN, APPROVED, TOLD, CANCELLED, PAUSED, CONFLICT, BROKE, LOST, AGAIN,
    ABSENT, STUCK, OVERDUE, KEPT_IN, LIMITED, SPENT, GIVEN_UP, RIVALS, UNWELL, PERMITTED, SHUT_OUT, LET_IN,
];

const BUILDER: &str = "  builder: {runtime: native, model: scripted-1, context_tokens: 32000, output_tokens: 1000}\n";
const TWO_BUILDERS: &str =
    "  builder: {runtime: native, model: scripted-1, count: 2, context_tokens: 32000, output_tokens: 1000}\n";
const NOTE: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#;
const NOTE_AT_ONCE: &str = r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
    attempts_max: 1
"#;
const WRITES: &str = r#"
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#;
/// The first agent refuses; with [`WRITES`] after it, whoever comes next does not.
const FIRST_REFUSES: &str = r#"
  - when: {contains: ["[task note]", "You are builder-1"]}
    steps: [{raw: {kind: refusal}}]
"#;
/// The key is refused.
const UNAUTHORIZED: &str = r#"
  - when: {contains: "[task note]"}
    steps: [{error: {status: 401, message: Who are you?}}]
"#;
/// After the answer that the person gives.
const ASKS: &str = r#"
  - when: {contains: ["[task note]", "The answer:\ndone"]}
    steps:
      - text: (asks)
      - text: (waits)
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: "It is written, as answered."}}]
      - text: Submitted.
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: raise_interrupt, args: {kind: user_input, question: "What shall I write?"}}]
      - text: I wait for the answer.
"#;

fn as_it_is(_: &Bench) {}

/// One task, one agent, and nothing goes wrong.
const SOLO: Scenario = Scenario {
    name: "solo",
    plan: NOTE,
    roles: BUILDER,
    more: "",
    script: &[WRITES],
    person: Person::Absent,
    before: as_it_is,
    once_begun: |_| {},
    when_said: None,
    ends: 0,
};

/// A task whose result is its text.
const REPORT: Scenario = Scenario {
    name: "report",
    plan: "goal: Look.\ntasks:\n  - {id: note, role: builder, instructions: Look around., writes: []}\n",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: submit_result, args: {summary: There is a README.}}]
      - text: Submitted.
"#],
    ..SOLO
};

/// An agent that starts no process has muster run its commands.
pub const WORKER: Scenario = Scenario {
    name: "worker",
    roles: "  builder:\n    runtime: native\n    model: scripted-1\n    sandbox: {preset: worker}\n",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls:
          - {tool: run_command, args: {command: "grep -x done note.txt; echo checked >&2; [ -e nothing ]"}}
          - {tool: run_command, args: {command: "echo twice >> ~/runs; cat ~/runs"}}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#],
    ..SOLO
};

/// An agent that may reach one host asks for another.
const KEPT_IN: Scenario = Scenario {
    name: "kept in",
    roles: "  builder:\n    runtime: native\n    model: scripted-1\n    sandbox: {network: {hosts: [\"allowed.example:443\"]}}\n",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - calls:
          - tool: run_command
            args:
              command: |
                python3 -c 'import socket
                proxy = socket.create_connection(("127.0.0.1", 3128))
                proxy.sendall(b"CONNECT other.example:443 HTTP/1.1\r\n\r\n")
                assert b" 403 " in proxy.recv(1000)'
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#],
    ..SOLO
};

/// The only attempt fails, a person gives it up, and what builds on it is skipped.
const DENIED: Scenario = Scenario {
    name: "denied",
    plan: r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
    attempts_max: 1
  - {id: print, role: builder, instructions: Print it., writes: [], depends_on: [note]}
"#,
    script: &[FIRST_REFUSES],
    person: Person::Says("--deny"),
    ends: 1,
    ..SOLO
};

/// The only attempt fails, a person allows more, and another agent succeeds.
const APPROVED: Scenario = Scenario {
    name: "approved",
    plan: NOTE_AT_ONCE,
    roles: TWO_BUILDERS,
    script: &[FIRST_REFUSES, WRITES],
    person: Person::Says("--approve"),
    ..SOLO
};

/// The first attempt fails, the task rests and another agent succeeds.
const AGAIN: Scenario = Scenario { name: "again", plan: NOTE, person: Person::Absent, ..APPROVED };

/// The agent asks a person.
const ASKED: Scenario = Scenario { name: "asked", script: &[ASKS], person: Person::Says("done"), ..SOLO };

/// The agent asks, and the person ends the mission.
const CANCELLED: Scenario = Scenario { name: "cancelled", person: Person::Cancels, ends: 4, ..ASKED };

/// Once the mission has begun its branch cannot be made in the user's repository any more, and the person lets it be.
const TAKEN: Scenario = Scenario {
    name: "taken",
    person: Person::Says("--deny"),
    once_begun: |bench| drop(bench.repo.git(&["branch", "muster"])),
    ..SOLO
};

/// The provider refuses the key, and the person gives the role up.
const SHUT_OUT: Scenario =
    Scenario { name: "shut out", script: &[UNAUTHORIZED], person: Person::Says("--deny"), ends: 1, ..SOLO };

/// The provider refuses the key until it is mended, and the person lets the role go on.
const LET_IN: Scenario = Scenario {
    name: "let in",
    script: &[UNAUTHORIZED],
    person: Person::Says("--approve"),
    when_said: Some(("cannot work", |bench| {
        bench.write("script.yaml", &format!("version: 1\nmodel: scripted-1\nreplies:\n{WRITES}"));
        true
    })),
    ..SOLO
};

/// One agent tells the other what it needs to know, and keeps a checkpoint.
const TOLD: Scenario = Scenario {
    name: "told",
    plan: r#"
goal: Pass the word on.
tasks:
  - id: tell
    role: teller
    instructions: Tell the hearer the word.
    checks: [{run: "grep -qx told tell.txt", timeout: 60s}]
  - id: hear
    role: hearer
    instructions: Do as the word says.
    checks: [{run: "grep -qx swordfish hear.txt", timeout: 60s}]
    depends_on: [tell]
"#,
    roles: "  teller: {runtime: native, model: scripted-1}\n  hearer: {runtime: native, model: scripted-1}\n",
    script: &[r#"
  - when: {contains: "[task tell]"}
    steps:
      - calls:
          - {tool: send_message, args: {to: hearer, body: The word is swordfish.}}
          - {tool: send_message, args: {to: "topic:status", body: Told.}}
          - {tool: write_file, args: {path: tell.txt, content: "told\n"}}
      - calls: [{tool: checkpoint, args: {label: told}}]
      - calls: [{tool: submit_result, args: {summary: It is told.}}]
      - text: Submitted.
  - when: {contains: "[task hear]", tool_result_contains: swordfish}
    steps:
      - text: (reads)
      - calls: [{tool: write_file, args: {path: hear.txt, content: "swordfish\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is heard.}}]
      - text: Submitted.
  - when: {contains: "[task hear]"}
    steps:
      - calls: [{tool: read_messages}]
"#],
    ..SOLO
};

/// A person pauses the mission while its agent thinks, and lets it go on.
const PAUSED: Scenario = Scenario {
    name: "paused",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - {latency_ms: 3000, calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#],
    when_said: Some(("turn 1 begins", |bench| bench.muster(&["pause", "last"]).code == Some(0))),
    ..SOLO
};

/// Two agents write the same line; the second gets the conflict back and resolves it.
const CONFLICT: Scenario = Scenario {
    name: "conflict",
    plan: r#"
goal: Two words.
tasks:
  - id: one
    role: builder
    instructions: Write one.
    checks: [{run: "grep -q one words", timeout: 60s}]
  - id: two
    role: builder
    instructions: Write two.
    checks: [{run: "grep -q two words", timeout: 60s}]
"#,
    roles: TWO_BUILDERS,
    script: &[r#"
  - when: {contains: "[task one]"}
    steps:
      - calls: [{tool: write_file, args: {path: words, content: "one\n"}}]
      - calls: [{tool: submit_result, args: {summary: One.}}]
      - text: Submitted.
      - calls: [{tool: run_command, args: {command: "git add -A; git commit -qm one; git fetch -q muster; git merge -q muster/mission"}}]
      - calls: [{tool: run_command, args: {command: "printf 'one\ntwo\n' > words; git commit -qam both"}}]
      - calls: [{tool: submit_result, args: {summary: One and two.}}]
      - text: Submitted again.
  - when: {contains: "[task two]"}
    steps:
      - calls: [{tool: write_file, args: {path: words, content: "two\n"}}]
      - calls: [{tool: submit_result, args: {summary: Two.}}]
      - text: Submitted.
      - calls: [{tool: run_command, args: {command: "git add -A; git commit -qm two; git fetch -q muster; git merge -q muster/mission"}}]
      - calls: [{tool: run_command, args: {command: "printf 'one\ntwo\n' > words; git commit -qam both"}}]
      - calls: [{tool: submit_result, args: {summary: One and two.}}]
      - text: Submitted again.
"#],
    ..SOLO
};

/// The budget is used up, and a person gives more, once or several times.
const BROKE: Scenario = Scenario {
    name: "broke",
    more: "budget: {usd: 0.02, warn_percent: 1}\nprices:\n  scripted-1: {input: 1.0, output: 10.0}\n",
    person: Person::Says("0.05"),
    ..SOLO
};

/// The provider takes no calls for longer than a call may wait; then it does.
pub const LIMITED: Scenario = Scenario {
    name: "limited",
    script: &[r#"
  - when: {contains: ["[task note]", "Go on"]}
    steps:
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
  - when: {contains: "[task note]"}
    steps: [{error: {status: 429, message: Slow down., retry_after_s: 2}}]
"#],
    ..SOLO
};

/// A budget of calls is used up and raised, while tokens are warned of and time is counted in a window.
const SPENT: Scenario = Scenario {
    name: "spent",
    more: "budget:\n  warn_percent: 1\n  limits:\n    - {role: builder, calls: 1}\n    - {tokens: 200000}\n    - {time: 1h, per: day}\n",
    person: Person::Says("--approve"),
    ..SOLO
};

/// The task's budget of calls is used up, and the person gives the task up.
const GIVEN_UP: Scenario = Scenario {
    name: "given up",
    plan: r#"
goal: Write a note.
budget: {limits: [{task: note, calls: 1}]}
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    writes: [note.txt]
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#,
    person: Person::Says("--deny"),
    ends: 1,
    ..SOLO
};

/// Two do the same task; one change is merged and the other task is put aside.
const RIVALS: Scenario = Scenario {
    name: "rivals",
    plan: r#"
goal: Write a note.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt.
    best_of: 2
    checks: [{run: "grep -qx done note.txt", timeout: 60s}]
"#,
    roles: "  builder:\n    runtime: native\n    model: scripted-1\n    count: 2\n",
    script: &[
        WRITES,
        r#"
  - when: {contains: "[task note.2]"}
    steps:
      - calls:
          - {tool: write_file, args: {path: note.txt, content: "done\n"}}
          - {tool: write_file, args: {path: more.txt, content: "more\n"}}
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#,
    ],
    ..SOLO
};

/// A role's health check finds it down; nobody can take its place, so it goes on.
const UNWELL: Scenario = Scenario {
    name: "unwell",
    roles: "  builder:\n    runtime: native\n    model: scripted-1\n    health: {command: [sh, -c, 'echo gone; exit 1'], interval: 50ms}\n",
    ..SOLO
};

/// A command that has to be approved waits for a person, who approves it as soon as it is asked for; if the answer is lost, it is refused.
const PERMITTED: Scenario = Scenario {
    name: "permitted",
    roles: "  builder:\n    runtime: native\n    model: scripted-1\n    sandbox: {permissions: {shell_commands: approved_only}}\n",
    more: "limits: {answer_timeout: 3s}\n",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "echo done > note.txt"}}]
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#],
    when_said: Some(("(permission): run: echo done > note.txt", |bench| {
        bench.muster(&["answer", "last/i0", "--approve"]).code == Some(0)
    })),
    ..SOLO
};

/// The agent's process is killed from within, in the middle of its turn.
const LOST: Scenario = Scenario {
    name: "lost",
    script: &[r#"
  - when: {contains: "[task note]"}
    steps:
      - calls: [{tool: run_command, args: {command: "[ -e ~/lost ] || { touch ~/lost; kill -9 $PPID; }"}}]
      - calls: [{tool: write_file, args: {path: note.txt, content: "done\n"}}]
      - calls: [{tool: submit_result, args: {summary: It is written.}}]
      - text: Submitted.
"#],
    ..SOLO
};

/// A program that is no agent the first time and our own agent, spoken to as a stranger, the second time.
const ABSENT: Scenario = Scenario {
    name: "absent",
    roles: r#"  builder:
    runtime: acp
    command: [sh, -c, "if [ -e $HOME/tried ]; then exec $MUSTER __native; fi; touch $HOME/tried; exit 1"]
    model: scripted-1
    sandbox: {read: [$MUSTER]}
"#,
    ..SOLO
};

/// The checks need a folder that is gone once the mission has begun; it is made again while the merge queue tries again.
const STUCK: Scenario = Scenario {
    name: "stuck",
    more: "checks: {read: [~/needed]}\n",
    before: |bench| std::fs::create_dir_all(bench.path("user/needed")).unwrap(),
    once_begun: |bench| std::fs::remove_dir(bench.path("user/needed")).unwrap(),
    when_said: Some(("tried again later", |bench| std::fs::create_dir_all(bench.path("user/needed")).is_ok())),
    ..SOLO
};

/// The first agent thinks too long; another one gets the task.
const OVERDUE: Scenario = Scenario {
    name: "overdue",
    roles: TWO_BUILDERS,
    more: "limits: {turn_timeout: 5s}\n",
    script: &[
        r#"
  - when: {contains: ["[task note]", "You are builder-1"]}
    latency_ms: 600000
    steps: [{text: Nobody waits for this.}]
"#,
        WRITES,
    ],
    ..SOLO
};
