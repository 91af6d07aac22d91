//! The seam between leases and the outside world (contracts 5.1).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharf_model::{
    CompanyId, EnvironmentId, EnvironmentRow, IssueId, LeaseId, LeasePolicy, RunId, UnixMillis, WorkspaceId,
};

pub use super::target::{CwdPass, EnvPass, Mapping, Target};

/// A boxed future, since drivers are chosen at run time.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// What a driver answers. A failed probe is [`Answer::Unknown`], never "gone".
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// It is so.
    Done(T),
    /// It cannot be, and asking again changes nothing.
    Refused {
        /// Error code of contracts 10.
        code: String,
        /// What stands in the way, and what to do about it.
        hint: String,
    },
    /// It could not be found out.
    Unknown {
        /// What was seen.
        evidence: String,
    },
}

impl<T> Answer<T> {
    /// The same with another value, where it was done.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Self::Done(value) => Answer::Done(change(value)),
            Self::Refused { code, hint } => Answer::Refused { code, hint },
            Self::Unknown { evidence } => Answer::Unknown { evidence },
        }
    }

    /// A refusal.
    pub fn refused(code: &str, hint: impl Into<String>) -> Self {
        Self::Refused { code: code.to_owned(), hint: hint.into() }
    }

    /// Something that could not be found out.
    pub fn unknown(evidence: impl Into<String>) -> Self {
        Self::Unknown { evidence: evidence.into() }
    }
}

/// What surrounds every driver of a process: made once, shared.
#[derive(Debug, Clone)]
pub struct Site {
    /// Data directory; drivers keep what they need below `environments/`, 0700.
    pub data: PathBuf,
    /// The operator's environment, for programs that act for the operator (ssh, podman).
    pub operator: Arc<BTreeMap<String, String>>,
    /// The running program, for targets that wrap a command with one of its hidden subcommands.
    pub program: PathBuf,
    /// Directory that relative paths of the environment's config start from: the project's, else the home.
    pub base: PathBuf,
    /// The running plugins, shared by every driver that needs one.
    pub plugins: Arc<super::plugin::Plugins>,
}

impl Site {
    /// What surrounds the drivers of an environment, with plugins of its own. Paths of its config start where the
    /// config lies.
    pub fn of(data: &Path, operator: &Arc<BTreeMap<String, String>>, environment: &EnvironmentRow) -> Self {
        let home = || operator.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Self {
            data: data.to_owned(),
            operator: Arc::clone(operator),
            program: program(),
            base: environment.config["base"].as_str().map_or_else(home, PathBuf::from),
            plugins: Arc::default(),
        }
    }
}

/// Where the running program lies. After an upgrade the kernel says that its file was deleted; the new one lies there.
fn program() -> PathBuf {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("wharf"));
    match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
        Some(there) if !path.exists() => PathBuf::from(there),
        _ => path,
    }
}

/// What a driver is told when it is asked for a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct AcquireAsk {
    /// The lease; the same one when the call is repeated.
    pub lease: LeaseId,
    /// `L-12`.
    pub number: String,
    /// Number of this grant of the environment; rises with each.
    pub fence: i64,
    /// Environment.
    pub environment: EnvironmentId,
    /// Its name.
    pub environment_name: String,
    /// Company.
    pub company: CompanyId,
    /// What happens to it afterwards.
    pub policy: LeasePolicy,
    /// The run that asks; none for a test of the environment.
    pub run: Option<RunId>,
    /// Issue of that run.
    pub issue: Option<IssueId>,
    /// Workspace of that issue, where one is known.
    pub workspace: Option<WorkspaceId>,
    /// The project's directory on this machine, where there is one.
    pub project: Option<PathBuf>,
    /// Life of a lease that nobody renews, milliseconds.
    pub ttl_ms: i64,
}

/// What came of an acquisition.
#[derive(Debug, Clone, PartialEq)]
pub enum Acquired {
    /// It is held.
    Held(Place),
    /// The provider has a queue of its own, and it stands in it.
    Queued(Queue),
}

/// What a driver obtained for a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The provider's own id of it; no two places that exist have the same.
    pub provider_lease_id: Option<String>,
    /// When the provider takes it back by itself.
    pub expires_at: Option<UnixMillis>,
    /// Facts for people and for later calls; given back with every later call. No secret.
    pub facts: Value,
}

/// A place in a provider's queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// The provider's own id of what will be held, where it is known already.
    pub provider_lease_id: Option<String>,
    /// What it waits for.
    pub reason: String,
    /// From 1.
    pub position: Option<u32>,
    /// When it is expected.
    pub expected_at: Option<UnixMillis>,
}

/// What came of looking for what an earlier lease held.
#[derive(Debug, Clone, PartialEq)]
pub enum Resumed {
    /// It is there and can be used.
    Held(Place),
    /// It is certain that it is not there any more.
    Gone,
}

/// A lease as later calls are told of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The lease.
    pub lease: LeaseId,
    /// `L-12`.
    pub number: String,
    /// Its grant.
    pub fence: i64,
    /// Environment.
    pub environment: EnvironmentId,
    /// What happens to it afterwards.
    pub policy: LeasePolicy,
    /// The provider's id.
    pub provider_lease_id: Option<String>,
    /// What [`Place::facts`] said.
    pub facts: Value,
}

/// What a workspace is to be made of, in a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RealiseAsk {
    /// The run it is for.
    pub run: Option<RunId>,
    /// Start number of the run.
    pub attempt: u32,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its mode in a word.
    pub mode: String,
    /// Directory on this machine where the run would work if it ran here.
    pub cwd: PathBuf,
    /// Root of the checkout `cwd` is in; none outside of git.
    pub root: Option<PathBuf>,
    /// Git's common directory of that checkout.
    pub git_common_dir: Option<PathBuf>,
    /// Branch of the checkout; none when its head is detached.
    pub branch: Option<String>,
    /// Commit the branch began at.
    pub base_commit: Option<String>,
    /// Time it may take.
    pub timeout_ms: u64,
}

/// A workspace as it is in a place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Realised {
    /// Directory there.
    pub cwd: String,
    /// How what is there came there: `none`, `ssh_git_import_export`, `provider_defined`.
    pub sync: String,
    /// Facts for people and for [`Driver::collect`].
    pub record: Value,
}

/// What was brought back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Collected {
    /// Whether anything had changed there.
    pub changed: bool,
    /// Facts for people: commits, files, where a conflict was kept.
    pub record: Value,
    /// What an operator must know: a conflict, a file that could not be carried.
    pub warnings: Vec<String>,
}

/// A process that lives in a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceProcess {
    /// Its number there.
    pub pid: i64,
    /// Its command, as far as it is known.
    pub command: String,
}

/// What came of asking for more time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// It is held until then, now.
    Until(UnixMillis),
    /// It is not; this is the latest possible.
    Refused {
        /// The end as it stands.
        latest: UnixMillis,
    },
}

/// Why a place is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its holder ended well, or was stopped.
    Released,
    /// Its holder failed.
    Failed,
    /// Its time was over.
    Expired,
    /// It is kept for a later lease or for the operator: pause it, throw nothing away.
    Kept,
}

/// What a provider says of one place.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It is there, until then if the provider says so.
    Held(Option<UnixMillis>),
    /// It waits in the provider's queue.
    Queued(Queue),
    /// It is certain that it is not there.
    Gone,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Warn,
    /// Runs cannot run here like this.
    Error,
}

/// One finding of a probe or a validation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name.
    pub code: String,
    /// How serious it is.
    pub level: Level,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    pub fn ok(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), level: Level::Ok, message: message.into(), hint: None }
    }

    /// Something worth knowing.
    pub fn warn(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), level: Level::Warn, message: message.into(), hint: Some(hint.into()) }
    }

    /// Whether it stands in the way.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// Something that stands in the way.
    pub fn error(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.to_owned(), level: Level::Error, message: message.into(), hint: Some(hint.into()) }
    }
}

/// What a driver can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Commands can run there.
    pub execute: bool,
    /// What a lease held can be found again by another.
    pub resume: bool,
    /// A lease can be given more time.
    pub extend: bool,
    /// It can be asked which processes live there.
    pub list: bool,
    /// A command can have a terminal there.
    pub tty: bool,
    /// What is there outlives this program and the connection.
    pub persistent: bool,
    /// It sees the files of this machine where they are: nothing is carried there or back.
    pub shared_files: bool,
}

/// A way to obtain a place to run in.
///
/// A driver is made from the settings of one environment. It touches the outside world and nothing
/// else: it holds no store, decides nothing and never retries. Every call may be repeated with the
/// same lease, because after a crash nobody knows whether the last one took effect. The caller
/// keeps the deadline; a call that is dropped leaves nothing running on this machine.
pub trait Driver: fmt::Debug + Send + Sync {
    /// What it can do; the same for its whole life.
    fn capabilities(&self) -> Capabilities;
    /// Looks at its settings as far as that needs more than reading them.
    fn validate(&self) -> Call<'_, Vec<Check>>;
    /// Looks whether the environment can be used now. Obtains nothing that stays.
    fn probe(&self) -> Call<'_, Vec<Check>>;
    /// Obtains a place for a lease.
    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired>;
    /// Finds what another lease held, for this one. `facts` are those of the earlier place.
    fn resume<'a>(&'a self, ask: &'a AcquireAsk, provider_lease_id: &'a str, facts: &'a Value) -> Call<'a, Resumed>;
    /// Makes the workspace there.
    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised>;
    /// Says how commands run there. `realised` is what [`Driver::realise`] said, where it was called.
    fn target<'a>(&'a self, held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target>;
    /// The processes there that carry this tag in their environment (`WHARF_TAG`), and what they started.
    fn list<'a>(&'a self, held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>>;
    /// Stops them, after this grace by force; what is left of them is the answer.
    fn stop<'a>(&'a self, held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>>;
    /// Brings back what a run changed there.
    fn collect<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected>;
    /// Asks for more time.
    fn extend<'a>(&'a self, held: &'a Held, until: UnixMillis) -> Call<'a, Extended>;
    /// Gives it back, or lays it by.
    fn release<'a>(&'a self, held: &'a Held, outcome: Outcome) -> Call<'a, ()>;
    /// Removes it at the provider, whatever it holds.
    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()>;
    /// What the provider says of these, in one call; of one that is not in the answer nothing is known.
    fn observe<'a>(&'a self, provider_lease_ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>>;
}
