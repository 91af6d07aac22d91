//! Asking for something and waiting for the answer, with an orchestrator of another process or, when
//! there is none, with one in this process.

use std::io::{BufRead as _, IsTerminal as _};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::runtime::Runtime;
use wharf_model::{ActorType, Named, RequestOrigin, RequestRow, RequestStatus};
use wharf_store::{ChangeSignal, NewRequest, Reader, RequestSender};

use super::context::{Context, say};
use super::error::{CliError, Result, exit};
use super::signals::Watch;
use crate::clock;
use crate::dispatch::election::{self, Holder};
use crate::dispatch::event_loop::{Dispatcher, Reign};
use crate::dispatch::orchestrator::{self, Begun, MachineLimits};
use crate::dispatch::take_over::Seat;
use crate::once_there::once_there;

/// How long a request may wait for somebody to take it.
const EXPIRES_MS: i64 = 30_000;
/// How long beyond that its answer is waited for.
const MARGIN: Duration = Duration::from_secs(5);
/// How often it is looked whether the orchestrator of another process is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Threads for executors.
const WORKERS: usize = 2;

/// What is asked.
pub struct Ask {
    /// Kind of the request.
    pub kind: &'static str,
    /// Kind of the row it is about.
    pub target_type: &'static str,
    /// Its id, when it is known.
    pub target_id: Option<String>,
    /// Arguments.
    pub args: Value,
    /// Versions that a preview showed.
    pub expect: Option<Value>,
}

/// The orchestrator of this process.
pub struct Reigning {
    runtime: Runtime,
    dispatcher: Dispatcher,
}

impl Reigning {
    /// What it does now.
    pub fn reign(&mut self) -> Reign {
        self.dispatcher.reign.borrow_and_update().clone()
    }

    /// Runs something beside it to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// The dispatcher.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// Ends it after what it is doing; runs and services go on under their shims.
    pub fn end(self) {
        let Self { runtime, dispatcher } = self;
        runtime.block_on(dispatcher.inbox.stop());
        dispatcher.join();
        // Executors only watch shims; nothing is lost with them.
        runtime.shutdown_background();
    }
}

/// How becoming the orchestrator went.
pub enum Stood {
    /// This process is it.
    Reigning(Reigning),
    /// Another one is.
    Held(Option<Holder>),
}

/// Becomes the orchestrator when nobody is, or in the place of another where that was asked for.
pub fn stand(context: &Context) -> Result<Stood> {
    stand_or_take_over(context, false, || Ok(()))
}

/// [`stand`], with the signals heard from before the lock is taken.
fn stand_and_hear(context: &Context, signals: &mut Option<Watch>) -> Result<Stood> {
    let stood = stand_or_take_over(context, false, || {
        *signals = Some(Watch::opening()?);
        Ok(())
    });
    if let Some(signals) = signals {
        match &stood {
            Ok(Stood::Reigning(reigning)) => {
                signals.reigns(reigning.dispatcher.inbox.clone(), reigning.dispatcher.reign.clone());
            }
            Ok(Stood::Held(_)) | Err(_) => signals.alone(),
        }
    }
    stood
}

/// [`stand`]; `sure` ends a healthy holder without asking, where taking over was asked for at all. `ready` is
/// called on the runtime once nobody is asked anything any more, and before the lock is taken.
pub fn stand_or_take_over(context: &Context, sure: bool, ready: impl FnOnce() -> Result<()>) -> Result<Stood> {
    // Asked before the store is touched: only the holder of the lock may change it.
    let mut taking = false;
    if let Ok(Some(holder)) = election::holder(&context.data) {
        if !context.global.take_over {
            return Ok(Stood::Held(holder));
        }
        let seat = Seat::of(holder);
        if !seat.is_stopped() && !sure {
            confirm(context, &seat)?;
        }
        taking = true;
        context.remark(&format!("taking over: {}", seat.words()));
    }
    if let Some(tag) = orchestrator::part_of() {
        return Err(inside(&tag));
    }
    let (limits, wrong) = MachineLimits::read();
    if let Some(wrong) = wrong {
        context.warn("config_invalid", &format!("{wrong}\nthe defaults are used instead"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(|e| CliError::internal("no threads can be started").cause(e.to_string()))?;
    let begun = {
        let _inside = runtime.enter();
        ready()?;
        if taking {
            orchestrator::take_over(&context.data, &limits, &crate::user::name(), None).map_err(not_taken)?
        } else {
            orchestrator::begin(&context.data, &limits)?
        }
    };
    super::logging::begin(&context.data);
    match begun {
        Begun::Reigning(dispatcher) => Ok(Stood::Reigning(Reigning { runtime, dispatcher })),
        Begun::Held(holder) => Ok(Stood::Held(holder)),
    }
}

/// A process of a run or a service cannot orchestrate.
fn inside(tag: &str) -> CliError {
    CliError::new(exit::REFUSED, "orchestrator_absent", "nobody orchestrates, and this process must not")
        .cause(format!("it is part of {tag} (WHARF_TAG), and whatever it starts would be ended with that"))
        .next("in a terminal of its own: wharf serve")
}

fn not_taken(error: orchestrator::TakeOver) -> CliError {
    match error {
        orchestrator::TakeOver::Store(error) => error.into(),
        orchestrator::TakeOver::Inside(tag) => inside(&tag),
        orchestrator::TakeOver::Holder(error) => {
            CliError::new(exit::REFUSED, "store_locked", "the orchestrator's place was not taken")
                .cause(error.to_string())
        }
    }
}

/// Asks whether a holder that does its work is to be ended all the same.
fn confirm(context: &Context, seat: &Seat) -> Result<()> {
    let not = |why: &str| {
        CliError::new(exit::NOT_CONFIRMED, "not_confirmed", "nobody is ended: the orchestrator is not stopped")
            .cause(format!("{}; {why}", seat.words()))
            .next("wharf serve --take-over --yes")
    };
    if context.global.json || !std::io::stdin().is_terminal() {
        return Err(not("nobody confirmed that it is to be ended"));
    }
    say(&seat.words());
    say("It is ended with SIGKILL; runs and services live on under their shims and are adopted here.");
    say("End it and take over? [y/N]");
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(not("it was not confirmed")),
    }
}

/// An orchestrator that certainly answers nothing: better said at once than waited for.
fn stopped(seat: &Seat) -> CliError {
    CliError::new(exit::NO_ANSWER, "orchestrator_absent", "the orchestrator does nothing, so nothing was asked of it")
        .cause(seat.words())
        .next(format!("kill -CONT {}", seat.holder.as_ref().map_or(0, |h| h.pid)))
        .next("end it and take its place: the same command with --take-over")
}

/// A store that can be asked for changes and watched for answers.
pub struct Desk {
    context: Context,
    reigning: Option<Reigning>,
    /// Heard once this process has stood for the orchestrator's place.
    signals: Option<Watch>,
    signal: ChangeSignal,
    /// For questions.
    pub reader: Reader,
    sender: RequestSender,
}

impl Desk {
    /// Opens the store; becomes orchestrator when nobody is.
    pub fn open(context: &Context) -> Result<Self> {
        let mut signals = None;
        let reigning = match stand_and_hear(context, &mut signals)? {
            Stood::Reigning(reigning) => Some(reigning),
            Stood::Held(holder) => {
                let seat = Seat::of(holder);
                if seat.is_stopped() {
                    return Err(stopped(&seat));
                }
                None
            }
        };
        let opened = (|| {
            Ok((
                // Whoever holds the lock may be making the store at this moment.
                once_there(|| ChangeSignal::open(&context.data))?,
                Reader::open(&context.data)?,
                RequestSender::open(&context.data)?,
            ))
        })();
        match opened {
            Ok((signal, reader, sender)) => {
                Ok(Self { signals, signal, reader, sender, context: context.clone(), reigning })
            }
            Err(error) => {
                // A reign that was begun is ended in order.
                if let Some(reigning) = reigning {
                    reigning.end();
                }
                Err(error)
            }
        }
    }

    /// [`Desk::open`] for what starts something. Where this process is going to orchestrate, the operator's own
    /// limits must be readable: nothing is started by others than those that were meant.
    pub fn open_to_start(context: &Context) -> Result<Self> {
        if let Ok(None) = election::holder(&context.data)
            && let (_, Some(wrong)) = MachineLimits::read()
        {
            let message = "the user's own file cannot be used, so nothing is started";
            let cause = wrong.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            return Err(CliError::new(exit::CONFIG, "config_invalid", message)
                .cause(cause)
                .text(wrong)
                .next("fix it, then wharf doctor"));
        }
        Self::open(context)
    }

    /// The orchestrator of this process, when it is one.
    pub fn reigning(&self) -> Option<&Reigning> {
        self.reigning.as_ref()
    }

    /// Asks for something and waits for the answer: accepted, or an error that says why not.
    pub fn ask(&mut self, ask: Ask) -> Result<RequestRow> {
        let answered = self.ask_whole(ask)?;
        if answered.status != RequestStatus::Failed {
            return Ok(answered);
        }
        let error = CliError::answer(answered.error_code.as_deref(), answered.error.as_deref());
        Err(self.with_entity(error, answered.target_id.as_deref()))
    }

    /// [`Desk::ask`] for what is told even when it has failed already.
    pub fn ask_whole(&mut self, ask: Ask) -> Result<RequestRow> {
        self.mind_signals()?;
        let now = clock::now();
        let row = self.sender.send(&NewRequest {
            kind: ask.kind.to_owned(),
            target_type: Some(ask.target_type.to_owned()),
            target_id: ask.target_id,
            args: ask.args,
            expect: ask.expect,
            actor_type: ActorType::Operator,
            actor_id: crate::user::name(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now,
            expires_at: now.plus(EXPIRES_MS),
        })?;
        let until = Instant::now() + Duration::from_millis(EXPIRES_MS.unsigned_abs()) + MARGIN;
        let answered = self.wait(Some(until), |reader, _| {
            Ok(reader.request(row.id)?.filter(|r| r.status != RequestStatus::Pending))
        })?;
        let Some(answered) = answered else { return Err(self.no_answer(row.number)) };
        match answered.status {
            RequestStatus::Refused | RequestStatus::Expired => {
                let error = CliError::answer(answered.error_code.as_deref(), answered.error.as_deref());
                Err(self.with_entity(error, answered.target_id.as_deref()))
            }
            RequestStatus::Pending | RequestStatus::Accepted | RequestStatus::Done | RequestStatus::Failed => {
                Ok(answered)
            }
        }
    }

    /// Adds what a refused request was about, and where that is shown.
    fn with_entity(&self, error: CliError, target: Option<&str>) -> CliError {
        let found = target.and_then(|id| uuid::Uuid::parse_str(id).ok());
        let Some(found) = found.and_then(|id| self.reader.resolve(&Named::Whole(id), None).ok()) else { return error };
        let error =
            if error.code == "illegal_state" { error.next(format!("wharf show {}", found.label)) } else { error };
        error.entity(found.label)
    }

    /// Waits until an accepted request is finished; none when it is not in time.
    pub fn finished(&mut self, row: &RequestRow, limit: Duration) -> Result<Option<RequestRow>> {
        match self.ended(row, limit)? {
            Some(row) if row.status != RequestStatus::Done => {
                Err(CliError::answer(row.error_code.as_deref(), row.error.as_deref()))
            }
            other => Ok(other),
        }
    }

    /// [`Desk::finished`] for what is told even when it has failed.
    pub fn ended(&mut self, row: &RequestRow, limit: Duration) -> Result<Option<RequestRow>> {
        let id = row.id;
        let until = Instant::now() + limit;
        self.wait(Some(until), |reader, _| Ok(reader.request(id)?.filter(|r| r.status.is_terminal())))
    }

    /// Waits until `check` gives something; looks again after every commit. None when it is too late.
    pub fn wait<T>(
        &mut self,
        until: Option<Instant>,
        mut check: impl FnMut(&Reader, Option<&Reign>) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        loop {
            self.mind_signals()?;
            let reign = self.reigning.as_mut().map(Reigning::reign);
            if let Some(found) = check(&self.reader, reign.as_ref())? {
                return Ok(Some(found));
            }
            let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
            if left.is_zero() {
                return Ok(None);
            }
            if !self.changed(left)? {
                self.mind_the_orchestrator()?;
            }
        }
    }

    /// A signal that has come cuts the command off.
    fn mind_signals(&self) -> Result<()> {
        match self.signals.as_ref().and_then(Watch::caught) {
            Some(caught) => Err(caught.cut_off()),
            None => Ok(()),
        }
    }

    /// Waits for a change of the store; says whether there was one within the time.
    fn changed(&mut self, limit: Duration) -> Result<bool> {
        let Some(reigning) = &mut self.reigning else { return Ok(self.signal.wait(limit)?) };
        // Told after each commit, when the store and what the reign says of itself agree.
        let Reigning { runtime, dispatcher } = reigning;
        let signals = self.signals.as_ref();
        let changed = runtime.block_on(async {
            let cut_off = async {
                match signals {
                    Some(signals) => signals.comes().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = tokio::time::timeout(limit, dispatcher.reign.changed()) => Some(changed),
                () = cut_off => None,
            }
        });
        match changed {
            Some(Ok(Ok(()))) | None => Ok(true),
            Some(Err(_late)) => Ok(false),
            // Taken from a command that did not let go in time.
            Some(Ok(Err(_))) if signals.is_some_and(|s| s.caught().is_some()) => Ok(true),
            Some(Ok(Err(_))) => Err(CliError::internal("the dispatcher ended unexpectedly")),
        }
    }

    /// Where the orchestrator has gone, this process takes its place.
    fn mind_the_orchestrator(&mut self) -> Result<()> {
        if let Some(reigning) = &mut self.reigning {
            return match reigning.reign().ended {
                None => Ok(()),
                Some(why) => Err(CliError::new(exit::STORE, "stale_epoch", "this process orchestrates no more")
                    .cause(why)
                    .next("wharf doctor")),
            };
        }
        // One inside a run waits for the next orchestrator instead.
        if orchestrator::part_of().is_none()
            && let Ok(None) = election::holder(&self.context.data)
            && let Stood::Reigning(reigning) = stand_and_hear(&self.context, &mut self.signals)?
        {
            self.reigning = Some(reigning);
        }
        Ok(())
    }

    fn no_answer(&self, number: i64) -> CliError {
        let error = CliError::new(
            exit::NO_ANSWER,
            "orchestrator_absent",
            format!("nobody answered request Q-{number} in time"),
        )
        .entity(format!("Q-{number}"));
        match election::holder(&self.context.data) {
            Ok(Some(holder)) => {
                let seat = Seat::of(holder);
                error
                    .cause(format!("{}, and does not answer", seat.words()))
                    .next("end it and take its place: wharf serve --take-over")
            }
            _ => error.cause("no process orchestrates, and this one could not take over").next("wharf serve"),
        }
    }

    /// Ends: an orchestrator of this process stops, whatever runs goes on.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for Desk {
    /// On every way out: who orchestrated lets go in order.
    fn drop(&mut self) {
        if let Some(reigning) = self.reigning.take() {
            reigning.end();
        }
        // The command goes on to say what came of it, and its exit code then tells of a signal.
        if let Some(signals) = self.signals.as_ref().filter(|s| s.caught().is_none()) {
            signals.alone();
        }
    }
}
