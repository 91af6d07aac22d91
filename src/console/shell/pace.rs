//! When something is due although nothing happened: frames, ages, questions that take long.

use std::time::{Duration, Instant};

use wharf_ui::Msg;
use wharf_ui::overlay::whichkey;
use wharf_ui::screen::ScreenId;

use super::{Ending, Shell};
use crate::clock;

/// Time between two frames, at least.
const FRAME: Duration = Duration::from_millis(16);
/// Time between two frames when the later one answers the operator.
const ANSWER_FRAME: Duration = Duration::from_millis(3);
/// Time between two frames on a slow line.
const SLOW_FRAME: Duration = Duration::from_millis(100);
/// Ages tick so often, and on a slow line or without motion less.
const TICK: Duration = Duration::from_secs(1);
const SLOW_TICK: Duration = Duration::from_secs(5);
/// Time after which an open question shows that it is being read.
const READING: Duration = Duration::from_millis(120);

impl Shell {
    /// How long nothing need be done when nothing happens; none without a limit.
    pub(super) fn patience(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut due: Vec<Instant> = Vec::new();
        if self.dirty {
            due.push(self.drawn_at.map_or(now, |at| at + self.frame()));
        }
        if self.refresh_due {
            due.push(self.refreshed_at.map_or(now, |at| at + self.frame()));
        }
        due.extend(self.retry.due());
        if self.shows_ages() {
            due.push(self.ticked_at + self.tick());
        }
        if let Some((_, false)) = self.app.chord() {
            due.push(self.ticked_at + Duration::from_millis(u64::try_from(whichkey::DELAY_MS).unwrap_or(0)));
        }
        if let Some(at) = self.asked_at {
            due.push(at + READING);
        }
        if let Some(stopping) = &self.stopping {
            due.push(stopping.until);
        }
        due.into_iter().min().map(|at| at.saturating_duration_since(now))
    }

    /// Time between two frames: short for what the operator does, paced for what comes by itself.
    pub(super) const fn frame(&self) -> Duration {
        match (self.lively, self.pressed) {
            (true, true) => ANSWER_FRAME,
            (true, false) => FRAME,
            (false, _) => SLOW_FRAME,
        }
    }

    pub(super) const fn tick(&self) -> Duration {
        if self.lively { TICK } else { SLOW_TICK }
    }

    /// Whether anything on the screen counts time.
    pub(super) fn shows_ages(&self) -> bool {
        !self.app.current().is_empty() || !self.app.toasts.is_empty() || self.app.overlay.is_some()
    }

    /// What is due by now.
    pub(super) fn pass_time(&mut self) {
        let now = Instant::now();
        let reading = self.asked_at.is_some_and(|at| now >= at + READING);
        if reading {
            self.asked_at = None;
        }
        let chord = self.app.chord().is_some_and(|(_, due)| !due);
        let ages = self.shows_ages() && now >= self.ticked_at + self.tick();
        if ages || reading || chord {
            self.ticked_at = now;
            self.tell(Msg::Tick(clock::now()));
        }
        if ages && self.app.screen == ScreenId::Workspaces {
            self.checkouts.look();
        }
        if ages && self.app.screen == ScreenId::Services {
            self.service_looks.look();
        }
        if ages {
            self.live.look();
        }
        self.refresh_due |= self.retry.take(now);
        if self.refresh_due && self.refreshed_at.is_none_or(|at| now >= at + self.frame()) {
            self.refresh_due = false;
            self.refreshed_at = Some(now);
            self.tell(Msg::StoreChanged);
            if let Some(owner) = self.output_shown()
                && self.settled_output != Some(owner)
            {
                self.tell(Msg::OutputGrew(owner));
            }
        }
        if self.stopping.as_ref().is_some_and(|s| now >= s.until) {
            self.ending.get_or_insert(Ending::NotStopped);
        }
    }
}
