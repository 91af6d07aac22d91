//! Short runs through an orchestrator in this process; its shims are this program again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wharf::dispatch::event_loop::Dispatcher;
use wharf::dispatch::orchestrator::{Begun, MachineLimits, begin};
use wharf_model::shim::OnQuota;
use wharf_model::{ActorType, RequestOrigin, RequestRow, RunId};
use wharf_store::log::{Item, LogReader, Stream, StreamSet};
use wharf_store::view::{RequestQuery, RunFilter, RunQuery};
use wharf_store::{NewRequest, Reader, RequestSender};

use crate::limits;
use crate::measure::{self, Series, Target};
use crate::place::{LIMIT, directory, now_ns, this};

/// Agents of the fixture; each runs one at a time.
const AGENTS: usize = 20;
/// Longest time for a burst.
const BURST: Duration = Duration::from_secs(20);

/// A project, a data directory and an orchestrator over both.
pub struct Reigning {
    root: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    dispatcher: Option<Dispatcher>,
    sender: RequestSender,
    reader: Reader,
    first: bool,
}

impl Reigning {
    /// Begins a reign for `at_once` runs; every agent runs `command`.
    pub fn begin(at_once: i64, command: &[&str]) -> Self {
        let workspace = "mode = \"shared_workspace\"\nconcurrency = \"allow\"";
        Self::begin_in(at_once, command, workspace, |_| {})
    }

    /// The same in a project that is made so, with this `[workspace]`.
    pub fn begin_in(at_once: i64, command: &[&str], workspace: &str, make: impl FnOnce(&Path)) -> Self {
        let root = directory();
        let project = root.path().join("project");
        std::fs::create_dir(&project).unwrap();
        std::fs::write(project.join("wharf.toml"), config(command, workspace)).unwrap();
        make(&project);
        let data = root.path().join("data");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let limits = MachineLimits { concurrent_runs: at_once, log_quota: None, on_quota: OnQuota::Block };
        let begun = runtime.block_on(async { begin(&data, &limits) }).unwrap();
        let Begun::Reigning(dispatcher) = begun else { panic!("a fresh directory has an orchestrator") };
        let (sender, reader) = (RequestSender::open(&data).unwrap(), Reader::open(&data).unwrap());
        Self { root, runtime, dispatcher: Some(dispatcher), sender, reader, first: true }
    }

    /// The project.
    pub fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    /// Steps of a run.
    pub fn steps(&self, run: RunId) -> Vec<wharf_model::StepRow> {
        self.reader.run_detail(run).unwrap().unwrap().steps
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Asks for a run of one of the agents.
    pub fn start(&mut self, agent: usize) -> RequestRow {
        let project = self.root.path().join("project");
        // The project is made known by the first start; later ones name the agent as a script would.
        let args = serde_json::json!({"agent": format!("a{agent}"), "path": project});
        self.sender.send(&request("run.start", args)).unwrap()
    }

    /// Waits for a commit, at most a while.
    fn commit(&mut self) {
        let Some(dispatcher) = &mut self.dispatcher else { return };
        let wait = async { tokio::time::timeout(Duration::from_millis(200), dispatcher.reign.changed()).await };
        // A commit that was missed is seen at the next look.
        let _late = self.runtime.block_on(wait);
    }

    /// Waits until a request has made its run and that run has ended.
    pub fn ended(&mut self, request: &RequestRow) -> RunId {
        self.ended_within(request, LIMIT)
    }

    /// The same within another time.
    pub fn ended_within(&mut self, request: &RequestRow, limit: Duration) -> RunId {
        let end = Instant::now() + limit;
        let mut run = None;
        loop {
            assert!(Instant::now() < end, "{:?}", self.reader.request(request.id));
            if run.is_none() {
                let row = self.reader.request(request.id).unwrap().unwrap();
                assert!(row.error.is_none(), "{row:?}");
                let id = row.result.as_ref().and_then(|r| r["run_id"].as_str().map(str::to_owned));
                run = id.map(|id| id.parse::<RunId>().unwrap());
            }
            if let Some(id) = run {
                let line = self.reader.run_line(id).unwrap().unwrap();
                if line.status.is_terminal() {
                    assert_eq!(line.status, wharf_model::RunStatus::Succeeded, "{line:?}");
                    return id;
                }
            }
            self.commit();
        }
    }

    /// Runs that have succeeded.
    fn succeeded(&self) -> i64 {
        let filter = RunFilter { statuses: vec![wharf_model::RunStatus::Succeeded], ..RunFilter::default() };
        self.reader.run_counts(&RunQuery { filter, ..RunQuery::default() }).unwrap().shown
    }

    /// What is not as it should be, in words.
    fn others(&self) -> String {
        let runs = self.reader.runs(&RunQuery::default(), None, 1_000).unwrap().rows;
        let requests = self.reader.requests(RequestQuery::default(), None, 1_000).unwrap().rows;
        let runs = runs.iter().filter(|r| r.status != wharf_model::RunStatus::Succeeded);
        let requests = requests.iter().filter(|r| r.status != wharf_model::RequestStatus::Done);
        let reign = self.dispatcher.as_ref().map(|d| d.reign.borrow().clone());
        format!("{:?}\n{:?}\n{reign:?}", runs.collect::<Vec<_>>(), requests.collect::<Vec<_>>())
    }

    /// Waits until nothing is under way.
    pub fn quiet(&mut self) {
        let end = Instant::now() + LIMIT;
        while let Some(dispatcher) = &self.dispatcher {
            let reign = dispatcher.reign.borrow().clone();
            if reign.live_runs == 0 && reign.busy == 0 {
                return;
            }
            assert!(Instant::now() < end, "{reign:?}");
            self.commit();
        }
    }

    /// The project and its agents are known after this, and everything is loaded once.
    pub fn warm(&mut self) {
        assert!(std::mem::take(&mut self.first));
        for agent in 0..3 {
            let request = self.start(agent);
            self.ended(&request);
        }
        self.quiet();
    }

    /// Commits so far.
    fn commits(&self) -> u64 {
        self.dispatcher.as_ref().map_or(0, |d| d.reign.borrow().commits)
    }
}

impl Drop for Reigning {
    fn drop(&mut self) {
        if let Some(dispatcher) = self.dispatcher.take() {
            self.runtime.block_on(dispatcher.inbox.stop());
            dispatcher.join();
        }
    }
}

fn config(command: &[&str], workspace: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!("[project]\nkey = \"BENCH\"\nname = \"bench\"\n[workspace]\n{workspace}\n");
    let words: Vec<String> = command[1..].iter().map(|w| format!("{w:?}")).collect();
    for agent in 0..AGENTS {
        write!(
            text,
            "[[agent]]\nname = \"a{agent}\"\nadapter = \"process\"\n[agent.config]\ncommand = {:?}\nargs = [{}]\nstdin = \"none\"\n",
            command[0],
            words.join(", ")
        )
        .unwrap();
    }
    text
}

fn request(kind: &str, args: serde_json::Value) -> NewRequest {
    let now = wharf::clock::now();
    NewRequest {
        kind: kind.into(),
        target_type: Some("agent".into()),
        target_id: None,
        args,
        expect: None,
        actor_type: ActorType::Operator,
        actor_id: "bench".into(),
        origin: RequestOrigin::Cli,
        idempotency_key: None,
        now,
        expires_at: now.plus(60_000),
    }
}

/// T3, P1.
pub fn one_at_a_time() {
    let mut reign = Reigning::begin(8, &["/bin/true"]);
    reign.warm();
    let (mut took, mut commits) = (Vec::new(), Vec::new());
    let rounds = 30;
    for agent in 0..rounds {
        let before = reign.commits();
        let began = Instant::now();
        let request = reign.start(agent % AGENTS);
        reign.ended(&request);
        took.push(began.elapsed().as_secs_f64() * 1e3);
        reign.quiet();
        commits.push((reign.commits() - before) as f64);
    }
    let what = "short run, request sent to terminal status durable";
    measure::times("T3", what, "ms", Some(Target::Most(15.0)), &Series::new(took));
    println!("      commits a run, seal included: {}", Series::new(commits).median());
    let what = "one run after another, request to terminal status / posix_spawn + 2 x raw fdatasync";
    let limit = directory();
    let mut next = 0;
    measure::rate(
        "T3",
        what,
        "/s",
        Target::Least(0.05),
        || limits::durable_starts(limit.path(), Path::new("/bin/true"), &[]),
        || {
            limits::per_second(|| {
                let request = reign.start(next % AGENTS);
                next += 1;
                reign.ended(&request);
            })
        },
    );
    drop(reign);
    starts();
}

/// P1: from the directory's making, which follows the intent at once, to the child's first instruction.
fn starts() {
    let (program, args) = (this(), ["child", "stamp"]);
    let root = directory();
    let argv: Vec<String> = std::iter::once(program.to_str().unwrap()).chain(args).map(str::to_owned).collect();
    let what = "intent durable to first instruction of the child / posix_spawn of the same + 2 x raw fdatasync";
    measure::rate(
        "P1",
        what,
        "/s",
        Target::Least(0.25),
        || limits::durable_starts(root.path(), &program, &args),
        || {
            let took: Vec<f64> = (0..40)
                .map(|_| {
                    let began = now_ns();
                    let shimmed = crate::place::shim(root.path(), &argv, 1_000);
                    let dir = shimmed.dir.clone();
                    let stamp = shimmed.finish_with(|| stdout(&dir));
                    (stamp.trim().parse::<i64>().unwrap() - began) as f64 / 1e9
                })
                .collect();
            1.0 / Series::new(took).median()
        },
    );
}

fn stdout(dir: &Path) -> String {
    let mut log = LogReader::open(dir).unwrap();
    let mut at = log.start();
    match log.next_of(&mut at, StreamSet::of(&[Stream::Stdout])).unwrap() {
        Item::Frame(frame) => String::from_utf8(frame.payload.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// T4, P2.
pub fn many() {
    let mut at_eight = Vec::new();
    for at_once in [1_i64, 8, 20] {
        let mut reign = Reigning::begin(at_once, &["/bin/true"]);
        reign.warm();
        let rate = if at_once == 8 {
            let what = "short runs, 8 at once, each with its log and exit frame / eight posix_spawn in flight";
            let (_, rate) =
                measure::rate("P2", what, "/s", Target::Least(0.1), limits::starts_by_eight, || burst(&mut reign, 200));
            rate
        } else {
            Series::new((0..3).map(|_| burst(&mut reign, 100)).collect()).median()
        };
        at_eight.push((at_once, rate));
    }
    for (at_once, rate) in at_eight {
        measure::one("T4", &format!("short runs, {at_once} at once"), "/s", Target::Least(300.0), rate);
    }
}

/// Asks for many runs as fast as they are taken; gives runs in a second, first request to last end.
fn burst(reign: &mut Reigning, count: usize) -> f64 {
    let before = reign.succeeded();
    let began = Instant::now();
    let data = reign.data();
    let project = reign.root.path().join("project");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut sender = RequestSender::open(&data).unwrap();
            for n in 0..count {
                let args = serde_json::json!({"agent": format!("a{}", n % AGENTS), "path": project});
                sender.send(&request("run.start", args)).unwrap();
            }
        });
        while reign.succeeded() < before + count as i64 {
            assert!(began.elapsed() < BURST, "{} of {count}: {}", reign.succeeded() - before, reign.others());
            reign.commit();
            // Looking after each commit would cost more than it tells.
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    let rate = count as f64 / began.elapsed().as_secs_f64();
    reign.quiet();
    rate
}

/// T8: what another process waits for a request to be durable, and to be answered, under full load.
pub fn inserted() {
    let mut reign = Reigning::begin(8, &["/bin/true"]);
    reign.warm();
    let mut other = Command::new(this());
    other.args(["child", "request"]).arg(reign.data()).arg("60").stdout(Stdio::piped());
    let other = other.spawn().unwrap();
    // Runs until the other process is done.
    let rate = burst(&mut reign, 200);
    let told = other.wait_with_output().unwrap();
    assert!(told.status.success());
    let text = String::from_utf8(told.stdout).unwrap();
    let column = |at: usize| -> Series {
        Series::new(text.lines().map(|l| l.split(' ').nth(at).unwrap().parse().unwrap()).collect())
    };
    let what = format!("request of another process durable, while {rate:.0} runs/s pass");
    measure::times("T8", &what, "ms", None, &column(0));
    measure::one("T8", "its p99", "ms", Target::Most(20.0), column(0).at(0.99));
    measure::times("T8", "the same until it is answered", "ms", None, &column(1));
}

/// T8's other process: sends requests that are refused, and says how long each took to be durable and answered.
pub fn insert(data: &Path, count: usize) {
    let (mut sender, reader) = (RequestSender::open(data).unwrap(), Reader::open(data).unwrap());
    for _ in 0..count {
        let mut new = request("run.cancel", serde_json::json!({}));
        new.target_type = Some("run".into());
        new.target_id = Some(uuid::Uuid::now_v7().to_string());
        let began = Instant::now();
        let row = sender.send(&new).unwrap();
        let durable = began.elapsed();
        while reader.request(row.id).unwrap().unwrap().status == wharf_model::RequestStatus::Pending {
            assert!(began.elapsed() < LIMIT, "no answer");
            std::thread::sleep(Duration::from_micros(500));
        }
        println!("{} {}", durable.as_secs_f64() * 1e3, began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(10));
    }
}
