//! The fields of each format that are known, and what they mean for the cost (see [`super::rules`]).
//!
//! From the vendors' references of 2026-11 and from what Codex 0.169, Claude Code 2.1.329, opencode 1.14, the Gemini CLI and our own agent send.
//! To let another field through under a cap, put it where it belongs, with what it can cost at most.

use super::rules::Rule::{
    All, Cache, Each, Elsewhere, Free, Hosted, Loose, Media, Object, Off, Only, Thinking, Tools, Typed,
};
use super::rules::{Fields, Rule};
use crate::format::Format;

/// The fields of a request in that format, at its top.
pub(super) fn fields(format: Format) -> &'static Fields {
    match format {
        Format::OpenAiChat => CHAT,
        Format::OpenAiResponses => RESPONSES,
        Format::Anthropic => ANTHROPIC,
        Format::Gemini => GEMINI,
    }
}

/// Names of models that search, draw or speak of their own accord: what such an answer costs is in no price per token.
pub(super) const COSTLY_MODELS: &[&str] = &[
    "search-preview",
    "search-api",
    "deep-research",
    "sonar",
    ":online",
    "-image",
    "image-",
    "-audio",
    "audio-",
    "-tts",
    "realtime",
    "-live",
    "imagen",
    "dall-e",
    "sora-",
    "veo-",
    "lyria",
    "whisper",
    "transcribe",
    "computer-use",
];

/// What both formats of OpenAI's know.
macro_rules! openai {
    ($($more:tt)*) => {
        &[
            ("model", Free),
            ("stream", Free),
            ("stream_options", Free),
            ("metadata", Free),
            ("client_metadata", Free),
            ("parallel_tool_calls", Free),
            ("temperature", Free),
            ("top_p", Free),
            ("top_k", Free),
            ("top_logprobs", Free),
            ("tool_choice", Typed(TOOL_CHOICE)),
            ("user", Free),
            ("safety_identifier", Free),
            ("prompt_cache_key", Free),
            ("prompt_cache_retention", Cache),
            ("prompt_cache_options", Cache),
            ("store", Free),
            ("service_tier", Free),
            ("background", Off),
            $($more)*
        ]
    };
}

static CHAT: &Fields = openai![
    ("messages", Each(&CHAT_MESSAGE)),
    ("max_tokens", Free),
    ("max_completion_tokens", Free),
    ("n", Free),
    ("frequency_penalty", Free),
    ("presence_penalty", Free),
    ("repetition_penalty", Free),
    ("repeat_penalty", Free),
    ("min_p", Free),
    ("stop", Free),
    ("seed", Free),
    ("logit_bias", Free),
    ("logprobs", Free),
    ("response_format", Free),
    ("tools", Tools(&CHAT_TOOL)),
    ("functions", Free),
    ("function_call", Free),
    ("reasoning_effort", Free),
    ("reasoning", Loose(&[("max_tokens", Thinking)])),
    ("include_reasoning", Free),
    ("reasoning_format", Free),
    ("reasoning_split", Free),
    ("reasoningSummary", Free),
    ("textVerbosity", Free),
    ("thinking", Loose(&[("budget_tokens", Thinking)])),
    ("thinking_budget", Thinking),
    ("enable_thinking", Free),
    ("chat_template_kwargs", Free),
    ("chat_template_args", Free),
    ("verbosity", Free),
    ("usage", Free),
    ("cache_control", Cache),
    ("modalities", Only(&["text"])),
    ("audio", Off),
    ("prediction", Off),
    ("web_search_options", Off),
    ("extra_body", Off),
];

static CHAT_MESSAGE: Rule = Object(&[
    ("role", Free),
    ("content", Each(&CHAT_PART)),
    ("name", Free),
    ("refusal", Free),
    ("tool_calls", Free),
    ("tool_call_id", Free),
    ("function_call", Free),
    ("reasoning", Free),
    ("reasoning_content", Free),
    ("reasoning_details", Free),
    ("reasoning_text", Free),
    ("reasoning_opaque", Free),
    ("thinking_blocks", Free),
    ("thinking", Free),
    ("annotations", Free),
    ("cache_control", Cache),
    ("prefix", Free),
    ("partial", Free),
    ("audio", Off),
    ("id", Free),
]);

static CHAT_PART: Rule = Typed(&[
    ("text", Object(&[("type", Free), ("text", Free), ("cache_control", Cache), ("annotations", Free)])),
    ("refusal", Free),
    ("thinking", Free),
    ("image_url", Elsewhere),
    ("file", Elsewhere),
]);

static CHAT_TOOL: Rule = Typed(&[("function", Loose(&[("cache_control", Cache)])), ("custom", Free)]);

/// A tool that a request has to use; what runs at the provider is no choice.
static TOOL_CHOICE: &Fields = &[
    ("", Free),
    ("function", Free),
    ("custom", Free),
    ("allowed_tools", Free),
    ("auto", Free),
    ("any", Free),
    ("tool", Free),
    ("none", Free),
];

static RESPONSES: &Fields = openai![
    ("input", Each(&ITEM)),
    ("instructions", Each(&ITEM)),
    ("max_output_tokens", Free),
    ("max_tool_calls", Free),
    ("previous_response_id", Elsewhere),
    ("conversation", Elsewhere),
    ("prompt", Off),
    ("reasoning", Free),
    ("text", Free),
    ("tools", Tools(&RESPONSES_TOOL)),
    ("truncation", Free),
    ("include", Free),
    ("context_management", Off),
];

static ITEM: Rule = Typed(&[
    // Without a type, an id may stand for what the provider keeps.
    ("", Object(&[("role", Free), ("content", Each(&ITEM)), ("id", Elsewhere), ("status", Free), ("phase", Free)])),
    ("message", Object(MESSAGE_ITEM)),
    ("input_text", Free),
    ("output_text", Free),
    ("summary_text", Free),
    ("reasoning_text", Free),
    ("refusal", Free),
    ("input_image", Elsewhere),
    ("input_file", Elsewhere),
    ("function_call", Free),
    ("function_call_output", Loose(OUTPUT)),
    ("custom_tool_call", Free),
    ("custom_tool_call_output", Loose(OUTPUT)),
    ("local_shell_call", Free),
    ("local_shell_call_output", Loose(OUTPUT)),
    ("shell_call", Free),
    ("shell_call_output", Free),
    ("apply_patch_call", Free),
    ("apply_patch_call_output", Loose(OUTPUT)),
    ("tool_search_call", Free),
    ("tool_search_output", Free),
    ("mcp_tool_call_output", Loose(OUTPUT)),
    ("reasoning", Free),
    ("compaction", Free),
    ("web_search_call", Elsewhere),
    ("item_reference", Elsewhere),
    ("computer_call", Elsewhere),
    ("computer_call_output", Elsewhere),
]);

static MESSAGE_ITEM: &Fields = &[
    ("type", Free),
    ("role", Free),
    ("content", Each(&ITEM)),
    ("id", Free),
    ("status", Free),
    ("phase", Free),
    ("metadata", Free),
];

static OUTPUT: &Fields = &[("output", Each(&ITEM))];

/// Codex sends `web_search` unasked.
static RESPONSES_TOOL: Rule = Typed(RESPONSES_TOOLS);

pub(super) static RESPONSES_TOOLS: &Fields = &[
    ("function", Free),
    ("custom", Free),
    ("local_shell", Free),
    ("apply_patch", Free),
    ("namespace", Loose(&[("tools", Each(&NESTED_TOOL))])),
    ("web_search", Hosted),
    ("web_search_preview", Hosted),
];

static NESTED_TOOL: Rule = Typed(&[("function", Free), ("custom", Free)]);

static ANTHROPIC: &Fields = &[
    ("model", Free),
    ("messages", Each(&ANTHROPIC_MESSAGE)),
    ("system", Each(&BLOCK)),
    ("max_tokens", Free),
    ("metadata", Free),
    ("stop_sequences", Free),
    ("stream", Free),
    ("temperature", Free),
    ("top_k", Free),
    ("top_p", Free),
    ("tools", Tools(&ANTHROPIC_TOOL)),
    ("tool_choice", Typed(TOOL_CHOICE)),
    ("thinking", Loose(&[("budget_tokens", Thinking)])),
    ("service_tier", Free),
    ("cache_control", Cache),
    ("output_config", Loose(&[("task_budget", Free)])),
    ("output_format", Free),
    ("context_management", Object(&[("edits", Each(&EDIT))])),
    ("speed", Only(&["standard"])),
    ("inference_geo", Only(&["global", "not_available"])),
    ("container", Off),
    ("mcp_servers", Off),
    ("diagnostics", Free),
    ("background", Off),
];

static EDIT: Rule = Typed(&[("clear_*", Free)]);

static ANTHROPIC_MESSAGE: Rule =
    Object(&[("role", Free), ("content", Each(&BLOCK)), ("output_config", Free), ("id", Free), ("name", Free)]);

static BLOCK: Rule = Typed(&[
    (
        "text",
        Object(&[
            ("type", Free),
            ("text", Free),
            ("cache_control", Cache),
            ("citations", Free),
            ("output_config", Free),
        ]),
    ),
    ("thinking", Free),
    ("redacted_thinking", Free),
    ("tool_use", Loose(&[("cache_control", Cache)])),
    ("tool_result", Loose(&[("cache_control", Cache), ("content", Each(&BLOCK))])),
    ("tool_reference", Free),
    ("search_result", Loose(&[("cache_control", Cache)])),
    ("image", Elsewhere),
    ("document", Loose(&[("source", Typed(SOURCE)), ("cache_control", Cache)])),
    ("compaction", Loose(&[("cache_control", Cache)])),
]);

static SOURCE: &Fields = &[
    ("text", Free),
    ("content", Loose(&[("content", Each(&BLOCK))])),
    ("base64", Elsewhere),
    ("url", Elsewhere),
    ("file", Elsewhere),
];

/// What Anthropic's own tools run at the agent's side is as good as the agent's own.
static ANTHROPIC_TOOL: Rule = Typed(&[
    ("", Loose(&[("cache_control", Cache)])),
    ("custom", Loose(&[("cache_control", Cache)])),
    ("bash_*", Loose(&[("cache_control", Cache)])),
    ("text_editor_*", Loose(&[("cache_control", Cache)])),
    ("memory_*", Loose(&[("cache_control", Cache)])),
]);

static GEMINI: &Fields = &[
    ("model", Free),
    ("contents", Each(&CONTENT)),
    ("systemInstruction", Each(&CONTENT)),
    ("tools", Each(&GEMINI_TOOL)),
    ("toolConfig", Object(&[("functionCallingConfig", Free)])),
    ("safetySettings", Free),
    ("labels", Free),
    ("cachedContent", Elsewhere),
    ("serviceTier", Free),
    (
        "generationConfig",
        Object(&[
            ("maxOutputTokens", Free),
            ("candidateCount", Free),
            ("temperature", Free),
            ("topP", Free),
            ("topK", Free),
            ("seed", Free),
            ("stopSequences", Free),
            ("presencePenalty", Free),
            ("frequencyPenalty", Free),
            ("responseMimeType", Only(&["text/plain", "application/json", "text/x.enum"])),
            ("responseSchema", Free),
            ("responseJsonSchema", Free),
            ("responseLogprobs", Free),
            ("logprobs", Free),
            ("mediaResolution", Free),
            ("responseModalities", Only(&["text"])),
            ("thinkingConfig", Loose(&[("thinkingBudget", Thinking)])),
            ("audioTimestamp", Off),
            ("speechConfig", Off),
            ("imageConfig", Off),
        ]),
    ),
];

static CONTENT: Rule = Object(&[("role", Free), ("parts", Each(&PART))]);

static PART: Rule = Object(&[
    ("text", Free),
    ("thought", Free),
    ("thoughtSignature", Free),
    ("functionCall", Free),
    ("functionResponse", Loose(&[("parts", Each(&PART))])),
    ("executableCode", Free),
    ("codeExecutionResult", Free),
    ("inlineData", All(&[Elsewhere, Object(FILE)])),
    ("fileData", All(&[Elsewhere, Object(FILE)])),
    ("mediaResolution", Free),
]);

static FILE: &Fields = &[
    ("mimeType", Media(&["image/", "application/pdf", "text/", "application/json"])),
    ("data", Free),
    ("fileUri", Free),
    ("displayName", Free),
];

static GEMINI_TOOL: Rule = Object(&[("functionDeclarations", Free)]);
