use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

/// A checkout of a workspace with a server that needs a database package, and its links.
struct Checkout(PathBuf);

impl Checkout {
    fn new(top: &Path, name: &str) -> Self {
        let root = fs::canonicalize(top).unwrap().join(name);
        let it = Self(root);
        it.write(WORKSPACE_FILE, "packages:\n  - server\n  - packages/*\n");
        it.write(".git", "gitdir: elsewhere\n");
        it.write("package.json", "{ \"name\": \"root\" }");
        let needs = "{ \"name\": \"server\", \"dependencies\": { \"@a/db\": \"workspace:*\", \"left\": \"^1\" } }";
        it.write("server/package.json", needs);
        it.write("server/src/main.js", "");
        it.write("packages/db/package.json", "{ \"name\": \"@a/db\" }");
        it
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: impl AsRef<Path>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn find(&self, cwd: &str) -> Vec<Finding> {
        WorkspaceLinks.find(&self.0.join(cwd), Instant::now() + Duration::from_mins(1)).unwrap()
    }
}

const LINK: &str = "server/node_modules/@a/db";

#[test]
fn a_link_into_another_checkout_is_set_to_this_one() {
    let top = tempfile::tempdir().unwrap();
    let (main, tree) = (Checkout::new(top.path(), "main"), Checkout::new(top.path(), "tree"));
    tree.link(LINK, main.0.join("packages/db"));
    for cwd in ["", "server", "server/src", "packages/db"] {
        let found = tree.find(cwd);
        assert_eq!(found.len(), 1, "{cwd}: {found:?}");
        let words = &found[0].words;
        assert!(words.contains(LINK) && words.contains("outside of this checkout"), "{words}");
        assert!(words.ends_with("instead of packages/db"), "{words}");
    }
    let relink = tree.find("server").remove(0).repair.unwrap();
    assert_eq!(relink.target, Path::new("../../../packages/db"));
    relink.carry_out().unwrap();
    assert_eq!(fs::canonicalize(tree.0.join(LINK)).unwrap(), tree.0.join("packages/db"));
    assert_eq!(tree.find("server"), []);
    // Nothing else was made, and the other checkout is as it was.
    assert_eq!(fs::read_dir(tree.0.join("server/node_modules/@a")).unwrap().count(), 1);
    assert_eq!(main.find("server"), []);
}

#[test]
fn links_that_lead_nowhere_or_are_missing_are_set() {
    let top = tempfile::tempdir().unwrap();
    let dangling = Checkout::new(top.path(), "dangling");
    dangling.link(LINK, "../../../../gone/packages/db");
    assert!(dangling.find("server")[0].words.contains("which is not there"));
    dangling.find("server").remove(0).repair.unwrap().carry_out().unwrap();
    assert_eq!(dangling.find("server"), []);

    let missing = Checkout::new(top.path(), "missing");
    assert_eq!(missing.find("server"), [], "nothing is installed");
    missing.write("server/node_modules/left/package.json", "{}");
    let found = missing.find("server");
    assert!(found[0].words.contains("is missing"), "{found:?}");
    // The directory of the scope is not there yet.
    missing.find("server").remove(0).repair.unwrap().carry_out().unwrap();
    assert_eq!(missing.find("server"), []);
}

#[test]
fn what_lies_in_a_directory_of_another_checkout_is_told_and_stays() {
    let top = tempfile::tempdir().unwrap();
    let (main, tree) = (Checkout::new(top.path(), "main"), Checkout::new(top.path(), "tree"));
    main.link(LINK, "../../../packages/db");
    tree.link("server/node_modules", main.0.join("server/node_modules"));
    let found = tree.find("server");
    let why = found[0].repair.as_ref().unwrap_err();
    assert!(why.contains("would change that checkout"), "{why}");
    assert_eq!(main.find("server"), []);
}

#[test]
fn what_is_no_link_or_leads_inside_is_left_alone() {
    let top = tempfile::tempdir().unwrap();
    let copied = Checkout::new(top.path(), "copied");
    copied.write("server/node_modules/@a/db/package.json", "{ \"name\": \"@a/db\" }");
    assert_eq!(copied.find("server"), []);
    let stored = Checkout::new(top.path(), "stored");
    stored.write("node_modules/.pnpm/db/package.json", "{}");
    stored.link(LINK, "../../../node_modules/.pnpm/db");
    assert_eq!(stored.find("server"), []);
    // Installed for all of them at the top.
    let hoisted = Checkout::new(top.path(), "hoisted");
    hoisted.link("node_modules/@a/db", "../../packages/db");
    hoisted.write("server/node_modules/left/package.json", "{}");
    assert_eq!(hoisted.find("server"), []);
}

#[test]
fn only_a_workspace_of_the_same_checkout_counts() {
    let top = tempfile::tempdir().unwrap();
    let main = Checkout::new(top.path(), "main");
    main.link(LINK, "/nowhere/at/all");
    let plain = main.0.join(".wharf/worktrees/plain");
    fs::create_dir_all(&plain).unwrap();
    fs::write(plain.join(".git"), "gitdir: elsewhere\n").unwrap();
    assert_eq!(main.find(".wharf/worktrees/plain"), [], "it is another checkout, without a workspace");
    assert_eq!(main.find("server").len(), 1);
    let none = top.path().join("none");
    fs::create_dir(&none).unwrap();
    assert_eq!(WorkspaceLinks.find(&none, Instant::now()).unwrap(), []);
}

#[test]
fn names_that_lead_elsewhere_make_no_link_there() {
    let top = tempfile::tempdir().unwrap();
    let it = Checkout::new(top.path(), "it");
    it.write("packages/evil/package.json", "{ \"name\": \"../../../evil\" }");
    it.write(
        "server/package.json",
        "{ \"name\": \"server\", \"dependencies\": { \"../../../evil\": \"workspace:*\" } }",
    );
    it.write("server/node_modules/left/package.json", "{}");
    assert_eq!(it.find("server"), []);
}

#[test]
fn a_directory_in_place_of_a_link_is_not_replaced() {
    let top = tempfile::tempdir().unwrap();
    let link = fs::canonicalize(top.path()).unwrap().join("link");
    fs::create_dir(&link).unwrap();
    fs::write(link.join("work"), "mine").unwrap();
    let relink = Relink { link: link.clone(), target: "elsewhere".into() };
    assert_eq!(relink.carry_out().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(link.join("work")).unwrap(), "mine");
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), 1);
}
