//! A planted provider key: what the upstream tells of it, what the agent prints of it, and that it stands nowhere.

use crate::{
    support::{
        Bench,
        child::Ended,
        server::{Provider, Step},
    },
    upstreams::files_with,
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

/// With characters that JSON and URLs spell otherwise.
const KEY: &str = r#"sk-planted/7+x="y"&z-0f3c9a"#;
/// The value of a variable whose name tells nothing; it stands in a file of the user's repository.
const PLAIN: &str = "plain-planted-value-77";
const TOKEN: &str = "another-planted-token-51d2";
const PLAN: &str = r#"
goal: Write a note, and tell nobody another-planted-token-51d2.
tasks:
  - id: note
    role: builder
    instructions: Write done into note.txt. The token is another-planted-token-51d2.
    checks: [{run: "echo another-planted-token-51d2; grep -qx done note.txt", timeout: 60s}]
"#;
/// Prints whatever it can read: its environment, those of other processes, and every file of its home and beside it.
const READ_ALL: &str = "env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; \
    cat $HOME/* $HOME/.* ./* ../* /etc/environment /root/.* 2>/dev/null; echo read all";

#[test]
fn a_planted_key_stands_nowhere_openai() {
    stands_nowhere("openai-chat", "/v1");
}

#[test]
fn a_planted_key_stands_nowhere_anthropic() {
    stands_nowhere("anthropic", "");
}

#[test]
fn a_request_with_a_secret_is_refused_when_that_is_wanted() {
    let (provider, bench) = mission("openai-chat", "/v1", "secrets: {outgoing: refuse, mask: [PLAIN_NAME]}\n");
    let ended = bench.start_run(&[]).end();
    assert_ne!(ended.code, Some(0), "no agent can read own.txt and go on: {ended}");
    assert!(!printed(&ended).contains(PLAIN), "{ended}");
    for asked in provider.asked() {
        assert!(!asked.body.to_string().contains(PLAIN), "{asked:?}");
    }
    let notes: Vec<Value> = transcripts(&bench.home()).into_iter().filter(|one| one["update"] == "note").collect();
    let text = "a request to the model held the secret PLAIN_NAME; the call was refused";
    assert!(notes.iter().any(|note| note["text"] == text), "{notes:?}");
}

fn stands_nowhere(format: &str, path: &str) {
    let (provider, bench) = mission(format, path, "secrets: {mask: [PLAIN_NAME]}\n");
    let ended = bench.start_run(&["--all"]).end().expect(0);
    let asked = provider.asked();
    assert_eq!(asked.len(), 5, "one request for each step");

    // It was really played: the agent printed its environment, and the key came back in letters and was covered.
    let last = asked[4].body.to_string();
    assert!(last.contains("MUSTER_MODEL=") && last.contains("read all"), "{last}");
    assert!(last.contains("[masked:provider]"), "{last}");
    let transcript = transcripts(&bench.home());
    let said: String =
        transcript.iter().filter(|one| one["change"] == "text").filter_map(|one| one["text"].as_str()).collect();
    assert!(said.contains("[masked:provider]"), "{said}");

    let mut texts = vec![("transcripts, joined".to_owned(), said), ("what run printed".to_owned(), printed(&ended))];
    texts.extend(asked.iter().map(|asked| ("a request".to_owned(), asked.body.to_string())));
    for args in [
        &["report", "last"][..],
        &["show", "last", "--json"],
        &["tail", "last", "--json", "--no-follow"],
        &["tail", "last", "--all", "--no-follow"],
        &["explain", "last", "--json"],
        &["list", "--json"],
    ] {
        let output = bench.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        texts.push((format!("{args:?}"), String::from_utf8(output.stdout).unwrap()));
    }
    assert!(last.contains("[masked:PLAIN_NAME]"), "the user's own file was read: {last}");
    for (what, text) in &texts {
        assert!(!text.contains(PLAIN), "{PLAIN} stands in {what}: {text}");
    }
    for secret in [KEY, TOKEN] {
        for form in forms(secret) {
            for (what, text) in &texts {
                assert!(!text.contains(&form), "{form} stands in {what}: {text}");
            }
            let holding = files_with(&bench.home(), form.as_bytes());
            assert!(holding.is_empty(), "{form} stands in {holding:?}");
        }
    }
}

fn printed(ended: &Ended) -> String {
    format!("{}\n{}", ended.stdout, ended.stderr)
}

fn mission(format: &str, path: &str, more: &str) -> (Provider, Bench) {
    let provider = Provider::start(vec![
        Step::Echo("run_command", json!({"command": READ_ALL})),
        Step::Echo("run_command", json!({"command": "echo '@KEY@' | tee stolen.txt | base64 -w0"})),
        Step::Echo("write_file", json!({"path": "note.txt", "content": "done\n"})),
        Step::Echo("submit_result", json!({"summary": "It is written, with @KEY@ and another-planted-token-51d2."})),
        Step::Text("Submitted."),
    ]);
    let config = format!(
        "upstreams:\n  provider: {{format: {format}, base_url: \"http://{}{path}\", key_env: PROVIDER}}\n\
         roles:\n  builder: {{runtime: native, model: test-model}}\nprices:\n  test-model: {{input: 2.0, output: 8.0}}\n{more}",
        provider.address
    );
    let mut bench = Bench::new(PLAN, &config, "", &[("own.txt", PLAIN)]);
    bench.set_env("PROVIDER", KEY);
    bench.set_env("PLANTED_TOKEN", TOKEN);
    bench.set_env("PLAIN_NAME", PLAIN);
    (provider, bench)
}

/// A secret as it is, and as programs spell it.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let percent = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    let mut forms = vec![
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        secret.bytes().map(percent).collect(),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
    ];
    forms.extend((0..3).map(|before| base64(secret, before)));
    forms
}

/// The characters in the middle of the base64 of a text that holds the secret after so many bytes.
fn base64(secret: &str, before: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = std::iter::repeat_n(b' ', before).chain(secret.bytes()).collect();
    let (whole, _) = bytes.as_chunks::<3>();
    let letters = whole.iter().flat_map(|three| {
        let all = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[(all >> shift & 63) as usize]))
    });
    letters.skip(4).collect()
}

/// All chunks of all transcripts, in their order.
fn transcripts(home: &Path) -> Vec<Value> {
    let read = "import sqlite3, sys\n\
        db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)\n\
        for (name,) in db.execute(\"select name from sqlite_master where type = 'table'\").fetchall():\n\
        \x20   for row in db.execute('select * from ' + name).fetchall():\n\
        \x20       for value in row:\n\
        \x20           if isinstance(value, bytes): sys.stdout.buffer.write(value + b'\\n')\n";
    let output = Command::new("python3").args(["-c", read]).arg(home.join("transcripts.db")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
