use super::*;
use std::collections::BTreeSet;
use toml::{Table, Value};

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("test.toml");
    std::fs::write(&path, file).expect("the file is written");
    let environment = environment.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    Config::load(&Sources { file: Some(path), environment, ..Sources::default() })
}

/// Each problem as `setting: message`, without the name of the temporary file.
fn problems(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let found = load(file, environment).expect_err("there are problems");
    found.iter().map(|problem| format!("{}: {}", problem.about, problem.message)).collect()
}

#[track_caller]
fn assert_one_problem(file: &str, environment: &[(&str, &str)], about: &str, part: &str) {
    let found = problems(file, environment);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("{about}: ")), "{found:#?}");
    assert!(found[0].contains(part), "{found:#?}");
}

#[test]
fn default_file_equals_the_defaults() {
    assert_eq!(load(DEFAULT_FILE, &[]).expect("the default file is right"), Config::default());
}

#[test]
fn default_file_names_every_setting_and_explains_it() {
    let known = Table::try_from(Config::default()).expect("plain data");
    let file: Table = DEFAULT_FILE.parse().expect("valid TOML");
    let names = |table: &Table| -> BTreeSet<String> {
        let settings = |settings: &Value| settings.as_table().expect("a section").keys().cloned().collect::<Vec<_>>();
        table
            .iter()
            .flat_map(|(section, value)| settings(value).into_iter().map(move |key| format!("{section}.{key}")))
            .collect()
    };
    assert_eq!(names(&known), names(&file));
    let lines: Vec<&str> = DEFAULT_FILE.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let is_setting = !line.starts_with('#') && line.contains(" = ");
        let explained = index > 0 && lines[index - 1].starts_with("# ");
        assert!(!is_setting || explained, "line {} has no explanation above it: {line}", index + 1);
        let is_section = line.starts_with('[');
        assert!(!is_section || lines[index - 1].starts_with("# "), "section without explanation: {line}");
    }
}

#[test]
fn every_range_is_about_a_setting_and_holds_for_the_default() {
    let mut found = Problems::default();
    validate::check(&Config::default(), &mut found);
    assert!(found.is_empty(), "{found}");
    assert!(Config::default().warnings().is_empty());
}

#[test]
fn no_file_means_defaults_and_a_named_file_must_exist() {
    let missing = Sources { file: Some(PathBuf::from("/nowhere/affilitrack.toml")), ..Sources::default() };
    let text = Config::load(&missing).expect_err("a named file must exist").to_string();
    assert!(text.contains("/nowhere/affilitrack.toml: cannot be read"), "{text}");
}

#[test]
fn all_problems_are_reported_at_once() {
    let file = r#"
        [server]
        listen = "here"
        trusted_proxies = ["10.0.0.0/8", "proxy"]
        [edge]
        max_boddy_bytes = 5
        max_inflight_bytes = "many"
        signature_tolerance_s = -1
        [wharehouse]
        embedded = true
        [web]
        listen = "0.0.0.0:80"
    "#;
    let found =
        problems(file, &[("PORT", "http"), ("AFFILITRACK_EDGE_MAX_BODY", "1"), ("AFFILITRACK_LOG_QUEUE_RECORDS", "0")]);
    let expected = [
        r#"edge.max_boddy_bytes: there is no such setting; did you mean edge.max_body_bytes?"#,
        r#"edge.max_inflight_bytes: must be a whole number, got "many""#,
        r#"edge.signature_tolerance_s: must be a whole number, not negative and not too large for it, got -1"#,
        r#"server.listen: must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, got "here""#,
        r#"server.trusted_proxies: must be addresses or networks such as 10.0.0.0/8, got "proxy""#,
        r#"web.listen: there is no such setting; it belongs below [server]"#,
        r#"wharehouse: there is no such section; did you mean [warehouse]?"#,
        r#"AFFILITRACK_EDGE_MAX_BODY: there is no such setting; did you mean AFFILITRACK_EDGE_MAX_BODY_BYTES?"#,
        r#"PORT: must be a port from 0 to 65535 (0 takes any free one), got "http""#,
        r#"log.queue_records: must be from 1 to 1000000, got 0"#,
        r#"log.group_max_records: must be at most log.queue_records (0), got 1024"#,
    ];
    for message in expected {
        assert!(found.iter().any(|problem| problem == message), "missing: {message}\nin {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn broken_toml_says_where() {
    let found = problems("[server]\nlisten = \n", &[]);
    assert!(found[0].contains("is not valid TOML") && found[0].contains("line 2"), "{found:#?}");
}

#[test]
fn a_section_must_be_a_section() {
    assert_one_problem("edge = 5", &[], "edge", "write [edge]");
    assert_one_problem("max_body_bytes = 5", &[], "max_body_bytes", "it belongs below [edge]");
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let file = "[data]\ndir = \"/file\"\n[server]\nlisten = \"127.0.0.2:1\"\n";
    let environment =
        [("DATA_DIR", "/short"), ("AFFILITRACK_DATA_DIR", "/long"), ("PORT", "0"), ("AFFILITRACK_DEMO", "off")];
    let config = load(file, &environment).expect("right");
    assert_eq!(config.data.dir, PathBuf::from("/short"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.2:0");
    assert!(!config.demo.enabled);

    let environment = environment.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    let sources = Sources { file: None, environment, data_dir: Some(PathBuf::from("/flag")), port: Some(9) };
    let config = Config::load(&sources).expect("right");
    assert_eq!(config.data.dir, PathBuf::from("/flag"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:9");
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let environment = [
        ("AFFILITRACK_SERVER_LISTEN", "[::1]:80"),
        ("AFFILITRACK_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1"),
        ("AFFILITRACK_EDGE_MAX_BODY_BYTES", "2_000_000"),
        ("AFFILITRACK_WAREHOUSE_EMBEDDED", "no"),
        ("AFFILITRACK_WAREHOUSE_URL", "http://127.0.0.1:8123"),
        ("AFFILITRACK_WAREHOUSE_PASSWORD", "hunter2"),
        ("AFFILITRACK_TELEMETRY_FORMAT", "json"),
        ("AFFILITRACK_TELEMETRY_TRACES_ENDPOINT", "https://traces.example.com/otlp"),
        ("AFFILITRACK_TELEMETRY_TRACES_ONE_IN", "1_000"),
        ("AFFILITRACK_MASTER_KEY", "not a setting"),
        ("AFFILITRACK_TEST_CRASH_AT", "not a setting"),
        ("UNRELATED", "x"),
    ];
    let config = load("", &environment).expect("right");
    assert_eq!(config.server.listen.to_string(), "[::1]:80");
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.edge.max_body_bytes, 2_000_000);
    assert_eq!(config.warehouse.password.expose(), "hunter2");
    assert_eq!(config.telemetry.format, LogFormat::Json);
    assert_eq!(config.telemetry.traces_endpoint.map(String::from).as_deref(), Some("https://traces.example.com/otlp"));
    assert_eq!(config.telemetry.traces_one_in, 1_000);
}

#[test]
fn secrets_are_never_shown() {
    let config = load("[warehouse]\npassword = \"hunter2\"\n", &[]).expect("right");
    let shown = format!("{config:?}\n{}", config.to_toml());
    assert!(!shown.contains("hunter2") && shown.contains("(hidden)"), "{shown}");
    let wrong = format!("{:?}", load("[warehouse]\npassword = 424242\n", &[]));
    assert!(!wrong.contains("424242"), "{wrong}");
}

#[test]
fn contradictions_are_refused() {
    assert_one_problem("[server]\nlisten = \"0.0.0.0:80\"\n", &[], "server.public_url", "must be set when");
    assert_one_problem("[server]\npublic_url = \"ftp://x\"\n", &[], "server.public_url", "must begin with https://");
    assert_one_problem("[server]\npublic_url = \"track\"\n", &[], "server.public_url", "must be a full URL");
    assert_one_problem(
        "[server]\ntrusted_proxies = [\"::/0\"]\n",
        &[],
        "server.trusted_proxies",
        "must not be everybody",
    );
    assert_one_problem("[warehouse]\nembedded = false\n", &[], "warehouse.url", "must be set");
    assert_one_problem("[warehouse]\nurl = \"http://127.0.0.1:1\"\n", &[], "warehouse.url", "contradicts");
    assert_one_problem("[warehouse]\ndatabase = \"a; b\"\n", &[], "warehouse.database", "letters, digits");
    assert_one_problem(
        "[edge]\nmax_body_bytes = 60000000\nmax_inflight_bytes = 50000000\n[log]\ngroup_max_bytes = 60000000\n[processor]\nbatch_max_bytes = 60000000\n",
        &[],
        "edge.max_inflight_bytes",
        "at least edge.max_body_bytes",
    );
    assert_one_problem("[kafka]\nbrokers = \"here\"\n", &[], "kafka.brokers", "host:port");
    assert_one_problem("[kafka]\nlive_topic = \"at.events.v1\"\n", &[], "kafka.live_topic", "must not be kafka.topic");
    assert_one_problem("[kafka]\nmin_insync_replicas = 2\n", &[], "kafka.min_insync_replicas", "at most");
    assert_one_problem("[postgres]\nurl = \"mysql://root:hunter2@h\"\n", &[], "postgres.url", "postgresql://");
    assert_one_problem("[warehouse]\ncluster = \"main\"\n", &[], "warehouse.cluster", "is for servers");
    assert_one_problem("[postgres]\nschema = \"At\"\n", &[], "postgres.schema", "small letters");
    assert_one_problem("[telemetry]\nfilter = \"info,,=loud=\"\n", &[], "telemetry.filter", "must look like");
    for (endpoint, part) in [
        ("127.0.0.1:4318", "must be a full URL"),
        ("grpc://127.0.0.1:4317", "must begin with http://"),
        ("http://127.0.0.1:4318/v1/traces", "must end before /v1/traces"),
        ("https://traces.example.com/?key=1", "must end before /v1/traces"),
        ("https://me:hunter2@traces.example.com", "must not hold a user name or password"),
    ] {
        let file = format!("[telemetry]\ntraces_endpoint = \"{endpoint}\"\n");
        assert_one_problem(&file, &[], "telemetry.traces_endpoint", part);
    }
    assert_one_problem("[telemetry]\ntraces_one_in = 0\n", &[], "telemetry.traces_one_in", "must be from 1 to");
    assert_one_problem("[telemetry]\ntraces_service = \" \"\n", &[], "telemetry.traces_service", "1 to 100");
    assert_one_problem("[telemetry]\nformat = \"xml\"\n", &[], "telemetry.format", "json");
    assert_one_problem("", &[("AFFILITRACK_DEMO", "maybe")], "demo.enabled", "on or off");
}

#[test]
fn a_role_of_its_own_says_what_it_still_needs() {
    let missing = Config::default().missing_for_roles();
    for setting in ["kafka.brokers", "postgres.url", "warehouse.embedded"] {
        assert!(missing.iter().any(|words| words.starts_with(setting)), "{missing:?}");
    }
    let environment = [
        ("AFFILITRACK_KAFKA_BROKERS", "127.0.0.1:9092, [::1]:9092"),
        ("AFFILITRACK_POSTGRES_URL", "postgresql://me:hunter2@127.0.0.1/at"),
        ("AFFILITRACK_WAREHOUSE_EMBEDDED", "off"),
        ("AFFILITRACK_WAREHOUSE_URL", "http://127.0.0.1:8123"),
    ];
    let config = load("", &environment).expect("right");
    assert!(config.missing_for_roles().is_empty());
    assert!(!format!("{config:?}{}", config.to_toml()).contains("hunter2"));
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let file = "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"http://track.example.com/\"\n";
    let config = load(file, &[]).expect("allowed");
    assert_eq!(config.warnings().len(), 2, "{:?}", config.warnings());
    assert_eq!(config.public_url(config.server.listen), "http://track.example.com");
    assert_eq!(Config::default().public_url("127.0.0.1:4711".parse().expect("an address")), "http://127.0.0.1:4711");
}

#[test]
fn suggestions_are_near_or_none() {
    assert_eq!(problems::nearest("liste", ["listen", "public_url"].into_iter()), Some("listen"));
    assert_eq!(problems::nearest("completely_different", ["listen"].into_iter()), None);
}
