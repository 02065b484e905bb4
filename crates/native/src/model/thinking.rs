//! The thinking of Anthropic's models, block by block as it came: they want every block back, signed and redacted ones alike, in its place.
//!
//! `genai` 0.7.2 leaves redacted blocks out.

use std::collections::BTreeMap;

use genai::chat::{ContentPart, CustomPart};
use serde_json::{Value, json};

/// The blocks so far, by their index.
#[derive(Default)]
pub struct Blocks(BTreeMap<u64, Value>);

impl Blocks {
    /// Takes an event of the stream.
    pub fn feed(&mut self, frame: &str) {
        if !frame.contains("thinking") && !frame.contains("signature") {
            return;
        }
        let Ok(frame) = serde_json::from_str::<Value>(frame) else { return };
        let Some(index) = frame.get("index").and_then(Value::as_u64) else { return };
        match frame.get("type").and_then(Value::as_str) {
            Some("content_block_start") => {
                let block = frame.get("content_block").cloned().unwrap_or_default();
                if matches!(block.get("type").and_then(Value::as_str), Some("thinking" | "redacted_thinking")) {
                    self.0.insert(index, block);
                }
            }
            Some("content_block_delta") => {
                let Some(block) = self.0.get_mut(&index) else { return };
                for name in ["thinking", "signature"] {
                    if let Some(more) = frame.pointer(&format!("/delta/{name}")).and_then(Value::as_str) {
                        let known = block.get(name).and_then(Value::as_str).unwrap_or_default();
                        block[name] = json!(format!("{known}{more}"));
                    }
                }
            }
            _ => {}
        }
    }

    /// The blocks that the model takes back, as the log keeps them.
    pub fn finish(self) -> Vec<Value> {
        let sent_back = |block: &Value| {
            let has = |name: &str| block.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
            has("signature") || has("data")
        };
        let part = |data: Value| ContentPart::Custom(CustomPart { model_iden: None, data });
        self.0.into_values().filter(sent_back).filter_map(|block| serde_json::to_value(part(block)).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_and_redacted_blocks_stay_in_their_order() {
        let mut blocks = Blocks::default();
        for frame in [
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "h"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "m"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "d"}}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": "thinking"}}),
            json!({"type": "content_block_start", "index": 3, "content_block": {"type": "thinking", "thinking": "unsigned"}}),
        ] {
            blocks.feed(&frame.to_string());
        }
        let kept: Vec<Value> =
            blocks.finish().iter().map(|part| part.pointer("/Custom/data").unwrap().clone()).collect();
        assert_eq!(
            kept,
            [
                json!({"type": "thinking", "thinking": "hm", "signature": "s"}),
                json!({"type": "redacted_thinking", "data": "d"})
            ]
        );
    }
}
