//! Whether runs share the project's own checkout: what `mode` and `strategy` of `[workspace]` say together.

use crate::config::{WorkspaceMode, WorkspaceStrategy};

/// The mode in force. Where none is written, the strategy says it, and where that is not written either,
/// each run gets a worktree of its own as soon as there is a commit to start from.
pub fn mode(written: Option<WorkspaceMode>, strategy: Option<WorkspaceStrategy>, has_commit: bool) -> WorkspaceMode {
    let worktree = match strategy {
        Some(strategy) => strategy == WorkspaceStrategy::GitWorktree,
        None => has_commit,
    };
    written.unwrap_or(if worktree { WorkspaceMode::Isolated } else { WorkspaceMode::Shared })
}

/// Whether runs work in the project's own directory, where they meet.
pub fn is_shared(mode: Option<WorkspaceMode>, strategy: Option<WorkspaceStrategy>) -> bool {
    mode == Some(WorkspaceMode::Shared) || strategy == Some(WorkspaceStrategy::ProjectPrimary)
}

/// What is wrong with a pair that asks for two things at once; none when nothing is.
pub fn contradiction(mode: Option<WorkspaceMode>, strategy: Option<WorkspaceStrategy>) -> Option<&'static str> {
    match (mode?, strategy?) {
        (WorkspaceMode::Shared, WorkspaceStrategy::GitWorktree) => {
            Some("a shared workspace is the project's own directory and no git worktree")
        }
        (WorkspaceMode::Isolated, WorkspaceStrategy::ProjectPrimary) => {
            Some("an isolated workspace is a git worktree and not the project's own directory")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkspaceMode::{Isolated, Shared};
    use WorkspaceStrategy::{GitWorktree, ProjectPrimary};

    #[test]
    fn what_mode_and_strategy_say_together() {
        // Written mode and strategy; mode without and with a commit; whether it is shared with one; contradiction.
        let table = [
            (None, None, (Shared, Isolated), false, false),
            (None, Some(GitWorktree), (Isolated, Isolated), false, false),
            (None, Some(ProjectPrimary), (Shared, Shared), true, false),
            (Some(Isolated), None, (Isolated, Isolated), false, false),
            (Some(Isolated), Some(GitWorktree), (Isolated, Isolated), false, false),
            (Some(Isolated), Some(ProjectPrimary), (Isolated, Isolated), true, true),
            (Some(Shared), None, (Shared, Shared), true, false),
            (Some(Shared), Some(ProjectPrimary), (Shared, Shared), true, false),
            (Some(Shared), Some(GitWorktree), (Shared, Shared), true, true),
        ];
        for (written, strategy, modes, shared, contradicts) in table {
            let found = (mode(written, strategy, false), mode(written, strategy, true));
            assert_eq!(found, modes, "{written:?} {strategy:?}");
            assert_eq!(is_shared(Some(found.1), strategy), shared, "{written:?} {strategy:?}");
            assert_eq!(contradiction(written, strategy).is_some(), contradicts, "{written:?} {strategy:?}");
        }
    }
}
