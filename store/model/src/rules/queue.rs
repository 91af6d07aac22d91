//! The order in which queued runs are claimed, for those who claim and for those who show it.

use crate::IssueStatus;

/// Where a queued run stands: lower goes first. Work on an issue under way goes before work on other issues, that
/// before the rest; then by priority, then by age.
pub fn order(issue: Option<IssueStatus>, priority: i64, number: i64) -> (u8, i64, i64) {
    let rank = match issue {
        Some(IssueStatus::InProgress) => 0,
        Some(_) => 1,
        None => 2,
    };
    (rank, priority, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_first() {
        let queue = [
            order(Some(IssueStatus::InProgress), 3, 9),
            order(Some(IssueStatus::Todo), 0, 8),
            order(Some(IssueStatus::Blocked), 1, 4),
            order(Some(IssueStatus::Todo), 1, 7),
            order(None, 0, 2),
            order(None, 4, 1),
        ];
        assert!(queue.is_sorted(), "{queue:?}");
    }
}
