//! Who plays: the runs that a demo starts, and the issues they work on.

/// An issue of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issue {
    /// Its title.
    pub title: &'static str,
    /// Its priority, in the word of the request.
    pub priority: &'static str,
}

/// A run of the demo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its agent.
    pub agent: &'static str,
    /// Place of its issue in [`ISSUES`], when it works on one.
    pub issue: Option<usize>,
}

/// The issues, in the order in which they get their numbers.
pub const ISSUES: &[Issue] = &[
    Issue { title: "Greet visitors by their name", priority: "high" },
    Issue { title: "Build the pier out to the shore", priority: "critical" },
    Issue { title: "Paint the pier in every colour", priority: "low" },
    Issue { title: "Tell the tide a day ahead", priority: "medium" },
];

/// The runs, in the order in which they are started. Both visitors share one service.
pub const PARTS: &[Part] = &[
    Part { agent: "fixer", issue: Some(0) },
    Part { agent: "stubborn", issue: None },
    Part { agent: "visitor", issue: None },
    Part { agent: "visitor", issue: None },
    Part { agent: "flood", issue: None },
    Part { agent: "quiet", issue: None },
    Part { agent: "painter", issue: Some(2) },
    Part { agent: "builder", issue: Some(1) },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::project::{Pace, config_text};

    #[test]
    fn every_agent_plays_and_every_part_has_its_agent_and_issue() {
        let text = config_text(std::path::Path::new("/opt/a \"b\"/wharf"), Pace::Brief).unwrap();
        let (config, _) = crate::config::parse_project(&text, "wharf.toml", "pier").unwrap();
        let agents: BTreeSet<&str> = config.agents.iter().map(|a| a.name.as_str()).collect();
        let parts: BTreeSet<&str> = PARTS.iter().map(|p| p.agent).collect();
        assert_eq!(agents, parts);
        assert!(PARTS.iter().filter_map(|p| p.issue).all(|issue| issue < ISSUES.len()));
        let taken: Vec<usize> = PARTS.iter().filter_map(|p| p.issue).collect();
        assert_eq!(taken.len(), taken.iter().collect::<BTreeSet<_>>().len(), "one run for each issue");
    }
}
