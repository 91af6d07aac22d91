//! The exit frame: once it is durable the end is the truth, whatever happens to this process.

use serde_json::json;
use wharf_model::shim::{ControlReply, EndedBy, ExitFrame, OomEvidence, SpawnError, StopReport, Usage};

use super::clock;
use super::journal::Taken;
use super::pump::Missed;
use super::start::EXIT_UNRECORDED;
use super::stop::comms;
use super::{Life, Shim};
use crate::process::cgroup::Since;
use crate::process::kill_point::kill_point;
use crate::process::shim_dir::{names, replace_file};
use crate::process::signal;
use crate::process::terminate::is_kept;
use wharf_store::log::Stream;

/// Time that an exit frame may wait for a disk that takes nothing at all.
const RECORD_LIMIT_NS: u64 = clock::ms(24 * 3_600_000);

/// Time that the very last bytes may hold up the exit frame.
const LAST_BYTES_NS: u64 = clock::ms(60_000);

/// An end on its way to the disk.
#[derive(Debug)]
pub struct Recording {
    frame: ExitFrame,
    since: u64,
    next_try: u64,
}

impl Recording {
    /// When the next try is due.
    pub fn next_due(&self) -> u64 {
        self.next_try
    }
}

impl Shim {
    /// Puts the exit frame together; nothing lives any more.
    pub(super) fn begin_record(&mut self, now: u64) {
        let Life::Clearing(clearing) = &self.life else { return };
        let (ended, ended_ms, left_asked_ms) = (clearing.ended, clearing.ended_ms, clearing.asked_ms());
        let closed = self.pump.abandon(&mut self.journal);
        // Closing it hangs up on whoever still has it from outside the tree.
        self.terminal = None;
        let mut survivors = std::mem::take(&mut self.survivors);
        if !self.spec.keep.is_empty()
            && let Ok(living) = self.tree.living()
        {
            let kept: Vec<_> = living.into_iter().filter(|p| is_kept(p, &self.spec.keep)).collect();
            survivors.extend(comms(&kept));
        }
        let killed = self.tree.killed();
        let delivered_by = self.stop.as_ref().filter(|stop| stop.delivered).map(|stop| stop.by);
        let stop = match self.stop.take() {
            Some(stop) => Some(StopReport {
                reason: stop.reason,
                asked_ms: stop.asked_ms,
                delivered: stop.delivered,
                killed,
                survivors,
            }),
            // Nobody asked, but something was left behind and had to be ended, or stays on purpose.
            None if left_asked_ms.is_some() || killed > 0 || !survivors.is_empty() => Some(StopReport {
                reason: "leftover".to_owned(),
                asked_ms: left_asked_ms.unwrap_or(ended_ms),
                delivered: false,
                killed,
                survivors,
            }),
            None => None,
        };
        let by = delivered_by.unwrap_or(EndedBy::Itself);
        let killed_from_outside = ended.signal == Some(signal::Signal::KILL.as_raw()) && by == EndedBy::Itself;
        // Before its groups go, which are the ones that know.
        let evidence = if killed_from_outside { self.memory_ran_out() } else { None };
        let frame = ExitFrame {
            t: "exit".to_owned(),
            v: 1,
            code: ended.code,
            signal: ended.signal.map(signal::name),
            core: ended.core,
            by,
            stop,
            streams: self.pump.ends(&self.journal, closed),
            leaky: self.leaky,
            started_ms: self.started_ms.unwrap_or(ended_ms),
            ended_ms,
            rusage: self.tree.usage(),
            oom: evidence.is_some(),
            oom_evidence: evidence,
            limits: self.tree.end_groups(),
            spawn_error: None,
            sync_failed: None,
        };
        self.life = Life::Recording(Box::new(Recording { frame, since: now, next_try: now }));
    }

    /// Whether the kernel killed the child for want of memory, and how that is known. Its own groups
    /// count its own processes; without any, that somebody near was killed too is all there is.
    fn memory_ran_out(&self) -> Option<OomEvidence> {
        if let Some(kills) = self.tree.groups().oom_kills() {
            return (kills > 0).then_some(OomEvidence::OwnGroup);
        }
        match self.surroundings.since() {
            Since::Nobody => None,
            Since::Near => Some(OomEvidence::EnclosingGroup),
            Since::Somebody => Some(OomEvidence::Machine),
        }
    }

    /// Puts the exit frame of a child that never ran together.
    pub(super) fn begin_refusal(&mut self, error: SpawnError) {
        let now = clock::awake_ns();
        let mut frame = refusal(error, self.pump.ends(&self.journal, [true, true]));
        frame.limits = self.tree.end_groups();
        self.life = Life::Recording(Box::new(Recording { frame, since: now, next_try: now }));
    }

    /// Writes the exit frame behind everything that waits; tries again while the disk refuses.
    pub(super) fn tick_recording(&mut self, now: u64) {
        let Life::Recording(recording) = &mut self.life else { return };
        if now < recording.next_try {
            return;
        }
        recording.next_try = now + clock::ms(100);
        let waited = now.saturating_sub(recording.since);
        if self.journal.is_blocked() {
            if waited > RECORD_LIMIT_NS {
                self.life = Life::Over(EXIT_UNRECORDED);
            } else if waited > LAST_BYTES_NS && self.pump.has_pending() {
                // More than the reserve can hold: counted as missed, so that the end fits.
                self.pump.discard(Missed::DiskFull);
            }
            return;
        }
        if !self.pump.record_gaps(&mut self.journal) {
            return;
        }
        let Life::Recording(recording) = &mut self.life else { return };
        for (name, end) in &mut recording.frame.streams {
            if let Some(stream) = Stream::ALL.into_iter().find(|s| s.name() == name) {
                end.bytes = self.journal.kept(stream);
            }
        }
        recording.frame.sync_failed = self.journal.sync_failed();
        let Ok(mut payload) = serde_json::to_vec(&recording.frame) else {
            self.life = Life::Over(EXIT_UNRECORDED);
            return;
        };
        if self.journal.data(Stream::Control, 0, &payload) == Taken::NotNow {
            return;
        }
        kill_point("shim.exit_frame_written");
        self.journal.sync();
        kill_point("shim.exit_synced");
        let mut frame = recording.frame.clone();
        let mut status = 0;
        if let Some(message) = self.journal.sync_failed().filter(|_| frame.sync_failed.is_none()) {
            // It was this very sync: the end is said once more, as one that is not durable. The last frame counts.
            frame.sync_failed = Some(message);
            status = EXIT_UNRECORDED;
            payload = serde_json::to_vec(&frame).unwrap_or(payload);
            let _ = self.journal.data(Stream::Control, 0, &payload);
        }
        // A copy for people; the frame is the truth, so a failure here changes nothing.
        let _ = replace_file(self.keeper_dir(), names::EXIT, &payload, false);
        kill_point("shim.exit_json");
        self.agents = None;
        self.push(&ControlReply::Exited { exit: Box::new(frame) });
        self.life = Life::Over(status);
    }
}

/// The end of a child that never ran.
pub(super) fn refusal(
    error: SpawnError,
    streams: std::collections::BTreeMap<String, wharf_model::shim::StreamEnd>,
) -> ExitFrame {
    let now = clock::wall_ms();
    ExitFrame {
        t: "exit".to_owned(),
        v: 1,
        code: None,
        signal: None,
        core: false,
        by: EndedBy::Itself,
        stop: None,
        streams,
        leaky: false,
        started_ms: now,
        ended_ms: now,
        rusage: Usage::default(),
        oom: false,
        oom_evidence: None,
        limits: None,
        spawn_error: Some(error),
        sync_failed: None,
    }
}

/// Leaves only the copy of an exit frame, when there is no log to write it to.
pub(super) fn write_copy_only(dir: &std::path::Path, error: SpawnError) -> bool {
    let frame = refusal(error, std::collections::BTreeMap::new());
    let _ = std::fs::remove_file(dir.join(names::RESERVE));
    let payload = json!(frame).to_string();
    replace_file(dir, names::EXIT, payload.as_bytes(), true).is_ok()
}
