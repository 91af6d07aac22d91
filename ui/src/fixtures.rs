//! Rows behind the drawings of the screens beside the Ledger.

use wharf_model::{LeaseId, OperationId, ServiceId, UnixMillis, WorkspaceId};

use crate::effect::Question;
use crate::glyph::Class;
use crate::msg::Answer;
use crate::rows::*;
use crate::testing::{NOW, uuid_of};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn ago(ms: i64) -> UnixMillis {
    NOW.plus(-ms)
}

/// Id of the lease with this number.
pub fn lease_id(number: i64) -> LeaseId {
    LeaseId(uuid_of(2, number))
}

/// Id of the service with this number.
pub fn service_id(number: i64) -> ServiceId {
    ServiceId(uuid_of(3, number))
}

/// Id of the workspace with this number.
pub fn workspace_id(number: i64) -> WorkspaceId {
    WorkspaceId(uuid_of(4, number))
}

/// Id of the operation with this number.
pub fn operation_id(number: i64) -> OperationId {
    OperationId(uuid_of(5, number))
}

/// Number, class, word, environment, driver, policy, holder, state, acquired, used, left, clean-up.
type Lease = (i64, Class, &'static str, [&'static str; 5], i64, i64, Option<i64>, Option<&'static str>);

const LEASES: &[Lease] = &[
    (
        89,
        Class::Alive,
        "active",
        ["box-1", "ssh", "reuse by workspace", "R-1041 docs SHOP-15", "live"],
        41 * SECOND,
        9 * SECOND,
        Some(72 * SECOND),
        None,
    ),
    (
        88,
        Class::Alive,
        "active",
        ["Local", "local", "ephemeral", "R-1042 fixer SHOP-17", "live"],
        252 * SECOND,
        3 * SECOND,
        Some(108 * SECOND),
        None,
    ),
    (
        87,
        Class::Alive,
        "active",
        ["Local", "local", "ephemeral", "R-1040 porter SHOP-21", "live"],
        570 * SECOND,
        123 * SECOND,
        Some(80 * SECOND),
        None,
    ),
    (
        86,
        Class::Clock,
        "retained",
        ["Local", "local", "keep on failure", "R-1034 porter SHOP-21", "gone"],
        130 * MINUTE,
        100 * MINUTE,
        Some(22 * HOUR + 20 * MINUTE),
        None,
    ),
    (
        85,
        Class::Alive,
        "active",
        ["box-1", "ssh", "reuse by workspace", "R-1039 fixer SHOP-19", "live"],
        18 * MINUTE,
        14 * SECOND,
        Some(111 * SECOND),
        None,
    ),
    (
        81,
        Class::Ending,
        "cleaning",
        ["box-1", "ssh", "ephemeral", "R-1032 fixer SHOP-16", "gone"],
        151 * MINUTE,
        144 * MINUTE,
        None,
        Some("try 3 of 8"),
    ),
    (
        79,
        Class::Unknown,
        "active",
        ["pool", "plugin", "keep on failure", "R-1027 porter SHOP-11", "unknown"],
        254 * MINUTE,
        242 * MINUTE,
        Some(-2 * MINUTE),
        Some("waits for pool"),
    ),
    (
        84,
        Class::Good,
        "released",
        ["Local", "local", "ephemeral", "R-1038 fixer SHOP-12", "gone"],
        33 * MINUTE,
        31 * MINUTE,
        None,
        Some("done"),
    ),
    (
        83,
        Class::Bad,
        "failed",
        ["Local", "local", "ephemeral", "R-1037 fixer SHOP-17", "gone"],
        44 * MINUTE,
        44 * MINUTE,
        None,
        Some("done"),
    ),
    (
        82,
        Class::Good,
        "released",
        ["box-1", "ssh", "ephemeral", "R-1036 docs SHOP-09", "gone"],
        53 * MINUTE,
        52 * MINUTE,
        None,
        Some("done"),
    ),
    (
        80,
        Class::Chosen,
        "expired",
        ["box-1", "ssh", "reuse by environment", "R-1025 docs SHOP-10", "gone"],
        310 * MINUTE,
        300 * MINUTE,
        None,
        Some("done"),
    ),
];

fn lease((number, class, word, names, acquired, used, left, cleanup): &Lease) -> LeaseLine {
    let live = *number >= 85 || matches!(number, 81 | 79);
    let known = *number == 88;
    LeaseLine {
        id: lease_id(*number),
        number: *number,
        version: 3,
        class: *class,
        word: (*word).into(),
        live,
        environment: names[0].into(),
        driver: names[1].into(),
        policy: names[2].into(),
        holder: Some(names[3].into()),
        holder_state: Some(names[4].into()),
        holder_evidence: known.then(|| "pid 4711 answers, shim 4709 holds its lock".into()),
        run: None,
        workspace: known.then(|| "W-9 SHOP-17-fix-flaky-checkout".into()),
        services: if known { vec!["S-12 web".into(), "S-14 db".into()] } else { Vec::new() },
        acquired_at: Some(ago(*acquired)),
        used_at: Some(ago(*used)),
        expires_at: left.map(|ms| NOW.plus(ms)),
        released_at: (!live).then(|| ago(*used)),
        cleanup: cleanup.map(Into::into),
        next_try_at: (*number == 81).then(|| NOW.plus(250 * SECOND)),
        fence: Some(324 + number),
        facts: Vec::new(),
    }
}

fn service(number: i64, name: &str, scope: &str, class: Class, word: &str, health: &str) -> ServiceLine {
    ServiceLine {
        id: service_id(number),
        number,
        version: 5,
        name: name.into(),
        scope: scope.into(),
        class,
        word: word.into(),
        live: !matches!(class, Class::Bad | Class::Chosen),
        health: health.into(),
        why: None,
        port: None,
        url: None,
        pid: None,
        started_at: None,
        users: Vec::new(),
        stop_policy: "by hand".into(),
        stops_at: None,
        desired: "running".into(),
        restarts: (0, 5),
        stranger: None,
        facts: Vec::new(),
    }
}

/// The services as drawn; S-16 has nobody left and counts down.
pub fn services() -> Vec<ServiceLine> {
    let up = |s: ServiceLine, port: u16, pid, ms, users: &[&str], policy: &str| ServiceLine {
        port: Some(port),
        pid: Some(pid),
        started_at: Some(ago(ms)),
        users: users.iter().map(|u| (*u).to_owned()).collect(),
        stop_policy: policy.into(),
        ..s
    };
    let alive = Class::Alive;
    vec![
        ServiceLine {
            url: Some("http://localhost:6006".into()),
            stops_at: Some(NOW.plus(250 * SECOND)),
            ..up(service(16, "storybook", "project", Class::Clock, "running", "healthy"), 6006, 9301, 50 * MINUTE, &[], "idle 10m")
        },
        ServiceLine {
            url: Some("http://localhost:3007".into()),
            ..up(service(15, "docs-preview", "W-11", Class::Waits, "starting", "waiting"), 3007, 9240, 6 * SECOND, &["R-1041"], "idle 10m")
        },
        ServiceLine {
            stranger: Some("pid 812 postgres".into()),
            ..up(service(14, "db", "run R-1042", alive, "running", "healthy"), 5433, 4688, 251 * SECOND, &["R-1042"], "with the run")
        },
        ServiceLine {
            url: Some("http://localhost:4173".into()),
            ..up(service(12, "web", "project", alive, "running", "healthy"), 4173, 4102, 131 * MINUTE, &["R-1040", "R-1042"], "idle 10m")
        },
        ServiceLine {
            why: Some("The command ended 5 times within 60s with exit 1, and its restarts are used up. Last line of stderr: REDIS_URL is not set.".into()),
            restarts: (5, 5),
            ..service(11, "worker", "project", Class::Bad, "failed", "exit 1")
        },
        ServiceLine { desired: "stopped".into(), ..service(10, "mail", "project", Class::Chosen, "stopped", "") },
    ]
}

fn workspace(number: i64, branch: &str, figures: [Option<u64>; 4], used: i64, word: &str) -> WorkspaceLine {
    let class = match word {
        "in use" | "shared" => Class::Alive,
        "idle" => Class::Waits,
        "merged" => Class::Good,
        _ => Class::Unknown,
    };
    let shared = word == "shared";
    WorkspaceLine {
        id: workspace_id(number),
        number,
        version: 2,
        class,
        word: word.into(),
        live: true,
        mode: if shared { "shared" } else { "worktree" }.into(),
        issue: branch.strip_prefix("SHOP-").map(|rest| format!("SHOP-{}", &rest[..2])),
        branch: Some(branch.into()),
        base: (!shared).then(|| "main@1d20e77".into()),
        path: if shared { "~/src/shop".into() } else { format!("~/src/shop/.wharf/trees/{branch}") },
        dirty: figures[0],
        untracked: figures[1],
        ahead: figures[2],
        behind: figures[3],
        size_bytes: figures[0].map(|n| 218_000_000 + n * 3_000_000),
        created_at: ago(used + HOUR),
        used_at: Some(ago(used)),
        holder: (word == "in use").then(|| format!("R-{}", 1052 - number)),
        last_run: (word == "idle").then(|| "R-1033 plan only".into()),
        environment: Some("Local".into()),
        facts: Vec::new(),
    }
}

fn workspaces() -> Vec<WorkspaceLine> {
    let f = |d, u, a, b| [Some(d), Some(u), Some(a), Some(b)];
    vec![
        workspace(11, "SHOP-15-document-the-refund-api", f(2, 1, 0, 0), 3 * MINUTE, "in use"),
        workspace(10, "SHOP-21-move-cart-to-the-new-price-api", f(5, 2, 1, 0), 160 * MINUTE, "in use"),
        workspace(9, "SHOP-17-fix-flaky-checkout", f(2, 1, 0, 0), 44 * MINUTE, "in use"),
        workspace(8, "SHOP-19-make-product-images-smaller", f(0, 0, 3, 1), 18 * MINUTE, "in use"),
        workspace(7, "SHOP-16-search-synonyms", f(3, 4, 2, 12), 135 * MINUTE, "idle"),
        workspace(6, "SHOP-13-remember-the-filter", f(0, 0, 0, 0), 190 * MINUTE, "merged"),
        workspace(5, "SHOP-11-speed-up-the-sitemap", [None; 4], 242 * MINUTE, "unknown"),
        workspace(1, "main", f(1, 0, 0, 0), 41 * 24 * HOUR, "shared"),
    ]
}

fn operations() -> Vec<OperationLine> {
    let one = |number, phase: &str, command: &str, from: i64, took: i64, exit: i32| OperationLine {
        id: operation_id(number),
        number,
        phase: phase.into(),
        class: if exit == 0 { Class::Good } else { Class::Bad },
        word: if exit == 0 { "done" } else { "failed" }.into(),
        command: command.into(),
        started_at: Some(ago(from)),
        finished_at: Some(ago(from - took)),
        exit_code: Some(exit),
        error: None,
    };
    vec![
        one(44, "reuse", "checks passed", 135 * MINUTE, 10, 0),
        one(43, "teardown", "./scripts/teardown.sh", 145 * MINUTE, 61, 2),
        one(42, "provision", "npm ci", 151 * MINUTE, 970, 0),
        one(41, "worktree", "git worktree add", 152 * MINUTE, 380, 0),
    ]
}

const ACTIVITY: &[(i64, &str, &str, &str, &str)] = &[
    (11, "orchestrator", "service.started", "S-15", "docs-preview for R-1041 on port 3007"),
    (41, "orchestrator", "lease.acquired", "L-89", "box-1 for R-1041, fence 413"),
    (123, "R-1040", "permission.asked", "R-1040", "Bash: rm -rf dist"),
    (251, "orchestrator", "service.started", "S-14", "db for R-1042 on port 5433 (5432 held by pid 812)"),
    (252, "orchestrator", "lease.acquired", "L-88", "Local for R-1042, fence 412"),
    (253, "operator", "run.requested", "R-1042", "retry of R-1037, fixer on SHOP-17"),
    (995, "orchestrator", "service.gave_up", "S-11", "worker: 5 exits in 60s"),
    (1222, "orchestrator", "environment.probed", "E-2", "box-1, 8 of 10 checks, 31 ms"),
    (1720, "operator", "agent.paused", "tester", "flaky login"),
    (2902, "operator", "issue.assigned", "SHOP-17", "to fixer"),
    (8709, "recovery", "run.lost", "R-1032", "shim 3998 killed, 2 descendants stopped"),
    (200_000, "operator", "workspace.realised", "W-7", "worktree SHOP-16-search-synonyms from main"),
];

fn activity() -> Vec<ActivityLine> {
    let one = |(i, (seconds, who, action, entity, details)): (usize, &(i64, &str, &str, &str, &str))| ActivityLine {
        number: 18_544 - i as i64,
        at: ago(seconds * SECOND),
        who: (*who).into(),
        action: (*action).into(),
        entity: (*entity).into(),
        details: (*details).into(),
    };
    ACTIVITY.iter().enumerate().map(one).collect()
}

fn diagnostics() -> Diagnostics {
    let request = |number, kind: &str, target: &str, class, word: &str, took_ms, error: Option<&str>| RequestLine {
        number,
        kind: kind.into(),
        target: target.into(),
        class,
        word: word.into(),
        created_at: ago((5520 - number) * 31 * SECOND),
        took_ms,
        error: error.map(Into::into),
    };
    Diagnostics {
        orchestrator: Some(OrchestratorLine {
            pid: 4600,
            is_this: true,
            epoch: 37,
            since: ago(145 * MINUTE),
            version: "0.4.0".into(),
        }),
        store: StoreLine {
            path: "~/.local/share/wharf/wharf.db".into(),
            schema: 14,
            bytes: 18_400_000,
            wal_bytes: 1_100_000,
            logs: Some((212, 3_900_000_000)),
        },
        waiting: 1,
        requests: vec![
            request(5519, "run.cancel", "R-1040", Class::Waits, "pending", None, None),
            request(5518, "lease.release", "L-86", Class::Bad, "refused", Some(8), Some("changed since preview")),
            request(5512, "run.start", "", Class::Good, "done", Some(12), None),
        ],
        counts: [("runs", 1042), ("leases", 89), ("services", 16), ("workspaces", 22)]
            .map(|(w, n)| (w.into(), n))
            .into(),
        versions: [("wharf", "0.4.0"), ("shim protocol", "1"), ("SQLite", "3.53.2")]
            .map(|(a, b)| (a.into(), b.into()))
            .into(),
        troubles: Vec::new(),
    }
}

fn line(verb: PreviewVerb, what: &str, how: &str) -> PreviewLine {
    PreviewLine { verb, what: what.into(), how: how.into() }
}

fn page<R>(rows: Vec<R>, more: u64) -> Page<R> {
    Page { total: rows.len() as u64 + more, rows, hidden: 0, more: false }
}

/// Answers of these screens; none to what the Ledger asks.
pub fn answer(question: &Question) -> Option<Result<Answer, String>> {
    Some(Ok(match question {
        Question::Leases { .. } => Answer::Leases(page(LEASES.iter().map(lease).collect(), 78)),
        Question::Services { .. } => Answer::Services(page(services(), 0)),
        Question::Workspaces { .. } => Answer::Workspaces(page(workspaces(), 0)),
        Question::Operations { .. } => Answer::Operations(operations()),
        Question::Activity { .. } => Answer::Activity(page(activity(), 18_330)),
        Question::Diagnostics => Answer::Diagnostics(Box::new(diagnostics())),
        Question::ReleasePreview(id) => Answer::Preview(Preview {
            lines: vec![
                line(PreviewVerb::Stops, "R-1042 fixer SHOP-17", "SIGTERM, 15s, then SIGKILL"),
                line(PreviewVerb::More, "7 processes, oldest 4711 claude", ""),
                line(PreviewVerb::Stops, "S-14 db on port 5433", "used by this run only"),
                line(PreviewVerb::Keeps, "S-12 web on port 4173", "still used by R-1040"),
                line(PreviewVerb::Keeps, "W-9 and its branch", "3 uncommitted files stay"),
                line(PreviewVerb::Frees, "a slot of Local and of fixer", "R-1046 can start"),
            ],
            note: "R-1042 is recorded as cancelled by operator. No new run starts in its place. This cannot be undone; R retries the run.".into(),
            expect: vec![Expect { id: id.text(), version: 3 }],
            at: NOW,
            refused: None,
            args: Vec::new(),
        }),
        Question::StopPreview(id) | Question::RestartPreview(id) => Answer::Preview(Preview {
            lines: vec![
                line(PreviewVerb::Stops, "S-12 web on port 4173", "SIGTERM, 15s, then SIGKILL"),
                line(PreviewVerb::Leaves, "R-1040, R-1042", "go on without it"),
            ],
            note: String::new(),
            expect: vec![Expect { id: id.text(), version: 5 }],
            at: NOW,
            refused: None,
            args: Vec::new(),
        }),
        _ => return None,
    }))
}
