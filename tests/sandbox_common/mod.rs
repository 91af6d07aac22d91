//! An environment with a sandbox, a lease of it, and commands that run there as a shim would run them.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod podman;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;
use wharf::environment::driver::{
    AcquireAsk, Acquired, Answer, Check, Driver, Held, Level, RealiseAsk, Realised, Target,
};
use wharf::environment::target::Inside;
use wharf::environment::{Site, registry};
use wharf_model::{CompanyId, EnvironmentId, LeaseId, LeasePolicy, WorkspaceId};

pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");
/// Longest wait for anything that should come soon.
pub const LIMIT: Duration = Duration::from_secs(20);

pub fn wait<T>(call: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(call)
}

pub fn done<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Done(value) => value,
        other => panic!("not done: {other:?}"),
    }
}

pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(since.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A machine of its own, not in `/tmp`, which is another inside: a home with secrets and programs, a data directory, a place for projects.
pub struct World {
    pub root: tempfile::TempDir,
    pub site: Site,
    pub environment: EnvironmentId,
}

impl World {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("sandbox-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = root.path().canonicalize().unwrap();
        let home = path.join("home");
        for dir in
            ["home/.ssh", "home/.aws", "home/.gnupg", "home/.config/wharf", "home/.local/bin", "data/runs", "home/src"]
        {
            std::fs::create_dir_all(path.join(dir)).unwrap();
        }
        for secret in [".ssh/id", ".aws/credentials", ".gnupg/key", ".config/wharf/config.toml"] {
            std::fs::write(home.join(secret), "hidden-value").unwrap();
        }
        std::fs::write(path.join("data/wharf.db"), "hidden-value").unwrap();
        std::fs::write(
            home.join(".gitconfig"),
            "[user]\n name = Ann\n email = ann@x.example\n[init]\n defaultBranch = main\n",
        )
        .unwrap();
        let operator = BTreeMap::from([
            ("PATH".to_owned(), format!("{}:/usr/local/bin:/usr/bin:/bin", home.join(".local/bin").display())),
            ("HOME".to_owned(), home.display().to_string()),
        ]);
        let site = Site {
            data: path.join("data"),
            operator: Arc::new(operator),
            program: WHARF.into(),
            base: path.join("home/src"),
            plugins: std::sync::Arc::default(),
        };
        Self { root, site, environment: EnvironmentId(Uuid::now_v7()) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    pub fn driver(&self, config: &Value) -> Arc<dyn Driver> {
        registry::driver(wharf_model::Driver::Sandbox, config, &self.site).unwrap()
    }

    pub fn ask(&self) -> AcquireAsk {
        AcquireAsk {
            lease: LeaseId(Uuid::now_v7()),
            number: "L-1".into(),
            fence: 1,
            environment: self.environment,
            environment_name: "box".into(),
            company: CompanyId(Uuid::now_v7()),
            policy: LeasePolicy::Ephemeral,
            run: None,
            issue: None,
            workspace: None,
            project: None,
            ttl_ms: 600_000,
        }
    }

    /// git outside, as the operator types it.
    pub fn git(&self, dir: &Path, words: &[&str]) -> String {
        let out = self.git_try(dir, words);
        assert!(out.status.success(), "git {words:?}: {}", text(&out.stderr));
        text(&out.stdout)
    }

    pub fn git_try(&self, dir: &Path, words: &[&str]) -> Output {
        let env = [("HOME", self.site.operator["HOME"].as_str()), ("PATH", "/usr/bin:/bin"), ("GIT_EDITOR", "true")];
        Command::new("git").args(words).current_dir(dir).env_clear().envs(env).stdin(Stdio::null()).output().unwrap()
    }

    /// A repository with a commit, and a worktree of it.
    pub fn repository(&self) -> (PathBuf, PathBuf) {
        let main = self.path("home/src/shop");
        std::fs::create_dir_all(&main).unwrap();
        self.git(&main, &["init", "-q"]);
        std::fs::write(main.join("file"), "1\n").unwrap();
        self.git(&main, &["add", "file"]);
        self.git(&main, &["commit", "-q", "-m", "first"]);
        let tree = main.join(".wharf/worktrees/fix");
        self.git(
            &main,
            &["worktree", "add", "-q", "--lock", "--reason", "wharf workspace x", "-b", "fix", tree.to_str().unwrap()],
        );
        std::fs::write(main.join(".wharf/worktrees/.gitignore"), "*\n").unwrap();
        (main, tree)
    }
}

/// What must be realised for a checkout or a plain directory.
pub fn realise_ask(cwd: &Path, common: Option<&Path>) -> RealiseAsk {
    RealiseAsk {
        run: None,
        attempt: 1,
        workspace: WorkspaceId(Uuid::now_v7()),
        mode: "isolated_workspace".into(),
        cwd: cwd.to_owned(),
        root: common.map(|_| cwd.to_owned()),
        git_common_dir: common.map(Path::to_owned),
        branch: None,
        base_commit: None,
        timeout_ms: 60_000,
    }
}

/// One lease and what it shows.
pub struct Box {
    pub driver: Arc<dyn Driver>,
    pub held: Held,
    pub realised: Option<Realised>,
    pub cwd: PathBuf,
    home: String,
}

impl Box {
    /// Acquires, and realises this directory.
    pub fn new(world: &World, config: &Value, cwd: &Path, common: Option<&Path>) -> Self {
        let driver = world.driver(config);
        let ask = world.ask();
        let Acquired::Held(place) = done(wait(driver.acquire(&ask))) else { panic!("queued") };
        let mut this = Self::of(world, driver, held(&ask, place));
        this.realise(cwd, common);
        this
    }

    /// Of a lease that is held already; nothing is realised.
    pub fn of(world: &World, driver: Arc<dyn Driver>, held: Held) -> Self {
        let home = world.site.operator["HOME"].clone();
        Self { driver, held, realised: None, cwd: "/".into(), home }
    }

    pub fn realise(&mut self, cwd: &Path, common: Option<&Path>) {
        self.realised = Some(done(wait(self.driver.realise(&self.held, &realise_ask(cwd, common)))));
        cwd.clone_into(&mut self.cwd);
    }

    pub fn target(&self) -> Target {
        done(wait(self.driver.target(&self.held, self.realised.as_ref())))
    }

    /// A command as a shim runs it: own group, the variables of a run.
    pub fn command(&self, argv: &[&str], own: &[(&str, &str)]) -> Command {
        let argv: Vec<String> = argv.iter().map(|w| (*w).to_owned()).collect();
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let home = Some(("HOME".to_owned(), self.home.clone()));
        let allowed: BTreeMap<String, String> = [path].into_iter().chain(home).collect();
        let own = own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let cwd = self.cwd.display().to_string();
        let inside = Inside { argv: &argv, cwd: &cwd, allowed: &allowed, own: &own, tty: false, here: "/" };
        let wrapped = self.target().wrap(&inside);
        let mut command = Command::new(&wrapped.argv[0]);
        command.args(&wrapped.argv[1..]).env_clear().envs(&wrapped.env).current_dir(&wrapped.cwd).stdin(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
    }

    pub fn sh(&self, script: &str) -> Output {
        self.command(&["sh", "-c", script], &[]).output().unwrap()
    }

    /// Runs a script that must succeed, and gives what it printed.
    pub fn out(&self, script: &str) -> String {
        let out = self.sh(script);
        assert!(out.status.success(), "{}: {}{}", out.status, text(&out.stdout), text(&out.stderr));
        text(&out.stdout)
    }
}

pub fn held(ask: &AcquireAsk, place: wharf::environment::driver::Place) -> Held {
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

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn errors(checks: &[Check]) -> Vec<&Check> {
    checks.iter().filter(|c| c.level == Level::Error).collect()
}

pub fn bubblewrap(more: Value) -> Value {
    let mut config = json!({ "provider": "bubblewrap" });
    config.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    config
}

/// Whether bubblewrap can be used here; says so where it cannot.
pub fn has_bubblewrap(world: &World) -> bool {
    let checks = done(wait(world.driver(&bubblewrap(json!({}))).probe()));
    let wrong = errors(&checks);
    if !wrong.is_empty() {
        skipped(&format!("bubblewrap cannot be used here: {wrong:?}"));
    }
    wrong.is_empty()
}
