//! Rules of the product that a test breaks on purpose.

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A commit does not compare the position it began from: the last writer wins.
    PositionNotCompared,
    /// The position moves in a transaction of its own, and the lines are written after it.
    PositionBeforeLines,
    /// A batch that is cut anew goes under the token of the one before it, with other rows.
    TokenForOtherRows,
    /// What is visible moves when a batch is cut, before it is in the warehouse.
    VisibleBeforeInsert,
    /// A record is acknowledged before it is stored.
    AcknowledgedBeforeStored,
    /// A read of the log that fails jumps over a record.
    ReadJumpsOver,
}

impl Broken {
    /// All of them.
    pub const ALL: [Broken; 6] = [
        Broken::PositionNotCompared,
        Broken::PositionBeforeLines,
        Broken::TokenForOtherRows,
        Broken::VisibleBeforeInsert,
        Broken::AcknowledgedBeforeStored,
        Broken::ReadJumpsOver,
    ];
}
