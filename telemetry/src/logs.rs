//! Structured logging: one line per event on standard error, for people or for machines.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal: coloured when standard error is one.
    Human,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// The format with this name, as the config file writes it.
    pub fn from_name(name: &str) -> Option<LogFormat> {
        match name {
            "human" => Some(LogFormat::Human),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// The filter text is wrong.
    #[error("log filter {filter:?} is not understood ({reason}): write for example \"info\" or \"info,ingest=debug\"")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logging was set up before in this process.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Sends every log line of this process to standard error. Standard output stays free for what
/// a command prints.
///
/// `filter` is a list such as `info,ingest=debug`. Call it once, at the start.
pub fn init(format: LogFormat, filter: &str) -> Result<(), LogSetupError> {
    let colours = format == LogFormat::Human && std::io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, colours, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogSetupError::AlreadySet)
}

/// The subscriber behind [`init`], writing wherever it is told.
fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colours: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, LogSetupError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| LogSetupError::Filter { filter: filter.to_owned(), reason: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colours);
    Ok(match format {
        LogFormat::Human => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = subscriber(format, filter, false, move || writer.clone()).expect("the filter is right");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(endpoint = "e1", "delivery of endpoint e1 stored");
            tracing::debug!("not wanted");
        });
        String::from_utf8(captured.0.lock().expect("not poisoned").clone()).expect("text")
    }

    #[test]
    fn one_json_object_per_line_with_its_fields() {
        let line = logged(LogFormat::Json, "info");
        assert_eq!(line.lines().count(), 1);
        assert!(line.contains("\"endpoint\":\"e1\"") && line.contains("\"level\":\"INFO\""), "{line}");
    }

    #[test]
    fn human_lines_read_alone() {
        let line = logged(LogFormat::Human, "info");
        assert!(line.contains("delivery of endpoint e1 stored"), "{line}");
    }

    #[test]
    fn a_wrong_filter_says_what_to_write() {
        let error = init(LogFormat::Human, "ingest=loud").expect_err("no such level");
        assert!(error.to_string().contains("info,ingest=debug"), "{error}");
    }
}
