//! Keys to commands: chords, overrides from the config file, and what a key means in a place.

use std::collections::HashMap;
use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::command::{self, Command, Place};

/// A key with its modifiers; shift is part of the character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    code: KeyCode,
    ctrl: bool,
    alt: bool,
    shift: bool,
}

const NAMED: &[(&str, KeyCode)] = &[
    ("Enter", KeyCode::Enter),
    ("Esc", KeyCode::Esc),
    ("Tab", KeyCode::Tab),
    ("Backspace", KeyCode::Backspace),
    ("Delete", KeyCode::Delete),
    ("Home", KeyCode::Home),
    ("End", KeyCode::End),
    ("PgUp", KeyCode::PageUp),
    ("PgDn", KeyCode::PageDown),
    ("↑", KeyCode::Up),
    ("↓", KeyCode::Down),
    ("←", KeyCode::Left),
    ("→", KeyCode::Right),
    ("Up", KeyCode::Up),
    ("Down", KeyCode::Down),
    ("Left", KeyCode::Left),
    ("Right", KeyCode::Right),
    ("space", KeyCode::Char(' ')),
];

impl Key {
    /// The key of an event as it is looked up.
    pub fn of(event: KeyEvent) -> Self {
        let alt = event.modifiers.contains(KeyModifiers::ALT);
        let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::BackTab => Self { code: KeyCode::Tab, ctrl, alt, shift: true },
            // AltGr: the character itself is meant.
            KeyCode::Char(c) if ctrl && alt && !c.is_ascii_alphabetic() => {
                Self { code: KeyCode::Char(c), ctrl: false, alt: false, shift: false }
            }
            KeyCode::Char(c) => Self { code: KeyCode::Char(c), ctrl, alt, shift: false },
            code => Self { code, ctrl, alt, shift: event.modifiers.contains(KeyModifiers::SHIFT) },
        }
    }

    /// Reads `x`, `ctrl-d`, `Shift-Tab`, `F1`, `space`.
    pub fn parse(word: &str) -> Option<Self> {
        let mut key = Self { code: KeyCode::Null, ctrl: false, alt: false, shift: false };
        let mut rest = word;
        loop {
            let lower = rest.to_ascii_lowercase();
            let (flag, n) = match () {
                () if lower.starts_with("ctrl-") && rest.len() > 5 => (&mut key.ctrl, 5),
                () if lower.starts_with("alt-") && rest.len() > 4 => (&mut key.alt, 4),
                () if lower.starts_with("shift-") && rest.len() > 6 => (&mut key.shift, 6),
                () => break,
            };
            *flag = true;
            rest = &rest[n..];
        }
        let mut chars = rest.chars();
        key.code = match (chars.next(), chars.next()) {
            (Some(c), None) if !NAMED.iter().any(|(n, _)| *n == rest) => KeyCode::Char(c),
            _ => match NAMED.iter().find(|(n, _)| n.eq_ignore_ascii_case(rest)) {
                Some((_, code)) => *code,
                None => KeyCode::F(rest.strip_prefix('F')?.parse().ok().filter(|n| (1..=12).contains(n))?),
            },
        };
        if let KeyCode::Char(c) = key.code {
            if key.shift {
                key.code = KeyCode::Char(c.to_ascii_uppercase());
            }
            key.shift = false;
        }
        Some(key)
    }

    /// Whether lists, text or typing use it to move or edit: nothing destructive may sit on it.
    pub fn is_motion_or_readline(self) -> bool {
        match self.code {
            KeyCode::Char(c) if self.ctrl => "abdefhknpuw".contains(c),
            KeyCode::Char(c) => !self.alt && "hjkl ".contains(c),
            KeyCode::F(_) => false,
            _ => true,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("ctrl-")?;
        }
        if self.alt {
            f.write_str("alt-")?;
        }
        if self.shift {
            f.write_str("Shift-")?;
        }
        match self.code {
            KeyCode::Char(' ') => f.write_str("space"),
            KeyCode::Char(c) => write!(f, "{c}"),
            KeyCode::F(n) => write!(f, "F{n}"),
            code => f.write_str(NAMED.iter().find(|(_, c)| *c == code).map_or("?", |(n, _)| n)),
        }
    }
}

/// A key or a chord: one key, or several one after another.
pub type Chord = Vec<Key>;

/// Reads `x` or `g r`.
pub fn chord(words: &str) -> Option<Chord> {
    let keys: Option<Chord> = words.split(' ').filter(|w| !w.is_empty()).map(Key::parse).collect();
    keys.filter(|k| !k.is_empty() && k.len() <= 3)
}

/// Shows a chord: `g r`.
pub fn show(chord: &[Key]) -> String {
    chord.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// One line of the keymap file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Name of the place: `ledger`.
    pub place: String,
    /// `x` or `g r`.
    pub key: String,
    /// Name of the command; none unbinds the key.
    pub command: Option<String>,
    /// Where it stands, for messages: `wharf.toml:12`.
    pub origin: String,
}

/// What the keys pressed so far mean.
#[derive(Debug, Clone, Copy)]
pub enum Meaning {
    /// This command.
    Run(&'static Command),
    /// The beginning of chords.
    Begins,
    /// Nothing.
    Nothing,
}

/// The keymap in force.
#[derive(Debug, Clone, Default)]
pub struct Keymap {
    map: HashMap<(Place, Chord), &'static Command>,
    /// Keys that the file has changed.
    pub changed: usize,
}

impl Keymap {
    /// The defaults with the overrides of the config file, and what is wrong with those.
    ///
    /// An override that is wrong changes nothing: the default stays, and the reason is reported.
    pub fn build(overrides: &[Override]) -> (Self, Vec<String>) {
        let mut keymap = Self::default();
        let mut problems = Vec::new();
        for command in command::all() {
            for place in command.places {
                for words in command.keys {
                    if let Some(keys) = chord(words) {
                        keymap.map.insert((*place, keys), command);
                    }
                }
            }
        }
        for o in overrides {
            if let Err(why) = keymap.apply(o) {
                problems.push(format!("{}: {why}; the default stays", o.origin));
            } else {
                keymap.changed += 1;
            }
        }
        (keymap, problems)
    }

    fn apply(&mut self, o: &Override) -> Result<(), String> {
        let place = Place::ALL.iter().copied().find(|p| p.name() == o.place).ok_or_else(|| {
            format!("{:?} is no place of keys; known are {}", o.place, Place::ALL.map(Place::name).join(", "))
        })?;
        let keys = chord(&o.key).ok_or_else(|| format!("{:?} is no key; write x, ctrl-x, F2 or \"g r\"", o.key))?;
        let Some(name) = &o.command else {
            return match self.map.remove(&(place, keys)) {
                Some(_) => Ok(()),
                None => Err(format!("{} does nothing in {}", o.key, o.place)),
            };
        };
        let command = command::all()
            .find(|c| c.name == name)
            .ok_or_else(|| format!("there is no command {name:?}; help (?) lists what there is"))?;
        if !command.places.contains(&place) {
            return Err(format!("{name} is not for {}, only for {}", o.place, names(command.places)));
        }
        if command.level != command::Level::Free && keys.iter().any(|k| k.is_motion_or_readline()) {
            return Err(format!("{name} stops or removes something and may not sit on {}", o.key));
        }
        for active in command::active_sets().filter(|set| set.contains(&place)) {
            for other in active {
                for ((at, theirs), held) in &self.map {
                    let overlap = theirs.starts_with(&keys) || keys.starts_with(theirs);
                    if at == other && overlap && held.name != *name && !(*at == place && *theirs == keys) {
                        let theirs = show(theirs);
                        return Err(format!("{} clashes with {theirs} for {} in {}", o.key, held.name, other.name()));
                    }
                }
            }
        }
        self.map.retain(|(at, _), held| !(*at == place && held.name == *name));
        self.map.insert((place, keys), command);
        Ok(())
    }

    /// What `keys` mean where these places are active, the nearest place first.
    pub fn meaning(&self, places: &[Place], keys: &[Key]) -> Meaning {
        let mut begins = false;
        for place in places {
            if let Some(command) = self.map.get(&(*place, keys.to_vec())) {
                return Meaning::Run(command);
            }
            begins |= self
                .map
                .keys()
                .any(|(at, theirs)| at == place && theirs.len() > keys.len() && theirs.starts_with(keys));
        }
        if begins { Meaning::Begins } else { Meaning::Nothing }
    }

    /// The ways on from the beginning of a chord, in the order of the command table.
    pub fn continuations(&self, places: &[Place], keys: &[Key]) -> Vec<(String, &'static Command)> {
        let mut found: Vec<_> = self
            .map
            .iter()
            .filter(|((at, theirs), _)| places.contains(at) && theirs.len() > keys.len() && theirs.starts_with(keys))
            .map(|((_, theirs), command)| (show(&theirs[keys.len()..]), *command))
            .collect();
        found.sort_by_key(|(keys, c)| (command::all().position(|k| k.name == c.name), keys.clone()));
        found.dedup_by_key(|(_, c)| c.name);
        found
    }

    /// Keys of a command where these places are active, in the order of the table, overrides last.
    pub fn keys_of(&self, places: &[Place], command: &Command) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        for words in command.keys {
            let Some(c) = chord(words) else { continue };
            if places.iter().any(|p| self.map.get(&(*p, c.clone())).is_some_and(|held| held.name == command.name)) {
                keys.push(show(&c));
            }
        }
        let known = keys.len();
        for ((at, theirs), held) in &self.map {
            let shown = show(theirs);
            if places.contains(at) && held.name == command.name && !keys.contains(&shown) {
                keys.push(shown);
            }
        }
        keys[known..].sort();
        keys
    }
}

fn names(places: &[Place]) -> String {
    places.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Level;

    #[test]
    fn keys_read_and_show() {
        for word in ["x", "ctrl-d", "alt-+", "Shift-Tab", "F1", "space", "PgDn", "↑", "G", "-", "ctrl-Enter"] {
            assert_eq!(Key::parse(word).unwrap().to_string(), word);
        }
        assert_eq!(chord("g r").unwrap().len(), 2);
        assert!(chord("").is_none() && chord("F99").is_none() && chord("Bogus").is_none());
    }

    #[test]
    fn no_two_commands_share_a_key_where_they_are_active_together() {
        for set in command::active_sets() {
            let mut held: Vec<(Chord, &str)> = Vec::new();
            for command in command::all().filter(|c| c.places.iter().any(|p| set.contains(p))) {
                for words in command.keys {
                    let keys = chord(words).unwrap_or_else(|| panic!("{}: {words:?} is no key", command.name));
                    for (theirs, name) in &held {
                        let clash = (theirs.starts_with(&keys) || keys.starts_with(theirs)) && *name != command.name;
                        assert!(!clash, "{words} means {name} and {} in {set:?}", command.name);
                    }
                    held.push((keys, command.name));
                }
            }
        }
    }

    #[test]
    fn nothing_destructive_sits_on_a_motion_or_readline_key() {
        for command in command::all().filter(|c| c.level != Level::Free) {
            for words in command.keys {
                assert!(!chord(words).unwrap().iter().any(|k| k.is_motion_or_readline()), "{}: {words}", command.name);
            }
        }
    }

    #[test]
    fn overrides_bind_unbind_and_fall_back() {
        let o = |place: &str, key: &str, command: Option<&str>| Override {
            place: place.into(),
            key: key.into(),
            command: command.map(Into::into),
            origin: "wharf.toml:9".into(),
        };
        let (map, problems) = Keymap::build(&[o("ledger", "K", Some("run.cancel")), o("everywhere", "z", None)]);
        assert_eq!(problems, Vec::<String>::new());
        assert!(
            matches!(map.meaning(&[Place::Ledger], &chord("K").unwrap()), Meaning::Run(c) if c.name == "run.cancel")
        );
        assert!(matches!(map.meaning(&[Place::Ledger], &chord("x").unwrap()), Meaning::Nothing));
        assert!(matches!(map.meaning(&[Place::Everywhere], &chord("z").unwrap()), Meaning::Nothing));
        let wrong = [
            (o("ledger", "g", Some("run.cancel")), "clashes"),
            (o("ledger", "j", Some("run.cancel")), "may not sit"),
            (o("nowhere", "j", None), "no place"),
            (o("ledger", "x", Some("run.fly")), "no command"),
            (o("list", "x", Some("run.cancel")), "not for"),
            (o("ledger", "Bogus", None), "no key"),
        ];
        for (line, reason) in wrong {
            let (map, problems) = Keymap::build(&[line]);
            assert!(problems[0].contains(reason) && problems[0].starts_with("wharf.toml:9"), "{problems:?}");
            assert!(
                matches!(map.meaning(&[Place::Ledger], &chord("x").unwrap()), Meaning::Run(c) if c.name == "run.cancel")
            );
        }
    }
}
