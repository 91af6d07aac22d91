//! `wharf demo`: a small project whose agents do real work, to look at or to check with.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clap::Args;
use wharf_model::UnixMillis;
use wharf_store::view::RunQuery;
use wharf_store::{Access, Reader, Store};

use super::context::{Context, Global, say};
use super::error::{CliError, Result, exit};
use super::list::ListArgs;
use super::run_doc::RunsDocument;
use super::runs::runs;
use crate::clock;
use crate::demo::project::{self, Demo, Pace};
use crate::demo::{DemoError, headless, watched};

/// Rows of the ledger that are printed; the demo has fewer.
const ROWS: usize = 500;
/// Exit code after the operator ended it.
const INTERRUPTED: u8 = 130;

/// Options of `wharf demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Play it to its end without the console, check what the agents left, and print the ledger
    #[arg(long)]
    pub headless: bool,
    /// Make it in this directory, which must be new or empty, and keep it
    #[arg(long, value_name = "DIR", conflicts_with = "remove")]
    pub dir: Option<PathBuf>,
    /// Keep its directory
    #[arg(long, conflicts_with = "remove")]
    pub keep: bool,
    /// Stop everything of the demo in this directory, and remove it
    #[arg(long, value_name = "DIR", conflicts_with = "headless")]
    pub remove: Option<PathBuf>,
}

/// Makes a demo and plays it, or opens the console on it.
pub fn demo(global: Global, args: &DemoArgs) -> Result<u8> {
    if let Some(dir) = &args.remove {
        let demo = project::find(dir)?;
        headless::stop(&demo)?;
        demo.remove()?;
        return Ok(exit::DONE);
    }
    let has_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if !args.headless && !has_terminal {
        return Err(CliError::usage("the demo opens the console, which needs a terminal")
            .cause("stdin or stdout is none")
            .next("wharf demo --headless"));
    }
    let program = std::env::current_exe()
        .map_err(|e| CliError::internal("the running program cannot be found").cause(e.to_string()))?;
    let pace = if args.headless { Pace::Brief } else { Pace::Watched };
    let demo = project::make(args.dir.as_deref(), &program, pace)?;
    let context = Context {
        global: Global { project: Some(demo.project.clone()), data_dir: Some(demo.data.clone()), ..global },
        data: demo.data.clone(),
    };
    let keep = args.keep || args.dir.is_some();
    if args.headless { play(&context, &demo, keep) } else { watch(&context, &demo, keep) }
}

/// Plays it to its end.
fn play(context: &Context, demo: &Demo, keep: bool) -> Result<u8> {
    // Made before anything is told, since the files that tell it lie beside the store. The console
    // begins a log of its own.
    drop(Store::open(&demo.data, Access::Create)?);
    super::logging::begin(&demo.data);
    let began = clock::now();
    let kept = |error: CliError| error.next(format!("look at {}", shown(&demo.root)));
    let played = match headless::play(demo) {
        Ok(played) => played,
        Err(DemoError::Interrupted) if !keep => {
            demo.remove()?;
            return Err(DemoError::Interrupted.into());
        }
        Err(error) => return Err(kept(error.into()).next(format!("wharf demo --remove {}", shown(&demo.root)))),
    };
    let printed = ledger(context, began);
    let problems = played.problems();
    let unread = printed.as_ref().is_err_and(|e| e.code == super::context::PIPE_CLOSED);
    if problems.is_empty() && (printed.is_ok() || unread) && !keep {
        demo.remove()?;
    }
    if !unread {
        printed.map_err(|e| kept(e).next(format!("wharf demo --remove {}", shown(&demo.root))))?;
    }
    for finding in played.findings.iter().filter(|_| !context.global.json) {
        let mark = if finding.problem.is_none() { "ok  " } else { "FAIL" };
        context.remark(&format!("{mark}  {} {}", finding.agent, finding.claim));
    }
    context.remark(&format!("played in {:.1} s", played.took.as_secs_f64()));
    if problems.is_empty() {
        if keep {
            context.remark(&format!("kept in {}; remove it with rm -r {0}", shown(&demo.root)));
        }
        return Ok(exit::DONE);
    }
    let message = format!("{} of {} checks of the demo failed", problems.len(), played.findings.len());
    let error = CliError::new(exit::THING_FAILED, "internal", message).cause(problems.join("\n"));
    Err(kept(error).next(format!("wharf demo --remove {}", shown(&demo.root))))
}

/// Prints the ledger of the demo.
fn ledger(context: &Context, now: UnixMillis) -> Result<()> {
    if !context.global.json {
        runs(context, &ListArgs { filter: Vec::new(), no_header: false, limit: ROWS, after: None })?;
        return Ok(());
    }
    let page = Reader::open(&context.data)?.runs(&RunQuery::default(), None, ROWS)?;
    context.document(&RunsDocument::whole("wharf.demo/1", &context.data, &page.rows, now))
}

/// Starts it and opens the console on it.
fn watch(context: &Context, demo: &Demo, keep: bool) -> Result<u8> {
    context.remark(&format!("the demo is in {}", shown(&demo.root)));
    let opened = watched::begin(demo).map_err(CliError::from).and_then(|()| super::console::open_on(context, true));
    let code = match opened {
        Ok(code) => code,
        Err(error) => {
            // Nobody would look after what was begun.
            headless::stop(demo)?;
            if !keep {
                demo.remove()?;
            }
            return Err(error);
        }
    };
    let live = watched::live(demo)?;
    if live == 0 && !keep {
        demo.remove()?;
        context.remark("the demo has ended and is removed");
        return Ok(code);
    }
    let place = shown(&demo.root);
    let what = if live == 0 { "has ended".to_owned() } else { format!("goes on with {live} runs and services") };
    // Said even when remarks are off: something lives, or was left, and only this tells where.
    say(&format!(
        "the demo {what}\nopen:   wharf --data-dir {} --project {}\nremove: wharf demo --remove {place}",
        shown(&demo.data),
        shown(&demo.project)
    ));
    Ok(code)
}

/// A path as a shell takes it.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        let message = error.to_string();
        match error {
            DemoError::Store(error) => error.into(),
            DemoError::Refused { code, .. } => Self::new(super::error::exit_of(&code), &code, message),
            DemoError::NotEmpty { .. } | DemoError::NoDemo { .. } | DemoError::Held(_) => {
                Self::new(exit::REFUSED, "illegal_state", message)
            }
            DemoError::Path { .. } => Self::usage(message),
            DemoError::Late(_) => Self::new(exit::NO_ANSWER, "timeout", message),
            DemoError::Interrupted => Self::new(INTERRUPTED, "cancelled", "the demo was interrupted"),
            DemoError::Io { .. } | DemoError::Git { .. } | DemoError::Ended(_) => {
                Self::new(exit::THING_FAILED, "internal", message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        let table = [("/tmp/wharf-demo-1", "/tmp/wharf-demo-1"), ("/a b", "'/a b'"), ("/it's", "'/it'\\''s'")];
        for (path, expected) in table {
            assert_eq!(shown(Path::new(path)), expected);
        }
    }
}
