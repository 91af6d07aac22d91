//! A shell exactly where a run with a lease would be: through the lease's own driver, never silently on this machine.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use wharf_model::rules::lease_verb::{self, Verb};
use wharf_model::{Driver as Kind, EnvironmentRow, Kind as Letter, LeaseId, LeaseRow, LeaseStatus};
use wharf_store::Reader;
use wharf_store::view::{ReleaseFacts, RunDetail};

use super::super::context::Context;
use super::super::desk::{Ask, Desk};
use super::super::error::{CliError, Result, exit};
use crate::adapter::environment::{Allow, allowed};
use crate::clock;
use crate::dispatch::input::Realisation;
use crate::environment::driver::{AcquireAsk, Answer, Driver, Held, Outcome, Resumed};
use crate::environment::target::{EnvPass, Inside, Target, Wrapped};
use crate::environment::{Site, registry};
use crate::run::lease::held;

/// Time that a driver has for one call.
const CALL: Duration = Duration::from_secs(120);

/// Everything that the shell is made from.
struct Place {
    number: String,
    facts: ReleaseFacts,
    detail: Option<RunDetail>,
    project: Option<wharf_model::ProjectRow>,
    operator: Arc<BTreeMap<String, String>>,
}

/// Opens a shell where a lease leads, and comes back with its exit code.
pub fn shell(context: &Context, reader: &Reader, id: LeaseId, number: &str) -> Result<u8> {
    let gone = || CliError::internal(format!("{number} is not in the store any more"));
    let facts = reader.release_facts(id)?.ok_or_else(gone)?;
    lease_verb::effect(&facts.judged_for_verb(), Verb::Shell, clock::now())
        .map_err(|why| refused(number, &why.to_string()))?;
    // What cannot be opened is not recorded as opened.
    let place = Place::gather(reader, facts, number)?;
    let driver = place.driver(context)?;
    record(context, id)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|e| CliError::internal("no threads can be started").cause(e.to_string()))?;
    let code = runtime.block_on(open(context, &place, &*driver));
    // A thread that still reads the terminal's input ends with the process.
    runtime.shutdown_background();
    code
}

fn refused(number: &str, cause: &str) -> CliError {
    CliError::new(exit::REFUSED, "illegal_state", format!("no shell can be opened in {number}"))
        .cause(cause)
        .next(format!("wharf show {number}"))
        .entity(number)
}

/// Writes the request, so that the trail has it and the lease counts as used.
fn record(context: &Context, id: LeaseId) -> Result<()> {
    let mut desk = Desk::open(context)?;
    let asked = desk.ask(Ask {
        kind: "lease.shell",
        target_type: "lease",
        target_id: Some(id.text()),
        args: json!({}),
        expect: None,
    });
    desk.close();
    asked.map(drop)
}

impl Place {
    fn gather(reader: &Reader, facts: ReleaseFacts, number: &str) -> Result<Self> {
        let detail = match facts.lease.lease.run_id {
            Some(run) => reader.run_detail(run)?,
            None => None,
        };
        let project = match &detail {
            Some(detail) => reader.project(detail.run.project_id)?,
            None => None,
        };
        let operator = Arc::new(std::env::vars().collect());
        Ok(Self { number: number.to_owned(), facts, detail, project, operator })
    }

    fn lease(&self) -> &LeaseRow {
        &self.facts.lease.lease
    }

    fn environment(&self) -> &EnvironmentRow {
        &self.facts.environment
    }

    fn error(&self, code: &str, cause: impl Into<String>) -> CliError {
        let message = format!("no shell can be opened in {}", self.number);
        CliError::new(exit::THING_FAILED, code, message).cause(cause).entity(self.number.clone())
    }

    fn driver(&self, context: &Context) -> Result<Arc<dyn Driver>> {
        let environment = self.environment();
        let config = self.lease().config.clone().unwrap_or_else(|| environment.driver_config());
        let site = Site::of(&context.data, &self.operator, environment);
        let failed = |e: registry::NoDriver| {
            self.error("unsupported_environment", format!("environment {}: {e}", environment.name))
                .next(format!("wharf show {}", Letter::Environment.number(environment.number)))
        };
        let driver = registry::driver(environment.driver, &config, &site).map_err(failed)?;
        if driver.capabilities().execute {
            return Ok(driver);
        }
        Err(self.error("unsupported_environment", format!("no command can be run in {}", environment.name)))
    }

    fn answered<T>(&self, answer: Answer<T>) -> Result<T> {
        match answer {
            Answer::Done(value) => Ok(value),
            Answer::Refused { code, hint } => Err(self.error(&code, hint)),
            Answer::Unknown { evidence } => Err(self
                .error("transport_resolution_failed", evidence)
                .next(format!("wharf env probe {}", self.environment().name))),
        }
    }

    fn realisation(&self) -> Option<Realisation> {
        serde_json::from_value(self.lease().realisation.clone()?).ok()
    }

    /// The directory of this machine that it is about.
    fn here(&self) -> Option<String> {
        let workspace = self.facts.workspace.as_ref().and_then(|w| w.cwd.clone());
        workspace.or_else(|| self.project.as_ref().map(|p| p.path.clone()))
    }

    /// What a run there is told of where it is; nothing of its own token or tag.
    fn variables(&self, cwd: &str) -> BTreeMap<String, String> {
        let (lease, environment) = (self.lease(), self.environment());
        let mut all = BTreeMap::from([
            ("WHARF_LEASE_ID".to_owned(), lease.id.text()),
            ("WHARF_ENVIRONMENT_ID".to_owned(), environment.id.text()),
            ("WHARF_ENVIRONMENT_NAME".to_owned(), environment.name.clone()),
            ("WHARF_ENVIRONMENT_DRIVER".to_owned(), environment.driver.to_string()),
            ("WHARF_WORKSPACE_CWD".to_owned(), cwd.to_owned()),
        ]);
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                all.insert(name.to_owned(), value);
            }
        };
        set("WHARF_LEASE_FENCE", lease.fence.map(|f| f.to_string()));
        set("WHARF_WORKSPACE_ID", self.facts.workspace.as_ref().map(|w| w.id.text()));
        set("WHARF_WORKSPACE_BRANCH", self.facts.workspace.as_ref().and_then(|w| w.branch_name.clone()));
        set("WHARF_PROJECT_ID", self.project.as_ref().map(|p| p.id.text()));
        set("WHARF_PROJECT_KEY", self.project.as_ref().map(|p| p.key.clone()));
        if let Some(detail) = &self.detail {
            set("WHARF_RUN_ID", Some(detail.run.id.text()));
            set("WHARF_RUN_NUMBER", Some(Letter::Run.number(detail.run.number)));
            set("WHARF_AGENT_NAME", detail.line.agent.clone());
            set("WHARF_ISSUE_IDENTIFIER", detail.line.issue.clone());
        }
        all
    }

    fn ask(&self) -> AcquireAsk {
        let (lease, environment) = (self.lease(), self.environment());
        AcquireAsk {
            lease: lease.id,
            number: self.number.clone(),
            fence: lease.fence.unwrap_or(0),
            environment: environment.id,
            environment_name: environment.name.clone(),
            company: lease.company_id,
            policy: lease.lease_policy,
            run: lease.run_id,
            issue: lease.issue_id,
            workspace: lease.execution_workspace_id,
            project: self.project.as_ref().map(|p| PathBuf::from(&p.path)),
            ttl_ms: environment.ttl_ms,
        }
    }
}

async fn call<T>(place: &Place, call: crate::environment::driver::Call<'_, T>) -> Result<T> {
    let late = || Answer::unknown(format!("the driver did not answer within {} s", CALL.as_secs()));
    place.answered(tokio::time::timeout(CALL, call).await.unwrap_or_else(|_| late()))
}

async fn open(context: &Context, place: &Place, driver: &dyn Driver) -> Result<u8> {
    let mut there = held(place.lease());
    let kept = place.lease().status == LeaseStatus::Retained;
    let resumed = kept && there.provider_lease_id.is_some();
    if let Some(provider_id) = there.provider_lease_id.clone().filter(|_| resumed) {
        context.remark(&format!("taking up what {} was laid by with", place.number));
        let ask = place.ask();
        match call(place, driver.resume(&ask, &provider_id, &there.facts)).await? {
            Resumed::Held(found) => {
                there = Held { provider_lease_id: found.provider_lease_id, facts: found.facts, ..there };
            }
            Resumed::Gone => {
                return Err(place
                    .error("illegal_state", format!("{} does not have it any more", place.environment().name))
                    .next(format!("wharf lease release {}", place.number)));
            }
        }
    }
    let realised = place.realisation().map(|r| r.result);
    let opened = match call(place, driver.target(&there, realised.as_ref())).await {
        Ok(target) => run(context, place, &target, realised.map(|r| r.cwd)).await,
        Err(error) => Err(error),
    };
    if resumed && still_kept(context, place) {
        // As it was found: nobody pays for a place that nobody is in.
        if let Err(error) = call(place, driver.release(&there, Outcome::Kept)).await {
            context.remark(&format!(
                "{} could not be laid by again: {}",
                place.number,
                error.cause.clone().unwrap_or_default()
            ));
        }
    }
    opened
}

/// Whether nobody has taken the lease over or given it back meanwhile.
fn still_kept(context: &Context, place: &Place) -> bool {
    let now = context.store().and_then(|reader| Ok(reader.lease(place.lease().id)?));
    now.is_ok_and(|item| item.is_some_and(|l| l.lease.status == LeaseStatus::Retained))
}

async fn run(context: &Context, place: &Place, target: &Target, there: Option<String>) -> Result<u8> {
    let environment = place.environment();
    let beside = environment.driver != Kind::Local;
    if beside && target.is_here() {
        let cause =
            format!("{} leads to no place of its own, and a shell on this machine is not one in it", environment.name);
        return Err(place.error("unsupported_environment", cause));
    }
    let here = place.here();
    let Some(cwd) = there.filter(|_| beside).or_else(|| here.as_deref().map(|dir| target.map_path(dir))) else {
        return Err(place.error("cwd_missing", "neither a workspace nor a project belongs to it"));
    };
    if !beside && !Path::new(&cwd).is_dir() {
        return Err(place.error("cwd_missing", format!("{cwd} is gone")).next("wharf workspaces"));
    }
    let typed = std::io::stdin().is_terminal();
    let tty = typed && target.tty.is_some() && target.env != EnvPass::Stdin;
    if typed && !tty {
        let why = "commands run there without a terminal: type whole lines, ctrl-D ends";
        context.remark(&format!("{}: {why}", environment.name));
    }
    let program = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned));
    let fallback = PathBuf::from("/usr/local/bin");
    let allow =
        Allow { wharf_directory: program.as_deref().unwrap_or(&fallback), pass_ssh_agent: false, has_terminal: tty };
    let argv = argv(beside, typed, place.operator.get("SHELL"));
    let wrapped = target.wrap(&Inside {
        argv: &argv,
        cwd: &cwd,
        allowed: &allowed(&place.operator, allow),
        own: &place.variables(&cwd),
        tty,
        here: "/",
    });
    context.remark(&format!("{} on {}, in {cwd}; exit comes back", place.number, environment.name));
    let status = attend(place, wrapped).await?;
    Ok(code(status))
}

/// The shell: the operator's on this machine, the best there is elsewhere.
fn argv(beside: bool, typed: bool, own: Option<&String>) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    match own.filter(|s| !s.is_empty()) {
        Some(shell) if !beside => vec![shell.clone()],
        _ if !beside || !typed => words(&["/bin/sh"]),
        _ => words(&["/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -i; exec /bin/sh -i"]),
    }
}

/// Starts the command and waits for its end; keys that interrupt are its own.
async fn attend(place: &Place, wrapped: Wrapped) -> Result<ExitStatus> {
    let failed = |e: std::io::Error| {
        let program = wrapped.argv.first().cloned().unwrap_or_default();
        let code = if e.kind() == std::io::ErrorKind::NotFound { "command_not_found" } else { "exec_failed" };
        place.error(code, format!("{program}: {e}"))
    };
    let Some((program, args)) = wrapped.argv.split_first() else {
        return Err(place.error("internal", "the driver gives an empty command"));
    };
    // Heard, so that this process lives until the shell has ended; what it starts has the default again.
    let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let mut command = Command::new(program);
    command.args(args).current_dir(&wrapped.cwd).env_clear().envs(&wrapped.env);
    if wrapped.first_line.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().map_err(failed)?;
    if let Some(line) = wrapped.first_line.clone() {
        feed(&mut child, line).map_err(failed)?;
    }
    let status = tokio::task::spawn_blocking(move || child.wait()).await;
    drop(interrupts);
    match status {
        Ok(status) => status.map_err(failed),
        Err(panic) => Err(CliError::internal("the shell cannot be waited for").cause(panic.to_string())),
    }
}

/// Gives the command its first line, then whatever comes on this process's own input.
fn feed(child: &mut Child, line: String) -> std::io::Result<()> {
    let Some(mut stdin) = child.stdin.take() else { return Ok(()) };
    std::thread::Builder::new().name("shell-input".into()).spawn(move || {
        // One that has ended already reads nothing: its exit says why.
        if stdin.write_all(line.as_bytes()).is_ok() {
            let _gone = std::io::copy(&mut std::io::stdin().lock(), &mut Unbuffered(stdin));
        }
    })?;
    Ok(())
}

/// Passes on what it is given at once.
struct Unbuffered<W>(W);

impl<W: std::io::Write> std::io::Write for Unbuffered<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.0.write(bytes)?;
        self.0.flush()?;
        Ok(n)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1);
    u8::try_from(code).unwrap_or(exit::INTERNAL)
}
