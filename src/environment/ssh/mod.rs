//! A host that the operator's own OpenSSH reaches.

mod connection;
mod facts;
mod master;
mod probe;
mod trouble;

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_model::UnixMillis;
use wharf_model::config::driver::SshConfig;

use super::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, CwdPass, Driver, EnvPass, Extended, Held,
    Outcome, Place, PlaceProcess, RealiseAsk, Realised, Resumed, Seen, Site, Target,
};
use super::transport::place::{self, Look, Where};
use super::transport::{Trouble, follow, workspace};
use connection::Connection;
use facts::Facts;
pub use trouble::explain;

/// Time that what is left in a lease has to end when it is given back.
const RELEASE_GRACE: Duration = Duration::from_secs(5);

/// The ssh driver of one environment.
#[derive(Debug, Clone)]
pub struct Ssh {
    config: SshConfig,
    connection: Connection,
    site: Site,
}

impl Ssh {
    /// With these settings.
    pub fn new(config: SshConfig, site: &Site) -> Self {
        Self { connection: Connection::new(config.clone(), site), config, site: site.clone() }
    }

    async fn acquired(&self, ask: &AcquireAsk) -> Result<Place, Trouble> {
        let (lease, environment) = (ask.lease.text(), ask.environment.text());
        let path = &self.config.path;
        let made = self
            .connection
            .call(&lease, |way| {
                let (lease, environment) = (lease.clone(), environment.clone());
                async move { place::acquire(&way, path, &lease, &environment).await }
            })
            .await?;
        let settings = self.connection.settings().await?;
        let facts = Facts::new(&self.config.host, &settings, made, &lease);
        Ok(Place { provider_lease_id: Some(facts.url()), expires_at: None, facts: facts.value() })
    }

    async fn resumed(&self, ask: &AcquireAsk, id: &str, facts: &Value) -> Result<Resumed, Trouble> {
        let dir = facts::dir_of(facts, id)
            .ok_or_else(|| Trouble::Unknown(format!("{id} does not say which directory on the host is meant")))?;
        let lease = ask.lease.text();
        let dir = dir.as_str();
        let seen = self.connection.call(&lease, |way| async move { place::look(&way, &[dir]).await }).await?;
        match seen.first() {
            Some(Look::Held) => Ok(Resumed::Held(Place {
                provider_lease_id: Some(id.to_owned()),
                expires_at: None,
                facts: facts.clone(),
            })),
            Some(Look::Gone) => Ok(Resumed::Gone),
            Some(Look::Unknown) | None => Err(Trouble::Unknown(format!("{dir} cannot be looked at"))),
        }
    }

    /// The directory of a lease; settings say where it is as long as the host has not.
    fn place_of<'a>(&'a self, held: &Held, dir: &'a mut String, lease: &'a str) -> Where<'a> {
        match facts::dir_of(&held.facts, held.provider_lease_id.as_deref().unwrap_or_default()) {
            Some(known) => {
                *dir = known;
                Where::Dir(dir)
            }
            None => Where::Lease { path: &self.config.path, lease },
        }
    }

    fn known_dir(held: &Held) -> Result<String, Trouble> {
        facts::dir_of(&held.facts, held.provider_lease_id.as_deref().unwrap_or_default())
            .ok_or_else(|| Trouble::Unknown(format!("{} has no directory on the host that is known", held.number)))
    }

    async fn released(&self, held: &Held, keep: bool) -> Result<(), Trouble> {
        let lease = held.lease.text();
        let mut dir = String::new();
        let place = self.place_of(held, &mut dir, &lease);
        // A place that was to be taken over may have been gone, and one of its own made instead.
        let own = Where::Lease { path: &self.config.path, lease: &lease };
        let is_own = match place {
            Where::Dir(dir) => dir.strip_suffix(lease.as_str()).is_some_and(|above| above.ends_with("/leases/")),
            Where::Lease { .. } => true,
        };
        let released = self
            .connection
            .call(&lease, |way| async move {
                if !is_own {
                    place::release(&way, own, keep, RELEASE_GRACE).await?;
                }
                place::release(&way, place, keep, RELEASE_GRACE).await
            })
            .await;
        if released.is_ok() {
            master::close(&self.connection, &lease).await;
        }
        released
    }

    async fn processes(&self, held: &Held, tag: &str, stop: Option<Duration>) -> Result<Vec<PlaceProcess>, Trouble> {
        let dir = Self::known_dir(held)?;
        let dir = dir.as_str();
        self.connection
            .call(&held.lease.text(), |way| async move { place::processes(&way, dir, tag, stop).await })
            .await
    }

    fn target_of(&self, held: &Held) -> Result<Target, Trouble> {
        let dir = Self::known_dir(held)?;
        let lease = held.lease.text();
        let program = self
            .site
            .program
            .to_str()
            .ok_or_else(|| Trouble::Refused("the path of wharf itself is no text; install it elsewhere".into()))?;
        // Over the lease's connection while there is one; by itself when that died.
        let ways = match master::socket(&self.connection, &lease) {
            Ok(socket) => vec![self.connection.prefix(Some(&socket)), self.connection.prefix(None)],
            Err(_) => vec![self.connection.prefix(None)],
        };
        let block = json!(follow::Place { dir, ways, grace_ms: None });
        Ok(Target {
            head: vec![program.to_owned(), "target".into(), "ssh".into()],
            tail: vec!["--".into()],
            tty: None,
            cwd: CwdPass::Flag("--cwd".into()),
            env: EnvPass::Stdin,
            keeps_identity: false,
            set: std::collections::BTreeMap::new(),
            own_env: self.connection.env().clone(),
            block,
            ..Target::default()
        })
    }

    async fn observed(&self, ids: &[String]) -> Result<BTreeMap<String, Seen>, Trouble> {
        let named: Vec<(&String, String)> =
            ids.iter().filter_map(|id| facts::dir_of(&Value::Null, id).map(|dir| (id, dir))).collect();
        if named.is_empty() {
            return Ok(BTreeMap::new());
        }
        let dirs: Vec<&str> = named.iter().map(|(_, dir)| dir.as_str()).collect();
        let looks = place::look(&self.connection.direct(), &dirs).await?;
        Ok(named
            .iter()
            .zip(looks)
            .filter_map(|((id, _), look)| match look {
                Look::Held => Some(((*id).clone(), Seen::Held(None))),
                Look::Gone => Some(((*id).clone(), Seen::Gone)),
                Look::Unknown => None,
            })
            .collect())
    }

    fn workspace(&self, held: &Held, ask: &RealiseAsk) -> Result<workspace::Workspace, Trouble> {
        let dir = Self::known_dir(held)?;
        Ok(workspace::Workspace::new(dir, ask.clone(), &self.site))
    }
}

fn answer<T>(result: Result<T, Trouble>, code: &str) -> Answer<T> {
    match result {
        Ok(value) => Answer::Done(value),
        Err(trouble) => trouble.answer(code),
    }
}

impl Driver for Ssh {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            execute: true,
            resume: true,
            extend: true,
            list: true,
            tty: false,
            persistent: true,
            shared_files: false,
        }
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        Box::pin(async { Answer::Done(probe::settings(&self.connection).await) })
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        Box::pin(async { Answer::Done(probe::probe(&self.connection, &self.config.path).await) })
    }

    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        Box::pin(async { answer(self.acquired(ask).await.map(Acquired::Held), "lease_acquire_failed") })
    }

    fn resume<'a>(&'a self, ask: &'a AcquireAsk, id: &'a str, facts: &'a Value) -> Call<'a, Resumed> {
        Box::pin(async move { answer(self.resumed(ask, id, facts).await, "lease_acquire_failed") })
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        Box::pin(async move {
            let realised = async {
                let workspace = self.workspace(held, ask)?;
                let workspace = &workspace;
                self.connection.call(&held.lease.text(), |way| async move { workspace.realise(&way).await }).await
            };
            answer(realised.await, "workspace_realization_failed")
        })
    }

    fn target<'a>(&'a self, held: &'a Held, _realised: Option<&'a Realised>) -> Call<'a, Target> {
        Box::pin(async { answer(self.target_of(held), "transport_resolution_failed") })
    }

    fn list<'a>(&'a self, held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move { answer(self.processes(held, tag, None).await, "probe_failed") })
    }

    fn stop<'a>(&'a self, held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move { answer(self.processes(held, tag, Some(grace)).await, "probe_failed") })
    }

    fn collect<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected> {
        Box::pin(async move {
            let collected = async {
                let workspace = self.workspace(held, ask)?;
                let workspace = &workspace;
                self.connection
                    .call(&held.lease.text(), |way| async move { workspace.collect(&way, realised).await })
                    .await
            };
            answer(collected.await, "workspace_realization_failed")
        })
    }

    fn extend<'a>(&'a self, _held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        // Nobody takes a directory back.
        Box::pin(ready(Answer::Done(Extended::Until(until))))
    }

    fn release<'a>(&'a self, held: &'a Held, outcome: Outcome) -> Call<'a, ()> {
        let keep = outcome == Outcome::Kept;
        Box::pin(async move { answer(self.released(held, keep).await, "lease_release_failed") })
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        Box::pin(async { answer(self.released(held, false).await, "lease_release_failed") })
    }

    fn observe<'a>(&'a self, provider_lease_ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        Box::pin(async { answer(self.observed(provider_lease_ids).await, "probe_failed") })
    }
}
