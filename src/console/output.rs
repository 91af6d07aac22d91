//! Lines of logs for the panes: never more than is asked for, from a few logs kept open.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use wharf_model::{Kind, RunStatus, UnixMillis};
use wharf_store::log::{Anchor, Gap, Line, LogError, LogLines, Stream as Source, StreamSet, Window};
use wharf_store::view::OperationQuery;
use wharf_store::{Reader, StoreError};
use wharf_ui::effect::{Owner, Position, Question, Streams};
use wharf_ui::msg::Answer;
use wharf_ui::rows::{OutputLine, OutputLines, OutputNote, OutputState, SearchHits, Stream};
use wharf_ui::{ansi, format};

use super::live::Growth;
use super::requests::once_there;
use crate::dispatch::perform::shim_dir;

/// Logs kept open by each thread.
const OPEN_MAX: usize = 4;
/// Bytes of a line that are shown; the rest is in the file.
const LINE_MAX_BYTES: usize = 16 * 1024;
/// Bytes of a log that are counted at once.
const COUNT_BYTES: u64 = 64 << 20;
/// How long lines are counted for one answer.
const COUNT_LIMIT: Duration = Duration::from_secs(20);
/// Logs from this size on keep their line counts in `cache/`.
const CACHE_FROM_BYTES: u64 = 4 << 20;
/// Lines of one step of a search, and how long it may take altogether.
const SEARCH_LINES: usize = 2_000;
const SEARCH_LIMIT: Duration = Duration::from_secs(5);
/// Operations looked through for one of them.
const OPERATIONS: usize = 1_000;

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
    fn log(&mut self, owner: Owner, place: &Place) -> Result<Option<&mut LogLines>, String> {
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
            self.open.push(Open { owner, dir: place.dir.clone(), lines, saved: false });
            if self.open.len() > OPEN_MAX {
                self.open.remove(0);
            }
        }
        let Some(open) = self.open.last_mut() else { return Ok(None) };
        open.lines.set_live(place.live);
        open.lines.reader().refresh().map_err(|e| e.to_string())?;
        count(&mut open.lines)?;
        let large = open.lines.reader().total_bytes() >= CACHE_FROM_BYTES;
        if !open.saved && !place.live && large {
            open.saved = true;
            let kept = std::fs::create_dir_all(self.outputs.data.join("cache")).and_then(|()| open.lines.save_index());
            if let Err(error) = kept {
                tracing::warn!(%error, "line counts are not kept; they are counted anew next time");
            }
        }
        Ok(Some(&mut open.lines))
    }

    fn output(
        &mut self,
        owner: Owner,
        place: Place,
        streams: Streams,
        from: Position,
        wanted: usize,
    ) -> Result<OutputLines, String> {
        let Some(log) = self.log(owner, &place)? else {
            return Ok(OutputLines { state: place.state, started_at: place.started_at, ..OutputLines::default() });
        };
        let set = set(streams);
        let anchor = match from {
            Position::End => None,
            Position::Line(n) => Some(Anchor::Number(n)),
            Position::Time(at) => Some(Anchor::WallMs(at.0)),
            Position::Percent(p) => Some(Anchor::Part(u32::from(p.min(100)) * 10_000)),
        };
        let window = match anchor {
            None => log.tail_lines(wanted, set),
            Some(anchor) => log.window(anchor, wanted, set),
        };
        let window = window.map_err(|e| e.to_string())?;
        let total_lines = log.lines_counted(set);
        let total_bytes = bytes(log, streams)?;
        let started_at = place.started_at.or_else(|| log.reader().wall_ms_at_start().map(UnixMillis));
        let (lines, notes) = lines(window, total_lines);
        Ok(OutputLines { lines, notes, total_lines, total_bytes, state: place.state, started_at })
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
        let Some(log) = self.log(owner, place)? else { return Ok(hits) };
        let until = Instant::now() + SEARCH_LIMIT;
        let all = log.lines_counted(set);
        let mut anchor = Anchor::Start;
        let mut seen = 0u64;
        while seen < all {
            let window = log.window(anchor, SEARCH_LINES, set).map_err(|e| e.to_string())?;
            if window.lines.is_empty() {
                break;
            }
            for line in &window.lines {
                if regex.is_match(&ansi::plain(&line.bytes)) {
                    hits.total += 1;
                    if hits.lines.len() < limit {
                        hits.lines.push(line.number.unwrap_or(seen));
                    }
                }
                seen += 1;
            }
            anchor = Anchor::Key(window.next);
            if Instant::now() > until {
                hits.percent = u8::try_from(seen * 100 / all.max(1)).unwrap_or(99).min(99);
                break;
            }
        }
        Ok(hits)
    }
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
        Owner::Run(id) => reader.run_line(id)?.and_then(|run| {
            let live = !run.status.is_terminal();
            let state = match run.status {
                RunStatus::Lost => OutputState::Lost,
                _ if live => OutputState::Live,
                status => ended(run.finished_at, how(run.exit_code, &run.signal, &status.as_str().replace('_', " "))),
            };
            let dir = dir("run", id.text(), run.attempt)?;
            Some(Place { dir, name: Kind::Run.number(run.number), live, state, started_at: run.started_at })
        }),
        Owner::Service(id) => reader.service(id)?.and_then(|item| {
            let row = item.service;
            let live = row.status.is_live();
            let how = how(row.exit_code, &row.signal, row.status.as_str());
            // One that never ran has lost nothing.
            let state = if live { OutputState::Live } else { ended(row.stopped_at.or(Some(row.created_at)), how) };
            let dir = dir("service", id.text(), row.generation)?;
            Some(Place { dir, name: Kind::Service.number(row.number), live, state, started_at: row.started_at })
        }),
        Owner::Operation(id) => {
            let page = reader.operations(&OperationQuery::default(), None, OPERATIONS)?;
            page.rows.into_iter().map(|i| i.operation).find(|o| o.id == id).and_then(|row| {
                let live = row.finished_at.is_none();
                let how = how(row.exit_code, &row.signal, row.status.as_str());
                let state = if live { OutputState::Live } else { ended(row.finished_at, how) };
                let made = dir("operation", id.text(), row.attempt);
                let dir = row.log_ref.as_ref().map(|d| data.join(d)).or(made)?;
                let name = Kind::Operation.number(row.number);
                Some(Place { dir, name, live, state, started_at: Some(row.started_at) })
            })
        }
        Owner::Lease(_) | Owner::Workspace(_) => None,
    })
}

fn is_absent(error: &LogError) -> bool {
    match error {
        LogError::Missing { .. } => true,
        LogError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Numbers of lines need all lines before them counted once; what is counted stays counted.
fn count(log: &mut LogLines) -> Result<(), String> {
    let until = Instant::now() + COUNT_LIMIT;
    while !log.count(COUNT_BYTES).map_err(|e| e.to_string())?.complete {
        if Instant::now() > until {
            return Err(format!(
                "its {} are more than could be counted in {} s; open them with the pager",
                format::size(log.reader().total_bytes()),
                COUNT_LIMIT.as_secs()
            ));
        }
    }
    Ok(())
}

/// The streams of the log that are meant.
pub fn set(streams: Streams) -> StreamSet {
    match streams {
        Streams::Both => StreamSet::OUTPUT,
        Streams::Stdout => StreamSet::of(&[Source::Stdout]),
        Streams::Stderr => StreamSet::of(&[Source::Stderr]),
    }
}

fn bytes(log: &mut LogLines, streams: Streams) -> Result<u64, String> {
    let end = log.reader().end().map_err(|e| e.to_string())?;
    let of = |stream| end.offset(stream).unwrap_or(0);
    Ok(match streams {
        Streams::Both => of(Source::Stdout) + of(Source::Stderr),
        Streams::Stdout => of(Source::Stdout),
        Streams::Stderr => of(Source::Stderr),
    })
}

/// Lines and notes of a window in the pane's words.
fn lines(window: Window, total: u64) -> (Vec<OutputLine>, Vec<OutputNote>) {
    // A line that began while it was being counted has no number yet; it follows the one before.
    let first = window.lines.iter().enumerate().find_map(|(i, l)| Some(l.number?.saturating_sub(i as u64)));
    let first = first.unwrap_or_else(|| total.saturating_sub(window.lines.len() as u64));
    let notes = window
        .gaps
        .iter()
        .map(|gap| {
            let (seq, text) = gap_words(gap);
            let before = window.lines.iter().position(|l| l.key.seq >= seq).unwrap_or(window.lines.len());
            OutputNote { before: first + before as u64, text }
        })
        .collect();
    let lines = window.lines.into_iter().enumerate().map(|(i, line)| one(line, first + i as u64)).collect();
    (lines, notes)
}

fn one(line: Line, number: u64) -> OutputLine {
    OutputLine {
        number,
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
