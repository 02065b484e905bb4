//! What a person may say to a mission, in the words of the command line; turned into inputs of the core here.

use mission::{Answer, Input, InterruptId, Mission};
use serde::{Deserialize, Serialize};

/// What a person says to a mission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Begin nothing new; ask the turns to end.
    Pause,
    /// Go on.
    Resume,
    /// End it; what is merged is published.
    Cancel,
    /// Give a failed task another round of attempts.
    Retry {
        /// The task's name.
        task: String,
    },
    /// Answer an interrupt.
    Answer {
        /// Its id as shown: `i3`.
        interrupt: String,
        /// The answer.
        reply: Reply,
    },
}

/// An answer to an interrupt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Yes; go on.
    Approve,
    /// No.
    Deny,
    /// Words, or an amount of dollars.
    Text(String),
}

/// An order that makes no sense to this mission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrder {
    /// Not an interrupt's id.
    #[error("'{0}' is not the id of an interrupt; `muster inbox` lists those that are open, such as i0")]
    Interrupt(String),
    /// No such task.
    #[error("the mission has no task '{0}'; `muster show` lists its tasks")]
    Task(String),
}

impl Order {
    /// The input that it is to this mission.
    pub(crate) fn input(self, mission: &Mission) -> Result<Input, BadOrder> {
        Ok(match self {
            Order::Pause => Input::Pause,
            Order::Resume => Input::Resume,
            Order::Cancel => Input::Cancel,
            Order::Retry { task } => Input::Retry { task: mission.task_named(&task).ok_or(BadOrder::Task(task))? },
            Order::Answer { interrupt, reply } => {
                let id = interrupt.strip_prefix('i').and_then(|number| number.parse().ok());
                let answer = match reply {
                    Reply::Approve => Answer::Approve,
                    Reply::Deny => Answer::Deny,
                    Reply::Text(text) => Answer::Text(text),
                };
                Input::Answered { interrupt: InterruptId(id.ok_or(BadOrder::Interrupt(interrupt))?), answer }
            }
        })
    }
}
