//! One turn of the shim's loop: waiting for what is ready or due, and serving it.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_model::shim::EndedBy;

use super::pump::Feed;
use super::{Life, Shim, clock};

/// Time in which watchers must have taken the news of the end.
const FAREWELL_NS: u64 = clock::ms(1_000);

/// Place of the signal file among the polled descriptors.
const SIGNALS: usize = 0;

/// Which polled descriptor is which.
#[derive(Debug, Default)]
struct Plan {
    sources: [Option<usize>; 2],
    feed: Option<usize>,
    terminal: Option<usize>,
    control: usize,
    agents: usize,
}

impl Shim {
    /// Waits until something is ready or due, and serves what is ready.
    pub(super) fn wait_and_serve(&mut self, now: u64) {
        let (ready, plan) = {
            let mut plan = Plan::default();
            let mut fds = vec![PollFd::from_borrowed_fd(self.keeper.signals.as_fd(), PollFlags::IN)];
            for source in 0..2 {
                if let Some(fd) = self.pump.wanted(source, &self.journal) {
                    plan.sources[source] = Some(fds.len());
                    fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                }
            }
            if let Some(feed) = &self.feed {
                plan.feed = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(feed.as_fd(), PollFlags::OUT));
            }
            if let Some(terminal) = self.terminal.as_ref().filter(|t| t.has_waiting()) {
                plan.terminal = Some(fds.len());
                fds.push(PollFd::from_borrowed_fd(terminal.as_fd(), PollFlags::OUT));
            }
            plan.control = fds.len();
            fds.extend(self.control.poll_set().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
            plan.agents = fds.len();
            if let Some(desk) = &self.agents {
                fds.extend(desk.server.poll_set().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
            }
            let wait = self.next_due(now).map(|due| {
                let left = due.saturating_sub(now);
                Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 }
            });
            match poll(&mut fds, wait.as_ref()) {
                Ok(_) => (fds.iter().map(PollFd::revents).collect::<Vec<_>>(), plan),
                // Interrupted, or the kernel is short of memory: the next turn asks again.
                Err(_) => return,
            }
        };
        self.serve(&ready, &plan);
    }

    fn serve(&mut self, ready: &[PollFlags], plan: &Plan) {
        let is_ready = |index: Option<usize>| index.is_some_and(|i| !ready[i].is_empty());
        if is_ready(Some(SIGNALS)) {
            let arrived = self.keeper.signals.take();
            if arrived.child {
                self.look_for_halt();
                if let Life::Clearing(clearing) = &mut self.life {
                    clearing.look_now();
                }
            }
            if arrived.terminate {
                self.ask_stop("shim_terminated", self.spec.grace_ms, EndedBy::Stop);
            }
        }
        let now = clock::awake_ns();
        for source in 0..2 {
            if is_ready(plan.sources[source]) {
                self.pump.read(source, &mut self.journal, now);
            }
        }
        if is_ready(plan.feed) && !self.feed.as_mut().is_some_and(Feed::write) {
            self.feed = None;
        }
        if is_ready(plan.terminal)
            && let Some(terminal) = &mut self.terminal
        {
            terminal.write();
            if ready[plan.terminal.unwrap_or(SIGNALS)].intersects(PollFlags::HUP) {
                terminal.drop_waiting();
            }
        }
        self.control.serve(&ready[plan.control..plan.agents]);
        self.answer_control();
        if let Some(desk) = &mut self.agents {
            desk.server.serve(&ready[plan.agents..]);
            self.answer_agents();
        }
    }

    fn next_due(&self, now: u64) -> Option<u64> {
        let life = match &self.life {
            Life::Running => self.running_due(),
            Life::Clearing(_) => self.clearing_due(now),
            Life::Recording(recording) => Some(recording.next_due()),
            Life::Starting | Life::Over(_) => Some(now),
        };
        let agents = self.agents.as_ref().and_then(|desk| desk.server.next_due());
        // Held bytes cannot go while the disk refuses; its next try is the time to look again.
        let pump = self.pump.next_due(&self.journal).filter(|_| !self.journal.is_blocked());
        [life, self.journal.next_due(), pump, self.control.next_due(), agents].into_iter().flatten().min()
    }

    /// Lets watchers take the news of the end, for a bounded time.
    pub(super) fn farewell(&mut self) {
        let end = clock::awake_ns() + FAREWELL_NS;
        loop {
            let now = clock::awake_ns();
            self.control.sweep(now);
            if !self.control.is_talking() || now >= end {
                return;
            }
            let ready: Vec<PollFlags> = {
                let mut fds: Vec<PollFd<'_>> = self
                    .control
                    .poll_set()
                    .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags & PollFlags::OUT))
                    .collect();
                let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                if poll(&mut fds, Some(&wait)).is_err() {
                    continue;
                }
                fds.iter().map(PollFd::revents).collect()
            };
            self.control.serve(&ready);
        }
    }
}
