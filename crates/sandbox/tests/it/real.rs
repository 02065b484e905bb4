//! Programs that people use, each inside its preset: coding agents with a whole turn of a model, and the tools of projects.
//!
//! `scripts/agents.sh` installs what does not come with a machine; without it the tests fail and say so. With
//! `MUSTER_EVIDENCE=docs/evidence` the results are also written as the table `real-programs.md`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sandbox::{Bind, Exit, Launch, presets};

use crate::model::Model;
use crate::{Host, KIT, each};

/// What the model asks the agents to run.
const ASKED: &str = "echo made by an agent > made.txt";
/// How long one of them may take; the slowest takes some ten seconds on a busy machine.
const WALL_MS: u64 = 180_000;

/// A program in a project: what the project holds, what is run there, and what must be said.
struct Case {
    name: &'static str,
    preset: &'static str,
    files: &'static [(&'static str, &'static str)],
    script: &'static str,
    says: &'static [&'static str],
}

const AGENTS: &[Case] = &[
    Case {
        name: "Codex",
        preset: "agent-cli",
        files: &[(
            ".codex/config.toml",
            r#"
                model = "scripted"
                model_provider = "here"
                approval_policy = "never"
                sandbox_mode = "danger-full-access"
                check_for_update_on_startup = false
                [model_providers.here]
                name = "here"
                base_url = "http://127.0.0.1:3128/v1"
                env_key = "KEY"
                wire_api = "responses"
                request_max_retries = 1
                stream_max_retries = 1
                [analytics]
                enabled = false
                [features]
                plugins = false
                unbounded_connection_retries = false
            "#,
        )],
        script: "export KEY=k CODEX_HOME=/work/.codex
            codex=/opt/agents/node_modules/@openai/codex-linux-x64/vendor/*/bin/codex
            $codex --version && $codex exec --json --skip-git-repo-check 'make the file'",
        says: &["codex-cli 0.169.0", "\"exit_code\":0", "all done", "turn.completed"],
    },
    Case {
        name: "Claude Code",
        preset: "agent-cli",
        files: &[],
        script: "export ANTHROPIC_BASE_URL=http://127.0.0.1:3128 ANTHROPIC_API_KEY=k CLAUDE_CONFIG_DIR=/work/.claude
            export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 CLAUDE_CODE_MAX_RETRIES=1
            claude=/opt/agents/node_modules/@anthropic-ai/claude-code-linux-x64/claude
            $claude --version && $claude -p --output-format json --model scripted \
                --permission-mode bypassPermissions -- 'make the file'",
        says: &["2.1.329 (Claude Code)", "\"is_error\":false", "all done"],
    },
    Case {
        name: "opencode",
        preset: "agent-cli",
        files: &[(
            "opencode.json",
            r#"{"autoupdate": false, "share": "disabled", "model": "here/scripted", "small_model": "here/scripted",
                "enabled_providers": ["here"], "snapshot": false, "provider": {"here": {"npm": "@ai-sdk/openai-compatible",
                "options": {"baseURL": "http://127.0.0.1:3128/v1", "apiKey": "k", "timeout": 60000},
                "models": {"scripted": {"tool_call": true, "limit": {"context": 200000, "output": 32000}}}}}}"#,
        )],
        script: "export XDG_CONFIG_HOME=/work/.x/c XDG_DATA_HOME=/work/.x/d XDG_STATE_HOME=/work/.x/s
            export XDG_CACHE_HOME=/work/.x/k OPENCODE_CONFIG=/work/opencode.json OPENCODE_DISABLE_AUTOUPDATE=1
            export OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1
            opencode=/opt/agents/node_modules/opencode-linux-x64/bin/opencode
            $opencode --version && echo make the file | $opencode run --format json",
        says: &["1.18.33", "\"exit\":0", "all done"],
    },
];

const TOOLS: &[Case] = &[
    Case {
        name: "git",
        preset: "check",
        files: &[],
        script: "git init -q -b main a && cd a && git config user.name a && git config user.email a@b
            echo one > f && git add f && git commit -qm one && git switch -qc other && echo two >> f && git commit -qam two
            cd .. && git clone -q a b && cd b && git log --oneline --all | wc -l && git worktree add -q ../c && git gc -q
            git bundle create -q ../x.bundle --all && git fsck --full && git -C ../a merge-base main other > /dev/null
            git --version",
        says: &["2\n", "git version"],
    },
    Case {
        name: "cargo test",
        preset: "check",
        files: &[
            ("Cargo.toml", "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2021\"\n"),
            (
                "src/lib.rs",
                "//! ```\n//! assert_eq!(small::twice(2), 4);\n//! ```\npub fn twice(n: u32) -> u32 { n * 2 }\n\
                 #[test]\nfn in_a_thread() { assert_eq!(std::thread::spawn(|| twice(1)).join().unwrap(), 2); }\n",
            ),
            (
                "tests/it.rs",
                "#[test]\nfn a_server() {\n let l = std::net::TcpListener::bind(\"127.0.0.1:0\").unwrap();\n \
                 std::net::TcpStream::connect(l.local_addr().unwrap()).unwrap();\n}\n",
            ),
        ],
        script: "export PATH=/opt/agents/rust/bin:$PATH CARGO_HOME=/work/.cargo && cargo test --offline 2>&1 && cargo --version",
        says: &["in_a_thread ... ok", "a_server ... ok", "1 passed; 0 failed", "Doc-tests small"],
    },
    Case {
        name: "pytest",
        preset: "check",
        files: &[(
            "test_small.py",
            "import multiprocessing, socket, subprocess, sys, threading\n\
             def test_subprocess(tmp_path):\n    (tmp_path / 'f').write_text('x')\n    \
             assert subprocess.check_output([sys.executable, '-c', 'print(1)']) == b'1\\n'\n\
             def test_pool():\n    assert multiprocessing.Pool(2).map(abs, [-1, -2]) == [1, 2]\n\
             def test_server():\n    s = socket.create_server(('127.0.0.1', 0))\n    \
             socket.create_connection(s.getsockname()).close()\n\
             def test_thread():\n    threading.Thread(target=print).start()\n",
        )],
        script: "export PYTHONPATH=/opt/agents/pytest && python3 -m pytest --version && python3 -m pytest -q",
        says: &["pytest 9.0.2", "4 passed"],
    },
    Case {
        name: "npm test",
        preset: "check",
        files: &[
            ("package.json", r#"{"name": "small", "version": "1.0.0", "scripts": {"test": "node --test"}}"#),
            (
                "small.test.js",
                "const { test } = require('node:test'), http = require('node:http'), { execSync } = require('node:child_process');\n\
                 test('a child', () => execSync('true'));\n\
                 test('a server', (t, done) => { const s = http.createServer((q, a) => a.end('x')).listen(0, '127.0.0.1', () =>\n\
                 http.get(s.address(), (a) => { a.resume(); s.close(done); })); });\n",
            ),
        ],
        script: "export npm_config_cache=/work/.npm npm_config_update_notifier=false && npm test 2>&1 && npm --version",
        says: &["pass 2", "fail 0"],
    },
    Case {
        name: "make",
        preset: "check",
        files: &[
            ("Makefile", "test: small\n\t./small | grep -q works && echo it works\nsmall: small.o part.o\n\t$(CC) -o $@ $^\n"),
            ("small.c", "#include <stdio.h>\nint part(void);\nint main(void) { puts(\"works\"); return part(); }\n"),
            ("part.c", "int part(void) { return 0; }\n"),
        ],
        script: "make -j2 test && make --version",
        says: &["it works", "GNU Make"],
    },
];

#[test]
fn every_real_program_works_in_its_preset() {
    let rows = std::thread::scope(|scope| {
        let lanes = [AGENTS, TOOLS].map(|cases| scope.spawn(|| every(cases)));
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    let text = format!("{HEAD}{}\n", rows.join("\n"));
    println!("{text}");
    if let Some(dir) = std::env::var_os("MUSTER_EVIDENCE") {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(dir);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("real-programs.md"), text).unwrap();
    }
}

const HEAD: &str = "# Real programs inside their presets

Each was run by `cargo test -p sandbox --test it real::` in a fresh folder, by root and by an ordinary user, under the preset
as it is; programs below `target/agents` were shown to read and execute. An agent's turn: the model, on the listener that the
sandbox donates, asks for a shell command, the agent runs it, the file that it makes is there, and the agent tells the model's
last words and ends with code 0. The time is that of the whole script on a machine with other work to do.

| program | preset | as | what it did | time |
|---|---|---|---|---|
";

/// Runs each as root and as an ordinary user; a row of the table each.
fn every(cases: &[Case]) -> Vec<String> {
    let rows = std::sync::Mutex::new(Vec::new());
    for case in cases {
        each(|host| {
            let took = case.runs(host);
            let who = if host.is_root { "root" } else { "user" };
            let row = format!(
                "| {} | `{}` | {who} | {} | {:.1} s |",
                case.name,
                case.preset,
                case.what(),
                took.as_secs_f64()
            );
            println!("{row}");
            rows.lock().unwrap().push(row);
        });
    }
    rows.into_inner().unwrap()
}

impl Case {
    /// For the table.
    fn what(&self) -> String {
        let said: Vec<String> = self.says.iter().map(|words| format!("`{}`", words.trim())).collect();
        let turn = if self.preset == "agent-cli" { "a whole turn; " } else { "" };
        format!("{turn}said {}", said.join(", "))
    }

    fn launch(&self, host: &Host) -> Launch {
        let mut policy = if self.preset == "agent-cli" { presets::agent_cli() } else { presets::check() };
        policy.limits.wall_ms = Some(WALL_MS);
        policy.filesystem.binds.push(Bind::write_execute(host.path("work"), "/work"));
        policy.filesystem.binds.push(Bind::read_execute(installed(), "/opt/agents"));
        let args = ["-ec", self.script].map(OsString::from).to_vec();
        Launch { policy, program: "sh".into(), args, cwd: "/work".into() }
    }

    /// How long it took.
    fn runs(&self, host: &Host) -> Duration {
        for (name, text) in self.files {
            let path = host.path("work").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
        }
        own(&host.path("work"));
        let started = Instant::now();
        let mut sandboxed = host.launcher.launch(&self.launch(host)).unwrap();
        let model = sandboxed.listener.take().map(|listener| Model::serve(listener, ASKED));
        let said = crate::output(sandboxed);
        drop(model);
        assert_eq!(said.exit, Exit::Code(0), "{}: {said:?}", self.name);
        for words in self.says {
            assert!(said.out.contains(words), "{}: '{words}' is not said: {said:?}", self.name);
        }
        if self.preset == "agent-cli" {
            let made = fs::read_to_string(host.path("work/made.txt"));
            assert_eq!(made.as_deref().unwrap_or("nothing"), "made by an agent\n", "{}: {said:?}", self.name);
        }
        started.elapsed()
    }
}

/// Where `scripts/agents.sh` has installed them: below the build folder that the tests themselves come from.
fn installed() -> PathBuf {
    let dir = Path::new(KIT).ancestors().nth(2).unwrap().join("agents");
    assert!(dir.join("installed").exists(), "there is nothing at {}; run scripts/agents.sh", dir.display());
    dir
}

/// Gives what the test made to whoever owns the folder.
fn own(dir: &Path) {
    let owner = fs::metadata(dir).unwrap().uid();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        chown(&path, Some(owner), Some(owner)).unwrap();
        if path.is_dir() {
            own(&path);
        }
    }
}
