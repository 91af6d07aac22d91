//! Where things are, as a function of columns and rows only (screens 5.8).

use ratatui::layout::Rect;

/// Fewest cells in which screens are drawn at all.
pub const MIN_COLUMNS: u16 = 40;
/// Fewest rows in which screens are drawn at all.
pub const MIN_ROWS: u16 = 10;

/// What the header shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderKind {
    /// All screens with their digits, and the counters.
    Strip,
    /// `shop ▸ Ledger` and the counters.
    Crumb,
    /// Name of the screen and glyphs with counts.
    Counts,
}

/// The bands of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands {
    /// First row.
    pub header: Rect,
    /// What is between.
    pub body: Rect,
    /// Row of a condition, above the hints.
    pub banner: Option<Rect>,
    /// Last row.
    pub hints: Rect,
    /// What the header shows.
    pub kind: HeaderKind,
}

/// Divides the frame; `None` when it is too small for anything but one sentence.
pub fn bands(columns: u16, rows: u16, banner: bool) -> Option<Bands> {
    if columns < MIN_COLUMNS || rows < MIN_ROWS {
        return None;
    }
    let kind = match columns {
        130.. => HeaderKind::Strip,
        80.. => HeaderKind::Crumb,
        _ => HeaderKind::Counts,
    };
    let banner_rows = u16::from(banner);
    Some(Bands {
        header: Rect::new(0, 0, columns, 1),
        body: Rect::new(0, 1, columns, rows - 2 - banner_rows),
        banner: banner.then(|| Rect::new(0, rows - 2, columns, 1)),
        hints: Rect::new(0, rows - 1, columns, 1),
        kind,
    })
}

/// List and detail of a screen inside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// Title rule and rows of the list; empty when only the detail is shown.
    pub list: Rect,
    /// Title rule, tabs and content; empty when only the list is shown.
    pub pane: Rect,
    /// Column of the line between, when they stand beside each other.
    pub line: Option<u16>,
    /// Second heads are shown in the list.
    pub second_heads: bool,
    /// Words of states are shown, not only glyphs.
    pub words: bool,
}

/// How a screen likes to be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// List beside detail from 130 columns on; else above it.
    pub beside: bool,
    /// Share of the list in percent when beside, 30 to 70.
    pub share: u16,
    /// The focused pane takes the whole body.
    pub zoom: bool,
    /// The focus is in the detail.
    pub detail: bool,
    /// There is a row to detail.
    pub any: bool,
}

/// Divides a body into list and detail.
pub fn split(body: Rect, columns: u16, rows: u16, wish: Wish) -> Split {
    let none = Rect::new(body.x, body.y, 0, 0);
    let words = columns >= 70;
    let second_heads = rows >= 30;
    let one = |list: bool| Split {
        list: if list { body } else { none },
        pane: if list { none } else { body },
        line: None,
        second_heads,
        words,
    };
    if body.is_empty() {
        return Split { list: none, pane: none, line: None, second_heads, words };
    }
    if !(wish.any || wish.beside && columns >= 130) {
        return one(true);
    }
    if wish.zoom || columns < 60 {
        return one(!wish.detail);
    }
    if wish.beside && columns >= 130 {
        let share = wish.share.clamp(30, 70);
        let list = (u32::from(columns) * u32::from(share) / 100) as u16;
        return Split {
            list: Rect::new(body.x, body.y, list, body.height),
            pane: Rect::new(body.x + list + 1, body.y, body.width - list - 1, body.height),
            line: Some(body.x + list),
            second_heads,
            words,
        };
    }
    // Title rule and head count among the list's rows.
    let list = match rows {
        40.. => body.height * 2 / 5,
        30..=39 => body.height / 3,
        18..=29 => 8,
        15..=17 => 5,
        _ => 3,
    }
    .min(body.height.saturating_sub(3))
    .max(1)
    .min(body.height);
    Split {
        list: Rect::new(body.x, body.y, body.width, list),
        pane: Rect::new(body.x, body.y + list, body.width, body.height - list),
        line: None,
        second_heads,
        words,
    }
}

/// A list with a second one below it, and the detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Three {
    /// List and detail.
    pub split: Split,
    /// The second list; empty when it is not shown.
    pub second: Rect,
}

/// Rows that both lists of a screen want, and which of the two is looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lists {
    /// Rows of the list, second heads included.
    pub first: u16,
    /// Rows of the second list.
    pub second: u16,
    /// The focus is in the second one.
    pub in_second: bool,
}

/// Divides a body into two lists and a detail: from 130 columns on the second list stands beside the detail,
/// else between list and detail. Where it has no room it takes the detail's place while it has the focus.
pub fn three(body: Rect, columns: u16, rows: u16, wish: Wish, lists: Lists) -> Three {
    let none = Rect::new(body.x, body.y, 0, 0);
    let plain = split(body, columns, rows, Wish { beside: false, ..wish });
    if body.is_empty() || !wish.any {
        return Three { split: plain, second: none };
    }
    let in_place = |split: Split| match (wish.detail && lists.in_second, split.pane.is_empty()) {
        (true, false) => Three { split: Split { pane: none, line: None, ..split }, second: split.pane },
        _ => Three { split, second: none },
    };
    if wish.zoom || columns < 60 {
        return in_place(plain);
    }
    let blank = u16::from(rows >= 30);
    let list = (lists.first.saturating_add(2 + blank)).min(plain.list.height).max(1);
    let below = Rect { y: body.y + list, height: body.height - list, ..body };
    let over = Split { list: Rect { height: list, ..body }, pane: below, ..plain };
    if columns >= 130 {
        let share = (wish.share + 8).clamp(30, 70);
        let left = (u32::from(columns) * u32::from(share) / 100) as u16;
        let pane = Rect { x: body.x + left + 1, width: body.width - left - 1, ..below };
        let second = Rect { width: left.saturating_sub(1), ..below };
        return Three { split: Split { pane, line: Some(body.x + left), ..over }, second };
    }
    // The detail keeps its title and a few rows.
    let least = if rows >= 24 { 8 } else { 6 };
    let second = (lists.second.saturating_add(2 + blank)).min(below.height.saturating_sub(least));
    if second < 3 {
        return in_place(over);
    }
    let pane = Rect { y: below.y + second, height: below.height - second, ..below };
    Three { split: Split { pane, ..over }, second: Rect { height: second, ..below } }
}

/// A dialog of a wanted size in the middle of the body; the full width below 100 columns.
pub fn dialog(columns: u16, rows: u16, width: u16, height: u16) -> Rect {
    let width = if columns < 100 { columns } else { width.min(columns.saturating_sub(4)) };
    let height = height.min(rows.saturating_sub(2)).max(3);
    let x = (columns - width) / 2;
    let y = 1 + rows.saturating_sub(2).saturating_sub(height) / 3;
    Rect::new(x, y, width, height)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wish() -> Wish {
        Wish { beside: true, share: 49, zoom: false, detail: false, any: true }
    }

    #[test]
    fn the_two_drawn_sizes() {
        let wide = bands(160, 45, false).unwrap();
        let s = split(wide.body, 160, 45, wish());
        assert_eq!((s.list.width, s.line, s.pane.x, s.pane.width), (78, Some(78), 79, 81));
        assert_eq!(wide.kind, HeaderKind::Strip);
        let small = bands(80, 24, true).unwrap();
        let s = split(small.body, 80, 24, wish());
        assert_eq!((s.list.height, s.pane.y, s.pane.bottom()), (8, 9, 22));
        assert_eq!(small.banner.unwrap().y, 22);
        assert!(bands(39, 24, false).is_none() && bands(80, 9, false).is_none());
    }

    #[test]
    fn a_second_list_stands_as_drawn_and_never_gets_lost() {
        let lists = Lists { first: 5, second: 5, in_second: false };
        let of =
            |columns, rows, wish, lists| three(bands(columns, rows, false).unwrap().body, columns, rows, wish, lists);
        let small = of(80, 24, wish(), lists);
        let heights = (small.split.list.height, small.second.height, small.split.pane.height);
        assert_eq!(heights, (7, 7, 8));
        let wide = of(160, 45, wish(), lists);
        assert_eq!((wide.split.list.height, wide.second.width, wide.split.line), (8, 90, Some(91)));
        // Without room it takes the detail's place while it has the focus.
        let low = of(80, 15, wish(), lists);
        assert!(low.second.is_empty() && !low.split.pane.is_empty());
        let low = of(80, 15, Wish { detail: true, ..wish() }, Lists { in_second: true, ..lists });
        assert!(!low.second.is_empty() && low.split.pane.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_lies_outside(columns in 0u16..420, rows in 0u16..120, banner: bool, zoom: bool, detail: bool, any: bool) {
            if let Some(b) = bands(columns, rows, banner) {
                let whole = Rect::new(0, 0, columns, rows);
                let s = split(b.body, columns, rows, Wish { zoom, detail, any, ..wish() });
                for part in [b.header, b.body, b.hints, s.list, s.pane] {
                    prop_assert_eq!(part.intersection(whole), part);
                }
                prop_assert!(!s.list.intersects(s.pane) || s.list.is_empty() || s.pane.is_empty());
                let lists = Lists { first: columns % 40, second: rows % 50, in_second: zoom != any };
                let t = three(b.body, columns, rows, Wish { zoom, detail, any, ..wish() }, lists);
                let parts = [t.split.list, t.second, t.split.pane];
                for (i, part) in parts.iter().enumerate() {
                    prop_assert_eq!(part.intersection(whole), *part);
                    for other in &parts[i + 1..] {
                        prop_assert!(!part.intersects(*other) || part.is_empty() || other.is_empty());
                    }
                }
                prop_assert!(parts.iter().any(|p| !p.is_empty()));
            }
        }
    }
}
