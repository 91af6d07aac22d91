//! Lines of logs for the panes: never more than is asked for, from a few logs kept open.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_model::{Kind, RunId, RunStatus, UnixMillis};
use wharf_store::log::{Anchor, Gap, Line, LineKey, LogError, LogLines, Stream as Source, StreamSet, Window};
use wharf_store::{Reader, StoreError};
use wharf_ui::effect::{LinePlace, Owner, Position, Question, Streams};
use wharf_ui::msg::Answer;
use wharf_ui::rows::{Counted, OutputLine, OutputLines, OutputNote, OutputState, SearchHits, Stream};
use wharf_ui::{ansi, format};

use super::live::Growth;
use crate::dispatch::perform::shim_dir;
use crate::once_there::once_there;
use crate::why;

/// Logs kept open by each thread.
const OPEN_MAX: usize = 4;
/// Bytes of a line that are shown; the rest is in the file.
const LINE_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a log that are counted between two looks at the clock; as many are counted before an
/// answer is given, so that a small log is known as a whole at once.
const COUNT_BYTES: u64 = 256 * 1024;
/// How long lines are counted for one answer: others wait meanwhile.
const COUNT_LIMIT: Duration = Duration::from_millis(10);
/// The same for a jump to a line that is not counted yet.
const JUMP_LIMIT: Duration = Duration::from_millis(100);
/// Logs from this size on keep their line counts in `cache/`.
const CACHE_FROM_BYTES: u64 = 4 << 20;
/// Lines of one step of a search, and how long it may take altogether.
const SEARCH_LINES: usize = 2_000;
const SEARCH_LIMIT: Duration = Duration::from_secs(5);

/// Where logs lie, and who watches them grow.
#[derive(Clone)]
pub struct Outputs {
    /// Data directory.
    pub data: PathBuf,
    /// Watches the log on the screen.
    pub growth: Growth,
}

/// A log and what has become of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Directory of the log.
    pub dir: PathBuf,
    /// What it is called: `R-12`.
    pub name: String,
    /// Something may still be printed.
    pub live: bool,
    /// What has become of it.
    pub state: OutputState,
    /// When its process began.
    pub started_at: Option<UnixMillis>,
    /// Which start of a service it is of; 0 where there is one only.
    pub generation: u32,
    /// What is said before its first line.
    pub remark: Option<String>,
}

impl Outputs {
    /// Something that answers, for one thread.
    pub fn reader(&self) -> Desk {
        Desk { outputs: self.clone(), reader: None, open: Vec::new() }
    }
}

struct Open {
    owner: Owner,
    dir: PathBuf,
    lines: LogLines,
    /// All lines there were at the last look are counted.
    complete: bool,
    /// The counts are kept.
    saved: bool,
}

/// Answers from logs.
pub struct Desk {
    outputs: Outputs,
    reader: Option<Reader>,
    open: Vec<Open>,
}

impl Desk {
    /// Answers a question for output or for matches.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn answer(&mut self, question: &Question) -> Result<Answer, String> {
        match question {
            Question::Output { owner, streams, from, lines } => {
                let place = self.place(*owner)?;
                let live = place.live;
                let dir = place.dir.clone();
                let answer = self.output(*owner, place, *streams, *from, *lines as usize)?;
                // Watched only once it is read, and only while it may grow.
                let watch = (live && dir.is_dir()).then_some((*owner, dir));
                if watch.is_some() || self.outputs.growth.owner() == Some(*owner) {
                    self.outputs.growth.watch(watch);
                }
                Ok(Answer::Output(answer))
            }
            Question::Count { owner, streams, at } => {
                let place = self.place(*owner)?;
                self.count(*owner, &place, *streams, *at).map(Answer::Counted)
            }
            Question::Search { owner, streams, pattern, limit } => {
                let place = self.place(*owner)?;
                self.search(*owner, &place, *streams, pattern, *limit as usize).map(Answer::Search)
            }
            _ => Err("this is not read from a log".to_owned()),
        }
    }

    /// Where the log of an entity lies.
    ///
    /// # Errors
    /// There is no such entity, or it prints nothing.
    pub fn place(&mut self, owner: Owner) -> Result<Place, String> {
        if self.reader.is_none() {
            let data = self.outputs.data.clone();
            self.reader = Some(once_there(|| Reader::open(&data)).map_err(|e| e.to_string())?);
        }
        let Some(reader) = &self.reader else { return Err("the store is not open".to_owned()) };
        place(reader, &self.outputs.data, owner).map_err(|e| e.to_string())?.ok_or_else(|| match owner {
            Owner::Lease(_) | Owner::Workspace(_) => "this prints nothing by itself".to_owned(),
            _ => "it is not in the store any more".to_owned(),
        })
    }

    /// The log of a place; none when nothing was printed yet.
    fn log(&mut self, owner: Owner, place: &Place) -> Result<Option<&mut Open>, String> {
        if matches!(place.state, OutputState::Removed { .. }) {
            self.open.retain(|o| o.owner != owner);
            return Ok(None);
        }
        if let Some(at) = self.open.iter().position(|o| o.owner == owner && o.dir == place.dir) {
            let found = self.open.remove(at);
            self.open.push(found);
        } else {
            let cache = self.outputs.data.join("cache");
            let name = place.dir.strip_prefix(&self.outputs.data).unwrap_or(&place.dir);
            let name = name.display().to_string().replace('/', "-");
            let lines = match LogLines::open(&place.dir, LINE_MAX_BYTES, Some(&cache.join(format!("{name}.lines")))) {
                Ok(lines) => lines,
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            };
            self.open.retain(|o| o.owner != owner);
            self.open.push(Open { owner, dir: place.dir.clone(), lines, complete: false, saved: false });
            if self.open.len() > OPEN_MAX {
                self.open.remove(0);
            }
        }
        let Some(open) = self.open.last_mut() else { return Ok(None) };
        open.lines.set_live(place.live);
        open.lines.reader().refresh().map_err(|e| e.to_string())?;
        Ok(Some(open))
    }

    /// Counts on, and keeps the counts once they are complete.
    fn count(&mut self, owner: Owner, place: &Place, streams: Streams, at: LinePlace) -> Result<Counted, String> {
        let cache = self.outputs.data.join("cache");
        let set = set(streams);
        let Some(open) = self.log(owner, place)? else { return Ok(Counted::all(0)) };
        open.count_for(COUNT_LIMIT, |_| false)?;
        if open.complete && !open.saved && !place.live && open.lines.reader().total_bytes() >= CACHE_FROM_BYTES {
            open.saved = true;
            let kept = std::fs::create_dir_all(cache).and_then(|()| open.lines.save_index());
            if let Err(error) = kept {
                tracing::warn!(%error, "line counts are not kept; they are counted anew next time");
            }
        }
        let number = open.lines.number_of(key(at), set).map_err(|e| e.to_string())?;
        Ok(Counted { number, ..open.counted(set) })
    }

    fn output(
        &mut self,
        owner: Owner,
        place: Place,
        streams: Streams,
        from: Position,
        wanted: usize,
    ) -> Result<OutputLines, String> {
        let Some(open) = self.log(owner, &place)? else {
            let notes = earlier(&place, &self.outputs.data).into_iter().collect();
            let (state, started_at, generation) = (place.state, place.started_at, place.generation);
            let counted = Counted::all(0);
            return Ok(OutputLines { state, started_at, generation, notes, counted, ..OutputLines::default() });
        };
        let set = set(streams);
        open.count_for(Duration::ZERO, |_| true)?;
        let mut at_end = from == Position::End;
        let mut window = match from {
            Position::Line(n) => {
                open.count_for(JUMP_LIMIT, |lines| lines.lines_counted(set) > n)?;
                let counted = open.lines.lines_counted(set);
                match (n < counted, open.complete) {
                    (true, _) => open.lines.window(Anchor::Number(n), wanted, set),
                    (false, true) => open.lines.window(Anchor::Number(counted.saturating_sub(1)), wanted, set),
                    // It is asked again, and others come in between.
                    (false, false) => open.lines.window(Anchor::Key(LineKey::END), 0, set),
                }
            }
            Position::End => open.lines.tail_lines(wanted, set),
            Position::Before(at) => open.lines.before(key(at), wanted, set),
            Position::Start => open.lines.window(Anchor::Start, wanted, set),
            Position::From(at) => open.lines.window(Anchor::Key(key(at)), wanted, set),
            Position::Time(at) => open.lines.window(Anchor::WallMs(at.0), wanted, set),
            Position::Percent(p) => open.lines.window(Anchor::Part(u32::from(p.min(100)) * 10_000), wanted, set),
        }
        .map_err(|e| e.to_string())?;
        if window.lines.is_empty() && window.tail.is_some() && matches!(from, Position::Time(_) | Position::Percent(_))
        {
            // Nothing begins behind that place: what is nearest to it.
            at_end = true;
            window = open.lines.tail_lines(1, set).map_err(|e| e.to_string())?;
        }
        // Of a bar that writes over itself, what stands there last.
        open.lines.show_last_states(&mut window).map_err(|e| e.to_string())?;
        let backward = matches!(from, Position::End | Position::Before(_));
        let first = from == Position::Start
            || (backward && window.lines.len() < wanted && !window.limited)
            || window.lines.first().is_some_and(|l| l.number == Some(0));
        let last = at_end || (window.tail.is_some() && !window.more);
        let counted = open.counted(set);
        let total_bytes = bytes(&mut open.lines, streams)?;
        let terminal = bytes_of(&mut open.lines, Source::Terminal)? > 0;
        let started_at = place.started_at.or_else(|| open.lines.reader().wall_ms_at_start().map(UnixMillis));
        let (lines, mut notes) = lines(window);
        if first {
            notes.extend(earlier(&place, &self.outputs.data));
        }
        let (state, generation) = (place.state, place.generation);
        let known = OutputLines { state, started_at, terminal, generation, ..OutputLines::default() };
        Ok(OutputLines { lines, notes, first, last, counted, total_bytes, ..known })
    }

    fn search(
        &mut self,
        owner: Owner,
        place: &Place,
        streams: Streams,
        pattern: &str,
        limit: usize,
    ) -> Result<SearchHits, String> {
        let (_, regex) = wharf_ui::pane::output::smart_case(pattern)?;
        let set = set(streams);
        let mut hits = SearchHits { percent: 100, ..SearchHits::default() };
        let Some(open) = self.log(owner, place)? else { return Ok(hits) };
        let log = &mut open.lines;
        let until = Instant::now() + SEARCH_LIMIT;
        let mut anchor = LineKey::START;
        loop {
            let window = log.window(Anchor::Key(anchor), SEARCH_LINES, set).map_err(|e| e.to_string())?;
            for line in &window.lines {
                if regex.is_match(&ansi::plain(&line.bytes)) {
                    hits.total += 1;
                    if hits.lines.len() < limit {
                        hits.lines.push(LinePlace { seq: line.key.seq, index: line.key.index });
                    }
                }
            }
            let on = window.next > anchor && (window.more || window.tail.is_none());
            anchor = window.next;
            if !on {
                return Ok(hits);
            }
            if Instant::now() > until {
                let end = log.reader().end().map_err(|e| e.to_string())?.seq().max(1);
                hits.percent = u8::try_from(anchor.seq.saturating_mul(100) / end).unwrap_or(99).min(99);
                return Ok(hits);
            }
        }
    }
}

impl Open {
    /// Counts lines on until the time is over, `enough` says so, or all are counted; at least one piece.
    fn count_for(&mut self, limit: Duration, enough: impl Fn(&LogLines) -> bool) -> Result<(), String> {
        let until = Instant::now() + limit;
        loop {
            self.complete = self.lines.count(COUNT_BYTES).map_err(|e| e.to_string())?.complete;
            if self.complete || enough(&self.lines) || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn counted(&mut self, set: StreamSet) -> Counted {
        let percent = if self.complete { 100 } else { self.lines.percent_counted().min(99) };
        Counted { lines: self.lines.lines_counted(set), percent, number: None }
    }
}

fn key(at: LinePlace) -> LineKey {
    LineKey { seq: at.seq, index: at.index }
}

/// Where the log of an entity lies; none when there is no such entity, or it has no log of its own.
///
/// # Errors
/// The store cannot be read.
pub fn place(reader: &Reader, data: &Path, owner: Owner) -> Result<Option<Place>, StoreError> {
    let dir = |kind: &str, id: String, n: u32| shim_dir(kind, &id, n).map(|dir| data.join(dir));
    let ended = |at: Option<UnixMillis>, how: String| match at {
        Some(at) => OutputState::Ended { at, how },
        None => OutputState::Lost,
    };
    let how = |code: Option<i32>, signal: &Option<String>, word: &str| match (signal, code) {
        (Some(signal), _) => signal.clone(),
        (None, Some(code)) => format!("exit {code}"),
        (None, None) => word.to_owned(),
    };
    Ok(match owner {
        Owner::Run(id) => {
            let Some(run) = reader.run_line(id)? else { return Ok(None) };
            let live = !run.status.is_terminal();
            let state = match run.status {
                RunStatus::Lost => OutputState::Lost,
                _ if live => OutputState::Live,
                status => ended(run.finished_at, how(run.exit_code, &run.signal, &status.as_str().replace('_', " "))),
            };
            let Some(dir) = dir("run", id.text(), run.attempt) else { return Ok(None) };
            let gone = if live || dir.is_dir() { None } else { removed(reader, id)? };
            Some(Place {
                dir,
                name: Kind::Run.number(run.number),
                live,
                state: gone.unwrap_or(state),
                started_at: run.started_at,
                generation: 0,
                remark: why::place_words(reader, id),
            })
        }
        Owner::Service(id) => reader.service(id)?.and_then(|item| {
            let row = item.service;
            let live = row.status.is_live();
            let how = how(row.exit_code, &row.signal, row.status.as_str());
            // One that never ran has lost nothing.
            let state = if live { OutputState::Live } else { ended(row.stopped_at.or(Some(row.created_at)), how) };
            let dir = dir("service", id.text(), row.generation)?;
            let (started_at, generation) = (row.started_at, row.generation);
            let removed = row.log_deleted_at.filter(|_| row.log_deleted_generation >= Some(generation));
            let why = row.log_deleted_reason.clone().unwrap_or_default();
            let removed = removed.map(|at| OutputState::Removed { at, why });
            let state = removed.filter(|_| !live && !dir.is_dir()).unwrap_or(state);
            Some(Place {
                dir,
                name: Kind::Service.number(row.number),
                live,
                state,
                started_at,
                generation,
                remark: None,
            })
        }),
        Owner::Operation(id) => reader.operation(id)?.map(|item| item.operation).and_then(|row| {
            let live = row.finished_at.is_none();
            let how = how(row.exit_code, &row.signal, row.status.as_str());
            let state = if live { OutputState::Live } else { ended(row.finished_at, how) };
            let made = dir("operation", id.text(), row.attempt);
            let dir = row.log_ref.as_ref().map(|d| data.join(d)).or(made)?;
            let name = Kind::Operation.number(row.number);
            let why = row.log_deleted_reason.clone().unwrap_or_default();
            let removed = row.log_deleted_at.map(|at| OutputState::Removed { at, why });
            let state = removed.filter(|_| !dir.is_dir()).unwrap_or(state);
            Some(Place { dir, name, live, state, started_at: Some(row.started_at), generation: 0, remark: None })
        }),
        Owner::Lease(_) | Owner::Workspace(_) => None,
    })
}

/// When and why the log of a run was removed, if it was.
fn removed(reader: &Reader, id: RunId) -> Result<Option<OutputState>, StoreError> {
    Ok(reader.run_detail(id)?.and_then(|detail| {
        let why = detail.run.log_deleted_reason.unwrap_or_default();
        Some(OutputState::Removed { at: detail.run.log_deleted_at?, why })
    }))
}

/// A word before the first line: why a run works where it does, or that the log of a service's start before is there.
fn earlier(place: &Place, data: &Path) -> Option<OutputNote> {
    if let Some(text) = place.remark.clone() {
        return Some(OutputNote { before: LinePlace::default(), text });
    }
    let before = place.generation.checked_sub(1).filter(|n| *n > 0)?;
    let dir = place.dir.parent()?.join(format!("g{before}"));
    let shown = dir.strip_prefix(data).unwrap_or(&dir).display().to_string();
    let text = format!("start {} of it; that of start {before} is in {shown}", place.generation);
    dir.is_dir().then_some(OutputNote { before: LinePlace::default(), text })
}

fn is_absent(error: &LogError) -> bool {
    match error {
        LogError::Missing { .. } => true,
        LogError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The streams of the log that are meant.
pub fn set(streams: Streams) -> StreamSet {
    match streams {
        Streams::Both => StreamSet::OUTPUT,
        Streams::Stdout => StreamSet::of(&[Source::Stdout, Source::Terminal]),
        Streams::Stderr => StreamSet::of(&[Source::Stderr]),
    }
}

fn bytes_of(log: &mut LogLines, stream: Source) -> Result<u64, String> {
    Ok(log.reader().end().map_err(|e| e.to_string())?.offset(stream).unwrap_or(0))
}

fn bytes(log: &mut LogLines, streams: Streams) -> Result<u64, String> {
    let end = log.reader().end().map_err(|e| e.to_string())?;
    let of = |stream| end.offset(stream).unwrap_or(0);
    Ok(match streams {
        Streams::Both => of(Source::Stdout) + of(Source::Stderr) + of(Source::Terminal),
        Streams::Stdout => of(Source::Stdout) + of(Source::Terminal),
        Streams::Stderr => of(Source::Stderr),
    })
}

/// Lines and notes of a window in the pane's words.
fn lines(window: Window) -> (Vec<OutputLine>, Vec<OutputNote>) {
    let notes = window.gaps.iter().map(|gap| {
        let (seq, text) = gap_words(gap);
        OutputNote { before: LinePlace { seq, index: 0 }, text }
    });
    (window.lines.into_iter().map(one).collect(), notes.collect())
}

fn one(line: Line) -> OutputLine {
    OutputLine {
        place: LinePlace { seq: line.key.seq, index: line.key.index },
        number: line.number,
        stream: if line.stream == Source::Stderr { Stream::Stderr } else { Stream::Stdout },
        at: UnixMillis(line.wall_ms.unwrap_or(0)),
        bytes: line.bytes,
        cut: line.cut || line.headless,
    }
}

fn gap_words(gap: &Gap) -> (u64, String) {
    match gap {
        Gap::Declared { seq, bytes, reason, .. } => {
            let size = bytes.map_or_else(|| "some output".to_owned(), format::size);
            (*seq, format!("{size} not kept: {reason}"))
        }
        Gap::Damage(damage) => (damage.seq_from, format!("{} of the log are damaged", format::size(damage.bytes))),
        Gap::Missing { from, to, .. } => (0, format!("{} are missing", format::size(to.saturating_sub(*from)))),
    }
}

#[cfg(test)]
mod tests;
