//! A driver whose answers a test writes, and rows around it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;
use wharf_model::shim::OnQuota;
use wharf_model::{
    ActionKind, ActionRow, CompanyId, Driver as Kind, EnvironmentId, EnvironmentRow, LeaseId, LeasePolicy, LeaseRow,
    LeaseStatus, RunId, UnixMillis, WorkspaceId,
};

use super::context::Context;
use super::keep::Keeper;
use super::place::There;
use crate::dispatch::event_loop::Inbox;
use crate::dispatch::input::Realisation;
use crate::dispatch::perform::{self, Job, RunJob};
use crate::dispatch::simulate::bench::Bench;
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, Driver, Extended, Held, Outcome, PlaceProcess,
    RealiseAsk, Realised, Resumed, Seen, Target,
};

/// What becomes of one call.
#[derive(Debug)]
pub enum Said<T> {
    /// It is answered at once.
    Answer(Answer<T>),
    /// It never ends.
    Never,
}

/// Answers of one call, in their order; the last one is given again and again.
#[derive(Debug)]
pub struct Script<T>(Mutex<VecDeque<Said<T>>>);

impl<T> Default for Script<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone + Send + Debug> Script<T> {
    pub fn of(said: impl IntoIterator<Item = Said<T>>) -> Self {
        Self(Mutex::new(said.into_iter().collect()))
    }

    pub fn done(values: impl IntoIterator<Item = T>) -> Self {
        Self::of(values.into_iter().map(|v| Said::Answer(Answer::Done(v))))
    }

    fn next(&self) -> Option<Answer<T>> {
        let mut said = self.0.lock().unwrap();
        let next = if said.len() > 1 { said.pop_front() } else { None };
        match next.as_ref().or(said.front()) {
            Some(Said::Answer(answer)) => Some(answer.clone()),
            Some(Said::Never) => None,
            None => panic!("the test wrote no answer for this call"),
        }
    }
}

/// A driver that does as it was told, and remembers what it was asked.
#[derive(Debug, Default)]
pub struct Scripted {
    pub shared_files: bool,
    /// It cannot be asked what runs there.
    pub silent: bool,
    pub calls: Mutex<Vec<String>>,
    /// Calls that were dropped before they ended.
    pub dropped: Arc<Mutex<u32>>,
    pub acquire: Script<Acquired>,
    pub resume: Script<Resumed>,
    pub realise: Script<Realised>,
    pub target: Script<Target>,
    pub list: Script<Vec<PlaceProcess>>,
    pub stop: Script<Vec<PlaceProcess>>,
    pub collect: Script<Collected>,
    pub extend: Script<Extended>,
    pub release: Script<()>,
    pub destroy: Script<()>,
    pub observe: Script<BTreeMap<String, Seen>>,
}

/// Counts a call that is dropped unless it has ended.
struct Dropped(Option<Arc<Mutex<u32>>>);

impl Dropped {
    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(count) = self.0.take() {
            *count.lock().unwrap() += 1;
        }
    }
}

impl Scripted {
    fn say<'a, T: Clone + Send + Debug + 'a>(&'a self, call: String, script: &'a Script<T>) -> Call<'a, T> {
        self.calls.lock().unwrap().push(call);
        let mut dropped = Dropped(Some(Arc::clone(&self.dropped)));
        Box::pin(async move {
            match script.next() {
                Some(answer) => {
                    dropped.ended();
                    answer
                }
                None => std::future::pending().await,
            }
        })
    }

    /// The names of the calls so far.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// As the place of a lease, with a workspace in it.
    pub fn there(self) -> (Arc<Self>, There) {
        let driver = Arc::new(self);
        let held = super::lease::held(&lease(&environment(Kind::Ssh)));
        let realisation = Some(realisation());
        (Arc::clone(&driver), There { driver, held, name: "box-1 (ssh)".into(), realisation })
    }
}

impl Driver for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            execute: true,
            resume: true,
            extend: true,
            list: !self.silent,
            tty: false,
            persistent: true,
            shared_files: self.shared_files,
        }
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        Box::pin(std::future::ready(Answer::Done(Vec::new())))
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        Box::pin(std::future::ready(Answer::Done(Vec::new())))
    }

    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        self.say(format!("acquire {}", ask.number), &self.acquire)
    }

    fn resume<'a>(&'a self, _ask: &'a AcquireAsk, id: &'a str, _facts: &'a Value) -> Call<'a, Resumed> {
        self.say(format!("resume {id}"), &self.resume)
    }

    fn realise<'a>(&'a self, _held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        self.say(format!("realise {}", ask.cwd.display()), &self.realise)
    }

    fn target<'a>(&'a self, _held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target> {
        self.say(format!("target {}", realised.map_or("nothing", |r| r.cwd.as_str())), &self.target)
    }

    fn list<'a>(&'a self, _held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        self.say(format!("list {tag}"), &self.list)
    }

    fn stop<'a>(&'a self, _held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        self.say(format!("stop {tag} {}", grace.as_millis()), &self.stop)
    }

    fn collect<'a>(&'a self, _: &'a Held, _: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected> {
        self.say(format!("collect {}", realised.cwd), &self.collect)
    }

    fn extend<'a>(&'a self, _held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        self.say(format!("extend {}", until.0), &self.extend)
    }

    fn release<'a>(&'a self, _held: &'a Held, outcome: Outcome) -> Call<'a, ()> {
        self.say(format!("release {outcome:?}"), &self.release)
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        self.say(format!("destroy {:?}", held.provider_lease_id), &self.destroy)
    }

    fn observe<'a>(&'a self, ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        self.say(format!("observe {}", ids.join(" ")), &self.observe)
    }
}

pub fn environment(driver: Kind) -> EnvironmentRow {
    let company = CompanyId(Uuid::now_v7());
    EnvironmentRow::new(EnvironmentId(Uuid::now_v7()), 1, company, "box-1", driver, UnixMillis(1))
}

/// A lease that is held.
pub fn lease(environment: &EnvironmentRow) -> LeaseRow {
    LeaseRow {
        fence: Some(1),
        provider_lease_id: Some("p1".into()),
        run_id: Some(RunId(Uuid::now_v7())),
        lease_policy: LeasePolicy::Ephemeral,
        realisation: serde_json::to_value(realisation()).ok(),
        metadata: Some(json!({ "host": "box-1" })),
        ..LeaseRow::asked(LeaseId(Uuid::now_v7()), 12, environment, LeaseStatus::Active, UnixMillis(1))
    }
}

/// A workspace of git that was carried to `/there/w`.
pub fn realisation() -> Realisation {
    Realisation {
        request: RealiseAsk {
            run: None,
            attempt: 1,
            workspace: WorkspaceId(Uuid::now_v7()),
            mode: "isolated_workspace".into(),
            cwd: "/here/w/sub".into(),
            root: Some("/here/w".into()),
            git_common_dir: Some("/here/.git".into()),
            branch: Some("b".into()),
            base_commit: None,
            timeout_ms: 300_000,
        },
        result: Realised { cwd: "/there/w/sub".into(), sync: "ssh_git_import_export".into(), record: Value::Null },
    }
}

/// A process in a place.
pub fn process(pid: i64) -> PlaceProcess {
    PlaceProcess { pid, command: "sleep".into() }
}

/// A run of an agent in an environment of ssh, about to be started, and the action that starts it.
pub fn remote_run() -> (ActionRow, RunJob) {
    let mut bench = Bench::new(4);
    let run = bench.start("remote", None);
    bench.grant(run);
    bench.make_workspace(run, "/here/w/sub");
    let id = bench.action(ActionKind::SpawnShim, &run.text()).unwrap();
    let action = bench.state.actions[&id].clone();
    let Some(Job::Execute(job)) = perform::job(&bench.state, &action, None) else { panic!("it cannot be started") };
    (action, *job)
}

/// What executors share, in a data directory of its own.
pub fn context(data: &Path, inbox: Inbox) -> Context {
    let operator = BTreeMap::from([
        ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
        ("HOME".to_owned(), "/home/me".to_owned()),
        ("LANG".to_owned(), "C".to_owned()),
    ]);
    Context {
        keeper: Keeper { data: data.to_owned(), epoch: 1 },
        inbox,
        operator: Arc::new(operator),
        program_dir: None,
        log_quota: None,
        on_quota: OnQuota::Block,
        plugins: Arc::default(),
    }
}
