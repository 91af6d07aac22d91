//! What archiving or deleting an environment would do, in words.

use serde::Serialize;
use wharf_model::rules::environment_change::{
    self, EnvironmentChange, EnvironmentEffect, EnvironmentFacts, NotChangeable,
};
use wharf_model::{EnvironmentId, Kind, LeaseId, RunId};
use wharf_store::Reader;

use crate::cli::error::{CliError, Result, exit};

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    verb: &'static str,
    entity: String,
    what: String,
    remark: &'static str,
}

/// A preview.
#[derive(Debug, Clone)]
pub struct Preview {
    /// Number of the environment.
    pub number: String,
    /// Its name.
    pub name: String,
    /// What happens.
    pub lines: Vec<Line>,
    /// What it means.
    pub last: String,
    /// The same, as the rule that carries it out has it.
    pub effect: EnvironmentEffect,
}

/// Computes the preview from the store as it is now.
pub fn preview(reader: &Reader, id: EnvironmentId, change: EnvironmentChange, cleanup: bool) -> Result<Preview> {
    let facts = reader.environment_facts(id)?.ok_or_else(|| {
        CliError::new(exit::NOT_FOUND, "environment_not_found", "the environment is not there any more")
    })?;
    let number = Kind::Environment.number(facts.environment.number);
    let effect = environment_change::effect(&facts, change, cleanup).map_err(|why| refused(&facts, &number, &why))?;
    let lines = lines(&facts, &effect);
    let begun = effect.cleans.len() + effect.waits_for.len();
    let last = match change {
        EnvironmentChange::Archive => format!("No new lease of it is given. wharf env restore {number} takes it back."),
        EnvironmentChange::Delete if begun > 0 => {
            format!(
                "{number} is archived now, and deleted once the clean-up is done. This cannot be undone after that."
            )
        }
        EnvironmentChange::Delete => {
            "Its name is free then; its runs and leases stay in the history. This cannot be undone.".to_owned()
        }
    };
    Ok(Preview { number, name: facts.environment.name.clone(), lines, last, effect })
}

fn refused(facts: &EnvironmentFacts, number: &str, why: &NotChangeable) -> CliError {
    let all = why.to_string();
    let (message, next) = all.split_once("; ").unwrap_or((&all, ""));
    let error = CliError::new(exit::REFUSED, "illegal_state", message).entity(number);
    match why {
        NotChangeable::NeedsCleanup { .. } => error.next(format!("wharf env delete {number} --cleanup")),
        NotChangeable::Held { .. } => error
            .cause("what holds a lease of it would lose its ground")
            .next(format!("wharf leases --held env:{}", facts.environment.name))
            .next(format!("wharf env archive {number}")),
        NotChangeable::Already { .. } => error.next(format!("wharf env show {number}")),
        NotChangeable::InFile { .. } => error.next(next).next("wharf config accept"),
        NotChangeable::Local(_) => error.cause(next),
    }
}

fn lines(facts: &EnvironmentFacts, effect: &EnvironmentEffect) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut run = |verb, id: &RunId, remark| {
        let Some(run) = facts.runs.iter().find(|r| r.id == *id) else { return };
        let agent = facts.agents.iter().find(|a| a.id == run.agent);
        let what = agent.map_or_else(String::new, |a| a.name.clone());
        lines.push(Line { verb, entity: Kind::Run.number(run.number), what, remark });
    };
    for id in &effect.goes_on {
        run("keeps", id, "goes on to its end");
    }
    for id in &effect.fails {
        run("fails", id, "waits for a slot of it");
    }
    for id in &effect.fails_later {
        run("fails", id, "when its turn comes");
    }
    let mut lease = |verb, id: &LeaseId, remark| {
        let Some(lease) = facts.leases.iter().find(|l| l.id == *id) else { return };
        let what = lease.status.as_str().replace('_', " ");
        lines.push(Line { verb, entity: Kind::Lease.number(lease.number), what, remark });
    };
    for id in &effect.keeps {
        lease("keeps", id, "as it is");
    }
    for id in &effect.cleans {
        lease("cleans", id, "what it holds at the provider is removed");
    }
    for id in &effect.waits_for {
        lease("waits", id, "it is being cleaned up");
    }
    for agent in facts.agents.iter().filter(|a| effect.agents.contains(&a.id)) {
        let remark = "names it: its runs fail until it names another";
        lines.push(Line { verb: "breaks", entity: "agent".into(), what: agent.name.clone(), remark });
    }
    for project in facts.projects.iter().filter(|p| effect.projects.contains(&p.id)) {
        let remark = "has it as default: its runs fail until it has another";
        lines.push(Line { verb: "breaks", entity: "project".into(), what: project.key.clone(), remark });
    }
    if lines.is_empty() {
        let (entity, what) = ("nothing".to_owned(), String::new());
        lines.push(Line { verb: "breaks", entity, what, remark: "nobody holds, waits for or names it" });
    }
    lines
}

impl Preview {
    /// The lines for people.
    pub fn text(&self) -> String {
        let doing = match self.effect.change {
            EnvironmentChange::Archive => "Archiving",
            EnvironmentChange::Delete => "Deleting",
        };
        let mut out = format!("{doing} {} {} does this:\n", self.number, self.name);
        let whats: Vec<String> =
            self.lines.iter().map(|l| format!("{} {}", l.entity, l.what).trim().to_owned()).collect();
        let widest = whats.iter().map(|w| wharf_ui::text::width(w)).max().unwrap_or(0);
        for (line, what) in self.lines.iter().zip(whats) {
            let pad = " ".repeat(widest.saturating_sub(wharf_ui::text::width(&what)));
            out.push_str(format!("  {:<6} {what}{pad}  {}", line.verb, line.remark).trim_end());
            out.push('\n');
        }
        out + &self.last + "\n"
    }
}
