//! Named points at which a test build can end itself, as a power cut would: between two steps
//! whose order matters. The feature `crash-points` compiles them in; without it a point is nothing.
//!
//! `AFFILITRACK_TEST_CRASH_AT=fold_after_commit:3` ends the process with SIGKILL when it passes that
//! point for the third time.

/// Whether this build has them. Timers that run rarely run every second then.
pub const COMPILED_IN: bool = cfg!(feature = "crash-points");

/// Where the process can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The edge has verified and cut down a delivery and hands it to the log.
    EdgeBeforeAppend,
    /// The local log has written a group of records into its transaction and now commits it.
    LogBeforeCommit,
    /// The record is on disk, the provider has no answer yet.
    EdgeBeforeAnswer,
    /// A batch is folded, its transaction not begun.
    FoldBeforeCommit,
    /// The batch is committed, nobody has been told.
    FoldAfterCommit,
    /// The sink has cut a batch from the outbox and not sent it.
    SinkBeforeInsert,
    /// The warehouse has the batch, the outbox as well.
    SinkAfterInsert,
    /// The outbox has forgotten the batch, open pages have not been told.
    SinkAfterDelivered,
    /// Decisions are in the log and still in the control store's outbox.
    RelayAfterAppend,
    /// A provider has answered, the answer is not in the log.
    AnswerBeforeAppend,
    /// A deadline has passed, which is not in the log.
    DeadlineBeforeAppend,
    /// All parts have stopped in order, the warehouse is not closed.
    ShutdownBeforeClose,
}

impl CrashPoint {
    /// Every point.
    pub const ALL: [CrashPoint; 12] = [
        CrashPoint::EdgeBeforeAppend,
        CrashPoint::LogBeforeCommit,
        CrashPoint::EdgeBeforeAnswer,
        CrashPoint::FoldBeforeCommit,
        CrashPoint::FoldAfterCommit,
        CrashPoint::SinkBeforeInsert,
        CrashPoint::SinkAfterInsert,
        CrashPoint::SinkAfterDelivered,
        CrashPoint::RelayAfterAppend,
        CrashPoint::AnswerBeforeAppend,
        CrashPoint::DeadlineBeforeAppend,
        CrashPoint::ShutdownBeforeClose,
    ];

    /// Its name in `AFFILITRACK_TEST_CRASH_AT`.
    pub fn name(self) -> &'static str {
        match self {
            CrashPoint::EdgeBeforeAppend => "edge_before_append",
            CrashPoint::LogBeforeCommit => "log_before_commit",
            CrashPoint::EdgeBeforeAnswer => "edge_before_answer",
            CrashPoint::FoldBeforeCommit => "fold_before_commit",
            CrashPoint::FoldAfterCommit => "fold_after_commit",
            CrashPoint::SinkBeforeInsert => "sink_before_insert",
            CrashPoint::SinkAfterInsert => "sink_after_insert",
            CrashPoint::SinkAfterDelivered => "sink_after_delivered",
            CrashPoint::RelayAfterAppend => "relay_after_append",
            CrashPoint::AnswerBeforeAppend => "answer_before_append",
            CrashPoint::DeadlineBeforeAppend => "deadline_before_append",
            CrashPoint::ShutdownBeforeClose => "shutdown_before_close",
        }
    }
}

/// Ends the process if it was told to end here.
#[inline(always)]
pub fn pass(point: CrashPoint) {
    #[cfg(feature = "crash-points")]
    armed::pass(point);
    #[cfg(not(feature = "crash-points"))]
    let _ = point;
}

#[cfg(any(feature = "crash-points", test))]
mod armed {
    use super::CrashPoint;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The point at which to end, and how often it may still be passed.
    pub(super) struct Armed {
        point: CrashPoint,
        left: AtomicU64,
    }

    impl Armed {
        /// Reads `point:count`.
        pub(super) fn parse(text: &str) -> Option<Armed> {
            let (name, count) = text.split_once(':')?;
            let point = CrashPoint::ALL.into_iter().find(|point| point.name() == name)?;
            let left = count.parse().ok().filter(|count| *count > 0)?;
            Some(Armed { point, left: AtomicU64::new(left) })
        }

        /// Whether this is the pass at which to end.
        pub(super) fn is_reached(&self, point: CrashPoint) -> bool {
            point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        }
    }

    #[cfg(feature = "crash-points")]
    pub(super) fn pass(point: CrashPoint) {
        static ARMED: std::sync::LazyLock<Option<Armed>> = std::sync::LazyLock::new(read);
        if ARMED.as_ref().is_some_and(|armed| armed.is_reached(point)) {
            // Nothing runs after this: no destructor, no flush.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    #[cfg(feature = "crash-points")]
    #[expect(clippy::disallowed_methods, reason = "a test build is told by its environment where to end")]
    fn read() -> Option<Armed> {
        let text = std::env::var("AFFILITRACK_TEST_CRASH_AT").ok()?;
        let armed = Armed::parse(&text);
        if armed.is_none() {
            tracing::error!("AFFILITRACK_TEST_CRASH_AT={text} names no crash point; it is point:count");
        }
        armed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_reached_once_at_the_pass_that_was_named() {
        let armed = armed::Armed::parse("fold_after_commit:3").expect("a point and a count");
        let reached: Vec<bool> = (0..5).map(|_| armed.is_reached(CrashPoint::FoldAfterCommit)).collect();
        assert_eq!(reached, [false, false, true, false, false]);
        assert!(!armed.is_reached(CrashPoint::FoldBeforeCommit));
    }

    #[test]
    fn points_have_names_of_their_own_and_mistakes_arm_nothing() {
        for point in CrashPoint::ALL {
            assert!(armed::Armed::parse(&format!("{}:1", point.name())).is_some_and(|armed| armed.is_reached(point)));
        }
        for text in ["", "fold_after_commit", "fold_after_commit:0", "nowhere:1", "fold_after_commit:x"] {
            assert!(armed::Armed::parse(text).is_none(), "{text}");
        }
    }
}
