//! Strict templates: `{{issue.identifier}}` in branches, urls, readiness checks and environments.
//!
//! A placeholder that is unknown, not allowed where it stands, or without a value is an error: a
//! branch or url with a hole in it points somewhere nobody meant.

use std::collections::BTreeMap;
use std::fmt;

use crate::words;

words! {
    /// What a template can ask for.
    pub enum Placeholder {
        /// UUID of the issue.
        IssueId = "issue.id",
        /// `SHOP-17`; for a run without an issue the run's number, `R-12`.
        IssueIdentifier = "issue.identifier",
        /// Title of the issue.
        IssueTitle = "issue.title",
        /// UUID of the agent.
        AgentId = "agent.id",
        /// Name of the agent.
        AgentName = "agent.name",
        /// UUID of the project.
        ProjectId = "project.id",
        /// Key of the project.
        ProjectKey = "project.key",
        /// Directory a process works in.
        WorkspaceCwd = "workspace.cwd",
        /// Branch of the workspace.
        WorkspaceBranchName = "workspace.branchName",
        /// Root of the workspace's worktree.
        WorkspaceWorktreePath = "workspace.worktreePath",
        /// Ref the workspace starts from.
        WorkspaceRepoRef = "workspace.repoRef",
        /// Remote url of the repository.
        WorkspaceRepoUrl = "workspace.repoUrl",
        /// The issue's title, else its identifier, as lower-case words joined by dashes.
        Slug = "slug",
        /// Port of the service.
        Port = "port",
    }
}

impl Placeholder {
    /// What is known before a workspace exists, so what a branch may be named after.
    pub const FOR_BRANCH: &'static [Self] = &[
        Self::IssueId,
        Self::IssueIdentifier,
        Self::IssueTitle,
        Self::AgentId,
        Self::AgentName,
        Self::ProjectId,
        Self::ProjectKey,
        Self::WorkspaceRepoRef,
        Self::WorkspaceRepoUrl,
        Self::Slug,
    ];

    /// What a service's environment, url and readiness check may use: everything.
    pub const FOR_SERVICE: &'static [Self] = Self::ALL;
}

/// Longest template that is read, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;
/// Longest text a template may render to, in bytes.
pub const MAX_RENDERED_BYTES: usize = 256 * 1024;

/// Why a template was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No such placeholder, or none that has a meaning at this place.
    #[error("template {template:?} asks for {{{{{name}}}}} at byte {at}, which is not known here; known are {known}")]
    Unknown {
        /// The template, shortened.
        template: String,
        /// What stands between the braces.
        name: String,
        /// Offset of the opening braces in bytes.
        at: usize,
        /// The placeholders allowed here.
        known: String,
    },
    /// Braces that are opened and never closed.
    #[error("template {template:?} opens {{{{ at byte {at} and never closes it with }}}}")]
    Unclosed {
        /// The template, shortened.
        template: String,
        /// Offset of the opening braces in bytes.
        at: usize,
    },
    /// A known placeholder nothing is known about.
    #[error("template {template:?} asks for {{{{{name}}}}}, but there is none: {why}")]
    NoValue {
        /// The template, shortened.
        template: String,
        /// The placeholder.
        name: Placeholder,
        /// What is missing.
        why: &'static str,
    },
    /// Longer than [`MAX_TEMPLATE_BYTES`], or its result longer than [`MAX_RENDERED_BYTES`].
    #[error("template {template:?} {what} longer than {limit} bytes; shorten it")]
    TooLong {
        /// The template, shortened.
        template: String,
        /// "is" or "renders to a text".
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Placeholder),
}

/// A template that was read and holds only allowed placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

impl Template {
    /// Reads a template, so that config can be refused before anything is started.
    pub fn parse(source: &str, allowed: &[Placeholder]) -> Result<Self, TemplateError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLong { template: short(source), what: "is", limit: MAX_TEMPLATE_BYTES });
        }
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find("{{") {
            let at = source.len() - rest.len() + open;
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let inner = &rest[open + 2..];
            let close = inner.find("}}").ok_or_else(|| TemplateError::Unclosed { template: short(source), at })?;
            let name = inner[..close].trim();
            match Placeholder::parse(name).filter(|p| allowed.contains(p)) {
                Some(placeholder) => parts.push(Part::Value(placeholder)),
                None => {
                    return Err(TemplateError::Unknown {
                        template: short(source),
                        name: short(name),
                        at,
                        known: allowed.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(", "),
                    });
                }
            }
            rest = &inner[close + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { source: source.to_owned(), parts })
    }

    /// Puts the values in; each placeholder needs one.
    pub fn render(&self, values: &Values) -> Result<String, TemplateError> {
        let mut out = String::with_capacity(self.source.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(name) => out.push_str(values.get(*name).ok_or_else(|| TemplateError::NoValue {
                    template: short(&self.source),
                    name: *name,
                    why: absence(*name),
                })?),
            }
            if out.len() > MAX_RENDERED_BYTES {
                return Err(TemplateError::TooLong {
                    template: short(&self.source),
                    what: "renders to a text",
                    limit: MAX_RENDERED_BYTES,
                });
            }
        }
        Ok(out)
    }

    /// Whether the template asks for this placeholder.
    pub fn uses(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Value(placeholder))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Reads and renders in one go.
pub fn render(source: &str, allowed: &[Placeholder], values: &Values) -> Result<String, TemplateError> {
    Template::parse(source, allowed)?.render(values)
}

fn absence(placeholder: Placeholder) -> &'static str {
    match placeholder {
        Placeholder::IssueId | Placeholder::IssueIdentifier | Placeholder::IssueTitle => {
            "this is not about an issue; use {{slug}} or {{agent.name}}"
        }
        Placeholder::Port => "the service has no port; set `port`",
        Placeholder::WorkspaceRepoUrl => "the repository has no remote url",
        Placeholder::WorkspaceRepoRef => "the project names no ref; set `base_ref`",
        Placeholder::WorkspaceBranchName | Placeholder::WorkspaceWorktreePath => "the workspace is no git worktree",
        Placeholder::WorkspaceCwd => "there is no workspace",
        Placeholder::AgentId | Placeholder::AgentName => "no agent takes part",
        Placeholder::ProjectId | Placeholder::ProjectKey => "there is no project",
        Placeholder::Slug => "neither an issue nor an agent gives it a name",
    }
}

fn short(text: &str) -> String {
    const LIMIT: usize = 80;
    if text.chars().count() <= LIMIT { text.to_owned() } else { text.chars().take(LIMIT).chain(['…']).collect() }
}

/// Values of placeholders; an empty text counts as none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<Placeholder, String>);

impl Values {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub fn with(mut self, placeholder: Placeholder, value: impl Into<String>) -> Self {
        let value = value.into();
        if value.is_empty() {
            self.0.remove(&placeholder);
        } else {
            self.0.insert(placeholder, value);
        }
        self
    }

    /// Adds a value where there is one.
    pub fn with_some(self, placeholder: Placeholder, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(placeholder, value),
            None => self,
        }
    }

    /// The value, if there is one.
    pub fn get(&self, placeholder: Placeholder) -> Option<&str> {
        self.0.get(&placeholder).map(String::as_str)
    }
}

/// The issue a run works on, as far as names go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssueName<'a> {
    /// UUID.
    pub id: &'a str,
    /// `SHOP-17`.
    pub identifier: &'a str,
    /// Title, possibly empty.
    pub title: &'a str,
}

/// Names of an issue's run, or of a run without one: then the identifier is the run's number
/// (`R-12`) and the slug the agent's name.
pub fn naming(issue: Option<IssueName<'_>>, run_number: &str, agent_name: &str) -> Values {
    let values = Values::new().with(Placeholder::AgentName, agent_name);
    match issue {
        Some(issue) => values
            .with(Placeholder::IssueId, issue.id)
            .with(Placeholder::IssueIdentifier, issue.identifier)
            .with(Placeholder::IssueTitle, issue.title)
            .with(Placeholder::Slug, slug_of(&[issue.title, issue.identifier])),
        None => values
            .with(Placeholder::IssueIdentifier, run_number)
            .with(Placeholder::Slug, slug_of(&[agent_name, run_number])),
    }
}

/// Lower-case ASCII letters and digits; every run of other characters becomes one dash, none at
/// the ends. Text without such characters has an empty slug.
pub fn slug(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(256));
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    out.truncate(out.trim_end_matches('-').len());
    out
}

fn slug_of(candidates: &[&str]) -> String {
    candidates.iter().map(|c| slug(c)).find(|s| !s.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISSUE: IssueName<'_> =
        IssueName { id: "019a", identifier: "SHOP-17", title: "Fix: the cart — drops items!" };

    fn values() -> Values {
        naming(Some(ISSUE), "R-12", "fixer").with(Placeholder::Port, "4173")
    }

    #[test]
    fn renders_table() {
        let table = [
            ("{{issue.identifier}}-{{slug}}", "SHOP-17-fix-the-cart-drops-items"),
            ("plain", "plain"),
            ("", ""),
            ("{{ slug }}", "fix-the-cart-drops-items"),
            ("http://127.0.0.1:{{port}}/", "http://127.0.0.1:4173/"),
            ("{ {slug}} }}", "{ {slug}} }}"),
            ("{{issue.title}}", "Fix: the cart — drops items!"),
        ];
        for (template, expected) in table {
            assert_eq!(render(template, Placeholder::ALL, &values()).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn refuses_table() {
        let message = |t: &str, allowed: &[Placeholder]| render(t, allowed, &values()).unwrap_err().to_string();
        let unknown = message("a/{{issue.titel}}", Placeholder::FOR_BRANCH);
        assert!(unknown.contains("{{issue.titel}} at byte 2"), "{unknown}");
        assert!(unknown.contains("issue.identifier") && unknown.contains("slug"), "{unknown}");
        assert!(!unknown.contains("port"), "what is not allowed is not offered: {unknown}");
        assert!(message("b-{{port}}", Placeholder::FOR_BRANCH).contains("not known here"));
        assert!(message("x{{slug", Placeholder::ALL).contains("byte 1"));
        assert!(message("{{}}", Placeholder::ALL).contains("not known"));
        assert!(message("{{agent.id}}", Placeholder::ALL).contains("no agent"));
        assert!(matches!(
            render(&"x".repeat(MAX_TEMPLATE_BYTES + 1), &[], &values()),
            Err(TemplateError::TooLong { .. })
        ));
    }

    #[test]
    fn long_results_are_refused() {
        let values = Values::new().with(Placeholder::Slug, "x".repeat(MAX_RENDERED_BYTES));
        assert!(matches!(render("{{slug}}{{slug}}", Placeholder::ALL, &values), Err(TemplateError::TooLong { .. })));
    }

    #[test]
    fn a_run_without_issue_is_named_by_number_and_agent() {
        let values = naming(None, "R-12", "Code Fixer");
        assert_eq!(
            render("{{issue.identifier}}-{{slug}}", Placeholder::FOR_BRANCH, &values).unwrap(),
            "R-12-code-fixer"
        );
        assert!(render("{{issue.title}}", Placeholder::FOR_BRANCH, &values).is_err());
    }

    #[test]
    fn a_title_without_letters_falls_back_to_the_identifier() {
        let issue = IssueName { title: "修复", ..ISSUE };
        assert_eq!(naming(Some(issue), "R-1", "a").get(Placeholder::Slug), Some("shop-17"));
    }

    #[test]
    fn values_are_not_rendered_again() {
        let values = Values::new().with(Placeholder::Slug, "{{port}}");
        assert_eq!(render("{{slug}}", Placeholder::ALL, &values).unwrap(), "{{port}}");
    }

    proptest! {
        #[test]
        fn slug_has_only_words_and_single_dashes(text in ".{0,200}") {
            let s = slug(&text);
            prop_assert!(s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            prop_assert!(!s.starts_with('-') && !s.ends_with('-') && !s.contains("--"));
            prop_assert_eq!(slug(&s), s);
        }

        #[test]
        fn text_without_braces_renders_to_itself(text in "[^{]{0,100}") {
            prop_assert_eq!(render(&text, &[], &Values::new()), Ok(text));
        }
    }
}
