//! Who belongs to a child whose shim is gone, although its environment does not say so any more: a
//! program may write over its own, or start others with an empty one.
//!
//! What proves it is the child itself, by number and start time. While it is in the process table its
//! number is that of its group and of no other, so all members of that group are its own; and so is
//! whoever has one of them as its parent. Without it the number of the group may be a stranger's by
//! now: whoever has it then is suspected and never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use wharf_model::shim::ChildRef;

use super::descendants;
use super::stat::ProcStat;

/// The kin of one child. What was proven once stays proven.
#[derive(Debug, Clone)]
pub struct Kin {
    child: ChildRef,
    proven: BTreeSet<Id>,
}

/// Number and start time, in an order.
type Id = (i32, u64);

const fn id(process: &ProcStat) -> Id {
    (process.id.pid, process.id.start_ticks)
}

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Living processes that are proven to belong to the child, itself among them.
    pub ours: Vec<ProcStat>,
    /// Living processes with its group or session, no older than it, of which nothing is proven.
    pub suspects: Vec<ProcStat>,
}

impl Kin {
    /// The kin of a child of this boot: numbers of another one name strangers.
    pub const fn of(child: ChildRef) -> Self {
        Self { child, proven: BTreeSet::new() }
    }

    /// Looks who lives now. This process is never among them.
    ///
    /// # Errors
    /// What the kernel says when `/proc` cannot be read: it is then unknown who lives, not nobody.
    pub fn look(&mut self) -> io::Result<Seen> {
        // A table takes a while to read, and a number may be given to another process meanwhile. Whoever
        // stands in two of them, one read after the other, has lived all the time between.
        let before: BTreeMap<Id, ProcStat> = descendants::all()?.into_iter().map(|p| (id(&p), p)).collect();
        let after = descendants::all()?;
        let me = rustix::process::getpid().as_raw_nonzero().get();
        Ok(self.judge(&before, after.into_iter().filter(|p| p.id.pid != me).collect()))
    }

    fn judge(&mut self, before: &BTreeMap<Id, ProcStat>, after: Vec<ProcStat>) -> Seen {
        let stayed: Vec<&ProcStat> = after.iter().filter(|p| before.contains_key(&id(p))).collect();
        let child = self.child;
        let leader: Id = (child.pid, child.start_ticks);
        if stayed.iter().any(|p| id(p) == leader) {
            self.proven.insert(leader);
        }
        // A zombie keeps its number as well. Beside the leader any proven member keeps that of the group.
        let held = |number_of: fn(&ProcStat) -> i32| {
            stayed.iter().any(|p| {
                let as_before = before.get(&id(p)).is_some_and(|b| number_of(b) == child.pid);
                id(p) == leader || (self.proven.contains(&id(p)) && as_before && number_of(p) == child.pid)
            })
        };
        let group_held = held(|p| p.pgid);
        // A child with a terminal leads a session too; another one is in that of its shim, which is gone.
        let session_held = child.sid == child.pid && held(|p| p.sid);
        for process in &after {
            if (group_held && process.pgid == child.pid) || (session_held && process.sid == child.pid) {
                self.proven.insert(id(process));
            }
        }
        // Children of those that lived all the time, and theirs; each pass finds one generation.
        let mut found = true;
        while found {
            let parents: BTreeSet<i32> =
                stayed.iter().filter(|p| self.proven.contains(&id(p))).map(|p| p.id.pid).collect();
            let children: Vec<Id> = stayed
                .iter()
                .filter(|p| parents.contains(&p.ppid) && before.get(&id(p)).is_some_and(|b| b.ppid == p.ppid))
                .map(|p| id(p))
                .filter(|one| !self.proven.contains(one))
                .collect();
            found = !children.is_empty();
            self.proven.extend(children);
        }
        let mut seen = Seen::default();
        for process in after.into_iter().filter(ProcStat::is_alive) {
            let alike = process.pgid == child.pid || process.sid == child.pid || process.sid == child.sid;
            if self.proven.contains(&id(&process)) {
                seen.ours.push(process);
            } else if alike && process.id.start_ticks >= child.start_ticks {
                seen.suspects.push(process);
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::shim::ProcessRef;

    use super::*;

    const CHILD: ChildRef = ChildRef { pid: 100, start_ticks: 1_000, pgid: 100, sid: 90 };

    fn process(pid: i32, start_ticks: u64, ppid: i32, pgid: i32, sid: i32) -> ProcStat {
        ProcStat { id: ProcessRef { pid, start_ticks }, comm: "it".into(), state: 'S', ppid, pgid, sid }
    }

    fn look(kin: &mut Kin, before: &[ProcStat], after: &[ProcStat]) -> (Vec<i32>, Vec<i32>) {
        let seen = kin.judge(&before.iter().map(|p| (id(p), p.clone())).collect(), after.to_vec());
        let numbers = |all: Vec<ProcStat>| all.iter().map(|p| p.id.pid).collect();
        (numbers(seen.ours), numbers(seen.suspects))
    }

    #[test]
    fn a_group_is_ours_while_its_leader_or_a_proven_member_is_there() {
        let (leader, member) = (process(100, 1_000, 1, 100, 90), process(101, 1_001, 1, 100, 90));
        let mut kin = Kin::of(CHILD);
        let both = [leader.clone(), member.clone()];
        assert_eq!(look(&mut kin, &both, &both), (vec![100, 101], vec![]));
        // The leader is gone, the one that was proven keeps the group's number: one that is forked now is ours.
        let late = process(102, 1_002, 1, 100, 90);
        assert_eq!(look(&mut kin, &both, &[member.clone(), late]), (vec![101, 102], vec![]));
        // Nobody stayed: whoever has the number now may be a stranger.
        let stranger = process(103, 1_003, 1, 100, 90);
        assert_eq!(look(&mut kin, &both, std::slice::from_ref(&stranger)), (vec![], vec![103]));

        let mut kin = Kin::of(CHILD);
        assert_eq!(look(&mut kin, std::slice::from_ref(&member), std::slice::from_ref(&member)), (vec![], vec![101]));
        let dead = ProcStat { state: 'Z', ..leader };
        assert_eq!(
            look(&mut kin, &[dead.clone(), member.clone()], &[dead, member]),
            (vec![101], vec![]),
            "a zombie keeps its number, and needs no end"
        );
    }

    #[test]
    fn a_later_process_with_the_number_proves_nothing() {
        let reused = process(100, 5_000, 1, 100, 90);
        let of_it = process(104, 5_001, 100, 100, 90);
        let old = process(80, 10, 1, 80, 90);
        let all = [reused, of_it, old];
        assert_eq!(
            look(&mut Kin::of(CHILD), &all, &all),
            (vec![], vec![100, 104]),
            "older ones are not even suspected"
        );
    }

    #[test]
    fn children_of_ours_are_ours_wherever_they_went() {
        let leader = process(100, 1_000, 1, 100, 90);
        let far = process(105, 1_005, 100, 105, 105);
        let farther = process(106, 1_006, 105, 106, 106);
        let mut kin = Kin::of(CHILD);
        let all = [farther.clone(), far.clone(), leader.clone()];
        assert_eq!(look(&mut kin, &all, &all), (vec![106, 105, 100], vec![]));
        // Orphaned, they are still the ones that were proven; what they start is theirs.
        let new = process(107, 1_007, 106, 107, 107);
        let all = [farther, new];
        assert_eq!(look(&mut kin, &all, &all), (vec![106, 107], vec![]));
        // A parent that was not there all the time may be a stranger with its number.
        let mut kin = Kin::of(CHILD);
        let stray = process(108, 1_008, 105, 108, 108);
        assert_eq!(look(&mut kin, &[leader.clone(), stray.clone()], &[leader, far, stray]).0, [100]);
    }

    #[test]
    fn a_session_is_ours_when_the_child_leads_it() {
        let child = ChildRef { sid: 100, ..CHILD };
        let (leader, job) = (process(100, 1_000, 1, 100, 100), process(109, 1_009, 1, 109, 100));
        let both = [leader, job.clone()];
        assert_eq!(look(&mut Kin::of(child), &both, &both), (vec![100, 109], vec![]));
        let alone = std::slice::from_ref(&job);
        assert_eq!(look(&mut Kin::of(child), alone, alone), (vec![], vec![109]));
        // The session of a shim that is gone is no proof.
        let other = process(110, 1_010, 1, 110, 90);
        let both = [process(100, 1_000, 1, 100, 90), other];
        assert_eq!(look(&mut Kin::of(CHILD), &both, &both), (vec![100], vec![110]));
    }
}
