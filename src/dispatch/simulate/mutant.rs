//! Faults that a test switches on, to prove that the simulator would find them.

use std::cell::Cell;

/// A fault at one place of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// A fact about an earlier generation of a service is taken as one about the current.
    LateFact,
    /// A run cancelled while its workspace is made keeps its lease.
    LeaseKept,
    /// A late fact is taken about a run that has ended.
    EndedAgain,
    /// Deadlines stay where they are when the clock moves.
    ClockIgnored,
    /// An order to stop that was given up is never given again.
    StopForgotten,
    /// A run begins to work in a workspace that is being archived.
    ArchivedInUse,
    /// What lies in the trash of an earlier archive is forgotten by the next one.
    TrashForgotten,
    /// A service is started before what it needs is ready.
    OrderIgnored,
    /// A service is stopped by its policy although it is used.
    StoppedInUse,
    /// A service is restarted although its restarts are used up.
    BudgetIgnored,
    /// Where a service is meant to be is forgotten.
    DesiredForgotten,
    /// A slot that becomes free is taken by whoever came last.
    LineJumped,
}

thread_local! {
    static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Whether this fault is switched on in this thread.
pub fn is_on(mutant: Mutant) -> bool {
    ON.get() == Some(mutant)
}

/// Runs something with a fault switched on; it is off again afterwards, also after a panic.
pub fn with<T>(mutant: Mutant, run: impl FnOnce() -> T) -> T {
    struct Off;
    impl Drop for Off {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
    ON.set(Some(mutant));
    let _off = Off;
    run()
}
