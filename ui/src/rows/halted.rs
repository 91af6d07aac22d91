//! A process that lives and stands still, in words.

use wharf_model::UnixMillis;

use crate::format::{self, Zone};

/// A run's process that lives and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// Its number.
    pub pid: i32,
    /// What holds it.
    pub by: HaltedBy,
}

/// What holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HaltedBy {
    /// A signal; which one and since when, once they are known.
    Signal(Option<(String, UnixMillis)>),
    /// A tracer: number and command name, as far as they can be told.
    Tracer(Option<(i32, String)>),
}

impl Halted {
    /// The word of its state.
    pub const fn word(&self) -> &'static str {
        match self.by {
            HaltedBy::Signal(_) => "stopped",
            HaltedBy::Tracer(_) => "traced",
        }
    }

    /// What holds it, as short as a list needs it: `SIGSTOP 12:03`, `by pid 4711`.
    pub fn short(&self, zone: Zone) -> String {
        match &self.by {
            HaltedBy::Signal(Some((signal, since))) => format!("{signal} {}", format::clock_minutes(*since, zone)),
            HaltedBy::Signal(None) => "by a signal".to_owned(),
            HaltedBy::Tracer(Some((pid, _))) => format!("by pid {pid}"),
            HaltedBy::Tracer(None) => "by a tracer".to_owned(),
        }
    }

    /// What holds it: `stopped by SIGSTOP since 12:03:11`, `traced by pid 4711 (gdb)`.
    pub fn words(&self, now: UnixMillis, zone: Zone) -> String {
        match &self.by {
            HaltedBy::Signal(Some((signal, since))) => {
                format!("stopped by {signal} since {}", format::moment(*since, now, zone))
            }
            HaltedBy::Signal(None) => "stopped by a signal".to_owned(),
            HaltedBy::Tracer(Some((pid, name))) if name.is_empty() => format!("traced by pid {pid}"),
            HaltedBy::Tracer(Some((pid, name))) => format!("traced by pid {pid} ({name})"),
            HaltedBy::Tracer(None) => "traced by a process that cannot be told".to_owned(),
        }
    }

    /// What follows from it, and what an operator can do.
    pub fn advice(&self) -> String {
        match &self.by {
            HaltedBy::Signal(_) => {
                format!("wharf does nothing; `kill -CONT {}` lets it go on, its time-out still counts", self.pid)
            }
            HaltedBy::Tracer(_) => "it goes on when its tracer lets it, its time-out still counts".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::ledger::NOW;

    #[test]
    fn words_table() {
        let zone = Zone::UTC;
        let at = NOW.plus(-300_000);
        let since = format::moment(at, NOW, zone);
        let minutes = format::clock_minutes(at, zone);
        let table = [
            (
                HaltedBy::Signal(Some(("SIGSTOP".into(), at))),
                ["stopped".to_owned(), format!("SIGSTOP {minutes}"), format!("stopped by SIGSTOP since {since}")],
            ),
            (HaltedBy::Signal(None), ["stopped", "by a signal", "stopped by a signal"].map(str::to_owned)),
            (
                HaltedBy::Tracer(Some((4711, "gdb".into()))),
                ["traced", "by pid 4711", "traced by pid 4711 (gdb)"].map(str::to_owned),
            ),
            (
                HaltedBy::Tracer(Some((4711, String::new()))),
                ["traced", "by pid 4711", "traced by pid 4711"].map(str::to_owned),
            ),
        ];
        for (by, words) in table {
            let halted = Halted { pid: 12, by };
            assert_eq!([halted.word().to_owned(), halted.short(zone), halted.words(NOW, zone)], words);
            // The list's column has room for 14 cells.
            assert!(halted.short(zone).len() <= 14, "{}", halted.short(zone));
            assert_eq!(halted.advice().contains("kill -CONT 12`"), halted.word() == "stopped");
        }
    }
    #[test]
    fn one_that_stands_still_is_not_called_silent_and_a_stop_goes_before_both() {
        let mut run = crate::fixtures::ledger::run(1);
        run.status = wharf_model::RunStatus::Running;
        run.liveness = Some(super::super::Liveness::Silent);
        assert_eq!(run.state().1, "silent");
        run.halted = Some(Halted { pid: 12, by: HaltedBy::Signal(None) });
        assert_eq!((run.state().1, run.now_words(NOW, Zone::UTC).as_str()), ("stopped", "by a signal"));
        run.stop_requested_at = Some(NOW);
        assert_eq!(run.state().1, "stopping");
    }
}
