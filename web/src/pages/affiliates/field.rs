//! One field of a form: label, value as typed, what is wrong with it, help.

use askama::Template;

/// An input.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "field.html")]
pub(crate) struct Field {
    /// Unique on the page.
    pub id: &'static str,
    /// In the form.
    pub name: &'static str,
    /// `text` unless given.
    pub kind: &'static str,
    pub label: &'static str,
    pub value: String,
    pub error: String,
    pub help: String,
    pub placeholder: &'static str,
    /// Longest value, in characters; 200 unless given.
    pub longest: u16,
    pub is_required: bool,
    pub is_optional: bool,
}

impl Field {
    /// With its value and what is wrong with it.
    pub fn new(id: &'static str, name: &'static str, label: &'static str, value: &str, error: String) -> Field {
        Field { id, name, label, value: value.to_owned(), error, kind: "text", longest: 200, ..Field::default() }
    }

    /// Of another type of input.
    pub fn kind(self, kind: &'static str) -> Field {
        Field { kind, ..self }
    }

    /// With words below it.
    pub fn help(self, help: impl Into<String>) -> Field {
        Field { help: help.into(), ..self }
    }

    /// With an example in it.
    pub fn placeholder(self, placeholder: &'static str) -> Field {
        Field { placeholder, ..self }
    }

    /// It must be filled in.
    pub fn required(self) -> Field {
        Field { is_required: true, ..self }
    }

    /// It says that it may be left empty.
    pub fn optional(self) -> Field {
        Field { is_optional: true, ..self }
    }
}

/// An entry of a select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

impl Entry {
    /// Chosen when it is what was typed.
    pub fn new(value: &str, label: impl Into<String>, typed: &str) -> Entry {
        Entry { value: value.to_owned(), label: label.into(), is_chosen: value == typed }
    }
}
