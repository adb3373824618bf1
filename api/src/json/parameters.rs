//! Parameters of a query string. An unknown or repeated one is an error: a mistyped filter
//! must not silently answer a wider question.

use super::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// The longest query string, in bytes.
const MAX_QUERY_BYTES: usize = 4_096;

/// The parameters of a request. A handler takes out what it knows and then calls
/// [`Parameters::finish`].
#[derive(Debug)]
pub(crate) struct Parameters {
    values: BTreeMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Parameters, ApiError> {
        Parameters::parse(parts.uri.query().unwrap_or_default())
    }
}

impl Parameters {
    pub fn parse(query: &str) -> Result<Parameters, ApiError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(ApiError::bad_parameter(
                "",
                format!("the query string is longer than {MAX_QUERY_BYTES} bytes"),
            ));
        }
        let mut values = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if values.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(ApiError::bad_parameter(name, "the parameter is there more than once; give it once"));
            }
        }
        Ok(Parameters { values })
    }

    /// A parameter as it stands.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// A parameter that was given and is not empty.
    pub fn filled(&mut self, name: &str) -> Option<String> {
        self.text(name).filter(|value| !value.is_empty())
    }

    /// A day, `YYYY-MM-DD`.
    pub fn day(&mut self, name: &str) -> Result<Option<Date>, ApiError> {
        self.filled(name).map(|text| parse_day(name, &text)).transpose()
    }

    /// A number of rows, `default` when it is not given.
    pub fn limit(&mut self, default: u32, most: u32) -> Result<u32, ApiError> {
        let Some(text) = self.filled("limit") else { return Ok(default) };
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(ApiError::bad_parameter("limit", format!("`{text}` is not a whole number from 1 to {most}"))),
        }
    }

    /// `true` or `false`; false when it is not given.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.filled(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(ApiError::bad_parameter(name, format!("`{other}` is neither true nor false"))),
        }
    }

    /// One of some words.
    pub fn word<T>(
        &mut self,
        name: &str,
        words: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.filled(name) else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::bad_parameter(name, format!("`{text}` is not one of {words}"))),
        }
    }

    /// Refuses what no one took.
    pub fn finish(self, known: &str) -> Result<(), ApiError> {
        match self.values.into_keys().next() {
            Some(name) => {
                let message = format!("there is no parameter `{name}` here; there are {known}");
                Err(ApiError::bad_parameter(name, message))
            }
            None => Ok(()),
        }
    }
}

fn parse_day(name: &str, text: &str) -> Result<Date, ApiError> {
    let refused =
        || ApiError::bad_parameter(name, format!("`{text}` is not a day; write YYYY-MM-DD, for example 2026-11-21"));
    // The library also reads times and years with a sign; only the plain form is meant.
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !is_plain {
        return Err(refused());
    }
    text.parse().map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(result: Result<impl std::fmt::Debug, ApiError>) -> String {
        result.unwrap_err().field().unwrap().to_owned()
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(field(Parameters::parse("from=1&from=2")), "from");
        assert_eq!(field(Parameters::parse("from=2026-13-01").unwrap().day("from")), "from");
        assert_eq!(field(Parameters::parse("from=2026-11-21T00:00").unwrap().day("from")), "from");
        assert_eq!(field(Parameters::parse("limit=0").unwrap().limit(50, 500)), "limit");
        assert_eq!(field(Parameters::parse("limit=501").unwrap().limit(50, 500)), "limit");
        assert_eq!(field(Parameters::parse("form=2026-01-01").unwrap().finish("from, to")), "form");
        assert_eq!(
            field(Parameters::parse("redemptions_only=yes").unwrap().flag("redemptions_only")),
            "redemptions_only"
        );
    }

    #[test]
    fn what_is_right_is_read() {
        let mut parameters = Parameters::parse("from=2026-11-21&limit=7&purchase=inv%3Ain_1").unwrap();
        assert_eq!(parameters.day("from").unwrap(), Some(jiff::civil::date(2026, 11, 21)));
        assert_eq!(parameters.limit(50, 500).unwrap(), 7);
        assert_eq!(parameters.text("purchase").as_deref(), Some("inv:in_1"));
        parameters.finish("").unwrap();
    }
}
