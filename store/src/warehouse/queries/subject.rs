//! Whose lines and purchases a question is about.

use super::Sql;
use domain::ids::{AffiliateId, CodeId};

/// A part of what a scope may see. It never shows more than the scope: its condition comes on top of the scope's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Everything that the scope may see.
    #[default]
    All,
    /// What is this affiliate's; affiliate 0 means unattributed.
    Affiliate(AffiliateId),
    /// What this code brought; code 0 means no code.
    Code(CodeId),
}

impl Subject {
    /// ` AND column = id`, where the table names its owners and codes like this.
    pub(crate) fn push(self, sql: &mut Sql, affiliate_column: &str, code_column: &str) {
        match self {
            Subject::All => {}
            Subject::Affiliate(affiliate) => {
                sql.push(" AND ").push(affiliate_column).push(" = ").bind(affiliate.0);
            }
            Subject::Code(code) => {
                sql.push(" AND ").push(code_column).push(" = ").bind(code.0);
            }
        }
    }
}
