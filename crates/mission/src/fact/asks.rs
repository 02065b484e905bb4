//! What a fact is called, and what it asks the world for.

use super::Fact;
use crate::id::EffectId;

impl Fact {
    /// The variant's name in `snake_case`, as stored in the journal.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// The effect that this fact asks for.
    pub fn effect(&self) -> Option<EffectId> {
        match self {
            Fact::Opened { effect, .. }
            | Fact::EffectRetried { effect, .. }
            | Fact::AgentStarting { effect, .. }
            | Fact::AgentStopping { effect, .. }
            | Fact::TurnStarted { effect, .. }
            | Fact::TurnCancelling { effect, .. }
            | Fact::VerifyStarted { effect, .. }
            | Fact::ChangeVerified { effect, .. }
            | Fact::PublishStarted { effect, .. } => Some(*effect),
            _ => None,
        }
    }
}
