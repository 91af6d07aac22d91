//! The local driver, and the simulated engine as one that carries files.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use wharf_model::Driver as Kind;

use super::contract::contract;
use super::simulated::Provider;
use super::simulated_driver::Simulated;
use super::simulated_target::Flaw;
use super::subject::{Made, Reach, Subject, operator};

struct Local;

impl Subject for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        Made::of(Kind::Local, json!({}), root, operator(root))
    }
}

/// The simulated engine, with a flaw or none.
pub struct Engine(pub Option<Flaw>);

impl Subject for Engine {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn make(&self, root: &Path) -> Result<Made, String> {
        let provider = Provider::new(&root.join("provider"));
        let flaw = self.0;
        let (for_driver, for_places) = (Arc::clone(&provider), Arc::clone(&provider));
        Ok(Made {
            driver: Box::new(move || Arc::new(Simulated { provider: Arc::clone(&for_driver), flaw })),
            operator: operator(root),
            reach: Some(Box::new(Controller(provider))),
            private: None,
            places: Some(Box::new(move || for_places.ids())),
            stays: |_| false,
            _keep: Box::new(()),
        })
    }
}

struct Controller(Arc<Provider>);

impl Reach for Controller {
    fn cut(&self) {
        self.0.lose(true);
    }

    fn mend(&self) {
        self.0.lose(false);
    }
}

#[test]
fn local_keeps_the_contract() {
    contract(&Local);
}

#[test]
fn the_simulated_engine_keeps_the_contract() {
    contract(&Engine(None));
}
