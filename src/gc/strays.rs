//! What lies in trashes and no row knows, for those who look: where workspaces lie or lay, and in their repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use wharf_model::rules::close_check::root;
use wharf_model::rules::trash;
use wharf_model::{Kind, WorkspaceId, WorkspaceRow};
use wharf_store::{Reader, StoreError};

use crate::workspace::trash::strays::{self, Stray, StraysAsk};

/// One of them, and the workspace that it says it is of where a row is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What lies there.
    pub stray: Stray,
    /// `W-7`.
    pub number: Option<String>,
}

/// Looks for them; bytes are counted for as long as `time`. Also says in words where it could not be looked. Blocks the
/// thread, so not for async tasks.
///
/// # Errors
/// The store cannot be read.
pub fn find(reader: &Reader, time: Duration) -> Result<(Vec<Found>, Vec<String>), StoreError> {
    let rows = reader.all_workspaces()?;
    let mut ask = StraysAsk { time, known: known(&rows), ..StraysAsk::default() };
    for row in &rows {
        ask.parents.extend(root(row).and_then(|path| Path::new(path).parent()).map(Path::to_owned));
        // Where it was archived, if it lies elsewhere by now.
        let places = trash::items(row).into_iter().map(|item| PathBuf::from(item.place));
        ask.parents.extend(places.filter_map(|place| Some(place.parent()?.parent()?.to_owned())));
        ask.repos.extend(row.repo_root.as_ref().map(PathBuf::from));
    }
    ask.repos.extend(reader.project_paths()?.into_iter().map(PathBuf::from));
    let (found, troubles) = strays::strays(&ask);
    // What was moved while it was looked is known by now.
    let rows = reader.all_workspaces()?;
    let known = known(&rows);
    let numbers: BTreeMap<WorkspaceId, i64> = rows.iter().map(|row| (row.id, row.number)).collect();
    let number = |stray: &Stray| numbers.get(&stray.workspace?).map(|n| Kind::Workspace.number(*n));
    let found = found.into_iter().filter(|stray| !known.contains(&stray.name));
    Ok((found.map(|stray| Found { number: number(&stray), stray }).collect(), troubles))
}

/// Names of what rows know, and of what they remember that is just being moved.
fn known(rows: &[WorkspaceRow]) -> BTreeSet<String> {
    let moving =
        |row: &WorkspaceRow| row.metadata.as_ref().and_then(|m| m["archiving"]["trash"].as_str()).map(str::to_owned);
    let items = rows.iter().flat_map(|row| trash::items(row).into_iter().map(|item| item.name().to_owned()));
    items.chain(rows.iter().filter_map(moving)).collect()
}
