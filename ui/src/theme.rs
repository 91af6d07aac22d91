//! Colours as tokens: no other file names a colour (screens 2).

use ratatui::style::{Color, Modifier, Style};

/// A foreground token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ink {
    /// What one reads.
    Text,
    /// Heads, units, times, hints, ended rows.
    Dim,
    /// Lines and gutters: no text, no meaning.
    Rule,
    /// You are here; you can press this.
    Accent,
    /// Alive, healthy, clean.
    Ok,
    /// Wants a look.
    Warn,
    /// Failed, lost, refused.
    Bad,
    /// Waits for a clock; announcements.
    Info,
    /// Mark before a line of stdout.
    GutterOut,
    /// Mark before a line of stderr.
    GutterErr,
    /// A line that was added.
    DiffAdd,
    /// A line that was removed.
    DiffDel,
}

/// A pair of text and its own ground.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// Cursor row of the focused pane.
    Selection,
    /// Selected row of another pane.
    SelectionWeak,
    /// A marked row.
    Marked,
    /// A match of a search.
    Match,
    /// The match under the cursor.
    MatchCurrent,
    /// Words that an added line has over the one it replaces.
    DiffAddWord,
    /// Words that a removed line has over the one that replaces it.
    DiffDelWord,
    /// A condition that is bad.
    BannerBad,
    /// A condition that wants a look.
    BannerWarn,
    /// A condition to know about.
    BannerInfo,
    /// Toasts and dialogs.
    Dialog,
}

/// Which table of colours is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Variant {
    /// For dark grounds.
    #[default]
    Dark,
    /// For light grounds.
    Light,
    /// 7:1 on black.
    HighContrast,
}

impl Variant {
    /// Reads the word of the config file.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "dark" => Some(Self::Dark),
            "light" => Some(Self::Light),
            "high-contrast" => Some(Self::HighContrast),
            _ => None,
        }
    }
}

/// How many colours the terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// 24 bit.
    #[default]
    True,
    /// The xterm palette.
    Indexed,
    /// The terminal owner's sixteen.
    Sixteen,
    /// `NO_COLOR`: bold, dim, reverse and underline stay.
    None,
}

impl Depth {
    /// What a child asked for, as far as the terminal has such colours; the rest goes, the words stay.
    pub fn of_child(self, style: Style) -> Style {
        let fits = |colour: Option<Color>| match (self, colour?) {
            (Self::Indexed, Color::Rgb(r, g, b)) => Some(Color::Indexed(nearest(u32::from_be_bytes([0, r, g, b])))),
            (Self::Sixteen, Color::Rgb(..) | Color::Indexed(16..)) | (Self::None, _) => None,
            (_, colour) => Some(colour),
        };
        Style { fg: fits(style.fg), bg: fits(style.bg), ..style }
    }
}

/// The colours in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Theme {
    /// Table.
    pub variant: Variant,
    /// Depth.
    pub depth: Depth,
}

const fn rgb(hex: u32) -> (u8, u8, u8) {
    ((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

impl Theme {
    /// Style of a token.
    pub fn ink(self, ink: Ink) -> Style {
        // (dark, 256), (light, 256), high contrast
        let (dark, light, high) = match ink {
            Ink::Text => ((0x00D7_DAE0, 253), (0x0022_262E, 235), 0x00FF_FFFF),
            Ink::Dim => ((0x00A3_A9B4, 248), (0x0056_5D69, 59), 0x00D8_D8D8),
            Ink::Rule | Ink::GutterOut => ((0x006B_7280, 243), (0x008C_939F, 246), 0x00B0_B0B0),
            Ink::Accent => ((0x005C_C8D7, 80), (0x0000_697A, 24), 0x0000_FFFF),
            Ink::Ok | Ink::DiffAdd => ((0x007F_CB7A, 114), (0x001F_6B2B, 22), 0x005C_FF5C),
            Ink::Warn => ((0x00E5_B95C, 179), (0x007A_5200, 94), 0x00FF_FF00),
            Ink::Bad | Ink::GutterErr | Ink::DiffDel => ((0x00F2_867E, 210), (0x00B0_261E, 124), 0x00FF_9C9C),
            Ink::Info => ((0x009D_BCF7, 147), (0x001F_4FB0, 25), 0x00A8_CCFF),
        };
        let plain = Style::new();
        match self.depth {
            Depth::True => plain.fg(self.pick_rgb(dark.0, light.0, high)),
            Depth::Indexed => plain.fg(match self.variant {
                Variant::Dark => Color::Indexed(dark.1),
                Variant::Light => Color::Indexed(light.1),
                Variant::HighContrast => Color::Indexed(nearest(high)),
            }),
            Depth::Sixteen => self.sixteen(ink),
            Depth::None => match ink {
                Ink::Dim => plain.add_modifier(Modifier::DIM),
                Ink::Warn => plain.add_modifier(Modifier::BOLD),
                _ => plain,
            },
        }
    }

    fn sixteen(self, ink: Ink) -> Style {
        let light = self.variant == Variant::Light;
        let index = match ink {
            Ink::Text => None,
            Ink::Dim => return Style::new().add_modifier(Modifier::DIM),
            Ink::Rule | Ink::GutterOut => Some(8),
            Ink::Accent => Some(if light { 4 } else { 6 }),
            Ink::DiffAdd if light => return Style::new().add_modifier(Modifier::BOLD),
            Ink::Ok | Ink::DiffAdd => (!light).then_some(2),
            Ink::Warn => Some(if light { 5 } else { 3 }),
            Ink::Bad | Ink::GutterErr | Ink::DiffDel => Some(if light { 1 } else { 9 }),
            Ink::Info => Some(if light { 4 } else { 14 }),
        };
        index.map_or_else(Style::new, |i| Style::new().fg(Color::Indexed(i)))
    }

    /// Style of a pair.
    pub fn ground(self, ground: Ground) -> Style {
        let (dark, light, high) = match ground {
            Ground::Selection => ((0x00FF_FFFF, 0x0026_374A), (0x0010_131A, 0x00CF_E3F2), (0x0000_0000, 0x00FF_FFFF)),
            Ground::SelectionWeak => {
                ((0x00D7_DAE0, 0x002A_2E37), (0x0022_262E, 0x00E4_E7EC), (0x00FF_FFFF, 0x0030_3030))
            }
            Ground::Marked => ((0x00E5_B95C, 0x002A_2E37), (0x006B_4700, 0x00F3_EAD3), (0x00FF_FF00, 0x0020_2020)),
            Ground::Match => ((0x00FF_E9A8, 0x004A_3F14), (0x0022_262E, 0x00FF_E89A), (0x0000_0000, 0x00FF_FF00)),
            Ground::MatchCurrent => {
                ((0x0016_181D, 0x00E5_B95C), (0x00FF_FFFF, 0x007A_5200), (0x0000_0000, 0x00FF_9C9C))
            }
            Ground::DiffAddWord => ((0x00D8_F5D5, 0x001F_4A2A), (0x0012_3A18, 0x00CD_EFD0), (0x0000_0000, 0x005C_FF5C)),
            Ground::DiffDelWord => ((0x00FF_DAD6, 0x005A_2626), (0x005E_120D, 0x00F9_D3CF), (0x0000_0000, 0x00FF_9C9C)),
            Ground::BannerBad => ((0x00FF_FFFF, 0x007A_1F1F), (0x00FF_FFFF, 0x00B0_261E), (0x0000_0000, 0x00FF_9C9C)),
            Ground::BannerWarn => ((0x00FF_F3D1, 0x005C_4400), (0x003A_2700, 0x00FF_E3A3), (0x0000_0000, 0x00FF_FF00)),
            Ground::BannerInfo => ((0x00FF_FFFF, 0x001F_3F66), (0x0010_274D, 0x00D6_E4FA), (0x0000_0000, 0x00A8_CCFF)),
            Ground::Dialog => ((0x00D7_DAE0, 0x0021_252C), (0x0022_262E, 0x00F4_F5F7), (0x00FF_FFFF, 0x0000_0000)),
        };
        match self.depth {
            Depth::True => {
                Style::new().fg(self.pick_rgb(dark.0, light.0, high.0)).bg(self.pick_rgb(dark.1, light.1, high.1))
            }
            Depth::Indexed => {
                let (fg, bg) = match self.variant {
                    Variant::Dark => dark,
                    Variant::Light => light,
                    Variant::HighContrast => high,
                };
                Style::new().fg(Color::Indexed(nearest(fg))).bg(Color::Indexed(nearest(bg)))
            }
            Depth::Sixteen | Depth::None => match ground {
                Ground::SelectionWeak | Ground::Marked => Style::new().add_modifier(Modifier::BOLD),
                Ground::Match => Style::new().add_modifier(Modifier::UNDERLINED),
                Ground::DiffAddWord | Ground::DiffDelWord => {
                    Style::new().add_modifier(Modifier::BOLD).add_modifier(Modifier::UNDERLINED)
                }
                Ground::Dialog => Style::new(),
                _ => Style::new().add_modifier(Modifier::REVERSED),
            },
        }
    }

    const fn pick_rgb(self, dark: u32, light: u32, high: u32) -> Color {
        let (r, g, b) = rgb(match self.variant {
            Variant::Dark => dark,
            Variant::Light => light,
            Variant::HighContrast => high,
        });
        Color::Rgb(r, g, b)
    }
}

/// The nearest entry of the xterm palette's cube and grey ramp.
fn nearest(hex: u32) -> u8 {
    let (r, g, b) = rgb(hex);
    let distance =
        |(x, y, z): (i32, i32, i32)| (x - i32::from(r)).pow(2) + (y - i32::from(g)).pow(2) + (z - i32::from(b)).pow(2);
    (16u8..=255).min_by_key(|i| distance(palette(*i))).unwrap_or(16)
}

fn palette(index: u8) -> (i32, i32, i32) {
    const LEVELS: [i32; 6] = [0, 95, 135, 175, 215, 255];
    if index >= 232 {
        let grey = 8 + 10 * i32::from(index - 232);
        return (grey, grey, grey);
    }
    let i = usize::from(index.saturating_sub(16));
    (LEVELS[i / 36 % 6], LEVELS[i / 6 % 6], LEVELS[i % 6])
}

#[cfg(test)]
mod tests {
    use super::*;

    const INKS: [Ink; 12] = [
        Ink::Text,
        Ink::Dim,
        Ink::Rule,
        Ink::Accent,
        Ink::Ok,
        Ink::Warn,
        Ink::Bad,
        Ink::Info,
        Ink::GutterOut,
        Ink::GutterErr,
        Ink::DiffAdd,
        Ink::DiffDel,
    ];

    #[test]
    fn without_colour_no_token_has_one() {
        for variant in [Variant::Dark, Variant::Light, Variant::HighContrast] {
            let theme = Theme { variant, depth: Depth::None };
            for ink in INKS {
                assert_eq!((theme.ink(ink).fg, theme.ink(ink).bg), (None, None));
            }
            assert_eq!(theme.ground(Ground::Selection), Style::new().add_modifier(Modifier::REVERSED));
        }
    }

    #[test]
    fn depths_fall_back_as_the_table_says() {
        let dark = |depth| Theme { variant: Variant::Dark, depth }.ink(Ink::Accent).fg;
        assert_eq!(dark(Depth::True), Some(Color::Rgb(0x5c, 0xc8, 0xd7)));
        assert_eq!(dark(Depth::Indexed), Some(Color::Indexed(80)));
        assert_eq!(dark(Depth::Sixteen), Some(Color::Indexed(6)));
        assert_eq!(nearest(0x00FF_FFFF), 231);
        assert_eq!(nearest(0), 16);
    }

    #[test]
    fn text_on_its_ground_keeps_the_bound() {
        let luminance = |hex: u32| {
            let (r, g, b) = rgb(hex);
            let part = |c: u8| {
                let c = f64::from(c) / 255.0;
                if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b)
        };
        let hex = |c: Option<Color>| match c {
            Some(Color::Rgb(r, g, b)) => u32::from(r) << 16 | u32::from(g) << 8 | u32::from(b),
            other => panic!("{other:?} is no 24-bit colour"),
        };
        let ratio = |a: u32, b: u32| {
            let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
            if a > b { a / b } else { b / a }
        };
        for (variant, bound, grounds) in [
            (Variant::Dark, 4.5, [0x0000_0000, 0x0028_2C34]),
            (Variant::Light, 4.5, [0x00FF_FFFF, 0x00EF_F1F5]),
            (Variant::HighContrast, 7.0, [0, 0]),
        ] {
            let theme = Theme { variant, depth: Depth::True };
            for ink in INKS.into_iter().filter(|i| !matches!(i, Ink::Rule | Ink::GutterOut)) {
                for ground in grounds {
                    let r = ratio(hex(theme.ink(ink).fg), ground);
                    assert!(r >= bound, "{variant:?} {ink:?} on {ground:06x}: {r:.2}");
                }
            }
            for pair in [
                Ground::Selection,
                Ground::Marked,
                Ground::Match,
                Ground::MatchCurrent,
                Ground::DiffAddWord,
                Ground::DiffDelWord,
                Ground::BannerBad,
                Ground::Dialog,
            ] {
                let style = theme.ground(pair);
                assert!(ratio(hex(style.fg), hex(style.bg)) >= 4.5, "{variant:?} {pair:?}");
            }
        }
    }
}
