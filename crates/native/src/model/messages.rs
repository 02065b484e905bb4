//! Our messages as `genai` wants them.

use genai::chat::{CacheControl, ChatMessage, ContentPart, MessageContent, MessageOptions, ToolCall, ToolResponse};

use crate::conversation::Message;
use crate::record::Answer;
use crate::settings::Format;

/// The messages of a request. For Anthropic the last one carries the mark up to which the prompt is cached.
pub fn to_genai(messages: Vec<Message>, format: Format) -> Vec<ChatMessage> {
    let mut messages: Vec<ChatMessage> = messages.into_iter().map(message).collect();
    if format == Format::Anthropic
        && let Some(last) = messages.last_mut()
    {
        last.options = Some(MessageOptions::default().with_cache_control(CacheControl::Ephemeral));
    }
    messages
}

/// Routes requests of one conversation to one cache; a function of its first message (FNV-1a), so that it survives
/// a restart.
pub fn cache_key(messages: &[Message]) -> String {
    let text = match messages.first() {
        Some(Message::User(text)) => text.as_str(),
        _ => "",
    };
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("muster-{hash:016x}")
}

fn message(message: Message) -> ChatMessage {
    match message {
        Message::User(text) => ChatMessage::user(text),
        Message::Assistant(answer) => ChatMessage::assistant(content(answer)),
        Message::Results(results) => ChatMessage::from(
            results
                .into_iter()
                .map(|result| ToolResponse::new(result.id, result.text).with_fn_name(result.name))
                .collect::<Vec<_>>(),
        ),
    }
}

fn content(answer: Answer) -> MessageContent {
    let thoughts = answer.thoughts.into_iter().filter_map(|thought| serde_json::from_value(thought).ok());
    let mut parts: Vec<ContentPart> = thoughts.collect();
    // Anthropic refuses blank texts and texts that end in blanks.
    let text = answer.text.trim_end();
    if !text.is_empty() {
        parts.push(ContentPart::from_text(text));
    }
    parts.extend(answer.calls.into_iter().map(|call| {
        ContentPart::ToolCall(ToolCall {
            call_id: call.id,
            fn_name: call.name,
            fn_arguments: call.arguments,
            thought_signatures: None,
        })
    }));
    MessageContent::from_parts(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_cache_key_is_the_conversations_own() {
        let key = |text: &str| cache_key(&[Message::User(text.into())]);
        assert_eq!(key("a"), "muster-af63dc4c8601ec8c");
        assert_ne!(key("a"), key("b"));
    }

    #[test]
    fn thoughts_come_first_and_blanks_are_trimmed() {
        let thought = serde_json::to_value(ContentPart::ReasoningContent("hm".into())).unwrap();
        let parts =
            content(Answer { text: "Yes. \n".into(), thoughts: vec![thought, json!("junk")], ..Answer::default() });
        let parts = serde_json::to_value(parts).unwrap();
        assert_eq!(parts, json!([{"ReasoningContent": "hm"}, {"Text": "Yes."}]));
    }
}
