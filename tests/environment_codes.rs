//! Every error code about environments (contracts 10), reached by a real run or request, and told in words.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends with a panic, and says what it saw")]

#[path = "support/orchestrator.rs"]
mod orchestrator;
#[path = "support/witness.rs"]
mod witness;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wharf_model::*;
use wharf_store::view::{ActivityQuery, LeaseQuery};

use orchestrator::{Orchestrator, Site, WHARF, agent};
use witness::Witness;

/// The codes, each with the test that reaches it.
const CODES: &[(&str, fn(&Stage))] = &[
    ("environment_not_found", nobody_is_called_so),
    ("environment_inactive", it_was_archived),
    ("unsupported_environment", its_settings_lead_nowhere),
    ("unsupported_adapter_environment", it_has_no_terminal),
    ("probe_failed", it_does_not_answer_a_probe),
    ("lease_acquire_failed", it_gives_no_place),
    ("workspace_realization_failed", it_makes_no_workspace),
    ("transport_resolution_failed", it_says_no_way_there),
    ("lease_release_failed", it_takes_nothing_back),
    ("lease_cleanup_failed", it_cannot_be_deleted_for_what_is_left),
];

/// A site with an environment whose plugin does what it is told.
struct Stage {
    site: Site,
    witness: Witness,
    _it: Orchestrator,
}

/// What a command said.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Stage {
    fn new() -> Self {
        let worker = |name: &str, more: &str| agent(name, more, "echo $$ >> $ROOT/starts");
        let odd = Witness::environment("odd", "").replace("driver = \"places\"", "driver = \"nowhere\"");
        let config = [
            worker("worker", "environment = \"box\""),
            worker("typist", "environment = \"box\"\ntty = true"),
            worker("lost", "environment = \"odd\""),
            Witness::environment("box", ""),
            odd,
        ]
        .concat();
        let site = Site::git(&config);
        let witness = Witness::at(site.root.path());
        let it = site.start();
        Self { site, witness, _it: it }
    }

    /// A command of the operator.
    fn wharf(&self, args: &[&str]) -> Said {
        let root = self.site.root.path();
        let output = Command::new(WHARF)
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", root.join("home"))
            .env("XDG_CONFIG_HOME", root.join("config"))
            .env("WHARF_DATA_DIR", &self.site.data)
            .current_dir(&self.site.project)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        Said { code: output.status.code(), text: String::from_utf8(text).unwrap() }
    }

    /// Starts a run, which ends with this code before anything was started, and looks how that is told.
    fn fails(&self, agent: &str, code: &str, words: &str) -> RunRow {
        let waited = self.wharf(&["run", agent, "--wait"]);
        assert_eq!(waited.code, Some(125), "run --wait of {code}: {}", waited.text);
        let row = self.site.all_runs().pop().unwrap();
        assert_eq!((row.status, row.error_code.as_deref()), (RunStatus::Failed, Some(code)), "{:?}", row.error);
        self.tells(&row, code, words);
        assert!(self.site.lines("starts").is_empty(), "{code}: it ran somewhere else instead");
        row
    }

    /// The operator reads code and cause where a run is shown, and the code where runs are listed.
    fn tells(&self, row: &RunRow, code: &str, words: &str) {
        let number = Kind::Run.number(row.number);
        let shown = self.wharf(&["show", &number]).text;
        assert!(shown.contains(words), "wharf show says nothing of {words:?}: {shown}");
        let document: Value = serde_json::from_str(&self.wharf(&["show", &number, "--json"]).text).unwrap();
        assert!(document.to_string().contains(&format!("\"error_code\":\"{code}\"")), "{document}");
        let listed: Value = serde_json::from_str(&self.wharf(&["runs", "--json"]).text).unwrap();
        let line = listed["runs"].as_array().unwrap().iter().find(|line| line["number"] == number.as_str()).unwrap();
        assert_eq!(line["error_code"], code, "{line}");
        assert!(line["error"].as_str().is_some_and(|error| error.contains(words)), "{line}");
    }

    /// A request that is refused or fails with this code, in words.
    fn refuses(&self, request: RequestId, code: &str, words: &str) {
        let row = self.site.finished(request);
        assert_eq!(row.error_code.as_deref(), Some(code), "{row:?}");
        assert!(row.error.as_ref().is_some_and(|error| error.contains(words)), "{row:?}");
    }

    fn leases(&self) -> Vec<LeaseRow> {
        let rows = self.site.ask(|r| r.leases(&LeaseQuery::default(), None, 100)).rows;
        rows.into_iter().map(|l| l.lease).collect()
    }

    /// An environment that an operator made by hand.
    fn by_hand(&self, name: &str) {
        let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let command = ["tests/drivers/witness.py", "assets/plugins/places.py"].map(|at| tests.join(at));
        let config = json!({
            "command": ["python3", command[0], command[1]], "driver": "places",
            "config": { "root": self.site.path("places") },
        });
        let args = json!({ "name": name, "driver": "plugin", "config": config });
        let made = self.site.finished(self.site.send("environment.create", None, args));
        assert_eq!(made.status, RequestStatus::Done, "{made:?}");
    }

    fn environment(&self, verb: &str, name: &str, mut args: Value) -> RequestId {
        args["environment"] = json!(name);
        self.site.send(&format!("environment.{verb}"), None, args)
    }
}

fn nobody_is_called_so(stage: &Stage) {
    let said = stage.wharf(&["run", "worker", "--env", "Nowhere", "--json"]);
    assert_eq!(said.code, Some(3), "{}", said.text);
    assert!(said.text.contains("\"environment_not_found\"") && said.text.contains("Nowhere"), "{}", said.text);
}

fn it_was_archived(stage: &Stage) {
    stage.by_hand("hand");
    let archived = stage.site.finished(stage.environment("archive", "hand", json!({})));
    assert_eq!(archived.status, RequestStatus::Done, "{archived:?}");
    let said = stage.wharf(&["run", "worker", "--env", "hand", "--wait"]);
    assert_eq!(said.code, Some(125), "{}", said.text);
    let row = stage.site.all_runs().pop().unwrap();
    assert_eq!(row.error_code.as_deref(), Some("environment_inactive"), "{row:?}");
    stage.tells(&row, "environment_inactive", "environment hand is archived");
}

fn its_settings_lead_nowhere(stage: &Stage) {
    stage.fails("lost", "unsupported_environment", "nowhere");
}

fn it_has_no_terminal(stage: &Stage) {
    stage.fails("typist", "unsupported_adapter_environment", "terminal");
}

fn it_does_not_answer_a_probe(stage: &Stage) {
    // The first look at the config makes the environment.
    stage.site.finished(stage.site.send("config.accept", None, json!({ "path": stage.site.project })));
    stage.witness.fail("environmentProbe", 9, "the pool is closed today");
    stage.refuses(stage.environment("probe", "box", json!({})), "probe_failed", "the pool is closed today");
}

fn it_gives_no_place(stage: &Stage) {
    stage.witness.refuse("environmentAcquireLease", "no place is to be had this year");
    stage.fails("worker", "lease_acquire_failed", "no place is to be had this year");
    assert_eq!(stage.leases()[0].status, LeaseStatus::Failed);
}

fn it_makes_no_workspace(stage: &Stage) {
    stage.witness.refuse("environmentRealizeWorkspace", "the project is too large");
    stage.fails("worker", "workspace_realization_failed", "the project is too large");
}

fn it_says_no_way_there(stage: &Stage) {
    stage.witness.refuse("environmentExecutionTarget", "no road leads there");
    stage.fails("worker", "transport_resolution_failed", "no road leads there");
}

fn it_takes_nothing_back(stage: &Stage) {
    stage.witness.fail("environmentReleaseLease", 9, "the door is locked");
    let waited = stage.wharf(&["run", "worker", "--wait"]);
    assert_eq!(waited.code, Some(0), "clean-up changes no outcome: {}", waited.text);
    let lease =
        stage.site.wait("the failure", || stage.leases().pop().filter(|l| l.status == LeaseStatus::PendingCleanup));
    let number = Kind::Lease.number(lease.number);
    let said = stage.wharf(&["lease", "release", &number, "--yes", "--json"]);
    assert_eq!(said.code, Some(8), "{}", said.text);
    assert!(said.text.contains("lease_release_failed") && said.text.contains("the door is locked"), "{}", said.text);
    let shown = stage.wharf(&["show", &number]).text;
    assert!(shown.contains("the door is locked"), "the lease says why: {shown}");
    let listed = stage.wharf(&["leases"]).text;
    assert!(listed.contains(&number) && listed.contains("clean"), "the ledger lists it: {listed}");
}

fn it_cannot_be_deleted_for_what_is_left(stage: &Stage) {
    stage.by_hand("hand");
    stage.witness.fail("environmentReleaseLease", 9, "the door is locked");
    let waited = stage.wharf(&["run", "worker", "--env", "hand", "--wait"]);
    assert_eq!(waited.code, Some(0), "{}", waited.text);
    stage.site.wait("the failure", || stage.leases().pop().filter(|l| l.status == LeaseStatus::PendingCleanup));
    let query = ActivityQuery { action: Some("environment.lease_cleanup_failed".into()), ..ActivityQuery::default() };
    let noted = stage.site.activity(&query);
    assert!(noted.iter().any(|row| format!("{row:?}").contains("lease_cleanup_failed")), "{noted:?}");
    let asked = stage.environment("delete", "hand", json!({ "cleanup": true }));
    stage.refuses(asked, "lease_cleanup_failed", "the door is locked");
}

#[test]
fn every_code_is_reached_and_told() {
    let python = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        let _ = writeln!(std::io::stderr(), "SKIPPED: driver plugin: there is no python3 here");
        return;
    }
    let mut wrong = Vec::new();
    for (code, reach) in CODES {
        let stage = Stage::new();
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| reach(&stage))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            wrong.push(format!("{code}: {}", text.unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} codes:\n{}", wrong.len(), CODES.len(), wrong.join("\n"));
}

#[test]
fn the_codes_are_those_of_the_contract() {
    let all = "environment_not_found environment_inactive unsupported_environment unsupported_adapter_environment \
               probe_failed lease_acquire_failed workspace_realization_failed transport_resolution_failed \
               lease_release_failed lease_cleanup_failed";
    let here: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    assert_eq!(here, all.split_whitespace().collect::<Vec<_>>());
}
