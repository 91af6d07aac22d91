//! Whole screens, compared with their drawings, and promises that hold for any keys.

use proptest::prelude::*;
use ratatui::layout::Rect;

use crate::msg::Msg;
use crate::testing::*;

const WIDE: &str = include_str!("../mockups/ledger-output-160.txt");
const SMALL: &str = include_str!("../mockups/ledger-output-80.txt");
const ASCII: &str = include_str!("../mockups/ledger-output-80-ascii.txt");

#[test]
fn the_ledger_is_as_drawn_at_160x45() {
    let bench = Bench::drawn(160, 45);
    bench.assert_drawn(WIDE, Rect::new(0, 1, 78, 43));
    bench.assert_drawn(WIDE, Rect::new(78, 1, 82, 1));
    bench.assert_drawn(WIDE, Rect::new(78, 3, 82, 41));
    bench.assert_drawn(WIDE, Rect::new(104, 0, 56, 1));
}

#[test]
fn the_ledger_is_as_drawn_at_80x24() {
    let bench = Bench::drawn(80, 24);
    bench.assert_drawn(SMALL, Rect::new(0, 0, 80, 10));
    bench.assert_drawn(SMALL, Rect::new(0, 11, 80, 12));
}

#[test]
fn ascii_maps_cell_by_cell() {
    let mut bench = Bench::drawn(80, 24);
    bench.app.env.ascii = true;
    bench.assert_drawn(ASCII, Rect::new(0, 0, 80, 10));
    bench.assert_drawn(ASCII, Rect::new(0, 11, 80, 12));
}

#[test]
fn snapshots() {
    for (columns, rows) in [(80, 24), (160, 45)] {
        let size = format!("{columns}x{rows}");
        let mut bench = Bench::drawn(columns, rows);
        insta::assert_snapshot!(format!("ledger-{size}"), bench.text());
        bench.keys(":");
        bench.type_in("wrap");
        insta::assert_snapshot!(format!("palette-{size}"), bench.text());
        bench.keys("Esc ?");
        insta::assert_snapshot!(format!("help-{size}"), bench.text());
        bench.keys("Esc /");
        bench.type_in("agent:fixer status:fa");
        insta::assert_snapshot!(format!("filter-{size}"), bench.text());
        bench.keys("Esc");
        bench.keys("Tab /");
        bench.type_in("ok");
        bench.keys("Enter");
        insta::assert_snapshot!(format!("search-{size}"), bench.text());
        insta::assert_snapshot!(format!("empty-{size}"), Bench::open(columns, rows, nothing).text());
    }
    insta::assert_snapshot!("ledger-60x20", Bench::drawn(60, 20).text());
    insta::assert_snapshot!("ledger-20x5", Bench::drawn(20, 5).text());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_keys_at_any_size_neither_panic_nor_steer_the_terminal(
        steps in proptest::collection::vec((0usize..64, 20u16..240, 5u16..70), 1..60),
    ) {
        const KEYS: [&str; 48] = ["j", "k", "G", "g", "e", "Tab", "/", ":", "?", "Esc", "Enter", "f", "b", "T", "W", "J", "n", "N",
            "space", "*", "z", "y", "i", "x", "t", "o", "l", "h", "d", ">", "<", "PgUp", "PgDn", "Home", "End", "ctrl-u", "ctrl-d",
            "Up", "Down", "Left", "Right", "Backspace", "a", "s", "R", "alt-+", "ctrl-w", "Q"];
        let mut bench = Bench::drawn(80, 24);
        for (key, columns, rows) in steps {
            match KEYS.get(key) {
                Some(word) => bench.keys(word),
                None if key % 2 == 0 => bench.send(Msg::Resize(columns, rows)),
                None => bench.send(Msg::Tick(bench.app.env.now.plus(1000))),
            }
            let buffer = bench.buffer();
            for cell in buffer.content() {
                prop_assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
            }
        }
    }
}
