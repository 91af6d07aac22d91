//! Looking whether the directories of resting workspaces are still there: nobody else would notice.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use wharf_model::rules::close_check::root;
use wharf_model::{WorkspaceRow, WorkspaceStatus};
use wharf_store::{Reader, StoreError};

use crate::dispatch::event_loop::Inbox;
use crate::dispatch::input::Fact;

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
    let there = is_there(Path::new(path), row.repo_root.as_deref().map(Path::new))?;
    let says = row.status != WorkspaceStatus::Missing;
    (there != says).then_some(Fact::WorkspaceSeen { workspace: row.id, version: row.version, there })
}

/// Whether a directory is there; none where that cannot be told. One of a repository that is not there either may
/// lie on a disk that is not mounted.
fn is_there(path: &Path, repository: Option<&Path>) -> Option<bool> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Some(true),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let around = repository.or_else(|| path.parent())?;
            // An empty directory may be where a disk belongs.
            let stands = std::fs::read_dir(around).is_ok_and(|mut entries| entries.next().is_some());
            stands.then_some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let repository = dir.path().join("shop");
        std::fs::create_dir_all(repository.join("trees/a")).unwrap();
        assert_eq!(is_there(&repository.join("trees/a"), Some(&repository)), Some(true));
        assert_eq!(is_there(&repository.join("trees/b"), Some(&repository)), Some(false));
        // A disk that is not mounted: the repository is gone as well, or its mount point is empty.
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert_eq!(is_there(&empty.join("trees/a"), Some(&empty)), None);
        let gone = dir.path().join("gone");
        assert_eq!(is_there(&gone.join("trees/a"), Some(&gone)), None);
        // A file where a directory should be on the way.
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(is_there(&dir.path().join("file/a"), Some(&repository)), None);
    }
}
