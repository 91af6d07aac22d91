//! An environment behind a plugin that notes every call: what the provider has, beside what the rows say.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What the witness saw, below the directory of a site.
pub struct Witness {
    root: PathBuf,
}

impl Witness {
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// An environment that it provides; `$ROOT` in it is the directory it is at.
    pub fn environment(name: &str, more: &str) -> String {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (witness, example) = (tests.join("tests/drivers/witness.py"), tests.join("assets/plugins/places.py"));
        format!(
            "[[environment]]\nname = \"{name}\"\ndriver = \"plugin\"\n{more}\n[environment.config]\n\
             command = [\"python3\", {witness:?}, {example:?}]\ndriver = \"places\"\n\
             [environment.config.config]\nroot = \"$ROOT/places\"\n"
        )
    }

    /// Names of the places that exist.
    pub fn places(&self) -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir(self.root.join("places"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        all.sort();
        all
    }

    /// Every line of its notes: calls when they begin, and again when they are done.
    pub fn notes(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.root.join("witness/calls")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Calls of a method that began.
    pub fn calls(&self, method: &str) -> Vec<Value> {
        self.notes().into_iter().filter(|note| note["method"] == method && note["at"] == "begun").collect()
    }

    /// The next calls of a method go wrong like this, one after the other.
    pub fn order(&self, method: &str, orders: &[Value]) {
        let dir = self.root.join("witness/orders").join(method);
        std::fs::create_dir_all(&dir).unwrap();
        for (at, order) in orders.iter().enumerate() {
            std::fs::write(dir.join(format!("{at:03}")), order.to_string()).unwrap();
        }
    }

    /// The next `count` calls of a method fail with this; trying again may help.
    pub fn fail(&self, method: &str, count: usize, why: &str) {
        self.order(method, &vec![json!({ "fail": why }); count]);
    }

    /// The next call of a method is refused with this.
    pub fn refuse(&self, method: &str, why: &str) {
        self.order(method, &[json!({ "refuse": why })]);
    }
}
