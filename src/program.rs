//! What the binary does: one program, its roles are commands.

use crate::base::Role;
use crate::cli::{Cli, Command, CorpusArgs, LogCommand};
use crate::clock::system_clock;
use crate::config::Config;
use crate::{
    backup, check_config, commands, doctor, engine_library, log_repair, mail_commands, migrate, run, warehouse_role,
};
use anyhow::Context;
use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads the command line and the configuration, and runs the command.
pub fn main() -> ExitCode {
    // Whatever this process writes, the engine's files too, is for this user only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    processor::lookups::choose_tls();
    let cli = Cli::parse();
    let sources = cli.sources(std::env::vars().collect());
    let command = cli.into_command();
    if let Command::CheckConfig(arguments) = &command {
        return check_config::run(&sources, arguments.show);
    }
    let config = match Config::load(&sources) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::FAILURE;
        }
    };
    match dispatch(command, config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("affilitrack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command, config: Config) -> anyhow::Result<ExitCode> {
    if let Command::Doctor = command {
        return Ok(run_doctor(&config));
    }
    if let Command::Corpus(arguments) = command {
        return run_corpus(arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    let socket = config.data.dir.join("affilitrack.sock");
    runtime.block_on(async {
        match command {
            Command::Run(_) => run::run(config, Role::All).await,
            Command::Ingest(_) => run::run(config, Role::Ingest).await,
            Command::Process(_) => run::run(config, Role::Process).await,
            Command::Serve(_) => run::run(config, Role::Serve).await,
            Command::Warehouse(arguments) => warehouse_role::run(&config, arguments.listen).await,
            Command::Migrate(args) => migrate::run(config, &args).await,
            Command::Connect(arguments) => commands::connect(&socket, arguments).await,
            Command::Decide(arguments) => commands::decide(&socket, arguments).await,
            Command::Explain(arguments) => commands::explain(&socket, arguments).await,
            Command::Refused(arguments) => commands::refused(&socket, arguments).await,
            Command::Login => commands::login(&socket).await,
            Command::ApiKey(arguments) => commands::api_key(&socket, arguments).await,
            Command::Mail(command) => mail_commands::run(&socket, command).await,
            Command::Backup(arguments) => backup::run(&config, &arguments, (system_clock())()).await,
            Command::Log(LogCommand::Repair { apply }) => log_repair::run(&config, apply).await,
            Command::CheckConfig(_) | Command::Doctor | Command::Corpus(_) => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::disallowed_methods, reason = "doctor compares the clock with file times")]
fn run_doctor(config: &Config) -> ExitCode {
    let configured = config.warehouse.library.clone();
    let find = move || {
        engine_library::find(&engine_library::Search {
            configured: configured.clone(),
            engine_dir: std::env::var_os("AFFILITRACK_ENGINE_DIR").map(PathBuf::from),
            binary: std::env::current_exe().ok(),
            working_dir: std::env::current_dir().unwrap_or_default(),
        })
    };
    doctor::run(
        config,
        &doctor::Surroundings {
            now: std::time::SystemTime::now(),
            master_key_in_environment: std::env::var_os("AFFILITRACK_MASTER_KEY").is_some(),
            find_engine: &find,
        },
    )
}

fn run_corpus(arguments: CorpusArgs) -> anyhow::Result<ExitCode> {
    let options = corpus::CorpusOptions {
        folder: arguments.folder,
        shuffle: arguments.shuffle,
        shuffles: u32::try_from(arguments.seeds)?,
        only: arguments.only,
        binary: std::env::current_exe()?,
        cluster: arguments.cluster,
        keep: false,
    };
    let summary = corpus::run(options, &mut std::io::stdout())?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
