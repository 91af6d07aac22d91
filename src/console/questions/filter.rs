//! The filter language on rows of the store: what the database can narrow, and the rest row by row.

use wharf_model::filter::{Field, Filter, Status, Test, glob};
use wharf_model::{AgentId, RunStatus, UnixMillis};
use wharf_store::view::RunFilter;

/// When and where a filter is read: relative times need both.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The present.
    pub now: UnixMillis,
    /// Seconds east of Greenwich.
    pub east_seconds: i32,
}

/// What a filter compares of one row.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Words of state that hold.
    pub statuses: Vec<Status>,
    /// Names by field.
    pub fields: Vec<(Field, String)>,
    /// When it began.
    pub began: Option<UnixMillis>,
    /// How long it took, or takes so far.
    pub took_ms: Option<i64>,
    /// Exit code.
    pub exit: Option<i32>,
    /// Cost in millionths of a dollar.
    pub cost: Option<i64>,
    /// Words it is found by.
    pub words: Vec<String>,
}

/// Whether every term holds.
pub fn passes(filter: &Filter, row: &Facts, at: Moment) -> bool {
    filter.terms.iter().all(|term| holds(&term.test, row, at) != term.exclude)
}

fn holds(test: &Test, row: &Facts, at: Moment) -> bool {
    match test {
        Test::Status(wanted) => wanted.iter().any(|w| row.statuses.contains(w)),
        Test::Field(field, wanted) => {
            let mut names = row.fields.iter().filter(|(f, _)| f == field);
            names.any(|(_, name)| wanted.iter().any(|w| glob(w, name)))
        }
        Test::Since(when) => row.began.is_some_and(|b| b >= when.resolve(at.now, at.east_seconds)),
        Test::Until(when) => row.began.is_some_and(|b| b < when.resolve(at.now, at.east_seconds)),
        Test::Cost(compare, bound) => row.cost.is_some_and(|c| compare.holds(c, *bound)),
        Test::Took(compare, bound) => row.took_ms.is_some_and(|t| compare.holds(t, *bound)),
        Test::Exit(wanted) => row.exit.is_some_and(|e| wanted.contains(&e)),
        Test::Text(text) => {
            let text = text.to_lowercase();
            row.words.iter().any(|w| w.to_lowercase().contains(&text))
        }
    }
}

/// What the database may leave out already: never more than [`passes`] leaves out.
pub fn narrow(filter: &Filter, at: Moment, agent: impl Fn(&str) -> Option<AgentId>) -> RunFilter {
    let mut out = RunFilter::default();
    for term in filter.terms.iter().filter(|t| !t.exclude) {
        match &term.test {
            Test::Status(wanted) if out.statuses.is_empty() => {
                out.statuses =
                    RunStatus::ALL.iter().copied().filter(|s| wanted.iter().any(|w| may_be(*w, *s))).collect();
            }
            Test::Since(when) => {
                let since = when.resolve(at.now, at.east_seconds);
                out.since = Some(out.since.map_or(since, |s| s.max(since)));
            }
            Test::Until(when) => {
                let until = when.resolve(at.now, at.east_seconds);
                out.until = Some(out.until.map_or(until, |u| u.min(until)));
            }
            // The database folds only ASCII letters.
            Test::Text(text) if out.text.is_none() && text.is_ascii() => out.text = Some(text.clone()),
            Test::Field(Field::Agent, names) if out.agent.is_none() => {
                if let [name] = names.as_slice() {
                    out.agent = agent(name);
                }
            }
            _ => {}
        }
    }
    out
}

/// Whether a run in this state may be called by this word.
const fn may_be(word: Status, status: RunStatus) -> bool {
    match word {
        Status::Live => !status.is_terminal(),
        Status::Ended => status.is_terminal(),
        Status::Queued => matches!(status, RunStatus::Queued),
        Status::Parked => matches!(status, RunStatus::ScheduledRetry),
        Status::Running | Status::Stopping | Status::Silent | Status::NeedsYou | Status::Unknown => {
            matches!(status, RunStatus::Running)
        }
        Status::Done => matches!(status, RunStatus::Succeeded),
        Status::Failed => matches!(status, RunStatus::Failed),
        Status::Cancelled => matches!(status, RunStatus::Cancelled),
        Status::TimedOut => matches!(status, RunStatus::TimedOut),
        Status::Lost => matches!(status, RunStatus::Lost),
        _ => false,
    }
}

/// Words of state that hold for a run.
pub fn run_words(status: RunStatus, stopping: bool, unknown: bool) -> Vec<Status> {
    let mut words: Vec<Status> = Status::ALL
        .iter()
        .copied()
        .filter(|w| may_be(*w, status))
        .filter(|w| match w {
            Status::Stopping => stopping,
            Status::Unknown => unknown,
            // Nobody judges these yet.
            Status::Silent | Status::NeedsYou => false,
            _ => true,
        })
        .collect();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment { now: UnixMillis(1_800_000_000_000), east_seconds: 0 };

    fn run(status: RunStatus, agent: &str, began_ago_ms: i64) -> Facts {
        Facts {
            statuses: run_words(status, false, false),
            fields: vec![(Field::Agent, agent.to_owned())],
            began: Some(AT.now.plus(-began_ago_ms)),
            took_ms: Some(began_ago_ms),
            exit: Some(7),
            cost: None,
            words: vec!["Fix the Basket".to_owned()],
        }
    }

    #[test]
    fn terms_are_joined_and_excluded() {
        let row = run(RunStatus::Failed, "fixer", 60_000);
        let table = [
            ("", true),
            ("status:failed", true),
            ("status:done,failed", true),
            ("status:live", false),
            ("status:ended -agent:docs", true),
            ("-status:ended", false),
            ("agent:fix*", true),
            ("agent:docs", false),
            ("since:2m", true),
            ("since:30s", false),
            ("until:30s", true),
            ("took:>30s", true),
            ("exit:7", true),
            ("exit:1", false),
            ("basket", true),
            ("cost:>0", false),
            ("status:retained", false),
        ];
        for (text, expected) in table {
            let filter = Filter::parse(text).unwrap();
            assert_eq!(passes(&filter, &row, AT), expected, "{text}");
        }
    }

    #[test]
    fn the_database_never_leaves_out_what_passes() {
        for text in ["status:failed", "status:live", "status:silent", "status:ended status:done", "-status:failed"] {
            let filter = Filter::parse(text).unwrap();
            let narrowed = narrow(&filter, AT, |_| None);
            for status in RunStatus::ALL {
                if passes(&filter, &run(*status, "a", 0), AT) {
                    let open = narrowed.statuses.is_empty() || narrowed.statuses.contains(status);
                    assert!(open, "{text} leaves out {status}");
                }
            }
        }
    }
}
