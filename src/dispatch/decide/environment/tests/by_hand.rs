//! What is made and changed by hand.

use super::*;

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
fn relative_paths_go_on_starting_where_they_were_given() {
    let mut bench = bench();
    let config = json!({ "command": "./pool", "driver": "pool" });
    ask(&mut bench, "environment.create", json!({ "name": "p", "driver": "plugin", "base": "/a", "config": config }));
    bench.ask("environment.update", "p", json!({ "base": "/b", "config": { "timeout": "1m" } }));
    assert_eq!(
        (&named(&bench, "p").config["base"], named(&bench, "p").driver_config()["timeout"].as_str()),
        (&json!("/a"), Some("1m"))
    );
    let sandbox = json!({ "base": "/b", "driver": "sandbox", "config": { "provider": "bubblewrap" } });
    bench.ask("environment.update", "p", sandbox);
    assert_eq!(named(&bench, "p").config["base"], "/b");
    bench.ask("environment.update", "p", json!({ "base": "relative", "driver": "ssh", "config": { "host": "b" } }));
    assert_eq!(named(&bench, "p").config["base"], Value::Null);
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
        (json!({ "name": "E-7", "driver": "ssh", "config": { "host": "b" } }), "config_invalid", "reads like a number"),
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
