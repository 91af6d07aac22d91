//! Environments on the command line: by hand and from a config, with previews, probes and tests.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod cli_common;

use std::process::Stdio;

use cli_common::{CONFIG, Place};
use serde_json::Value;

/// A plugin's settings as they are given by hand; nothing is started by them here.
const PLUGIN: &str =
    "command = \"./pool\"\ndriver = \"pool\"\n[config]\nregion = \"north\"\ntoken = { env = \"POOL_TOKEN\" }\n";

fn environments(place: &Place) -> Vec<Value> {
    place.wharf(&["env", "list", "--json"]).expect(0).json()["environments"].as_array().unwrap().clone()
}

fn words(place: &Place, entity: &str) -> Vec<String> {
    let rows = place.wharf(&["activity", "kind:environment.*", "-n", "100", "--json"]).expect(0).json();
    let rows = rows["activity"].as_array().unwrap().clone();
    rows.iter()
        .filter(|r| r["number"] == entity)
        .map(|r| r["action"].as_str().unwrap().trim_start_matches("environment.").to_owned())
        .rev()
        .collect()
}

#[test]
fn made_changed_and_shown_by_hand() {
    let place = Place::new();
    let made = place.wharf(&[
        "env",
        "add",
        "box-1",
        "--driver",
        "ssh",
        "--set",
        "host=box-1",
        "--set",
        "port=2222",
        "--slots",
        "2",
        "--ttl",
        "20m",
        "--policy",
        "retain_on_failure",
        "--description",
        "the big one",
    ]);
    assert_eq!(made.expect(0).out, "E-2\n", "the company's own is the first one");
    let all = environments(&place);
    assert_eq!(
        (&all[0]["name"], &all[0]["driver"], &all[0]["number"]),
        (&"Local".into(), &"local".into(), &"E-1".into())
    );
    assert_eq!(
        (&all[1]["slots"], &all[1]["ttl_ms"], &all[1]["policy"]),
        (&2.into(), &1_200_000.into(), &"retain_on_failure".into())
    );
    assert_eq!((&all[1]["origin"], &all[1]["config"]["port"]), (&"manual".into(), &2222.into()));

    let edited = ["env", "edit", "box-1", "--set", "user=ops", "--unset", "port", "--slots", "none", "--json"];
    let edited = place.wharf(&edited).expect(0).json();
    assert_eq!(edited["changed"], serde_json::json!(["slots", "config.port", "config.user"]));
    assert_eq!(edited["environment"]["config"], serde_json::json!({ "host": "box-1", "user": "ops" }));
    place.wharf(&["env", "edit", "box-1"]).expect(2);
    let shown = place.wharf(&["env", "show", "E-2"]).expect(0).out;
    for line in ["E-2 box-1  ● active", "config host  box-1", "from         made by hand", "description  the big one"]
    {
        assert!(shown.lines().any(|l| l.starts_with(line)), "{line}: {shown}");
    }
    assert_eq!(place.wharf(&["show", "E-2", "--json"]).json()["schema"], "wharf.environment/1");

    // From a file and from stdin; with what is wrong at its line.
    std::fs::write(place.project().join("pool.toml"), PLUGIN).unwrap();
    place.wharf(&["env", "add", "pool", "--driver", "plugin", "--config", "pool.toml"]).expect(0);
    let pool = place.wharf(&["env", "show", "pool", "--json"]).json()["environment"].clone();
    assert_eq!(
        (&pool["provider"], &pool["config"]["config"]["token"]["env"]),
        (&"plugin:pool".into(), &"POOL_TOKEN".into())
    );
    let stdin = ["env", "add", "sand", "--driver", "sandbox", "--config", "-", "--set", "limits.processes=50"];
    place.wharf_with(&stdin, "provider = \"bubblewrap\"\nlimits = { memory = \"1GiB\" }\n").expect(0);
    let sand = place.wharf(&["env", "show", "sand", "--json"]).json()["environment"].clone();
    assert_eq!(sand["config"]["limits"], serde_json::json!({ "memory": "1GiB", "processes": 50 }));
    let wrong = ["env", "add", "x", "--driver", "plugin", "--config", "-"];
    let broken = place.wharf_with(&wrong, "command = \"p\"\nwhen = 1979-05-27\n").expect(5);
    assert!(broken.err.contains("stdin:2: when: a date is no setting"), "{}", broken.err);
    let secret = PLUGIN.replace("{ env = \"POOL_TOKEN\" }", "\"hunter2hunter2\"");
    for json in [&[][..], &["--json"]] {
        let refused = place.wharf_with(&[&wrong[..], json].concat(), &secret).expect(5);
        assert!(refused.err.contains("config.token: a secret must not stand here"), "{}", refused.err);
        assert!(!refused.err.contains("hunter2"), "{}", refused.err);
    }
    let strict = place.wharf(&["env", "add", "x", "--driver", "ssh", "--set", "hots=b", "--json"]).expect(5).error();
    assert_eq!(strict["code"], "config_invalid");
    assert!(strict["message"].as_str().unwrap().contains("host is missing"), "{strict}");
    assert_eq!(words(&place, "E-2"), ["created", "updated"]);
    // Nothing of what was refused is anywhere in the store.
    let store = std::fs::read(place.data().join("wharf.db")).unwrap();
    let journal = std::fs::read(place.data().join("wharf.db-wal")).unwrap_or_default();
    let asked = environments(&place).len();
    assert_eq!(asked, 4);
    let found = |bytes: &[u8]| bytes.windows(14).any(|w| w == b"hunter2hunter2");
    assert!(!found(&store) && !found(&journal), "a secret that was refused is kept with its request");
}

#[test]
fn names_are_taken_once_and_lists_are_filtered() {
    let place = Place::new();
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    let again = place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a", "--json"]).expect(4).error();
    assert!(again["message"].as_str().unwrap().contains("E-2 is called \"box\" already"), "{again}");
    place.wharf(&["env", "add", "Local", "--driver", "ssh", "--set", "host=a"]).expect(4);
    place.wharf(&["env", "add", "l", "--driver", "local"]).expect(2);
    let unknown = place.wharf(&["env", "show", "bx"]).expect(3);
    assert!(
        unknown.err.contains("cause: it has Local, box") && unknown.err.contains("next:  wharf env show box"),
        "{unknown:?}"
    );
    let shown = |filter: &str| {
        let document = place.wharf(&["env", "list", filter, "--json"]).expect(0).json();
        assert_eq!(document["schema"], "wharf.environments/1");
        document["environments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("kind:ssh"), ["box"]);
    assert_eq!(shown("status:active"), ["Local", "box"]);
    assert_eq!(shown("env:b*"), ["box"]);
    assert_eq!(shown("status:failed"), [""; 0]);
    let wrong = place.wharf(&["env", "list", "status:queued"]).expect(2);
    assert!(wrong.err.contains("next:  wharf environments --help"), "{}", wrong.err);
    place.wharf(&["environments", "--help"]).expect(0);
    let table = place.wharf(&["environments"]).expect(0).out;
    assert!(table.starts_with("ENV  NAME   DRIVER  STATUS"), "{table}");
}

#[test]
fn a_file_is_the_truth_of_its_own() {
    let place = Place::new();
    let with = |more: &str| place.config(&format!("{CONFIG}{more}"));
    let pool = "[[environment]]\nname = \"pool\"\ndriver = \"plugin\"\n[environment.config]\ncommand = \"./pool\"\n\
        driver = \"pool\"\nconfig = { token = { secret = \"k\" } }\n[secret.k]\nenv = \"POOL_TOKEN\"\n";
    with(pool);
    place.wharf(&["config", "check"]).expect(0);
    place.wharf(&["config", "accept"]).expect(0);
    let item = place.wharf(&["env", "show", "pool", "--json"]).expect(0).json()["environment"].clone();
    assert_eq!((&item["origin"], &item["config"]["config"]["token"]["env"]), (&"config".into(), &"POOL_TOKEN".into()));
    for verb in [&["edit", "pool", "--slots", "1"][..], &["archive", "pool", "--yes"], &["delete", "pool", "--yes"]] {
        let refused = place.wharf(&[&["env"][..], verb].concat()).expect(4);
        assert!(refused.err.contains("stands in ") && refused.err.contains("/wharf.toml"), "{verb:?} {}", refused.err);
    }
    let shown = place.wharf(&["config", "show"]).expect(0).out;
    let token = shown.lines().find(|l| l.starts_with("environment.pool.config.config.token")).unwrap();
    assert!(token.contains(" k ") && token.contains("wharf.toml:"), "{token}");

    // Removed it waits to be accepted; accepted it is archived, and back again it is restored.
    with("");
    let pending = place.wharf(&["config", "check"]).expect(0);
    assert!(pending.err.contains("environment.pool.driver"), "{}", pending.err);
    assert_eq!(place.wharf(&["env", "show", "pool", "--json"]).json()["environment"]["status"], "active");
    place.wharf(&["config", "accept"]).expect(0);
    assert_eq!(place.wharf(&["env", "show", "pool", "--json"]).json()["environment"]["status"], "archived");
    let restored = place.wharf(&["env", "restore", "pool"]).expect(4);
    assert!(restored.err.contains("put it back there"), "{}", restored.err);
    with(pool);
    place.wharf(&["config", "accept"]).expect(0);
    assert_eq!(words(&place, item["number"].as_str().unwrap()), ["created", "archived", "restored"]);

    // A name that was taken by hand.
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    with("[[environment]]\nname = \"box\"\ndriver = \"ssh\"\nconfig = { host = \"b\" }\n");
    let clash = place.wharf(&["config", "accept", "--json"]).expect(5).error();
    assert!(clash["message"].as_str().unwrap().contains("which was made by hand"), "{clash}");
    with("[[environment]]\nname = \"e\"\ndriver = \"ssh\"\n[environment.config]\nhots = \"b\"\n");
    let wrong = place.wharf(&["config", "check"]).expect(5);
    assert!(wrong.err.contains("\"hots\" is not known here") && wrong.err.contains("host is missing"), "{}", wrong.err);
}

#[test]
fn archiving_and_deleting_are_previewed_and_confirmed() {
    let place = Place::new();
    place.config(&CONFIG.replace("name = \"good\"", "name = \"good\"\nenvironment = \"Local\""));
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    let preview = place.wharf(&["env", "archive", "box", "--dry-run"]).expect(0);
    assert_eq!(
        preview.out,
        "Archiving E-2 box does this:\n  breaks nothing  nobody holds, waits for or names it\n\
         No new lease of it is given. wharf env restore E-2 takes it back.\n"
    );
    let unasked = place.wharf(&["env", "archive", "box"]).expect(9);
    assert!(unasked.err.contains("next:  wharf env archive E-2 --yes"), "{}", unasked.err);
    let data = place.wharf(&["env", "archive", "box", "--json"]).expect(9);
    assert_eq!((data.error()["code"].as_str(), &data.json()["confirmed"]), (Some("not_confirmed"), &false.into()));
    let done = place.wharf(&["env", "archive", "box", "--yes", "--json"]).expect(0).json();
    assert_eq!(
        (&done["done"], &done["change"], &done["environment"]),
        (&true.into(), &"archive".into(), &"E-2".into())
    );
    assert_eq!(place.wharf(&["env", "archive", "box", "--yes", "--json"]).expect(4).error()["code"], "illegal_state");
    let refused = place.wharf(&["env", "test", "box", "--agent", "good", "--json"]).expect(4).error();
    assert_eq!(refused["code"], "environment_inactive");
    let restored = place.wharf(&["env", "restore", "box", "--json"]).expect(0).json();
    assert_eq!(
        (&restored["schema"], &restored["environment"]["status"]),
        (&"wharf.environment/1".into(), &"active".into())
    );

    let preview = place.wharf(&["env", "delete", "E-2", "--dry-run"]).expect(0).out;
    assert!(preview.starts_with("Deleting E-2 box does this:\n"), "{preview}");
    place.wharf(&["env", "delete", "E-2", "--yes"]).expect(0);
    assert_eq!(environments(&place).len(), 1);
    place.wharf(&["env", "show", "box"]).expect(3);
    // Its row stays for the history, and its name is free.
    assert_eq!(place.wharf(&["show", "E-2", "--json"]).expect(0).json()["environment"]["status"], "deleted");
    assert_eq!(place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0).out, "E-3\n");
    assert_eq!(words(&place, "E-2"), ["created", "archived", "restored", "archived", "deleted"]);
    let local = place.wharf(&["env", "delete", "Local", "--yes"]).expect(4);
    assert!(local.err.contains("neither archived nor deleted"), "{}", local.err);
}

#[test]
fn what_names_an_environment_is_told_before_it_goes() {
    let place = Place::new();
    place.config(&CONFIG.replace("name = \"good\"", "name = \"good\"\nenvironment = \"Local\""));
    place.wharf(&["run", "good", "--wait"]).expect(0);
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    // A name in a config is one of its own environments, so this one is named through its project's file.
    let more = "[[environment]]\nname = \"own\"\ndriver = \"ssh\"\nconfig = { host = \"a\" }\n";
    let text = CONFIG.replace("name = \"good\"", "name = \"good\"\nenvironment = \"own\"");
    place.config(&format!("{text}{more}"));
    place.wharf(&["config", "accept"]).expect(0);
    let named = place.wharf(&["env", "show", "own"]).expect(0).out;
    assert!(named.contains("named by ") && named.contains("good"), "{named}");
    let dry = place.wharf(&["env", "delete", "own", "--dry-run"]).expect(4);
    assert!(dry.err.contains("wharf.toml, which is its truth"), "{}", dry.err);
}

#[test]
fn probes_saved_and_unsaved() {
    for serving in [false, true] {
        let place = Place::new();
        let _serving = serving.then(|| place.serve());
        let probe = place.wharf(&["env", "probe", "Local", "--json"]).expect(0).json();
        assert_eq!((&probe["schema"], &probe["environment"]), (&"wharf.environment_probe/1".into(), &"E-1".into()));
        assert_eq!((&probe["probe"]["ok"], &probe["probe"]["checks"][0]["level"]), (&true.into(), &"ok".into()));
        let kept = environments(&place)[0]["probe"].clone();
        assert_eq!((&kept["at"], &kept["checks"]), (&probe["probe"]["at"], &probe["probe"]["checks"]));
        let human = place.wharf(&["env", "probe", "E-1"]).expect(0).out;
        assert!(human.starts_with("E-1 Local: 1 check in ") && human.contains("✓ host"), "{human}");
        let unsaved = place.wharf(&["env", "probe", "--driver", "local", "--json"]).expect(0).json();
        assert_eq!((&unsaved["environment"], &unsaved["saved"]), (&Value::Null, &false.into()));
        let invalid = place.wharf(&["env", "probe", "--driver", "ssh", "--json"]).expect(5).error();
        assert!(invalid["message"].as_str().unwrap().contains("host is missing"), "{invalid}");
        place.wharf(&["env", "probe"]).expect(2);
        place.wharf(&["env", "probe", "Local", "--driver", "ssh"]).expect(2);
        place.wharf(&["env", "probe", "nowhere"]).expect(3);
        // Something that stands in the way: what the settings name is not there.
        let missing =
            ["env", "probe", "--driver", "plugin", "--set", "command=/no/such/plugin", "--set", "driver=d", "--json"];
        let missing = place.wharf(&missing).expect(8).json();
        assert_eq!(
            (&missing["probe"]["ok"], &missing["probe"]["checks"][0]["level"]),
            (&false.into(), &"error".into())
        );
        assert_eq!(words(&place, "E-1"), ["created", "probed", "probed"]);
        assert_eq!(environments(&place).len(), 1);
    }
}

#[test]
fn a_test_gives_its_lease_back() {
    let place = Place::new();
    place.wharf(&["config", "accept"]).expect(0);
    let tested = place.wharf(&["env", "test", "Local", "--agent", "good", "--json"]).expect(0).json();
    assert_eq!((&tested["schema"], &tested["test"]["ok"]), (&"wharf.environment_test/1".into(), &true.into()));
    assert_eq!((&tested["lease"], &tested["adapter"]), (&"L-1".into(), &"process".into()));
    place.wharf(&["env", "test", "Local", "--adapter", "process"]).expect(0);
    let serving = place.serve();
    let begun = std::time::Instant::now();
    loop {
        let leases = place.wharf(&["leases", "--json"]).expect(0).json()["leases"].as_array().unwrap().clone();
        assert_eq!(leases.len(), 2);
        if leases.iter().all(|l| l["status"] == "released") {
            break;
        }
        assert!(begun.elapsed().as_secs() < 20, "{leases:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(serving);
    place.wharf(&["env", "test", "Local"]).expect(2);
    place.wharf(&["env", "test", "Local", "--agent", "nobody"]).expect(3);
    place.wharf(&["env", "test", "Local", "--adapter", "telepathy"]).expect(4);
}

#[test]
fn another_companys_is_not_found() {
    let place = Place::new();
    place.wharf(&["env", "add", "box", "--driver", "ssh", "--set", "host=a"]).expect(0);
    let other = tempfile::tempdir().unwrap();
    let text = "[project]\nkey = \"OTHER\"\ncompany = \"other\"\n";
    std::fs::write(other.path().join("wharf.toml"), text).unwrap();
    let there = |args: &[&str]| {
        let mut all = vec!["--project", other.path().to_str().unwrap()];
        all.extend(args);
        place.wharf(&all)
    };
    for name in ["box", "E-2"] {
        for verb in ["show", "probe", "restore"] {
            let error = there(&["env", verb, name, "--json"]).expect(3).error();
            assert_eq!(error["code"], "environment_not_found", "{verb} {name}");
        }
        there(&["env", "archive", name, "--yes"]).expect(3);
        there(&["env", "delete", name, "--yes"]).expect(3);
        there(&["env", "edit", name, "--slots", "1"]).expect(3);
    }
    assert_eq!(there(&["env", "add", "box", "--driver", "ssh", "--set", "host=b"]).expect(0).out, "E-4\n");
    let names = |document: Value| -> Vec<String> {
        document["environments"].as_array().unwrap().iter().map(|e| e["number"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(there(&["env", "list", "--json"]).expect(0).json()), ["E-3", "E-4"]);
    assert_eq!(names(place.wharf(&["env", "list", "--json"]).expect(0).json()), ["E-1", "E-2"]);
}

#[test]
fn eight_first_commands_make_one_local() {
    let place = Place::new();
    let children: Vec<_> = (0..8)
        .map(|n| {
            let args: &[&str] = if n % 2 == 0 { &["env", "probe", "Local"] } else { &["run", "good", "--wait"] };
            place.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let all = environments(&place);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((&all[0]["name"], &all[0]["probe"]["ok"]), (&"Local".into(), &true.into()));
}

#[test]
fn the_doctor_probes_what_is_active_and_names_what_it_left_out() {
    let place = Place::new();
    place.wharf(&["env", "add", "gone", "--driver", "ssh", "--set", "host=a"]).expect(0);
    place.wharf(&["env", "archive", "gone", "--yes"]).expect(0);
    let plugin = ["env", "add", "pool", "--driver", "plugin", "--set", "command=/no/such/plugin", "--set", "driver=d"];
    place.wharf(&plugin).expect(0);
    for orchestrated in [false, true] {
        let _serving = orchestrated.then(|| place.serve());
        let document = place.wharf(&["doctor", "--json"]).json();
        let check = |name: &str| {
            let all = document["checks"].as_array().unwrap();
            all.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{name}: {document}")).clone()
        };
        let local = check("environment E-1");
        assert_eq!(
            (&local["level"], local["message"].as_str().unwrap().starts_with("Local: 1 check in ")),
            (&"ok".into(), true)
        );
        let pool = check("environment E-3");
        assert_eq!((&pool["level"], &pool["hint"]), (&"warning".into(), &"wharf env probe pool".into()));
        let skipped = check("environments skipped");
        assert_eq!(skipped["message"], "not probed: E-2 gone (archived)");
        // What the orchestrator saw is kept; what was seen without one is not.
        let kept = environments(&place).iter().filter(|e| !e["probe"].is_null()).count();
        assert_eq!(kept, if orchestrated { 2 } else { 0 }, "{document}");
    }
    let again = place.wharf(&["doctor"]).out;
    assert!(again.contains("environment E-3") && again.contains("; last probe failed, "), "{again}");
}
