//! The workspace in a container, and the way in for commands.

use serde_json::json;

use super::super::bubblewrap::blocking;
use super::super::mount::{self, Bind};
use super::super::place::Place;
use super::super::realised::{self, Workspace};
use super::super::{code, hand, sources};
use super::engine::{is_absent, trouble};
use super::{Container, LABEL_MADE, create, name};
use crate::environment::driver::{Answer, CwdPass, EnvPass, Held, RealiseAsk, Realised, Target};

/// What is to be known of git in containers.
const LINKS: &str = "links that are made in git's directories are found and removed only after the run: until then use \
    git in other checkouts of the repository with care";

/// Why a container could not be had.
pub(super) enum Trouble {
    /// It never can.
    Refused(String),
    /// It may another time.
    Unknown(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

impl Trouble {
    fn answer<T>(self, code: &str) -> Answer<T> {
        match self {
            Self::Refused(hint) => Answer::refused(code, hint),
            Self::Unknown(evidence) => Answer::unknown(evidence),
        }
    }
}

impl Container {
    /// Has a container with these mounts run. One that was made otherwise is removed first: an engine changes no
    /// mounts of what exists. Says whether that was so.
    pub(super) async fn make(&self, place: &Place, binds: &[Bind]) -> Result<bool, Trouble> {
        let wanted = create::wanted(&self.config, &self.site, &self.owner(), place, binds).map_err(Trouble::Refused)?;
        let mut anew = false;
        if let Some(known) = self.engine.look(&name(place)).await? {
            self.ours(place, &known).map_err(Trouble::Refused)?;
            if known.labels.get(LABEL_MADE) != Some(&wanted.made) {
                // Before it goes: a call that ends in between must not leave a place that is taken for gone.
                place.forget_made().map_err(|error| error.to_string())?;
                self.engine.must_change(&["rm", "--force", "--volumes", &name(place)]).await?;
                anew = true;
            }
        }
        if self.engine.look(&name(place)).await?.is_none() {
            place.open_run().map_err(|error| error.to_string())?;
            let said = self.engine.change(&wanted.words).await?;
            if !said.ok() {
                let why = format!("{} makes no container: {}", self.engine.kind(), trouble(&said));
                return Err(if is_absent(&said) { Trouble::Refused(self.no_image()) } else { Trouble::Unknown(why) });
            }
        }
        // Only now: one that was never made is not gone.
        place.note_made().map_err(|error| error.to_string())?;
        match self.start(place).await {
            Ok(()) => Ok(anew),
            Err(why) if why.contains("/bin/sh") => {
                Err(Trouble::Refused(format!("{why}; the image needs /bin/sh, choose one that has it")))
            }
            Err(why) => Err(Trouble::Unknown(why)),
        }
    }

    pub(super) async fn show(&self, held: &Held, ask: &RealiseAsk) -> Answer<Realised> {
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::REALISE, why),
        };
        let (this, asked) = (self.clone(), Workspace::of(ask));
        let binds = blocking(move || {
            let shown = asked.looked_through(&this.site).and_then(|workspace| {
                let mounts = sources::binds(&this.config, &this.site)?;
                let (layout, binds) = workspace.binds(&mounts, &this.site)?;
                Ok((workspace, layout, binds))
            });
            shown.map_or_else(|why| Answer::refused(code::REALISE, why), Answer::Done)
        });
        let (workspace, layout, binds) = match binds.await {
            Answer::Done(shown) => shown,
            Answer::Refused { code, hint } => return Answer::Refused { code, hint },
            Answer::Unknown { evidence } => return Answer::Unknown { evidence },
        };
        match self.there(&place).await {
            Ok(true) => {}
            Ok(false) => {
                return Answer::refused(code::REALISE, format!("the container {} is not there any more", name(&place)));
            }
            Err(why) => return Answer::unknown(why),
        }
        match self.make(&place, &binds).await {
            Ok(anew) => {
                let more =
                    json!({ "provider": self.engine.kind().as_str(), "container": name(&place), "made_anew": anew });
                let record = realised::record(&workspace, &layout, &binds, Some(LINKS), more);
                Answer::Done(Realised { cwd: ask.cwd.display().to_string(), sync: "none".into(), record })
            }
            Err(trouble) => trouble.answer(code::REALISE),
        }
    }

    pub(super) async fn way_in(&self, held: &Held, realised: Option<&Realised>) -> Answer<Target> {
        let Some(program) = self.engine.program() else {
            return Answer::refused(code::TARGET, self.engine.not_found());
        };
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::TARGET, why),
        };
        match self.engine.look(&name(&place)).await {
            Ok(Some(known)) => {
                if let Err(why) = self.ours(&place, &known) {
                    return Answer::refused(code::TARGET, why);
                }
                if let Err(why) = self.start(&place).await {
                    return Answer::unknown(why);
                }
            }
            Ok(None) if realised.is_none() && !place.was_made().unwrap_or(true) => {
                // Without a workspace: a test of the environment.
                let made = match sources::binds(&self.config, &self.site) {
                    Ok(binds) => self.make(&place, &binds).await,
                    Err(why) => Err(Trouble::Refused(why)),
                };
                if let Err(trouble) = made {
                    return trouble.answer(code::TARGET);
                }
            }
            Ok(None) => {
                let hint = format!("the container {} is not there any more; start the run anew", name(&place));
                return Answer::refused(code::TARGET, hint);
            }
            Err(why) => return Answer::unknown(why),
        }
        match self.wrapped(program, &place) {
            Ok(target) => Answer::Done(target),
            Err(why) => Answer::refused(code::TARGET, why),
        }
    }

    pub(super) fn wrapped(&self, program: &str, place: &Place) -> Result<Target, String> {
        let mut head = hand::words(&mount::word(&self.site.program)?, hand::CONTAINER);
        for (word, value) in [("--data", mount::word(&self.site.data)?), ("--run", mount::word(&place.part("run"))?)] {
            head.extend([word.to_owned(), value]);
        }
        head.extend(["--name", &name(place), "--", program, "exec", "-i"].map(str::to_owned));
        let mut own_env = self.engine.env().clone();
        own_env.insert(hand::ENGINE_ENV.to_owned(), json!(self.engine.env()).to_string());
        Ok(Target {
            head,
            tail: vec![name(place)],
            tty: Some(vec!["-t".to_owned()]),
            cwd: CwdPass::Flag("--workdir".to_owned()),
            env: EnvPass::ByName("--env".to_owned()),
            keeps_identity: false,
            set: self.config.env.clone(),
            own_env,
            ..Target::default()
        })
    }

    /// Starts a container that is there and does not run.
    pub(super) async fn start(&self, place: &Place) -> Result<(), String> {
        match self.engine.look(&name(place)).await? {
            Some(known) if known.status == "paused" => {
                self.engine.must_change(&["unpause", &name(place)]).await.map(drop)
            }
            Some(known) if known.status != "running" => {
                self.engine.must_change(&["start", &name(place)]).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}
