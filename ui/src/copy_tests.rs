//! `Y` and its letters, pane by pane.

use crate::effect::Effect;
use crate::testing::Bench;

fn copied(bench: &Bench) -> Vec<String> {
    let of = |effect: &Effect| if let Effect::Copy(words) = effect { Some(words.clone()) } else { None };
    bench.effects.iter().filter_map(of).collect()
}

/// What each letter copies in a pane: none where it says that there is nothing of it.
#[test]
fn every_form_of_every_pane_is_copied_or_refused_in_words() {
    let letters = ["n", "p", "l", "c", "a", "j"];
    let json = |kind: &str| format!("{{\n  \"kind\": \"{kind}\"\n}}");
    let table: [(&str, [Option<String>; 6]); 12] = {
        let s = |words: &str| Some(words.to_owned());
        let service = |command: &str| {
            let url = "http://localhost:3007";
            [s("S-15"), s("/home/ops/src/shop"), s(url), s(command), s("the service's command"), s(&json("service"))]
        };
        let workspace = |path: &str, command: &str| [s("W-7"), s(path), None, s(command), None, s(&json("workspace"))];
        let tree = "~/src/shop/.wharf/trees/SHOP-16-search-synonyms";
        let run = |command: &str| [s("R-1042"), None, None, s(command), s("the run's command"), s(&json("run"))];
        [
            ("3 j", service("wharf show S-15")),
            ("3 j t o", service("wharf service logs S-15")),
            ("3 j t d", service("wharf show S-15")),
            ("3 j t w", service("wharf service why S-15")),
            ("3 Tab j", [s("5433"), None, None, s("wharf ports"), None, None]),
            ("5 j j j j", workspace(tree, "wharf workspace show W-7")),
            ("5 j j j j t h", {
                [s("O-44"), None, None, s("wharf logs O-44"), s("the operation's command"), s(&json("operation"))]
            }),
            ("5 j j j j t s", [s("W-7.2"), None, None, s("wharf workspace restore W-7.2"), None, None]),
            ("5 j j j j t c", workspace(tree, "wharf workspace archive W-7 --dry-run")),
            ("5 j j j j t f", workspace("/src/shop/.wharf/worktrees/SHOP-17/src/checkout/retry.rs", "wharf diff W-7")),
            ("t w", run("wharf why R-1042")),
            ("t d", run("wharf show R-1042")),
        ]
    };
    for (pane, forms) in table {
        for (letter, form) in letters.iter().zip(forms) {
            let mut bench = Bench::drawn(160, 45);
            bench.keys(pane);
            bench.effects.clear();
            bench.keys(&format!("Y {letter}"));
            assert_eq!(copied(&bench), form.clone().into_iter().collect::<Vec<_>>(), "{pane}: Y {letter}");
            let said = bench.app.toasts.last().map(|t| t.words.clone()).unwrap_or_default();
            let refused = said.contains("has no") || said.contains("Nothing was copied: ");
            assert_eq!(form.is_none(), refused, "{pane}: Y {letter}: {said}");
        }
    }
}

#[test]
fn a_pane_is_copied_as_text_without_its_frame() {
    let text = |keys: &str| {
        let mut bench = Bench::drawn(160, 45);
        bench.keys(keys);
        bench.effects.clear();
        bench.keys("Y t");
        copied(&bench).pop().unwrap()
    };
    let list = text("3");
    assert!(list.starts_with("  SVC") && list.contains("S-15") && !list.contains('│'), "{list}");
    let board = text("3 Tab");
    assert!(board.contains("5432") && !board.contains("optimizing"), "{board}");
    let log = text("3 j t o");
    assert!(log.contains("1/50 ok") && !log.contains("5432"), "{log}");
    let facts = text("3 j t d");
    assert!(facts.starts_with("SERVICE     S-15") && !facts.contains("j/k scroll"), "{facts}");
    let why = text("t w");
    assert!(why.contains("R-1042") && !why.contains("[Why]"), "{why}");
    let diff = text("t f");
    assert!(diff.contains("\n@@ -72,9 +72,14 @@") && diff.contains("\n+"), "{diff}");
    let check = text("5 j j j j t c");
    assert!(check.contains("W-7") || check.contains("issue"), "{check}");
    // What Why says is what y copies there as well.
    let mut bench = Bench::drawn(160, 45);
    bench.keys("t w y Y t");
    let both = copied(&bench);
    assert_eq!(both[0].trim_end(), both[1], "{both:?}");
}
