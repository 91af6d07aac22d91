//! The `wharf` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else: a shim stays free of whatever the console needs at its start.
    if arguments.next().is_some_and(|first| first == "shim") {
        let status = wharf::shim::main(arguments.next().as_deref());
        return ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX));
    }
    wharf::cli::main()
}
