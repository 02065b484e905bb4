//! Readings of the journal for people and programs. None of them needs a running engine, and none changes anything.
//!
//! ```text
//! facts ─▶ trail     names of what the mission has forgotten
//!       ─▶ tell      one line for each fact: live progress, tail
//!       ─▶ history   everything that was, once ─▶ standing (show), list, explain, report
//! ```
//! The types here are also what `--json` prints; their field names are stable.

mod allowances;
mod changes;
mod console;
mod consoles;
mod degraded;
mod document;
mod explain;
mod harmless;
mod health;
mod history;
mod invented;
mod layout;
mod list;
mod options;
mod ranked;
mod readings;
mod reasons;
mod refused;
mod report;
mod spoken;
mod standing;
mod tail;
mod tell;
mod text;
mod trail;
mod words;

#[cfg(test)]
mod tests;

pub use allowances::BudgetLimitView;
pub use changes::{FileChange, file_changes};
pub use console::{CONSOLE, Console, RunBy};
pub use consoles::{Consoles, Heard, Something};
pub use degraded::Degraded;
pub use explain::Explanation;
pub use harmless::{escaped, visible};
pub use health::{AgentState, HealthView};
pub use history::{AttemptView, CheckView, MessageView, Note, ReturnView};
pub use layout::{folded, shortened, wrapped};
pub use list::MissionLine;
pub use options::offered;
pub use policies::{duration, table};
pub use readings::{Readings, ViewError};
pub use reasons::Reason;
pub use refused::RefusedView;
pub use report::{NotDone, Report, TaskReport};
pub use spoken::Spoken;
pub use standing::{
    AgentView, AnswerWith, Ending, InterruptView, MissionView, MoneyView, QueuedView, SpendView, TallyView, TaskView,
};
pub use store::{CallRow, Recorded, StoredCall};
pub use tail::{Follow, Told};
pub use tell::{Line, Teller, Tone, Weight};
pub use text::{inbox, missions};
pub use words::{first_line, money, status_word};
