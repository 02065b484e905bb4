//! The table: what is wrong, and what the person must read of it.

use super::server::Answer;
use crate::support::Bench;
use std::{fs, os::unix::fs::PermissionsExt};

/// One thing that is wrong.
pub struct Fault {
    pub name: &'static str,
    /// provider, program, toolchain, disk, network, permission or repository.
    pub kind: &'static str,
    pub answer: Answer,
    /// `{port}`: where the provider listens.
    pub base_url: &'static str,
    /// How the upstream takes its key, and its other settings.
    pub key: &'static str,
    pub role: &'static str,
    pub check: &'static str,
    /// More of the configuration.
    pub more: &'static str,
    pub needs: Needs,
    /// The most calls that may be made.
    pub calls_max: usize,
    /// What the person must read among the rest.
    pub says: &'static [&'static str],
}

/// What is done before the run.
pub enum Needs {
    Nothing,
    /// A file in the bench's folder, with this text and mode.
    Program(&'static str, &'static str, u32),
    Done(fn(&Bench)),
}

const NATIVE: &str = "runtime: native, upstream: main, model: gpt-test, context_tokens: 32000, output_tokens: 1000";
const KEY: &str = "key_env: PROVIDER_KEY, retries: 0";

/// Nothing is wrong but what differs from this.
const PLAIN: Fault = Fault {
    name: "",
    kind: "provider",
    answer: Answer::Json(500, "{}"),
    base_url: "http://127.0.0.1:{port}/v1",
    key: KEY,
    role: NATIVE,
    check: r#"{run: "grep -qx done note.txt", timeout: 20s}"#,
    more: "",
    needs: Needs::Nothing,
    calls_max: 0,
    says: &[],
};

/// The provider has an answer that stays.
const fn lasting(name: &'static str, answer: Answer, says: &'static [&'static str]) -> Fault {
    Fault { name, answer, says, calls_max: 1, ..PLAIN }
}

/// The provider has an answer that may pass: asked again by our agent three times.
const fn passing(name: &'static str, answer: Answer, says: &'static [&'static str]) -> Fault {
    Fault { name, answer, says, calls_max: 4, ..PLAIN }
}

/// The address is no good.
const fn address(name: &'static str, base_url: &'static str, says: &'static [&'static str]) -> Fault {
    Fault { name, base_url, says, ..PLAIN }
}

/// The role's program is no good.
const fn program(name: &'static str, role: &'static str, needs: Needs, says: &'static [&'static str]) -> Fault {
    Fault { name, kind: "program", role, needs, says, ..PLAIN }
}

/// A check cannot start.
const fn toolchain(name: &'static str, check: &'static str, says: &'static [&'static str]) -> Fault {
    Fault { name, kind: "toolchain", check, says, ..PLAIN }
}

const EXEC: &str =
    "runtime: exec, command: [\"{dir}/tool\"], upstream: main, model: gpt-test, sandbox: {read: [\"{dir}/tool\"]}";

pub const FAULTS: &[Fault] = &[
    lasting(
        "a key that is wrong",
        Answer::Json(
            401,
            r#"{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","code":"invalid_api_key"}}"#,
        ),
        &["401 Unauthorized", "Incorrect API key provided", "PROVIDER_KEY"],
    ),
    lasting(
        "a key without the right",
        Answer::Json(403, r#"{"error":{"message":"Your project has no access to this model."}}"#),
        &["403 Forbidden", "no access to this model"],
    ),
    lasting(
        "a model that is not there",
        Answer::Json(404, r#"{"error":{"message":"The model gpt-test does not exist.","code":"model_not_found"}}"#),
        &["404 Not Found", "does not exist", "gpt-test"],
    ),
    lasting(
        "a model that is not there, said with status 400",
        Answer::Json(400, r#"{"error":{"message":"Model Not Exist","type":"invalid_request_error"}}"#),
        &["400 Bad Request", "Model Not Exist"],
    ),
    lasting(
        "an address of something else",
        Answer::Json(404, "not here"),
        &["404 Not Found", "/v1/chat/completions", "not here"],
    ),
    lasting(
        "a bill that is not paid",
        Answer::Json(402, r#"{"error":{"message":"Insufficient credits."}}"#),
        &["402 Payment Required", "Insufficient credits", "Add credit"],
    ),
    lasting(
        "a quota that is used up",
        Answer::Json(
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan.","code":"insufficient_quota"}}"#,
        ),
        &["429 Too Many Requests", "exceeded your current quota", "not the mission's"],
    ),
    lasting(
        "an address that moved",
        Answer::Raw("HTTP/1.1 308 Permanent Redirect\nlocation: https://models.example.com/\ncontent-length: 0\n\n"),
        &["308", "base_url"],
    ),
    passing(
        "an error of the provider's",
        Answer::Json(500, r#"{"error":{"message":"boom"}}"#),
        &["500 Internal Server Error", "boom"],
    ),
    passing(
        "a provider that is overloaded",
        Answer::Json(503, r#"{"error":{"message":"try later"}}"#),
        &["503 Service Unavailable", "try later"],
    ),
    passing(
        "a limit of the rate",
        Answer::With(
            429,
            "retry-after: 1",
            r#"{"error":{"message":"Rate limit reached.","code":"rate_limit_exceeded"}}"#,
        ),
        &["429 Too Many Requests", "Rate limit reached"],
    ),
    passing(
        "a web page in place of an answer",
        Answer::Raw(
            "HTTP/1.1 502 Bad Gateway\ncontent-type: text/html\ncontent-length: 57\n\n<html><head><title>502 Bad Gateway</title></head></html>\n",
        ),
        &["502 Bad Gateway", "a web page"],
    ),
    Fault {
        calls_max: 12,
        ..passing(
            "a log-in page with status 200",
            Answer::Raw(
                "HTTP/1.1 200 OK\ncontent-type: text/html\ncontent-length: 35\n\n<html><title>Log in</title></html>\n",
            ),
            &["text/html", "Log in"],
        )
    },
    Fault {
        calls_max: 12,
        ..passing("JSON that is none", Answer::Json(200, r#"{"choices": [{"mess"#), &["is no answer"])
    },
    Fault { calls_max: 12, ..passing("an empty answer", Answer::Json(200, ""), &["empty body"]) },
    passing("a connection that is closed", Answer::Closes, &["took the request and did not answer"]),
    Fault {
        key: "key_env: PROVIDER_KEY, retries: 0, timeouts: {silence: 300ms, first_byte: 1s}",
        calls_max: 12,
        ..passing("a stream that stops", Answer::Stalls, &["broke it off"])
    },
    address(
        "a port where nobody listens",
        "http://127.0.0.1:9/v1",
        &["Connection refused", "http://127.0.0.1:9/v1", "base_url"],
    ),
    address("a name without an address", "http://models.invalid/v1", &["models.invalid", "its name has no address"]),
    address(
        "TLS where there is none",
        "https://127.0.0.1:{port}/v1",
        &["https://127.0.0.1:PORT/v1", "cannot be reached"],
    ),
    address("a port that cannot be", "http://127.0.0.1:99999/v1", &["99999"]),
    Fault {
        kind: "permission",
        key: "key_env: NO_SUCH_KEY",
        says: &["NO_SUCH_KEY", "not set"],
        ..address("a key that is not set", PLAIN.base_url, &[])
    },
    Fault {
        kind: "permission",
        key: "key_file: \"{dir}/key.txt\"",
        needs: Needs::Done(|bench| bench.write("key.txt", "")),
        says: &["key.txt"],
        ..address("a key file that is empty", PLAIN.base_url, &[])
    },
    Fault {
        kind: "permission",
        key: "key_file: \"{dir}/nowhere/key.txt\"",
        needs: Needs::Done(|_| {}),
        says: &["nowhere/key.txt"],
        ..address("a key file that is not there", PLAIN.base_url, &[])
    },
    program(
        "Codex that is not installed",
        "runtime: codex, upstream: main, model: gpt-test, command: [/opt/nowhere/codex]",
        Needs::Nothing,
        &["/opt/nowhere/codex", "codex"],
    ),
    program(
        "a program that is not there",
        "runtime: exec, command: [no-such-program], upstream: main, model: gpt-test",
        Needs::Nothing,
        &["no-such-program"],
    ),
    program(
        "a program that may not be executed",
        EXEC,
        Needs::Program("tool", "#!/bin/sh\nexit 0\n", 0o644),
        &["tool", "chmod +x"],
    ),
    program(
        "a program whose interpreter is not there",
        EXEC,
        Needs::Program("tool", "#!/opt/nowhere/python\n", 0o755),
        &["tool", "/opt/nowhere/python"],
    ),
    program(
        "a program that fails at once",
        EXEC,
        Needs::Program("tool", "#!/bin/sh\necho cannot open the display\nexit 3\n", 0o755),
        &["exit status: 3", "cannot open the display"],
    ),
    program(
        "an agent that is none: it ends at once",
        "runtime: acp, command: [\"true\"], upstream: main, model: gpt-test",
        Needs::Nothing,
        &["ended"],
    ),
    program(
        "an agent that prints something else",
        "runtime: acp, command: [sh, -c, \"yes garbage\"], upstream: main, model: gpt-test",
        Needs::Nothing,
        &["not messages of the protocol"],
    ),
    toolchain(
        "a check whose program is not there",
        r#"{run: "frobnicate --all", timeout: 20s}"#,
        &["frobnicate: not found", "is not in the check's sandbox"],
    ),
    toolchain(
        "a check with a toolchain of rustup",
        r#"{run: "PATH=/nowhere cargo test parser", timeout: 20s}"#,
        &["cargo", "~/.cargo, ~/.rustup"],
    ),
    toolchain(
        "a check with a package that is not installed",
        r#"{run: "echo \"Error: Cannot find module 'express'\"; exit 1", timeout: 20s}"#,
        &["Cannot find module 'express'", "inside: /workspace/node_modules"],
    ),
    toolchain(
        "a check with a test runner that is not installed",
        r#"{run: "echo '/usr/bin/python3: No module named pytest'; exit 1", timeout: 20s}"#,
        &["No module named pytest", ".venv"],
    ),
    toolchain(
        "a check that needs the network",
        r#"{run: "getent hosts models.example.com || { echo 'Temporary failure in name resolution'; exit 1; }", timeout: 20s}"#,
        &["Temporary failure in name resolution", "network: {hosts"],
    ),
    Fault {
        kind: "disk",
        needs: Needs::Done(|bench| {
            let home = bench.home();
            fs::write(home, "not a folder").unwrap();
        }),
        says: &["home"],
        ..address("a home that is a file", PLAIN.base_url, &[])
    },
    Fault {
        kind: "repository",
        needs: Needs::Done(|bench| fs::rename(bench.path("repo"), bench.path("moved")).unwrap()),
        says: &["repo"],
        ..address("a repository that is not there", PLAIN.base_url, &[])
    },
    Fault {
        kind: "repository",
        needs: Needs::Done(|bench| fs::remove_dir_all(bench.path("repo/.git/objects")).unwrap()),
        says: &["repo"],
        ..address("a repository that is broken", PLAIN.base_url, &[])
    },
    Fault {
        kind: "permission",
        needs: Needs::Done(|bench| {
            fs::set_permissions(bench.path("plan.yaml"), fs::Permissions::from_mode(0o000)).unwrap();
            fs::remove_file(bench.path("plan.yaml")).unwrap();
        }),
        says: &["plan.yaml"],
        ..address("a plan that is not there", PLAIN.base_url, &[])
    },
    Fault {
        kind: "provider",
        more: "budget: {usd: 5.00}",
        says: &["gpt-test", "prices"],
        ..address("a model without a price under a budget", PLAIN.base_url, &[])
    },
];
