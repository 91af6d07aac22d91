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
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/plugins/example");
        let config = json!({ "command": [program], "driver": "example" });
        Made::of(Kind::Plugin, config, root, operator(root))
    }
}

#[test]
fn the_example_plugin_keeps_the_contract() {
    contract(&Plugin);
}
