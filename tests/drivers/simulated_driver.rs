//! The driver of the simulated engine. It carries the project into a directory of the place, and back by git.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wharf::environment::driver::*;
use wharf::environment::here;
use wharf_model::{LeaseId, UnixMillis};

use super::carry;
use super::simulated::Provider;
use super::simulated_target::{Flaw, client};

#[derive(Debug, Clone)]
pub struct Simulated {
    pub provider: Arc<Provider>,
    pub flaw: Option<Flaw>,
}

impl Simulated {
    pub fn new(provider: &Arc<Provider>) -> Self {
        Self { provider: Arc::clone(provider), flaw: None }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn lost<T>(&self, evidence: String, gone: T) -> Answer<T> {
        if self.is(Flaw::LostIsGone) { Answer::Done(gone) } else { Answer::unknown(evidence) }
    }

    fn place(&self, id: &str) -> PathBuf {
        let name = if self.is(Flaw::SharesPlaces) { "all" } else { id };
        self.provider.path(name)
    }

    fn held(&self, id: &str, until: Option<UnixMillis>) -> Place {
        std::fs::create_dir_all(self.place(id)).unwrap();
        Place { provider_lease_id: Some(id.to_owned()), expires_at: until, facts: json!({ "pool": "simulated" }) }
    }

    /// The id of a lease's place, told or found by the lease.
    fn id_of(&self, held: &Held) -> Option<String> {
        let found = || self.provider.world().of(held.lease).filter(|_| !self.is(Flaw::NeedsTheId));
        held.provider_lease_id.clone().or_else(found)
    }

    async fn remove(&self, held: &Held, call: &'static str) -> Answer<()> {
        let mut world = match self.provider.call(call).await {
            Ok(world) => world,
            Err(evidence) => return self.lost(evidence, ()),
        };
        if world.fails_to_release() {
            return Answer::refused("lease_release_failed", "the pool is being counted; try again");
        }
        drop(world);
        let Some(id) = self.id_of(held) else { return Answer::Done(()) };
        if self.provider.world().slots.remove(&id).is_none() && self.is(Flaw::RefusesTwice) {
            return Answer::refused("lease_release_failed", format!("there is no place {id}"));
        }
        // One that waited in the queue has no directory.
        let _ = std::fs::remove_dir_all(self.provider.path(&id));
        Answer::Done(())
    }
}

impl Driver for Simulated {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            execute: true,
            resume: true,
            extend: true,
            list: true,
            tty: self.is(Flaw::ClaimsTty),
            persistent: true,
            shared_files: false,
        }
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        Box::pin(async { Answer::Done(Vec::new()) })
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        Box::pin(async {
            if self.is(Flaw::LeavesProcesses) {
                let left = std::process::Command::new("sleep")
                    .arg("30")
                    .env("LEFT", self.provider.root.display().to_string())
                    .spawn();
                std::thread::spawn(move || left.unwrap().wait());
            }
            match self.provider.call("probe").await {
                Ok(_) if self.is(Flaw::Hintless) => {
                    Answer::Done(vec![Check { level: Level::Warn, ..Check::ok("pool", "it is nearly full") }])
                }
                Ok(world) => Answer::Done(vec![Check::ok("pool", format!("a pool of {} places", world.size))]),
                Err(evidence) => Answer::unknown(evidence),
            }
        })
    }

    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        Box::pin(async {
            let mut world = match self.provider.call("acquire").await {
                Ok(world) => world,
                Err(evidence) => return Answer::unknown(evidence),
            };
            let known = world.of(ask.lease).filter(|_| !self.is(Flaw::NewPlaceEachTime));
            let id = known.unwrap_or_else(|| match self.flaw {
                Some(Flaw::NewPlaceEachTime) => format!("sim-{}-{}", ask.lease, world.slots.len()),
                _ => format!("sim-{}", ask.lease),
            });
            world.ask(ask.lease, id.clone(), ask.ttl_ms);
            match world.see(&id) {
                Seen::Held(until) => Answer::Done(Acquired::Held(self.held(&id, until))),
                Seen::Queued(queue) => Answer::Done(Acquired::Queued(queue)),
                Seen::Gone => Answer::refused("lease_acquire_failed", "it was asked for no time at all"),
            }
        })
    }

    fn resume<'a>(&'a self, ask: &'a AcquireAsk, id: &'a str, _facts: &'a Value) -> Call<'a, Resumed> {
        Box::pin(async {
            let mut world = match self.provider.call("resume").await {
                Ok(world) => world,
                Err(evidence) => return self.lost(evidence, Resumed::Gone),
            };
            let end = world.now.plus(ask.ttl_ms);
            match world.slots.get_mut(id).filter(|slot| slot.is_held) {
                Some(slot) => {
                    (slot.lease, slot.is_kept, slot.expires_at) = (ask.lease, false, end.min(slot.latest));
                    let until = slot.expires_at;
                    Answer::Done(Resumed::Held(self.held(id, Some(until))))
                }
                None if self.is(Flaw::ResumesAnything) => Answer::Done(Resumed::Held(self.held(id, None))),
                None => Answer::Done(Resumed::Gone),
            }
        })
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        Box::pin(async {
            if let Err(evidence) = self.provider.call("realise").await.map(drop) {
                return Answer::unknown(evidence);
            }
            let Some(id) = self.id_of(held) else { return Answer::unknown("it is not known which place it is") };
            let there = self.place(&id).join("work");
            let (from, to) = (ask.clone(), there.clone());
            let with_changes = !self.is(Flaw::ForgetsChanges);
            let made = tokio::task::spawn_blocking(move || carry::there(&from, &to, with_changes)).await;
            match made.unwrap_or_else(|panic| Err(panic.to_string())) {
                Ok(()) => Answer::Done(Realised {
                    cwd: there.display().to_string(),
                    sync: "provider_defined".into(),
                    record: json!({ "id": id }),
                }),
                Err(why) => Answer::refused("workspace_realization_failed", why),
            }
        })
    }

    fn target<'a>(&'a self, held: &'a Held, _realised: Option<&'a Realised>) -> Call<'a, Target> {
        Box::pin(async { Answer::Done(client(&self.place(&self.id_of(held).unwrap_or_default()), self.flaw)) })
    }

    fn list<'a>(&'a self, _held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            match self.provider.call("list").await.map(drop) {
                Err(evidence) => self.lost(evidence, Vec::new()),
                Ok(()) if self.is(Flaw::SeesNothing) => Answer::Done(Vec::new()),
                Ok(()) => here::list(tag).await,
            }
        })
    }

    fn stop<'a>(&'a self, held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            match self.provider.call("stop").await.map(drop) {
                Err(evidence) => self.lost(evidence, Vec::new()),
                Ok(()) if self.is(Flaw::StopsNothing) => self.list(held, tag).await,
                Ok(()) => here::stop(tag, grace).await,
            }
        })
    }

    fn collect<'a>(&'a self, _: &'a Held, ask: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected> {
        Box::pin(async {
            if let Err(evidence) = self.provider.call("collect").await.map(drop) {
                return Answer::unknown(evidence);
            }
            if self.is(Flaw::CollectsNothing) {
                return Answer::Done(Collected::default());
            }
            let (ask, there) = (ask.clone(), PathBuf::from(&realised.cwd));
            match tokio::task::spawn_blocking(move || carry::back(&ask, Path::new(&there))).await {
                Ok(Ok(changed)) => Answer::Done(Collected { changed, ..Collected::default() }),
                Ok(Err(why)) => Answer::unknown(why),
                Err(panic) => Answer::unknown(panic.to_string()),
            }
        })
    }

    fn extend<'a>(&'a self, held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        Box::pin(async move {
            let mut world = match self.provider.call("extend").await {
                Ok(world) => world,
                Err(evidence) => return Answer::unknown(evidence),
            };
            let found = held.provider_lease_id.as_ref().and_then(|id| world.slots.get_mut(id));
            let Some(slot) = found else { return Answer::refused("lease_acquire_failed", "it is not held any more") };
            if self.is(Flaw::ExtendsNothing) {
                return Answer::Done(Extended::Refused { latest: UnixMillis(0) });
            }
            if until > slot.latest {
                return Answer::Done(Extended::Refused { latest: slot.latest });
            }
            slot.expires_at = slot.expires_at.max(until);
            Answer::Done(Extended::Until(slot.expires_at))
        })
    }

    fn release<'a>(&'a self, held: &'a Held, outcome: Outcome) -> Call<'a, ()> {
        Box::pin(async move {
            if outcome != Outcome::Kept || self.is(Flaw::ThrowsKeptAway) {
                return self.remove(held, "release").await;
            }
            let id: Option<(String, LeaseId)> = self.id_of(held).map(|id| (id, held.lease));
            match self.provider.call("release").await {
                Err(evidence) => Answer::unknown(evidence),
                Ok(mut world) => {
                    if let Some(slot) = id.and_then(|(id, _)| world.slots.get_mut(&id)) {
                        slot.is_kept = true;
                    }
                    Answer::Done(())
                }
            }
        })
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        Box::pin(self.remove(held, "destroy"))
    }

    fn observe<'a>(&'a self, ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        Box::pin(async move {
            if self.is(Flaw::SeesAll) {
                return Answer::Done(ids.iter().map(|id| (id.clone(), Seen::Held(None))).collect());
            }
            match self.provider.call("observe").await {
                Ok(world) => Answer::Done(ids.iter().map(|id| (id.clone(), world.see(id))).collect()),
                Err(evidence) => self.lost(evidence, ids.iter().map(|id| (id.clone(), Seen::Gone)).collect()),
            }
        })
    }
}
