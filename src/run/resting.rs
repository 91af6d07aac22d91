//! Looking whether the directories of resting workspaces are still there: nobody else would notice.

use std::path::Path;
use std::time::Duration;

use wharf_model::rules::close_check::root;
use wharf_model::{WorkspaceRow, WorkspaceStatus};
use wharf_store::{Reader, StoreError};

use crate::dispatch::event_loop::Inbox;
use crate::dispatch::input::Fact;
use crate::workspace::presence;

/// How often they are looked at after the first time.
const EVERY: Duration = Duration::from_mins(1);

/// Looks at once and then every minute, until `over` is done.
pub async fn watch(data: std::path::PathBuf, inbox: Inbox, over: impl Future<Output = ()>) {
    let looks = async {
        loop {
            let data = data.clone();
            match tokio::task::spawn_blocking(move || look(&data)).await {
                Ok(Ok(seen)) => {
                    for fact in seen {
                        inbox.tell(fact).await;
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "resting workspaces could not be looked at"),
                Err(panic) => tracing::warn!(%panic, "looking at resting workspaces broke off"),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = looks => {}
        () = over => {}
    }
}

/// What is certain and differs from what the rows say.
fn look(data: &Path) -> Result<Vec<Fact>, StoreError> {
    let rows = Reader::open(data)?.resting_workspaces()?;
    Ok(rows.iter().filter_map(judge).collect())
}

fn judge(row: &WorkspaceRow) -> Option<Fact> {
    let path = root(row)?;
    let there = presence::is_there(Path::new(path), row.repo_root.as_deref().map(Path::new))?;
    let says = row.status != WorkspaceStatus::Missing;
    (there != says).then_some(Fact::WorkspaceSeen { workspace: row.id, version: row.version, there })
}
