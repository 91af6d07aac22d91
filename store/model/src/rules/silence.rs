//! What is to be thought of a running run that prints nothing, by what can be seen of it.
//!
//! A verdict and no deed: nothing is ended by it.

use crate::UnixMillis;
use crate::words;

words! {
    /// The verdict.
    pub enum Silence {
        /// It has printed not long ago, or may be silent as long as it wants.
        Quiet = "quiet",
        /// Something that it uses is not there.
        Waits = "waits",
        /// It computes.
        Works = "works",
        /// It lives and does nothing that can be seen.
        Idle = "idle",
        /// The same for so long that nothing is to be hoped for.
        Stalled = "stalled",
        /// Nothing of it lives but its keeper.
        Empty = "empty",
        /// What it does cannot be seen from here.
        Unknown = "unknown",
    }
}

/// How often the limit of silence goes by until an idle run is called stalled.
pub const STALLED_AFTER: i64 = 4;
/// Thousandths of a core from which on a tree counts as computing: less is spent by one that wakes up now and then.
pub const WORKS_FROM_PERMILLE: u32 = 50;

/// What is seen of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// They were looked at.
    Seen {
        /// Living ones, without the keeper.
        processes: u32,
        /// Thousandths of a core lately; none when they were seen once only.
        cpu_permille: Option<u32>,
    },
    /// They could not be looked at: why.
    Unseen(String),
}

/// What the verdict goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its last byte; else when it was started.
    pub since: UnixMillis,
    /// It has printed at all.
    pub printed: bool,
    /// Silence after which it is called silent, milliseconds; none when it may be silent for ever.
    pub limit_ms: Option<i64>,
    /// Its processes.
    pub tree: Tree,
    /// What it uses and is not there: `S-14 db is failed`.
    pub missing: Vec<String>,
}

/// The verdict with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Which.
    pub silence: Silence,
    /// How long it has printed nothing, milliseconds.
    pub silent_ms: i64,
    /// When the next verdict comes if it goes on so, and which: `called stalled then`.
    pub until: Option<(UnixMillis, &'static str)>,
    /// What it does, in words that follow `R-1039 is SILENT: `; empty for a quiet one.
    pub words: String,
}

/// Whether it has been silent for so long that its processes are worth a look.
pub fn is_silent(since: UnixMillis, limit_ms: Option<i64>, now: UnixMillis) -> bool {
    limit_ms.is_some_and(|limit| since.until(now) >= limit)
}

/// Judges. What is certain counts before what is likely: a tree without processes, a thing that is not there,
/// time of a processor. That no processor is used is no proof: what a run waits for elsewhere is not seen.
pub fn judge(seen: &Seen, now: UnixMillis) -> Judged {
    let silent_ms = seen.since.until(now).max(0);
    let Some(limit) = seen.limit_ms.filter(|limit| silent_ms >= *limit) else {
        let until = seen.limit_ms.map(|limit| (seen.since.plus(limit), "called silent then"));
        return Judged { silence: Silence::Quiet, silent_ms, until, words: String::new() };
    };
    let stalls = seen.since.plus(limit.saturating_mul(STALLED_AFTER));
    let quiet = if seen.printed { "printed nothing" } else { "has printed nothing yet" };
    let (silence, words) = match (&seen.tree, seen.missing.as_slice()) {
        (Tree::Seen { processes: 0, .. }, _) => {
            (Silence::Empty, "no process of it lives, and its keeper has not ended".to_owned())
        }
        (_, [first, ..]) => (Silence::Waits, format!("{quiet}, and {first}, which it uses")),
        (Tree::Seen { cpu_permille: Some(cpu), .. }, []) if *cpu >= WORKS_FROM_PERMILLE => {
            (Silence::Works, format!("{quiet}, but it computes"))
        }
        (Tree::Seen { cpu_permille: Some(_), .. }, []) => {
            let words = format!("alive, but {quiet} and no progress: it waits for what cannot be seen from here");
            (if now >= stalls { Silence::Stalled } else { Silence::Idle }, words)
        }
        (Tree::Seen { cpu_permille: None, .. }, []) => {
            (Silence::Unknown, format!("alive, but {quiet}; whether it computes was not measured yet"))
        }
        (Tree::Unseen(why), []) => (Silence::Unknown, format!("{quiet}; {why}")),
    };
    let until = (silence == Silence::Idle).then_some((stalls, "called stalled then"));
    Judged { silence, silent_ms, until, words }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn seen(tree: Tree) -> Seen {
        Seen { since: UnixMillis(0), printed: true, limit_ms: Some(60 * MINUTE), tree, missing: Vec::new() }
    }

    fn tree(processes: u32, cpu_permille: Option<u32>) -> Tree {
        Tree::Seen { processes, cpu_permille }
    }

    #[test]
    fn verdicts() {
        let away = || Tree::Unseen("what works on box-1 is not seen from here".to_owned());
        let missing = |tree| Seen { missing: vec!["S-14 db is failed".to_owned()], ..seen(tree) };
        let table = [
            (seen(tree(5, Some(0))), 59, Silence::Quiet, ""),
            (Seen { limit_ms: None, ..seen(tree(5, Some(0))) }, 100_000, Silence::Quiet, ""),
            (seen(tree(5, Some(0))), 60, Silence::Idle, "alive, but printed nothing and no progress"),
            (seen(tree(5, Some(49))), 239, Silence::Idle, "waits for what cannot be seen"),
            (seen(tree(5, Some(49))), 240, Silence::Stalled, "no progress"),
            (seen(tree(5, Some(50))), 240, Silence::Works, "printed nothing, but it computes"),
            (seen(tree(5, None)), 240, Silence::Unknown, "not measured yet"),
            (seen(tree(0, Some(0))), 61, Silence::Empty, "no process of it lives"),
            (seen(away()), 600, Silence::Unknown, "printed nothing; what works on box-1"),
            (missing(away()), 61, Silence::Waits, "S-14 db is failed, which it uses"),
            (missing(tree(5, Some(900))), 61, Silence::Waits, "S-14 db"),
            (missing(tree(0, None)), 61, Silence::Empty, "no process"),
            (Seen { printed: false, ..seen(tree(1, Some(0))) }, 61, Silence::Idle, "has printed nothing yet"),
            // A clock that was set back makes nothing silent.
            (Seen { since: UnixMillis(90 * MINUTE), ..seen(tree(1, Some(0))) }, 61, Silence::Quiet, ""),
        ];
        for (seen, minutes, silence, words) in table {
            let judged = judge(&seen, UnixMillis(minutes * MINUTE));
            assert_eq!(judged.silence, silence, "{seen:?} {minutes}");
            assert!(judged.words.contains(words) && judged.silent_ms >= 0, "{seen:?}: {}", judged.words);
            assert_eq!(silence == Silence::Quiet, judged.words.is_empty());
        }
    }

    #[test]
    fn what_comes_next_is_told() {
        let at = |minutes| judge(&seen(tree(1, Some(0))), UnixMillis(minutes * MINUTE)).until;
        assert_eq!(at(10), Some((UnixMillis(60 * MINUTE), "called silent then")));
        assert_eq!(at(70), Some((UnixMillis(240 * MINUTE), "called stalled then")));
        assert_eq!(at(250), None);
        let now = UnixMillis(60 * MINUTE);
        assert!(is_silent(UnixMillis(0), Some(60 * MINUTE), now) && !is_silent(UnixMillis(0), None, now));
    }
}
