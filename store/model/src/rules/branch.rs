//! Names of branches: any rendered text becomes a name git accepts.

use super::template::{Placeholder, TemplateError, Values, render};

/// The template in force when config has none.
pub const DEFAULT_TEMPLATE: &str = "{{issue.identifier}}-{{slug}}";
/// The branch of a workspace whose template leaves nothing usable.
pub const FALLBACK_BRANCH: &str = "wharf-work";
/// Longest branch name that is made, in bytes.
pub const MAX_BRANCH_BYTES: usize = 120;

/// Makes a valid branch name: keeps ASCII letters, digits and `. _ / -`, joins everything else
/// into single dashes, drops what git forbids at the ends of components, and cuts at
/// [`MAX_BRANCH_BYTES`]. Falls back to [`FALLBACK_BRANCH`] when nothing is left.
pub fn sanitise(rendered: &str) -> String {
    let mut kept = String::with_capacity(MAX_BRANCH_BYTES);
    for c in rendered.trim().chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/') { c } else { '-' };
        // Repeated dots, slashes and dashes are what git forbids or nobody wants to read.
        if !(matches!(c, '-' | '.' | '/') && kept.ends_with(c)) {
            kept.push(c);
        }
        // A little more than the limit, since trimming may shorten the start.
        if kept.len() >= 2 * MAX_BRANCH_BYTES {
            break;
        }
    }
    let start = kept.trim_start_matches(['-', '.', '/']);
    let cut = &start[..start.len().min(MAX_BRANCH_BYTES)];
    let name = cut.split('/').map(component).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("/");
    if is_valid(&name) { name } else { FALLBACK_BRANCH.to_owned() }
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
        let long = format!("{}.lock-tail", "a".repeat(115));
        assert_eq!(sanitise(&long), "a".repeat(115));
        assert_eq!(sanitise(&"ab/".repeat(200)).len(), 119);
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
