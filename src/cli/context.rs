//! What every command knows: where the data lies, how to print, who asks.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use wharf_store::{Reader, StoreError};
use wharf_ui::format::Zone;

use super::error::{CliError, Result};

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Data directory; else that of the environment, else ~/.local/share/wharf
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub data_dir: Option<PathBuf>,
    /// A directory of the project that is meant; else the current one
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub project: Option<PathBuf>,
    /// Print one JSON document on stdout, and errors as JSON on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Leave out progress and remarks on stderr
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
    /// Show moments in UTC
    #[arg(long, global = true, help_heading = "Global options")]
    pub utc: bool,
    /// Write glyphs as ASCII characters
    #[arg(long, global = true, help_heading = "Global options")]
    pub ascii: bool,
    /// End a stopped orchestrator and take its place; one that runs only when that is confirmed
    #[arg(long, global = true, help_heading = "Global options")]
    pub take_over: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Global options")]
    pub color: Color,
}

/// When colour is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that nobody asked to stay without
    Auto,
    /// Also in files and pipes
    Always,
    /// Nowhere
    Never,
}

/// What a command works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Options given.
    pub global: Global,
    /// Data directory.
    pub data: PathBuf,
}

/// The data directory that the environment means.
fn data_dir(given: Option<&PathBuf>) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let found = given
        .cloned()
        .or_else(|| set("WHARF_DATA_DIR"))
        .or_else(|| set("XDG_DATA_HOME").filter(|p| p.is_absolute()).map(|p| p.join("wharf")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/wharf")));
    let Some(found) = found else {
        return Err(CliError::usage("no data directory is known")
            .cause("neither WHARF_DATA_DIR, XDG_DATA_HOME nor HOME is set")
            .next("wharf --data-dir DIR …"));
    };
    std::path::absolute(&found).map_err(|e| CliError::usage(format!("{}: {e}", found.display())))
}

impl Context {
    /// Reads the environment.
    pub fn new(global: Global) -> Result<Self> {
        let data = data_dir(global.data_dir.as_ref())?;
        Ok(Self { global, data })
    }

    /// The directory whose project is meant.
    pub fn project_dir(&self) -> Result<PathBuf> {
        let given = match &self.global.project {
            Some(given) => given.clone(),
            None => std::env::current_dir()
                .map_err(|e| CliError::usage("the current directory cannot be used").cause(e.to_string()))?,
        };
        given.canonicalize().map_err(|e| {
            CliError::new(
                super::error::exit::NOT_FOUND,
                "cwd_missing",
                format!("{} is no directory here", given.display()),
            )
            .cause(e.to_string())
            .next("give the directory of a project with --project DIR")
        })
    }

    /// Opens the store for reading; none when there is no store yet.
    pub fn reader(&self) -> Result<Option<Reader>> {
        match Reader::open(&self.data) {
            Ok(reader) => Ok(Some(reader)),
            Err(StoreError::Missing { .. }) => {
                self.remark(&format!("no store in {} yet; the first `wharf run` makes it", self.data.display()));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the store for reading, for what makes no sense without one.
    pub fn store(&self) -> Result<Reader> {
        Ok(Reader::open(&self.data)?)
    }

    /// Opens the store for reading, in which something is looked for.
    pub fn reader_for(&self, wanted: &str) -> Result<Reader> {
        self.store().map_err(|error| if error.code == "store_missing" { error.entity(wanted) } else { error })
    }

    /// Prints a document for programs.
    #[expect(clippy::unused_self, reason = "all that a command prints goes through its context")]
    pub fn document(&self, document: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(document)
            .map_err(|e| CliError::internal("a document cannot be written").cause(e.to_string()))?;
        text.push('\n');
        print(text.as_bytes())
    }

    /// Says something that is no data.
    pub fn remark(&self, text: &str) {
        if !self.global.quiet && !self.global.json {
            say(text);
        }
    }

    /// Says what the operator must know whatever was asked; with `--json` as one object in a line of its own.
    pub fn warn(&self, code: &str, text: &str) {
        if self.global.json {
            say(&serde_json::json!({ "warning": { "code": code, "message": text } }).to_string());
        } else {
            say(text);
        }
    }

    /// Whether stdout shows colour.
    pub fn colour(&self) -> bool {
        match self.global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
            }
        }
    }

    /// Where moments are shown.
    pub fn zone(&self) -> Zone {
        if self.global.utc {
            return Zone::UTC;
        }
        let east = chrono::Local::now().offset().local_minus_utc();
        Zone { east_seconds: east, utc: false }
    }
}

/// Writes data to stdout.
///
/// # Errors
/// A reader that has gone ends the command quietly; anything else is told.
pub fn print(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| output_error(&e))
}

/// What became of stdout.
pub fn output_error(error: &std::io::Error) -> CliError {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return CliError::new(super::error::exit::DONE, PIPE_CLOSED, "nobody reads the output any more");
    }
    CliError::new(super::error::exit::INTERNAL, "internal", "the output cannot be written").cause(error.to_string())
}

/// Code of the error that is none: whoever read the output has seen enough.
pub const PIPE_CLOSED: &str = "pipe_closed";

/// Writes a line to stderr; where that is gone, nobody is there to be told.
pub fn say(text: &str) {
    let mut line = text.to_owned();
    line.push('\n');
    let _gone = std::io::stderr().lock().write_all(line.as_bytes());
}
