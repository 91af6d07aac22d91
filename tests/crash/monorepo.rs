//! A project below the root of its repository: everything of a run happens in its place there.

use std::fs;

use serde_json::json;
use wharf_model::RunStatus;

use crate::orchestrator::*;

#[test]
fn provision_agent_and_service_work_in_the_projects_own_place_of_the_worktree() {
    let site = Site::git("");
    let web = site.project.join("packages/web");
    fs::create_dir_all(&web).unwrap();
    let note =
        |who: &str| format!("echo {who} $PWD $WHARF_WORKSPACE_CWD $WHARF_WORKSPACE_WORKTREE_PATH >> $ROOT/places");
    let service = serde_json::to_string("echo service $PWD >> $ROOT/places; exec sleep 60").unwrap();
    site.configure(&format!(
        "[workspace]\nbranch = \"one\"\nprovision = {}\n{}[[service]]\nname = \"web\"\ncommand = [\"sh\", \"-c\", {service}]\n\
         port = \"auto\"\nreuse = \"execution_workspace\"\n\
         stop = {{ policy = \"on_run_finish\", grace = \"2s\" }}\n",
        serde_json::to_string(&note("provision")).unwrap(),
        agent("one", "services = [\"web\"]", &note("agent")),
    ));
    fs::rename(site.project.join("wharf.toml"), web.join("wharf.toml")).unwrap();
    site.run_git(&["add", "-A"]);
    site.run_git(&["commit", "-q", "-m", "web"]);
    // The branch is there already: provision is told of its worktree all the same.
    site.run_git(&["branch", "one"]);
    let _it = site.start();
    let root = fs::canonicalize(&site.project).unwrap().join(".wharf/worktrees/one");
    let place = root.join("packages/web");
    let (root, place) = (root.display(), place.display());
    let mut workspaces = Vec::new();
    for _ in 0..2 {
        let request = site.send("run.start", None, json!({ "agent": "one", "path": web }));
        let run = site.run_of(request);
        let row = site.settled(run);
        assert_eq!(row.status, RunStatus::Succeeded, "{:?}", row.error);
        workspaces.push(site.run(run).workspace.unwrap());
    }
    let mut places = site.lines("places");
    places.sort();
    places.dedup();
    let expected = [
        format!("agent {place} {place} {root}"),
        format!("provision {place} {place} {root}"),
        format!("service {place}"),
    ];
    assert_eq!(places, expected);
    assert_eq!(workspaces[0].id, workspaces[1].id, "found again");
    assert_eq!(workspaces[0].cwd, Some(place.to_string()));
}
