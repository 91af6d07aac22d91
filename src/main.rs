//! The `wharf` program.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else: a shim stays free of whatever the console needs at its start.
    if arguments.next().is_some_and(|first| first == "shim") {
        let status = wharf::shim::main(arguments.next().as_deref());
        return ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX));
    }
    if std::env::args_os().len() == 1 {
        let data = std::env::var_os("WHARF_DATA_DIR").map(std::path::PathBuf::from);
        let home = std::env::var_os("HOME").map(|h| std::path::PathBuf::from(h).join(".local/share/wharf"));
        if let (Some(data), Ok(directory)) = (data.or(home), std::env::current_dir()) {
            let look = wharf::console::Look::default();
            return wharf::console::open(wharf::console::Options { data, directory, look });
        }
    }
    // The command line takes over here.
    let _ = writeln!(std::io::stderr(), "usage: wharf shim DIR");
    ExitCode::from(2)
}
