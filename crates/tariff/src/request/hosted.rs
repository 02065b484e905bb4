//! Tools that a provider runs itself, taken out of a request: Codex offers its model a web search unasked, which is paid for by the call.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{known, place, rules};

#[derive(Deserialize)]
struct ToolsOnly<'a> {
    #[serde(borrow)]
    tools: &'a RawValue,
}

/// The body of a request of OpenAI's Responses without such tools; every other byte stays.
pub(super) fn without(body: &Bytes) -> Bytes {
    let changed = || {
        let read: ToolsOnly<'_> = serde_json::from_slice(body).ok()?;
        let (start, end) = place(body, read.tools)?;
        let kept = rules::own_tools(read.tools, known::RESPONSES_TOOLS).join(",");
        let tools = format!("[{kept}]");
        Some([body.get(..start)?, tools.as_bytes(), body.get(end..)?].concat().into())
    };
    changed().unwrap_or_else(|| body.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_providers_own_tools_go() {
        let body = Bytes::from_static(
            br#"{"model":"m", "tools" : [ {"type":"function","name":"a"} , {"type":"web_search","external_web_access":false}],"x":1}"#,
        );
        assert_eq!(without(&body), &br#"{"model":"m", "tools" : [{"type":"function","name":"a"}],"x":1}"#[..]);
        let alone = Bytes::from_static(br#"{"tools":[{"type":"web_search"}]}"#);
        assert_eq!(without(&alone), &br#"{"tools":[]}"#[..]);
        let none = Bytes::from_static(br#"{"input":"x"}"#);
        assert_eq!(without(&none), none);
    }
}
