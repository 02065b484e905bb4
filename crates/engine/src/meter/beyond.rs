//! Bills that pass what their request allowed.

use super::{Meter, open::Open};
use gateway::Worst;
use mission::{Micros, Usage};
use std::sync::PoisonError;
use store::CallRow;

impl Meter {
    /// What earlier bills, of any mission of this home, teach.
    pub(super) fn remember_ratios(&self) {
        match self.vault.beyond() {
            Ok(known) => known.into_iter().for_each(|one| self.learn(one.model, one.reported, one.bound)),
            Err(error) => tracing::warn!(error, "bills that passed what their requests allowed cannot be read"),
        }
    }

    /// The call as the worst bill of its model bounds it.
    pub(super) fn stretched(&self, model: &str, worst: Worst) -> Worst {
        let ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        let model = self.notes.masking.text(model);
        ratios.get(model.as_ref()).map_or(worst.clone(), |(reported, bound)| worst.stretched(*reported, *bound))
    }

    /// Compares a bill with what was set aside for it, and keeps in mind what it teaches.
    pub(super) fn compare(&self, open: &Open, usage: &mut Usage, row: &mut CallRow) {
        if usage.estimated {
            return;
        }
        let aside = open.reservation.cost_micros;
        let more = usage.cost.zip(aside).map_or(0, |(cost, aside)| cost.0.saturating_sub(aside));
        let longer = open.reservation.input_tokens.is_some_and(|most| usage.input_tokens > most);
        if let Some(bound) = open.bound.filter(|_| longer) {
            row.bound_tokens = Some(bound);
            self.learn(row.model.clone(), usage.input_tokens, bound);
        }
        if longer || more > 0 {
            usage.beyond = Some(Micros(more));
            tracing::warn!(model = row.model, upstream = row.upstream, more, "a bill passed what its request allowed");
        }
    }

    fn learn(&self, model: String, reported: u64, bound: u64) {
        let mut ratios = self.ratios.lock().unwrap_or_else(PoisonError::into_inner);
        let worst = ratios.entry(model).or_insert((reported, bound));
        // Compared without division: reported / bound.
        if u128::from(reported) * u128::from(worst.1) > u128::from(worst.0) * u128::from(bound) {
            *worst = (reported, bound);
        }
    }
}
