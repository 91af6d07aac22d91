//! Which workspaces of finished issues are archived by themselves, and why the others are not.

use super::close_check::{CloseCheck, CloseVerdict};
use crate::{IssueRow, IssueStatus, UnixMillis, WorkspaceStatus};

/// A workspace with what decides whether it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is in its life.
    pub status: WorkspaceStatus,
    /// Whether it is the project's checkout, or another that many share.
    pub shared: bool,
    /// When the last of its issues was closed; none when it has none, or one is open.
    pub closed_at: Option<UnixMillis>,
    /// Whether one of its issues is open.
    pub open_issue: bool,
    /// When somebody last worked in it, or brought it back.
    pub used_at: UnixMillis,
    /// How long it is left alone after both, milliseconds; none for ever.
    pub cool_down_ms: Option<u64>,
}

/// Why a workspace is not due.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDue {
    /// Its status.
    #[error("it is {0}")]
    Status(String),
    /// Many work in it.
    #[error("it is shared")]
    Shared,
    /// It was made for no issue.
    #[error("no issue belongs to it, so nobody says when it is done with")]
    NoIssue,
    /// Work on it goes on.
    #[error("its issue is open")]
    IssueOpen,
    /// Config keeps it.
    #[error("config keeps workspaces for ever ([retention] workspaces_after_close = \"0s\")")]
    Kept,
    /// Its time is not over.
    #[error("its issue was closed, or it was used or brought back, only a while ago")]
    CoolsDown(UnixMillis),
}

/// From when on a workspace may be archived by itself.
///
/// # Errors
/// Why it may not, now or ever.
pub fn due(candidate: &Candidate, now: UnixMillis) -> Result<UnixMillis, NotDue> {
    if candidate.shared {
        return Err(NotDue::Shared);
    }
    if !matches!(candidate.status, WorkspaceStatus::Idle | WorkspaceStatus::InReview | WorkspaceStatus::Failed) {
        return Err(NotDue::Status(candidate.status.as_str().replace('_', " ")));
    }
    if candidate.open_issue {
        return Err(NotDue::IssueOpen);
    }
    let Some(closed_at) = candidate.closed_at else { return Err(NotDue::NoIssue) };
    let Some(cool_down) = candidate.cool_down_ms else { return Err(NotDue::Kept) };
    let eligible = closed_at.max(candidate.used_at).plus(i64::try_from(cool_down).unwrap_or(i64::MAX / 2));
    if eligible > now { Err(NotDue::CoolsDown(eligible)) } else { Ok(eligible) }
}

/// Whether what was found lets it go without anybody having read it: only what is clean, which includes what is
/// merged. What is dirty or not merged is for the operator to see.
///
/// # Errors
/// What stands in the way, in words.
pub fn allows(check: &CloseCheck) -> Result<(), String> {
    match check.verdict {
        CloseVerdict::Clean => Ok(()),
        CloseVerdict::Warnings => Err(check.warnings()),
        CloseVerdict::Blocked => Err(check.blocked_by()),
    }
}

/// When the last of these issues was closed, and whether one is open.
pub fn closed<'a>(issues: impl IntoIterator<Item = &'a IssueRow>) -> (Option<UnixMillis>, bool) {
    let (mut at, mut open) = (None, false);
    for issue in issues {
        match issue.status {
            IssueStatus::Done => at = at.max(issue.completed_at.or(Some(issue.updated_at))),
            IssueStatus::Cancelled => at = at.max(issue.cancelled_at.or(Some(issue.updated_at))),
            _ => open = true,
        }
    }
    (at.filter(|_| !open), open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        Candidate {
            status: WorkspaceStatus::Idle,
            shared: false,
            closed_at: Some(UnixMillis(1_000)),
            open_issue: false,
            used_at: UnixMillis(900),
            cool_down_ms: Some(500),
        }
    }

    #[test]
    fn a_workspace_is_due_once_its_issue_has_been_closed_long_enough() {
        let now = UnixMillis(1_500);
        let table: &[(fn(&mut Candidate), Result<UnixMillis, NotDue>)] = &[
            (|_| {}, Ok(UnixMillis(1_500))),
            (|c| c.status = WorkspaceStatus::InReview, Ok(UnixMillis(1_500))),
            (|c| c.status = WorkspaceStatus::Failed, Ok(UnixMillis(1_500))),
            (|c| c.status = WorkspaceStatus::Active, Err(NotDue::Status("active".into()))),
            (|c| c.status = WorkspaceStatus::Archiving, Err(NotDue::Status("archiving".into()))),
            (|c| c.status = WorkspaceStatus::CleanupFailed, Err(NotDue::Status("cleanup failed".into()))),
            (|c| c.status = WorkspaceStatus::Missing, Err(NotDue::Status("missing".into()))),
            (|c| c.shared = true, Err(NotDue::Shared)),
            (|c| c.open_issue = true, Err(NotDue::IssueOpen)),
            (|c| c.closed_at = None, Err(NotDue::NoIssue)),
            (|c| c.cool_down_ms = None, Err(NotDue::Kept)),
            (|c| c.cool_down_ms = Some(501), Err(NotDue::CoolsDown(UnixMillis(1_501)))),
            (|c| c.cool_down_ms = Some(0), Ok(UnixMillis(1_000))),
            (|c| c.used_at = UnixMillis(1_001), Err(NotDue::CoolsDown(UnixMillis(1_501)))),
        ];
        for (n, (change, expected)) in table.iter().enumerate() {
            let mut one = candidate();
            change(&mut one);
            assert_eq!(due(&one, now), *expected, "case {n}");
        }
    }

    #[test]
    fn only_what_is_clean_goes_by_itself() {
        let check = |verdict| CloseCheck { verdict, items: vec![], effects: vec![], fingerprint: String::new() };
        assert!(allows(&check(CloseVerdict::Clean)).is_ok());
        assert!(allows(&check(CloseVerdict::Warnings)).is_err());
        assert!(allows(&check(CloseVerdict::Blocked)).is_err());
    }
}
