use proptest::prelude::*;
use wharf_model::config::*;

use super::*;

const VALID: &str = include_str!("../../assets/config/valid.toml");
const USER: &str = include_str!("../../assets/config/user.toml");

fn project(text: &str) -> Result<ProjectConfig, ConfigErrors> {
    parse_project(text, PROJECT_FILE, "shop").map(|(config, _)| config)
}

fn messages(text: &str) -> Vec<String> {
    project(text).err().map(|e| e.problems().iter().map(|p| p.message.clone()).collect()).unwrap_or_default()
}

#[test]
fn the_sample_is_read_whole() {
    let config = project(VALID).unwrap();
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("valid", listing(&config.values()));
    });
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ProjectConfig>(&text).unwrap(), config);
}

#[test]
fn the_users_sample_is_read_whole() {
    let user = parse_user(USER, "config.toml").unwrap();
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("user", listing(&user.config.values()));
    });
    assert_eq!(user.config.keys["ledger"]["x"], KeyBinding::Unbound(false));
}

fn listing(values: &std::collections::BTreeMap<String, String>) -> String {
    values.iter().fold(String::new(), |all, (key, value)| all + key + " = " + value + "\n")
}

#[test]
fn invalid_samples_show_every_slip() {
    insta::with_settings!({prepend_module_to_snapshot => false}, {
        for (name, text) in [
            ("slips", include_str!("../../assets/config/slips.toml")),
            ("not-yet", include_str!("../../assets/config/not-yet.toml")),
            ("broken", include_str!("../../assets/config/broken.toml")),
        ] {
            let errors = parse_project(text, PROJECT_FILE, "shop").unwrap_err();
            insta::assert_snapshot!(name, errors.render(None));
        }
        let errors = parse_user(include_str!("../../assets/config/user-slips.toml"), "config.toml").unwrap_err();
        insta::assert_snapshot!("user-slips", errors.render(None));
    });
}

#[test]
fn a_mode_and_a_strategy_that_contradict_each_other_are_refused() {
    let pairs = [
        ("shared_workspace", "git_worktree", true),
        ("isolated_workspace", "project_primary", true),
        ("shared_workspace", "project_primary", false),
        ("isolated_workspace", "git_worktree", false),
    ];
    for (mode, strategy, refused) in pairs {
        let text = format!("[workspace]\nmode = \"{mode}\"\nstrategy = \"{strategy}\"\n");
        assert_eq!(messages(&text).len(), usize::from(refused), "{text}");
    }
    assert!(messages("[workspace]\nstrategy = \"project_primary\"\n").is_empty());
}

#[test]
fn a_slip_is_shown_as_the_screens_have_it() {
    let text =
        "[[agent]]\nname = \"a\"\nadapter = \"process\"\nsilence = \"5 minuts\"\n[agent.config]\ncommand = \"x\"\n";
    let shown =
        project(text).unwrap_err().render(Some("fix the line; the running console keeps the values from 12:01:10"));
    let expected = r#"error: wharf.toml:4: silence = "5 minuts" is not a duration
    4 | silence = "5 minuts"
      |           ^^^^^^^^^^ expected a number with s, m, h or d, as in "5m"
next:  fix the line; the running console keeps the values from 12:01:10"#;
    assert_eq!(shown, expected);
}

#[test]
fn what_was_pasted_in_place_of_a_secret_is_not_in_the_message() {
    let text = "[secret]\nkey = \"hunter2hunter2\"\n[[service]]\nname = \"w\"\ncommand = \"x\"\nenv = { A = [\"hunter2hunter2\"] }\n";
    let shown = project(text).unwrap_err().to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(messages(text).len(), 2);
}

/// Every key of every section, with a value of a type that no key takes.
#[test]
fn each_key_refuses_a_wrong_type_an_unknown_neighbour_and_a_second_value() {
    let agent = "[[agent]]\nname = \"a\"\nadapter = \"process\"\nconfig = { command = \"x\" }\n";
    let limits = "[[agent]]\nname = \"a\"\nadapter = \"process\"\nconfig = { command = \"x\" }\n[agent.limits]\n";
    let bare_agent = "[[agent]]\nname = \"a\"\n";
    let config = "[[agent]]\nname = \"a\"\nadapter = \"process\"\n[agent.config]\n";
    let environment = "[[environment]]\nname = \"e\"\n";
    let service = "[[service]]\nname = \"s\"\n";
    let job = "[[job]]\nname = \"j\"\n";
    let table: &[(&str, &[&str])] = &[
        ("[project]\n", &["key", "name", "company", "default_environment"]),
        (
            "[workspace]\n",
            &[
                "mode",
                "strategy",
                "branch",
                "parent",
                "base_ref",
                "concurrency",
                "provision",
                "teardown",
                "cleanup",
                "timeout",
                "repo_url",
            ],
        ),
        (
            agent,
            &[
                "environment",
                "concurrent_runs",
                "timeout",
                "grace",
                "silence",
                "tty",
                "prompt",
                "bootstrap",
                "timer",
                "wake_on_demand",
                "retry_lost",
                "budget",
                "pass_ssh_agent",
                "keep",
                "services",
                "limits",
                "env",
            ],
        ),
        (limits, &["processes", "memory"]),
        (bare_agent, &["adapter"]),
        (config, &["command", "args", "shell", "cwd", "stdin"]),
        (environment, &["driver", "lease_policy", "slots", "ttl", "keep"]),
        (
            service,
            &[
                "command",
                "cwd",
                "env",
                "port",
                "lifecycle",
                "reuse",
                "ready",
                "live",
                "url",
                "stop",
                "restart",
                "depends_on",
                "desired",
                "disabled",
            ],
        ),
        (job, &["command", "cwd", "env", "timeout"]),
        ("[secret.k]\n", &["env", "file", "command"]),
        ("", &["project", "workspace", "agent", "environment", "service", "job", "secret"]),
    ];
    for (head, keys) in table {
        for key in *keys {
            let wrong = messages(&format!("{head}{key} = 1979-05-27\n"));
            assert!(wrong.iter().any(|m| m.contains("1979-05-27 is not")), "{head}{key}: {wrong:?}");
            let twice = messages(&format!("{head}{key} = 1979-05-27\n{key} = 1979-05-27\n"));
            assert!(twice.contains(&format!("{key} is given twice")), "{head}{key}: {twice:?}");
            let unknown = project(&format!("{head}x{key} = 1\n")).unwrap_err();
            let unknown = unknown.problems().iter().find(|p| p.message.contains(&format!("has no key \"x{key}\"")));
            assert!(unknown.is_some(), "{head}x{key}");
        }
    }
}

/// An environment of this driver with these lines as its settings, and what is wrong with it: line and message.
fn environment(driver: &str, head: &str, config: &str) -> Result<EnvironmentConfig, Vec<(usize, String, String)>> {
    let text = format!(
        "[[environment]]\nname = \"e\"\ndriver = \"{driver}\"\n{head}[environment.config]\n{config}\n\
        [secret.pool-key]\nenv = \"POOL_KEY\"\n"
    );
    match project(&text) {
        Ok(config) => Ok(config.environments.into_iter().next().unwrap()),
        Err(errors) => {
            let shown = errors.to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            Err(errors.problems().iter().map(|p| (p.line, p.message.clone(), p.expected.clone())).collect())
        }
    }
}

#[test]
fn environments_of_every_driver_are_read() {
    let head = "lease_policy = \"retain_on_failure\"\nslots = 2\nttl = \"20m\"\nkeep = \"1h\"\n";
    let ssh = environment("ssh", head, "host = \"box-1\"\nport = 2222\noptions = { ConnectTimeout = \"5\" }").unwrap();
    assert_eq!((ssh.slots, ssh.ttl_ms, ssh.keep_ms), (Some(2), 1_200_000, 3_600_000));
    assert_eq!(ssh.lease_policy, LeasePolicy::RetainOnFailure);
    assert_eq!(ssh.config["port"], 2222);
    let sandbox = "provider = \"bubblewrap\"\nmounts = [{ source = \"/opt\", writable = true }]\n\
        limits = { memory = \"2GiB\", cpus = 1.5 }\nnetwork = true\nenv = { LANG = \"C\" }";
    let sandbox = environment("sandbox", "", sandbox).unwrap();
    assert_eq!(sandbox.config["limits"]["cpus"], 1.5);
    let plugin = "command = [\"./pool\", \"-v\"]\ndriver = \"pool\"\ntimeout = \"90s\"\n\
        config = { size = 4, token = { secret = \"pool-key\" }, cert = { file = \"../cert\" } }";
    let plugin = environment("plugin", "", plugin).unwrap();
    let secrets = std::collections::BTreeMap::from([("pool-key".to_owned(), SecretConfig::Env("POOL_KEY".into()))]);
    let settings = plugin.settings(&secrets);
    assert_eq!(settings["config"]["token"], serde_json::json!({ "env": "POOL_KEY" }));
    assert_eq!(settings["config"]["cert"], serde_json::json!({ "file": "../cert" }));
}

#[test]
fn a_drivers_mistakes_are_told_at_their_lines() {
    let plugin = "command = \"./pool\"\ndriver = \"pool\"\n[environment.config.config]\n";
    let table: &[(&str, &str, &str, &[(usize, &str, &str)])] = &[
        ("ssh", "", "", &[(4, "host is missing", "the name of a host")]),
        (
            "ssh",
            "",
            "host = \"-oProxyCommand=x\"\nport = 0\npath = \"relative\"\nhots = \"x\"",
            &[
                (5, "host: ", "the name of a host"),
                (6, "port: 0 cannot be used", "1 to 65535"),
                (7, "path", "\"~/…\""),
                (8, "\"hots\" is not known here", "host, port"),
            ],
        ),
        (
            "ssh",
            "",
            "host = \"b\"\n[environment.config.options]\n\"Pro xy\" = \"x\"\nPort = 5",
            &[(7, "options.Pro xy: no option", "ssh_config"), (8, "options.Port: 5 is no text", "one line")],
        ),
        ("ssh", "lease_policy = \"keep\"\n", "host = \"b\"", &[(4, "lease_policy = \"keep\"", "ephemeral")]),
        (
            "ssh",
            "slots = 0\nttl = \"0s\"\nkeep = 5\n",
            "host = \"b\"",
            &[(4, "slots = 0", "1 to 10000"), (5, "ttl = \"0s\"", "above 0"), (6, "keep = 5", "above 0")],
        ),
        (
            "sandbox",
            "",
            "provider = \"chroot\"",
            &[(5, "provider: \"chroot\" is not known", "\"bubblewrap\", \"podman\", \"docker\"")],
        ),
        ("sandbox", "", "provider = \"podman\"", &[(4, "image: podman needs an image", "debian:13")]),
        (
            "sandbox",
            "",
            "provider = \"bubblewrap\"\nmounts = [\n  { source = \"/a\" },\n  { source = \"/b\", target = \"b\" },\n]\nimage = \"x\"",
            &[(8, "mounts.1.target: the place inside", "\"/…\""), (10, "image: bubblewrap takes no image", "podman")],
        ),
        (
            "sandbox",
            "",
            "provider = \"bubblewrap\"\nenv = { API_KEY = \"hunter2hunter2\" }",
            &[(6, "env.API_KEY: a secret must not", "agents")],
        ),
        (
            "sandbox",
            "",
            "provider = \"bubblewrap\"\nlimits = { memory = \"1KiB\", speed = 1 }",
            &[(6, "limits.memory", "4MiB"), (6, "\"speed\" is not known here", "processes, memory")],
        ),
        (
            "plugin",
            "",
            "driver = \"Pool\"",
            &[(4, "command: a plugin needs a command", "list of words"), (5, "driver: no driver", "lower-case")],
        ),
        (
            "plugin",
            "",
            &format!("{plugin}token = \"hunter2hunter2\"\nname = \"x\""),
            &[(8, "config.token: a secret must not", "{ secret = \"name\" }")],
        ),
        (
            "plugin",
            "",
            &format!("{plugin}token = {{ secret = \"pool-kye\" }}"),
            &[(8, "no secret is called \"pool-kye\"", "\"pool-key\"")],
        ),
        ("plugin", "", &format!("{plugin}when = 1979-05-27"), &[(8, "config.when: a date is no setting", "in quotes")]),
        ("plugin", "", &format!("{plugin}size = nan"), &[(8, "config.size: this is no finite number", "finite")]),
        ("local", "", "", &[(3, "this machine is there already, as Local", "wharf env edit Local")]),
        ("cloud", "", "host = \"b\"", &[(3, "driver = \"cloud\"", "\"plugin\"")]),
    ];
    for (driver, head, config, wanted) in table {
        let found = environment(driver, head, config).unwrap_err();
        let fits = |(f, w): (&(usize, String, String), &(usize, &str, &str))| {
            f.0 == w.0 && f.1.contains(w.1) && f.2.contains(w.2)
        };
        assert!(found.len() == wanted.len() && found.iter().zip(*wanted).all(fits), "{driver} {config}: {found:#?}");
    }
    let named = messages("[[environment]]\nname = \"local\"\ndriver = \"ssh\"\nconfig = { host = \"b\" }\n");
    assert_eq!(named, ["the environment Local is always there and cannot be defined"]);
    let number = messages("[[environment]]\nname = \"e-2\"\ndriver = \"ssh\"\nconfig = { host = \"b\" }\n");
    assert_eq!(number, ["\"e-2\" reads like a number that wharf gives, so it cannot name an environment"]);
    let bare = messages("[[environment]]\nname = \"e\"\ndriver = \"ssh\"\n");
    assert_eq!(bare, ["host is missing"]);
}

#[test]
fn settings_alone_are_read_with_their_lines() {
    let read = parse_settings("host = \"b\"\nport = 0x10\nlist = [1, 2.5, true]\n", "-").unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"host":"b","list":[1,2.5,true],"port":16}"#);
    let wrong = parse_settings("a = 1\nb = 1979-05-27\nc = \n", "pool.toml").unwrap_err();
    let lines: Vec<usize> = wrong.problems().iter().map(|p| p.line).collect();
    assert_eq!(lines, [2, 3], "{wrong}");
}

#[test]
fn limits_are_judged_at_their_line() {
    let with = |limits: &str| {
        format!("[[agent]]\nname = \"a\"\nadapter = \"process\"\nlimits = {limits}\n[agent.config]\ncommand = \"x\"\n")
    };
    let read = |limits: &str| project(&with(limits)).map(|config| config.agents[0].limits);
    let caps = |processes, memory_bytes| RunLimits { processes, memory_bytes };
    assert_eq!(read("{ processes = 64, memory = \"2GiB\" }").unwrap(), caps(Some(64), Some(2 << 30)));
    assert_eq!(read("{ memory = \"4MiB\" }").unwrap(), caps(None, Some(4 << 20)));
    assert_eq!(read("{ processes = 1 }").unwrap(), caps(Some(1), None));
    let table = [
        ("{ processes = 0 }", "processes = 0 is not a number in range", "a whole number from 1 to 4194304"),
        ("{ processes = \"9\" }", "processes = \"9\" is not a number in range", "without quotes"),
        ("{ processes = -1 }", "processes = -1 is not", "from 1"),
        ("{ memory = 512 }", "memory = 512 is not a size of memory", "at least \"4MiB\""),
        ("{ memory = \"0B\" }", "is not a size of memory", "at least \"4MiB\""),
        ("{ memory = \"1MiB\" }", "is not a size of memory", "at least \"4MiB\""),
        ("{ memory = \"2G\" }", "memory = \"2G\" is not a size of memory", "with KiB, MiB or GiB"),
        ("{ memory = \"9999999TiB\" }", "is not a size of memory", "GiB"),
        ("{ memroy = \"2GiB\" }", "has no key \"memroy\"", "did you mean memory?"),
        ("{ processes = 2, files = 3 }", "has no key \"files\"", "processes"),
        ("{}", "limits caps nothing", "or no limits at all"),
        ("64", "limits = 64 is not a table", ""),
    ];
    for (limits, message, expected) in table {
        let shown = read(limits).unwrap_err().render(None);
        assert!(shown.contains("wharf.toml:4: ") && shown.contains(message), "{limits}: {shown}");
        assert!(shown.contains(expected), "{limits}: {shown}");
    }
    // In force and accepted configs of before know nothing of it; without any it is not written either.
    let none =
        serde_json::to_value(project(&with("{ processes = 1 }").replace("limits = { processes = 1 }\n", "")).unwrap());
    assert!(none.unwrap()["agents"][0].get("limits").is_none());
}

#[test]
fn each_key_of_the_user_refuses_a_wrong_type() {
    let table: &[(&str, &[&str])] = &[
        ("[limits]\n", &["concurrent_runs", "run_log_quota", "on_quota"]),
        ("[retention]\n", &["run_logs", "snapshots", "workspaces_after_close"]),
        ("[ui]\n", &["theme", "glyphs", "mouse", "motion", "utc", "low_bandwidth"]),
        ("[keys.ledger]\n", &["x"]),
        ("", &["limits", "retention", "ui", "keys"]),
    ];
    for (head, keys) in table {
        for key in *keys {
            let error = parse_user(&format!("{head}{key} = 1979-05-27\n"), "config.toml").unwrap_err();
            assert!(error.to_string().contains("1979-05-27 is not"), "{head}{key}: {error}");
        }
    }
}

#[test]
fn rings_and_names_that_nothing_has() {
    let service =
        |name: &str, needs: &str| format!("[[service]]\nname={name:?}\ncommand=\"x\"\ndepends_on=[{needs:?}]\n");
    let ring = messages(&(service("a", "b") + &service("b", "a")));
    assert!(ring.contains(&"service \"a\" needs \"b\", which needs \"a\" again".to_owned()), "{ring:?}");
    assert!(messages(&service("a", "a")).iter().any(|m| m.contains("which needs \"a\" again")));
    assert!(messages(&service("a", "c")).contains(&"no service is called \"c\"".to_owned()));
}

#[test]
fn an_agent_names_services_that_are_there_each_once() {
    let file = |services: &str| {
        format!(
            "[[agent]]\nname = \"a\"\nadapter = \"process\"\nservices = {services}\nconfig = {{ command = \"x\" }}\n\
             [[service]]\nname = \"web\"\ncommand = \"x\"\n[[service]]\nname = \"db\"\ncommand = \"x\"\n"
        )
    };
    assert_eq!(project(&file("[\"web\", \"db\"]")).unwrap().agents[0].services, ["web", "db"]);
    assert!(project(&file("[]")).unwrap().agents[0].services.is_empty());
    assert_eq!(messages(&file("[\"web\", \"web\"]")), ["service \"web\" is named twice"]);
    let wrong = project(&file("[\"wbe\"]")).unwrap_err().to_string();
    assert!(wrong.contains("no service is called \"wbe\"") && wrong.contains("did you mean \"web\"?"), "{wrong}");
}

#[test]
fn a_prompt_that_nobody_would_read_is_a_mistake_at_its_line() {
    let file = |agent: &str, stdin: &str| {
        format!(
            "[[agent]]\nname = \"a\"\nadapter = \"process\"\nprompt = {{ text = \"do\" }}\n{agent}[agent.config]\n\
             command = \"x\"\n{stdin}"
        )
    };
    assert!(project(&file("", "")).is_ok() && project(&file("", "stdin = \"prompt\"\n")).is_ok());
    let table = [
        ("", "stdin = \"none\"\n", "an agent with stdin = \"none\" is sent no prompt"),
        ("", "stdin = { text = \"t\" }\n", "an agent whose stdin holds a text of its own is sent no prompt"),
        ("tty = true\n", "", "an agent with a terminal is sent no prompt"),
        ("tty = true\n", "stdin = \"none\"\n", "an agent with a terminal is sent no prompt"),
    ];
    for (agent, stdin, message) in table {
        let error = project(&file(agent, stdin)).unwrap_err();
        let [problem] = error.problems() else { panic!("{error}") };
        assert_eq!((problem.message.as_str(), problem.line), (message, 4), "{error}");
        assert!(error.to_string().contains("or no prompt") || error.to_string().contains("no prompt beside tty"));
    }
    // Without a prompt each of them is an agent; a text of its own cannot be sent to a terminal.
    for (agent, stdin, _) in table {
        let text = file(agent, stdin).replace("prompt = { text = \"do\" }\n", "");
        assert!(project(&text).is_ok(), "{text}");
    }
    let both = file("tty = true\n", "stdin = { text = \"t\" }\n").replace("prompt = { text = \"do\" }\n", "");
    assert_eq!(messages(&both), ["stdin = { text = … } cannot stand beside tty = true"]);
    // A config that is broken elsewhere is told that, and nothing about a stdin it does not have.
    assert_eq!(messages("[[agent]]\nname = \"a\"\nadapter = \"process\"\nprompt = \"p.md\"\n").len(), 1);
}

#[test]
fn comments_and_spelling_do_not_change_the_hashes() {
    let hashes = |text: &str| {
        let config = project(text).unwrap();
        (config.content_hash(), config.executable_hash())
    };
    let plain = hashes(VALID);
    let respelled = VALID
        .replace("timeout = \"30m\"", "timeout   =   '1800s'  # half an hour")
        .replace("args = [\"agent.py\"]", "args = [\n  'agent.py',\n]");
    assert_ne!(respelled, VALID);
    assert_eq!(hashes(&format!("# new\n\n{respelled}\n# end\n")), plain);
    let slower = hashes(&VALID.replace("timeout = \"30m\"", "timeout = \"31m\""));
    assert_ne!(slower.0, plain.0);
    assert_eq!(slower.1, plain.1);
    assert_ne!(hashes(&VALID.replace("npm run dev", "npm run  dev")).1, plain.1);
    assert_ne!(hashes(&VALID.replace("\"SHOP_KEY\"", "\"HOME\"")).1, plain.1);
}

#[test]
fn an_empty_file_is_a_project() {
    let config = project("").unwrap();
    assert_eq!((config.project.key.as_str(), config.project.name.as_str()), ("SHOP", "shop"));
    assert_eq!(config.workspace, WorkspaceConfig::default());
}

#[test]
fn layers_override_each_other_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(PROJECT_FILE);
    std::fs::write(&path, VALID).unwrap();
    let plain = load_project(&path, &Overrides::default()).unwrap();
    let overrides = Overrides::new(["workspace.base_ref = \"next\"", "limits.concurrent_runs = 3"]);
    let loaded = load_project(&path, &overrides).unwrap();
    assert_eq!(loaded.config.workspace.base_ref.as_deref(), Some("next"));
    assert_eq!(loaded.executable_hash, plain.executable_hash);
    assert_eq!(loaded.where_from("workspace.base_ref").layer, Layer::CommandLine);
    assert_eq!(loaded.where_from("agent.fixer.timeout").to_string(), "wharf.toml:25");
    assert_eq!(loaded.where_from("service.web.port.auto.env").to_string(), "wharf.toml:56");
    assert_eq!(loaded.where_from("agent.fixer.limits.memory").line, 33);
    assert_eq!(loaded.where_from("service.web.ready.check.http").line, 59);
    assert_eq!(loaded.where_from("service.db.ready.check").line, 72);
    assert_eq!(loaded.where_from("service.db.ready.timeout").layer, Layer::Default);
    assert_eq!(loaded.where_from("agent.docs.grace").to_string(), "default");
    assert_eq!(loaded.where_from("agent.fixer.env.API_KEY.secret").to_string(), "wharf.toml:34");
    let grace = loaded.effective().into_iter().find(|(key, ..)| key == "agent.fixer.grace").unwrap();
    assert_eq!((grace.1.as_str(), grace.2.line), ("15s", 24));

    let user = dir.path().join("config.toml");
    std::fs::write(&user, USER).unwrap();
    let user = load_user(Some(&user), &overrides).unwrap();
    assert_eq!(user.config.limits.concurrent_runs, Some(3));
    assert_eq!(user.config.limits.on_quota.as_str(), "kill");
    assert_eq!(user.origins.where_from("limits.concurrent_runs").layer, Layer::CommandLine);
    assert_eq!(user.origins.where_from("limits.on_quota").layer, Layer::User);

    let wrong = load_project(&path, &Overrides::new(["workspace.base_rf = \"x\""])).unwrap_err();
    assert!(wrong.to_string().contains("command line:1"), "{wrong}");
    let dangling = load_project(&path, &Overrides::new(["project.default_environment = \"Locla\""])).unwrap_err();
    assert!(dangling.to_string().contains("did you mean \"Local\"?"), "{dangling}");
}

#[test]
fn files_that_are_no_config() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(PROJECT_FILE);
    let load = || load_project(&path, &Overrides::default()).unwrap_err();
    assert_eq!(load(), ConfigErrors::Missing { file: PROJECT_FILE.into() });
    std::fs::write(&path, b"a = 1\n\xff").unwrap();
    assert!(load().to_string().contains("line 2 holds bytes that are no UTF-8"));
    std::fs::write(&path, vec![b'#'; FILE_MAX_BYTES as usize + 1]).unwrap();
    assert!(load().to_string().contains("more than 1 MiB"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(load().to_string().contains("no regular file"));
    assert_eq!(load_user(Some(&dir.path().join("none")), &Overrides::default()).unwrap(), LoadedUser::default());
}

#[test]
fn the_users_file_is_below_an_absolute_directory() {
    let path = |pairs: &[(&str, &str)]| {
        user_config_path(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
    };
    assert_eq!(path(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]).unwrap(), Path::new("/c/wharf/config.toml"));
    assert_eq!(path(&[("XDG_CONFIG_HOME", "c"), ("HOME", "/h")]).unwrap(), Path::new("/h/.config/wharf/config.toml"));
    assert_eq!(path(&[]), None);
}

/// Text made of pieces of real configs, so that more than the parser is reached.
fn near_config() -> impl Strategy<Value = String> {
    let pieces =
        [VALID, USER, include_str!("../../assets/config/slips.toml"), include_str!("../../assets/config/not-yet.toml")];
    let lines: Vec<&'static str> = pieces.iter().flat_map(|text| text.lines()).collect();
    let line = prop_oneof![
        8 => proptest::sample::select(lines.clone()).prop_map(str::to_owned),
        1 => (proptest::sample::select(lines), any::<proptest::sample::Index>()).prop_map(|(line, at)| {
            line[..line.floor_char_boundary(at.index(line.len() + 1))].to_owned()
        }),
        1 => "\\PC{0,20}",
    ];
    proptest::collection::vec(line, 0..40).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = project(&text).map_err(|e| e.to_string());
        let _ = parse_user(&text, "f").map_err(|e| e.to_string());
    }

    #[test]
    fn no_near_config_panics_and_what_is_valid_survives_json(text in near_config()) {
        if let Err(errors) = parse_user(&text, "f") {
            prop_assert!(!errors.problems().is_empty());
        }
        match project(&text) {
            Ok(config) => {
                let json = serde_json::to_string(&config).unwrap();
                prop_assert_eq!(serde_json::from_str::<ProjectConfig>(&json).unwrap(), config);
            }
            Err(errors) => prop_assert!(!errors.to_string().contains(char::from(27))),
        }
    }
}
