//! Beginning a reign in this process: the dispatcher with its executors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use wharf_model::shim::OnQuota;
use wharf_store::StoreError;

use super::election::{self, Elected, Election, Holder};
use super::event_loop::{Dispatcher, Reign, Setup};
use super::input::Occurrence;
use super::prepare::ReadFiles;
use super::take_over::{self, TakeOverError};
use crate::clock;
use crate::gc::timer;
use crate::run::context::Context;
use crate::run::keep::Keeper;
use crate::run::performer::Performer;
use crate::run::resting;

/// What the operator's own config says about this machine.
#[derive(Debug, Clone)]
pub struct MachineLimits {
    /// Runs at once.
    pub concurrent_runs: i64,
    /// Most bytes of one run's log.
    pub log_quota: Option<u64>,
    /// What happens at the quota.
    pub on_quota: OnQuota,
}

impl MachineLimits {
    /// Reads the operator's config; a wrong one is told and its defaults are used, so that a slip
    /// in it never keeps anyone from stopping a run.
    pub fn read() -> (Self, Option<String>) {
        let path = crate::config::user_config_path(|name| std::env::var_os(name));
        let (limits, error) = match crate::config::load_user(path.as_deref(), &crate::config::Overrides::default()) {
            Ok(loaded) => (loaded.config.limits, None),
            Err(errors) => (wharf_model::config::Limits::default(), Some(errors.render(None))),
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let concurrent_runs = limits.concurrent_runs_on(u32::try_from(cores).unwrap_or(1));
        let on_quota = OnQuota::parse(limits.on_quota.as_str()).unwrap_or(OnQuota::Block);
        let log_quota = Some(limits.run_log_quota_bytes).filter(|b| *b > 0);
        (Self { concurrent_runs: i64::from(concurrent_runs), log_quota, on_quota }, error)
    }
}

/// Tag of the run, service or operation that this process is part of.
///
/// Whoever is must not reign: the shims that it starts would be part of the same tree, and all that they keep
/// would be ended with it.
pub fn part_of() -> Option<String> {
    std::env::var("WHARF_TAG").ok().filter(|tag| !tag.is_empty())
}

/// How an attempt to begin a reign went.
pub enum Begun {
    /// This process is the orchestrator.
    Reigning(Dispatcher),
    /// Another one is.
    Held(Option<Holder>),
}

/// Becomes orchestrator of a data directory when nobody is. Must be called within a tokio runtime,
/// on which the executors run.
pub fn begin(data: &Path, limits: &MachineLimits) -> Result<Begun, StoreError> {
    begin_by(data, limits, None)
}

/// Ends the process that holds the lock and becomes orchestrator in its place; see [`take_over::end_holder`].
/// Where the lock is free, nobody is ended. `shown` names the holder that somebody judged, by [`Holder::token`]:
/// another one is left alone. Must be called as [`begin`] is.
///
/// # Errors
/// The holder was not ended, or the store refuses.
pub fn take_over(data: &Path, limits: &MachineLimits, by: &str, shown: Option<&str>) -> Result<Begun, TakeOver> {
    if let Some(tag) = part_of() {
        return Err(TakeOver::Inside(tag));
    }
    let ended = take_over::end_holder(data, shown)?;
    let how = ended.map(|seat| Occurrence::TookOver { by: by.to_owned(), before: seat.details(by) });
    Ok(begin_by(data, limits, how)?)
}

/// Why a place was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeOver {
    /// Who holds it is not certain, or would not end.
    #[error(transparent)]
    Holder(#[from] TakeOverError),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This process must not reign; see [`part_of`].
    #[error(
        "this process is part of {0} (WHARF_TAG), and whatever it starts would be ended with that; \
         orchestrate in a terminal of its own"
    )]
    Inside(String),
}

fn begin_by(data: &Path, limits: &MachineLimits, how: Option<Occurrence>) -> Result<Begun, StoreError> {
    // Where somebody orchestrates, the store is theirs to bring up to date.
    if let Ok(Some(holder)) = election::holder(data) {
        return Ok(Begun::Held(holder));
    }
    // The directory must be sound before anything of ours is put into it. The store itself is opened, and raised to
    // this program's schema, only under the lock.
    wharf_store::prepare_directory(data)?;
    let election = election::stand(data, clock::now().0)
        .map_err(|e| StoreError::io(&election::path(data), "take the orchestrator's lock", e))?;
    match election {
        Election::Won(elected) => reign(data, elected, limits, how).map(Begun::Reigning),
        Election::Held(holder) => Ok(Begun::Held(holder)),
    }
}

fn reign(
    data: &Path,
    elected: Elected,
    limits: &MachineLimits,
    began_by: Option<Occurrence>,
) -> Result<Dispatcher, StoreError> {
    let runtime = tokio::runtime::Handle::current();
    let setup = Setup { data: data.to_owned(), concurrent_runs: limits.concurrent_runs, began_by };
    let limits = limits.clone();
    let data = data.to_owned();
    let kept = data.clone();
    let dispatcher = Dispatcher::begin(setup, elected, Arc::new(ReadFiles::new(data.clone())), move |inbox, epoch| {
        let ctx = Context {
            keeper: Keeper { data, epoch },
            inbox,
            operator: Arc::new(operator_environment()),
            program_dir: program_dir(),
            log_quota: limits.log_quota,
            on_quota: limits.on_quota,
            plugins: Arc::default(),
        };
        Performer::new(ctx, runtime)
    })?;
    // An error says that the loop has gone without a word.
    let over = |mut reign: watch::Receiver<Reign>| async move { drop(reign.wait_for(|r| r.ended.is_some()).await) };
    tokio::spawn(resting::watch(kept.clone(), dispatcher.inbox.clone(), over(dispatcher.reign.clone())));
    tokio::spawn(timer::daily(kept, over(dispatcher.reign.clone())));
    Ok(dispatcher)
}

/// The operator's environment; what is no UTF-8 is left out, since children could not be told either.
pub(crate) fn operator_environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

fn program_dir() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned))
}
