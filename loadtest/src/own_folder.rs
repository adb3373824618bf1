//! A folder of its own for an instance under test: it goes away unless something was wrong.

use anyhow::Result;
use corpus::cluster::free_port;
use corpus::product::StartOptions;
use std::io::Write;
use std::path::Path;
use tempfile::TempDir;

/// Data and log of one instance.
pub struct OwnFolder(TempDir);

impl OwnFolder {
    /// An empty one; `purpose` becomes a part of its name.
    pub fn new(purpose: &str) -> Result<OwnFolder> {
        Ok(OwnFolder(tempfile::Builder::new().prefix(&format!("affilitrack-{purpose}-")).tempdir()?))
    }

    /// How to start the one process in it, on a port that stays the same at every start.
    pub fn start_options(&self, binary: &Path) -> Result<StartOptions> {
        Ok(StartOptions {
            binary: binary.to_owned(),
            command: "run",
            data_dir: self.0.path().join("data"),
            port: free_port()?,
            log_file: self.0.path().join("product.log"),
            environment: Vec::new(),
        })
    }

    /// Removes it, or says where it is: if `keep`, and whenever the test did not pass.
    pub fn end(self, keep: bool, result: &Result<bool>, out: &mut (dyn Write + Send)) -> Result<()> {
        if keep || result.as_ref().map_or(true, |passed| !passed) {
            writeln!(out, "kept: {}", self.0.keep().display())?;
        }
        Ok(())
    }
}
