//! What a mission has changed, read from its stores while it runs or when it is over: nothing is locked, nothing is written.

use engine::{
    CommitId, Comparing, ErrorKind, FileDiff,
    view::{FileChange, MissionView, TaskView},
};
use std::path::Path;

/// The two commits between which something changed.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    stores: Comparing,
    from: CommitId,
    to: CommitId,
}

impl Compared {
    /// What is merged so far, against the commit that the mission began at; nothing when nothing is.
    ///
    /// # Errors
    /// In words: the mission's stores are gone.
    pub(crate) async fn of_mission(home: &Path, mission: &MissionView) -> Result<Option<Self>, String> {
        let Some(head) = mission.head.as_ref().filter(|head| **head != mission.base) else { return Ok(None) };
        let (stores, to) = (open(home, mission)?, commit(head)?);
        Ok(Some(Self { stores, from: commit(&mission.base)?, to }))
    }

    /// What a task has changed: as it was merged, or as far as its work was last kept; nothing when there is none.
    ///
    /// # Errors
    /// In words: the mission's stores are gone.
    pub(crate) async fn of_task(home: &Path, mission: &MissionView, task: &TaskView) -> Result<Option<Self>, String> {
        let Some(work) = task.merge_commit.as_ref().or(task.work_commit.as_ref()) else { return Ok(None) };
        let (stores, to) = (open(home, mission)?, commit(work)?);
        let from = stores.parent(&to).await.map_err(|error| error.to_string())?;
        Ok(Some(Self { stores, from, to }))
    }

    /// The files that differ.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn files(&self) -> Result<Vec<FileChange>, String> {
        let files = self.stores.files(&self.from, &self.to).await.map_err(|error| error.to_string())?;
        Ok(files.into_iter().map(change).collect())
    }

    /// The unified diff, with the files' own bytes.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn unified(&self) -> Result<Vec<u8>, String> {
        self.stores.unified(&self.from, &self.to).await.map_err(|error| match error.kind {
            ErrorKind::TooLarge => format!("{error}\n  help: --stat lists the files"),
            _ => error.to_string(),
        })
    }
}

fn open(home: &Path, mission: &MissionView) -> Result<Comparing, String> {
    Comparing::open(&home.join("missions").join(&mission.name)).map_err(|error| error.to_string())
}

fn commit(text: &str) -> Result<CommitId, String> {
    CommitId::new(text).map_err(|error| error.to_string())
}

fn change(file: FileDiff) -> FileChange {
    let change = match file.status {
        'A' => "added",
        'D' => "deleted",
        'T' => "retyped",
        _ => "modified",
    };
    let lines = file.lines;
    FileChange { path: file.path, change, added: lines.map(|(added, _)| added), removed: lines.map(|(_, gone)| gone) }
}
