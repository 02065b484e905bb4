//! Permission that agents ask for: by the rules of their role, or by a person, whose answer is awaited here.

use super::Hands;
use crate::driver::TellError;
use api::config::{Approval, Approvals};
use mission::{About, AgentId, Answer, Fact, Input, InterruptId, Rejected};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Requests whose answers are kept at most; more than can be open, because nobody may take the answer of one whose agent is gone.
const KEPT_MAX: usize = 2_048;

/// Requests that a person was asked about, and the answers as they come.
#[derive(Default)]
pub(crate) struct Permits {
    known: Mutex<BTreeMap<InterruptId, Option<bool>>>,
    news: Notify,
}

impl Permits {
    /// Hears of a fact that is durable.
    pub(crate) fn heard(&self, fact: &Fact) {
        match fact {
            Fact::InterruptRaised { interrupt, about: About::Permission(_), .. } => {
                let mut known = self.known();
                known.insert(*interrupt, None);
                if known.len() > KEPT_MAX {
                    known.pop_first();
                }
            }
            Fact::InterruptAnswered { interrupt, answer, .. } => {
                if let Some(known) = self.known().get_mut(interrupt) {
                    *known = Some(*answer == Answer::Approve);
                    self.news.notify_waiters();
                }
            }
            _ => {}
        }
    }

    /// The answer, once there is one; no when it will never come.
    async fn answer(&self, interrupt: InterruptId) -> bool {
        loop {
            let news = self.news.notified();
            match self.known().get(&interrupt).copied() {
                Some(Some(answer)) => return answer,
                Some(None) => {}
                None => return false,
            }
            news.await;
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<InterruptId, Option<bool>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hands {
    /// Whether an agent may do what it asks for. Dropping the future gives the question up; the turn's end does so for the mission.
    pub(crate) async fn permit(&self, agent: AgentId, rules: &Approvals, request: String) -> bool {
        match rules.of(&request) {
            Approval::Allow => return true,
            Approval::Deny => return false,
            Approval::Ask => {}
        }
        let live = self.live(agent);
        let _waits = live.as_ref().map(|live| live.activity.begins());
        let key = uuid::Uuid::now_v7().to_string();
        match self.handle().tell(Input::PermissionAsked { agent, key, request }).await {
            Ok(facts) => {
                let raised = facts.iter().find_map(|fact| match fact {
                    Fact::InterruptRaised { interrupt, .. } => Some(*interrupt),
                    _ => None,
                });
                match raised {
                    Some(interrupt) => self.permits.answer(interrupt).await,
                    None => false,
                }
            }
            Err(TellError::Rejected(Rejected::PermissionOpen(open))) => self.permits.answer(open).await,
            Err(error) => {
                tracing::info!(%agent, %error, "a request for permission could not be passed on, so it is refused");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mission::{At, AttemptId, By};

    fn raised(interrupt: InterruptId) -> Fact {
        Fact::InterruptRaised {
            interrupt,
            about: About::Permission(AttemptId(0)),
            question: "git push".into(),
            deadline: At(9),
            default: Answer::Deny,
            key: None,
        }
    }

    #[tokio::test]
    async fn whoever_asks_gets_the_answer_whenever_it_came() {
        let permits = Permits::default();
        let answered = |interrupt, answer| Fact::InterruptAnswered { interrupt, answer, by: By::Person };
        permits.heard(&raised(InterruptId(1)));
        permits.heard(&answered(InterruptId(1), Answer::Approve));
        assert!(permits.answer(InterruptId(1)).await, "it came before anybody waited");
        permits.heard(&raised(InterruptId(2)));
        let (allowed, ()) = tokio::join!(permits.answer(InterruptId(2)), async {
            permits.heard(&answered(InterruptId(2), Answer::Deny));
        });
        assert!(!allowed);
        assert!(!permits.answer(InterruptId(7)).await, "nobody knows of it");
    }
}
