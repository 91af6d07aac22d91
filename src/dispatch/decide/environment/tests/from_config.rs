//! What a file defines.

use super::*;

#[test]
fn a_config_makes_changes_archives_and_restores_its_own() {
    let mut bench = bench();
    let pool = json!({ "command": "./pool", "driver": "pool", "config": { "token": { "secret": "k" } } });
    let mut read =
        with("SOLO", vec![wanted("box", Driver::Ssh, json!({ "host": "a" })), wanted("pool", Driver::Plugin, pool)]);
    read.config.secrets.insert("k".into(), SecretConfig::Env("KEY".into()));
    assert_eq!(accept(&mut bench, read.clone()).status, RequestStatus::Done);
    let row = named(&bench, "pool").clone();
    assert_eq!((row.origin, row.config["base"].as_str()), (Origin::Config, Some("/p/SOLO")));
    assert_eq!(row.driver_config()["config"]["token"], json!({ "env": "KEY" }));
    assert_eq!(row.config_project(), Some(read.project_uuid));
    accept(&mut bench, read.clone());
    assert!(words(&bench).iter().all(|w| !w.starts_with("environment.")), "{:?}", words(&bench));

    // By hand nothing of it is changed, and its file is named.
    let id = row.id.text();
    for kind in ["update", "archive", "delete"] {
        let row = bench.ask(&format!("environment.{kind}"), &id, json!({ "slots": 1, "cleanup": true }));
        assert!(refusal(&row).1.contains("stands in /p/SOLO/wharf.toml"), "{kind}: {row:?}");
    }
    let mut changed = read.clone();
    changed.config.secrets.insert("k".into(), SecretConfig::File("key".into()));
    changed.config.environments[0].slots = None;
    changed.config.environments[0].config.insert("user".into(), json!("ops"));
    accept(&mut bench, changed.clone());
    let updated: Vec<Value> = told(&bench)
        .into_iter()
        .filter(|(w, _)| w == "environment.updated")
        .map(|(_, d)| d["changed"].clone())
        .collect();
    assert_eq!(updated, [json!(["slots", "config.user"]), json!(["config.config"])]);

    let mut dropped = changed.clone();
    dropped.config.environments.remove(1);
    accept(&mut bench, dropped);
    assert!(words(&bench).contains(&"environment.archived".to_owned()));
    assert_eq!(named(&bench, "pool").status, EnvironmentStatus::Archived);
    let restored = bench.ask("environment.restore", &id, json!({}));
    assert!(refusal(&restored).1.contains("put it back there"), "{restored:?}");
    accept(&mut bench, changed.clone());
    assert!(words(&bench).contains(&"environment.restored".to_owned()));
    assert_eq!((named(&bench, "pool").status, named(&bench, "pool").id), (EnvironmentStatus::Active, row.id));
    // Archived by its file it may be deleted; back again it is another.
    let mut dropped = changed.clone();
    dropped.config.environments.remove(1);
    accept(&mut bench, dropped);
    assert_eq!(bench.ask("environment.delete", &id, json!({})).status, RequestStatus::Done);
    accept(&mut bench, changed);
    assert_ne!(named(&bench, "pool").id, row.id);
}

#[test]
fn one_name_has_one_origin() {
    let mut bench = bench();
    ssh(&mut bench, "box");
    let one = || vec![wanted("box", Driver::Ssh, json!({ "host": "a" }))];
    let clash = accept(&mut bench, with("SOLO", one()));
    assert_eq!(refusal(&clash).0, "config_invalid");
    assert!(refusal(&clash).1.contains("E-2, which was made by hand; choose another name"), "{clash:?}");
    bench.ask("environment.archive", "box", json!({}));
    assert!(refusal(&accept(&mut bench, with("SOLO", one()))).1.contains("now archived"));
    bench.ask("environment.delete", "box", json!({}));
    assert_eq!(accept(&mut bench, with("SOLO", one())).status, RequestStatus::Done);
    // The file of another project of the company.
    let other = accept(&mut bench, with("SHARE", one()));
    assert!(refusal(&other).1.contains("which stands in /p/SOLO/wharf.toml"), "{other:?}");
    let args = json!({ "name": "box", "driver": "ssh", "config": { "host": "b" } });
    let hand = ask(&mut bench, "environment.create", args);
    assert!(refusal(&hand).1.contains("/p/SOLO/wharf.toml has it"), "{hand:?}");
    // Once the first file has dropped it, the other one may have it.
    accept(&mut bench, with("SOLO", vec![]));
    assert_eq!(accept(&mut bench, with("SHARE", one())).status, RequestStatus::Done);
    assert_eq!(named(&bench, "box").config["base"], "/p/SHARE");
    accept(&mut bench, with("SOLO", vec![]));
    assert_eq!(named(&bench, "box").status, EnvironmentStatus::Active);
}

#[test]
fn only_the_driver_that_acquired_a_lease_gives_it_back() {
    let mut bench = bench();
    accept(&mut bench, with("SOLO", vec![wanted("box", Driver::Ssh, json!({ "host": "a" }))]));
    let row = named(&bench, "box").clone();
    let id = lease(&mut bench, &row, LeaseStatus::Retained);
    let sandbox = || with("SOLO", vec![wanted("box", Driver::Sandbox, json!({ "provider": "bubblewrap" }))]);
    assert!(refusal(&accept(&mut bench, sandbox())).1.contains("lease L-1 was acquired with it"));
    bench.state.leases.remove(&id);
    assert_eq!(accept(&mut bench, sandbox()).status, RequestStatus::Done);
    let manual = ssh(&mut bench, "by-hand");
    lease(&mut bench, &manual, LeaseStatus::Active);
    let args = json!({ "driver": "sandbox", "config": { "provider": "bubblewrap" } });
    assert!(refusal(&bench.ask("environment.update", "by-hand", args)).1.contains("lease L-1"));
    assert_eq!(
        bench.ask("environment.update", "by-hand", json!({ "config": { "user": "o" } })).status,
        RequestStatus::Done
    );
}
