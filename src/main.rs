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
    // What turns into, or stands beside, a command in a sandbox.
    if first.as_ref().is_some_and(|first| first == wharf::environment::sandbox::hand::NAME) {
        return ExitCode::from(wharf::environment::sandbox::hand::main(arguments));
    }
    // What a target puts before a command: it must be that command, and nothing else.
    if first.as_ref().is_some_and(|first| first == "target") {
        return ExitCode::from(wharf::cli::target::main(arguments));
    }
    // What the demo's agents call touches nobody's data directory.
    if first.is_some_and(|first| first == "demo-hand") {
        return ExitCode::from(wharf::demo::hand::main(arguments));
    }
    let (report, _) = color_eyre::config::HookBuilder::default().display_env_section(false).into_hooks();
    // The report is for the log; the terminal gets what an operator can use.
    std::panic::set_hook(Box::new(move |info| tracing::error!("{}", report.panic_report(info))));
    std::panic::catch_unwind(wharf::cli::main).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
        wharf::cli::unexpected(said.as_deref().unwrap_or("a panic without words"))
    })
}
