//! A data directory with a project, and `wharf serve` processes that are started, killed and
//! started again on it. Everything is real: processes, files, git.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wharf::process::{descendants, signal, terminate};
use wharf_model::shim::{IdFile, ProcessRef, Spec};
use wharf_model::state::State;
use wharf_model::*;
use wharf_store::view::{ActivityQuery, OperationItem, RunDetail, RunQuery, ServiceItem, ServiceQuery};
use wharf_store::{Access, ChangeSignal, NewRequest, Reader, RequestSender, Store, Writer};

/// Longest wait for anything that should come at once.
pub const LIMIT: Duration = Duration::from_mins(1);
pub const WHARF: &str = env!("CARGO_BIN_EXE_wharf");

/// One data directory with one project. Ends every process of it when dropped.
pub struct Site {
    pub root: tempfile::TempDir,
    pub data: PathBuf,
    pub project: PathBuf,
    reader: Reader,
}

impl Site {
    /// A project that is a git repository with one commit, and its config.
    pub fn git(config: &str) -> Self {
        let site = Self::plain(config);
        site.run_git(&["init", "-q", "-b", "main"]);
        site.commit();
        site
    }

    /// A project in a directory that is no repository.
    pub fn plain(config: &str) -> Self {
        Self::in_root(tempfile::tempdir().unwrap(), config)
    }

    /// [`Self::plain`] in a directory in which `data` may already stand.
    pub fn in_root(root: tempfile::TempDir, config: &str) -> Self {
        let (data, project) = (root.path().join("data"), root.path().join("shop"));
        for dir in [&data, &project, &root.path().join("home"), &root.path().join("config")] {
            fs::DirBuilder::new().mode(0o700).recursive(true).create(dir).unwrap();
        }
        // The store stands before the first orchestrator, so that a request can wait for it.
        drop(Store::open(&data, Access::Create).unwrap());
        let reader = Reader::open(&data).unwrap();
        let site = Self { root, data, project, reader };
        site.configure(config);
        site
    }

    /// Writes the project's config; `$ROOT` in it becomes the directory of this site.
    pub fn configure(&self, config: &str) {
        let text = config.replace("$ROOT", self.root.path().to_str().unwrap());
        fs::write(self.project.join("wharf.toml"), text).unwrap();
    }

    /// Writes the operator's own config.
    pub fn configure_machine(&self, config: &str) {
        let dir = self.root.path().join("config/wharf");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.toml"), config).unwrap();
    }

    pub fn commit(&self) {
        self.run_git(&["add", "-A"]);
        self.run_git(&["commit", "-q", "-m", "begin"]);
    }

    pub fn run_git(&self, args: &[&str]) {
        self.git_says(args);
    }

    /// The same, and what it prints.
    pub fn git_says(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(&self.project)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", self.root.path().join("home"))
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A path beside the project, for what children leave and wait for.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Lines of a file beside the project; none when it is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A pipe with a name, on which children wait for the test.
    pub fn gate(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        path
    }

    /// Lets one child go that reads from a gate; waits until it is there.
    pub fn open_gate(&self, name: &str) {
        let path = self.path(name);
        within("a child at the gate", LIMIT, move || fs::write(&path, "go\n").unwrap());
    }

    // ---- orchestrators ----

    /// `wharf serve`, reigning.
    pub fn start(&self) -> Orchestrator {
        let mut it = self.spawn(&[]);
        assert!(it.wait_until_reigning(), "it ended at once: {}", it.said());
        it
    }

    /// `wharf serve` with variables of its own; it may die at any moment.
    pub fn spawn(&self, env: &[(&str, &str)]) -> Orchestrator {
        self.spawn_as(&[WHARF, "serve"], env)
    }

    /// Any command of this program, as [`Self::spawn`] starts one.
    pub fn spawn_with(&self, args: &[&str], env: &[(&str, &str)]) -> Orchestrator {
        self.spawn_program(Path::new(WHARF), args, env)
    }

    /// `wharf serve` by a command line of its own, such as another copy of the program or a wrapper around it.
    pub fn spawn_as(&self, argv: &[&str], env: &[(&str, &str)]) -> Orchestrator {
        self.spawn_program(Path::new(argv[0]), &argv[1..], env)
    }

    /// Any command of any program.
    pub fn spawn_program(&self, program: &Path, args: &[&str], env: &[(&str, &str)]) -> Orchestrator {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.root.path().join("home"))
            .env("XDG_CONFIG_HOME", self.root.path().join("config"))
            .env("WHARF_DATA_DIR", &self.data)
            .envs(env.iter().copied())
            .current_dir(&self.project)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        let (tell, lines) = channel();
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                // Nobody may be listening any more.
                let _ = tell.send(line);
            }
        });
        Orchestrator { child, lines, said, status: None }
    }

    // ---- requests ----

    /// Sends a request of the operator, as another process would.
    pub fn send(&self, kind: &str, target: Option<(&str, String)>, args: Value) -> RequestId {
        self.try_send(kind, target, args).unwrap()
    }

    /// [`Self::send`] where the store may refuse.
    pub fn try_send(
        &self,
        kind: &str,
        target: Option<(&str, String)>,
        args: Value,
    ) -> Result<RequestId, wharf_store::StoreError> {
        let now = wharf::clock::now();
        let (target_type, target_id) = target.map_or((None, None), |(t, id)| (Some(t.to_owned()), Some(id)));
        let request = NewRequest {
            kind: kind.to_owned(),
            target_type,
            target_id,
            args,
            expect: None,
            actor_type: ActorType::Operator,
            actor_id: "tester".to_owned(),
            origin: RequestOrigin::Cli,
            idempotency_key: None,
            now,
            expires_at: now.plus(30_000),
        };
        Ok(RequestSender::open(&self.data)?.send(&request)?.id)
    }

    fn at_project(&self, mut args: Value) -> Value {
        args["path"] = json!(self.project);
        args
    }

    /// Asks for a run; does not wait.
    pub fn ask_run(&self, agent: &str, args: Value) -> RequestId {
        let mut args = self.at_project(args);
        args["agent"] = json!(agent);
        self.send("run.start", Some(("agent", String::new())).filter(|_| false), args)
    }

    /// Asks for a run and waits until it is taken.
    pub fn begin_run(&self, agent: &str) -> RunId {
        self.run_of(self.ask_run(agent, json!({})))
    }

    /// The run that a request made, once it is taken.
    pub fn run_of(&self, request: RequestId) -> RunId {
        let row = self.answered(request);
        let id = row.result.as_ref().and_then(|r| r["run_id"].as_str());
        id.unwrap_or_else(|| panic!("no run was made: {row:?}")).parse().unwrap()
    }

    /// Waits for the first answer: accepted or refused.
    pub fn answered(&self, request: RequestId) -> RequestRow {
        self.wait("an answer", || self.request(request).filter(|r| r.answered_at.is_some()))
    }

    /// Waits until a request is accepted or over.
    pub fn finished_or_accepted(&self, request: RequestId) -> RequestRow {
        self.wait("an answer", || self.request(request).filter(|r| r.status != RequestStatus::Pending))
    }

    /// Waits until a request is over.
    pub fn finished(&self, request: RequestId) -> RequestRow {
        self.wait("the end of a request", || self.request(request).filter(|r| r.status.is_terminal()))
    }

    pub fn cancel(&self, run: RunId, grace_ms: i64) -> RequestId {
        self.send("run.cancel", Some(("run", run.text())), json!({ "grace_ms": grace_ms }))
    }

    pub fn ask_service(&self, verb: &str, service: ServiceId) -> RequestId {
        self.send(&format!("service.{verb}"), Some(("service", service.text())), json!({}))
    }

    // ---- rows ----

    /// Asks the store; asks again where a busy machine made the question run out of its time.
    pub fn ask<T>(&self, question: impl Fn(&Reader) -> Result<T, wharf_store::StoreError>) -> T {
        for _ in 0..100 {
            match question(&self.reader) {
                Err(wharf_store::StoreError::TooSlow { .. }) => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("a question to the store runs out of its time again and again")
    }

    pub fn request(&self, id: RequestId) -> Option<RequestRow> {
        self.ask(|r| r.request(id))
    }

    pub fn run(&self, id: RunId) -> RunDetail {
        self.ask(|r| r.run_detail(id)).unwrap()
    }

    /// All runs, oldest first.
    pub fn all_runs(&self) -> Vec<RunRow> {
        let mut lines = self.ask(|r| r.runs(&RunQuery::default(), None, 1_000)).rows;
        lines.reverse();
        lines.into_iter().map(|line| self.run(line.id).run).collect()
    }

    pub fn events(&self, id: RunId) -> Vec<RunEventRow> {
        self.ask(|r| r.run_events(id, 0, 10_000)).rows
    }

    pub fn services(&self) -> Vec<ServiceItem> {
        let mut all = self.ask(|r| r.services(&ServiceQuery::default(), None, 1_000)).rows;
        all.reverse();
        all
    }

    /// The service with a name; there is one.
    pub fn service(&self, name: &str) -> ServiceItem {
        let mut named: Vec<_> = self.services().into_iter().filter(|s| s.service.name == name).collect();
        assert_eq!(named.len(), 1, "services called {name}: {named:?}");
        named.remove(0)
    }

    pub fn activity(&self, query: &ActivityQuery) -> Vec<ActivityRow> {
        self.ask(|r| r.activity(query, None, 10_000)).rows
    }

    /// The shim of a run, as its directory names it.
    pub fn shim_of(&self, run: RunId) -> wharf_model::shim::ProcessRef {
        let (dir, _) = self.shims().into_iter().find(|(_, spec)| spec.id == run.text()).unwrap();
        let id: wharf_model::shim::IdFile =
            serde_json::from_slice(&std::fs::read(dir.join("id.json")).unwrap()).unwrap();
        id.shim
    }

    /// How often something was noted in the audit trail of a run.
    pub fn noted(&self, run: RunId, action: &str) -> usize {
        let query = ActivityQuery { run: Some(run), action: Some(action.to_owned()), ..ActivityQuery::default() };
        self.activity(&query).len()
    }

    pub fn operations(&self, run: RunId) -> Vec<OperationItem> {
        self.run(run).operations
    }

    /// Waits until a question has an answer; asks again whenever somebody has committed.
    pub fn wait<T>(&self, what: &str, ask: impl FnMut() -> Option<T>) -> T {
        self.wait_at_most(LIMIT, what, ask)
    }

    /// [`Self::wait`] for what no commit tells of, such as the end of a process: also looks by itself.
    pub fn wait_and_look<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + LIMIT;
        let mut signal = ChangeSignal::open(&self.data).unwrap();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < end, "waited {LIMIT:?} for {what}; {}", self.state_of_affairs());
            signal.wait(Duration::from_millis(20)).unwrap();
        }
    }

    pub fn wait_at_most<T>(&self, limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + limit;
        let mut signal = ChangeSignal::open(&self.data).unwrap();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {limit:?} for {what}; {}", self.state_of_affairs());
            let told = signal.wait(left).unwrap();
            assert!(told || ask().is_none(), "nobody told of {what}, and it had come");
        }
    }

    /// Waits until a run has ended and nothing is left to do for it.
    pub fn settled(&self, run: RunId) -> RunRow {
        self.wait("the end of a run", || {
            let detail = self.run(run);
            let sealed = detail.run.log_ref.is_none() || detail.run.log_sha256.is_some();
            let given_back = detail.lease.is_none_or(|l| l.lease.status.is_terminal());
            (detail.run.status.is_terminal() && sealed && given_back).then_some(detail.run)
        })
    }

    /// Waits until a run's process has started.
    pub fn started(&self, run: RunId) -> RunRow {
        self.wait("the start of a run", || {
            let row = self.run(run).run;
            assert!(!row.status.is_terminal(), "it ended: {:?}", row.error);
            row.process_pid.is_some().then_some(row)
        })
    }

    /// What the next orchestrator would find open.
    pub fn open_rows(&self) -> State {
        Writer::open(&self.data).unwrap().load_state().unwrap()
    }

    /// What orchestrators have logged.
    pub fn log(&self) -> String {
        entries(&self.data.join("log")).iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
    }

    fn state_of_affairs(&self) -> String {
        let state = self.open_rows();
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(30).collect();
        format!(
            "open runs {:?}\nactions {:?}\nleases {:?}\nrequests {:?}\nlog {tail:#?}",
            state.runs.values().map(|r| (r.number, r.status, r.step, &r.error)).collect::<Vec<_>>(),
            state.actions.values().map(|a| (a.kind, a.status, a.tries, &a.last_error)).collect::<Vec<_>>(),
            state.leases.values().map(|l| (l.number, l.status)).collect::<Vec<_>>(),
            state.requests.values().map(|r| (&r.kind, r.status)).collect::<Vec<_>>(),
        )
    }

    // ---- processes ----

    /// Directories of all shims, with what each was told.
    pub fn shims(&self) -> Vec<(PathBuf, Spec)> {
        let mut found = Vec::new();
        for root in ["runs", "services", "operations"] {
            for part in entries(&self.data.join(root)).iter().flat_map(|p| entries(p)) {
                for dir in entries(&part) {
                    if let Some(spec) = read_json::<Spec>(&dir.join("spec.json")) {
                        found.push((dir, spec));
                    }
                }
            }
        }
        found
    }

    /// Living processes that carry a tag, by name.
    pub fn tagged(&self, tag: &str) -> Vec<String> {
        descendants::by_tag(tag).unwrap().found.into_iter().map(|p| p.comm).collect()
    }

    /// Living processes of a run.
    pub fn processes_of(&self, run: &RunRow) -> Vec<String> {
        self.tagged(&format!("run/{}/{}", run.id, run.attempt))
    }

    /// Living processes of a service.
    pub fn processes_of_service(&self, service: &ServiceRow) -> Vec<String> {
        self.tagged(&format!("service/{}/{}", service.id, service.generation))
    }

    /// Nothing may be open once everything has ended; services may run on where their policy says so, and
    /// logs are compressed when nothing else wants the processor.
    pub fn assert_nothing_open(&self, context: &str) {
        let state = self.open_rows();
        let goes_on = |a: &ActionRow| match a.kind {
            ActionKind::StartService => true,
            // Without arguments it is about the hashes.
            ActionKind::SealLog => a.args.is_some(),
            _ => false,
        };
        let waits: Vec<_> = state.actions.values().filter(|a| !goes_on(a)).collect();
        assert!(waits.is_empty(), "{context}: actions {waits:?}");
        let leases: Vec<_> = state.leases.values().collect();
        assert!(leases.is_empty(), "{context}: leases {leases:?}");
        assert!(state.users.is_empty(), "{context}: users {:?}", state.users);
        let runs: Vec<_> = state.runs.values().filter(|r| !r.status.is_terminal()).collect();
        assert!(runs.is_empty(), "{context}: runs {runs:?}");
        let operations: Vec<_> = state.operations.values().collect();
        assert!(operations.is_empty(), "{context}: operations {operations:?}");
        let requests: Vec<_> = state.requests.values().collect();
        assert!(requests.is_empty(), "{context}: requests {requests:?}");
        let log = self.log();
        let errors: Vec<&str> = log.lines().filter(|l| l.contains(" ERROR ")).collect();
        assert!(errors.is_empty(), "{context}: {errors:#?}");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for (dir, spec) in self.shims() {
            // The shim first: what it leaves behind is found by its tag.
            if let Some(id) = read_json::<IdFile>(&dir.join("id.json")) {
                let _ = signal::send(id.shim, signal::Signal::KILL);
            }
            let _ = terminate::tagged(&spec.tag, Duration::ZERO, &[]);
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|e| Some(e.ok()?.path())).collect()
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Does something that may block; fails the test when it takes longer than the limit.
pub fn within<T: Send + 'static>(what: &str, limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = channel();
    std::thread::spawn(move || {
        let _ = done.send(work());
    });
    result.recv_timeout(limit).unwrap_or_else(|_| panic!("waited {limit:?} for {what}"))
}

/// Asks until there is an answer, where no event tells.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {LIMIT:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A `wharf serve`. Killed when dropped.
pub struct Orchestrator {
    child: Child,
    lines: Receiver<String>,
    said: Arc<Mutex<String>>,
    status: Option<ExitStatus>,
}

impl Orchestrator {
    /// Waits until it says that it reigns; `false` when it ended before.
    pub fn wait_until_reigning(&mut self) -> bool {
        let end = Instant::now() + LIMIT;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains("orchestrating") => return true,
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it neither reigns nor ends: {}", self.said())
                }
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator would, with SIGTERM.
    pub fn stop(mut self) {
        let me = wharf::process::identity::process(self.pid()).unwrap().unwrap();
        signal::send(me, signal::Signal::TERM).unwrap();
        self.wait_for_end();
    }

    pub fn signal(&self, signal: signal::Signal) {
        let me: ProcessRef = wharf::process::identity::process(self.pid()).unwrap().unwrap();
        assert!(signal::send(me, signal).unwrap());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status.is_some()
    }

    /// Whether it ends within a moment.
    pub fn ends_soon(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(1);
        while !self.has_ended() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.has_ended()
    }

    /// Waits for its end.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let status = eventually("the end of wharf serve", || {
            self.has_ended();
            self.status
        });
        // What it said last is read by another thread.
        while self.lines.recv_timeout(Duration::from_secs(1)).is_ok() {}
        status
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.has_ended();
            let said = format!("process {} had ended: {:?}; it said: {}\n", self.child.id(), self.status, self.said());
            let _unread = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An agent that runs a script of sh; `$ROOT` in it becomes the directory of the site.
pub fn agent(name: &str, more: &str, script: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    // A lost run is looked at in most tests; what follows it has tests of its own.
    let more = if more.contains("retry_lost") { more.to_owned() } else { format!("retry_lost = false\n{more}") };
    format!(
        "[[agent]]\nname = \"{name}\"\nadapter = \"process\"\n{more}\n[agent.config]\ncommand = \"sh\"\nargs = [\"-c\", {script}]\nstdin = \"none\"\n"
    )
}

/// A service that listens on the port it is given, through a script of perl.
pub fn listener(name: &str, more: &str) -> String {
    let script = format!(
        "open(my $f, '>>', '$ROOT/{name}.starts'); print $f \"$$\\n\"; close $f; \
         my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{{PORT}}, Listen => 5, ReuseAddr => 1) \
         or die \"cannot listen: $!\"; while (my $c = $s->accept) {{ sysread($c, my $q, 4096); \
         print $c \"HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n\"; close $c }}"
    );
    let script = serde_json::to_string(&script).unwrap();
    format!(
        "[[service]]\nname = \"{name}\"\ncommand = [\"perl\", \"-MIO::Socket::INET\", \"-e\", {script}]\nport = \"auto\"\n\
         ready = {{ http = \"http://127.0.0.1:{{{{port}}}}/\", timeout = \"15s\", interval = \"20ms\" }}\n{more}\n"
    )
}
