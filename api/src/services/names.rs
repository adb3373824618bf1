//! Names of the ids that the warehouse holds.

use domain::ids::{AffiliateId, CodeId};
use std::collections::HashMap;

/// An affiliate's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffiliateName {
    /// Handle, for example `aff_maya`.
    pub key: String,
    /// Name shown on pages.
    pub name: String,
}

/// The names of one vendor, as one page uses them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    /// IANA name of the vendor's time zone.
    pub time_zone: String,
    /// Affiliates by number.
    pub affiliates: HashMap<AffiliateId, AffiliateName>,
    /// Code texts by number.
    pub codes: HashMap<CodeId, String>,
}

impl Names {
    /// Handle and name of an affiliate; empty for none, the number for one without a name.
    pub fn affiliate(&self, id: AffiliateId) -> AffiliateName {
        if id == AffiliateId(0) {
            return AffiliateName { key: String::new(), name: String::new() };
        }
        self.affiliates
            .get(&id)
            .cloned()
            .unwrap_or_else(|| AffiliateName { key: format!("affiliate-{id}"), name: format!("Affiliate {id}") })
    }

    /// Text of a code; empty for none, the number for one without a text.
    pub fn code(&self, id: CodeId) -> String {
        if id == CodeId(0) {
            return String::new();
        }
        self.codes.get(&id).cloned().unwrap_or_else(|| format!("code-{id}"))
    }

    /// The affiliate with this handle.
    pub fn affiliate_by_key(&self, key: &str) -> Option<AffiliateId> {
        self.affiliates.iter().find(|(_, name)| name.key == key).map(|(id, _)| *id)
    }

    /// The codes with this text, in any case: providers match codes so.
    pub fn codes_by_text(&self, text: &str) -> Vec<CodeId> {
        let wanted = text.to_lowercase();
        let mut found: Vec<CodeId> =
            self.codes.iter().filter(|(_, known)| known.to_lowercase() == wanted).map(|(id, _)| *id).collect();
        found.sort_unstable();
        found
    }
}
