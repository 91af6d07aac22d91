//! The example plugin through the driver: every call, and every call once more.

use serde_json::json;
use wharf::environment::driver::{Acquired, Extended, Level, Outcome, RealiseAsk, Resumed, Seen};
use wharf::environment::registry;
use wharf_model::{UnixMillis, WorkspaceId};

use crate::bench::*;

fn workspace(bench: &Bench) -> RealiseAsk {
    let project = bench.path("project");
    std::fs::create_dir_all(&project).unwrap();
    std::fs::write(project.join("mine"), "as it was").unwrap();
    std::fs::write(project.join("ours"), "as it was").unwrap();
    RealiseAsk {
        run: None,
        attempt: 1,
        workspace: WorkspaceId(uuid::Uuid::nil()),
        mode: "shared_workspace".into(),
        cwd: project,
        root: None,
        git_common_dir: None,
        branch: None,
        base_commit: None,
        timeout_ms: 10_000,
    }
}

fn settings(max_seconds: u32) -> serde_json::Value {
    json!({ "command": "./places.py", "driver": "places", "config": { "max_seconds": max_seconds }, "timeout": "20s" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_its_beginning_to_its_end() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = registry::driver(wharf_model::Driver::Plugin, &settings(600), &bench.site()).unwrap();
    assert!(done(driver.probe().await).iter().all(|c| c.level == Level::Ok));
    let first = ask();
    let place = acquire(&*driver, &first).await;
    assert_eq!(acquire(&*driver, &first).await.provider_lease_id, place.provider_lease_id);
    let can = driver.capabilities();
    assert!(can.execute && can.resume && can.extend && can.list && can.persistent && !can.shared_files && !can.tty);
    let later = registry::driver(wharf_model::Driver::Plugin, &settings(600), &bench.later()).unwrap();
    assert_eq!(later.capabilities(), can, "a later process knows it before it has asked");
    let id = place.provider_lease_id.clone().unwrap();
    let seen = done(driver.observe(&[id.clone(), "never".into()]).await);
    assert_eq!(seen[&id], Seen::Held(place.expires_at));
    assert_eq!(seen["never"], Seen::Gone);

    let lease = held(&first, &place);
    let end = place.expires_at.unwrap();
    assert_eq!(done(driver.extend(&lease, end.plus(60_000)).await), Extended::Refused { latest: end });
    let sooner = UnixMillis(end.0 - 60_000);
    assert_eq!(done(driver.extend(&lease, sooner).await), Extended::Until(sooner));

    let asked = workspace(&bench);
    let realised = done(driver.realise(&lease, &asked).await);
    assert_eq!(done(driver.realise(&lease, &asked).await), realised);
    let there = std::path::Path::new(&realised.cwd);
    assert_eq!(std::fs::read_to_string(there.join("mine")).unwrap(), "as it was");
    std::fs::write(there.join("mine"), "changed there").unwrap();
    std::fs::write(there.join("ours"), "changed there").unwrap();
    std::fs::write(asked.cwd.join("ours"), "changed here too").unwrap();
    let collected = done(driver.collect(&lease, &asked, &realised).await);
    assert!(collected.changed && collected.warnings.len() == 1, "{collected:?}");
    assert_eq!(std::fs::read_to_string(asked.cwd.join("mine")).unwrap(), "changed there");
    assert_eq!(std::fs::read_to_string(asked.cwd.join("ours")).unwrap(), "changed here too");

    done(driver.release(&lease, Outcome::Kept).await);
    let second = ask();
    let Resumed::Held(again) = done(driver.resume(&second, &id, &place.facts).await) else { panic!() };
    assert_eq!(again.provider_lease_id.as_deref(), Some(id.as_str()));
    assert!(there.join("mine").exists(), "what was laid by is whole");
    let lease = held(&second, &again);
    for _ in 0..2 {
        done(driver.release(&lease, Outcome::Released).await);
        done(driver.destroy(&lease).await);
    }
    assert!(!there.exists());
    assert_eq!(done(driver.resume(&ask(), &id, &place.facts).await), Resumed::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answer_never_came_is_given_back_by_its_own_id() {
    if !has_python() {
        return;
    }
    let bench = Bench::new();
    let driver = bench.places(json!({ "slots": 1 }));
    let first = ask();
    let mut place = acquire(&*driver, &first).await;
    let Acquired::Queued(queue) = done(driver.acquire(&ask()).await) else { panic!("there is one slot") };
    assert_eq!(queue.reason, "1 of 1 places are taken");
    place.provider_lease_id = None;
    done(driver.release(&held(&first, &place), Outcome::Failed).await);
    acquire(&*driver, &ask()).await;
}
