//! `wharf env add` and `wharf env edit`.

use clap::Args;
use serde_json::{Map, Value, json};
use wharf_model::{Driver, EnvironmentRow, Kind, LeasePolicy};

use super::doc::EnvironmentDoc;
use super::settings::{SettingsArgs, judge, unset};
use super::{answered, company, current, named};
use crate::cli::cancel::duration;
use crate::cli::context::{Context, print};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};

/// Help of `wharf env add`.
pub const HELP_ADD: &str = "Example:\n  wharf env add box-1 --driver ssh --set host=box-1 --set path=~/wharf --slots 2\n  \
    wharf env add sand --driver sandbox --config - < sand.toml\n\n\
    Secrets are given by reference: { env = \"NAME\" }, { file = \"…\" } or { command = […] }. Relative paths start\n\
    in the current directory, and go on starting there.";
/// Help of `wharf env edit`.
pub const HELP_EDIT: &str = "Example:\n  wharf env edit box-1 --set port=2222 --slots 3\n\nWhat is not said stays; --unset takes a setting away.";

/// Times that a change is asked for while leases come and go.
const TRIES: u32 = 10;

/// What both can say.
#[derive(Debug, Clone, Args)]
pub struct Told {
    /// Whom it is for, in one line
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// What becomes of what a lease holds after its run
    #[arg(long, value_name = "POLICY", value_parser = policies())]
    pub policy: Option<String>,
    /// Leases at once; none = no limit
    #[arg(long, value_name = "N|none", value_parser = slots)]
    pub slots: Option<Slots>,
    /// Life of a lease that nobody renews, such as 10m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl: Option<i64>,
    /// How long what a lease held is kept after its run, such as 24h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub keep: Option<i64>,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// A limit of leases, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots(Option<u32>);

fn policies() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(LeasePolicy::ALL.iter().map(|p| p.as_str()))
}

fn slots(text: &str) -> std::result::Result<Slots, String> {
    if text == "none" {
        return Ok(Slots(None));
    }
    let number = text.parse::<u32>().ok().filter(|n| (1..=10_000).contains(n));
    number.map(|n| Slots(Some(n))).ok_or_else(|| format!("{text:?} is no number from 1 to 10000, nor none"))
}

impl Told {
    /// Puts what was said into the arguments of a request.
    fn fill(&self, args: &mut Map<String, Value>) {
        if let Some(text) = &self.description {
            args.insert("description".into(), json!(text));
        }
        if let Some(policy) = &self.policy {
            args.insert("lease_policy".into(), json!(policy));
        }
        if let Some(Slots(slots)) = self.slots {
            args.insert("slots".into(), json!(slots));
        }
        for (key, value) in [("ttl_ms", self.ttl), ("keep_ms", self.keep)] {
            if let Some(ms) = value {
                args.insert(key.into(), json!(ms));
            }
        }
    }
}

/// Options of `wharf env add`.
#[derive(Debug, Clone, Args)]
pub struct AddArgs {
    /// Its name, by which agents and projects name it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How it is reached
    #[arg(long, value_name = "DRIVER", value_parser = ["ssh", "sandbox", "plugin"])]
    pub driver: String,
    #[command(flatten)]
    pub told: Told,
}

/// Options of `wharf env edit`.
#[derive(Debug, Clone, Args)]
pub struct EditArgs {
    /// Its name in the company, E-2, its id or a part of it
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Another driver; its settings replace those of the one before
    #[arg(long, value_name = "DRIVER", value_parser = ["ssh", "sandbox", "plugin"])]
    pub driver: Option<String>,
    /// Take a setting away
    #[arg(long, value_name = "KEY")]
    pub unset: Vec<String>,
    #[command(flatten)]
    pub told: Told,
}

/// Where relative paths of settings start: where they were given.
pub fn base(args: &mut Map<String, Value>) {
    if let Ok(here) = std::env::current_dir() {
        args.insert("base".into(), json!(here.display().to_string()));
    }
}

/// Makes an environment.
pub fn add(context: &Context, args: &AddArgs) -> Result<u8> {
    let company = match wharf_store::Reader::open(&context.data) {
        Ok(reader) => company(context, Some(&reader))?,
        Err(_) => company(context, None)?,
    };
    let mut asked = Map::new();
    asked.insert("company".into(), json!(company));
    asked.insert("name".into(), json!(args.name));
    asked.insert("driver".into(), json!(args.driver));
    let config = args.told.settings.read(&Map::new())?;
    judge(Driver::parse(&args.driver).unwrap_or(Driver::Local), &Map::new(), &config, &args.name)?;
    asked.insert("config".into(), Value::Object(config));
    base(&mut asked);
    args.told.fill(&mut asked);
    let mut desk = Desk::open(context)?;
    let row = desk.ask(Ask {
        kind: "environment.create",
        target_type: "environment",
        target_id: None,
        args: Value::Object(asked),
        expect: None,
    })?;
    let item = current(&desk.reader, answered(&row)?)?;
    desk.close();
    let number = Kind::Environment.number(item.environment.number);
    if context.global.json {
        context.document(&json!({ "schema": "wharf.environment/1", "environment": EnvironmentDoc::new(&item) }))?;
    } else {
        print(format!("{number}\n").as_bytes())?;
    }
    context.remark(&format!("next:\n  wharf env probe {}\n  wharf run AGENT --env {0}", args.name));
    Ok(exit::DONE)
}

/// What is to be changed of an environment as it stands now.
fn wanted(args: &EditArgs, row: &EnvironmentRow, given: &Map<String, Value>) -> Result<Map<String, Value>> {
    let driver = args.driver.as_deref().and_then(Driver::parse).unwrap_or(row.driver);
    let mut asked = Map::new();
    args.told.fill(&mut asked);
    if let Some(driver) = &args.driver {
        asked.insert("driver".into(), json!(driver));
        base(&mut asked);
    }
    let before = before(args, row);
    if !args.told.settings.is_empty() || !args.unset.is_empty() {
        let mut config = given.clone();
        unset(&mut config, &before, &args.unset)?;
        judge(driver, &before, &config, &row.name)?;
        asked.insert("config".into(), Value::Object(config));
    } else if driver != row.driver {
        judge(driver, &before, &Map::new(), &row.name)?;
    }
    Ok(asked)
}

/// The settings that stay where nothing else is said: those of the same driver.
fn before(args: &EditArgs, row: &EnvironmentRow) -> Map<String, Value> {
    let same = args.driver.as_deref().is_none_or(|driver| driver == row.driver.as_str());
    if same { row.driver_config().as_object().cloned().unwrap_or_default() } else { Map::new() }
}

/// Changes an environment.
pub fn edit(context: &Context, args: &EditArgs) -> Result<u8> {
    let reader = context.reader_for(&args.environment)?;
    let (company, mut item) = named(context, &reader, &args.environment)?;
    drop(reader);
    // A file or stdin is read once.
    let mut given = args.told.settings.read(&before(args, &item.environment))?;
    if wanted(args, &item.environment, &given)?.is_empty() {
        return Err(CliError::usage("nothing is to be changed").next("wharf env edit --help"));
    }
    let mut desk = Desk::open(context)?;
    let mut tries = 0;
    let answer = loop {
        let row = &item.environment;
        let mut asked = wanted(args, row, &given)?;
        asked.insert("company".into(), json!(company));
        let answer = desk.ask(Ask {
            kind: "environment.update",
            target_type: "environment",
            target_id: Some(row.id.text()),
            args: Value::Object(asked),
            // What was read here is changed, and nothing that was written meanwhile.
            expect: Some(json!([{ "id": row.id.text(), "version": row.version }])),
        });
        tries += 1;
        match answer {
            // Versions rise with every lease as well.
            Err(error) if error.code == "changed_since_preview" && tries < TRIES => {
                item = current(&desk.reader, row.id)?;
                if args.told.settings.config.is_none() {
                    given = args.told.settings.read(&before(args, &item.environment))?;
                }
            }
            other => break other?,
        }
    };
    item = current(&desk.reader, item.environment.id)?;
    desk.close();
    let row = &item.environment;
    let changed = answer.result.as_ref().map(|r| r["changed"].clone()).unwrap_or_default();
    if context.global.json {
        context.document(&json!({
            "schema": "wharf.environment_edited/1", "environment": EnvironmentDoc::new(&item), "changed": changed,
        }))?;
        return Ok(exit::DONE);
    }
    let keys: Vec<&str> = changed.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let number = Kind::Environment.number(row.number);
    context.remark(&if keys.is_empty() {
        format!("{number} is so already")
    } else {
        format!("{number} changed: {}; leases that are held keep what they were acquired with", keys.join(", "))
    });
    Ok(exit::DONE)
}
