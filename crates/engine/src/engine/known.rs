//! What is known of a mission's roles before it begins, and while it runs: how they are, what they cost, how they did before.

use super::{Engine, EngineError};
use crate::{
    hands::Hands,
    health::{self, Look},
    past,
    settings::{Settings, has_choice, note_prices},
};
use mission::Plan;
use std::{path::Path, sync::Arc};
use tokio::task::JoinSet;

impl Engine {
    /// Notes in the plan what is known of its roles, when a choice between them is to be made.
    pub(super) async fn note_what_is_known(
        &self,
        plan: &mut Plan,
        settings: &Settings,
        repository: &str,
    ) -> Result<(), EngineError> {
        if !has_choice(plan) {
            return Ok(());
        }
        note_prices(plan, settings, &crate::prices::of_home(self.home())?);
        past::note(plan, settings, repository, &self.store.reader()?)?;
        let folder = tempfile::tempdir().map_err(|error| EngineError::Sample(error.to_string()))?;
        health::note(plan, settings, &self.look(folder.path()), self.clock).await;
        Ok(())
    }

    /// Looks after the health of a mission's roles while it runs.
    pub(super) fn look_after(&self, hands: &Hands, plan: &Plan) -> JoinSet<()> {
        let tools = hands.tools();
        health::look_after(&tools.settings, plan, &self.look(&tools.dir), hands.handle())
    }

    fn look(&self, folder: &Path) -> Look {
        Look { launcher: Arc::clone(&self.launcher), scratch: folder.to_owned() }
    }
}
