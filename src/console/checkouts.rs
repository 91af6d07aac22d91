//! How the checkouts on the screen stand. A look at one may take long, so it is taken beside the
//! answers, which tell what the last one found.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::events::{Event, Sender};
use crate::workspace::facts;

/// Checkouts looked at, at most: more do not fit on a screen.
const SHOWN_MAX: usize = 100;
/// Time between two looks at the same checkout.
const PACE: Duration = Duration::from_secs(5);

/// A checkout: its directory, and the commit that it is compared with.
pub type Checkout = (PathBuf, Option<String>);

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Tracked paths that differ.
    pub dirty: Option<u64>,
    /// Paths that git does not know.
    pub untracked: Option<u64>,
    /// Commits that the base lacks.
    pub ahead: Option<u64>,
    /// Commits of the base that it lacks.
    pub behind: Option<u64>,
}

/// Checkouts that are shown, with what was last found in each.
#[derive(Debug, Clone, Default)]
pub struct Checkouts {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    come: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shown: Vec<Checkout>,
    found: HashMap<Checkout, (Figures, Instant)>,
    wanted: bool,
}

impl State {
    /// The next checkout that is due.
    fn due(&self) -> Option<Checkout> {
        let due = |checkout: &&Checkout| self.found.get(*checkout).is_none_or(|(_, at)| at.elapsed() >= PACE);
        self.shown.iter().find(due).cloned()
    }
}

impl Checkouts {
    /// Begins, with none to look at; figures that have changed are told as [`Event::StoreChanged`],
    /// since the rows that show them are to be asked for again.
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(events: Sender) -> std::io::Result<Self> {
        let checkouts = Self::default();
        let shared = Arc::clone(&checkouts.shared);
        std::thread::Builder::new().name("checkouts".into()).spawn(move || watch(&shared, &events))?;
        Ok(checkouts)
    }

    /// Says which checkouts are shown; gives what is known of them.
    pub fn show(&self, shown: &[Checkout]) -> Vec<Option<Figures>> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shown = shown.iter().take(SHOWN_MAX).cloned().collect();
        let kept: std::collections::HashSet<Checkout> = state.shown.iter().cloned().collect();
        state.found.retain(|checkout, _| kept.contains(checkout));
        state.wanted = true;
        self.shared.come.notify_one();
        shown.iter().map(|c| state.found.get(c).map(|(figures, _)| *figures)).collect()
    }

    /// They are still on the screen: looks again at those whose time has come.
    pub fn look(&self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).wanted = true;
        self.shared.come.notify_one();
    }
}

fn watch(shared: &Shared, events: &Sender) {
    loop {
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.wanted {
            state = shared.come.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = false;
        drop(state);
        let mut changed = false;
        // Each look makes a checkout not due for a while: one round has an end.
        for _ in 0..SHOWN_MAX {
            let next = shared.state.lock().unwrap_or_else(PoisonError::into_inner).due();
            let Some(checkout) = next else { break };
            let figures = figures(&checkout.0, checkout.1.as_deref());
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = state.found.insert(checkout, (figures, Instant::now()));
            changed |= before.map(|(figures, _)| figures).unwrap_or_default() != figures;
        }
        if changed && events.send(Event::StoreChanged).is_err() {
            return;
        }
    }
}

/// Looks at a checkout. What cannot be known stays unknown: a directory that is gone, or no
/// repository; a base that is no longer there costs the distances only.
fn figures(path: &Path, base: Option<&str>) -> Figures {
    let observed = facts::observe(path, base).or_else(|error| match base {
        Some(_) => facts::observe(path, None),
        None => Err(error),
    });
    let Ok(facts) = observed else { return Figures::default() };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Figures {
        dirty: Some(count(facts.changed)),
        untracked: Some(count(facts.untracked)),
        ahead: facts.ahead.map(|n| count(n.count)),
        behind: facts.behind.map(|n| count(n.count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::events::mailbox;

    #[test]
    fn a_checkout_is_looked_at_beside_the_question_and_told_of_once() {
        let dir = tempfile::tempdir().unwrap();
        let git = |args: &[&str]| {
            let who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let out = std::process::Command::new("git").current_dir(dir.path()).args(who).args(args).output().unwrap();
            assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q"]);
        git(&["commit", "-q", "--allow-empty", "-m", "first"]);
        let base = git(&["rev-parse", "HEAD"]);
        git(&["commit", "-q", "--allow-empty", "-m", "second"]);
        std::fs::write(dir.path().join("new"), "x").unwrap();

        let (sender, mut mailbox) = mailbox();
        let checkouts = Checkouts::start(sender).unwrap();
        let here = (dir.path().to_owned(), Some(base));
        let lost = (dir.path().to_owned(), Some("0".repeat(40)));
        let gone = (dir.path().join("gone"), None);
        let shown = [here, lost, gone];
        assert_eq!(checkouts.show(&shown), [None, None, None], "nothing is waited for");
        let told = mailbox.next(Some(Duration::from_secs(20)));
        assert!(matches!(told, Some(Event::StoreChanged)), "{told:?}");
        let whole = Figures { dirty: Some(0), untracked: Some(1), ahead: Some(1), behind: Some(0) };
        let apart = Figures { ahead: None, behind: None, ..whole };
        let known = [Some(whole), Some(apart), Some(Figures::default())];
        assert_eq!(checkouts.show(&shown), known);
        // Too soon for another look.
        std::fs::write(dir.path().join("newer"), "x").unwrap();
        checkouts.look();
        assert!(mailbox.next(Some(Duration::from_millis(300))).is_none());
        assert_eq!(checkouts.show(&shown), known);
    }
}
