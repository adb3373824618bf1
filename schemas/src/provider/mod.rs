//! Views of provider payloads, by shape and not by version: a member that moved is read from
//! its new place first, then from the old one. They read the minimised event, which keeps the
//! provider's own shape, and, for look-ups, the minimised answer.

pub mod lemonsqueezy;
pub mod paddle;
pub mod stripe;

use domain::ids::Timestamp;
use domain::money::{Currency, MAX_AMOUNT};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::fmt;
use std::num::IntErrorKind;

/// A payload that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// A member has the wrong type or is missing.
    #[error("bad_payload: {0}")]
    Shape(String),
    /// An amount beyond 10^15 minor units.
    #[error("amount_out_of_range: {field} is {amount}; amounts up to {MAX_AMOUNT} minor units are accepted")]
    Amount {
        /// Which member.
        field: &'static str,
        /// What it says.
        amount: String,
    },
    /// Not three letters.
    #[error("bad_currency: `{0}` is not a three-letter currency code")]
    Currency(String),
}

/// Reads a view. The path to a wrong member is found only when there is one.
pub fn read<T: DeserializeOwned>(json: &RawValue) -> Result<T, ViewError> {
    serde_json::from_str(json.get()).or_else(|_| {
        let mut reader = serde_json::Deserializer::from_str(json.get());
        serde_path_to_error::deserialize(&mut reader)
            .map_err(|error| ViewError::Shape(format!("{}: {}", error.path(), error.inner())))
    })
}

/// Refuses an amount beyond what is accepted anywhere.
pub fn amount(field: &'static str, value: i64) -> Result<i64, ViewError> {
    if domain::money::is_accepted_amount(value) {
        Ok(value)
    } else {
        Err(ViewError::Amount { field, amount: value.to_string() })
    }
}

/// Normalises a currency code.
pub fn currency(text: &str) -> Result<Currency, ViewError> {
    Currency::parse(text).ok_or_else(|| ViewError::Currency(text.to_owned()))
}

/// RFC 3339 to milliseconds.
pub fn moment(field: &'static str, text: &str) -> Result<Timestamp, ViewError> {
    text.parse::<jiff::Timestamp>()
        .map(|at| Timestamp(at.as_millisecond()))
        .map_err(|error| ViewError::Shape(format!("{field}: {error}")))
}

/// A provider id: a string, or an expanded object with an `id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(pub String);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(u64),
            Object { id: String },
        }
        Ok(
            match Either::deserialize(deserializer)
                .map_err(|_| de::Error::custom("expected an id or an object with an id"))?
            {
                Either::Text(id) | Either::Object { id } => Id(id),
                Either::Number(id) => Id(id.to_string()),
            },
        )
    }
}

/// A text that people set. Numbers become text; anything else is none: no sale is refused for it.
pub(crate) fn lenient_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An id as text, whether it came as text, number or object.
pub(crate) fn id_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Id::deserialize(deserializer).map(|id| id.0)
}

/// An amount that is an integer, or (Paddle) a decimal string of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minor(pub i64);

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Minor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer amount in minor units")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Minor, E> {
                Ok(Minor(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Minor, E> {
                // Saturates: beyond the accepted range either way, and refused by name there.
                Ok(Minor(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Minor, E> {
                text.parse::<i64>().map(Minor).or_else(|error| match error.kind() {
                    IntErrorKind::PosOverflow => Ok(Minor(i64::MAX)),
                    IntErrorKind::NegOverflow => Ok(Minor(i64::MIN)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                })
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
