//! What is looked at before a service starts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use wharf_model::*;
use wharf_store::view::OperationQuery;

use crate::orchestrator::*;
use crate::servers::*;

const LINK: &str = "server/node_modules/@a/db";

/// Makes a checkout of a pnpm workspace with a server that needs a package of it.
pub fn checkout(root: &Path) {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("pnpm-workspace.yaml", "packages:\n  - server\n  - packages/*\n");
    write("server/package.json", "{ \"name\": \"server\", \"dependencies\": { \"@a/db\": \"workspace:*\" } }");
    write("packages/db/package.json", "{ \"name\": \"@a/db\" }");
    write("packages/db/which", root.to_str().unwrap());
    fs::create_dir_all(root.join("server/node_modules/@a")).unwrap();
}

fn site() -> (Site, PathBuf) {
    let config = format!(
        "[[service]]\nname = \"server\"\ncwd = \"server\"\ncommand = \"cat node_modules/@a/db/which; echo; exec sleep 600\"\n\
         ready = {{ log_line = \"shop\", interval = \"100ms\", timeout = \"50s\" }}\n{STOP}\n"
    );
    let site = Site::plain(&config);
    checkout(&site.project);
    let other = site.path("other-shop");
    checkout(&other);
    (site, other)
}

fn operations(site: &Site) -> Vec<OperationRow> {
    let all = site.ask(|r| r.operations(&OperationQuery::default(), None, 100)).rows;
    all.into_iter().map(|item| item.operation).collect()
}

#[test]
fn links_into_another_checkout_are_repaired_before_the_service_starts() {
    let (site, other) = site();
    symlink(other.join("packages/db"), site.project.join(LINK)).unwrap();
    let _it = site.start();
    accept(&site);
    start(&site, "server");
    let served = wharf(&site, &["logs", "S-1"]);
    assert_eq!(served.trim(), site.project.to_str().unwrap(), "it serves its own checkout");
    let [done] = &operations(&site)[..] else { panic!("{:?}", operations(&site)) };
    assert_eq!(
        (done.phase, done.status, done.run_id),
        (OperationPhase::ServicePrestart, OperationStatus::Succeeded, None)
    );
    let log = wharf(&site, &["logs", "O-1"]);
    assert!(log.contains(LINK) && log.contains(other.to_str().unwrap()), "what it was can be read: {log}");
    assert!(log.contains("it shall lead to ../../../packages/db"), "{log}");
    assert_eq!(site.service("server").service.health_evidence, None);
    stop(&site, "server");
    // Nothing is wrong any more: nothing is recorded.
    start(&site, "server");
    assert_eq!(operations(&site).len(), 1);
    stop(&site, "server");
    site.assert_nothing_open("after it");
}

#[test]
fn what_must_not_be_changed_is_told_and_the_service_starts() {
    let (site, other) = site();
    symlink("../../../packages/db", other.join(LINK)).unwrap();
    fs::remove_dir_all(site.project.join("server/node_modules")).unwrap();
    symlink(other.join("server/node_modules"), site.project.join("server/node_modules")).unwrap();
    let _it = site.start();
    accept(&site);
    start(&site, "server");
    let evidence = site.wait("what is told", || site.service("server").service.health_evidence);
    assert!(evidence.contains("changing it would change that checkout"), "{evidence}");
    let [told] = &operations(&site)[..] else { panic!("{:?}", operations(&site)) };
    assert_eq!(told.status, OperationStatus::Failed);
    assert!(told.error.as_ref().unwrap().contains("pnpm install"), "{told:?}");
    let link = fs::read_link(other.join(LINK)).unwrap();
    assert_eq!(link, Path::new("../../../packages/db"), "the other checkout is as it was");
    stop(&site, "server");
}
