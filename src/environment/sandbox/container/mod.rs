//! Containers of podman or docker, by their command lines.
//!
//! A container is made when the workspace is known, with mounts that it keeps for its life. Its name follows
//! from the lease that obtained it, so a call that is repeated finds what the first one made. Its main process
//! only waits; commands come in by the engine's `exec`, through [`super::hand`]. The lease's own directory
//! ([`Place`]) says that the lease exists before there is a container; its `run` is seen inside.

mod create;
mod engine;
pub mod inside;
mod probe;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wharf_model::UnixMillis;
use wharf_model::config::driver::SandboxConfig;

use super::bubblewrap::blocking;
use super::mount::Bind;
use super::place::Place;
use super::realised::{self, Workspace};
use super::{code, hand, mount, sources, swept};
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, CwdPass, Driver, EnvPass, Extended, Held,
    Outcome, Place as Got, PlaceProcess, RealiseAsk, Realised, Resumed, Seen, Site, Target,
};
use engine::{Engine, Known, is_absent, trouble};

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

    async fn obtain(&self, ask: &AcquireAsk) -> Answer<Acquired> {
        if self.engine.program().is_none() {
            return Answer::refused(code::ACQUIRE, self.engine.not_found());
        }
        match probe::image(self).await {
            Ok(Some(_)) => {}
            Ok(None) => return Answer::refused(code::ACQUIRE, self.no_image()),
            Err(why) => return Answer::unknown(why),
        }
        if let Err(why) = sources::binds(&self.config, &self.site) {
            return Answer::refused(code::ACQUIRE, why);
        }
        let (this, place) = (self.clone(), Place::of_lease(&self.site.data, ask.environment, ask.lease));
        blocking(move || match place.make() {
            Ok(()) => Answer::Done(Acquired::Held(this.got(&place))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::ACQUIRE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be made: {error}", place.dir().display())),
        })
        .await
    }

    fn no_image(&self) -> String {
        let image = self.config.image.as_deref().unwrap_or_default();
        format!(
            "{} has no image {image} on this machine; fetch it with: {} pull {image}",
            self.engine.kind(),
            self.engine.kind()
        )
    }

    /// Whether the lease's place is there: its container, or its directory while no container was made yet.
    async fn there(&self, place: &Place) -> Result<bool, String> {
        if let Some(known) = self.engine.look(&name(place)).await? {
            self.ours(place, &known)?;
            return Ok(true);
        }
        Ok(place.is_there().map_err(|error| error.to_string())? && !place.was_made())
    }

    fn ours(&self, place: &Place, known: &Known) -> Result<(), String> {
        let is = |label: &str, value: &str| known.labels.get(label).is_some_and(|has| has == value);
        if is(LABEL_OWNER, &self.owner()) && is(LABEL_PLACE, &place.id().to_string()) {
            return Ok(());
        }
        Err(format!("the container {} is not this wharf's: its labels are others", name(place)))
    }

    async fn look_again(&self, ask: &AcquireAsk, id: &str) -> Answer<Resumed> {
        let Some(place) = Place::of_provider_id(&self.site.data, ask.environment, &self.prefix(), id) else {
            return Answer::Done(Resumed::Gone);
        };
        match self.there(&place).await {
            Ok(true) => {}
            Ok(false) => return Answer::Done(Resumed::Gone),
            Err(why) => return Answer::unknown(why),
        }
        // A container without its directory: it was removed by hand, and what is in it is of use all the same.
        if let Err(error) = place.make() {
            return Answer::unknown(format!("{} cannot be made: {error}", place.dir().display()));
        }
        match self.start(&place).await {
            Ok(()) => Answer::Done(Resumed::Held(self.got(&place))),
            Err(why) => Answer::unknown(why),
        }
    }

    /// Starts a container that is there and does not run.
    async fn start(&self, place: &Place) -> Result<(), String> {
        match self.engine.look(&name(place)).await? {
            Some(known) if known.status == "paused" => self.engine.must(&["unpause", &name(place)]).await.map(drop),
            Some(known) if known.status != "running" => self.engine.must(&["start", &name(place)]).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Has a container with these mounts run. One that was made otherwise is removed first: an engine changes no
    /// mounts of what exists. Says whether that was so.
    async fn make(&self, place: &Place, binds: &[Bind]) -> Result<bool, Trouble> {
        let wanted = create::wanted(&self.config, &self.site, &self.owner(), place, binds).map_err(Trouble::Refused)?;
        let mut anew = false;
        if let Some(known) = self.engine.look(&name(place)).await? {
            self.ours(place, &known).map_err(Trouble::Refused)?;
            if known.labels.get(LABEL_MADE) != Some(&wanted.made) {
                self.engine.must(&["rm", "--force", "--volumes", &name(place)]).await?;
                anew = true;
            }
        }
        if self.engine.look(&name(place)).await?.is_none() {
            place.note_made().map_err(|error| error.to_string())?;
            let said = self.engine.call(&wanted.words).await?;
            if !said.ok() {
                let why = format!("{} makes no container: {}", self.engine.kind(), trouble(&said));
                return Err(if is_absent(&said) { Trouble::Refused(self.no_image()) } else { Trouble::Unknown(why) });
            }
        }
        match self.start(place).await {
            Ok(()) => Ok(anew),
            Err(why) if why.contains("/bin/sh") => {
                Err(Trouble::Refused(format!("{why}; the image needs /bin/sh, choose one that has it")))
            }
            Err(why) => Err(Trouble::Unknown(why)),
        }
    }

    async fn show(&self, held: &Held, ask: &RealiseAsk) -> Answer<Realised> {
        let workspace = Workspace::of(ask);
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::REALISE, why),
        };
        let (this, asked) = (self.clone(), workspace.clone());
        let binds = blocking(move || {
            let shown = sources::binds(&this.config, &this.site).and_then(|mounts| asked.binds(&mounts));
            shown.map_or_else(|why| Answer::refused(code::REALISE, why), Answer::Done)
        });
        let (layout, binds) = match binds.await {
            Answer::Done(shown) => shown,
            Answer::Refused { code, hint } => return Answer::Refused { code, hint },
            Answer::Unknown { evidence } => return Answer::Unknown { evidence },
        };
        match self.there(&place).await {
            Ok(true) => {}
            Ok(false) => {
                return Answer::refused(code::REALISE, format!("the container {} is not there any more", name(&place)));
            }
            Err(why) => return Answer::unknown(why),
        }
        match self.make(&place, &binds).await {
            Ok(anew) => {
                let more =
                    json!({ "provider": self.engine.kind().as_str(), "container": name(&place), "made_anew": anew });
                let record = realised::record(&workspace, &layout, &binds, more);
                Answer::Done(Realised { cwd: ask.cwd.display().to_string(), sync: "none".into(), record })
            }
            Err(trouble) => trouble.answer(code::REALISE),
        }
    }

    async fn way_in(&self, held: &Held, realised: Option<&Realised>) -> Answer<Target> {
        let Some(program) = self.engine.program() else {
            return Answer::refused(code::TARGET, self.engine.not_found());
        };
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::TARGET, why),
        };
        match self.engine.look(&name(&place)).await {
            Ok(Some(known)) => {
                if let Err(why) = self.ours(&place, &known) {
                    return Answer::refused(code::TARGET, why);
                }
                if let Err(why) = self.start(&place).await {
                    return Answer::unknown(why);
                }
            }
            Ok(None) if realised.is_none() && !place.was_made() => {
                // Without a workspace: a test of the environment.
                let made = match sources::binds(&self.config, &self.site) {
                    Ok(binds) => self.make(&place, &binds).await,
                    Err(why) => Err(Trouble::Refused(why)),
                };
                if let Err(trouble) = made {
                    return trouble.answer(code::TARGET);
                }
            }
            Ok(None) => {
                let hint = format!("the container {} is not there any more; start the run anew", name(&place));
                return Answer::refused(code::TARGET, hint);
            }
            Err(why) => return Answer::unknown(why),
        }
        match self.wrapped(program, &place) {
            Ok(target) => Answer::Done(target),
            Err(why) => Answer::refused(code::TARGET, why),
        }
    }

    fn wrapped(&self, program: &str, place: &Place) -> Result<Target, String> {
        let mut head = hand::words(&mount::word(&self.site.program)?, hand::CONTAINER);
        for (word, value) in [("--data", mount::word(&self.site.data)?), ("--run", mount::word(&place.part("run"))?)] {
            head.extend([word.to_owned(), value]);
        }
        head.extend(["--name", &name(place), "--", program, "exec", "-i"].map(str::to_owned));
        let mut own_env = self.engine.env().clone();
        own_env.insert(hand::ENGINE_ENV.to_owned(), json!(self.engine.env()).to_string());
        Ok(Target {
            head,
            tail: vec![name(place)],
            tty: Some(vec!["-t".to_owned()]),
            cwd: CwdPass::Flag("--workdir".to_owned()),
            env: EnvPass::ByName("--env".to_owned()),
            keeps_identity: false,
            set: self.config.env.clone(),
            own_env,
            ..Target::default()
        })
    }

    async fn give_back(&self, held: &Held, outcome: Outcome) -> Answer<()> {
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::RELEASE, why),
        };
        let name = name(&place);
        if self.engine.program().is_none() && (outcome != Outcome::Kept || place.was_made()) {
            return Answer::unknown(self.engine.not_found());
        }
        match self.engine.look(&name).await {
            Ok(Some(known)) => {
                if let Err(why) = self.ours(&place, &known) {
                    return Answer::refused(code::RELEASE, why);
                }
                let words: &[&str] = if outcome == Outcome::Kept {
                    &["stop", "--time", STOP_SECONDS, &name]
                } else {
                    &["rm", "--force", "--volumes", &name]
                };
                match self.engine.call(words).await {
                    Ok(said) if said.ok() || is_absent(&said) => {}
                    Ok(said) => return Answer::unknown(trouble(&said)),
                    Err(why) => return Answer::unknown(why),
                }
            }
            Ok(None) => {}
            Err(why) => return Answer::unknown(why),
        }
        if outcome == Outcome::Kept {
            return Answer::Done(());
        }
        blocking(move || match place.remove() {
            Ok(()) => Answer::Done(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::RELEASE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be removed: {error}", place.dir().display())),
        })
        .await
    }

    async fn look_at(&self, ids: &[String]) -> Answer<BTreeMap<String, Seen>> {
        let names = match self.engine.names(&format!("{LABEL_OWNER}={}", self.owner())).await {
            Ok(names) => names,
            Err(why) => return Answer::unknown(why),
        };
        let prefix = self.prefix();
        let mut seen = BTreeMap::new();
        for id in ids {
            let place = id.strip_prefix(&prefix).and_then(|name| uuid::Uuid::parse_str(name).ok());
            let held = place.is_some_and(|place| {
                names.iter().any(|name| *name == format!("{NAME}{place}")) || Place::waits(&self.site.data, place)
            });
            seen.insert(id.clone(), if held { Seen::Held(None) } else { Seen::Gone });
        }
        Answer::Done(seen)
    }
}

/// Why a container could not be had.
enum Trouble {
    /// It never can.
    Refused(String),
    /// It may another time.
    Unknown(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

impl Trouble {
    fn answer<T>(self, code: &str) -> Answer<T> {
        match self {
            Self::Refused(hint) => Answer::refused(code, hint),
            Self::Unknown(evidence) => Answer::unknown(evidence),
        }
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
        Box::pin(self.look_again(ask, id))
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        Box::pin(self.show(held, ask))
    }

    fn target<'a>(&'a self, held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target> {
        Box::pin(self.way_in(held, realised))
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
        Box::pin(self.give_back(held, outcome))
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        Box::pin(self.give_back(held, Outcome::Released))
    }

    fn observe<'a>(&'a self, ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        Box::pin(self.look_at(ids))
    }
}
