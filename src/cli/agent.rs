//! `wharf agent …`: the operator's verbs on agents.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use wharf_model::rules::session;
use wharf_model::{AgentRow, AgentStatus, Kind, RunStatus};
use wharf_store::Reader;
use wharf_store::view::{AgentItem, EntityKind, RunFilter, RunQuery};

use super::context::{Context, print};
use super::desk::{Ask, Desk};
use super::error::{CliError, Result, exit};
use super::table::tidy;

/// Live runs of an agent that are named at most; it may have 50.
const LIVE: usize = 50;

/// `wharf agent …`
#[derive(Debug, Clone, Subcommand)]
pub enum AgentCommand {
    /// Forget the session that an agent's runs have left, and its directory: the next run begins anew
    #[command(after_help = "Example:\n  wharf agent reset-session fixer --dry-run\n\n\
        A run that lives goes on as it is, and may say its session again. Nothing is removed on disk.")]
    ResetSession(ResetArgs),
}

/// Options of `wharf agent reset-session`.
#[derive(Debug, Clone, Args)]
pub struct ResetArgs {
    /// The agent: its name in the current project, its id or a part of it
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
}

/// What is forgotten, or would be.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    id: String,
    agent: String,
    dry_run: bool,
    forgotten: bool,
    session_id: Option<String>,
    cwd: Option<String>,
    said_by: Option<String>,
    live_runs: Vec<String>,
}

/// Carries out one of them.
pub fn agent(context: &Context, command: &AgentCommand) -> Result<u8> {
    match command {
        AgentCommand::ResetSession(args) => reset_session(context, args),
    }
}

fn reset_session(context: &Context, args: &ResetArgs) -> Result<u8> {
    let reader = context.reader_for(&args.agent)?;
    let agent = named(context, &reader, &args.agent)?;
    if args.dry_run {
        let document = preview(&reader, &agent)?;
        return tell(context, &document);
    }
    drop(reader);
    let mut desk = Desk::open(context)?;
    let answered = desk.ask(Ask {
        kind: "agent.reset_session",
        target_type: "agent",
        target_id: Some(agent.id.text()),
        args: json!({}),
        expect: None,
    });
    desk.close();
    let result = answered?.result.unwrap_or_default();
    let text = |key: &str| result[key].as_str().map(str::to_owned);
    let live = result["live_runs"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let document = Document {
        schema: "wharf.agent_session/1",
        id: agent.id.text(),
        agent: agent.name,
        dry_run: false,
        forgotten: result["forgotten"] == true,
        session_id: text("session_id"),
        cwd: text("cwd"),
        said_by: text("said_by"),
        live_runs: live.collect(),
    };
    tell(context, &document)
}

/// The same from rows, as the request would find them.
fn preview(reader: &Reader, agent: &AgentRow) -> Result<Document> {
    let row = reader.agent_runtime(agent.id)?;
    let kept = row.as_ref().map(session::kept).filter(session::Kept::is_any);
    let own = |text: Option<&str>| text.map(str::to_owned);
    let filter = RunFilter { agent: Some(agent.id), statuses: vec![RunStatus::Running], ..RunFilter::default() };
    let live = reader.runs(&RunQuery { filter, ..RunQuery::default() }, None, LIVE)?.rows;
    let mut live: Vec<i64> = live.into_iter().map(|r| r.number).collect();
    live.sort_unstable();
    Ok(Document {
        schema: "wharf.agent_session/1",
        id: agent.id.text(),
        agent: agent.name.clone(),
        dry_run: true,
        forgotten: false,
        session_id: own(kept.as_ref().and_then(|k| k.id)),
        cwd: own(kept.as_ref().and_then(|k| k.cwd)),
        said_by: own(kept.as_ref().and_then(|k| k.said_by)),
        live_runs: live.into_iter().map(|n| Kind::Run.number(n)).collect(),
    })
}

fn tell(context: &Context, document: &Document) -> Result<u8> {
    if context.global.json {
        context.document(document)?;
        return Ok(exit::DONE);
    }
    let say = |line: &str| context.remark(&tidy(line, context.global.ascii));
    print(format!("{}\n", tidy(&document.agent, context.global.ascii)).as_bytes())?;
    if document.session_id.is_none() && document.cwd.is_none() {
        say("no session of it is kept");
        return Ok(exit::DONE);
    }
    let by = document.said_by.as_ref().map_or_else(String::new, |run| format!(", said by {run}"));
    let verb = if document.dry_run { "would forget" } else { "forgotten:" };
    if let Some(id) = &document.session_id {
        say(&format!("  {verb} session {id}{by}"));
    }
    if let Some(cwd) = &document.cwd {
        say(&format!("  {verb} directory {cwd}; what is in it stays"));
    }
    for run in &document.live_runs {
        say(&format!("  {run} goes on, and may say its session again"));
    }
    Ok(exit::DONE)
}

/// The agent of a name: in the current project where there is one, else the only one that is called so; or by its id.
pub fn named(context: &Context, reader: &Reader, text: &str) -> Result<AgentRow> {
    let all: Vec<AgentItem> = reader.agents(None)?;
    let mut called: Vec<&AgentRow> = all.iter().map(|a| &a.agent).filter(|a| a.name == text).collect();
    if called.len() > 1 {
        let here = super::project::find_here(context).ok();
        let here = here.and_then(|found| reader.project_at(&found.root.display().to_string()).ok()?);
        if let Some(project) = here {
            called.retain(|a| a.project_id == project.id);
        }
    }
    match called.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let found =
                super::logs::parse_name(text).and_then(|name| Ok(reader.resolve(&name, Some(EntityKind::Agent))?));
            let found = found.ok().and_then(|found| all.iter().find(|a| a.agent.id.0 == found.id));
            found.map(|a| a.agent.clone()).ok_or_else(|| unknown(&all, text))
        }
        many => {
            let keys: Vec<String> = many
                .iter()
                .filter_map(|one| all.iter().find(|a| a.agent.id == one.id))
                .filter_map(|a| Some(format!("{} ({})", a.project.clone()?, a.agent.id.text())))
                .collect();
            let message = format!("{} agents are called {text}", many.len());
            Err(CliError::new(exit::NOT_FOUND, "id_ambiguous", message)
                .cause(format!("in the projects {}", keys.join(", ")))
                .next("run it in the project's directory, or give the agent's id")
                .entity(text))
        }
    }
}

fn unknown(all: &[AgentItem], text: &str) -> CliError {
    let names = all.iter().filter(|a| a.agent.status != AgentStatus::Archived).map(|a| a.agent.name.as_str());
    let near = super::project::nearest(text, names);
    let error = CliError::new(exit::NOT_FOUND, "agent_not_found", format!("no agent is called {text}"));
    let error = match near {
        Some(near) => error.cause(format!("did you mean {near}?")),
        None => error,
    };
    error.next("wharf agents").entity(text)
}
