//! The `wharf` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next();
    // Before anything else: a shim stays free of whatever the console needs at its start.
    if first.as_ref().is_some_and(|first| first == "shim") {
        let status = wharf::shim::main(arguments.next().as_deref());
        return ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX));
    }
    // What the demo's agents call touches nobody's data directory.
    if first.is_some_and(|first| first == "demo-hand") {
        return ExitCode::from(wharf::demo::hand::main(arguments));
    }
    wharf::cli::main()
}
