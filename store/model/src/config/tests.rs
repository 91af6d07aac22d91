use super::*;

fn sample() -> ProjectConfig {
    let process = ProcessConfig {
        command: "python3".into(),
        args: vec!["agent.py".into()],
        shell: false,
        cwd: ".".into(),
        stdin: Stdin::Prompt,
    };
    let mut agent = AgentConfig::new("fixer".into(), AdapterConfig::Process(process));
    agent.env.insert("API_KEY".into(), EnvValue::Secret { name: "shop-key".into() });
    agent.prompt = Some(Prompt::Text { text: "Fix it".into() });
    let mut service = ServiceConfig::new("web".into(), CommandLine::Shell("npm run dev".into()));
    service.port = Port::Auto { env: "PORT".into() };
    ProjectConfig {
        project: ProjectSection {
            key: "SHOP".into(),
            name: "shop".into(),
            company: "default".into(),
            default_environment: None,
        },
        workspace: WorkspaceConfig::default(),
        agents: vec![agent],
        environments: vec![EnvironmentConfig {
            name: "box-1".into(),
            driver: Driver::Ssh,
            lease_policy: LeasePolicy::Ephemeral,
            slots: Some(2),
            ttl_ms: 600_000,
            keep_ms: 86_400_000,
            config: BTreeMap::from([("host".into(), "box-1".into())]),
        }],
        services: vec![service],
        jobs: vec![],
        secrets: BTreeMap::from([("shop-key".into(), SecretConfig::Env("SHOP_KEY".into()))]),
    }
}

fn process(config: &mut ProjectConfig) -> &mut ProcessConfig {
    let AdapterConfig::Process(process) = &mut config.agents[0].adapter;
    process
}

#[test]
fn survives_json() {
    let text = serde_json::to_string(&sample()).unwrap();
    assert_eq!(serde_json::from_str::<ProjectConfig>(&text).unwrap(), sample());
}

#[test]
fn a_config_accepted_before_agents_named_services_is_still_read() {
    let mut value = serde_json::to_value(sample()).unwrap();
    value["agents"][0].as_object_mut().unwrap().remove("services").unwrap();
    assert_eq!(serde_json::from_value::<ProjectConfig>(value).unwrap(), sample());
}

#[test]
fn executable_hash_changes_with_all_that_executes_and_nothing_else() {
    type Edit = fn(&mut ProjectConfig);
    let table: &[(&str, bool, Edit)] = &[
        ("command", true, |c| process(c).command = "sh".into()),
        ("args", true, |c| process(c).args.push("-x".into())),
        ("shell", true, |c| process(c).shell = true),
        ("stdin", true, |c| process(c).stdin = Stdin::None),
        ("cwd", true, |c| process(c).cwd = "sub".into()),
        ("prompt", true, |c| c.agents[0].prompt = None),
        ("agent env", true, |c| drop(c.agents[0].env.insert("A".into(), EnvValue::Text("b".into())))),
        ("agent environment", true, |c| c.agents[0].environment = Some("Local".into())),
        ("ssh agent", true, |c| c.agents[0].pass_ssh_agent = true),
        ("agent services", true, |c| c.agents[0].services.push("web".into())),
        ("limits", true, |c| c.agents[0].limits.processes = Some(5)),
        ("keep", true, |c| c.agents[0].keep.push("gpg-agent".into())),
        ("provision", true, |c| c.workspace.provision = Some(CommandLine::Shell("make".into()))),
        ("mode", true, |c| c.workspace.mode = Some(WorkspaceMode::Shared)),
        ("service command", true, |c| c.services[0].command = CommandLine::Shell("x".into())),
        ("ready command", true, |c| {
            c.services[0].ready.check = ReadyCheck::Command(CommandLine::Shell("ask".into()));
        }),
        ("live command", true, |c| {
            c.services[0].live = Some(Live::new(LiveCheck::Command(CommandLine::Shell("ask".into()))));
        }),
        ("service gone", true, |c| c.services.clear()),
        ("service port", true, |c| c.services[0].port = Port::None),
        ("secret", true, |c| drop(c.secrets.insert("shop-key".into(), SecretConfig::File("k".into())))),
        ("default environment", true, |c| c.project.default_environment = Some("Local".into())),
        // An environment as a whole: how long and how often others may use it is the operator's to say.
        ("environment slots", true, |c| c.environments[0].slots = None),
        ("environment ttl", true, |c| c.environments[0].ttl_ms = 1),
        ("environment keep", true, |c| c.environments[0].keep_ms = 1),
        ("environment policy", true, |c| c.environments[0].lease_policy = LeasePolicy::RetainOnFailure),
        ("environment driver", true, |c| c.environments[0].driver = Driver::Sandbox),
        ("environment host", true, |c| drop(c.environments[0].config.insert("host".into(), "box-2".into()))),
        ("environment gone", true, |c| c.environments.clear()),
        ("project name", false, |c| c.project.name = "Shop".into()),
        ("key", false, |c| c.project.key = "S2".into()),
        ("timeout", false, |c| c.agents[0].timeout_ms = Some(1)),
        ("grace", false, |c| c.agents[0].grace_ms = 1),
        ("silence", false, |c| c.agents[0].silence_ms = None),
        ("concurrent runs", false, |c| c.agents[0].concurrent_runs = 1),
        ("wake on demand", false, |c| c.agents[0].wake_on_demand = false),
    ];
    for (what, executable, edit) in table {
        let mut changed = sample();
        edit(&mut changed);
        assert_ne!(changed.content_hash(), sample().content_hash(), "{what}");
        assert_eq!(changed.executable_hash() != sample().executable_hash(), *executable, "{what}");
        assert_eq!(!executable_difference(&sample(), &changed).is_empty(), *executable, "{what}");
    }
}

#[test]
fn order_of_named_things_has_no_meaning() {
    let mut one = sample();
    let mut second = one.services[0].clone();
    second.name = "db".into();
    one.services.push(second);
    let mut two = one.clone();
    two.services.reverse();
    assert_eq!(one.executable_hash(), two.executable_hash());
    assert_eq!(one.content_hash(), two.content_hash());
}

#[test]
fn a_difference_names_place_and_both_values() {
    let mut changed = sample();
    process(&mut changed).args = vec!["agent.py".into(), "--fast".into()];
    changed.agents[0].env.insert("LOG".into(), EnvValue::Text("debug".into()));
    changed.services.clear();
    let shown: Vec<String> = executable_difference(&sample(), &changed)
        .into_iter()
        .filter(|change| !change.path.starts_with("service.web.") || change.path.ends_with("idle"))
        .map(|c| format!("{} | {} | {}", c.path, c.old.unwrap_or_default(), c.new.unwrap_or_default()))
        .collect();
    assert_eq!(
        shown,
        [
            r#"agent.fixer.config.args | ["agent.py"] | ["agent.py","--fast"]"#,
            "agent.fixer.env.LOG |  | debug",
            "service.web.stop.idle | 30m | ",
        ]
    );
}

#[test]
fn values_are_shown_in_the_words_of_the_file() {
    let values = sample().values();
    assert_eq!(values["agent.fixer.grace"], "15s");
    assert_eq!(values["agent.fixer.env.API_KEY.secret"], "shop-key");
    assert_eq!(values["service.web.stop.policy"], "manual");
    assert_eq!(values["secret.shop-key.env"], "SHOP_KEY");
    assert_eq!(show_duration(90_000), "90s");
    assert_eq!(show_duration(500), "500ms");
    assert_eq!(show_bytes(10 << 30), "10GiB");
    assert_eq!(show_bytes(1000), "1000B");
}

#[test]
fn runs_at_once_follow_the_cores() {
    assert_eq!(Limits::default().concurrent_runs_on(4), 16);
    assert_eq!(Limits { concurrent_runs: Some(8), ..Limits::default() }.concurrent_runs_on(4), 8);
}
