//! A subject with a project to work on, and short ways to make its calls. Every failure names driver and call.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use uuid::Uuid;
use wharf::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Driver, Held, Outcome, Place, PlaceProcess, RealiseAsk, Realised,
    Resumed, Seen, Target,
};
use wharf_model::LeasePolicy;

use super::leftovers::Leftovers;
use super::scene::Scene;
use super::subject::{Made, Subject};

/// Longest time that any call may take here.
const LIMIT: Duration = Duration::from_mins(1);

pub struct Bench {
    pub name: &'static str,
    pub made: Made,
    runtime: tokio::runtime::Runtime,
    // Last: what lives in it has ended by then.
    pub root: tempfile::TempDir,
}

impl Bench {
    /// Makes the subject; the reason where it cannot be tried here.
    pub fn new(subject: &dyn Subject) -> Result<Self, String> {
        let root = tempfile::tempdir().unwrap();
        let made = subject.make(root.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Ok(Self { name: subject.name(), made, runtime, root })
    }

    /// The driver, made anew.
    pub fn driver(&self) -> Arc<dyn Driver> {
        let _in = self.runtime.enter();
        (self.made.driver)()
    }

    pub fn can(&self) -> Capabilities {
        self.driver().capabilities()
    }

    /// A project for one check.
    pub fn scene(&self) -> Scene {
        Scene::new(self.root.path())
    }

    /// Waits for the answer of a call.
    pub fn answer<T>(&self, what: &str, call: Call<'_, T>) -> Answer<T> {
        let waited = self.runtime.block_on(async { tokio::time::timeout(LIMIT, call).await });
        waited.unwrap_or_else(|_| panic!("driver {}: {what} did not answer within {LIMIT:?}", self.name))
    }

    /// Waits for a call that must be done.
    pub fn done<T: Debug>(&self, what: &str, call: Call<'_, T>) -> T {
        match self.answer(what, call) {
            Answer::Done(value) => value,
            other => panic!("driver {}: {what} answered {other:?}", self.name),
        }
    }

    /// Begins a call and drops it after a while.
    pub fn drop_after<T>(&self, while_: Duration, call: Call<'_, T>) {
        let _late = self.runtime.block_on(async { tokio::time::timeout(while_, call).await });
    }

    /// Fails the check unless it is so.
    pub fn holds(&self, what: &str, is_so: bool, seen: impl Debug) {
        assert!(is_so, "driver {}: {what}: {seen:?}", self.name);
    }

    // ---- leases ----

    /// A lease that nobody has asked for yet.
    pub fn ask(&self, scene: &Scene) -> AcquireAsk {
        self.ask_for(scene, LeasePolicy::Ephemeral)
    }

    pub fn ask_for(&self, scene: &Scene, policy: LeasePolicy) -> AcquireAsk {
        let realise = scene.ask();
        AcquireAsk {
            lease: Uuid::now_v7().into(),
            number: "L-7".into(),
            fence: 7,
            environment: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001).into(),
            environment_name: "box".into(),
            company: Uuid::from_u128(2).into(),
            policy,
            run: realise.run,
            issue: None,
            workspace: Some(realise.workspace),
            project: Some(scene.project.clone()),
            ttl_ms: 600_000,
        }
    }

    /// Asks until it is held; a queue of the provider's own is waited in.
    pub fn place(&self, ask: &AcquireAsk) -> Place {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            let driver = self.driver();
            let queue = match self.done("acquire", driver.acquire(ask)) {
                Acquired::Held(place) => return place,
                Acquired::Queued(queue) => queue,
            };
            let ids: Vec<String> = queue.provider_lease_id.into_iter().collect();
            self.done("observe", driver.observe(&ids));
        }
        panic!("driver {}: acquire stays queued for {LIMIT:?}", self.name)
    }

    pub fn held(&self, ask: &AcquireAsk, place: Place) -> Held {
        Held {
            lease: ask.lease,
            number: ask.number.clone(),
            fence: ask.fence,
            environment: ask.environment,
            policy: ask.policy,
            provider_lease_id: place.provider_lease_id,
            facts: place.facts,
        }
    }

    pub fn acquire(&self, ask: &AcquireAsk) -> Held {
        let place = self.place(ask);
        self.held(ask, place)
    }

    /// The lease of a call whose answer never arrived.
    pub fn unanswered(&self, ask: &AcquireAsk) -> Held {
        let place = Place { provider_lease_id: None, expires_at: None, facts: Value::Null };
        self.held(ask, place)
    }

    pub fn resume(&self, ask: &AcquireAsk, of: &Held) -> Resumed {
        let id = of.provider_lease_id.clone().unwrap_or_else(|| "it has none".into());
        self.done("resume", self.driver().resume(ask, &id, &of.facts))
    }

    pub fn release(&self, held: &Held) {
        self.release_as(held, Outcome::Released);
    }

    pub fn release_as(&self, held: &Held, outcome: Outcome) {
        self.done("release", self.driver().release(held, outcome));
    }

    pub fn destroy(&self, held: &Held) {
        self.done("destroy", self.driver().destroy(held));
    }

    pub fn observe(&self, ids: &[String]) -> BTreeMap<String, Seen> {
        self.done("observe", self.driver().observe(ids))
    }

    /// What exists at the provider, where somebody beside the driver can tell.
    pub fn places(&self) -> Option<Vec<String>> {
        self.made.places.as_ref().map(|ask| ask())
    }

    // ---- places ----

    pub fn realise(&self, held: &Held, ask: &RealiseAsk) -> Realised {
        self.done("realise", self.driver().realise(held, ask))
    }

    pub fn target(&self, held: &Held, realised: Option<&Realised>) -> Target {
        self.done("target", self.driver().target(held, realised))
    }

    pub fn list(&self, held: &Held, tag: &str) -> Vec<PlaceProcess> {
        self.done("list", self.driver().list(held, tag))
    }

    pub fn stop(&self, held: &Held, tag: &str, grace: Duration) -> Vec<PlaceProcess> {
        self.done("stop", self.driver().stop(held, tag, grace))
    }

    /// Processes of this machine that calls and commands have started.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::look(self.root.path(), self.made.stays)
    }

    /// Asks until it is so.
    pub fn eventually(&self, what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !is_so() {
            assert!(Instant::now() < end, "driver {}: waited {limit:?} for {what}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
