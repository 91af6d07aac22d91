//! How the checkouts on the screen stand. A look at one may take long, so it is taken beside the
//! answers, which tell what the last one found.
//!
//! Two threads look: one at what git says, every few seconds; one at the whole directory, whose size
//! takes as long as there is in it, so the more it cost the longer it is not done again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wharf_model::rules::close_check::Place;
use wharf_model::{ProjectId, WorkspaceId};

use super::events::{Event, Sender};
use crate::workspace::close::Limits;
use crate::workspace::facts;
use crate::workspace::inventory::{Stock, StockAsk, stock};
use crate::workspace::unpushed::unpushed;

/// Checkouts looked at, at most: more do not fit on a screen.
const SHOWN_MAX: usize = 100;
/// Time between two looks at what git says of the same checkout.
const PACE: Duration = Duration::from_secs(5);
/// Time between two looks at the same whole directory, at least.
const STOCK_PACE: Duration = Duration::from_mins(1);
/// The same when something in it has changed meanwhile.
const STOCK_CHANGED: Duration = Duration::from_secs(10);
/// Looking at whole directories takes this part of one thread's time at most.
const STOCK_SHARE: u32 = 20;
/// Longest look at one whole directory.
const STOCK_TIME: Duration = Duration::from_secs(15);

/// A checkout that is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checkout {
    /// The project that it was made for.
    pub project: ProjectId,
    /// The workspace that it is.
    pub workspace: WorkspaceId,
    /// Where runs work in it.
    pub path: PathBuf,
    /// Its root.
    pub root: PathBuf,
    /// The commit that it is compared with.
    pub base: Option<String>,
}

impl Checkout {
    /// What is asked of its whole directory; the look takes this long at most.
    pub fn ask(&self, never: Vec<PathBuf>, time: Duration) -> StockAsk {
        StockAsk {
            project: self.project,
            workspace: self.workspace,
            path: self.root.clone(),
            base: self.base.clone(),
            never,
            limits: Limits { time, ..Limits::default() },
        }
    }
}

/// What git said of a checkout.
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

/// What is known of a checkout; parts that nobody has looked at are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// What git said.
    pub figures: Option<Figures>,
    /// What its directory held, and how long ago that was found.
    pub stock: Option<(Stock, Duration)>,
    /// Commits that no remote has; none also when there is no remote.
    pub unpushed: Option<u64>,
}

impl Known {
    /// Why it cannot be told how it stands: it is gone, or cannot be looked at. None when it is there, or nobody
    /// has looked.
    pub fn trouble(&self) -> Option<(bool, String)> {
        match &self.stock.as_ref()?.0.place {
            Place::Gone => Some((true, "its directory is not there".to_owned())),
            Place::Unknown(why) => Some((false, why.clone())),
            Place::Ours | Place::NotOurs(_) => None,
        }
    }
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

/// A look at a whole directory.
#[derive(Debug, Clone)]
struct Taken {
    stock: Stock,
    unpushed: Option<u64>,
    at: Instant,
    cost: Duration,
    /// What git says of it has changed since.
    stale: bool,
}

impl Taken {
    fn is_due(&self) -> bool {
        let least = if self.stale { STOCK_CHANGED } else { STOCK_PACE };
        self.at.elapsed() >= least.max(self.cost * STOCK_SHARE)
    }
}

#[derive(Debug, Default)]
struct State {
    shown: Vec<Checkout>,
    /// Directories that are never anybody's to remove.
    never: Vec<PathBuf>,
    found: HashMap<Checkout, (Figures, Instant)>,
    stocks: HashMap<Checkout, Taken>,
    /// Somebody looks at the screen: the one thread, the other.
    wanted: (bool, bool),
}

impl State {
    fn known(&self, checkout: &Checkout) -> Known {
        let taken = self.stocks.get(checkout);
        Known {
            figures: self.found.get(checkout).map(|(figures, _)| *figures),
            stock: taken.map(|taken| (taken.stock.clone(), taken.at.elapsed())),
            unpushed: taken.and_then(|taken| taken.unpushed),
        }
    }

    /// The next checkout that is due.
    fn due(&self) -> Option<Checkout> {
        let due = |checkout: &&Checkout| self.found.get(*checkout).is_none_or(|(_, at)| at.elapsed() >= PACE);
        self.shown.iter().find(due).cloned()
    }

    /// The next whole directory that is due: one that nobody has looked at comes first.
    fn stock_due(&self) -> Option<Checkout> {
        let unknown = self.shown.iter().find(|c| !self.stocks.contains_key(*c));
        let due = |checkout: &&Checkout| self.stocks.get(*checkout).is_some_and(Taken::is_due);
        unknown.or_else(|| self.shown.iter().find(due)).cloned()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody looks at the screen, as the one thread or the other has not seen yet.
    fn wait(&self, wanted: fn(&mut State) -> &mut bool) {
        let mut state = self.state();
        while !std::mem::take(wanted(&mut state)) {
            state = self.come.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
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
        let (shared, told) = (Arc::clone(&checkouts.shared), events.clone());
        std::thread::Builder::new().name("checkouts".into()).spawn(move || watch(&shared, &told))?;
        let shared = Arc::clone(&checkouts.shared);
        std::thread::Builder::new().name("stocks".into()).spawn(move || take_stock(&shared, &events))?;
        Ok(checkouts)
    }

    /// Says which checkouts are shown, and what no checkout of ours may contain; gives what is known of them.
    pub fn show(&self, shown: &[Checkout], never: Vec<PathBuf>) -> Vec<Known> {
        let mut state = self.shared.state();
        state.shown = shown.iter().take(SHOWN_MAX).cloned().collect();
        state.never = never;
        let kept: HashSet<Checkout> = state.shown.iter().cloned().collect();
        state.found.retain(|checkout, _| kept.contains(checkout));
        state.stocks.retain(|checkout, _| kept.contains(checkout));
        state.wanted = (true, true);
        self.shared.come.notify_all();
        shown.iter().map(|checkout| state.known(checkout)).collect()
    }

    /// What is known of one of them.
    pub fn of(&self, workspace: WorkspaceId) -> Known {
        let state = self.shared.state();
        let shown = state.shown.iter().find(|c| c.workspace == workspace);
        shown.map(|checkout| state.known(checkout)).unwrap_or_default()
    }

    /// They are still on the screen: looks again at those whose time has come.
    pub fn look(&self) {
        self.shared.state().wanted = (true, true);
        self.shared.come.notify_all();
    }
}

fn watch(shared: &Shared, events: &Sender) {
    loop {
        shared.wait(|state| &mut state.wanted.0);
        let mut changed = false;
        // Each look makes a checkout not due for a while: one round has an end.
        for _ in 0..SHOWN_MAX {
            let next = shared.state().due();
            let Some(checkout) = next else { break };
            let figures = figures(&checkout.path, checkout.base.as_deref());
            let mut state = shared.state();
            let before = state.found.insert(checkout.clone(), (figures, Instant::now())).map(|(figures, _)| figures);
            if before.is_some_and(|before| before != figures)
                && let Some(taken) = state.stocks.get_mut(&checkout)
            {
                taken.stale = true;
            }
            changed |= before.unwrap_or_default() != figures;
        }
        if changed && events.send(Event::StoreChanged).is_err() {
            return;
        }
    }
}

/// Looks at whole directories, one after the other; each is told as soon as it is known.
fn take_stock(shared: &Shared, events: &Sender) {
    loop {
        shared.wait(|state| &mut state.wanted.1);
        for _ in 0..SHOWN_MAX {
            let (next, never) = {
                let state = shared.state();
                (state.stock_due(), state.never.clone())
            };
            let Some(checkout) = next else { break };
            let begun = Instant::now();
            let stock = stock(&checkout.ask(never, STOCK_TIME));
            let unpushed = unpushed(&checkout.path, facts::MAX_DISTANCE);
            let taken = Taken { stock, unpushed, at: Instant::now(), cost: begun.elapsed(), stale: false };
            let mut state = shared.state();
            if !state.shown.contains(&checkout) {
                continue;
            }
            let found = (taken.stock.clone(), taken.unpushed);
            let before = state.stocks.insert(checkout, taken).map(|before| (before.stock, before.unpushed));
            drop(state);
            if before.as_ref() != Some(&found) && events.send(Event::StoreChanged).is_err() {
                return;
            }
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
        // The one thread alone: what the other finds would be told as well.
        let checkouts = Checkouts::default();
        let shared = Arc::clone(&checkouts.shared);
        std::thread::spawn(move || watch(&shared, &sender));
        let checkout = |path: PathBuf, base: Option<String>| Checkout {
            project: ProjectId::NIL,
            workspace: WorkspaceId::NIL,
            root: path.clone(),
            path,
            base,
        };
        let here = checkout(dir.path().to_owned(), Some(base));
        let lost = checkout(dir.path().to_owned(), Some("0".repeat(40)));
        let gone = checkout(dir.path().join("gone"), None);
        let shown = [here, lost, gone];
        let figures = |known: Vec<Known>| known.into_iter().map(|k| k.figures).collect::<Vec<_>>();
        assert_eq!(figures(checkouts.show(&shown, Vec::new())), [None, None, None], "nothing is waited for");
        let told = mailbox.next(Some(Duration::from_secs(20)));
        assert!(matches!(told, Some(Event::StoreChanged)), "{told:?}");
        let whole = Figures { dirty: Some(0), untracked: Some(1), ahead: Some(1), behind: Some(0) };
        let apart = Figures { ahead: None, behind: None, ..whole };
        let known = [Some(whole), Some(apart), Some(Figures::default())];
        assert_eq!(figures(checkouts.show(&shown, Vec::new())), known);
        // Too soon for another look.
        std::fs::write(dir.path().join("newer"), "x").unwrap();
        checkouts.look();
        assert!(mailbox.next(Some(Duration::from_millis(300))).is_none());
        assert_eq!(figures(checkouts.show(&shown, Vec::new())), known);
    }

    #[test]
    fn a_whole_directory_is_the_longer_not_looked_at_again_the_more_it_cost() {
        let now = Instant::now();
        let nowhere = Checkout {
            project: ProjectId::NIL,
            workspace: WorkspaceId::NIL,
            path: PathBuf::new(),
            root: PathBuf::new(),
            base: None,
        };
        let taken = |ago: u64, cost: u64, stale: bool| Taken {
            stock: stock(&nowhere.ask(Vec::new(), STOCK_TIME)),
            at: now.checked_sub(Duration::from_secs(ago)).unwrap(),
            unpushed: None,
            cost: Duration::from_secs(cost),
            stale,
        };
        let table = [
            ((5, 0, false), false),
            ((59, 0, false), false),
            ((61, 0, false), true),
            ((9, 0, true), false),
            ((11, 0, true), true),
            ((61, 10, false), false),
            ((199, 10, true), false),
            ((201, 10, false), true),
        ];
        for ((ago, cost, stale), due) in table {
            assert_eq!(taken(ago, cost, stale).is_due(), due, "{ago}s ago, {cost}s, {stale}");
        }
    }
}
