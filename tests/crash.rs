//! What survives a killed orchestrator, bad input and impatient operators: whole programs, real files.

#[path = "support/orchestrator.rs"]
mod orchestrator;

#[path = "crash/adopt.rs"]
mod adopt;
#[path = "crash/cancel.rs"]
mod cancel;
#[path = "crash/kill_points.rs"]
mod kill_points;
#[path = "crash/services.rs"]
mod services;
