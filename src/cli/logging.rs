//! What wharf does is told in files of the data directory, never on the terminal.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};

use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Days of which files are kept.
const FILES_KEPT: usize = 14;

static BEGUN: Once = Once::new();
static WHERE: OnceLock<PathBuf> = OnceLock::new();

/// The directory that is written to, once it is.
pub fn begun() -> Option<PathBuf> {
    WHERE.get().cloned()
}

/// Where the files lie.
pub fn directory(data: &Path) -> PathBuf {
    data.join("log")
}

/// Begins to write them, once for each process, in a data directory that has a store. A place that
/// cannot be written is left alone: nothing of a command depends on it.
pub fn begin(data: &Path) {
    if !data.join("VERSION").exists() {
        return;
    }
    BEGUN.call_once(|| {
        let directory = directory(data);
        if DirBuilder::new().recursive(true).mode(0o700).create(&directory).is_err() {
            return;
        }
        let files = RollingFileAppender::builder()
            .rotation(Rotation::DAILY)
            .filename_prefix("wharf")
            .filename_suffix("log")
            .max_log_files(FILES_KEPT)
            .build(&directory);
        let Ok(files) = files else { return };
        let level = EnvFilter::try_from_env("WHARF_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt::layer().with_writer(files).with_ansi(false).with_target(true);
        let _first = WHERE.set(directory);
        // Somebody else has set one in this process: theirs stays.
        let _taken = tracing_subscriber::registry().with(level).with(lines).try_init();
    });
}
