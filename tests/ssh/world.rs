//! A driver, its leases and the commands it wraps.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;
use wharf::environment::driver::{
    AcquireAsk, Acquired, Answer, Driver, Held, Outcome, Place, RealiseAsk, Realised, Site,
};
use wharf::environment::registry;
use wharf::environment::target::{Inside, Target};
use wharf_model::{CompanyId, EnvironmentId, LeaseId, LeasePolicy, RunId, WorkspaceId};

use super::host::Host;

pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

pub struct World {
    pub host: Host,
    pub site: Site,
    pub runtime: tokio::runtime::Runtime,
}

impl World {
    pub fn new() -> Option<Self> {
        Host::start().map(Self::on)
    }

    pub fn on(host: Host) -> Self {
        for dir in ["data", "run", "here"] {
            fs::create_dir(host.path(dir)).unwrap();
        }
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let operator = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), text(host.path("here"))),
            ("XDG_RUNTIME_DIR".to_owned(), text(host.path("run"))),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
        ]);
        let site = Site {
            data: host.path("data"),
            operator: Arc::new(operator),
            program: WHARF.into(),
            base: host.path("here"),
            plugins: Arc::default(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { host, site, runtime }
    }

    pub fn config(&self, port: u16) -> Value {
        json!({
            "host": "127.0.0.1", "port": port, "user": self.host.user, "path": "~/wharf",
            "options": {
                "UserKnownHostsFile": self.host.path("known_hosts"),
                "GlobalKnownHostsFile": "/dev/null",
                "HostKeyAlias": "test-host",
                "IdentityFile": self.host.path("user_key"),
                "IdentitiesOnly": "yes",
                "IdentityAgent": "none",
            },
        })
    }

    pub fn driver_for(&self, config: &Value) -> Arc<dyn Driver> {
        registry::driver(wharf_model::Driver::Ssh, config, &self.site).unwrap()
    }

    pub fn driver(&self) -> Arc<dyn Driver> {
        self.driver_for(&self.config(self.host.port))
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A lease that is held.
    pub fn acquire(&self, driver: &dyn Driver) -> Held {
        let ask = ask();
        held(&ask, self.place(driver, &ask))
    }

    pub fn place(&self, driver: &dyn Driver, ask: &AcquireAsk) -> Place {
        match self.wait(driver.acquire(ask)) {
            Answer::Done(Acquired::Held(place)) => place,
            other => panic!("{other:?}"),
        }
    }

    pub fn release(&self, driver: &dyn Driver, held: &Held) {
        assert_eq!(self.wait(driver.release(held, Outcome::Released)), Answer::Done(()));
        assert!(!dir_of(held).exists());
        let sockets = self.sockets();
        assert!(sockets.is_empty(), "{sockets:?}");
    }

    /// Shared connections that are open.
    pub fn sockets(&self) -> Vec<PathBuf> {
        let all = fs::read_dir(self.host.path("run/wharf-ssh")).unwrap().flatten().map(|entry| entry.path());
        all.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("lock-")).collect()
    }

    pub fn target(&self, driver: &dyn Driver, held: &Held) -> Target {
        done(self.wait(driver.target(held, None)))
    }

    /// A command there, followed.
    pub fn start(&self, target: &Target, tag: &str, argv: &[&str]) -> Child {
        self.start_with(target, tag, argv, &[], b"")
    }

    pub fn start_with(&self, target: &Target, tag: &str, argv: &[&str], env: &[(&str, &str)], input: &[u8]) -> Child {
        let (child, mut stdin) = self.start_open(target, tag, argv, env);
        stdin.write_all(input).unwrap();
        child
    }

    /// The same with an input that stays open.
    pub fn start_open(&self, target: &Target, tag: &str, argv: &[&str], env: &[(&str, &str)]) -> (Child, ChildStdin) {
        let argv: Vec<String> = argv.iter().map(|w| (*w).to_owned()).collect();
        let allowed = BTreeMap::from([
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        let mut own: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        own.insert("WHARF_TAG".into(), tag.into());
        let cwd = self.host.home.to_str().unwrap().to_owned();
        let inside = Inside { argv: &argv, cwd: &cwd, allowed: &allowed, own: &own, tty: false, here: "/" };
        let wrapped = target.wrap(&inside);
        let mut child = Command::new(&wrapped.argv[0])
            .args(&wrapped.argv[1..])
            .current_dir(&wrapped.cwd)
            .env_clear()
            .envs(&wrapped.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(wrapped.first_line.unwrap().as_bytes()).unwrap();
        (child, stdin)
    }
}

pub fn ask() -> AcquireAsk {
    AcquireAsk {
        lease: LeaseId(Uuid::now_v7()),
        number: "L-1".into(),
        fence: 1,
        environment: EnvironmentId(Uuid::now_v7()),
        environment_name: "box".into(),
        company: CompanyId(Uuid::now_v7()),
        policy: LeasePolicy::Ephemeral,
        run: Some(RunId(Uuid::now_v7())),
        issue: None,
        workspace: None,
        project: None,
        ttl_ms: 600_000,
    }
}

pub fn held(ask: &AcquireAsk, place: Place) -> Held {
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

pub fn dir_of(held: &Held) -> PathBuf {
    PathBuf::from(held.facts["dir"].as_str().unwrap())
}

pub fn tag() -> String {
    format!("run/{}/1", Uuid::now_v7())
}

pub fn done<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Done(value) => value,
        other => panic!("{other:?}"),
    }
}

/// What a workspace in this checkout is asked to be.
pub fn realise_ask(root: &Path, branch: &str) -> RealiseAsk {
    RealiseAsk {
        run: Some(RunId(Uuid::now_v7())),
        attempt: 1,
        workspace: WorkspaceId(Uuid::now_v7()),
        mode: "isolated_workspace".into(),
        cwd: root.to_owned(),
        root: Some(root.to_owned()),
        git_common_dir: Some(root.join(".git")),
        branch: Some(branch.to_owned()),
        base_commit: None,
        timeout_ms: 300_000,
    }
}

impl World {
    pub fn realise(&self, driver: &dyn Driver, held: &Held, ask: &RealiseAsk) -> Realised {
        done(self.wait(driver.realise(held, ask)))
    }
}
