//! Every fault: its name, what is broken, and what may be complained about meanwhile.

use super::scene::Scene;
use super::{
    clocks, disk, edges, kafka, log_start, lookups, members, moved, older_copy, postgres, processors, races, rebuilt,
    restored, rolled, warehouse,
};
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
        name: "rolled-over",
        number: "34",
        words: "every process is stopped in order and started again, one at a time, twice: an upgrade and its rollback",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(rolled::over(scene)),
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
        name: "broker-away",
        number: "6",
        words: "the broker is frozen, killed and started again; edges spool meanwhile",
        is_small: false,
        expected_errors: &[" stopped: "],
        run: |scene| Box::pin(kafka::away_with_spool(scene)),
    },
    Fault {
        name: "broker-away-without-spool",
        number: "7",
        words: "the same with AFFILITRACK_KAFKA_SPOOL_MAX_BYTES=0",
        is_small: false,
        expected_errors: &[" stopped: "],
        run: |scene| Box::pin(kafka::away_without_spool(scene)),
    },
    Fault {
        name: "broker-answers-lost",
        number: "8",
        words: "records reach the broker, its answers are thrown away and the connections break",
        is_small: false,
        expected_errors: &[" stopped: "],
        run: |scene| Box::pin(kafka::answers_lost(scene)),
    },
    Fault {
        name: "fold-schema-dropped",
        number: "14, 21",
        words: "the fold store is dropped and the whole log folded again into the same tables",
        is_small: true,
        expected_errors: &[" stopped: ", "a request of the JSON API failed"],
        run: |scene| Box::pin(rebuilt::fold_schema_dropped(scene)),
    },
    Fault {
        name: "moved-to-roles",
        number: "22",
        words: "log and control store of a stopped process are brought over to the roles, which fold everything again",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(moved::to_roles(scene)),
    },
    Fault {
        name: "restored-from-backup",
        number: "14b",
        words: "Postgres is restored from a backup taken under load, the warehouse being newer, and then gone",
        is_small: false,
        expected_errors: &[
            " stopped: ",
            "a request of the JSON API failed",
            "endpoints could not be read again",
            "the books do not add up",
            "the warehouse is empty",
        ],
        run: |scene| Box::pin(restored::from_backup(scene)),
    },
    Fault {
        name: "warehouse-older-copy",
        number: "19",
        words: "the warehouse is put back to an older state: the newest lines, the newest purchases, everything",
        is_small: false,
        expected_errors: &["the books do not add up", "the warehouse is empty", "a request of the JSON API failed"],
        run: |scene| Box::pin(older_copy::put_back(scene)),
    },
    Fault {
        name: "log-start-moved",
        number: "16",
        words: "records that were not folded yet are deleted from one partition",
        is_small: false,
        expected_errors: &[" stopped: "],
        run: |scene| Box::pin(log_start::moved(scene)),
    },
    Fault {
        name: "lookups-down-then-different",
        number: "30",
        words: "the provider's API is down, answers, and answers differently when the log is folded again",
        is_small: false,
        expected_errors: &[" stopped: ", "a request of the JSON API failed"],
        run: |scene| Box::pin(lookups::down_then_different(scene)),
    },
    Fault {
        name: "mapping-race",
        number: "28",
        words: "two processes map one code to two affiliates while its payment arrives",
        is_small: true,
        expected_errors: &[],
        run: |scene| Box::pin(races::mappings(scene)),
    },
    Fault {
        name: "redelivered-later",
        number: "23",
        words: "every event is delivered again to edges whose clocks are 1, 3 and 40 days ahead",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(races::redelivered_later(scene)),
    },
    Fault {
        name: "disk-full",
        number: "5",
        words: "the disk of one process with everything in it is full for a while",
        is_small: false,
        expected_errors: &["disk is full"],
        run: |scene| Box::pin(disk::full(scene)),
    },
    Fault {
        name: "spool-disk-full",
        number: "5b",
        words: "the broker is away and the disk under the edges' spools is full for a while",
        is_small: false,
        expected_errors: &[" stopped: "],
        run: |scene| Box::pin(disk::spool_full(scene)),
    },
    Fault {
        name: "clocks",
        number: "33",
        words: "one process of each role is 5 minutes ahead, the other behind, and one jumps back",
        is_small: false,
        expected_errors: &[],
        run: |scene| Box::pin(clocks::differ(scene)),
    },
];
