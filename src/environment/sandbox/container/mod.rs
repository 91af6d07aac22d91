//! Containers of podman or docker, by their command lines.
//!
//! A container is made when the workspace is known, with mounts that it keeps for its life. Its name follows
//! from the lease that obtained it, so a call that is repeated finds what the first one made. Its main process
//! only waits; commands come in by the engine's `exec`, through [`super::hand`]. The lease's own directory
//! ([`Place`]) says that the lease exists before there is a container; its `run` is seen inside.

mod create;
mod engine;
pub mod inside;
mod life;
mod probe;
mod turn;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wharf_model::UnixMillis;
use wharf_model::config::driver::SandboxConfig;

use super::bubblewrap::blocking;
use super::place::Place;
use super::realised::{self, Workspace};
use super::{sources, swept};
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, Driver, Extended, Held, Outcome, Place as Got,
    PlaceProcess, RealiseAsk, Realised, Resumed, Seen, Site, Target,
};
use engine::{Engine, Known};

const LABEL_OWNER: &str = "wharf.owner";
const LABEL_ENVIRONMENT: &str = "wharf.environment";
const LABEL_PLACE: &str = "wharf.lease";
const LABEL_MADE: &str = "wharf.made";
/// What the names of containers begin with.
const NAME: &str = "wharf-";
/// Where the lease's `run` is seen inside.
pub const INSIDE: &str = "/run/wharf";
/// Seconds that the main process has to end by itself; it ends at once.
const STOP_SECONDS: &str = "5";

/// The driver of one environment.
#[derive(Debug, Clone)]
pub struct Container {
    config: SandboxConfig,
    site: Site,
    engine: Engine,
}

fn name(place: &Place) -> String {
    format!("{NAME}{}", place.id())
}

impl Container {
    /// With these settings.
    pub fn new(config: SandboxConfig, site: &Site) -> Self {
        let engine = Engine::new(config.provider, site);
        Self { config, site: site.clone(), engine }
    }

    fn prefix(&self) -> String {
        format!("{}:{NAME}", self.engine.kind())
    }

    /// Which data directory containers belong to, without saying where it is.
    fn owner(&self) -> String {
        let data = self.site.data.canonicalize().unwrap_or_else(|_| self.site.data.clone());
        let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn place(&self, held: &Held) -> Result<Place, String> {
        match &held.provider_lease_id {
            None => Ok(Place::of_lease(&self.site.data, held.environment, held.lease)),
            Some(id) => Place::of_provider_id(&self.site.data, held.environment, &self.prefix(), id)
                .ok_or_else(|| format!("{id} of {} is no container of {}", held.number, self.engine.kind())),
        }
    }

    /// What of a lease is changed by one at a time: the provider's id, which follows from the lease.
    fn turn(&self, held: &Held) -> String {
        self.place(held).map_or_else(|_| held.lease.to_string(), |place| format!("{}{}", self.prefix(), place.id()))
    }

    fn got(&self, place: &Place) -> Got {
        let facts = json!({
            "provider": self.engine.kind().as_str(),
            "container": name(place),
            "image": self.config.image,
            "directory": place.dir().display().to_string(),
            "network": self.config.network.as_str(),
        });
        Got { provider_lease_id: Some(format!("{}{}", self.prefix(), place.id())), expires_at: None, facts }
    }

    fn no_image(&self) -> String {
        let image = self.config.image.as_deref().unwrap_or_default();
        format!(
            "{} has no image {image} on this machine; fetch it with: {} pull {image}",
            self.engine.kind(),
            self.engine.kind()
        )
    }

    fn ours(&self, place: &Place, known: &Known) -> Result<(), String> {
        let is = |label: &str, value: &str| known.labels.get(label).is_some_and(|has| has == value);
        if is(LABEL_OWNER, &self.owner()) && is(LABEL_PLACE, &place.id().to_string()) {
            return Ok(());
        }
        Err(format!("the container {} is not this wharf's: its labels are others", name(place)))
    }
}

impl Driver for Container {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            execute: true,
            resume: true,
            extend: true,
            list: true,
            tty: true,
            persistent: true,
            shared_files: true,
        }
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        let this = self.clone();
        Box::pin(blocking(move || Answer::Done(sources::checks(&this.config, &this.site))))
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        Box::pin(async { Answer::Done(probe::all(self).await) })
    }

    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        Box::pin(self.obtain(ask))
    }

    fn resume<'a>(&'a self, ask: &'a AcquireAsk, id: &'a str, _facts: &'a Value) -> Call<'a, Resumed> {
        let (this, ask, id) = (self.clone(), ask.clone(), id.to_owned());
        Box::pin(turn::whole(id.clone(), async move { this.look_again(&ask, &id).await }))
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        let (this, held, ask) = (self.clone(), held.clone(), ask.clone());
        Box::pin(turn::whole(this.turn(&held), async move { this.show(&held, &ask).await }))
    }

    fn target<'a>(&'a self, held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target> {
        let (this, held, realised) = (self.clone(), held.clone(), realised.cloned());
        Box::pin(turn::whole(this.turn(&held), async move { this.way_in(&held, realised.as_ref()).await }))
    }

    fn list<'a>(&'a self, held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            match self.place(held) {
                Ok(place) => {
                    inside::list(&self.engine, &name(&place), tag).await.map_or_else(Answer::unknown, Answer::Done)
                }
                Err(why) => Answer::unknown(why),
            }
        })
    }

    fn stop<'a>(&'a self, held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            match self.place(held) {
                Ok(place) => {
                    let stopped = inside::stop(&self.engine, &name(&place), tag, grace).await;
                    stopped.map_or_else(Answer::unknown, Answer::Done)
                }
                Err(why) => Answer::unknown(why),
            }
        })
    }

    fn collect<'a>(&'a self, _: &'a Held, _: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected> {
        let (workspace, before) = (Workspace::of_record(Some(realised)), realised::links_before(realised));
        Box::pin(blocking(move || Answer::Done(swept::collected(workspace.as_ref(), &before))))
    }

    fn extend<'a>(&'a self, _held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        Box::pin(std::future::ready(Answer::Done(Extended::Until(until))))
    }

    fn release<'a>(&'a self, held: &'a Held, outcome: Outcome) -> Call<'a, ()> {
        let (this, held) = (self.clone(), held.clone());
        Box::pin(turn::whole(this.turn(&held), async move { this.give_back(&held, outcome).await }))
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        self.release(held, Outcome::Released)
    }

    fn observe<'a>(&'a self, ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        Box::pin(self.look_at(ids))
    }
}
