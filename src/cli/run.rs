//! `wharf run`: starts a run, and follows it to its end when asked.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use wharf_model::{Kind, RunId, RunStatus};
use wharf_store::Reader;
use wharf_store::log::{FLAG_GAP, Frame, Stream};
use wharf_store::view::RunLine;
use wharf_ui::format;

use super::context::{Context, PIPE_CLOSED, output_error, say};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::follow::{Following, gap_words};
use super::project::{Here, here, nearest};
use super::run_doc::{RunDocument, shown};
use super::signals::CUT_OFF;
use crate::clock;
use crate::dispatch::event_loop::Reign;
use crate::dispatch::perform::shim_dir;
use crate::why;

/// Longest prompt, in bytes.
const PROMPT_MAX: u64 = 1 << 20;
/// How long the lease, services and log of an ended run are waited for.
const FINISHING: Duration = Duration::from_secs(30);
/// How long a run may wait its turn before that is said.
const TURN: Duration = Duration::from_secs(3);
/// How long a log may take to appear.
const LOG_APPEARS: Duration = Duration::from_millis(20);

/// Exit codes of `--wait` for runs that have no code of their own (contracts 9).
mod code {
    pub const TIMED_OUT: u8 = 124;
    pub const NOT_RUN: u8 = 125;
    pub const NOT_EXECUTABLE: u8 = 126;
    pub const NOT_FOUND: u8 = 127;
    pub const SIGNAL: u8 = 128;
    pub const CANCELLED: u8 = 130;
}

/// Options of `wharf run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Name of the agent in wharf.toml
    pub agent: String,
    /// What it is asked to do; `-` reads it from stdin
    #[arg(long, short, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Issue it works on, such as SHOP-17
    #[arg(long, short, value_name = "ISSUE")]
    pub issue: Option<String>,
    /// Environment it runs in, by name or number
    #[arg(long, short, value_name = "ENV")]
    pub env: Option<String>,
    /// Wait for its end and exit as it did
    #[arg(long)]
    pub wait: bool,
    /// Wait, and print its stdout and stderr as they come
    #[arg(long, conflicts_with = "json")]
    pub follow: bool,
}

/// Starts a run.
pub fn run(context: &Context, args: &RunArgs) -> Result<u8> {
    let prompt = args.prompt.as_deref().map(prompt).transpose()?;
    let here = here(context)?;
    let mut desk = Desk::open_to_start(context)?;
    let mut begun = None;
    let result = run_at(context, args, prompt, &here, &mut desk, &mut begun);
    let number = begun.and_then(|id| Some(Kind::Run.number(desk.reader.run_line(id).ok()??.number)));
    desk.close();
    match (result, number) {
        (Err(error), Some(number)) if error.code == CUT_OFF => left(context, &number, error),
        (result, _) => result,
    }
}

/// Says, when a signal has ended the waiting, that the run has not.
fn left(context: &Context, number: &str, error: CliError) -> Result<u8> {
    if context.global.json {
        return Err(error.entity(number).next(format!("wharf cancel {number}")));
    }
    context.remark(&format!("\n{}", goes_on(number)));
    Ok(error.exit)
}

fn prompt(given: &str) -> Result<String> {
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(PROMPT_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(n) if n as u64 > PROMPT_MAX => Err(CliError::usage("the prompt on stdin is longer than 1 MiB")
            .next("put it into a file of the repository, and name that file in the prompt")),
        Ok(_) => Ok(text),
        Err(e) => Err(CliError::usage("the prompt cannot be read from stdin").cause(e.to_string())),
    }
}

/// `begun` becomes the run once it is there.
fn run_at(
    context: &Context,
    args: &RunArgs,
    prompt: Option<String>,
    here: &Here,
    desk: &mut Desk,
    begun: &mut Option<RunId>,
) -> Result<u8> {
    let asked = desk.ask(Ask {
        kind: "run.start",
        target_type: "agent",
        target_id: args.agent.parse::<wharf_model::AgentId>().ok().map(wharf_model::AgentId::text),
        args: json!({
            "agent": args.agent, "prompt": prompt, "issue": args.issue, "environment": args.env, "path": here.path(),
        }),
        expect: None,
    });
    let answered = asked.map_err(|e| explain(e, args, here))?;
    let id = answered.result.as_ref().and_then(|r| r["run_id"].as_str()).and_then(|t| t.parse::<RunId>().ok());
    let Some(id) = id else { return Err(CliError::internal("the answer to run.start names no run")) };
    *begun = Some(id);
    if is_pending(desk, here)? {
        context.remark("wharf.toml has changed; what was accepted before is in force until\n  wharf config accept");
    }
    let follower = args.follow.then(|| Follower::begin(context, desk, id)).transpose()?;
    if !args.wait && !args.follow {
        return until_begun(context, desk, id);
    }
    let ended = desk.wait(None, |reader, _| {
        let line = line(reader, id)?.line;
        let unread = follower.as_ref().is_some_and(Follower::has_failed);
        Ok(Some(line).filter(|l| unread || l.status.is_terminal()))
    })?;
    let line = ended.ok_or_else(|| CliError::internal("the run was not seen any more"))?;
    if let Some(follower) = follower {
        if !line.status.is_terminal() {
            return unread(context, &line, follower.end());
        }
        follower.end().or_else(|e| if e.code == PIPE_CLOSED { Ok(()) } else { Err(e) })?;
    }
    let line = finish(desk, id)?.unwrap_or(line);
    if context.global.json {
        context.document(&RunDocument::new(&context.data, &line, clock::now()))?;
    } else {
        last_words(context, &line);
    }
    Ok(exit_code(&line))
}

/// Ends the command as ctrl-C does: nobody reads what is printed, or it cannot be printed any more.
fn unread(context: &Context, line: &RunLine, printed: Result<()>) -> Result<u8> {
    let number = Kind::Run.number(line.number);
    if !context.global.quiet {
        say(&goes_on(&number));
    }
    match printed {
        Err(error) if error.code != PIPE_CLOSED => Err(error),
        _ => Ok(code::CANCELLED),
    }
}

fn goes_on(number: &str) -> String {
    format!("{number} goes on; next:  wharf logs {number} -f    wharf cancel {number}")
}

/// Whether a change of the config waits to be accepted.
fn is_pending(desk: &Desk, here: &Here) -> Result<bool> {
    let project = desk.reader.project_at(&here.path())?;
    Ok(project.is_some_and(|p| p.pending_executable_hash.is_some()))
}

/// A run's row, and whether its process has been seen.
struct Seen {
    line: RunLine,
    started: bool,
}

fn line(reader: &Reader, id: RunId) -> Result<Seen> {
    let gone = || CliError::internal(format!("run {id} is not in the store any more"));
    let line = reader.run_line(id)?.ok_or_else(gone)?;
    let started = line.step == Some(wharf_model::Step::Execute)
        && reader.run_detail(id)?.is_some_and(|detail| detail.run.process_pid.is_some());
    Ok(Seen { line, started })
}

/// Waits, for a while, until nothing of the ended run is left to be done.
pub fn finish(desk: &mut Desk, id: RunId) -> Result<Option<RunLine>> {
    desk.wait(Some(Instant::now() + FINISHING), |reader, reign| {
        let Some(detail) = reader.run_detail(id)? else { return Ok(None) };
        let released = detail.lease.is_none_or(|l| !wharf_model::rules::lease::takes_slot(&l.lease));
        let sealed = detail.run.log_ref.is_none() || detail.run.log_sha256.is_some();
        // Each live run and service keeps one action for its whole life.
        let quiet = reign.is_none_or(|r: &Reign| r.busy <= r.live_runs + r.live_services);
        Ok((released && sealed && quiet).then_some(detail.line))
    })
}

/// Waits until the run has begun, or has ended. Where another process orchestrates, a run that waits its turn is
/// left to that one.
fn until_begun(context: &Context, desk: &mut Desk, id: RunId) -> Result<u8> {
    let under_way = |reader: &Reader, _: Option<&Reign>| -> Result<Option<RunLine>> {
        let seen = line(reader, id)?;
        Ok(Some(seen).filter(|l| l.started || l.line.status.is_terminal()).map(|l| l.line))
    };
    let mut found = desk.wait(Some(Instant::now() + TURN), under_way)?;
    if found.is_none() && desk.reigning().is_some() {
        context.remark("it waits its turn; ctrl-C leaves it in the queue");
        found = desk.wait(None, under_way)?;
    }
    let line = match found {
        Some(line) => line,
        None => line(&desk.reader, id)?.line,
    };
    started(context, &line)
}

fn started(context: &Context, line: &RunLine) -> Result<u8> {
    let number = Kind::Run.number(line.number);
    if context.global.json {
        context.document(&RunDocument::new(&context.data, line, clock::now()))?;
    } else {
        super::context::print(format!("{number}\n").as_bytes())?;
    }
    if !line.status.is_terminal() {
        let how = if line.status == RunStatus::Running { "started" } else { "waits its turn" };
        context.remark(&format!(
            "{number} {how}; next:\n  wharf logs {number} -f\n  wharf show {number}\n  wharf cancel {number}"
        ));
        return Ok(exit::DONE);
    }
    if !context.global.json {
        last_words(context, line);
    }
    Ok(if line.status == RunStatus::Succeeded { exit::DONE } else { exit::THING_FAILED })
}

/// Status, outcome, time and the next commands of an ended run.
fn last_words(context: &Context, line: &RunLine) {
    let number = Kind::Run.number(line.number);
    let words = shown(&context.data, line);
    let (class, word) = words.state();
    let outcome = match line.status {
        RunStatus::Succeeded => line.exit_code.map_or_else(|| "done".to_owned(), |code| format!("exit {code}")),
        _ => words.outcome_words().0,
    };
    let took = words.took_ms().map_or_else(String::new, |ms| format!(" after {}", format::took(ms)));
    let mut lines = vec![format!("{number}  {} {word}, {outcome}{took}", class.glyph())];
    if let Some(error) = line.error.as_deref().filter(|_| line.status != RunStatus::Succeeded) {
        lines.push(format!("cause: {error}"));
    }
    lines.push(format!("next:  wharf logs {number}    wharf show {number}    wharf run {}", words.agent));
    context.remark(&super::table::tidy(&lines.remove(0), context.global.ascii));
    for line in lines {
        context.remark(&super::table::tidy(&line, context.global.ascii));
    }
}

/// The exit code of an ended run.
fn exit_code(line: &RunLine) -> u8 {
    let own = line.exit_code.and_then(|c| u8::try_from(c).ok());
    match line.status {
        RunStatus::Succeeded => own.unwrap_or(exit::DONE),
        RunStatus::TimedOut => code::TIMED_OUT,
        RunStatus::Cancelled => code::CANCELLED,
        _ => {
            let signal = line.signal.as_deref().and_then(crate::process::signal::parse);
            if let Some(signal) = signal {
                return code::SIGNAL.saturating_add(u8::try_from(signal.as_raw()).unwrap_or(0));
            }
            match (line.error_code.as_deref(), own) {
                (Some("command_not_found"), _) => code::NOT_FOUND,
                (Some("command_not_executable"), _) => code::NOT_EXECUTABLE,
                (_, Some(own)) if own != 0 => own,
                // It ended with 0 and was judged to have failed all the same.
                (_, Some(_)) => exit::THING_FAILED,
                _ => code::NOT_RUN,
            }
        }
    }
}

/// Adds what the operator can do about a refusal.
fn explain(error: CliError, args: &RunArgs, here: &Here) -> CliError {
    match error.code.as_str() {
        "agent_not_found" => {
            let names = here.loaded.config.agents.iter().map(|a| a.name.as_str());
            let issue = args.issue.as_ref().map(|i| format!(" --issue {i}")).unwrap_or_default();
            let next = match nearest(&args.agent, names.clone()) {
                Some(near) => format!("wharf run {near}{issue}"),
                None => "wharf agents".to_owned(),
            };
            let error = if names.clone().any(|n| n == args.agent) {
                CliError::new(
                    exit::CONFIG,
                    "config_not_accepted",
                    format!("agent {} is not in the accepted config", args.agent),
                )
                .cause("wharf.toml changed since it was accepted")
                .next("wharf config accept")
            } else {
                CliError::new(exit::NOT_FOUND, "agent_not_found", format!("no agent is called {}", args.agent))
                    .cause(here.agents())
                    .next(next)
            };
            error.entity(args.agent.clone())
        }
        "issue_not_found" => error.next("wharf issues    wharf issue new TITLE"),
        "environment_not_found" => error.next(format!("wharf run {} --env Local", args.agent)),
        "config_not_accepted" => error.next("wharf config accept"),
        _ => error,
    }
}

/// A thread that prints what a run prints.
struct Follower {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Follower {
    fn begin(context: &Context, desk: &mut Desk, id: RunId) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let data = context.data.clone();
        let quiet = context.global.quiet;
        // The directory follows from the attempt, which the claim of the run decides.
        let directory = desk.wait(None, |reader, _| {
            let line = line(reader, id)?.line;
            let directory = (line.attempt > 0).then(|| shim_dir("run", &id.text(), line.attempt)).flatten();
            Ok(match directory {
                Some(directory) => Some(Some(data.join(directory))),
                None if line.status.is_terminal() => Some(None),
                None => None,
            })
        })?;
        let failed = Arc::new(AtomicBool::new(false));
        let (seen, fails) = (Arc::clone(&stop), Arc::clone(&failed));
        let data_at = context.data.clone();
        // Before its first line, since that is where it would be looked for.
        let place = move || wharf_store::Reader::open(&data_at).ok().and_then(|reader| why::place_words(&reader, id));
        let thread = std::thread::Builder::new()
            .name("follow".into())
            .spawn(move || match directory.flatten() {
                Some(directory) => {
                    follow(directory, &seen, quiet, place).inspect_err(|_| fails.store(true, Ordering::Release))
                }
                None => Ok(()),
            })
            .map_err(|e| CliError::internal("no thread can be started").cause(e.to_string()))?;
        Ok(Self { stop, failed, thread })
    }

    /// Whether it prints no more, though the run goes on.
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Waits until everything is printed.
    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(result) => result,
            Err(_) => Err(CliError::internal("the thread that prints ended by a panic")),
        }
    }
}

/// Prints what a shim's child prints, from its start until `stop` is set and nothing more is there; before its first
/// line what `first` says.
pub fn follow(
    directory: PathBuf,
    stop: &AtomicBool,
    quiet: bool,
    first: impl FnOnce() -> Option<String>,
) -> Result<()> {
    let mut following = loop {
        let asked = stop.load(Ordering::Acquire);
        if let Some(following) = Following::open(&directory)? {
            break following;
        }
        if asked {
            return Ok(());
        }
        // Only until the shim has made its first file, a few milliseconds after its start.
        std::thread::sleep(LOG_APPEARS);
    };
    // Before its first line, since that is where it would be looked for.
    if let Some(words) = Some(()).filter(|()| !quiet).and_then(|()| first()) {
        say(&words);
    }
    following.run(&directory, stop, |frame| print_frame(frame, quiet))?;
    Ok(())
}

/// Prints the bytes of one frame where they were printed.
fn print_frame(frame: &Frame<'_>, quiet: bool) -> Result<()> {
    if frame.head.flags & FLAG_GAP != 0 {
        if let Some(words) = gap_words(frame).filter(|_| !quiet) {
            say(&words);
        }
        return Ok(());
    }
    let written = match frame.stream {
        Stream::Stdout | Stream::Terminal => {
            let mut out = std::io::stdout().lock();
            out.write_all(frame.payload).and_then(|()| out.flush())
        }
        Stream::Stderr => std::io::stderr().lock().write_all(frame.payload),
        Stream::Control | Stream::Agent | Stream::Input => Ok(()),
    };
    written.map_err(|e| output_error(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::run_line;

    #[test]
    fn exit_codes_of_runs() {
        let table = [
            ("well", RunStatus::Succeeded, Some(0), None, None, 0),
            ("own code", RunStatus::Failed, Some(3), None, None, 3),
            ("killed", RunStatus::Failed, None, Some("SIGKILL"), None, 137),
            ("terminated", RunStatus::Failed, None, Some("SIGTERM"), None, 143),
            ("time-out", RunStatus::TimedOut, None, Some("SIGTERM"), Some("timeout"), 124),
            ("cancelled", RunStatus::Cancelled, None, Some("SIGTERM"), None, 130),
            ("no command", RunStatus::Failed, None, None, Some("command_not_found"), 127),
            ("no rights", RunStatus::Failed, None, None, Some("command_not_executable"), 126),
            ("no workspace", RunStatus::Failed, None, None, Some("workspace_realization_failed"), 125),
            ("lost", RunStatus::Lost, None, None, Some("process_lost"), 125),
            ("judged", RunStatus::Failed, Some(0), None, Some("no_result"), 8),
        ];
        for (name, status, exit_code, signal, error, wanted) in table {
            let line = RunLine {
                status,
                exit_code,
                signal: signal.map(str::to_owned),
                error_code: error.map(str::to_owned),
                ..run_line()
            };
            assert_eq!(super::exit_code(&line), wanted, "{name}");
        }
    }
}
