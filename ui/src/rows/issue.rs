//! What an issue's runs go by, for the form that changes it.

use wharf_model::IssueId;
use wharf_model::rules::issue_settings::IssueSettings;

/// The settings of an issue, with what is in force for its runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueForm {
    /// Identity.
    pub id: IssueId,
    /// `SHOP-17`.
    pub identifier: String,
    /// Title.
    pub title: String,
    /// Version of the row that this was read from.
    pub version: i64,
    /// What the issue itself says; its environment by its name.
    pub own: IssueSettings,
    /// What is in force for its next run, by the keys of the settings.
    pub in_force: Vec<InForce>,
    /// Whose run that is.
    pub agent: Option<String>,
    /// Names of environments that runs may use.
    pub environments: Vec<String>,
    /// The workspace that follows when environment or commands change: `W-9`.
    pub workspace: Option<String>,
}

/// One setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// `mode`.
    pub key: &'static str,
    /// Its value; none where nothing is said or done.
    pub value: Option<String>,
    /// Whose word it is: `issue`, `project`, `agent fixer`, `W-9`, `default`.
    pub from: String,
}
