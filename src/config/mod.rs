//! `wharf.toml` and the user's `config.toml`: layered reading into validated types, messages that
//! point at the line, and where each value comes from (contracts 8).

mod agent;
mod environment;
mod file;
pub mod find;
pub mod init;
mod not_yet;
mod parts;
mod place;
mod problem;
mod project;
mod reader;
mod remembered;
mod service;
mod settings;
mod text;
mod user;
mod workspace;

use std::path::{Path, PathBuf};

use wharf_model::config::ProjectConfig;

pub use file::FILE_MAX_BYTES;
pub use place::line_of;
pub use problem::{ConfigErrors, Problem};
pub(crate) use problem::{harmless, shortened};
pub use reader::{Layer, Origin, Origins};
pub use remembered::Remembered;
pub use settings::parse_settings;
pub(crate) use text::{is_name, web_address};
pub use user::{Glyphs, KeyBinding, Theme, UiSettings, UserConfig, user_config_path};

use project::{References, look_up, project_section};
use reader::{Reader, Section};
use workspace::workspace_section;

/// Name of a project's config file.
pub const PROJECT_FILE: &str = "wharf.toml";

const COMMAND_LINE: &str = "command line";

/// A project's config that was read without a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The values in force, those of the command line included.
    pub config: ProjectConfig,
    /// The file it was read from.
    pub path: PathBuf,
    /// Hash of the file's values; the command line is not part of it.
    pub content_hash: String,
    /// Hash of those of the file's values that need acceptance; the command line is not part of it.
    pub executable_hash: String,
    /// Where each value stands.
    pub origins: Origins,
}

impl Loaded {
    /// Every value in force with where it comes from, sorted by place.
    pub fn effective(&self) -> Vec<(String, String, Origin)> {
        with_origins(self.config.values(), &self.origins)
    }

    /// Where a value comes from; see [`Origins::where_from`].
    pub fn where_from(&self, key: &str) -> Origin {
        self.origins.where_from(key)
    }
}

/// The user's settings that were read without a problem.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedUser {
    /// The settings in force.
    pub config: UserConfig,
    /// Where each setting stands.
    pub origins: Origins,
}

impl LoadedUser {
    /// Every setting in force with where it comes from, sorted by place.
    pub fn effective(&self) -> Vec<(String, String, Origin)> {
        with_origins(self.config.values(), &self.origins)
    }
}

fn with_origins(
    values: std::collections::BTreeMap<String, String>,
    origins: &Origins,
) -> Vec<(String, String, Origin)> {
    values
        .into_iter()
        .map(|(key, value)| {
            let origin = origins.where_from(&key);
            (key, value, origin)
        })
        .collect()
}

/// Values given on the command line, each as in a file: `limits.concurrent_runs = 4`. They may set
/// what is in `[limits]`, `[retention]`, `[ui]`, `[keys]`, `[project]` and `[workspace]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(String);

impl Overrides {
    /// Takes assignments in their order. They are judged when a config is loaded.
    pub fn new<I: IntoIterator<Item = S>, S: AsRef<str>>(assignments: I) -> Self {
        Self(assignments.into_iter().fold(String::new(), |all, line| all + line.as_ref() + "\n"))
    }
}

/// Reads a project's config file and the command line over it.
pub fn load_project(path: &Path, overrides: &Overrides) -> Result<Loaded, ConfigErrors> {
    let shown = file::name(path);
    let text = file::read_text(path, &shown)?;
    let (config, mut origins) = parse_project_file(path, &text, &shown)?;
    let (content_hash, executable_hash) = (config.content_hash(), config.executable_hash());
    let (config, later) = override_project(config, overrides)?;
    origins.override_with(later);
    Ok(Loaded { config, path: path.to_owned(), content_hash, executable_hash, origins })
}

fn parse_project_file(path: &Path, text: &str, shown: &str) -> Result<(ProjectConfig, Origins), ConfigErrors> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let directory = absolute.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    parse_project(text, shown, &directory.unwrap_or_default())
}

/// Reads the text of a project's config. `shown` names it in messages; `directory` is the name of
/// the directory it lies in, from which key and name follow when the text has none.
pub fn parse_project(text: &str, shown: &str, directory: &str) -> Result<(ProjectConfig, Origins), ConfigErrors> {
    let mut reader = Reader::new(shown, text, Layer::Project);
    let table = reader.parse();
    let root = Section::root(&table);
    let config = project::project(&mut reader, directory, root);
    judged(config, reader)
}

fn override_project(
    mut config: ProjectConfig,
    overrides: &Overrides,
) -> Result<(ProjectConfig, Origins), ConfigErrors> {
    let mut reader = Reader::new(COMMAND_LINE, &overrides.0, Layer::CommandLine);
    let table = reader.parse();
    let mut root = Section::root(&table);
    let mut references = References::default();
    if let Some(table) = reader.table(&mut root, "project", "project") {
        project_section(&mut reader, table, &mut config.project, Some(&mut references));
    }
    if let Some(table) = reader.table(&mut root, "workspace", "workspace") {
        workspace_section(&mut reader, table, &mut config.workspace);
    }
    for key in ["limits", "retention", "ui", "keys"] {
        root.pass_over(key);
    }
    reader.close(root);
    look_up(&mut reader, &config, &references);
    judged(config, reader)
}

/// Reads the user's config file, if there is one, and the command line over it.
pub fn load_user(path: Option<&Path>, overrides: &Overrides) -> Result<LoadedUser, ConfigErrors> {
    let mut loaded = LoadedUser::default();
    if let Some(path) = path {
        let shown = path.display().to_string();
        match file::read_text(path, &shown) {
            Ok(text) => loaded = parse_user(&text, &shown)?,
            Err(ConfigErrors::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut reader = Reader::new(COMMAND_LINE, &overrides.0, Layer::CommandLine);
    let table = reader.parse();
    let mut root = Section::root(&table);
    user::sections(&mut reader, &mut root, &mut loaded.config);
    for key in ["project", "workspace"] {
        root.pass_over(key);
    }
    reader.close(root);
    let (config, later) = judged(loaded.config, reader)?;
    loaded.origins.override_with(later);
    Ok(LoadedUser { config, origins: loaded.origins })
}

/// Reads the text of a user's config. `shown` names it in messages.
pub fn parse_user(text: &str, shown: &str) -> Result<LoadedUser, ConfigErrors> {
    let mut reader = Reader::new(shown, text, Layer::User);
    let table = reader.parse();
    let root = Section::root(&table);
    let mut config = UserConfig::default();
    user::user(&mut reader, root, &mut config);
    let (config, origins) = judged(config, reader)?;
    Ok(LoadedUser { config, origins })
}

fn judged<T>(config: T, reader: Reader<'_>) -> Result<(T, Origins), ConfigErrors> {
    let (problems, origins) = reader.finish();
    if problems.is_empty() { Ok((config, origins)) } else { Err(ConfigErrors::Wrong(problems)) }
}

#[cfg(test)]
mod tests;
