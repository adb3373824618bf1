//! `simulation --seeds N --from SEED`: runs seeds one after the other and stops at the first that fails.

use clap::Parser;
use simulation::run::{regressions, simulate};
use std::io::Write;
use std::process::ExitCode;

/// How often is said how far it is, in seeds.
const SAY_EVERY: u64 = 500;

/// Simulates the path of a record under faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Prints the whole trace of every seed, and runs no regressions before them.
    #[arg(long)]
    trace: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout();
    let (mut acknowledged, mut looks, mut steps) = (0, 0, 0);
    let first = if arguments.trace { Vec::new() } else { regressions() };
    let seeds = first.into_iter().chain(arguments.from..arguments.from.saturating_add(arguments.seeds));
    for (seed, count) in seeds.zip(1..) {
        let report = simulate(seed, None)?;
        if arguments.trace {
            report.trace.iter().try_for_each(|step| writeln!(out, "{step}"))?;
        }
        if !report.is_sound() {
            write!(out, "{report}")?;
            writeln!(out, "again: simulation --from {seed} --seeds 1 (and add it to simulation/seeds.txt)")?;
            return Ok(ExitCode::FAILURE);
        }
        acknowledged += report.acknowledged;
        looks += report.looks;
        steps += report.trace.len();
        if count % SAY_EVERY == 0 {
            writeln!(out, "... {count} seeds")?;
        }
    }
    writeln!(out, "sound: {acknowledged} deliveries, {steps} steps, {looks} looks at what was announced")?;
    Ok(ExitCode::SUCCESS)
}
