//! The figures of roles in processes of their own, on real outside parts: what `make bench` prints of them.
//!
//! Each step starts its own processes ([`roles`]), sends signed events to their edges, watches how far the processors
//! are ([`watch`]), and prints rows. What a step finds never decides anything: a goal that is missed is said in its row.

pub mod cost;
pub mod drain;
pub mod edge;
pub mod growth;
pub mod outage;
pub mod processing;
pub mod roles;
pub mod visible;
pub mod watch;

use anyhow::{Result, ensure};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct FigureOptions {
    /// Which figure.
    pub figure: Figure,
    /// The product's binary.
    pub binary: PathBuf,
    /// Jars of the broker: for one of our own, and to delete topics.
    pub kafka_libs: PathBuf,
    /// Processes of each role, where a figure leaves it open.
    pub copies: usize,
    /// Length of a load.
    pub duration: Duration,
    /// Events that lie in the log before they are processed.
    pub events: u64,
    /// Events per second; none = what the figure says.
    pub rate: Option<u64>,
    /// Length of an outage.
    pub outage: Duration,
    /// Only this part is taken away.
    pub only: Option<outage::Part>,
    /// How many vendors are many.
    pub vendors: usize,
}

/// A figure of separate roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Figure {
    /// What an edge acknowledges in front of Kafka.
    EdgeKafka,
    /// What one and two processors fold into Postgres and the warehouse.
    ProcessPostgres,
    /// From sent to seen.
    VisibleRoles,
    /// How long a backlog takes.
    Drain,
    /// One vendor against many.
    Growth,
}

/// One line of docs/MEASURED.md, without its command, date and machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What is wanted, or `-`.
    pub goal: String,
    /// What it came to.
    pub measured: String,
}

impl Row {
    /// A row.
    pub fn new(what: impl Into<String>, goal: impl Into<String>, measured: impl Into<String>) -> Row {
        Row { what: what.into(), goal: goal.into(), measured: measured.into() }
    }

    /// As one line; a bar or a line's end inside would make another column or row.
    fn line(&self) -> String {
        let cells = [&self.what, &self.goal, &self.measured].map(|cell| cell.replace(['|', '\n'], " "));
        format!("ROW|{}", cells.join("|"))
    }
}

/// Prints what is under way.
pub type Out<'a> = &'a mut (dyn Write + Send);

/// Measures one figure and prints its rows, each as `ROW|what|goal|measured`.
///
/// # Errors
/// When it could not be measured: a service is away, a process ended, a backlog did not drain in time.
pub async fn measure(options: &FigureOptions, out: Out<'_>) -> Result<bool> {
    ensure!(options.copies > 0 && options.events > 0, "nothing can be measured with none of them");
    let rows = match options.figure {
        Figure::EdgeKafka => edge::measure(options, out).await?,
        Figure::ProcessPostgres => processing::measure(options, out).await?,
        Figure::VisibleRoles => visible::measure(options, out).await?,
        Figure::Drain => drain::measure(options, out).await?,
        Figure::Growth => growth::measure(options, out).await?,
    };
    for row in &rows {
        writeln!(out, "{}", row.line())?;
    }
    out.flush()?;
    Ok(true)
}

/// A line about what is under way.
fn say(out: Out<'_>, line: &str) -> Result<()> {
    writeln!(out, "  {line}")?;
    Ok(out.flush()?)
}

/// A quotient with two digits, for example `1.25`.
fn ratio(numerator: u128, denominator: u128) -> String {
    let hundredths = numerator * 100 / denominator.max(1);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// A duration as text, for example `12.3 s`.
fn seconds(duration: Duration) -> String {
    format!("{}.{} s", duration.as_secs(), duration.subsec_millis() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::per_second;

    #[test]
    fn a_row_stays_one_row() {
        assert_eq!(Row::new("a|b", "-", "c\nd").line(), "ROW|a b|-|c d");
    }

    #[test]
    fn figures_are_written_without_floats() {
        assert_eq!((ratio(5, 4), ratio(1, 3), ratio(7, 0)), ("1.25".to_owned(), "0.33".to_owned(), "7.00".to_owned()));
        assert_eq!(seconds(Duration::from_millis(12_345)), "12.3 s");
        assert_eq!(per_second(10, Duration::from_millis(2_500)), 4);
    }
}
