//! What survives a killed orchestrator, bad input and impatient operators: whole programs, real files.

#[path = "support/orchestrator.rs"]
mod orchestrator;

#[path = "crash/adopt.rs"]
mod adopt;
#[path = "crash/kill_points.rs"]
mod kill_points;
