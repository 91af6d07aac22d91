//! Step 1 of a run: its environment, by the rule of the model and with its account.

use serde_json::{Value, json};
use wharf_model::rules::environment_choice::{self, Candidate, Explanation, Rule, Says};
use wharf_model::rules::issue_settings::IssueSettings;
use wharf_model::{EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, RunRow, WorkspaceRow};

use super::{Deciding, environment, lease, place};

/// An environment, or code and words why there is none; in either case who was looked at.
pub(crate) struct Chosen {
    /// What was found.
    pub found: Result<EnvironmentRow, (&'static str, String)>,
    /// The account.
    pub explanation: Explanation,
}

impl Chosen {
    /// As it stands in the step's row.
    pub(crate) fn detail(&self) -> Value {
        let found = self.found.as_ref().ok();
        json!({
            "choice": self.explanation,
            "environment_id": found.map(|e| e.id.text()),
            "environment": found.map(|e| e.name.clone()),
        })
    }
}

/// Chooses: asked for, the workspace it goes on in, issue, project, agent, company.
pub(crate) fn choose(d: &mut Deciding<'_, '_>, run: &RunRow) -> Chosen {
    let candidates = candidates(d, run);
    let named: Vec<(Rule, Named)> = candidates.iter().map(|(c, named)| (c.rule, named.clone())).collect();
    let explanation = environment_choice::choose(candidates.into_iter().map(|(c, _)| c).collect());
    let from = explanation.looked_at.iter().find(|l| l.candidate.rule == explanation.rule);
    let from = from.map_or_else(String::new, |l| l.candidate.from.clone());
    let named = named.into_iter().find(|(rule, _)| *rule == explanation.rule).map(|(_, named)| named);
    let found = match (&explanation.environment, named) {
        (None, _) | (_, None) => Ok(lease::ensure_local(d, run.company_id)),
        (Some(name), Some(named)) => find(d, run, &named).ok_or_else(|| missing(explanation.rule, &from, name)),
    };
    Chosen { found, explanation }
}

fn missing(rule: Rule, from: &str, name: &str) -> (&'static str, String) {
    let advice = match rule {
        Rule::Request => "start the run with another".to_owned(),
        Rule::Workspace => "set another for its issue: `wharf issue set ISSUE --environment NAME`".to_owned(),
        Rule::Issue => format!("set another: `wharf issue set {from} --environment NAME`"),
        Rule::Project | Rule::Agent | Rule::Company => "correct it in wharf.toml".to_owned(),
    };
    let who = rule.words();
    (
        "environment_not_found",
        format!("{who} ({from}) names environment {name:?}, and no environment of this company is called so; {advice}"),
    )
}

/// How an environment is named.
#[derive(Debug, Clone)]
enum Named {
    Id(EnvironmentId),
    Name(String),
    Nothing,
}

fn find(d: &mut Deciding<'_, '_>, run: &RunRow, named: &Named) -> Option<EnvironmentRow> {
    match named {
        Named::Id(id) => {
            let row = d.state().environments.get(id);
            row.filter(|e| e.company_id == run.company_id && e.status != EnvironmentStatus::Deleted).cloned()
        }
        Named::Name(name) if name == "Local" => Some(lease::ensure_local(d, run.company_id)),
        Named::Name(name) => environment::by_name(d, run.company_id, name),
        Named::Nothing => None,
    }
}

fn candidates(d: &Deciding<'_, '_>, run: &RunRow) -> Vec<(Candidate, Named)> {
    let state = d.state();
    let silent =
        |rule, from: String, why: &str| (Candidate { rule, from, says: Says::Nothing(why.to_owned()) }, Named::Nothing);
    let by_id = |rule, from: String, id: EnvironmentId| {
        let name = state.environments.get(&id).map_or_else(|| id.text(), |e| e.name.clone());
        (Candidate { rule, from, says: Says::Environment(name) }, Named::Id(id))
    };
    let by_name = |rule, from: String, name: Option<String>| match name {
        Some(name) => (Candidate { rule, from, says: Says::Environment(name.clone()) }, Named::Name(name)),
        None => silent(rule, from, "not set"),
    };
    let number = Kind::Run.number(run.number);
    let mut out = Vec::new();
    let retried = run.retry_of_run_id.and_then(|r| state.runs.get(&r)).map(|r| Kind::Run.number(r.number));
    let asked = match (run.retry_of_run_id, retried) {
        (Some(_), Some(before)) => format!("{number}, as {before} had it"),
        (Some(_), None) => format!("{number}, as the run before it had it"),
        (None, _) => number,
    };
    out.push(match run.environment_id {
        Some(id) => by_id(Rule::Request, asked, id),
        None => silent(Rule::Request, asked, "names none"),
    });
    out.push(match place::found_again(state, run) {
        Some(workspace) => {
            let from = Kind::Workspace.number(workspace.number);
            match kept(workspace) {
                Kept::In(id) => by_id(Rule::Workspace, from, id),
                Kept::Default => (Candidate { rule: Rule::Workspace, from, says: Says::Default }, Named::Nothing),
                Kept::Nothing => silent(Rule::Workspace, from, "keeps none"),
            }
        }
        None => silent(Rule::Workspace, "workspace".into(), "no workspace of its own is found again"),
    });
    let issue = run.issue_id.and_then(|i| state.issues.get(&i));
    out.push(match issue {
        None => silent(Rule::Issue, "issue".into(), "the run has none"),
        Some(issue) => {
            let set = IssueSettings::of(issue.execution_workspace_settings.as_ref()).environment;
            let from = issue.identifier.clone();
            match set.map(|text| text.parse::<EnvironmentId>().map_err(|_| text)) {
                Some(Ok(id)) => by_id(Rule::Issue, from, id),
                Some(Err(name)) => by_name(Rule::Issue, from, Some(name)),
                None => silent(Rule::Issue, from, "not set"),
            }
        }
    });
    let project = state.projects.get(&run.project_id);
    out.push(by_name(
        Rule::Project,
        "project.default_environment".into(),
        project.and_then(|p| p.default_environment.clone()),
    ));
    let agent = state.agents.get(&run.agent_id);
    let key = format!("agent.{}.environment", agent.map_or("?", |a| a.name.as_str()));
    out.push(by_name(Rule::Agent, key, agent.and_then(|a| a.default_environment.clone())));
    out.push((Candidate { rule: Rule::Company, from: "company".into(), says: Says::Default }, Named::Nothing));
    out
}

/// What a workspace keeps.
enum Kept {
    /// This environment.
    In(EnvironmentId),
    /// The company's own, whoever else says something: a null.
    Default,
    Nothing,
}

fn kept(workspace: &WorkspaceRow) -> Kept {
    match workspace.config.as_ref().and_then(|c| c.get("environment_id")) {
        None => Kept::Nothing,
        Some(Value::Null) => Kept::Default,
        Some(value) => value.as_str().and_then(|t| t.parse().ok()).map_or(Kept::Nothing, Kept::In),
    }
}
