//! Puts the sources one over the other, setting by setting, and keeps every problem.
//!
//! Each setting is tried alone on top of the defaults. That is how a wrong one can be named without
//! hiding the next.

use super::problems::{Problems, nearest};
use super::secret_files;
use super::{Config, RESERVED_VARIABLES, TEST_VARIABLE_PREFIX, USUAL_FILE};
use std::path::Path;
use toml::{Table, Value};

const VARIABLE_PREFIX: &str = "AFFILITRACK_";

/// The settings so far.
pub struct Layers {
    /// Every setting with its default: what exists, and of what kind it is.
    known: Table,
    /// What was set, by section.
    chosen: Table,
    problems: Problems,
}

impl Layers {
    /// Nothing set yet.
    pub fn new() -> Layers {
        let known = Table::try_from(Config::default()).expect("the default configuration is plain data");
        Layers { known, chosen: Table::new(), problems: Problems::default() }
    }

    /// The file that was named, or the usual one if it is there.
    pub fn add_file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or(Path::new(USUAL_FILE));
        let place = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => {
                return self.problems.add(&place, &place, format!("cannot be read ({error}); name an existing file"));
            }
        };
        match text.parse::<Table>() {
            Ok(table) => self.add_table(table, &place),
            Err(error) => {
                self.problems.add(&place, &place, format!("is not valid TOML: {}", error.to_string().trim_end()))
            }
        }
    }

    fn add_table(&mut self, table: Table, place: &str) {
        for (section, settings) in table {
            if !self.known.contains_key(&section) {
                self.unknown_section(&section, place);
                continue;
            }
            let Value::Table(settings) = settings else {
                self.problems.add(
                    &section,
                    place,
                    format!("is a section: write [{section}] and its settings below it"),
                );
                continue;
            };
            for (key, value) in settings {
                self.set(&section, &key, value, place);
            }
        }
    }

    /// Every variable that is ours. A misspelt one is a problem, because it would be ignored in silence.
    pub fn add_environment(&mut self, variables: &[(String, String)]) {
        let names = self.variable_names();
        let mut short_names = Vec::new();
        for (name, text) in variables {
            if let Some(direct) = name.strip_suffix(secret_files::ENDING)
                && let Some(secret) =
                    names.iter().find(|(known, section, key)| known == direct && is_secret(section, key))
            {
                self.add_secret_file(name, text, secret, variables);
                continue;
            }
            match name.as_str() {
                "DATA_DIR" | "PORT" | "AFFILITRACK_DEMO" => short_names.push((name.as_str(), text)),
                _ => self.add_variable(name, text, &names),
            }
        }
        for (name, text) in short_names {
            match name {
                "DATA_DIR" => self.set_text("data", "dir", text, name),
                "PORT" => self.set_port_text(text),
                _ => self.set_text("demo", "enabled", text, name),
            }
        }
    }

    fn add_variable(&mut self, name: &str, text: &str, names: &[(String, String, String)]) {
        let is_ours = name.starts_with(VARIABLE_PREFIX) && !name.starts_with(TEST_VARIABLE_PREFIX);
        if !is_ours || RESERVED_VARIABLES.contains(&name) {
            return;
        }
        if let Some((_, section, key)) = names.iter().find(|(known, _, _)| known == name) {
            return self.set_text(section, key, text, name);
        }
        let meant = nearest(name, names.iter().map(|(known, _, _)| known.as_str()));
        let hint = meant.map_or_else(
            || "see config.default.toml; the name is AFFILITRACK_SECTION_KEY".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        self.problems.add(name, name, format!("there is no such setting; {hint}"));
    }

    /// A secret that stands alone in a file.
    fn add_secret_file(
        &mut self,
        name: &str,
        file: &str,
        (direct, section, key): &(String, String, String),
        variables: &[(String, String)],
    ) {
        if variables.iter().any(|(other, _)| other == direct) {
            let message = format!("is set as well as {direct}: take one of them away");
            return self.problems.add(name, name, message);
        }
        match secret_files::read(Path::new(file)) {
            Ok(secret) => self.set_text(section, key, &secret, name),
            Err(message) => self.problems.add(name, name, message),
        }
    }

    /// The command line.
    pub fn add_flags(&mut self, data_dir: Option<&Path>, port: Option<u16>) {
        if let Some(data_dir) = data_dir {
            self.set("data", "dir", Value::String(data_dir.display().to_string()), "--data-dir");
        }
        if let Some(port) = port {
            self.set_port(port, "--port");
        }
    }

    /// The settings with everything that could be understood, and the problems.
    pub fn finish(mut self) -> (Config, Problems) {
        let config = Value::Table(self.chosen).try_into().unwrap_or_else(|error: toml::de::Error| {
            self.problems.add("configuration", "", error.message());
            Config::default()
        });
        (config, self.problems)
    }

    fn set_text(&mut self, section: &str, key: &str, text: &str, place: &str) {
        match parse_text(text, &self.known[section][key]) {
            Ok(value) => self.set(section, key, value, place),
            Err(expected) => self.wrong_kind(section, key, expected, &format!("{text:?}"), place),
        }
    }

    fn set_port_text(&mut self, text: &str) {
        match text.trim().parse() {
            Ok(port) => self.set_port(port, "PORT"),
            Err(_) => {
                let message = format!("must be a port from 0 to 65535 (0 takes any free one), got {text:?}");
                self.problems.add("PORT", "PORT", message);
            }
        }
    }

    /// Changes the port only; the address stays what file or environment said.
    fn set_port(&mut self, port: u16, place: &str) {
        let chosen = self.chosen.get("server").and_then(|server| server.get("listen"));
        let listen = chosen.unwrap_or(&self.known["server"]["listen"]).as_str().unwrap_or_default();
        let host = listen.rsplit_once(':').map_or("127.0.0.1", |(host, _)| host);
        let listen = format!("{host}:{port}");
        self.set("server", "listen", Value::String(listen), place);
    }

    fn set(&mut self, section: &str, key: &str, value: Value, place: &str) {
        let Some(default) = self.known[section].get(key) else {
            return self.unknown_key(section, key, place);
        };
        if !value.same_type(default) {
            let got = if is_secret(section, key) { "something else".to_owned() } else { describe(&value) };
            let expected = kind(default);
            return self.wrong_kind(section, key, expected, &got, place);
        }
        let alone =
            Table::from_iter([(section.to_owned(), Value::Table(Table::from_iter([(key.to_owned(), value.clone())])))]);
        if let Err(error) = Value::Table(alone).try_into::<Config>() {
            let message = if value.is_integer() {
                format!("must be a whole number, not negative and not too large for it, got {value}")
            } else {
                error.message().to_owned()
            };
            return self.problems.add(format!("{section}.{key}"), place, message);
        }
        let settings = self.chosen.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(settings) = settings {
            settings.insert(key.to_owned(), value);
        }
    }

    fn wrong_kind(&mut self, section: &str, key: &str, expected: &str, got: &str, place: &str) {
        self.problems.add(format!("{section}.{key}"), place, format!("must be {expected}, got {got}"));
    }

    fn unknown_section(&mut self, section: &str, place: &str) {
        let meant = nearest(section, self.known.keys().map(String::as_str));
        let hint = match (meant, self.section_of(section)) {
            (Some(meant), _) => format!("did you mean [{meant}]?"),
            (None, Some(home)) => format!("it belongs below [{home}]"),
            (None, None) => format!("there are {}", self.known.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        self.problems.add(section, place, format!("there is no such section; {hint}"));
    }

    fn unknown_key(&mut self, section: &str, key: &str, place: &str) {
        let siblings = self.known[section].as_table().into_iter().flat_map(|table| table.keys().map(String::as_str));
        let hint = match (self.section_of(key), nearest(key, siblings)) {
            (Some(home), _) => format!("it belongs below [{home}]"),
            (None, Some(meant)) => format!("did you mean {section}.{meant}?"),
            (None, None) => "see config.default.toml".to_owned(),
        };
        self.problems.add(format!("{section}.{key}"), place, format!("there is no such setting; {hint}"));
    }

    /// The section that has this key, if just one does.
    fn section_of(&self, key: &str) -> Option<&str> {
        let mut homes = self.known.iter().filter(|(_, settings)| settings.get(key).is_some());
        let (home, _) = homes.next()?;
        homes.next().is_none().then_some(home)
    }

    /// Variable name, section and key of every setting.
    fn variable_names(&self) -> Vec<(String, String, String)> {
        let mut names = Vec::new();
        for (section, settings) in &self.known {
            for key in settings.as_table().into_iter().flat_map(Table::keys) {
                let name = format!("{VARIABLE_PREFIX}{section}_{key}").to_uppercase();
                names.push((name, section.clone(), key.clone()));
            }
        }
        names
    }
}

fn is_secret(section: &str, key: &str) -> bool {
    key == "password" || (section, key) == ("postgres", "url")
}

/// Reads a variable's text as the kind that the setting has.
fn parse_text(text: &str, like: &Value) -> Result<Value, &'static str> {
    match like {
        Value::Integer(_) => text.trim().replace('_', "").parse().map(Value::Integer).map_err(|_| kind(like)),
        Value::Boolean(_) => match text.trim().to_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok(Value::Boolean(true)),
            "off" | "false" | "no" | "0" => Ok(Value::Boolean(false)),
            _ => Err("on or off"),
        },
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list in [ ]",
        Value::String(_) => "a text in quotes",
        _ => "something else",
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Table(_) => "a section".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}
