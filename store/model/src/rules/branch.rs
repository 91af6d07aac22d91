//! Names of branches: any rendered text becomes a name git accepts.

use sha2::{Digest as _, Sha256};

use super::template::{Placeholder, TemplateError, Values, render};

/// The template in force when config has none.
pub const DEFAULT_TEMPLATE: &str = "{{issue.identifier}}-{{slug}}";
/// The branch of a workspace whose template leaves nothing usable.
pub const FALLBACK_BRANCH: &str = "wharf-work";
/// Longest branch name that is made, in bytes.
pub const MAX_BRANCH_BYTES: usize = 120;
/// Longest text that is looked at, in bytes; longer ones differ by what comes before.
const MAX_TEXT_BYTES: usize = 4096;
/// Hexadecimal digits that stand for what was cut.
const CUT_DIGITS: usize = 8;

/// Makes a valid branch name: keeps ASCII letters, digits and `. _ / -`, joins everything else
/// into single dashes, drops what git forbids at the ends of components, and cuts at
/// [`MAX_BRANCH_BYTES`]; a few digits at its end then keep it apart from others that begin alike.
/// Falls back to [`FALLBACK_BRANCH`] when nothing is left.
pub fn sanitise(rendered: &str) -> String {
    let mut kept = String::with_capacity(MAX_BRANCH_BYTES);
    for c in rendered.trim().chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/') { c } else { '-' };
        // Repeated dots, slashes and dashes are what git forbids or nobody wants to read.
        if !(matches!(c, '-' | '.' | '/') && kept.ends_with(c)) {
            kept.push(c);
        }
        if kept.len() >= MAX_TEXT_BYTES {
            break;
        }
    }
    let mut name = components(&kept);
    if name.len() > MAX_BRANCH_BYTES {
        // Two issues whose titles begin alike would come to one branch, and one would work in the other's files.
        let digest = format!("{:x}", Sha256::digest(name.as_bytes()));
        let head = components(&name[..MAX_BRANCH_BYTES - CUT_DIGITS - 1]);
        name = format!("{head}-{}", &digest[..CUT_DIGITS]);
    }
    if is_valid(&name) { name } else { FALLBACK_BRANCH.to_owned() }
}

fn components(text: &str) -> String {
    text.split('/').map(component).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("/")
}

/// The branch of a workspace: its template with the values put in, then sanitised.
pub fn name(template: &str, values: &Values) -> Result<String, TemplateError> {
    Ok(sanitise(&render(template, Placeholder::FOR_BRANCH, values)?))
}

fn component(text: &str) -> &str {
    let mut text = text.trim_matches(['-', '.']);
    while let Some(shorter) = text.strip_suffix(".lock") {
        text = shorter.trim_end_matches(['-', '.']);
    }
    text
}

/// Whether git accepts the name for a new branch (the rules of ref names plus those of branches),
/// without the stricter taste of [`sanitise`].
pub fn is_valid(name: &str) -> bool {
    let forbidden = |c: char| c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    !name.is_empty()
        && name != "@"
        && name != "HEAD"
        && !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(forbidden)
        && name.split('/').all(|c| !c.is_empty() && !c.starts_with('.') && c.strip_suffix(".lock").is_none())
}

/// Whether two branches cannot exist at once, because one would be a directory of the other
/// (`a` and `a/b`).
pub fn in_the_way(one: &str, other: &str) -> bool {
    let below = |above: &str, name: &str| name.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'));
    below(one, other) || below(other, one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sanitise_table() {
        let table = [
            ("SHOP-17-fix-the-cart", "SHOP-17-fix-the-cart"),
            ("feature/SHOP 17: fix  it!", "feature/SHOP-17-fix-it"),
            ("--rf", "rf"),
            ("-", FALLBACK_BRANCH),
            ("", FALLBACK_BRANCH),
            ("修复", FALLBACK_BRANCH),
            ("HEAD", FALLBACK_BRANCH),
            ("a..b", "a.b"),
            ("../../etc/passwd", "etc/passwd"),
            ("a/../b", "a/b"),
            ("a/./b", "a/b"),
            ("a//b/", "a/b"),
            ("x.lock", "x"),
            ("x.lock.lock", "x"),
            ("a.lock/b", "a/b"),
            (".lock", "lock"),
            ("a/.git/b", "a/git/b"),
            ("we@{1}", "we-1"),
            ("@", FALLBACK_BRANCH),
            ("a b\0c\nd", "a-b-c-d"),
            ("  padded  ", "padded"),
        ];
        for (input, expected) in table {
            assert_eq!(sanitise(input), expected, "{input:?}");
        }
    }

    #[test]
    fn templates_become_branches() {
        use crate::rules::template::naming;
        assert_eq!(name(DEFAULT_TEMPLATE, &naming(None, "R-12", "Code fixer")).unwrap(), "R-12-code-fixer");
        assert_eq!(name("{{agent.name}}", &naming(None, "R-12", "..")).unwrap(), FALLBACK_BRANCH);
        assert!(name("{{port}}", &naming(None, "R-12", "a")).is_err());
    }

    #[test]
    fn the_cut_leaves_no_forbidden_end() {
        let long = format!("{}.lock-tail{}", "a".repeat(106), "b".repeat(20));
        let cut = sanitise(&long);
        assert!(cut.starts_with(&format!("{}-", "a".repeat(106))) && cut.len() == 106 + 9, "{cut}");
        assert!(sanitise(&"ab/".repeat(200)).len() <= MAX_BRANCH_BYTES);
    }

    #[test]
    fn what_begins_alike_stays_apart() {
        let long = "a".repeat(130);
        assert_ne!(sanitise(&format!("{long}-SHOP-1")), sanitise(&format!("{long}-SHOP-2")));
        assert_eq!(sanitise(&format!("{long}-SHOP-1")), sanitise(&format!(" {long}-SHOP-1 ")));
        let most = "a".repeat(MAX_BRANCH_BYTES);
        assert_eq!(sanitise(&most), most);
    }

    #[test]
    fn validity_table() {
        for bad in ["", "@", "HEAD", "-a", "a.", "a..b", "a@{b", "a b", "a~", "a^", "a:b", "a?", "a*", "a[", "a\\b"] {
            assert!(!is_valid(bad), "{bad}");
        }
        for bad in ["/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a\tb", "a\u{7f}"] {
            assert!(!is_valid(bad), "{bad}");
        }
        for good in ["main", "a/b", "a@b", "ü", "a.b", "a-", "refs/heads/x"] {
            assert!(is_valid(good), "{good}");
        }
    }

    #[test]
    fn in_the_way_table() {
        assert!(in_the_way("a", "a/b") && in_the_way("a/b", "a") && in_the_way("a", "a/b/c"));
        assert!(!in_the_way("a", "a") && !in_the_way("a", "ab") && !in_the_way("a/b", "a/c"));
    }

    proptest! {
        #[test]
        fn always_valid_short_and_stable(text in r"([a-zA-Z0-9./_@{} ~^:?*\[\\-]|\.lock|\.\.|//|@\{|\PC){0,200}") {
            let name = sanitise(&text);
            prop_assert!(is_valid(&name), "{name:?}");
            prop_assert!(name.len() <= MAX_BRANCH_BYTES);
            prop_assert!(!name.split('/').any(|c| c == ".." || c == "." || c.starts_with('-')));
            prop_assert_eq!(sanitise(&name), name);
        }
    }
}
