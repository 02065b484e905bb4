//! The reasons that facts carry: why an agent was chosen, a turn stopped, an attempt failed, a change sent back, a mission paused or ended.
//!
//! They are stored with the facts, so the same promise holds for them: variants and optional fields may be added, nothing else.

use crate::{
    dispatch::ranking::Ranking,
    id::{AllowanceId, AttemptId, RoleId, TaskId},
    input::{CheckRun, Stop},
    left_out::LeftOuts,
    problem::{Cause, Problem},
};
use serde::{Deserialize, Serialize};

/// Why an agent was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The role that the task is given to.
    pub role: RoleId,
    /// How many agents of the role were free.
    pub free: u32,
    /// Whether the chosen one had a process already.
    pub warm: bool,
    /// How many attempts of the chosen one have failed in this mission.
    pub failures: u32,
    /// Whether an agent was passed over because it failed this very task.
    pub fresh_eyes: bool,
    /// Every role that could have been chosen, when there was a choice; the task's own is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranking: Option<Box<Ranking>>,
}

/// Why an agent or a turn is stopped by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum StopReason {
    /// The turn took too long.
    TimedOut,
    /// It did not end when asked to.
    Unresponsive,
    /// The mission is paused.
    Paused,
    /// The mission ends.
    Closing,
    /// Its attempt is over.
    AttemptOver,
    /// Nothing may be called for a while: a limit of the provider's, or of a budget's window.
    Limited,
    /// A budget of time is used up.
    Budget,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The turn ended for a reason that the agent cannot mend.
    Stopped(Stop),
    /// The turn took too long.
    TimedOut,
    /// The agent was lost too often.
    Lost,
    /// The agent could not be started.
    Unavailable,
    /// The agent never submitted a result.
    NothingSubmitted,
    /// The change came back too often.
    NotAccepted,
    /// Something of ours failed for good.
    Infrastructure(String),
    /// The mission ends.
    Closing,
}

/// What a turn brief is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brief {
    /// The task itself.
    Task,
    /// The last turn ended without a result.
    Nudge,
    /// The change came back.
    Returned(Return),
    /// A question was answered.
    Answered {
        /// The question.
        question: String,
        /// The answer.
        answer: String,
    },
    /// The turn was cut short by us; go on.
    Continue,
}

/// Why a change came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Return {
    /// A check failed.
    Checks(Vec<CheckRun>),
    /// It does not merge with what others did.
    Conflict {
        /// The conflicting hunks.
        hunks: String,
    },
    /// It changes paths that are not the task's.
    Outside(Vec<String>),
    /// It cannot be taken over as it is; what is wrong with it.
    Rejected(String),
    /// It is empty, where the task is to change something; what is there and not part of it.
    Unchanged(LeftOuts),
    /// It lacks something of the workspace that may have been meant to be part of it.
    LeftOut(LeftOuts),
}

/// What an interrupt is about; its kind follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// An agent asks (`user_input`).
    Question(AttemptId),
    /// An agent wants to do something that a person has to allow (`permission`).
    Permission(AttemptId),
    /// A task has used up its attempts (`user_input`).
    Task(TaskId),
    /// A role cannot work until something is changed (`user_input`).
    Role(RoleId),
    /// The budget is used up (`budget`).
    Budget,
    /// An allowance is used up (`budget`).
    Allowance(AllowanceId),
    /// The disk is full (`user_input`).
    Space,
    /// The result cannot be put into the user's repository (`user_input`).
    Publish,
    /// A check of the plan cannot start (`user_input`).
    Checks,
}

impl About {
    /// The interrupt's kind in the words of the glossary.
    pub fn kind(&self) -> &'static str {
        match self {
            About::Budget | About::Allowance(_) => "budget",
            About::Permission(_) => "permission",
            About::Question(_) | About::Task(_) | About::Role(_) | About::Space | About::Publish | About::Checks => {
                "user_input"
            }
        }
    }
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum By {
    /// A person.
    Person,
    /// Nobody in time: the default was taken.
    Default,
    /// Nobody: what it was about is over.
    Moot,
}

/// Why a mission is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PauseReason {
    /// A person wanted it.
    Person,
    /// The budget is used up.
    Budget,
    /// The disk is full.
    Space,
    /// A check of the plan cannot start.
    Checks,
}

/// How a mission ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// Every task is done.
    Done,
    /// Some task is not done.
    Failed,
    /// A person ended it.
    Cancelled,
}

impl Failure {
    /// The reason in words, for people.
    pub fn tell(&self) -> String {
        match self {
            Failure::Stopped(stop) => stop.tell().to_owned(),
            Failure::TimedOut => "the turn took too long".to_owned(),
            Failure::Lost => "the agent's process was lost too often".to_owned(),
            Failure::Unavailable => "the agent could not be started".to_owned(),
            Failure::NothingSubmitted => "the agent never submitted a result".to_owned(),
            Failure::NotAccepted => "its change came back too often".to_owned(),
            Failure::Infrastructure(error) => error.clone(),
            Failure::Closing => "the mission ended".to_owned(),
        }
    }

    /// The reason in words with what lies behind it, as far as that is known.
    pub fn told(&self, problem: Option<&Problem>) -> String {
        let Some(problem) = problem else { return self.tell() };
        let told = problem.tell();
        match (self, &problem.cause) {
            (Failure::NothingSubmitted, Cause::Returned(_)) => {
                format!("the agent ended its turn without mending what it had submitted: {told}")
            }
            (Failure::NotAccepted, _) => format!("its change came back too often, the last time because {told}"),
            (Failure::Lost, _) => format!("the agent's process was lost too often, the last time because {told}"),
            // The cause says it all.
            (Failure::Stopped(Stop::ModelError | Stop::Budget | Stop::Protocol) | Failure::Infrastructure(_), _) => {
                told
            }
            (Failure::Unavailable, Cause::Program { .. } | Cause::Said(_)) => {
                format!("the agent could not be started: {told}")
            }
            (Failure::Unavailable, _) => told,
            _ => format!("{}: {told}", self.tell()),
        }
    }
}

impl Stop {
    /// The reason in words, for people.
    pub fn tell(self) -> &'static str {
        match self {
            Stop::Done => "the agent ended its turn",
            Stop::Budget => "the budget was used up",
            Stop::Cancelled => "the turn was cancelled",
            Stop::ModelError => "the turn ended in an error that the agent did not explain",
            Stop::BadAnswers => "the model's answers stayed unusable",
            Stop::Refusal => "the model refused",
            Stop::MaxTokens => "the model ran into its output limit",
            Stop::MaxSteps => "the agent took too many steps in one turn",
            Stop::ContextFull => "the conversation no longer fits the model's window",
            Stop::Protocol => "the agent broke its protocol",
        }
    }
}
