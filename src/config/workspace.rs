//! `[workspace]`, and what an agent says of its own.

use std::ffi::OsStr;
use std::path::{Component, Path};

use wharf_model::config::{AgentWorkspace, Concurrency, WorkspaceConfig, WorkspaceMode, WorkspaceStrategy};
use wharf_model::rules::checkout;
use wharf_model::rules::template::Placeholder;

use super::parts::{command, stays_below, template};
use super::reader::{Reader, Section, filled};

pub(super) fn workspace_section<'t>(
    reader: &mut Reader<'t>,
    mut table: Section<'_, 't>,
    workspace: &mut WorkspaceConfig,
) {
    let (t, w) = (&mut table, workspace);
    w.mode = reader.word(t, "mode", WorkspaceMode::ALL, WorkspaceMode::as_str).or(w.mode);
    w.strategy = reader.word(t, "strategy", WorkspaceStrategy::ALL, WorkspaceStrategy::as_str).or(w.strategy);
    contradiction(reader, t, w.mode, w.strategy);
    w.branch = branch(reader, t).unwrap_or_else(|| std::mem::take(&mut w.branch));
    w.parent = parent(reader, t).unwrap_or_else(|| std::mem::take(&mut w.parent));
    w.base_ref = base_ref(reader, t).or(w.base_ref.take());
    w.concurrency = reader.word(t, "concurrency", Concurrency::ALL, Concurrency::as_str).unwrap_or(w.concurrency);
    w.provision = command(reader, t, "provision").or(w.provision.take());
    w.teardown = command(reader, t, "teardown").or(w.teardown.take());
    w.cleanup = command(reader, t, "cleanup").or(w.cleanup.take());
    reader.limit(t, "timeout", &mut w.timeout_ms);
    w.repo_url = repo_url(reader, t).or(w.repo_url.take());
    reader.close(table);
}

/// `workspace = { … }` of an agent.
pub(super) fn agent_workspace<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>) -> AgentWorkspace {
    let t = &mut table;
    let mode = reader.word(t, "mode", WorkspaceMode::ALL, WorkspaceMode::as_str);
    let strategy = reader.word(t, "strategy", WorkspaceStrategy::ALL, WorkspaceStrategy::as_str);
    contradiction(reader, t, mode, strategy);
    let found = AgentWorkspace { mode, strategy, branch: branch(reader, t), base_ref: base_ref(reader, t) };
    reader.close(table);
    found
}

fn contradiction<'t>(
    reader: &mut Reader<'t>,
    section: &mut Section<'_, 't>,
    mode: Option<WorkspaceMode>,
    strategy: Option<WorkspaceStrategy>,
) {
    let place = reader.take(section, "strategy").or_else(|| reader.take(section, "mode")).map(toml::Spanned::span);
    if let (Some(place), Some(why)) = (place, checkout::contradiction(mode, strategy)) {
        reader.wrong(place, why, "expected one of mode and strategy alone");
    }
}

fn branch<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>) -> Option<String> {
    let known: Vec<&str> = Placeholder::FOR_BRANCH.iter().map(|p| p.as_str()).collect();
    template(reader, section, "branch", &known)
}

fn base_ref<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>) -> Option<String> {
    reader.read(section, "base_ref", "a git reference", "a branch, tag or commit", |value| {
        filled(value).filter(|name| !name.starts_with('-') && !name.contains(char::is_whitespace))
    })
}

/// Where worktrees are made: in the project, or anywhere by an absolute path or one below `~`.
fn parent<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>) -> Option<String> {
    let value = reader.take(section, "parent")?;
    let expected = "a relative path that stays below the project, an absolute one, or one that begins with ~/";
    let path = reader.convert(section, "parent", value, "a directory for worktrees", expected, |value| {
        filled(value).filter(|path| path.starts_with('/') || path.starts_with("~/") || stays_below(path))
    })?;
    if let Some(why) = taken(&path) {
        let expected = "expected a directory for worktrees alone, as in \".wharf/worktrees\"";
        reader.wrong(value.span(), format!("parent {path:?} {why}"), expected);
    }
    Some(path)
}

/// Why worktrees can never be made there, whatever is on the disk.
fn taken(parent: &str) -> Option<&'static str> {
    let mut names: Vec<&OsStr> = Vec::new();
    for component in Path::new(parent).components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let is_absolute = parent.starts_with('/');
    match names.first().and_then(|name| name.to_str()) {
        None if names.is_empty() && is_absolute => Some("is the root of all directories"),
        None if names.is_empty() => Some("is the project's own checkout"),
        Some(".git") if !is_absolute => Some("is inside the git directory"),
        Some("wharf.toml") if !is_absolute => Some("is this file"),
        _ => None,
    }
}

/// What is cloned. A secret in it would stand in argument lists, logs and git's own config.
fn repo_url<'t>(reader: &mut Reader<'t>, section: &mut Section<'_, 't>) -> Option<String> {
    let value = reader.take(section, "repo_url")?;
    let expected = "a URL as in \"ssh://git.example/shop.git\", or a path";
    let url = reader.convert(section, "repo_url", value, "a repository", expected, |value| {
        filled(value).filter(|url| !url.starts_with('-') && !url.contains(char::is_whitespace) && !url.contains("::"))
    })?;
    if holds_secret(&url) {
        reader.wrong_hidden(
            value.span(),
            "repo_url holds a password or token",
            "expected a URL without one; git asks its credential helper, or the ssh agent",
        );
    }
    Some(url)
}

/// Whether a URL carries a password, or over http a name that is most likely a token.
fn holds_secret(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.contains(':') || scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

#[cfg(test)]
mod tests {
    use wharf_model::config::ProjectConfig;

    use super::*;
    use crate::config::{ConfigErrors, parse_project};

    fn read(text: &str) -> Result<ProjectConfig, String> {
        let errors = |e: ConfigErrors| e.render(None);
        parse_project(text, "wharf.toml", "shop").map(|(config, _)| config).map_err(errors)
    }

    const AGENT: &str = "[[agent]]\nname = \"a\"\nadapter = \"process\"\nconfig = { command = \"true\" }\n";

    #[test]
    fn every_mode_and_place_can_be_written() {
        let text = "[workspace]\nmode = \"operator_branch\"\nparent = \"~/trees\"\nconcurrency = \"refuse\"\n\
                    repo_url = \"ssh://git@box/shop.git\"\nbranch = \"{{project.key}}/{{agent.name}}-{{workspace.repoRef}}\"\n";
        let config = read(text).unwrap().workspace;
        assert_eq!((config.mode, config.parent.as_str()), (Some(WorkspaceMode::OperatorBranch), "~/trees"));
        assert_eq!(config.concurrency, Concurrency::Refuse);
        assert_eq!(config.repo_url.as_deref(), Some("ssh://git@box/shop.git"));
        assert_eq!(read("[workspace]\nparent = \"/srv/trees\"\n").unwrap().workspace.parent, "/srv/trees");
    }

    #[test]
    fn an_agent_says_where_it_works() {
        let line = "workspace = { mode = \"agent_default\", base_ref = \"next\" }\n";
        let config = read(&format!("{AGENT}{line}")).unwrap();
        let workspace = &config.agents[0].workspace;
        assert_eq!((workspace.mode, workspace.base_ref.as_deref()), (Some(WorkspaceMode::AgentDefault), Some("next")));
        let plain = read(AGENT).unwrap();
        assert!(serde_json::to_value(&plain.agents[0]).unwrap().get("workspace").is_none());
        assert_ne!(plain.executable_hash(), config.executable_hash(), "where it works needs acceptance");
    }

    #[test]
    fn what_has_no_meaning_is_refused_at_its_line() {
        let table = [
            ("[workspace]\nbranch = \"{{issue.titel}}\"\n", "wharf.toml:2", "issue.titel"),
            ("[workspace]\n\nparent = \"../trees\"\n", "wharf.toml:3", "a directory for worktrees"),
            ("[workspace]\nparent = \"/\"\n", "wharf.toml:2", "the root of all directories"),
            ("[workspace]\nparent = \".\"\n", "wharf.toml:2", "the project's own checkout"),
            ("[workspace]\nparent = \"a/..\"\n", "wharf.toml:2", "the project's own checkout"),
            ("[workspace]\nparent = \"./.git/x\"\n", "wharf.toml:2", "inside the git directory"),
            ("[workspace]\nparent = \"wharf.toml\"\n", "wharf.toml:2", "is this file"),
            ("[workspace]\nrepo_url = \"https://me:s3cret@git/x\"\n", "wharf.toml:2", "password or token"),
            ("[workspace]\nrepo_url = \"https://gh_tok3n@git/x\"\n", "wharf.toml:2", "password or token"),
            ("[workspace]\nrepo_url = \"ext::sh -c x\"\n", "wharf.toml:2", "a repository"),
            ("[workspace]\nrepo_url = \"--upload-pack=x\"\n", "wharf.toml:2", "a repository"),
        ];
        for (text, line, words) in table {
            let error = read(text).unwrap_err();
            assert!(error.contains(line) && error.contains(words), "{error}");
            assert!(!error.contains("s3cret") && !error.contains("gh_tok3n"), "{error}");
        }
        let agent = format!("{AGENT}workspace = {{ mode = \"shared_workspace\", strategy = \"git_worktree\" }}\n");
        assert!(read(&agent).unwrap_err().contains("wharf.toml:5"));
    }
}
