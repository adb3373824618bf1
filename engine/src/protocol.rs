//! Reads a request of ClickHouse's HTTP protocol: the parameters in the URL, and the form in a multipart body.

use std::collections::BTreeMap;

use crate::error::{QueryError, code};

/// What a request's URL says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UrlParameters {
    /// `query`: the statement, or its beginning.
    pub(crate) query: String,
    /// `default_format`: the answer's format when the statement names none.
    pub(crate) default_format: Option<String>,
    /// `database`: where unqualified names are looked up.
    pub(crate) database: Option<String>,
    /// `decompress=1`: the body is made of compressed blocks.
    pub(crate) decompress: bool,
    /// `param_x`: values for `{x:Type}`, without the prefix.
    pub(crate) parameters: Vec<(String, String)>,
    /// Everything else is a setting for this statement; the engine refuses unknown ones.
    pub(crate) settings: BTreeMap<String, String>,
}

impl UrlParameters {
    /// Reads the part of the URL behind the question mark.
    pub(crate) fn parse(raw_query: &str) -> Result<Self, QueryError> {
        let mut found = Self::default();
        for (name, value) in url::form_urlencoded::parse(raw_query.as_bytes()) {
            found.add(&name, value.into_owned())?;
        }
        Ok(found)
    }

    fn add(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        match name {
            "query" => self.query = value,
            "default_format" => self.default_format = some_text(value),
            "database" => self.database = some_text(value),
            "decompress" => self.decompress = read_switch(name, &value)?,
            // An id for the log, and hints for buffers of a server's HTTP layer: there is nothing here to apply them to.
            "query_id" | "buffer_size" | "wait_end_of_query" => {}
            "compress" if !read_switch(name, &value)? => {}
            "compress" => return Err(unsupported(name, "answers are never compressed; leave it out")),
            "session_id" | "session_timeout" | "session_check" => {
                return Err(unsupported(name, "every statement stands alone; leave it out"));
            }
            "role" | "user" | "password" | "quota_key" => {
                return Err(unsupported(name, "the only way in is the header X-ClickHouse-Key"));
            }
            _ => self.add_setting_or_parameter(name, value)?,
        }
        Ok(())
    }

    fn add_setting_or_parameter(&mut self, name: &str, value: String) -> Result<(), QueryError> {
        if let Some(parameter) = name.strip_prefix("param_") {
            check_name(parameter)?;
            set_parameter(&mut self.parameters, parameter, value);
            return Ok(());
        }
        check_name(name)?;
        self.settings.insert(name.to_owned(), value);
        Ok(())
    }

    /// Adds the fields of a form: `query`, and parameters.
    pub(crate) fn add_form(&mut self, fields: Vec<(String, String)>) -> Result<(), QueryError> {
        for (name, value) in fields {
            match name.strip_prefix("param_") {
                Some(parameter) => {
                    check_name(parameter)?;
                    set_parameter(&mut self.parameters, parameter, value);
                }
                None if name == "query" => self.query.push_str(&value),
                None => {
                    return Err(bad(format_args!("The form has a field {name:?}; expected query and param_*.")));
                }
            }
        }
        Ok(())
    }
}

/// The last value of a name wins, as in ClickHouse.
fn set_parameter(parameters: &mut Vec<(String, String)>, name: &str, value: String) {
    parameters.retain(|(existing, _)| existing != name);
    parameters.push((name.to_owned(), value));
}

fn some_text(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

fn read_switch(name: &str, value: &str) -> Result<bool, QueryError> {
    match value {
        "1" | "true" => Ok(true),
        "0" | "false" | "" => Ok(false),
        other => Err(bad(format_args!("The parameter {name} is {other:?}; expected 0 or 1."))),
    }
}

/// A setting's name becomes part of a statement, so it may hold nothing but a name.
fn check_name(name: &str) -> Result<(), QueryError> {
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if is_name {
        return Ok(());
    }
    Err(bad(format_args!("{name:?} is not the name of a setting or parameter: use letters, digits and _.")))
}

fn unsupported(name: &str, advice: &str) -> QueryError {
    bad(format_args!("The parameter {name} is not supported: {advice}."))
}

fn bad(text: impl std::fmt::Display) -> QueryError {
    QueryError::new(code::BAD_ARGUMENTS, text)
}

/// The boundary of a `multipart/form-data` content type; `None` for any other content type.
pub(crate) fn multipart_boundary(content_type: &str) -> Option<&str> {
    let (kind, attributes) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = attributes.split(';').find_map(|attribute| {
        let (name, value) = attribute.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!boundary.is_empty()).then_some(boundary)
}

/// Reads the fields of a multipart form. Only what ClickHouse clients send: text fields, no files, no encodings.
pub(crate) fn parse_multipart(body: &str, boundary: &str) -> Result<Vec<(String, String)>, QueryError> {
    let broken = || bad("The multipart form is broken.");
    let opening = format!("--{boundary}\r\n");
    let separator = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&opening).ok_or_else(broken)?;
    let mut fields = Vec::new();
    loop {
        let (headers, after) = rest.split_once("\r\n\r\n").ok_or_else(broken)?;
        let (value, after) = after.split_once(&separator).ok_or_else(broken)?;
        fields.push((field_name(headers).ok_or_else(broken)?.to_owned(), value.to_owned()));
        if after.starts_with("--") {
            return Ok(fields);
        }
        rest = after.strip_prefix("\r\n").ok_or_else(broken)?;
    }
}

/// The name in `Content-Disposition: form-data; name="query"`.
fn field_name(headers: &str) -> Option<&str> {
    headers.split("\r\n").find_map(|header| {
        let (name, value) = header.split_once(':')?;
        let attributes = name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)?;
        attributes.split(';').find_map(|attribute| attribute.trim().strip_prefix("name=\"")?.strip_suffix('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_the_url_parameters() {
        let found = UrlParameters::parse(
            "query=SELECT+%7Ba%3AUInt8%7D&database=d&default_format=RowBinary&decompress=1&param_a=1&param_a=2&max_threads=1&query_id=x",
        )
        .unwrap();
        assert_eq!(found.query, "SELECT {a:UInt8}");
        assert_eq!(found.database.as_deref(), Some("d"));
        assert_eq!(found.default_format.as_deref(), Some("RowBinary"));
        assert!(found.decompress);
        assert_eq!(found.parameters, [("a".to_owned(), "2".to_owned())]);
        assert_eq!(found.settings.into_iter().collect::<Vec<_>>(), [("max_threads".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn refuses_what_it_cannot_honour() {
        for query in ["compress=1", "session_id=a", "role=r", "user=u", "decompress=yes", "a%20b=1", "1=1", "param_=1"]
        {
            let error = UrlParameters::parse(query).unwrap_err();
            assert_eq!(error.code, code::BAD_ARGUMENTS, "{query}");
        }
    }

    #[test]
    fn reads_a_form() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT '\r\n\r\n'\r\n--b\r\n\
                    Content-Disposition: form-data; name=\"param_x\"\r\n\r\n\r\n--b--\r\n";
        let fields = parse_multipart(body, multipart_boundary("multipart/form-data; boundary=b").unwrap()).unwrap();
        assert_eq!(fields[0], ("query".to_owned(), "SELECT '\r\n\r\n'".to_owned()));
        assert_eq!(fields[1], ("param_x".to_owned(), String::new()));
        let mut found = UrlParameters::default();
        found.add_form(fields).unwrap();
        assert_eq!(found.parameters, [("x".to_owned(), String::new())]);
    }

    #[test]
    fn a_broken_form_is_an_error() {
        for body in ["", "--b\r\n", "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1"] {
            assert!(parse_multipart(body, "b").is_err(), "{body:?}");
        }
        assert_eq!(multipart_boundary("text/plain"), None);
        assert_eq!(multipart_boundary("multipart/form-data; boundary="), None);
    }
}
