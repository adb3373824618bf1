//! Refused deliveries in words: what happened, and what to do about it.

use domain::ids::{Provider, Timestamp};
use ingest::failed::{FailedDelivery, FailureKind};
use ingest::signature::header_name;
use std::collections::BTreeMap;
use web::backend::{DeliveryFailure, DeliveryWarning};

/// How many reasons a page shows.
const SHOWN: usize = 20;

/// What the words are about.
pub(super) struct About<'a> {
    /// Who calls.
    pub provider: Provider,
    /// The vendor's slug.
    pub vendor: &'a str,
    /// How many signing secrets the endpoint has.
    pub secrets: usize,
}

impl About<'_> {
    fn provider_name(&self) -> &'static str {
        match self.provider {
            Provider::Stripe => "Stripe",
            Provider::Paddle => "Paddle",
            Provider::LemonSqueezy => "Lemon Squeezy",
        }
    }

    /// What happened, to be read after "the last delivery".
    fn what(&self, failure: &FailedDelivery) -> String {
        match failure.kind {
            FailureKind::NoSignature => "had no signature".to_owned(),
            FailureKind::StrangeSignature => format!("had a signature that is not {}\u{2019}s", self.provider_name()),
            FailureKind::WrongSecret if self.secrets == 1 => "did not match the signing secret".to_owned(),
            FailureKind::WrongSecret => format!("did not match any of the {} signing secrets", self.secrets),
            FailureKind::TooOld => format!("came too late: {}", failure.reason),
            FailureKind::InFuture => format!("was {}", failure.reason),
            FailureKind::EmptyBody => "had no body".to_owned(),
            FailureKind::Unreadable => {
                format!("was signed rightly, but is not an event that can be read: {}", failure.reason)
            }
        }
    }

    /// What to do about it, as sentences.
    fn advice(&self, kind: FailureKind) -> String {
        let provider = self.provider_name();
        match kind {
            FailureKind::WrongSecret => {
                let how = match self.provider {
                    Provider::Stripe => "with the form above".to_owned(),
                    other => format!("with: affilitrack connect {} --vendor {} --secret -", other.name(), self.vendor),
                };
                format!(
                    "Paste the signing secret of this endpoint: each endpoint at {provider} has its own. Copy it from the one with the \
                     address below and add it {how}. {provider} sends the delivery again."
                )
            }
            FailureKind::NoSignature => format!(
                "{provider} signs every delivery in the header {}. If it was {provider} that called, something on the way removed it.",
                header_name(self.provider)
            ),
            FailureKind::StrangeSignature => {
                format!("Check that {provider}, and nobody else, was given this address.")
            }
            FailureKind::TooOld | FailureKind::InFuture => {
                format!("Check the clock of this machine. {provider} sends the delivery again.")
            }
            FailureKind::EmptyBody => "Check that what stands in front of this process passes bodies on.".to_owned(),
            FailureKind::Unreadable => "Nothing of it was stored or counted.".to_owned(),
        }
    }

    /// A warning, if the newest refused delivery came after the last one that was taken.
    pub(super) fn warning(
        &self,
        failures: &[FailedDelivery],
        last_taken: Option<Timestamp>,
    ) -> Option<DeliveryWarning> {
        let newest = failures.first().filter(|newest| last_taken.is_none_or(|taken| newest.at > taken))?;
        Some(DeliveryWarning { at: newest.at, what: self.what(newest), advice: self.advice(newest.kind) })
    }

    /// One row per kind since a time, newest first.
    pub(super) fn rows(&self, failures: &[FailedDelivery], since: Timestamp) -> Vec<DeliveryFailure> {
        let mut by_kind: BTreeMap<FailureKind, DeliveryFailure> = BTreeMap::new();
        for failure in failures.iter().filter(|failure| failure.at >= since) {
            let row = by_kind.entry(failure.kind).or_insert_with(|| DeliveryFailure {
                at: failure.at,
                reason: self.what(failure),
                count: 0,
            });
            row.count += 1;
        }
        let mut rows: Vec<DeliveryFailure> = by_kind.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.at));
        rows.truncate(SHOWN);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(at: i64, kind: FailureKind) -> FailedDelivery {
        FailedDelivery { at: Timestamp(at), kind, reason: "signed 400 s ago".to_owned(), body_sha256: String::new() }
    }

    #[test]
    fn the_newest_failure_warns_until_a_delivery_is_taken() {
        let about = About { provider: Provider::Stripe, vendor: "acme", secrets: 2 };
        let list = [failed(20, FailureKind::WrongSecret), failed(10, FailureKind::NoSignature)];
        let warning = about.warning(&list, None).expect("nothing was taken");
        assert_eq!(warning.what, "did not match any of the 2 signing secrets");
        assert!(warning.advice.starts_with("Paste the signing secret of this endpoint"), "{}", warning.advice);
        assert!(about.warning(&list, Some(Timestamp(15))).is_some());
        assert!(about.warning(&list, Some(Timestamp(20))).is_none());
        assert!(about.warning(&[], None).is_none());
    }

    #[test]
    fn rows_are_counted_by_kind() {
        let about = About { provider: Provider::Paddle, vendor: "acme", secrets: 1 };
        let kinds = [FailureKind::TooOld, FailureKind::WrongSecret, FailureKind::TooOld, FailureKind::InFuture];
        let list: Vec<FailedDelivery> =
            kinds.into_iter().zip([40, 30, 20, 5]).map(|(kind, at)| failed(at, kind)).collect();
        let rows = about.rows(&list, Timestamp(10));
        let seen: Vec<(i64, u64)> = rows.iter().map(|row| (row.at.0, row.count)).collect();
        assert_eq!(seen, [(40, 2), (30, 1)]);
        assert_eq!(rows[1].reason, "did not match the signing secret");
        assert!(about.advice(FailureKind::WrongSecret).contains("affilitrack connect paddle --vendor acme"));
    }
}
