//! Messages between agents: stored before they are acknowledged, given to each recipient once per reading, refused when nobody would get them.
//!
//! An agent speaks only for itself and only while its turn is on. A reading is answered again with the same messages when the same call
//! is repeated after a crash, so that none is lost between the journal and the agent.

use crate::{
    decide::{Decision, Rejected},
    fact::Fact,
    id::{AgentId, MessageId},
    input::To,
    limits::{INBOX_BYTES_MAX, INBOX_MAX, MESSAGE_BYTES_MAX},
    opening::at_most,
    state::{LastRead, Message, Mission},
};

impl Mission {
    pub(crate) fn message_sent(&self, from: AgentId, key: String, to: To, body: String) -> Decision {
        at_most(body.len(), MESSAGE_BYTES_MAX)?;
        if body.trim().is_empty() {
            return Err(Rejected::Empty);
        }
        self.speaking(from, &key)?;
        let recipients: Vec<AgentId> = self.recipients(from, &to).collect();
        if recipients.is_empty() && !matches!(to, To::Topic(_)) {
            return Err(Rejected::NoRecipient);
        }
        let full =
            |agent: &&AgentId| self.agents.get(agent.index()).is_some_and(|agent| agent.inbox.len() >= INBOX_MAX);
        if let Some(agent) = recipients.iter().find(full) {
            return Err(Rejected::InboxFull(*agent));
        }
        if self.inbox_bytes + body.len() * recipients.len() > INBOX_BYTES_MAX {
            return Err(Rejected::InboxFull(recipients.first().copied().unwrap_or(from)));
        }
        Ok(vec![Fact::MessageSent { message: MessageId(self.next.message), from, key, to, body }])
    }

    /// Whom a message reaches: never its sender.
    fn recipients(&self, from: AgentId, to: &To) -> impl Iterator<Item = AgentId> {
        let range = match to {
            To::Agent(agent) if agent.index() < self.agents.len() => agent.0..agent.0 + 1,
            To::Role(role) => self.agents_of(*role),
            To::Agent(_) | To::Topic(_) => 0..0,
        };
        range.map(AgentId).filter(move |agent| *agent != from)
    }

    /// The agents of a role stand side by side in the registry.
    fn agents_of(&self, role: crate::id::RoleId) -> std::ops::Range<u32> {
        let before: u32 = self.plan.roles.iter().take(role.index()).map(|role| role.count).sum();
        let count = self.plan.roles.get(role.index()).map_or(0, |role| role.count);
        before..before + count
    }

    pub(crate) fn apply_message_sent(&mut self, id: MessageId, from: AgentId, key: &str, to: &To, body: &str) {
        self.next.message = self.next.message.max(id.0 + 1);
        if let Some(attempt) = self.agents.get(from.index()).and_then(|agent| agent.attempt) {
            self.apply_key(attempt, key);
        }
        let recipients: Vec<AgentId> = self.recipients(from, to).collect();
        for agent in recipients {
            if let Some(agent) = self.agents.get_mut(agent.index()) {
                self.inbox_bytes += body.len();
                agent.inbox.push_back(Message { id, from, body: body.to_owned() });
            }
        }
    }

    /// An empty inbox is read without a fact.
    pub(crate) fn messages_read(&self, agent: AgentId, key: String, count: u32) -> Decision {
        let entry = self.agents.get(agent.index()).ok_or(Rejected::UnknownAgent(agent))?;
        if entry.last_read.as_ref().is_some_and(|last| last.key == key) {
            return Err(Rejected::Duplicate);
        }
        self.speaking(agent, &key)?;
        let last = entry.inbox.iter().take(count.max(1) as usize).next_back();
        Ok(last.map(|last| Fact::MessagesRead { agent, key, upto: last.id }).into_iter().collect())
    }

    pub(crate) fn apply_messages_read(&mut self, agent: AgentId, key: &str, upto: MessageId) {
        if let Some(attempt) = self.agents.get(agent.index()).and_then(|agent| agent.attempt) {
            self.apply_key(attempt, key);
        }
        let Some(entry) = self.agents.get_mut(agent.index()) else { return };
        let count = entry.inbox.iter().take_while(|message| message.id <= upto).count();
        let messages: Vec<Message> = entry.inbox.drain(..count).collect();
        self.inbox_bytes -= messages.iter().map(|message| message.body.len()).sum::<usize>();
        entry.last_read = Some(LastRead { key: key.to_owned(), messages });
    }

    /// What the reading of this key gave; empty when it gave nothing or another reading came after it.
    pub fn read_with(&self, agent: AgentId, key: &str) -> &[Message] {
        let last = self.agents.get(agent.index()).and_then(|agent| agent.last_read.as_ref());
        last.filter(|last| last.key == key).map_or(&[], |last| &last.messages)
    }

    /// How many messages wait for an agent.
    pub fn unread(&self, agent: AgentId) -> usize {
        self.agents.get(agent.index()).map_or(0, |agent| agent.inbox.len())
    }
}
