//! The ten glyphs that tell every state of every entity, and the ASCII set for all of ours (screens 1.4).

use crate::theme::Ink;

/// The class of a state; its glyph alone tells it without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Alive and well.
    Alive,
    /// Alive but doubtful: silent, unhealthy.
    Doubtful,
    /// Needs a person.
    NeedsPerson,
    /// Waits for a clock.
    Clock,
    /// Waits its turn.
    Waits,
    /// Is ending.
    Ending,
    /// Ended well.
    Good,
    /// Ended badly.
    Bad,
    /// Ended by choice.
    Chosen,
    /// Cannot be told.
    Unknown,
}

impl Class {
    /// Every class, in the order of the specification.
    pub const ALL: [Self; 10] = [
        Self::Alive,
        Self::Doubtful,
        Self::NeedsPerson,
        Self::Clock,
        Self::Waits,
        Self::Ending,
        Self::Good,
        Self::Bad,
        Self::Chosen,
        Self::Unknown,
    ];

    /// The glyph; [`ascii`] gives its replacement.
    pub const fn glyph(self) -> &'static str {
        match self {
            Self::Alive => "●",
            Self::Doubtful => "◐",
            Self::NeedsPerson => "▲",
            Self::Clock => "◷",
            Self::Waits => "◌",
            Self::Ending => "■",
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Chosen => "⊘",
            Self::Unknown => "?",
        }
    }

    /// The colour of the glyph.
    pub const fn ink(self) -> Ink {
        match self {
            Self::Alive | Self::Good => Ink::Ok,
            Self::Doubtful | Self::NeedsPerson | Self::Ending | Self::Unknown => Ink::Warn,
            Self::Clock => Ink::Info,
            Self::Waits | Self::Chosen => Ink::Dim,
            Self::Bad => Ink::Bad,
        }
    }
}

/// The ASCII character for one of our own characters: every cell maps to one cell, so no layout differs.
pub fn ascii(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "●" => "*",
        "◐" | "…" => "~",
        "▲" | "▐" => "!",
        "◷" => "z",
        "◌" | "░" => ".",
        "■" | "━" | "⇄" | "≈" => "=",
        "✓" | "▒" | "┌" | "┐" | "└" | "┘" | "├" | "┤" => "+",
        "✗" | "×" => "x",
        "○" => "o",
        "⊘" | "·" | "–" | "─" | "−" => "-",
        "▸" | "►" | "→" => ">",
        "←" => "<",
        "↑" => "^",
        "↓" | "▾" | "▼" => "v",
        "◆" | "█" | "▉" | "▊" | "▋" => "#",
        "│" => "|",
        "▏" | "▎" | "▍" => ":",
        "▌" => "E",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::text::width;

    #[test]
    fn ten_different_glyphs_in_both_sets() {
        let glyphs: BTreeSet<_> = Class::ALL.iter().map(|c| c.glyph()).collect();
        assert_eq!(glyphs.len(), 10);
        let plain: BTreeSet<_> = Class::ALL.iter().map(|c| ascii(c.glyph()).unwrap_or("?")).collect();
        assert_eq!(plain.len(), 10);
        for glyph in glyphs {
            assert_eq!(width(glyph), 1);
        }
    }
}
