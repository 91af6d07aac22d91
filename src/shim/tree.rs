//! The child and everything below it: signals, ends, what is left.

use std::collections::BTreeSet;
use std::io;

use wharf_model::shim::{ChildRef, LimitsReport, ProcessRef, Usage};

use crate::process::cgroup::{self, Groups};
use crate::process::descendants;
use crate::process::reap::{self, Children, Ended};
use crate::process::signal::{self, Signal};
use crate::process::stat::ProcStat;
use crate::process::terminate::is_kept;

/// The process tree of one shim.
#[derive(Debug)]
pub struct Tree {
    me: ProcessRef,
    child: Option<ChildRef>,
    keep: Vec<String>,
    tag: String,
    /// The child has ended or never ran and its number may be reused.
    reaped: bool,
    usage: Usage,
    killed: BTreeSet<(i32, u64)>,
    groups: Groups,
}

impl Tree {
    /// A tree without a child yet.
    pub fn new(me: ProcessRef, keep: Vec<String>, tag: String) -> Self {
        let (usage, killed, groups) = (Usage::default(), BTreeSet::new(), Groups::default());
        Self { me, child: None, keep, tag, reaped: false, usage, killed, groups }
    }

    /// Makes the child's groups, before there is a child.
    pub fn make_groups(&mut self, groups: Groups) {
        self.groups = groups;
        self.groups.make();
    }

    /// Puts the child, which has not run yet, into its groups.
    pub fn enter_groups(&mut self, pid: i32) {
        self.groups.enter(pid);
    }

    /// The child's groups; none where nothing is capped.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Removes the groups once nothing lives in them but what may stay, which leaves them, and says how
    /// the limits were kept; `None` when none were asked.
    pub fn end_groups(&mut self) -> Option<LimitsReport> {
        if !self.keep.is_empty() && !self.groups.is_empty() {
            // Those that cannot be looked at keep their group, which is then found again by its name.
            let inside = self.groups.processes().and_then(|pids| cgroup::members(&pids)).unwrap_or_default();
            let kept = inside.iter().filter(|p| is_kept(p, &self.keep)).map(|p| p.id.pid);
            self.groups.let_out(&kept.collect::<Vec<_>>());
        }
        self.groups.remove();
        self.groups.report()
    }

    /// Notes the child.
    pub fn set_child(&mut self, child: ChildRef) {
        self.child = Some(child);
    }

    /// The child, once it was made.
    pub fn child(&self) -> Option<ChildRef> {
        self.child
    }

    /// Resources of the child, once it was reaped.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Processes that needed SIGKILL so far.
    pub fn killed(&self) -> u32 {
        self.killed.len() as u32
    }

    /// How the child ended; `None` while it runs. Other children that ended are reaped.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn look_at_child(&mut self) -> io::Result<Option<Ended>> {
        let Some(child) = self.child.filter(|_| !self.reaped) else { return Ok(None) };
        if let Some(ended) = reap::peek(child.pid)? {
            return Ok(Some(ended));
        }
        self.reap_orphans()?;
        Ok(None)
    }

    /// What the child did last beside ending, if that was not asked before.
    pub fn take_change(&self) -> Option<reap::Change> {
        let child = self.child.filter(|_| !self.reaped)?;
        // An error means that it has ended, which is looked for elsewhere.
        reap::take_change(child.pid).ok().flatten()
    }

    /// Reaps what ended, except the child. Bounded: what ends during it comes with the next signal.
    fn reap_orphans(&mut self) -> io::Result<()> {
        for _ in 0..4096 {
            match reap::peek_any()? {
                Children::Ended(pid) if self.reaped || self.child.is_none_or(|c| c.pid != pid) => {
                    reap::reap(pid)?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Sends a signal to the child's group, or to its members one by one when some may stay.
    /// Says whether anyone got it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn signal_group(&self, signal: Signal) -> io::Result<bool> {
        let Some(child) = self.child.filter(|_| !self.reaped) else { return Ok(false) };
        if self.keep.is_empty() {
            return signal::send_group(child.pid, signal);
        }
        let mut any = false;
        for process in self.living()?.iter().filter(|p| p.pgid == child.pid && !is_kept(p, &self.keep)) {
            any |= signal::send(process.id, signal).unwrap_or(false);
        }
        Ok(any)
    }

    /// Kills the group and everything below this process that may not stay. To be repeated until
    /// [`Tree::left`] is empty.
    ///
    /// # Errors
    /// What the kernel says when `/proc` cannot be read; the group was killed even then.
    pub fn kill_pass(&mut self) -> io::Result<()> {
        let seen = self.left();
        // First the group in one call: it also catches forks under way. Refused when all of it runs as another user.
        let group = if self.keep.is_empty() { self.signal_group(Signal::KILL) } else { Ok(false) };
        if self.keep.is_empty() {
            // And nobody leaves a group of the kernel's by leaving that of the child.
            self.groups.kill();
        }
        for process in seen? {
            if signal::send(process.id, Signal::KILL).unwrap_or(false) {
                self.killed.insert((process.id.pid, process.id.start_ticks));
            }
        }
        group.map(drop)
    }

    /// Living processes below this one that may not stay; when there are none, those outside the
    /// tree that carry the tag. Reaps orphans that ended.
    ///
    /// # Errors
    /// What the kernel says when `/proc` cannot be read: then it is unknown what is left.
    pub fn left(&mut self) -> io::Result<Vec<ProcStat>> {
        // The kernel's answer spares the common case, where nothing was left, a walk over all processes.
        let below = if reap::has_living_child()? { descendants::of(self.me.pid)? } else { Vec::new() };
        for zombie in below.iter().filter(|p| !p.is_alive() && p.ppid == self.me.pid) {
            if self.child.is_none_or(|c| c.pid != zombie.id.pid) {
                // Our own child by its parent's number; if it was reaped already this is ECHILD.
                let _ = reap::reap(zombie.id.pid);
            }
        }
        let stays = |p: &ProcStat| !p.is_alive() || is_kept(p, &self.keep);
        let mut left: Vec<ProcStat> = below.into_iter().filter(|p| !stays(p)).collect();
        if !self.groups.is_empty() {
            // Whoever is in the child's groups belongs to it, whatever has become of its parents.
            let inside = cgroup::members(&self.groups.processes()?)?;
            left.extend(inside.into_iter().filter(|p| !stays(p)));
            left.sort_unstable_by_key(|p| p.id.pid);
            left.dedup_by_key(|p| p.id.pid);
        }
        if !left.is_empty() || self.tag.is_empty() {
            return Ok(left);
        }
        let tagged = descendants::by_tag_since(&self.tag, self.me)?;
        Ok(tagged.found.into_iter().filter(|p| !stays(p)).collect())
    }

    /// Living processes below this one, whether they may stay or not.
    ///
    /// # Errors
    /// What the kernel says when `/proc` cannot be read.
    pub fn living(&self) -> io::Result<Vec<ProcStat>> {
        Ok(descendants::of(self.me.pid)?.into_iter().filter(ProcStat::is_alive).collect())
    }

    /// Reaps the child and says whether nothing lives below this process any more. That answer is
    /// the kernel's and exact; it is not asked when some may stay.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reap_child(&mut self) -> io::Result<bool> {
        if let Some(child) = self.child.filter(|_| !self.reaped)
            && let Some((_, usage)) = reap::reap(child.pid)?
        {
            self.usage = usage;
            self.reaped = true;
        }
        self.reap_orphans()?;
        Ok(!self.keep.is_empty() || reap::peek_any()? == Children::None)
    }
}

/// Sends a signal to each process given and counts those it reached; one that refuses does not
/// spare the others.
pub fn signal_each(processes: &[ProcStat], signal: Signal) -> u32 {
    processes.iter().filter(|p| signal::send(p.id, signal).unwrap_or(false)).count() as u32
}
