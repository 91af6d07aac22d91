//! bubblewrap: namespaces of the kernel's around a command, by an ordinary user.
//!
//! A lease holds a private directory ([`Place`]): its `tmp` is `/tmp` inside, its `home` lies where the
//! operator's home is, with the operator's programs and git's settings read-only in it. `HOME` keeps its
//! value. What the policies keep and resume is this directory; processes end with whoever started them.

mod life;
mod options;
mod probe;
mod system;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_model::UnixMillis;
use wharf_model::config::driver::SandboxConfig;

use super::gitdir::Layout;
use super::place::Place;
use super::realised::{self, Workspace};
use super::{code, limits, mount, program, sources, swept};
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, Driver, Extended, Held, Outcome, Place as Got,
    PlaceProcess, RealiseAsk, Realised, Resumed, Seen, Site, Target,
};
use crate::environment::here;

/// What the provider lease ids begin with.
const PREFIX: &str = "bubblewrap:";

/// The driver of one environment.
#[derive(Debug, Clone)]
pub struct Bubblewrap {
    config: SandboxConfig,
    site: Site,
}

impl Bubblewrap {
    /// With these settings.
    pub fn new(config: SandboxConfig, site: &Site) -> Self {
        Self { config, site: site.clone() }
    }

    fn program(&self) -> Option<PathBuf> {
        program::find(&self.site, "bwrap")
    }

    fn place(&self, held: &Held) -> Result<Place, String> {
        match &held.provider_lease_id {
            None => Ok(Place::of_lease(&self.site.data, held.environment, held.lease)),
            Some(id) => Place::of_provider_id(&self.site.data, held.environment, PREFIX, id)
                .ok_or_else(|| format!("{} of {} is no sandbox of bubblewrap's", id, held.number)),
        }
    }

    fn got(&self, place: &Place) -> Got {
        let kept = limits::ensure(place.id(), &self.config.limits);
        let facts = json!({
            "provider": "bubblewrap",
            "directory": place.dir().display().to_string(),
            "network": self.config.network.as_str(),
            "groups": kept.groups,
            "limits": kept.kept,
            "limits_not_kept": kept.not_kept,
        });
        Got { provider_lease_id: Some(format!("{PREFIX}{}", place.id())), expires_at: None, facts }
    }

    fn shown(&self, workspace: &Workspace) -> Result<(Layout, Vec<mount::Bind>), String> {
        workspace.binds(&sources::binds(&self.config, &self.site)?, &self.site)
    }

    fn realise(&self, held: &Held, ask: &RealiseAsk) -> Answer<Realised> {
        let made = self.place(held).and_then(|place| match place.is_there() {
            Ok(true) => {
                let workspace = Workspace::of(ask).looked_through(&self.site)?;
                self.shown(&workspace).map(|shown| (place, workspace, shown))
            }
            Ok(false) => Err(format!("the sandbox {} is not there any more", place.dir().display())),
            Err(error) => Err(error.to_string()),
        });
        match made {
            Ok((place, workspace, (layout, binds))) => {
                let more = json!({ "provider": "bubblewrap", "directory": place.dir().display().to_string() });
                let record = realised::record(&workspace, &layout, &binds, None, more);
                Answer::Done(Realised { cwd: ask.cwd.display().to_string(), sync: "none".into(), record })
            }
            Err(why) => Answer::refused(code::REALISE, why),
        }
    }

    fn target(&self, held: &Held, realised: Option<&Realised>) -> Answer<Target> {
        let workspace = Workspace::of_record(realised);
        if realised.is_some() && workspace.is_none() {
            return Answer::refused(
                code::TARGET,
                "the record of the workspace says nothing of a sandbox; realise it again",
            );
        }
        let target = self.place(held).and_then(|place| {
            let program = self.program().ok_or(probe::NOT_FOUND)?;
            if !place.is_there().map_err(|error| error.to_string())? {
                return Err(format!("the sandbox {} is not there any more", place.dir().display()));
            }
            let configured = sources::binds(&self.config, &self.site)?;
            let mut free: Vec<PathBuf> =
                configured.iter().filter(|m| m.access == mount::Access::Write).map(|m| m.target.clone()).collect();
            let mut guarded = Vec::new();
            let binds = match &workspace {
                Some(workspace) => {
                    let (layout, binds) = workspace.binds(&configured, &self.site)?;
                    // The git directory of a main checkout is read-only as it is.
                    if let Layout::Linked { common, entry } = layout {
                        guarded.extend([common, entry]);
                    }
                    free.push(workspace.root.clone());
                    free.extend(workspace.root.canonicalize().ok().filter(|real| *real != workspace.root));
                    binds
                }
                None => configured,
            };
            options::target(&options::Parts {
                program: &program,
                config: &self.config,
                site: &self.site,
                place: &place,
                binds: &binds,
                limits: &limits::ensure(place.id(), &self.config.limits),
                free: &free,
                guarded: &guarded,
            })
        });
        match target {
            Ok(target) => Answer::Done(target),
            Err(why) => Answer::refused(code::TARGET, why),
        }
    }
}

/// Work on files, beside the runtime's own threads.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Answer<T> + Send + 'static) -> Answer<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Answer::unknown(panic.to_string()))
}

impl Driver for Bubblewrap {
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
        Box::pin(async { Self::acquire(self, ask).await.map(Acquired::Held) })
    }

    fn resume<'a>(&'a self, ask: &'a AcquireAsk, id: &'a str, _facts: &'a Value) -> Call<'a, Resumed> {
        Box::pin(Self::resume(self, ask, id))
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        let (this, held, ask) = (self.clone(), held.clone(), ask.clone());
        Box::pin(blocking(move || Self::realise(&this, &held, &ask)))
    }

    fn target<'a>(&'a self, held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target> {
        let (this, held, realised) = (self.clone(), held.clone(), realised.cloned());
        Box::pin(blocking(move || Self::target(&this, &held, realised.as_ref())))
    }

    fn list<'a>(&'a self, _held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(here::list(tag))
    }

    fn stop<'a>(&'a self, _held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(here::stop(tag, grace))
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
        Box::pin(blocking(move || this.give_back(&held, outcome)))
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        self.release(held, Outcome::Released)
    }

    fn observe<'a>(&'a self, ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        let (this, ids) = (self.clone(), ids.to_vec());
        Box::pin(blocking(move || Answer::Done(Self::observe(&this, &ids))))
    }
}
