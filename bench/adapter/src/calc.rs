//! The benchmark's tool, offered to every agent the way all tools are: over MCP, through its sandbox's own listener.

use anyhow::Result;
use engine::ExtraTool;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// `calc(a, b)`, which adds; with a file of effects `calc(a, b, key)`, which also appends the key to it, once per key however often it is called.
pub(crate) fn tool(effects: Option<&Path>) -> Result<ExtraTool> {
    let effects = effects.map(Effects::open).transpose()?.map(|effects| Arc::new(Mutex::new(effects)));
    let schema = schema(effects.is_some());
    let run = move |arguments: Value| -> Result<String, String> {
        let number =
            |name: &str| arguments.get(name).and_then(Value::as_i64).ok_or(format!("{name} must be an integer"));
        let sum = number("a")?.checked_add(number("b")?).ok_or("the sum is too large")?;
        if let Some(effects) = &effects {
            let key = arguments.get("key").and_then(Value::as_str).ok_or("key must be a text")?;
            let mut effects = effects.lock().unwrap_or_else(PoisonError::into_inner);
            effects.happen(key).map_err(|error| error.to_string())?;
        }
        Ok(sum.to_string())
    };
    Ok(ExtraTool {
        name: "calc",
        description: "Add two integers.",
        input_schema: schema,
        run: Arc::new(move |_agent, _key, arguments| {
            let done = run(arguments);
            Box::pin(async move { done })
        }),
    })
}

fn schema(keyed: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": { "a": { "type": "integer" }, "b": { "type": "integer" } },
        "required": ["a", "b"],
    });
    if keyed {
        schema["properties"]["key"] = json!({ "type": "string" });
        schema["required"] = json!(["a", "b", "key"]);
    }
    schema
}

/// Effects that have happened, by key.
struct Effects {
    happened: BTreeSet<String>,
    log: File,
}

impl Effects {
    fn open(path: &Path) -> Result<Self> {
        let happened = match std::fs::read_to_string(path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { happened, log: OpenOptions::new().create(true).append(true).open(path)? })
    }

    fn happen(&mut self, key: &str) -> std::io::Result<()> {
        if self.happened.contains(key) {
            return Ok(());
        }
        self.log.write_all(format!("{key}\n").as_bytes())?;
        self.happened.insert(key.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_counts_once_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("effects.log");
        for _ in 0..2 {
            let calc = tool(Some(&log)).unwrap();
            for key in ["a0#0", "a0#1"] {
                let sum = (calc.run)("a".into(), "k".into(), json!({"a": 3, "b": 4, "key": key})).await;
                assert_eq!(sum, Ok("7".to_owned()));
            }
        }
        assert_eq!(std::fs::read_to_string(log).unwrap(), "a0#0\na0#1\n");
    }

    #[tokio::test]
    async fn bad_arguments_are_told() {
        let calc = tool(None).unwrap();
        let said = (calc.run)("a".into(), "k".into(), json!({"a": 3})).await;
        assert_eq!(said, Err("b must be an integer".to_owned()));
    }
}
