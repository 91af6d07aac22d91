//! `wharf serve`: an orchestrator without a screen.

use clap::Args;
use wharf_model::StopPolicy;
use wharf_store::Reader;
use wharf_store::view::ServiceQuery;

use super::context::{Context, say};
use super::desk::{Reigning, Stood, stand_or_take_over};
use super::error::{CliError, Result, exit};
use super::signals::{Caught, Signals};
use crate::dispatch::event_loop::Reign;
use crate::dispatch::take_over::Seat;

/// Services looked through.
const SERVICES: usize = 1_000;

/// Options of `wharf serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// End when no run is open and no service is left that stops by itself
    #[arg(long)]
    pub until_idle: bool,
    /// With --take-over: end the other orchestrator without asking, also one that runs
    #[arg(long, short, requires = "take_over")]
    pub yes: bool,
    /// Print a unit file for systemd and end
    #[arg(long)]
    pub print_unit: bool,
    /// Leave the session of the terminal it was started from
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// The unit file as it is shipped, with the path of this program.
fn print_unit() -> Result<u8> {
    let program = std::env::current_exe()
        .map_err(|e| CliError::internal("the path of this program cannot be told").cause(e.to_string()))?;
    let quoted = program.display().to_string().replace('%', "%%");
    let quoted = if quoted.contains([' ', '"', '\\']) { format!("{quoted:?}") } else { quoted };
    super::context::print(include_str!("../../assets/systemd/wharf.service").replace("%PROGRAM%", &quoted).as_bytes())?;
    Ok(exit::DONE)
}

enum Over {
    Idle,
    Signal(u8),
    Ended(String),
}

/// Orchestrates until a signal, a request to stop, or idleness ends it.
pub fn serve(context: &Context, args: &ServeArgs) -> Result<u8> {
    if args.print_unit {
        return print_unit();
    }
    if args.detached {
        // Only the leader of a group cannot leave its session; it has been put in the background by
        // whoever started it, and needs no more than that.
        let _ = rustix::process::setsid();
    }
    // Heard from before the lock is taken: one that comes while the store is opened is followed once the
    // reign has begun, instead of cutting it off.
    let mut signals = None;
    let stood = stand_or_take_over(context, args.yes, || {
        signals = Some(Signals::listen()?);
        Ok(())
    })?;
    let reigning = match stood {
        Stood::Reigning(reigning) => reigning,
        Stood::Held(holder) => {
            let error =
                CliError::new(exit::NO_ANSWER, "store_locked", "another process orchestrates this data directory");
            let seat = Seat::of(holder);
            let next = match &seat.holder {
                Some(h) if seat.is_healthy() => format!("use that one, or end it: kill {}", h.pid),
                _ => "wharf serve --take-over".to_owned(),
            };
            return Err(error.cause(seat.words()).next(next));
        }
    };
    context.remark(&format!("orchestrating {} as process {}", context.data.display(), std::process::id()));
    let reader = Reader::open(&context.data);
    let signals = signals.map_or_else(Signals::listen, Ok);
    // Whatever fails, the reign is ended in order.
    let over = reigning.block_on(async { watch(&reigning, &reader?, signals?, args.until_idle).await });
    reigning.end();
    match over? {
        Over::Idle => {
            context.remark("nothing is left to do");
            Ok(exit::DONE)
        }
        Over::Signal(code) => {
            context.remark("stopped; runs and services go on under their shims");
            Ok(code)
        }
        Over::Ended(why) if why == crate::dispatch::event_loop::ASKED_TO_STOP => {
            context.remark("stopped as asked; runs and services go on under their shims");
            Ok(exit::DONE)
        }
        Over::Ended(why) => {
            if !context.global.json {
                say("runs and services go on under their shims");
            }
            Err(CliError::new(exit::STORE, "stale_epoch", "this process orchestrates no more").cause(why))
        }
    }
}

async fn watch(reigning: &Reigning, reader: &Reader, mut signals: Signals, until_idle: bool) -> Result<Over> {
    let mut changes = reigning.dispatcher().reign.clone();
    loop {
        let now = changes.borrow_and_update().clone();
        if let Some(why) = now.ended {
            return Ok(Over::Ended(why));
        }
        if until_idle && is_idle(&now, reader)? {
            return Ok(Over::Idle);
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    let ended = changes.borrow().ended.clone();
                    return Ok(Over::Ended(ended.unwrap_or_else(|| "the dispatcher ended unexpectedly; see the log".to_owned())));
                }
            }
            // One in the background outlives its terminal; one in the foreground ends with it.
            caught = signals.next(until_idle) => return Ok(signalled(caught)),
        }
    }
}

/// Notes by what signal it ends: who reads the log wants to know why nobody reigned.
fn signalled(caught: Caught) -> Over {
    tracing::info!(name = caught.name, "a signal ends it");
    Over::Signal(caught.code())
}

/// Whether nothing is open that only an orchestrator can carry on.
fn is_idle(reign: &Reign, reader: &Reader) -> Result<bool> {
    if !reign.adopted || reign.live_runs > 0 || reign.busy > reign.live_services {
        return Ok(false);
    }
    let query = ServiceQuery { live_only: true, ..ServiceQuery::default() };
    let services = reader.services(&query, None, SERVICES)?;
    Ok(services.rows.iter().all(|s| s.service.stop_policy == StopPolicy::Manual))
}
