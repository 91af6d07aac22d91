//! A directory with a plugin in it, its driver, and what waits for processes to be gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;
use wharf::environment::driver::{AcquireAsk, Acquired, Answer, Held, Place};
use wharf::environment::plugin::Plugins;
use wharf::environment::{Driver, Site, registry};
use wharf_model::{CompanyId, EnvironmentId, LeaseId, LeasePolicy, RunId};

pub const SECRET: &str = "a-secret-\"quoted\"-value";
/// Longest time anything here may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Whether plugins written in Python can be run here; says so when not.
pub fn has_python() -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        crate::cli_common::skipped("python3 is not installed");
    }
    there
}

/// A directory of its own for a test, with both plugins in it: processes of it are known by its name.
pub struct Bench {
    dir: tempfile::TempDir,
    pub plugins: Arc<Plugins>,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("wharf-plugin-").tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (from, name) in [("tests/plugin/bad.py", "bad.py"), ("assets/plugins/places.py", "places.py")] {
            std::fs::copy(root.join(from), dir.path().join(name)).unwrap();
        }
        Self { dir, plugins: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn site(&self) -> Site {
        let operator = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("HOME".to_owned(), self.dir.path().display().to_string()),
            ("TOKEN".to_owned(), SECRET.to_owned()),
            ("OF_OURS".to_owned(), "not for plugins".to_owned()),
        ]);
        Site {
            data: self.path("data"),
            operator: Arc::new(operator),
            program: env!("CARGO_BIN_EXE_wharf").into(),
            base: self.dir.path().to_owned(),
            plugins: Arc::clone(&self.plugins),
        }
    }

    /// The site of a process that comes later.
    pub fn later(&self) -> Site {
        Site { plugins: Arc::default(), ..self.site() }
    }

    fn driver(&self, config: Value) -> Arc<dyn Driver> {
        registry::driver(wharf_model::Driver::Plugin, &config, &self.site()).unwrap()
    }

    /// The driver of the plugin that does this wrong.
    pub fn bad(&self, mode: &str) -> Arc<dyn Driver> {
        let config = json!({ "token": { "env": "TOKEN" } });
        self.driver(json!({ "command": ["./bad.py", mode], "driver": "bad", "config": config, "timeout": "400ms" }))
    }

    /// The driver of the example.
    pub fn places(&self, config: Value) -> Arc<dyn Driver> {
        self.driver(json!({ "command": "./places.py", "driver": "places", "config": config, "timeout": "20s" }))
    }

    /// How often the bad plugin was started.
    pub fn starts(&self) -> usize {
        std::fs::read_to_string(self.path("log")).unwrap_or_default().lines().count()
    }

    /// Processes that carry the name of this directory in their command line.
    pub fn processes(&self) -> Vec<i32> {
        let mark = self.dir.path().to_str().unwrap().as_bytes();
        let pids = std::fs::read_dir("/proc").unwrap().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.windows(mark.len()).any(|part| part == mark)
            })
            .collect()
    }

    /// Waits until no process of this directory is left.
    pub fn all_gone(&self) {
        until("every process of the test is gone", || self.processes().is_empty());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for pid in self.processes() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

/// Waits until it is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not so within {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn ask() -> AcquireAsk {
    AcquireAsk {
        lease: LeaseId(Uuid::now_v7()),
        number: "L-1".into(),
        fence: 1,
        environment: EnvironmentId(Uuid::now_v7()),
        environment_name: "pool".into(),
        company: CompanyId(Uuid::now_v7()),
        policy: LeasePolicy::Ephemeral,
        run: Some(RunId(Uuid::now_v7())),
        issue: None,
        workspace: None,
        project: None,
        ttl_ms: 60_000,
    }
}

pub fn held(ask: &AcquireAsk, place: &Place) -> Held {
    Held {
        lease: ask.lease,
        number: ask.number.clone(),
        fence: ask.fence,
        environment: ask.environment,
        policy: ask.policy,
        provider_lease_id: place.provider_lease_id.clone(),
        facts: place.facts.clone(),
    }
}

pub fn done<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

pub fn unknown<T: std::fmt::Debug>(answer: Answer<T>) -> String {
    match answer {
        Answer::Unknown { evidence } => evidence,
        other => panic!("{other:?}"),
    }
}

pub fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> (String, String) {
    match answer {
        Answer::Refused { code, hint } => (code, hint),
        other => panic!("{other:?}"),
    }
}

pub async fn acquire(driver: &dyn Driver, ask: &AcquireAsk) -> Place {
    match done(driver.acquire(ask).await) {
        Acquired::Held(place) => place,
        Acquired::Queued(queue) => panic!("{queue:?}"),
    }
}
