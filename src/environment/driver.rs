//! The seam between leases and the outside world (contracts 5.1).

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use wharf_model::{EnvironmentRow, LeaseRow, UnixMillis};

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
        /// What to do about it.
        hint: String,
    },
    /// It could not be found out.
    Unknown {
        /// What was seen.
        evidence: String,
    },
}

/// What a driver obtained for a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The provider's own id of it.
    pub provider_lease_id: Option<String>,
    /// When the provider takes it back by itself.
    pub expires_at: Option<UnixMillis>,
    /// Facts for people and for later calls.
    pub metadata: Option<Value>,
}

/// How a command is wrapped to run in a place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Words before the command; empty on this machine.
    pub argv_prefix: Vec<String>,
}

/// One finding of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Stable name.
    pub code: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// In words.
    pub message: String,
}

/// A way to obtain a place to run in.
///
/// Drivers touch the outside world and nothing else: they hold no store, decide nothing and never
/// retry. Every call may be repeated with the same lease, because after a crash nobody knows
/// whether the last one took effect.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Obtains a place for a lease.
    fn acquire<'a>(&'a self, lease: &'a LeaseRow, environment: &'a EnvironmentRow) -> Call<'a, Place>;
    /// Gives it back.
    fn release<'a>(&'a self, lease: &'a LeaseRow, environment: &'a EnvironmentRow) -> Call<'a, ()>;
    /// Says how commands run there.
    fn target<'a>(&'a self, lease: &'a LeaseRow) -> Call<'a, Target>;
    /// Looks whether the environment can be used now.
    fn probe<'a>(&'a self, environment: &'a EnvironmentRow) -> Call<'a, Vec<Check>>;
}
