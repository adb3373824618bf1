//! `affilitrack check-config`: says whether the configuration is right, without starting anything.

use crate::config::{Config, Sources};
use std::process::ExitCode;

/// Prints every problem, or that there is none; with `show`, all settings in force. Fails when there is a problem.
pub fn run(sources: &Sources, show: bool) -> ExitCode {
    let (text, right) = report(sources, show);
    if right {
        println!("{text}");
        ExitCode::SUCCESS
    } else {
        eprintln!("{text}");
        ExitCode::FAILURE
    }
}

fn report(sources: &Sources, show: bool) -> (String, bool) {
    let config = match Config::load(sources) {
        Ok(config) => config,
        Err(problems) => {
            return (format!("{problems}\nEvery setting is explained in config.default.toml."), false);
        }
    };
    let mut lines = Vec::new();
    if show {
        lines.push(config.to_toml());
    }
    lines.extend(config.warnings().into_iter().map(|warning| format!("WARN  {warning}")));
    lines.push("OK    the configuration is right".to_owned());
    (lines.join("\n"), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn says_what_is_wrong_or_that_nothing_is() {
        let (text, right) = report(&Sources::default(), true);
        assert!(
            right && text.contains("listen = \"127.0.0.1:8080\"") && text.ends_with("the configuration is right"),
            "{text}"
        );
        let missing = Sources { file: Some(PathBuf::from("/nowhere.toml")), ..Sources::default() };
        let (text, right) = report(&missing, true);
        assert!(
            !right && text.starts_with("1 problem with the configuration:") && text.contains("/nowhere.toml"),
            "{text}"
        );
    }
}
