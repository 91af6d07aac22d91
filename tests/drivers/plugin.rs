//! The plugin driver with the example plugin that wharf ships.

use std::path::Path;

use super::contract::contract;
use super::subject::{Made, Subject, is_there, operator};
use serde_json::json;
use wharf_model::Driver as Kind;

struct Plugin;

impl Subject for Plugin {
    fn name(&self) -> &'static str {
        "plugin"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        if !is_there("python3") {
            return Err("there is no python3 here".into());
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/plugins/places.py");
        let places = root.join("places");
        let config = json!({ "command": ["python3", program], "driver": "places", "config": { "root": places } });
        let made = Made::of(Kind::Plugin, config, root, operator(root))?;
        let names = move || {
            let mut all: Vec<String> = std::fs::read_dir(&places)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            all.sort();
            all
        };
        Ok(Made {
            places: Some(Box::new(names)),
            // It serves all calls of this process, and goes with it.
            stays: |line| line.contains("places.py") && !line.contains("--run"),
            ..made
        })
    }
}

#[test]
fn the_example_plugin_keeps_the_contract() {
    contract(&Plugin);
}
