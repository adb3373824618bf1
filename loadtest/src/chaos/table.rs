//! Every fault: its name, what is broken, and what may be complained about meanwhile.

use super::scene::Scene;
use super::{edges, members, postgres, processors, rebuilt, warehouse};
use anyhow::Result;
use std::pin::Pin;

/// Breaks something and compares afterwards.
pub type Run = for<'a> fn(&'a mut Scene) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// One fault.
pub struct Fault {
    /// For `--only`.
    pub name: &'static str,
    /// Its number in the table of docs/FAULTS.md.
    pub number: &'static str,
    /// What is broken.
    pub words: &'static str,
    /// Part of the small form.
    pub is_small: bool,
    /// Parts of log lines of level ERROR that belong to it.
    pub expected_errors: &'static [&'static str],
    /// Does it.
    pub run: Run,
}

/// While Postgres is away whoever works with it says so.
const POSTGRES_AWAY: [&str; 4] = [
    " stopped: ",
    "the outbox cannot be read",
    "endpoints could not be read again",
    "a request of the JSON API failed",
];

/// All of them, in the order in which they are injected.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "edges-killed",
        number: "1",
        words: "SIGKILL for edges at random instants while deliveries come in",
        is_small: true,
        expected_errors: &[],
        run: |scene| Box::pin(edges::killed(scene)),
    },
    Fault {
        name: "processors-killed",
        number: "11",
        words: "SIGKILL for processors and for what shows pages, one or both at once, back after a random pause",
        is_small: true,
        expected_errors: &[],
        run: |scene| Box::pin(processors::killed(scene)),
    },
    Fault {
        name: "processor-frozen",
        number: "12",
        words: "SIGSTOP for a processor until another one has its partitions, then SIGCONT",
        is_small: true,
        expected_errors: &[],
        run: |scene| Box::pin(processors::frozen(scene)),
    },
    Fault {
        name: "members-come-and-go",
        number: "13",
        words: "a third processor joins and leaves every 2 s",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(members::come_and_go(scene)),
    },
    Fault {
        name: "warehouse-refuses",
        number: "17a",
        words: "the warehouse answers every request with 503",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(warehouse::refuses(scene)),
    },
    Fault {
        name: "warehouse-hangs",
        number: "17b",
        words: "the warehouse takes requests and does not answer until they are given up",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(warehouse::hangs(scene)),
    },
    Fault {
        name: "warehouse-resets-after-commit",
        number: "17c",
        words: "the warehouse stores every second insert and the connection breaks before its answer",
        is_small: true,
        expected_errors: &[],
        run: |scene| Box::pin(warehouse::resets_after_commit(scene)),
    },
    Fault {
        name: "warehouse-late",
        number: "17d",
        words: "the warehouse answers every insert 3 s late",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(warehouse::late(scene)),
    },
    Fault {
        name: "postgres-away",
        number: "17e",
        words: "connections to Postgres break and new ones are refused for 20 s",
        is_small: true,
        expected_errors: &POSTGRES_AWAY,
        run: |scene| Box::pin(postgres::away(scene)),
    },
    Fault {
        name: "fold-schema-dropped",
        number: "14, 21",
        words: "the fold store is dropped and the whole log folded again into the same tables",
        is_small: true,
        expected_errors: &[" stopped: ", "a request of the JSON API failed"],
        run: |scene| Box::pin(rebuilt::fold_schema_dropped(scene)),
    },
];
