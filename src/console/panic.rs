//! What a panic leaves behind: a terminal that works, and words in the log.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::thread::{self, ThreadId};

use super::terminal;

static SET: Once = Once::new();

/// Sets the hook, once. A panic of the calling thread, which draws, gives the terminal back before
/// it ends the program; one of another thread is only logged, since the console goes on.
pub fn set_hook() {
    SET.call_once(|| {
        let drawing = thread::current().id();
        std::panic::set_hook(Box::new(move |info| report(drawing, info)));
    });
}

fn report(drawing: ThreadId, info: &PanicHookInfo<'_>) {
    let words = words(info);
    let trace = Backtrace::force_capture();
    if thread::current().id() == drawing {
        // First of all: whatever fails below, the operator can type again. The words for the
        // terminal are those of the program's end.
        terminal::give_back();
    }
    let name = thread::current().name().unwrap_or("unnamed").to_owned();
    tracing::error!(thread = %name, "panic: {words}\n{trace}");
}

fn words(info: &PanicHookInfo<'_>) -> String {
    let what = info
        .payload()
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| info.payload().downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    match info.location() {
        Some(at) => format!("{what} ({}:{})", at.file(), at.line()),
        None => what,
    }
}
