//! What a finished run achieved, from evidence that does not depend on any language.

use crate::{IssueStatus, LivenessState, RunStatus};

/// What is known of a finished run.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// How it ended.
    pub status: RunStatus,
    /// Bytes it printed on both streams.
    pub output_bytes: i64,
    /// Where its issue stands.
    pub issue: Option<IssueStatus>,
    /// Whether it commented or did anything else that is recorded.
    pub useful_actions: bool,
    /// The next action it named.
    pub next_action: Option<String>,
}

/// Classifies a finished run, with the reason in words. First match wins (reference 7.3).
pub fn classify(evidence: &Evidence) -> (LivenessState, String) {
    use LivenessState::*;
    let (state, reason) = match evidence {
        Evidence { status, .. } if *status != RunStatus::Succeeded => (Failed, format!("the run is {status}")),
        Evidence { issue: Some(IssueStatus::Done | IssueStatus::Cancelled), .. } => {
            (Completed, "its issue is closed".to_owned())
        }
        Evidence { issue: Some(IssueStatus::Blocked), .. } => (Blocked, "its issue is blocked".to_owned()),
        Evidence { useful_actions: true, .. } => (Advanced, "it commented on its work".to_owned()),
        Evidence { next_action: Some(next), .. } => (NeedsFollowup, format!("it named a next action: {next}")),
        Evidence { output_bytes: 0, .. } => (EmptyResponse, "it printed nothing and recorded nothing".to_owned()),
        Evidence { issue: None, .. } => (Completed, "it ended well and has no issue to follow up".to_owned()),
        Evidence { .. } => (NeedsFollowup, "it ended well and its issue is still open".to_owned()),
    };
    (state, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classification_table() {
        let base = Evidence {
            status: RunStatus::Succeeded,
            output_bytes: 10,
            issue: Some(IssueStatus::InProgress),
            useful_actions: false,
            next_action: None,
        };
        let table = [
            (
                "failed beats all",
                Evidence { status: RunStatus::Failed, useful_actions: true, ..base.clone() },
                LivenessState::Failed,
            ),
            ("issue done", Evidence { issue: Some(IssueStatus::Done), ..base.clone() }, LivenessState::Completed),
            ("issue blocked", Evidence { issue: Some(IssueStatus::Blocked), ..base.clone() }, LivenessState::Blocked),
            ("commented", Evidence { useful_actions: true, ..base.clone() }, LivenessState::Advanced),
            (
                "named a next action",
                Evidence { next_action: Some("push".into()), ..base.clone() },
                LivenessState::NeedsFollowup,
            ),
            ("silent", Evidence { output_bytes: 0, ..base.clone() }, LivenessState::EmptyResponse),
            ("no issue", Evidence { issue: None, ..base.clone() }, LivenessState::Completed),
            ("open issue", base, LivenessState::NeedsFollowup),
        ];
        for (name, evidence, expected) in table {
            assert_eq!(classify(&evidence).0, expected, "{name}");
        }
    }
}
