//! From the child's pipes into the log: bytes as they come, one frame for each read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::fcntl_getpipe_size;
use serde_json::json;
use wharf_model::shim::{OnFull, OnQuota, Spec, StreamEnd};
use wharf_store::log::{FLAG_GAP, FLAG_REDACTED, PAYLOAD_MAX, Stream};

use super::journal::{Journal, Taken};
use super::redact::{Redactor, Secrets};
use crate::process::kill_point::kill_point;

/// Bytes read at once when there are secrets to search for: the search keeps copies.
const READ_WITH_SECRETS: usize = 64 * 1024;

/// Reads of one source before held bytes are looked at again in the next turn.
const READS_BEFORE_RELEASE: usize = 16;
/// Bytes that a stream without a size of its own holds at most: a terminal holds far less.
const CAPACITY_MAX: u64 = 1 << 20;

/// Smallest segment of the newest output.
const SEGMENT_MIN: u64 = 4 * 1024;
/// Largest one: as any other.
const SEGMENT_MAX: u64 = 64 << 20;

/// Why bytes are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The log's quota is used up.
    Quota,
    /// The disk stayed full, or the spec says to drop then.
    DiskFull,
    /// Somebody outside the tree writes without end.
    GivenUp,
}

impl Missed {
    fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::DiskFull => "disk_full",
            Self::GivenUp => "given_up",
        }
    }
}

#[derive(Debug)]
struct Source {
    stream: Stream,
    pipe: Option<File>,
    redactor: Redactor,
    missed: Option<(u64, Missed)>,
    /// Bytes read since [`Pump::count_from_now`], kept or not.
    read: u64,
}

/// A frame that the disk refused; its bytes stay in their buffer.
#[derive(Debug, Clone, Copy)]
struct Pending {
    source: usize,
    flags: u8,
    bytes: usize,
}

/// Most bytes of input to a terminal that are kept in the log; what follows is counted.
const INPUT_KEPT_MAX: u64 = 16 << 20;

/// The child's streams: both outputs, or its terminal and what is typed into it.
#[derive(Debug)]
pub struct Pump {
    sources: [Source; 2],
    secrets: Secrets,
    /// What was read.
    raw: Vec<u8>,
    /// What the redactor gave out; unused without secrets.
    clean: Vec<u8>,
    pending: Option<Pending>,
    quota: Option<u64>,
    /// Size of the reads once only the newest output is kept: several make a segment.
    newest: Option<usize>,
    on_quota: OnQuota,
    on_full: OnFull,
    discarding: Option<Missed>,
    first_frame: bool,
}

impl Pump {
    /// A pump without pipes yet.
    pub fn new(spec: &Spec, secrets: Secrets) -> Self {
        let size = if secrets.is_empty() { PAYLOAD_MAX } else { READ_WITH_SECRETS };
        let source = |stream| Source { stream, pipe: None, redactor: Redactor::default(), missed: None, read: 0 };
        Self {
            sources: match spec.tty {
                None => [source(Stream::Stdout), source(Stream::Stderr)],
                Some(_) => [source(Stream::Terminal), source(Stream::Input)],
            },
            secrets,
            // Zeroed pages are not touched before a read fills them.
            raw: vec![0; size],
            clean: Vec::new(),
            pending: None,
            quota: spec.log.quota_bytes,
            newest: None,
            on_quota: spec.log.on_quota,
            on_full: spec.log.on_full,
            discarding: None,
            first_frame: true,
        }
    }

    /// Attaches the pipes, or the terminal in place of the first.
    pub fn attach(&mut self, stdout: OwnedFd, stderr: Option<OwnedFd>) {
        self.sources[0].pipe = Some(stdout.into());
        self.sources[1].pipe = stderr.map(Into::into);
    }

    /// Records what was typed into the terminal; with `hidden` only how much. What cannot be kept now is
    /// counted as a gap: typing never waits for the disk.
    pub fn record_input(&mut self, bytes: &[u8], hidden: bool, journal: &mut Journal, now: u64) {
        const INPUT: usize = 1;
        if self.sources[INPUT].stream != Stream::Input || bytes.len() > self.raw.len() {
            return;
        }
        if self.pending.is_some() || journal.is_blocked() {
            self.miss(INPUT, bytes.len(), Missed::DiskFull);
        } else if let Some(why) = self.discarding {
            self.miss(INPUT, bytes.len(), why);
        } else if journal.kept(Stream::Input) + bytes.len() as u64 > INPUT_KEPT_MAX {
            self.miss(INPUT, bytes.len(), Missed::Quota);
        } else if self.secrets.is_empty() {
            self.raw[..bytes.len()].copy_from_slice(bytes);
            if hidden {
                self.raw[..bytes.len()].fill(b'*');
            }
            self.keep(INPUT, if hidden { FLAG_REDACTED } else { 0 }, bytes.len(), journal);
        } else {
            let stars = vec![b'*'; if hidden { bytes.len() } else { 0 }];
            let shown = if hidden { &stars } else { bytes };
            let Self { sources, secrets, clean, .. } = self;
            let hit = sources[INPUT].redactor.push(secrets, shown, now, clean);
            self.keep(INPUT, if hit || hidden { FLAG_REDACTED } else { 0 }, self.clean.len(), journal);
        }
    }

    /// Whether the first stream has reached its end.
    pub fn has_ended(&self) -> bool {
        self.sources[0].pipe.is_none()
    }

    /// Streams that the child writes.
    pub fn outputs(&self) -> impl Iterator<Item = Stream> + '_ {
        self.sources.iter().map(|s| s.stream).filter(|s| *s != Stream::Input)
    }

    /// The secrets of the run.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Pipe of a source, when it should be read now.
    pub fn wanted(&self, source: usize, journal: &Journal) -> Option<BorrowedFd<'_>> {
        let pipe = self.sources[source].pipe.as_ref()?;
        // While the disk refuses, one more read may be held: without it the end of a stream would
        // not be seen behind a record that waits for room.
        let waits = self.discarding.is_none()
            && (self.pending.is_some() || (self.is_at_quota(journal) && self.on_quota == OnQuota::Block));
        (!waits).then(|| pipe.as_fd())
    }

    /// Reads once from a source and appends what came; says whether anything did, or the end. Never waits.
    pub fn read(&mut self, source: usize, journal: &mut Journal, now: u64) -> bool {
        if self.wanted(source, journal).is_none() {
            return false;
        }
        self.keep_newest(journal);
        let room = match (self.quota, self.discarding) {
            (Some(_), None) if self.newest.is_some() => self.newest.unwrap_or(1).min(self.raw.len()),
            (Some(quota), None) => {
                let quota = if self.on_quota == OnQuota::HeadTail { quota / 2 } else { quota };
                let held: usize = self.sources.iter().map(|s| s.redactor.held()).sum();
                let used = kept(journal) + held as u64;
                // At the quota with a policy that does not block, what comes is counted and gone;
                // asking for one byte keeps the end of the stream visible.
                usize::try_from(quota.saturating_sub(used)).unwrap_or(usize::MAX).clamp(1, self.raw.len())
            }
            _ => self.raw.len(),
        };
        let over = self.discarding.is_none() && self.is_at_quota(journal);
        let Some(pipe) = self.sources[source].pipe.as_mut() else { return false };
        let count = match pipe.read(&mut self.raw[..room]) {
            Ok(count) => count,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return false,
            // A pipe has no other errors, and a terminal that nobody has open says EIO: that is its end.
            Err(_) => 0,
        };
        self.sources[source].read += count as u64;
        if count == 0 {
            self.sources[source].pipe = None;
            self.release(source, journal);
        } else if let Some(why) = self.discarding {
            self.miss(source, count, why);
        } else if over {
            self.miss(source, count, Missed::Quota);
        } else if self.secrets.is_empty() {
            self.keep(source, 0, count, journal);
        } else {
            let Self { sources, secrets, raw, clean, .. } = self;
            let hit = sources[source].redactor.push(secrets, &raw[..count], now, clean);
            self.keep(source, if hit { FLAG_REDACTED } else { 0 }, self.clean.len(), journal);
        }
        true
    }

    /// Once the head of the log is full, has only the newest output kept behind it.
    fn keep_newest(&mut self, journal: &mut Journal) {
        let Some(quota) = self.quota.filter(|_| self.on_quota == OnQuota::HeadTail && self.newest.is_none()) else {
            return;
        };
        if kept(journal) >= quota / 2 {
            let segment = (quota / 8).clamp(SEGMENT_MIN, SEGMENT_MAX);
            journal.keep_newest(segment, quota / 2);
            self.newest = Some(usize::try_from(segment / 4).unwrap_or(usize::MAX));
        }
    }

    /// Gives out bytes that were held back for long enough, unless what follows them is there to be read:
    /// it is this process that may have been slow, and not the child.
    pub fn release_due(&mut self, journal: &mut Journal, now: u64) {
        for source in 0..self.sources.len() {
            let mut reads = 0;
            while self.is_due(source, journal, now) {
                if self.sources[source].pipe.is_none() {
                    self.release(source, journal);
                } else if self.wanted(source, journal).is_none() || reads == READS_BEFORE_RELEASE {
                    break;
                } else if !self.read(source, journal, now) && self.pending.is_none() {
                    self.release(source, journal);
                }
                reads += 1;
            }
        }
    }

    fn is_due(&self, source: usize, journal: &Journal, now: u64) -> bool {
        self.pending.is_none()
            && !journal.is_blocked()
            && self.sources[source].redactor.due_ns().is_some_and(|due| now >= due)
    }

    /// When [`Pump::release_due`] has something to do next.
    pub fn next_due(&self, journal: &Journal) -> Option<u64> {
        if self.pending.is_some() {
            return None;
        }
        // What follows cannot be read at the quota, and so cannot be told from nothing.
        let may_go = |source: &usize| self.sources[*source].pipe.is_none() || self.wanted(*source, journal).is_some();
        (0..self.sources.len()).filter(may_go).filter_map(|source| self.sources[source].redactor.due_ns()).min()
    }

    /// Tries the refused frame again, then records what was missed meanwhile. Only right after a
    /// retry of the journal began.
    pub fn retry(&mut self, journal: &mut Journal) {
        if let Some(Pending { source, flags, bytes }) = self.pending {
            let buffer = if self.secrets.is_empty() { &self.raw } else { &self.clean };
            if journal.retry_data(self.sources[source].stream, flags, &buffer[..bytes]) == Taken::NotNow {
                return;
            }
            self.pending = None;
        }
    }

    /// Records what was not kept as gap frames; says whether all are in the log. Also gives out
    /// held bytes of streams that have ended.
    pub fn record_gaps(&mut self, journal: &mut Journal) -> bool {
        for source in 0..self.sources.len() {
            if self.pending.is_none() && self.sources[source].pipe.is_none() && !journal.is_blocked() {
                self.release(source, journal);
            }
            let one = &mut self.sources[source];
            let Some((bytes, why)) = one.missed else { continue };
            let payload = json!({"bytes": bytes, "reason": why.as_str()}).to_string();
            if journal.data(one.stream, FLAG_GAP, payload.as_bytes()) == Taken::NotNow {
                return false;
            }
            one.missed = None;
        }
        self.pending.is_none()
    }

    /// From now on reads and counts without keeping: so that the child's end is not held up.
    pub fn discard(&mut self, why: Missed) {
        if self.discarding.is_some() {
            return;
        }
        self.discarding = Some(why);
        if let Some(Pending { source, bytes, .. }) = self.pending.take() {
            self.miss(source, bytes, why);
        }
    }

    /// Whether bytes are read and not kept.
    pub fn is_discarding(&self) -> bool {
        self.discarding.is_some()
    }

    /// Whether the quota is used up. It never is where old output makes room for new.
    pub fn is_at_quota(&self, journal: &Journal) -> bool {
        self.on_quota != OnQuota::HeadTail && self.quota.is_some_and(|quota| kept(journal) >= quota)
    }

    /// Whether both streams have ended and all their bytes are in the log or counted.
    pub fn is_finished(&self) -> bool {
        self.pending.is_none() && self.sources.iter().all(|s| s.pipe.is_none() && s.redactor.held() == 0)
    }

    /// Whether a frame waits for the disk.
    pub fn has_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether a stream is open although nothing is there to be read: someone holds it.
    pub fn is_held_open(&self) -> bool {
        let open = self.sources.iter().filter_map(|s| s.pipe.as_ref());
        let mut any = false;
        for pipe in open {
            any = true;
            if !is_silent(pipe) {
                return false;
            }
        }
        any
    }

    /// Counts what is read from now on, for [`Pump::is_flooded`].
    pub fn count_from_now(&mut self) {
        for source in &mut self.sources {
            source.read = 0;
        }
    }

    /// Whether nothing can be unread of what was written before [`Pump::count_from_now`], although streams
    /// do not end: more than a pipe can hold was read of each since, or there is nothing in it.
    pub fn is_flooded(&self) -> bool {
        let is_past = |source: &Source| {
            let Some(pipe) = &source.pipe else { return true };
            let capacity = fcntl_getpipe_size(pipe).map_or(CAPACITY_MAX, |bytes| bytes as u64);
            source.read > capacity || is_silent(pipe)
        };
        self.sources.iter().all(is_past)
    }

    /// Gives up on streams that are held open from outside. Their held bytes are given out, unless something is left
    /// unread behind them: they may begin a secret that goes on there, and all of it is declared as a gap.
    pub fn abandon(&mut self, journal: &mut Journal) -> [bool; 2] {
        let closed = self.closed();
        for source in 0..self.sources.len() {
            let unread = self.sources[source].pipe.take().and_then(|pipe| rustix::io::ioctl_fionread(pipe).ok());
            if let Some(bytes) = unread.and_then(|bytes| usize::try_from(bytes).ok()).filter(|bytes| *bytes > 0) {
                let held = std::mem::take(&mut self.sources[source].redactor).held();
                self.miss(source, bytes.saturating_add(held), Missed::GivenUp);
            } else if self.pending.is_none() {
                self.release(source, journal);
            }
        }
        closed
    }

    /// Whether each stream has reached its end.
    pub fn closed(&self) -> [bool; 2] {
        [self.sources[0].pipe.is_none(), self.sources[1].pipe.is_none()]
    }

    /// Facts for the exit frame; `closed` as it was before streams were given up.
    pub fn ends(&self, journal: &Journal, closed: [bool; 2]) -> std::collections::BTreeMap<String, StreamEnd> {
        let end = |(source, closed): (&Source, bool)| {
            (source.stream.name().to_owned(), StreamEnd { bytes: journal.kept(source.stream), closed })
        };
        self.sources.iter().zip(closed).filter(|(s, _)| s.stream != Stream::Input).map(end).collect()
    }

    fn release(&mut self, source: usize, journal: &mut Journal) {
        let Self { sources, secrets, clean, .. } = self;
        if sources[source].redactor.held() > 0 {
            let hit = sources[source].redactor.flush(secrets, clean);
            self.keep(source, if hit { FLAG_REDACTED } else { 0 }, self.clean.len(), journal);
        }
    }

    fn keep(&mut self, source: usize, flags: u8, bytes: usize, journal: &mut Journal) {
        if bytes == 0 {
            return;
        }
        if let Some(why) = self.discarding {
            self.miss(source, bytes, why);
            return;
        }
        // Bytes that were dropped while the disk was full come before these.
        if self.sources[source].missed.is_some() && !journal.is_blocked() {
            self.record_gap_of(source, journal);
        }
        let buffer = if self.secrets.is_empty() { &self.raw } else { &self.clean };
        match journal.data(self.sources[source].stream, flags, &buffer[..bytes]) {
            Taken::Yes => {
                if std::mem::take(&mut self.first_frame) {
                    kill_point("shim.first_frame");
                }
            }
            Taken::NotNow if self.on_full == OnFull::Drop => self.miss(source, bytes, Missed::DiskFull),
            Taken::NotNow => self.pending = Some(Pending { source, flags, bytes }),
        }
    }

    fn record_gap_of(&mut self, source: usize, journal: &mut Journal) {
        let one = &mut self.sources[source];
        if let Some((bytes, why)) = one.missed {
            let payload = json!({"bytes": bytes, "reason": why.as_str()}).to_string();
            if journal.data(one.stream, FLAG_GAP, payload.as_bytes()) == Taken::Yes {
                one.missed = None;
            }
        }
    }

    fn miss(&mut self, source: usize, bytes: usize, why: Missed) {
        let missed = &mut self.sources[source].missed;
        *missed = Some((missed.map_or(0, |(before, _)| before) + bytes as u64, why));
    }
}

/// Whether a pipe is open and nothing is there to be read.
fn is_silent(pipe: &File) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::IN)];
    let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
    !poll(&mut fds, Some(&nothing)).is_ok_and(|ready| ready > 0)
}

fn kept(journal: &Journal) -> u64 {
    [Stream::Stdout, Stream::Stderr, Stream::Terminal].iter().map(|s| journal.kept(*s)).sum()
}

/// Bytes on their way to the child's standard input.
#[derive(Debug)]
pub struct Feed {
    pipe: File,
    bytes: Vec<u8>,
    at: usize,
}

impl Feed {
    /// Begins to feed `bytes`; the pipe is closed behind them.
    pub fn new(pipe: OwnedFd, bytes: Vec<u8>) -> Self {
        Self { pipe: pipe.into(), bytes, at: 0 }
    }

    /// Writes what fits; says whether more is to come. A child that closed its input gets no more.
    pub fn write(&mut self) -> bool {
        while self.at < self.bytes.len() {
            match self.pipe.write(&self.bytes[self.at..]) {
                Ok(count) => self.at += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }
}

impl AsFd for Feed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests;
