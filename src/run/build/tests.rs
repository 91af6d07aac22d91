//! What a shim is told of a run in a place: its directory and its facts in the words of there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::dispatch::event_loop::{Inbox, Told};
use crate::dispatch::input::Realisation;
use crate::environment::driver::{CwdPass, EnvPass, Mapping, Realised};
use crate::run::scripted::{Scripted, context, remote_run};

const DIR: &str = "runs/aa/x/a1";

/// A workspace on this disk, and what is told of a run in it.
struct Desk {
    data: tempfile::TempDir,
    job: RunJob,
    there: There,
}

impl Desk {
    fn new(shared_files: bool, cwd: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let work = data.path().canonicalize().unwrap().join("w");
        std::fs::create_dir_all(work.join("sub/inner")).unwrap();
        let (_, mut job) = remote_run();
        let workspace = job.workspace.as_mut().unwrap();
        (workspace.cwd, workspace.provider_ref) =
            (Some(work.join("sub").display().to_string()), Some(work.display().to_string()));
        let mut agent: AgentConfig = serde_json::from_value(job.agent.config.clone()).unwrap();
        let wharf_model::config::AdapterConfig::Process(process) = &mut agent.adapter;
        process.cwd = cwd.into();
        job.agent.config = serde_json::to_value(&agent).unwrap();
        let (_, mut there) = Scripted { shared_files, ..Scripted::default() }.there();
        let Some(Realisation { request, result }) = &mut there.realisation else { panic!("it is realised") };
        (request.cwd, request.root) = (work.join("sub"), Some(work.clone()));
        *result = Realised { cwd: "/there/w/sub".into(), sync: "x".into(), record: Value::Null };
        Self { data, job, there }
    }

    fn target(&self) -> Target {
        let here = self.data.path().canonicalize().unwrap().join("w").display().to_string();
        Target {
            head: vec!["go".into()],
            cwd: CwdPass::Flag("--cwd".into()),
            env: EnvPass::Inherited,
            dirs: vec![Mapping { here, there: "/there/w".into() }],
            keeps_identity: false,
            ..Target::default()
        }
    }

    /// What the shim is told; it needs a runtime for the driver's inbox only.
    fn built(&self) -> Result<(Spec, StartMessage), CannotStart> {
        let (inbox, _) = Inbox::answered_by(|_| Told::default());
        let ctx = context(self.data.path(), inbox);
        build(&ctx, &self.job, DIR, Some(&self.there), &self.target())
    }
}

fn wharf(env: &BTreeMap<String, String>, name: &str) -> Option<String> {
    env.get(&format!("WHARF_{name}")).cloned()
}

#[tokio::test]
async fn directories_have_their_names_of_there() {
    for shared in [true, false] {
        let desk = Desk::new(shared, "inner");
        let (spec, message) = desk.built().unwrap();
        assert_eq!(spec.argv, ["go", "--cwd", "/there/w/sub/inner", "agent"]);
        let env = &message.env;
        assert_eq!(wharf(env, "WORKSPACE_CWD").as_deref(), Some("/there/w/sub"));
        assert_eq!(wharf(env, "WORKSPACE_PATH").as_deref(), Some("/there/w/sub"));
        assert_eq!(wharf(env, "WORKSPACE_WORKTREE_PATH").as_deref(), Some("/there/w"), "shared: {shared}");
        assert_eq!(wharf(env, "ENVIRONMENT_DRIVER").as_deref(), Some("ssh"));
        // Whatever lies on this machine alone means nothing there.
        for name in ["AGENT_SOCKET", "AGENT_HOME", "TOKEN", "WORKSPACE_BASE_CWD"] {
            assert_eq!(wharf(env, name).is_some(), shared, "{name}");
        }
        assert_eq!(env.get("LANG").map(String::as_str), Some("C"));
        assert_eq!((env.get("HOME"), env.get("PATH")), (None, None), "who the operator is here is not told there");
        assert!(message.token.is_some(), "the shim listens all the same");
    }
}

#[tokio::test]
async fn the_disk_of_this_machine_says_nothing_about_another() {
    // It is not here, and may be there.
    assert_eq!(Desk::new(false, "made-there").built().unwrap().0.argv[2], "/there/w/sub/made-there");
    assert_eq!(Desk::new(true, "made-there").built().unwrap_err().code, "cwd_missing");
    for shared in [true, false] {
        assert_eq!(Desk::new(shared, "../..").built().unwrap_err().code, "adapter_failed", "it leads out");
    }
}

#[tokio::test]
async fn limits_hold_for_processes_of_this_machine_only() {
    for shared in [true, false] {
        let mut desk = Desk::new(shared, ".");
        let mut agent: AgentConfig = serde_json::from_value(desk.job.agent.config.clone()).unwrap();
        agent.limits.processes = Some(10);
        desk.job.agent.config = serde_json::to_value(&agent).unwrap();
        assert_eq!(desk.built().unwrap().0.limits.is_empty(), !shared);
    }
}

#[tokio::test]
async fn what_was_not_realised_is_not_started() {
    let mut desk = Desk::new(false, ".");
    desk.there.realisation = None;
    assert_eq!(desk.built().unwrap_err().code, "transport_resolution_failed");
}
