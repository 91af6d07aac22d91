use serde_json::{Value, json};
use wharf_model::config::{EnvironmentConfig, SecretConfig};
use wharf_model::state::Change;
use wharf_model::*;

use crate::dispatch::input::{ConfigRead, Fact, Input, Prepared};
use crate::dispatch::simulate::bench::Bench;
use crate::dispatch::simulate::setup;
use crate::environment::driver::Check;

/// A core in which nobody has made an environment yet.
fn bench() -> Bench {
    let mut bench = Bench::new(8);
    bench.state.environments.clear();
    bench.state.counters.remove("environment");
    bench
}

/// Asks without a target; gives the row as it was answered.
fn ask(bench: &mut Bench, kind: &str, args: Value) -> RequestRow {
    let row = bench.request(kind, |r| r.args = args);
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Nothing));
    bench.state.requests[&row.id].clone()
}

fn accept(bench: &mut Bench, read: ConfigRead) -> RequestRow {
    let row = bench.request("config.accept", |_| {});
    bench.decide(&Input::Request(Box::new(row.clone()), Prepared::Config(Box::new(read))));
    bench.state.requests[&row.id].clone()
}

/// Activities of the last decision: word and details.
fn told(bench: &Bench) -> Vec<(String, Value)> {
    let is = |c: &Change| match c {
        Change::Activity(a) => Some((a.action.clone(), a.details.clone().unwrap_or_default())),
        _ => None,
    };
    bench.changes.iter().filter_map(is).collect()
}

fn words(bench: &Bench) -> Vec<String> {
    told(bench).into_iter().map(|(word, _)| word).collect()
}

fn refusal(row: &RequestRow) -> (&str, &str) {
    assert_eq!(row.status, RequestStatus::Refused, "{row:?}");
    (row.error_code.as_deref().unwrap(), row.error.as_deref().unwrap())
}

fn named<'a>(bench: &'a Bench, name: &str) -> &'a EnvironmentRow {
    bench.state.environments.values().filter(|e| e.name == name).max_by_key(|e| e.number).unwrap()
}

fn ssh(bench: &mut Bench, name: &str) -> EnvironmentRow {
    let args = json!({ "name": name, "driver": "ssh", "config": { "host": "box", "port": 22 } });
    let row = ask(bench, "environment.create", args);
    assert_eq!(row.status, RequestStatus::Done, "{row:?}");
    named(bench, name).clone()
}

/// A lease of an environment in a state that a driver left it in.
fn lease(bench: &mut Bench, environment: &EnvironmentRow, status: LeaseStatus) -> LeaseId {
    let number = bench.state.leases.len() as i64 + 1;
    let id = LeaseId(uuid::Uuid::from_u128(0xaaaa_0000 + number as u128));
    let row = LeaseRow::asked(id, number, environment, status, bench.now);
    bench.state.leases.insert(id, LeaseRow { version: 1, fence: Some(number), ..row });
    id
}

fn wanted(name: &str, driver: Driver, config: Value) -> EnvironmentConfig {
    EnvironmentConfig {
        name: name.into(),
        driver,
        lease_policy: LeasePolicy::Ephemeral,
        slots: Some(2),
        ttl_ms: 600_000,
        keep_ms: 86_400_000,
        config: config.as_object().cloned().unwrap().into_iter().collect(),
    }
}

fn with(key: &str, environments: Vec<EnvironmentConfig>) -> ConfigRead {
    let mut read = setup::config(key);
    read.config.environments = environments;
    read
}

#[test]
fn one_is_made_changed_archived_restored_and_deleted_by_hand() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box-1");
    assert_eq!(words(&bench), ["environment.created", "environment.created"], "the company's own comes first");
    assert_eq!((named(&bench, "Local").number, row.number, row.origin), (1, 2, Origin::Manual));
    assert_eq!(row.driver_config(), json!({ "host": "box", "port": 22 }));
    let id = row.id.text();

    let args =
        json!({ "slots": 3, "keep_ms": 5_000, "config": { "port": null, "user": "ops" }, "description": "a box" });
    let changed = bench.ask("environment.update", &id, args);
    let keys = json!(["description", "slots", "keep", "config.port", "config.user"]);
    assert_eq!(changed.result.as_ref().unwrap()["changed"], keys);
    assert_eq!(told(&bench), [("environment.updated".to_owned(), json!({ "changed": keys }))]);
    let row = named(&bench, "box-1");
    assert_eq!(row.driver_config(), json!({ "host": "box", "user": "ops" }));
    assert_eq!((row.slots, row.keep_ms, row.ttl_ms), (Some(3), 5_000, 600_000));
    // Another driver's settings replace these; nothing changed is no change.
    bench.ask("environment.update", &id, json!({ "driver": "sandbox", "config": { "provider": "bubblewrap" } }));
    assert_eq!(named(&bench, "box-1").driver_config(), json!({ "provider": "bubblewrap" }));
    let version = named(&bench, "box-1").version;
    bench.ask("environment.update", &id, json!({ "config": { "provider": "bubblewrap" } }));
    assert_eq!((named(&bench, "box-1").version, words(&bench).len()), (version, 0));
    bench.ask("environment.update", &id, json!({ "slots": null }));
    assert_eq!(named(&bench, "box-1").slots, None);

    bench.ask("environment.archive", &id, json!({}));
    assert_eq!(
        (named(&bench, "box-1").status, words(&bench)),
        (EnvironmentStatus::Archived, vec!["environment.archived".into()])
    );
    assert_eq!(refusal(&bench.ask("environment.archive", &id, json!({}))).1, "E-2 box-1 is archived already");
    bench.ask("environment.restore", &id, json!({}));
    assert_eq!(
        (named(&bench, "box-1").status, words(&bench)),
        (EnvironmentStatus::Active, vec!["environment.restored".into()])
    );
    assert!(refusal(&bench.ask("environment.restore", &id, json!({}))).1.contains("is active already"));

    let deleted = bench.ask("environment.delete", &id, json!({}));
    assert_eq!((deleted.status, named(&bench, "box-1").status), (RequestStatus::Done, EnvironmentStatus::Deleted));
    assert_eq!(words(&bench), ["environment.archived", "environment.deleted"]);
    for kind in ["environment.delete", "environment.update", "environment.restore", "environment.probe"] {
        assert_eq!(refusal(&bench.ask(kind, &id, json!({}))).0, "environment_not_found", "{kind}");
    }
    // Its name is free, and its number is not given again.
    assert_eq!(ssh(&mut bench, "box-1").number, 3);
}

#[test]
fn what_cannot_be_made_is_refused_in_words() {
    let mut bench = bench();
    ssh(&mut bench, "taken");
    let table = [
        (
            json!({ "name": "taken", "driver": "ssh", "config": { "host": "b" } }),
            "illegal_state",
            "E-2 is called \"taken\" already; change it",
        ),
        (
            json!({ "name": "local", "driver": "ssh", "config": { "host": "b" } }),
            "illegal_state",
            "wharf env edit Local",
        ),
        (json!({ "name": "l2", "driver": "local" }), "illegal_state", "every company has it once"),
        (json!({ "name": "a b", "driver": "ssh" }), "config_invalid", "cannot name an environment"),
        (json!({ "name": "x" }), "config_invalid", "needs a driver"),
        (json!({ "name": "x", "driver": "cloud" }), "config_invalid", "ssh, sandbox or plugin"),
        (json!({ "name": "x", "driver": "ssh" }), "config_invalid", "host: host is missing"),
        (
            json!({ "name": "x", "driver": "ssh", "config": { "host": "b", "hots": 1, "port": 0 } }),
            "config_invalid",
            "hots: ",
        ),
        (json!({ "name": "x", "driver": "ssh", "config": { "host": "b" }, "slots": 0 }), "config_invalid", "slots = 0"),
        (
            json!({ "name": "x", "driver": "ssh", "config": { "host": "b" }, "ttl_ms": -1 }),
            "config_invalid",
            "ttl_ms = -1",
        ),
        (
            json!({ "name": "x", "driver": "ssh", "config": { "host": "b" }, "lease_policy": "keep" }),
            "config_invalid",
            "retain_on_failure",
        ),
        (json!({ "name": "x", "driver": "ssh", "config": [] }), "config_invalid", "no table"),
        (
            json!({ "name": "x", "driver": "ssh", "config": { "host": "b" }, "description": "a\nb" }),
            "config_invalid",
            "one line",
        ),
        (
            json!({ "name": "x", "driver": "plugin", "config": { "command": "p", "driver": "d", "config": { "token": "hunter2hunter2" } } }),
            "config_invalid",
            "config.token: a secret must not stand here in plain text",
        ),
        (
            json!({ "name": "x", "driver": "plugin", "config": { "command": "p", "driver": "d", "config": { "token": { "secret": "k" } } } }),
            "config_invalid",
            "no [secret.k] is known to an environment that was made by hand",
        ),
    ];
    let before = bench.state.environments.len();
    for (args, code, message) in table {
        let row = ask(&mut bench, "environment.create", args.clone());
        let (is, says) = refusal(&row);
        assert!(!row.args.to_string().contains("hunter2"), "what was refused is not kept");
        assert!(is == code && says.contains(message) && !says.contains("hunter2"), "{args}: {is}: {says}");
    }
    assert_eq!(bench.state.environments.len(), before);
    let local = named(&bench, "Local").id.text();
    for (kind, args, message) in [
        ("environment.archive", json!({}), "neither archived nor deleted"),
        ("environment.delete", json!({ "cleanup": true }), "neither archived nor deleted"),
        ("environment.update", json!({ "driver": "ssh", "config": { "host": "b" } }), "its driver stays local"),
        ("environment.update", json!({ "config": { "host": "b" } }), "is not known here"),
        ("environment.update", json!({ "lease_policy": "retain_on_failure" }), "keeps nothing"),
    ] {
        let row = bench.ask(kind, &local, args);
        assert!(refusal(&row).1.contains(message), "{kind}: {row:?}");
    }
    assert_eq!(bench.ask("environment.update", &local, json!({ "slots": 4 })).status, RequestStatus::Done);
    assert_eq!(named(&bench, "Local").slots, Some(4));
}

#[test]
fn another_companys_is_not_found() {
    let mut bench = bench();
    let args = json!({ "name": "box", "driver": "ssh", "config": { "host": "b" }, "company": "other" });
    ask(&mut bench, "environment.create", args);
    let id = named(&bench, "box").id.text();
    let other = json!({ "company": "other" });
    let default = json!({ "company": "default" });
    for kind in ["update", "archive", "restore", "delete", "probe", "test"] {
        for target in [id.as_str(), "box", "E-2"] {
            let row = bench.ask(&format!("environment.{kind}"), target, default.clone());
            assert_eq!(refusal(&row).0, "environment_not_found", "{kind} {target}");
        }
    }
    assert_eq!(bench.ask("environment.archive", "box", other.clone()).status, RequestStatus::Done);
    // The same name stands for two environments; each company has its own Local.
    ssh(&mut bench, "box");
    bench.ask("environment.probe", "Local", other);
    bench.ask("environment.probe", "Local", default);
    let locals = bench.state.environments.values().filter(|e| e.driver == Driver::Local).count();
    assert_eq!(locals, 2);
}

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

#[test]
fn archiving_tells_who_names_it_and_fails_who_waits_for_it() {
    let mut bench = bench();
    let mut read = with("SOLO", vec![]);
    read.config.agents[2].environment = Some("box".into());
    read.config.project.default_environment = Some("box".into());
    accept(&mut bench, read);
    let row = ssh(&mut bench, "box");
    let expect = json!([{ "id": row.id.text(), "version": row.version }]);
    let request = bench.request("environment.archive", |r| {
        r.target_id = Some(row.id.text());
        r.expect = Some(expect);
    });
    bench.decide(&Input::Request(Box::new(request.clone()), Prepared::Nothing));
    // Two names that the preview did not show.
    assert_eq!(refusal(&bench.state.requests[&request.id]).0, "changed_since_preview");
    let done = bench.ask("environment.archive", "box", json!({}));
    let result = done.result.unwrap();
    assert_eq!(result["named_by"], json!({ "agents": ["plain"], "projects": ["SOLO"] }));
    let run = bench.start("plain", None);
    assert_eq!(
        (bench.status(run), bench.run(run).error_code.as_deref()),
        (RunStatus::Failed, Some("environment_inactive"))
    );
    bench.ask("environment.delete", "box", json!({}));
    let run = bench.start("plain", None);
    assert_eq!(bench.run(run).error_code.as_deref(), Some("environment_not_found"));
}

#[test]
fn a_deletion_waits_for_the_clean_up_that_it_begins() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let kept = lease(&mut bench, &row, LeaseStatus::Retained);
    let refused = bench.ask("environment.delete", "box", json!({}));
    assert!(refusal(&refused).1.contains("L-1; delete it with clean-up"), "{refused:?}");
    assert_eq!(named(&bench, "box").status, EnvironmentStatus::Active);

    let asked = bench.ask("environment.delete", "box", json!({ "cleanup": true }));
    assert_eq!((asked.status, named(&bench, "box").status), (RequestStatus::Accepted, EnvironmentStatus::Archived));
    assert_eq!(bench.state.leases[&kept].status, LeaseStatus::Releasing);
    assert!(named(&bench, "box").is_being_deleted());
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleaseFailed { action, lease: kept, message: "the host is away".into() });
    let failed = &bench.state.requests[&asked.id];
    assert_eq!((failed.status, failed.error_code.as_deref()), (RequestStatus::Failed, Some("lease_cleanup_failed")));
    assert!(failed.error.as_ref().unwrap().contains("the host is away"), "{failed:?}");
    assert!(named(&bench, "box").is_being_deleted());
    // It is tried again by itself, and then the environment goes.
    bench.wait(24 * 3_600_000);
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease: kept });
    assert_eq!(named(&bench, "box").status, EnvironmentStatus::Deleted);
    assert!(words(&bench).contains(&"environment.deleted".to_owned()));
}

#[test]
fn what_is_restored_in_time_is_not_deleted() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let kept = lease(&mut bench, &row, LeaseStatus::Retained);
    let asked = bench.ask("environment.delete", "box", json!({ "cleanup": true }));
    assert_eq!(bench.ask("environment.restore", "box", json!({})).status, RequestStatus::Done);
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Failed);
    let action = bench.action(ActionKind::ReleaseLease, &kept.text()).unwrap();
    bench.fact(Fact::LeaseReleased { action, lease: kept });
    let row = named(&bench, "box");
    assert!(row.status == EnvironmentStatus::Active && row.metadata.is_none(), "{row:?}");
}

#[test]
fn probes_are_kept_with_what_was_probed() {
    let mut bench = bench();
    let row = ssh(&mut bench, "box");
    let checks = || vec![Check::ok("connect", "31 ms"), Check::warn("clock", "3 s ahead", "set it")];
    let asked = bench.ask("environment.probe", "box", json!({}));
    assert_eq!(asked.status, RequestStatus::Accepted);
    let action = bench.action(ActionKind::Probe, &row.id.text()).unwrap();
    bench.fact(Fact::EnvironmentProbed { action, checks: checks(), took_ms: 40 });
    let done = bench.state.requests[&asked.id].clone();
    let result = done.result.unwrap();
    assert_eq!((done.status, &result["ok"], &result["took_ms"]), (RequestStatus::Done, &json!(true), &json!(40)));
    let probe = named(&bench, "box").probe.clone().unwrap();
    assert_eq!((&probe["checks"][1]["level"], &probe["at"]), (&json!("warn"), &json!(bench.now.0)));
    assert_eq!(words(&bench), ["environment.probed"]);
    // Told twice it is the same.
    bench.fact(Fact::EnvironmentProbed { action, checks: vec![], took_ms: 1 });
    assert!(words(&bench).is_empty());

    // One that fails, and one whose settings were changed meanwhile.
    let asked = bench.ask("environment.probe", "box", json!({}));
    bench.ask("environment.update", "box", json!({ "config": { "user": "ops" } }));
    assert_eq!(named(&bench, "box").probe, None);
    let action = bench.action(ActionKind::Probe, &row.id.text()).unwrap();
    let failed = vec![Check::error("connect", "connection refused", "start sshd")];
    bench.fact(Fact::EnvironmentProbed { action, checks: failed, took_ms: 4 });
    let done = &bench.state.requests[&asked.id];
    assert_eq!((done.status, done.error_code.as_deref()), (RequestStatus::Failed, Some("probe_failed")));
    assert_eq!(done.error.as_deref(), Some("connect: connection refused"));
    assert_eq!(done.result.as_ref().unwrap()["checks"][0]["hint"], "start sshd");
    assert_eq!(named(&bench, "box").probe, None);

    // Settings that are not saved.
    let args = json!({ "driver": "ssh", "config": { "host": "elsewhere" } });
    let asked = ask(&mut bench, "environment.probe", args);
    let before = bench.state.environments.len();
    let action = bench.action(ActionKind::Probe, &asked.id.text()).unwrap();
    let job = crate::dispatch::perform::job(&bench.state, &bench.state.actions[&action], None).unwrap();
    let crate::dispatch::perform::Job::Probe(unsaved) = job else { panic!("{job:?}") };
    assert_eq!(unsaved.driver_config()["host"], "elsewhere");
    bench.fact(Fact::EnvironmentProbed { action, checks: checks(), took_ms: 4 });
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Done);
    assert_eq!(
        (words(&bench), bench.state.environments.len()),
        (vec!["environment.probed_unsaved".to_owned()], before)
    );
    let wrong = ask(&mut bench, "environment.probe", json!({ "driver": "ssh", "config": {} }));
    assert_eq!(refusal(&wrong).0, "config_invalid");
}

#[test]
fn a_probe_that_nobody_answers_ends() {
    let mut bench = bench();
    ssh(&mut bench, "box");
    let asked = bench.ask("environment.probe", "box", json!({}));
    bench.wait(60_000);
    assert_eq!(bench.state.requests[&asked.id].status, RequestStatus::Accepted);
    bench.wait(61_000);
    assert_eq!(bench.state.requests[&asked.id].error_code.as_deref(), Some("probe_failed"));
    assert!(bench.state.actions.values().all(|a| a.kind != ActionKind::Probe || a.status == ActionStatus::Superseded));
}

/// Asks for a test of `plain` in Local, and has its place granted.
fn testing(bench: &mut Bench) -> (RequestRow, LeaseId, ActionId) {
    let asked = bench.ask("environment.test", "Local", json!({ "agent": "plain" }));
    let result = asked.result.clone().unwrap_or_else(|| panic!("{asked:?}"));
    let lease: LeaseId = result["lease_id"].as_str().unwrap().parse().unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseAcquired {
        action,
        lease,
        provider: "local".into(),
        provider_lease_id: None,
        expires_at: None,
        facts: Value::Null,
        resumed: false,
    });
    let action = bench.action(ActionKind::TestEnvironment, &lease.text()).unwrap();
    (asked, lease, action)
}

#[test]
fn a_test_always_gives_its_place_back() {
    let mut bench = bench();
    for (checks, status, code) in [
        (vec![Check::ok("adapter", "2.1.4")], RequestStatus::Done, None),
        (
            vec![Check::error("command_not_found", "no agent", "install it")],
            RequestStatus::Failed,
            Some("command_not_found"),
        ),
        (vec![Check::error("login", "not logged in", "log in")], RequestStatus::Failed, Some("adapter_failed")),
    ] {
        let (asked, lease, action) = testing(&mut bench);
        let job = crate::dispatch::perform::job(&bench.state, &bench.state.actions[&action], None).unwrap();
        assert!(matches!(job, crate::dispatch::perform::Job::Test(_, Some(agent)) if agent.name == "plain"));
        bench.fact(Fact::EnvironmentTested { action, lease, checks, took_ms: 9 });
        let done = &bench.state.requests[&asked.id];
        assert_eq!((done.status, done.error_code.as_deref()), (status, code));
        assert_eq!(done.result.as_ref().unwrap()["took_ms"], 9);
        assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    }
    // Refused, and never answered.
    let asked = bench.ask("environment.test", "Local", json!({ "adapter": "process" }));
    let lease: LeaseId = asked.result.unwrap()["lease_id"].as_str().unwrap().parse().unwrap();
    let action = bench.action(ActionKind::AcquireLease, &lease.text()).unwrap();
    bench.fact(Fact::LeaseRefused { action, lease, code: "lease_acquire_failed".into(), message: "full".into() });
    let done = &bench.state.requests[&asked.id];
    assert_eq!((done.error_code.as_deref(), done.error.as_deref()), (Some("lease_acquire_failed"), Some("full")));
    let (asked, lease, _) = testing(&mut bench);
    bench.wait(16 * 60_000);
    assert_eq!(bench.state.requests[&asked.id].error_code.as_deref(), Some("timeout"));
    assert_eq!(bench.state.leases[&lease].status, LeaseStatus::Releasing);
    for (args, code) in [
        (json!({}), "agent_not_found"),
        (json!({ "agent": "nobody" }), "agent_not_found"),
        (json!({ "adapter": "telepathy" }), "unsupported_adapter_environment"),
    ] {
        assert_eq!(refusal(&bench.ask("environment.test", "Local", args)).0, code);
    }
    ssh(&mut bench, "box");
    bench.ask("environment.archive", "box", json!({}));
    assert_eq!(refusal(&bench.ask("environment.test", "box", json!({ "agent": "plain" }))).0, "environment_inactive");
}
