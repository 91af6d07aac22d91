//! The command line: every verb of the console for scripts and quick hands (contracts 9, screens 6).

mod agent;
mod attach;
mod backup;
mod cancel;
mod console;
mod context;
mod demo;
mod desk;
mod diff;
mod docs;
mod doctor;
pub(crate) mod documents;
mod env;
mod error;
mod filter;
mod follow;
mod gc;
mod inside;
mod issue;
mod lease;
mod list;
mod lists;
mod logging;
mod logs;
mod plugin;
mod project;
mod resolve;
mod run;
mod run_doc;
mod runs;
mod serve;
mod service;
mod setup;
mod shell;
mod show;
mod signals;
mod table;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
mod vacant;
mod why;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::{Context, Global, say};
use error::{CliError, Result, exit};

/// Runs agents on this machine, and shows and steers what they do.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, about)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What is asked. Every command says in one line what it is for and shows one use of it.
#[derive(Debug, Subcommand)]
enum Command {
    /// Start a run of an agent
    #[command(after_help = "Example:\n  wharf run fixer --issue SHOP-17 --prompt 'fix the test' --follow\n\n\
        With --wait or --follow the exit code is the run's own; 128+n when signal n killed it, 124 after its time\n\
        limit, 125 when it could not be run, 126 and 127 when its command is not executable or not there, 130 when\n\
        it was cancelled, or left going by ctrl-C or because nobody reads what is followed. Without a run the codes are those of every command.")]
    Run(run::RunArgs),
    /// List runs: the open ones first, then the ended ones
    #[command(after_help = runs::KNOWS.help("wharf runs status:failed agent:fixer since:2h"))]
    Runs(list::ListArgs),
    /// Show one thing with everything around it
    #[command(after_help = "Example:\n  wharf show R-12")]
    Show(show::ShowArgs),
    /// Say why a run stands as it does: what it waits for, how it ended, where it works
    #[command(after_help = "Example:\n  wharf why R-12")]
    Why(why::WhyArgs),
    /// Print what a run or a service printed
    #[command(after_help = "Example:\n  wharf logs R-12 -f")]
    Logs(logs::LogsArgs),
    /// Print what a run or a workspace changed, or how two runs ended differently
    #[command(
        after_help = "Example:\n  wharf diff R-12 src/\n\nPrints a patch that `git apply` takes: committed, staged, unstaged and untracked changes as one. A run's are\n\
        those since it began, a workspace's those since its base. With a second run: from the end of the first to that\n\
        of the second. Exits with 8 when a file had to be left out."
    )]
    Diff(diff::DiffArgs),
    /// Stop a run and wait until nothing of it is left
    #[command(after_help = "Example:\n  wharf cancel R-12 --grace 5s")]
    Cancel(cancel::CancelArgs),
    /// Decide about a run that wharf cannot judge
    #[command(after_help = "Example:\n  wharf resolve R-12 lost")]
    Resolve(resolve::ResolveArgs),
    /// Open a shell where a run works
    #[command(after_help = "Example:\n  wharf shell R-12")]
    Shell(shell::ShellArgs),
    /// Have the terminal of a run whose agent has one
    #[command(
        after_help = "Example:\n  wharf attach R-12\n\nKeys go to the run; ctrl-g d leaves it running, ctrl-g twice sends one ctrl-g."
    )]
    Attach(attach::AttachArgs),
    /// List leases of environments
    #[command(after_help = lists::LEASES.help("wharf leases --held env:Local"))]
    Leases {
        #[command(flatten)]
        list: list::ListArgs,
        /// Only those that have not ended
        #[arg(long)]
        held: bool,
    },
    /// Release, destroy, extend and keep leases
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// List environments of the company
    #[command(after_help = lists::ENVIRONMENTS.help("wharf environments kind:ssh"))]
    Environments(list::ListArgs),
    /// Make, change, probe and test environments
    #[command(subcommand)]
    Env(env::EnvCommand),
    /// List services
    #[command(after_help = lists::SERVICES.help("wharf services status:running health:unhealthy"))]
    Services {
        #[command(flatten)]
        list: list::ListArgs,
        /// Also those of runs that have ended
        #[arg(long)]
        all: bool,
    },
    /// List ports that services have or want, and who listens there
    #[command(after_help = lists::PORTS.help("wharf ports kind:stranger"))]
    Ports(list::ListArgs),
    /// Start, stop and read services
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// List workspaces
    #[command(after_help = lists::WORKSPACES.help("wharf workspaces issue:SHOP-17"))]
    Workspaces {
        #[command(flatten)]
        list: list::ListArgs,
        /// Also those that were archived
        #[arg(long)]
        archived: bool,
        /// Look into their directories: what changed, what is merged, how large; takes a minute at most
        #[arg(long, conflicts_with = "reap")]
        inventory: bool,
        #[command(flatten)]
        reap: workspace::ReapArgs,
    },
    /// Archive, keep and bring back workspaces, and run jobs in them
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    /// List agents
    #[command(after_help = lists::AGENTS.help("wharf agents status:running"))]
    Agents(list::ListArgs),
    /// Forget the sessions of agents
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// List issues
    #[command(after_help = lists::ISSUES.help("wharf issues status:live agent:fixer"))]
    Issues(list::ListArgs),
    /// Make, change and close issues
    #[command(subcommand)]
    Issue(setup::IssueCommand),
    /// List who changed what
    #[command(after_help = lists::ACTIVITY.help("wharf activity since:today by:operator 'kind:run.*'"))]
    Activity(list::ListArgs),
    /// List projects
    #[command(after_help = lists::PROJECTS.help("wharf projects"))]
    Projects(list::ListArgs),
    /// Make projects known
    #[command(subcommand)]
    Project(setup::ProjectCommand),
    /// Check, show and accept the project's wharf.toml
    #[command(subcommand)]
    Config(setup::ConfigCommand),
    /// Write a first wharf.toml for the current directory
    #[command(after_help = "Example:\n  wharf init")]
    Init,
    /// Look at everything wharf stands on
    #[command(after_help = "Example:\n  wharf doctor --repair")]
    Doctor(doctor::DoctorArgs),
    /// Make a whole copy of the store, beside whoever works with it
    #[command(after_help = "Example:\n  wharf backup /mnt/backups/wharf.db")]
    Backup(backup::BackupArgs),
    /// Replace the store by a backup; what it replaces is kept aside
    #[command(
        after_help = "Example:\n  wharf restore ~/.local/share/wharf/backups/wharf-20260101T120000.000Z-asked.db"
    )]
    Restore(backup::RestoreArgs),
    /// Remove what is kept no longer: old logs, directories in the trash, snapshots
    #[command(
        after_help = "Example:\n  wharf gc --dry-run\n\nThe logs of ended runs are kept as long as [retention] run_logs says in the user's\n\
        own file, 30 days by default and for ever with \"0s\". The rows of the runs stay. So it is with snapshots of\n\
        workspaces (snapshots, 30 days) and the directories of archived ones (workspaces_after_close, 7 days)."
    )]
    Gc(gc::GcArgs),
    /// Make a small project whose agents do real work, and open the console on it
    #[command(after_help = "Example:\n  wharf demo --headless")]
    Demo(demo::DemoArgs),
    /// Try out and write plugins that provide environments
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Orchestrate without a screen
    #[command(after_help = "Example:\n  wharf serve --until-idle")]
    Serve(serve::ServeArgs),
    /// Inside a run: leave a comment on its issue
    #[command(after_help = "Example:\n  wharf comment 'found the cause'")]
    Comment(inside::SayArgs),
    /// Inside a run: name what is to be done next
    #[command(after_help = "Example:\n  wharf next-action 'review the diff'")]
    NextAction(inside::SayArgs),
    /// Inside a run: tell of a service that its adapter keeps
    #[command(after_help = "Example:\n  wharf report-service preview --url http://127.0.0.1:4000/ --port 4000")]
    ReportService(inside::ReportServiceArgs),
    /// Inside a run: tell in which session, and where, the agent's next run goes on
    #[command(after_help = "Example:\n  wharf session 0198c2f4-7d --cwd ~/notes\n\n\
        The agent's next run that has no project to work in (mode agent_default) works in that directory.\n\
        `wharf session --clear` says that the session is over; an operator says so by `wharf agent reset-session`.")]
    Session(inside::SessionArgs),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.global.json;
    match start(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.code == context::PIPE_CLOSED => ExitCode::from(exit::DONE),
        Err(error) => {
            tell(&error, json);
            ExitCode::from(error.exit)
        }
    }
}

fn start(cli: Cli) -> Result<u8> {
    crate::process::signal::outlive_limits();
    // The demo has a data directory of its own and leaves the operator's alone.
    if let Some(Command::Demo(args)) = &cli.command {
        return demo::demo(cli.global, args);
    }
    let context = Context::new(cli.global)?;
    wharf_store::on_point(crate::process::kill_point::kill_point);
    // The console keeps its log in memory as well, for its own screen.
    if cli.command.is_some() {
        logging::begin(&context.data);
    }
    carry_out(&context, cli.command.as_ref()).map_err(|error| with_log(error, &context))
}

/// Tells of a defect that ended the command, whose report is in the log.
pub fn unexpected(cause: &str) -> ExitCode {
    let log =
        logging::begun().map_or_else(|| "there is no log yet".to_owned(), |d| format!("the log in {}", d.display()));
    let error = CliError::internal("wharf failed unexpectedly; this is a defect of it").cause(cause).next(log);
    tell(&error, std::env::args_os().any(|a| a == "--json"));
    ExitCode::from(exit::INTERNAL)
}

/// What is unforeseen stands in the log, and says where that is.
fn with_log(error: CliError, context: &Context) -> CliError {
    if error.exit != exit::INTERNAL || error.code == context::PIPE_CLOSED {
        return error;
    }
    tracing::error!(code = error.code, cause = error.cause, "{}", error.message);
    let directory = logging::directory(&context.data);
    if directory.exists() { error.next(format!("the log is in {}", directory.display())) } else { error }
}

fn tell(error: &CliError, json: bool) {
    say(&if json { error.json().to_string() } else { error.human() });
}

/// Help goes to stdout; a wrong command line to stderr, as JSON when that was asked.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nobody may be reading.
        let _gone = error.print();
        return ExitCode::from(exit::DONE);
    }
    if std::env::args_os().any(|a| a == "--json") {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        tell(&CliError::usage(message).next("wharf --help"), true);
    } else {
        let _gone = error.print();
    }
    ExitCode::from(exit::USAGE)
}

fn carry_out(context: &Context, command: Option<&Command>) -> Result<u8> {
    let Some(command) = command else { return console::open(context) };
    match command {
        Command::Demo(args) => demo::demo(context.global.clone(), args),
        Command::Run(args) => run::run(context, args),
        Command::Runs(args) => runs::runs(context, args),
        Command::Show(args) => show::show(context, args),
        Command::Why(args) => why::why(context, args),
        Command::Logs(args) => logs::logs(context, args),
        Command::Diff(args) => diff::diff(context, args),
        Command::Cancel(args) => cancel::cancel(context, args),
        Command::Resolve(args) => resolve::resolve(context, args),
        Command::Attach(args) => attach::attach(context, args),
        Command::Shell(args) => shell::shell(context, args),
        Command::Leases { list, held } => lists::leases(context, list, *held),
        Command::Lease(command) => lease::lease(context, command),
        Command::Environments(args) => lists::environments(context, args),
        Command::Env(command) => env::env(context, command),
        Command::Services { list, all } => lists::services(context, list, *all),
        Command::Ports(args) => lists::ports(context, args),
        Command::Service(command) => service::service(context, command),
        Command::Workspaces { reap, .. } if reap.reap => workspace::reap(context, reap),
        Command::Workspaces { list, archived, inventory, .. } => {
            lists::workspaces(context, list, *archived, *inventory)
        }
        Command::Workspace(command) => workspace::workspace(context, command),
        Command::Agents(args) => lists::agents(context, args),
        Command::Agent(command) => agent::agent(context, command),
        Command::Issues(args) => lists::issues(context, args),
        Command::Issue(setup::IssueCommand::New(args)) => setup::new_issue(context, args),
        Command::Issue(setup::IssueCommand::Comment(args)) => setup::comment(context, args),
        Command::Issue(setup::IssueCommand::Set(args)) => issue::set(context, args),
        Command::Issue(setup::IssueCommand::Close(args)) => issue::close(context, args),
        Command::Activity(args) => lists::activity(context, args),
        Command::Projects(args) => lists::projects(context, args),
        Command::Project(setup::ProjectCommand::Add(args)) => setup::add(context, args),
        Command::Config(command) => setup::config(context, command),
        Command::Init => setup::init(context),
        Command::Doctor(args) => doctor::doctor(context, args),
        Command::Backup(args) => backup::backup(context, args),
        Command::Restore(args) => backup::restore(context, args),
        Command::Gc(args) => gc::gc(context, args),
        Command::Plugin(command) => plugin::plugin(context, command),
        Command::Serve(args) => serve::serve(context, args),
        Command::Comment(args) => inside::tell(context, "comment", args),
        Command::NextAction(args) => inside::tell(context, "next_action", args),
        Command::ReportService(args) => inside::report_service(context, args),
        Command::Session(args) => inside::session(context, args),
    }
}
