//! The user's own file, `$XDG_CONFIG_HOME/wharf/config.toml`: limits and retention of this machine,
//! the look of the console, and its keys.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wharf_model::config::{Limits, Retention};
use wharf_model::shim::OnQuota;
use wharf_model::words;

use super::reader::{Reader, Section, place_in};

words! {
    /// Colours of the console.
    pub enum Theme { Dark = "dark", Light = "light", HighContrast = "high_contrast" }
}

words! {
    /// Signs the console draws with.
    pub enum Glyphs { Unicode = "unicode", Ascii = "ascii" }
}

/// `[ui]`. Unset values are decided by the terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UiSettings {
    /// Colours.
    pub theme: Option<Theme>,
    /// Signs.
    pub glyphs: Option<Glyphs>,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// Whether things may move by themselves.
    pub motion: bool,
    /// Times in UTC instead of the local zone.
    pub utc: bool,
    /// Draw as little as possible, for slow lines.
    pub low_bandwidth: bool,
}

impl Default for UiSettings {
    fn default() -> Self {
        Self { theme: None, glyphs: None, mouse: true, motion: true, utc: false, low_bandwidth: false }
    }
}

/// What a key of `[keys.<place>]` is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyBinding {
    /// A command's name; the console knows which exist.
    Command(String),
    /// `false`: the key does nothing.
    Unbound(bool),
}

/// The user's settings in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserConfig {
    /// `[limits]`.
    pub limits: Limits,
    /// `[retention]`.
    pub retention: Retention,
    /// `[ui]`.
    pub ui: UiSettings,
    /// `[keys.<place>]`: place → key or chord → binding.
    pub keys: BTreeMap<String, BTreeMap<String, KeyBinding>>,
}

impl UserConfig {
    /// All values by their place in the file, for showing.
    pub fn values(&self) -> BTreeMap<String, String> {
        // Settings hold strings, numbers and maps with string keys: nothing JSON cannot hold.
        wharf_model::config::flatten(&serde_json::to_value(self).unwrap_or_default())
    }
}

/// Where the user's file is, from the environment; `None` without a home.
pub fn user_config_path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))?;
    Some(base.join("wharf").join("config.toml"))
}

/// Reads the sections of a file over the values of earlier layers.
pub(super) fn user<'t>(reader: &mut Reader<'t>, mut root: Section<'_, 't>, config: &mut UserConfig) {
    sections(reader, &mut root, config);
    if let Some(value) = reader.take(&mut root, "notify") {
        reader.check_not_yet(&root, "notify", value);
    }
    for key in ["project", "workspace", "agent", "environment", "service", "job", "secret"] {
        if root.has(key)
            && let Some(value) = reader.take(&mut root, key)
        {
            let message = format!("[{key}] belongs to a project, not to the user");
            reader.wrong(value.span(), message, "move it to the project's wharf.toml");
        }
    }
    reader.close(root);
}

/// The sections that the user's file and the command line have in common.
pub(super) fn sections<'t>(reader: &mut Reader<'t>, root: &mut Section<'_, 't>, config: &mut UserConfig) {
    if let Some(table) = reader.table(root, "limits", "limits") {
        limits(reader, table, &mut config.limits);
    }
    if let Some(table) = reader.table(root, "retention", "retention") {
        retention(reader, table, &mut config.retention);
    }
    if let Some(table) = reader.table(root, "ui", "ui") {
        ui(reader, table, &mut config.ui);
    }
    if let Some(table) = reader.table(root, "keys", "keys") {
        keys(reader, table, &mut config.keys);
    }
}

fn limits<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>, limits: &mut Limits) {
    let t = &mut table;
    limits.concurrent_runs =
        reader.number(t, "concurrent_runs", 1, 10_000).map(|n| n as u32).or(limits.concurrent_runs);
    limits.run_log_quota_bytes = reader.size(t, "run_log_quota").unwrap_or(limits.run_log_quota_bytes);
    limits.on_quota = reader.word(t, "on_quota", OnQuota::ALL, OnQuota::as_str).unwrap_or(limits.on_quota);
    reader.close(table);
}

fn retention<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>, retention: &mut Retention) {
    let t = &mut table;
    reader.limit(t, "run_logs", &mut retention.run_logs_ms);
    reader.limit(t, "snapshots", &mut retention.snapshots_ms);
    reader.limit(t, "workspaces_after_close", &mut retention.workspaces_after_close_ms);
    reader.close(table);
}

fn ui<'t>(reader: &mut Reader<'t>, mut table: Section<'_, 't>, ui: &mut UiSettings) {
    let t = &mut table;
    ui.theme = reader.word(t, "theme", Theme::ALL, Theme::as_str).or(ui.theme);
    ui.glyphs = reader.word(t, "glyphs", Glyphs::ALL, Glyphs::as_str).or(ui.glyphs);
    ui.mouse = reader.boolean(t, "mouse").unwrap_or(ui.mouse);
    ui.motion = reader.boolean(t, "motion").unwrap_or(ui.motion);
    ui.utc = reader.boolean(t, "utc").unwrap_or(ui.utc);
    ui.low_bandwidth = reader.boolean(t, "low_bandwidth").unwrap_or(ui.low_bandwidth);
    reader.close(table);
}

fn keys<'t>(
    reader: &mut Reader<'t>,
    table: Section<'_, 't>,
    keys: &mut BTreeMap<String, BTreeMap<String, KeyBinding>>,
) {
    for (place, value) in table.entries() {
        let name = place.get_ref().as_ref();
        let path = place_in("keys", name);
        let Some(bindings) = reader.as_table(name, value, "keys", path.clone()) else { continue };
        for (key, value) in bindings.entries() {
            let chord = key.get_ref().as_ref();
            reader.remember(place_in(&path, chord), key.span().start);
            let binding = match value.get_ref() {
                toml::de::DeValue::String(command) if !command.is_empty() => KeyBinding::Command(command.to_string()),
                toml::de::DeValue::Boolean(false) => KeyBinding::Unbound(false),
                _ => {
                    let expected = "a command in quotes, as in \"run.cancel\", or false";
                    reader.mistyped(chord, value, "a command", expected);
                    continue;
                }
            };
            if chord.trim().is_empty() {
                reader.wrong(key.span(), "a key without a name", "expected a key or chord, as in \"g r\"");
                continue;
            }
            keys.entry(name.to_owned()).or_default().insert(chord.to_owned(), binding);
        }
    }
}
