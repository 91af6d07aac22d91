//! The program's own log: a file for each day, and the newest records in memory for Diagnostics.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

/// Days whose files are kept.
const DAYS: usize = 14;
/// Records kept in memory.
const RECORDS: usize = 2_000;

static DONE: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Begins to log into `log/` of the data directory, once for the process. `WHARF_LOG` chooses what
/// (the default is `info`).
///
/// # Errors
/// Why there is no log file; the console works without one.
pub fn start(data: &Path) -> Result<(), String> {
    DONE.get_or_init(|| begin(data)).as_ref().map(|_| ()).map_err(Clone::clone)
}

/// Where this process's log lies, once it is begun.
pub fn place() -> Option<PathBuf> {
    DONE.get()?.as_ref().ok().cloned()
}

fn begin(data: &Path) -> Result<PathBuf, String> {
    let dir = data.join("log");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    made.map_err(|e| format!("no log can be written to {}: {e}", dir.display()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("wharf")
        .filename_suffix("log")
        .max_log_files(DAYS)
        .build(&dir)
        .map_err(|e| format!("no log can be written to {}: {e}", dir.display()))?;
    let filter = || EnvFilter::try_from_env("WHARF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let text = tracing_subscriber::fmt::layer().with_writer(file).with_ansi(false).with_filter(filter());
    let memory = tui_logger::TuiTracingSubscriberLayer.with_filter(filter());
    let all = tracing_subscriber::registry().with(text).with(memory);
    tracing::subscriber::set_global_default(all).map_err(|e| format!("a log was begun before: {e}"))?;
    tui_logger::set_default_level(tui_logger::LevelFilter::Info);
    tui_logger::set_buffer_depth(RECORDS);
    Ok(dir)
}
