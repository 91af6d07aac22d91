//! `wharf logs`: what a run printed, byte for byte, or line by line for programs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use wharf_model::{Kind, Named, OperationId, RunId, UnixMillis};
use wharf_store::log::{Anchor, FLAG_GAP, Frame, Gap, LineKey, LogLines, LogReader, Stream, StreamSet, Tail};
use wharf_store::view::{EntityKind, Found, NotFound};
use wharf_store::{ChangeSignal, Reader};
use wharf_ui::format;

use super::context::{Context, output_error, print};
use super::error::{CliError, Result, exit};
use super::follow::{Following, gap_words, is_missing, is_written_no_more, log_error, stream_word};
use crate::dispatch::perform::shim_dir;

/// Bytes of a line that are read into documents and time-stamped lists.
const LINE_BYTES: usize = 1 << 20;
/// Pauses of somebody who waits for a log to begin.
const LOG_APPEARS: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_secs(5);
/// Lines read at once.
const LINES: usize = 1_000;

/// Options of `wharf logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// Whose log: R-12, S-2, O-3, a service's name, an id or a part of one
    #[arg(value_name = "ID")]
    pub run: String,
    /// Go on while it prints, until it ends
    #[arg(long, short)]
    pub follow: bool,
    /// Only what it printed to stdout
    #[arg(long, conflicts_with = "stderr")]
    pub stdout: bool,
    /// Only what it printed to stderr
    #[arg(long)]
    pub stderr: bool,
    /// Begin each line with its moment and stream
    #[arg(long, short)]
    pub timestamps: bool,
    /// Of a service: what its start of this number printed, the first is 1; else its newest start
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub start: Option<u32>,
    /// Only the last lines
    #[arg(long, short = 'n', value_name = "N")]
    pub tail: Option<usize>,
}

impl LogsArgs {
    fn streams(&self) -> StreamSet {
        match (self.stdout, self.stderr) {
            (true, _) => StreamSet::of(&[Stream::Stdout, Stream::Terminal]),
            (_, true) => StreamSet::of(&[Stream::Stderr]),
            _ => StreamSet::OUTPUT,
        }
    }
}

/// Prints the log of a run, of a service or of an operation.
pub fn logs(context: &Context, args: &LogsArgs) -> Result<u8> {
    let reader = context.reader_for(&args.run)?;
    if args.run.parse().is_ok_and(|named| matches!(named, Named::Number(Kind::Operation, _))) {
        let found = reader.resolve(&parse_name(&args.run)?, Some(EntityKind::Operation))?;
        return operation(context, args, &reader, OperationId(found.id));
    }
    let id = match named_run(&reader, &args.run) {
        Ok(id) => id,
        Err(error) if matches!(error.code.as_str(), "id_unknown" | "id_malformed") => {
            return match super::service::named(context, &reader, &args.run) {
                Ok(item) => super::service::print_its_log(context, args, &item.service),
                Err(several) if several.code == "id_ambiguous" => Err(several),
                Err(_) => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    if args.start.is_some() {
        return Err(CliError::usage(format!("{} is a run, and a run is started once", args.run))
            .next(format!("wharf logs {}", args.run)));
    }
    let directory = if args.follow { begun_log(context, &reader, id)? } else { log_directory(context, &reader, id)? };
    let Some(directory) = directory else {
        if let Some(run) = reader.run_detail(id)?.map(|d| d.run)
            && let Some(at) = run.log_deleted_at
        {
            return removed(context, args, at, run.log_deleted_reason);
        }
        let line = reader.run_line(id)?;
        let status = line.map_or_else(String::new, |l| format!(", it is {}", l.status));
        context.remark(&format!("{} has printed nothing{status}", args.run));
        return nothing(context, args);
    };
    if let Some(words) = crate::why::place_words(&reader, id) {
        context.remark(&words);
    }
    print_log(context, args, &directory)
}

/// Prints the log of an operation.
fn operation(context: &Context, args: &LogsArgs, reader: &Reader, id: OperationId) -> Result<u8> {
    let gone = || CliError::internal(format!("{} is not in the store any more", args.run));
    let row = reader.operation(id)?.ok_or_else(gone)?.operation;
    let place = row.log_ref.map(|place| context.data.join(place)).filter(|place| place.exists());
    match (place, row.log_deleted_at) {
        (Some(place), _) => print_log(context, args, &place),
        (None, Some(at)) => removed(context, args, at, row.log_deleted_reason),
        (None, None) => {
            context.remark(&format!("{} has printed nothing, it is {}", args.run, row.status));
            nothing(context, args)
        }
    }
}

/// Says that a log was removed, when and why.
pub fn removed(context: &Context, args: &LogsArgs, at: UnixMillis, why: Option<String>) -> Result<u8> {
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let at = format::moment(at, crate::clock::now(), context.zone());
    context.remark(&format!("the log of {} was removed {at}{why}", args.run));
    nothing(context, args)
}

/// The directory of a run's log once something stands in it; none when the run ended without one.
fn begun_log(context: &Context, reader: &Reader, id: RunId) -> Result<Option<PathBuf>> {
    let mut signal = ChangeSignal::open(&context.data)?;
    loop {
        let ended = reader.run_line(id)?.is_none_or(|line| line.status.is_terminal());
        let directory = log_directory(context, reader, id)?;
        if ended || directory.as_ref().is_some_and(|d| LogReader::open(d).is_ok()) {
            return Ok(directory);
        }
        // A log begins a moment after the commit that tells of its attempt.
        signal.wait(if directory.is_some() { LOG_APPEARS } else { LOOK })?;
    }
}

/// Prints the log in a directory.
pub fn print_log(context: &Context, args: &LogsArgs, directory: &Path) -> Result<u8> {
    if context.global.json || args.timestamps || args.tail.is_some() {
        return by_line(context, args, directory);
    }
    let Some(mut following) = Following::open(directory)? else { return Ok(exit::DONE) };
    let streams = args.streams();
    let mut write = |frame: &Frame<'_>| write_frame(context, frame, streams);
    if args.follow {
        following.run(directory, &AtomicBool::new(false), &mut write)?;
    } else {
        following.drain(&mut write)?;
    }
    if let Some(words) = following.damage_words() {
        context.remark(&words);
    }
    if following.torn() > 0 && is_written_no_more(directory) {
        context.remark(&torn_words(following.torn()));
    }
    Ok(exit::DONE)
}

/// The log of something that has printed nothing.
pub fn nothing(context: &Context, args: &LogsArgs) -> Result<u8> {
    if context.global.json && !args.follow {
        context.document(&LogDocument::new(Vec::new(), Vec::new()))?;
    }
    Ok(exit::DONE)
}

#[derive(Serialize)]
struct LogDocument {
    schema: &'static str,
    lines: Vec<LineDoc>,
    /// What is not among the lines, in the order it was met.
    gaps: Vec<GapDoc>,
    next: Option<String>,
    hidden: i64,
}

impl LogDocument {
    fn new(lines: Vec<LineDoc>, gaps: Vec<GapDoc>) -> Self {
        Self { schema: "wharf.logs/1", lines, gaps, next: None, hidden: 0 }
    }
}

/// Bytes that are missing; while following, an object of its own between the lines: `{"gap": …}`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct GapDoc {
    /// `declared`: left out by the shim, which said so; `damage`: frames that cannot be read; `missing`: a stream
    /// that jumps behind such frames; `torn`: what was being written when the writer died.
    kind: &'static str,
    stream: Option<&'static str>,
    seq: Option<u64>,
    offset: Option<u64>,
    bytes: Option<u64>,
    reason: String,
}

#[derive(Serialize)]
struct GapLine {
    gap: GapDoc,
}

impl GapDoc {
    fn new(gap: &Gap) -> Self {
        let reason = gap_in_words(gap);
        match gap {
            Gap::Declared { stream, seq, bytes, reason } => Self {
                kind: "declared",
                stream: Some(stream_word(*stream)),
                seq: Some(*seq),
                offset: None,
                bytes: *bytes,
                reason: reason.clone(),
            },
            Gap::Damage(d) => Self {
                kind: "damage",
                stream: None,
                seq: Some(d.seq_from).filter(|seq| *seq > 0),
                offset: None,
                bytes: Some(d.bytes),
                reason,
            },
            Gap::Missing { stream, from, to } => Self {
                kind: "missing",
                stream: Some(stream_word(*stream)),
                seq: None,
                offset: Some(*from),
                bytes: Some(to.saturating_sub(*from)),
                reason,
            },
        }
    }

    fn torn(bytes: u64) -> Self {
        let reason = torn_words(bytes);
        Self { kind: "torn", stream: None, seq: None, offset: None, bytes: Some(bytes), reason }
    }
}

fn torn_words(bytes: u64) -> String {
    format!("the log ends in the middle of a frame: {bytes} bytes of it cannot be read")
}

#[derive(Serialize)]
struct LineDoc {
    stream: &'static str,
    seq: u64,
    offset: u64,
    at: Option<String>,
    text: String,
    /// Bytes of it are no UTF-8 and were replaced.
    lossy: bool,
    bytes: u64,
    cut: bool,
}

/// The run that was named.
pub fn named_run(reader: &Reader, text: &str) -> Result<RunId> {
    Ok(RunId(named_one(reader, text, EntityKind::Run)?.id))
}

/// The row of this kind that was named; one of another kind is told for what it is.
pub fn named_one(reader: &Reader, text: &str, kind: EntityKind) -> Result<Found> {
    let named = parse_name(text)?;
    let error = match reader.resolve(&named, Some(kind)) {
        Err(error @ NotFound::Unknown(_)) => error,
        other => return Ok(other?),
    };
    match reader.resolve(&named, None) {
        Ok(other) => {
            let a = |kind: EntityKind| match kind {
                EntityKind::Environment | EntityKind::Operation | EntityKind::Issue | EntityKind::Agent => {
                    format!("an {kind}")
                }
                _ => format!("a {kind}"),
            };
            let message = format!("{} is {}, not {}", other.label, a(other.kind), a(kind));
            Err(CliError::new(exit::NOT_FOUND, "id_unknown", message)
                .next(format!("wharf show {}", other.label))
                .entity(text))
        }
        Err(_) => Err(error.into()),
    }
}

/// Reads a name as people type it.
pub fn parse_name(text: &str) -> Result<Named> {
    text.parse::<Named>().map_err(|e| {
        CliError::new(exit::USAGE, "id_malformed", format!("{:?} is no number and no id", e.0))
            .cause("a number is such as R-12, an id is a UUID or at least six characters of its beginning or end")
            .next("wharf runs    wharf leases    wharf services    wharf workspaces")
            .entity(text)
    })
}

/// The directory of a run's log, also while it runs.
pub fn log_directory(context: &Context, reader: &Reader, id: RunId) -> Result<Option<PathBuf>> {
    let Some(detail) = reader.run_detail(id)? else { return Ok(None) };
    let run = detail.run;
    if run.log_deleted_at.is_some() {
        return Ok(None);
    }
    let place = run.log_ref.or_else(|| (run.attempt > 0).then(|| shim_dir("run", &id.text(), run.attempt)).flatten());
    Ok(place.map(|place| context.data.join(place)).filter(|path| path.exists()))
}

fn write_frame(context: &Context, frame: &Frame<'_>, streams: StreamSet) -> Result<()> {
    if !streams.has(frame.stream.number()) {
        return Ok(());
    }
    if frame.head.flags & FLAG_GAP != 0 {
        if let Some(words) = gap_words(frame) {
            context.remark(&words);
        }
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    out.write_all(frame.payload).and_then(|()| out.flush()).map_err(|e| output_error(&e))
}

/// Lines with their moments, for people or as one document, or as one object a line while following.
fn by_line(context: &Context, args: &LogsArgs, directory: &Path) -> Result<u8> {
    let streams = args.streams();
    let mut lines = match LogLines::open(directory, LINE_BYTES, None) {
        Ok(lines) => lines,
        Err(error) if is_missing(&error) => {
            return nothing(context, args);
        }
        Err(error) => return Err(log_error(directory, &error)),
    };
    let fail = |e| log_error(directory, &e);
    let mut key = LineKey::START;
    if let Some(n) = args.tail {
        // Read in windows from the end: a window holds a limited number of lines.
        let mut first = LineKey::END;
        let mut left = n;
        while left > 0 {
            let window = lines.before(first, left.min(LINES), streams).map_err(fail)?;
            let Some(line) = window.lines.first() else { break };
            first = line.key;
            left = left.saturating_sub(window.lines.len());
        }
        key = first;
    }
    let watched = args.follow.then(|| Following::open(directory)).transpose()?.flatten();
    let mut documents = Vec::new();
    let mut gaps = Vec::new();
    // Windows may meet one again.
    let mut told = BTreeSet::new();
    let mut tell = |gap: GapDoc, words: &str| -> Result<()> {
        if !context.global.json {
            context.remark(words);
        } else if args.follow {
            context.document(&GapLine { gap })?;
        } else {
            gaps.push(gap);
        }
        Ok(())
    };
    loop {
        let over = !args.follow || is_written_no_more(directory);
        lines.reader().refresh().map_err(fail)?;
        loop {
            let window = lines.window(Anchor::Key(key), LINES, streams).map_err(fail)?;
            for gap in &window.gaps {
                if told.insert(format!("{gap:?}")) {
                    tell(GapDoc::new(gap), &gap_in_words(gap))?;
                }
            }
            for line in &window.lines {
                // A line that may still grow is printed when it is whole.
                if line.unterminated && !line.broken && !over {
                    continue;
                }
                if !context.global.json {
                    print(&shown(context, line, args.timestamps))?;
                } else if args.follow {
                    context.document(&document(line))?;
                } else {
                    documents.push(document(line));
                }
            }
            let open = window.lines.iter().find(|line| line.unterminated && !line.broken && !over).map(|line| line.key);
            let next = open.unwrap_or(window.next);
            let moved = next != key;
            key = next;
            if let Some(Tail::Torn { bytes, .. }) = window.tail.filter(|_| over && is_written_no_more(directory)) {
                tell(GapDoc::torn(bytes), &torn_words(bytes))?;
            }
            if window.tail.is_some() || open.is_some() || !(moved || window.limited) {
                break;
            }
        }
        if over {
            break;
        }
        if let Some(watched) = &watched {
            watched.pause();
        }
    }
    if context.global.json && !args.follow {
        context.document(&LogDocument::new(documents, gaps))?;
    }
    Ok(exit::DONE)
}

fn gap_in_words(gap: &Gap) -> String {
    match gap {
        Gap::Declared { stream, bytes, reason, .. } => {
            let bytes = bytes.map_or_else(|| "some".to_owned(), |b| b.to_string());
            format!("{bytes} bytes of {} are missing: {reason}", stream_word(*stream))
        }
        Gap::Damage(d) => {
            format!("{} bytes of the log cannot be read, behind frame {}", d.bytes, d.seq_from.saturating_sub(1))
        }
        Gap::Missing { stream, from, to } => {
            format!("{} bytes of {} are missing", to.saturating_sub(*from), stream_word(*stream))
        }
    }
}

fn shown(context: &Context, line: &wharf_store::log::Line, stamped: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.bytes.len() + 24);
    if stamped {
        let at = line.wall_ms.map_or_else(|| "–".to_owned(), |ms| format::clock_millis(UnixMillis(ms), context.zone()));
        out.extend_from_slice(format!("{at} {:<6} ", stream_word(line.stream)).as_bytes());
    }
    out.extend_from_slice(&line.bytes);
    // Without stamps, the bytes are those that were printed; two halves around a gap stay two lines.
    if stamped || line.broken || !line.unterminated {
        out.push(b'\n');
    }
    out
}

fn document(line: &wharf_store::log::Line) -> LineDoc {
    LineDoc {
        stream: stream_word(line.stream),
        seq: line.key.seq,
        offset: line.offset,
        at: line.wall_ms.map(|ms| UnixMillis(ms).rfc3339()),
        text: String::from_utf8_lossy(&line.bytes).into_owned(),
        lossy: std::str::from_utf8(&line.bytes).is_err(),
        bytes: line.len,
        cut: line.cut,
    }
}
