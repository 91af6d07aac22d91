//! What the operator's config, the environment and the terminal say about how things look.

use std::ffi::OsString;

use wharf_model::UnixMillis;
use wharf_ui::app::Settings;
use wharf_ui::format::Zone;
use wharf_ui::keymap::Override;
use wharf_ui::theme::{Depth, Theme, Variant};

use crate::config::{self, Glyphs, KeyBinding, Overrides, Theme as Wanted, UserConfig};

/// What the command line says about the look, over everything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Only ASCII signs.
    pub ascii: bool,
    /// No colours.
    pub no_color: bool,
    /// Moments in UTC.
    pub utc: bool,
}

/// The look, and what was wrong with the file that says it.
#[derive(Debug)]
pub struct Chosen {
    /// For the screens.
    pub settings: Settings,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// Ages may tick every second and frames come at full pace.
    pub lively: bool,
    /// Dark or light is for the terminal to say.
    pub ask_ground: bool,
    /// What is wrong with the operator's config, in words.
    pub wrong: Option<String>,
}

/// Reads the operator's config and looks at the environment.
pub fn choose(look: Look, now: UnixMillis, size: (u16, u16), project: String) -> Chosen {
    let path = config::user_config_path(|name| std::env::var_os(name));
    let (user, wrong, shown) = match config::load_user(path.as_deref(), &Overrides::default()) {
        Ok(loaded) => (loaded.config, None, path),
        Err(errors) => (UserConfig::default(), Some(errors.render(None)), path),
    };
    let variable = |name: &str| std::env::var_os(name);
    let theme = Theme {
        variant: match user.ui.theme {
            Some(Wanted::Light) => Variant::Light,
            Some(Wanted::HighContrast) => Variant::HighContrast,
            Some(Wanted::Dark) | None => Variant::Dark,
        },
        depth: depth(look, &variable),
    };
    let ascii = look.ascii || user.ui.glyphs == Some(Glyphs::Ascii) || (user.ui.glyphs.is_none() && !utf8(&variable));
    let file = shown.map_or_else(|| "config.toml".to_owned(), |p| p.display().to_string());
    let settings = Settings {
        now,
        size,
        zone: Zone { east_seconds: east_seconds(now), utc: look.utc || user.ui.utc },
        theme,
        ascii,
        keys: keys(&user, &file),
        project,
    };
    // Where only the owner's sixteen colours are used nothing rests on it, and such terminals may print the question.
    let ask_ground = user.ui.theme.is_none() && matches!(theme.depth, Depth::True | Depth::Indexed);
    Chosen { settings, ask_ground, mouse: user.ui.mouse, lively: user.ui.motion && !user.ui.low_bandwidth, wrong }
}

fn keys(user: &UserConfig, file: &str) -> Vec<Override> {
    let mut out = Vec::new();
    for (place, bindings) in &user.keys {
        for (key, binding) in bindings {
            let command = match binding {
                KeyBinding::Command(name) => Some(name.clone()),
                KeyBinding::Unbound(_) => None,
            };
            let origin = format!("{file}: [keys.{place}] {key}");
            out.push(Override { place: place.clone(), key: key.clone(), command, origin });
        }
    }
    out
}

fn depth(look: Look, variable: &dyn Fn(&str) -> Option<OsString>) -> Depth {
    let words = |name: &str| variable(name).map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
    let term = words("TERM");
    if look.no_color || !words("NO_COLOR").is_empty() || term == "dumb" || term.is_empty() {
        return Depth::None;
    }
    match words("COLORTERM").as_str() {
        "truecolor" | "24bit" => Depth::True,
        _ if term.contains("direct") || term.contains("kitty") || term.contains("ghostty") => Depth::True,
        _ if term.contains("256color") => Depth::Indexed,
        _ => Depth::Sixteen,
    }
}

/// Whether the locale's characters are UTF-8; the first variable that is set decides.
fn utf8(variable: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|n| variable(n).filter(|v| !v.is_empty()));
    set.is_some_and(|v| {
        let v = v.to_string_lossy().to_ascii_lowercase();
        v.contains("utf-8") || v.contains("utf8")
    })
}

/// Seconds east of Greenwich at a moment, here.
pub fn east_seconds(at: UnixMillis) -> i32 {
    at.utc().with_timezone(&chrono::Local).offset().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_how_many_colours_there_are() {
        let table: [(&[(&str, &str)], Depth); 6] = [
            (&[("TERM", "xterm-256color")], Depth::Indexed),
            (&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")], Depth::True),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "1")], Depth::None),
            (&[("TERM", "xterm-256color"), ("NO_COLOR", "")], Depth::Indexed),
            (&[("TERM", "dumb"), ("COLORTERM", "truecolor")], Depth::None),
            (&[("TERM", "linux")], Depth::Sixteen),
        ];
        for (set, expected) in table {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            assert_eq!(depth(Look::default(), &variable), expected, "{set:?}");
            assert_eq!(depth(Look { no_color: true, ..Look::default() }, &variable), Depth::None);
        }
    }

    #[test]
    fn the_first_variable_of_the_locale_decides() {
        let table: [(&[(&str, &str)], bool); 5] = [
            (&[("LANG", "en_US.UTF-8")], true),
            (&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")], false),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], true),
            (&[("LANG", "C")], false),
            (&[], false),
        ];
        for (set, expected) in table {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
            assert_eq!(utf8(&variable), expected, "{set:?}");
        }
    }
}
