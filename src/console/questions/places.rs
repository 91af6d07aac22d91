//! Environments: their page, what is known of one, and what taking it out of use would do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use wharf_model::filter::Filter;
use wharf_model::rules::environment_change::{self, EnvironmentChange, EnvironmentEffect, EnvironmentFacts, title};
use wharf_model::{EnvironmentId, EnvironmentRow, Kind, LeaseId, Origin, RunId};
use wharf_store::StoreError;
use wharf_store::view::{ActivityQuery, EnvironmentItem, LeaseItem, LeaseQuery};
use wharf_ui::effect::EnvironmentVerb;
use wharf_ui::rows::{
    ActivityLine, EnvironmentDetail, EnvironmentLine, Expect, FactBlock, Page, Preview, PreviewLine, PreviewVerb,
    lease_state,
};

use super::filter::passes;
use super::{Asking, rows};
use crate::dispatch::orchestrator::operator_environment;
use crate::environment::{Site, registry};

/// Open leases of one environment that are shown.
const LEASES: usize = 200;
/// Entries of its trail that are shown.
const TRAIL: usize = 100;

impl Asking<'_> {
    /// All environments: they are few.
    pub(super) fn environments(&self, filter: &Filter) -> Result<Page<EnvironmentLine>, StoreError> {
        let all = self.reader.environments(self.company()?)?;
        let known = all.len();
        let shown: Vec<&EnvironmentItem> =
            all.iter().filter(|item| passes(filter, &rows::environment_facts(item), self.at)).collect();
        let mut lines = Vec::new();
        for item in &shown {
            let mut line = rows::environment(item);
            line.written = self.written(&item.environment)?;
            lines.push(line);
        }
        let hidden = (known - shown.len()) as u64;
        Ok(Page { total: lines.len() as u64, rows: lines, hidden, more: false })
    }

    /// File and line at which an environment is written.
    fn written(&self, row: &EnvironmentRow) -> Result<Option<(String, u64)>, StoreError> {
        if row.origin != Origin::Config {
            return Ok(None);
        }
        let project = match row.config["project"].as_str().and_then(|p| p.parse().ok()) {
            Some(project) => self.reader.project(project)?.map(|p| PathBuf::from(p.path)),
            None => None,
        };
        let base = project.or_else(|| row.config["base"].as_str().map(PathBuf::from));
        let file = base.map(|b| b.join("wharf.toml")).filter(|f| f.is_file());
        Ok(file.map(|f| (f.display().to_string(), line_of(&f, &row.name))))
    }

    pub(super) fn environment_detail(&self, id: EnvironmentId) -> Result<Option<EnvironmentDetail>, StoreError> {
        let Some(item) = self.reader.environment(id)? else { return Ok(None) };
        let row = &item.environment;
        let query = ActivityQuery { entity: Some(("environment".into(), id.text())), ..ActivityQuery::default() };
        let trail = self.reader.activity(&query, None, TRAIL)?.rows;
        let history: Vec<ActivityLine> = trail.iter().map(|row| rows::activity(0, row)).collect();
        let leases: Vec<_> = self.open_leases(id)?.iter().map(lease_fact).collect();
        Ok(Some(EnvironmentDetail {
            named_by: self.named_by(row)?,
            capabilities: capabilities(row, &self.scope.data),
            leases: vec![FactBlock { facts: leases }],
            config: rows::realisation(&without_secrets(&row.driver_config())),
            history,
        }))
    }

    fn open_leases(&self, id: EnvironmentId) -> Result<Vec<LeaseItem>, StoreError> {
        let query = LeaseQuery { open: Some(true), environment: Some(id), ..LeaseQuery::default() };
        Ok(self.reader.leases(&query, None, LEASES)?.rows)
    }

    /// Agents and projects that run there when nothing else is said.
    fn named_by(&self, row: &EnvironmentRow) -> Result<Vec<String>, StoreError> {
        let projects = self.reader.projects(Some(row.company_id))?;
        let is_it = |name: &Option<String>| name.as_deref() == Some(&row.name);
        let agents = self.reader.agents(None)?.into_iter().filter(|a| a.agent.company_id == row.company_id);
        let mut named: Vec<String> =
            agents.filter(|a| is_it(&a.agent.default_environment)).map(|a| format!("agent {}", a.agent.name)).collect();
        let projects = projects.iter().filter(|p| is_it(&p.default_environment));
        named.extend(projects.map(|p| format!("project {}", p.key)));
        Ok(named)
    }

    /// What archiving or deleting it would do, by the rule that accepts it.
    pub(super) fn environment_preview(&self, id: EnvironmentId, verb: EnvironmentVerb) -> Result<Preview, StoreError> {
        let refused = |why: String| Preview { refused: Some(why), at: self.now, ..Preview::default() };
        let Some(facts) = self.reader.environment_facts(id)? else {
            return Ok(refused("there is no such environment any more".to_owned()));
        };
        let change = match verb {
            EnvironmentVerb::Archive => EnvironmentChange::Archive,
            EnvironmentVerb::Delete => EnvironmentChange::Delete,
        };
        let effect = match environment_change::effect(&facts, change, true) {
            Ok(effect) => effect,
            Err(why) => return Ok(refused(why.to_string())),
        };
        let note = match verb {
            EnvironmentVerb::Archive => "R takes it into use again.",
            EnvironmentVerb::Delete => "This cannot be undone.",
        };
        Ok(Preview {
            lines: change_lines(&facts, &effect),
            note: note.to_owned(),
            expect: effect.judged.into_iter().map(|j| Expect { id: j.id, version: j.version }).collect(),
            at: self.now,
            refused: None,
            args: Vec::new(),
        })
    }
}

/// An effect in lines.
fn change_lines(facts: &EnvironmentFacts, effect: &EnvironmentEffect) -> Vec<PreviewLine> {
    let mut lines = Vec::new();
    let mut add = |verb, what: String, how: &str| {
        if !what.is_empty() {
            lines.push(PreviewLine { verb, what, how: how.to_owned() });
        }
    };
    let runs =
        |ids: &[RunId]| numbers(facts.runs.iter().filter(|r| ids.contains(&r.id)).map(|r| Kind::Run.number(r.number)));
    let leases = |ids: &[LeaseId]| {
        numbers(facts.leases.iter().filter(|l| ids.contains(&l.id)).map(|l| Kind::Lease.number(l.number)))
    };
    add(PreviewVerb::Keeps, runs(&effect.goes_on), "go on there to their end");
    add(PreviewVerb::Stops, runs(&effect.fails), "wait for a slot of it, and fail");
    add(PreviewVerb::Stops, runs(&effect.fails_later), "are queued for it, and fail at their turn");
    add(PreviewVerb::Keeps, leases(&effect.keeps), "stay as they are");
    add(PreviewVerb::Removes, leases(&effect.cleans), "what they hold is cleaned up first");
    add(PreviewVerb::Waits, leases(&effect.waits_for), "for their clean-up, which is under way");
    let agents = facts.agents.iter().filter(|a| effect.agents.contains(&a.id)).map(|a| a.name.clone());
    add(PreviewVerb::Leaves, numbers(agents), "name it, and fail with their next run");
    let projects = facts.projects.iter().filter(|p| effect.projects.contains(&p.id)).map(|p| p.key.clone());
    add(PreviewVerb::Leaves, numbers(projects), "have it as their default");
    match effect.change {
        EnvironmentChange::Archive => {
            add(PreviewVerb::Records, title(&facts.environment), "archived: no run starts there");
        }
        EnvironmentChange::Delete => {
            add(PreviewVerb::Removes, title(&facts.environment), "its runs stay in the ledger");
        }
    }
    lines
}

fn numbers(all: impl Iterator<Item = String>) -> String {
    all.collect::<Vec<_>>().join(", ")
}

fn lease_fact(item: &LeaseItem) -> wharf_ui::rows::Fact {
    let (class, word) = lease_state(item.lease.status);
    let names = [item.run_number.map(|n| Kind::Run.number(n)), item.agent.clone(), item.issue.clone()];
    let mut about: Vec<String> = names.into_iter().flatten().collect();
    about.extend(rows::waits(item));
    rows::fact(&Kind::Lease.number(item.lease.number), format!("{} {word}", class.glyph()), about.join(" "))
}

/// What its driver can do, in words; what is wrong with it where there is none.
fn capabilities(row: &EnvironmentRow, data: &Path) -> Vec<(String, String)> {
    let site = Site::of(data, &Arc::new(operator_environment()), row);
    let driver = match registry::driver(row.driver, &row.driver_config(), &site) {
        Ok(driver) => driver.capabilities(),
        Err(error) => return vec![("driver".into(), error.to_string())],
    };
    let yes = |label: &str, can: bool, with: &str, without: &str| {
        (label.to_owned(), if can { format!("yes{with}") } else { format!("no{without}") })
    };
    vec![
        yes("resume", driver.resume, ", what a lease held is found again", ""),
        yes("extend", driver.extend, "", ", a lease has the time that it was given"),
        yes("terminal", driver.tty, "", ", commands run there without one"),
        yes("list", driver.list, "", ", it cannot say what runs there"),
        yes("outlives", driver.persistent, ", what runs there outlives the console", ""),
        yes("files", driver.shared_files, ", those of this machine", ", they are carried there and back"),
    ]
}

/// Settings without a value that may be a secret: variables are told by their names.
pub(crate) fn without_secrets(config: &Value) -> Value {
    let Value::Object(map) = config else { return config.clone() };
    map.iter()
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("env", Value::Object(env)) => Value::String(env.keys().cloned().collect::<Vec<_>>().join(", ")),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect()
}

/// The line at which an environment is written; the first when it is not found.
fn line_of(file: &Path, name: &str) -> u64 {
    crate::config::line_of(file, "environment", name).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_environment_is_found_at_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wharf.toml");
        std::fs::write(&file, "[project]\nname = \"box\"\n\n[[environment]]\nname = 'box' # ours\n").unwrap();
        assert_eq!((line_of(&file, "box"), line_of(&file, "other")), (5, 1));
    }

    #[test]
    fn variables_are_told_by_their_names() {
        let config = json!({ "host": "a", "env": { "TOKEN": "hidden", "LANG": "C" } });
        assert_eq!(without_secrets(&config), json!({ "host": "a", "env": "LANG, TOKEN" }));
    }
}
