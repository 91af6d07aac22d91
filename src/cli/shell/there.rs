//! A shell exactly where a run with a lease would be: through the lease's own driver, never silently on this machine.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use wharf_model::rules::lease_verb::{self, Verb};
use wharf_model::{Driver as Kind, LeaseId, LeaseStatus};
use wharf_store::Reader;

use super::attend::{attend, code};
use super::place::Place;
use crate::adapter::environment::{Allow, allowed};
use crate::cli::context::Context;
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::clock;
use crate::environment::driver::{Answer, Driver, Held, Outcome, Resumed};
use crate::environment::target::{EnvPass, Inside, Target};
use crate::run::lease::held;

/// Time that a driver has for one call.
const CALL: Duration = Duration::from_secs(120);

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
        Ok(target) => {
            let shared = driver.capabilities().shared_files;
            run(context, place, &target, realised.map(|r| r.cwd), shared).await
        }
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

async fn run(context: &Context, place: &Place, target: &Target, there: Option<String>, shared: bool) -> Result<u8> {
    let environment = place.environment();
    let beside = environment.driver != Kind::Local;
    if beside && target.is_here() {
        let cause =
            format!("{} leads to no place of its own, and a shell on this machine is not one in it", environment.name);
        return Err(place.error("unsupported_environment", cause));
    }
    // What lies here says nothing of a place that does not see it.
    let here = place.here().filter(|_| shared);
    let Some(cwd) = there.filter(|_| beside).or_else(|| here.as_deref().map(|dir| target.map_path(dir))) else {
        return Err(place.error("cwd_missing", "no directory was realised for it there"));
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
