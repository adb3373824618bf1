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

/// A folder with a file of each kind that settings may name; `nothing.pem` holds neither.
fn certificate_files() -> (tempfile::TempDir, impl Fn(&str) -> String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=ca",
        ])
        .args(["-keyout", "a.key", "-out", "ca.pem"])
        .current_dir(folder.path())
        .output()
        .expect("these tests need the command openssl: run: bash scripts/setup.sh test");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(folder.path().join("nothing.pem"), "hunter2\n").expect("written");
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name).display().to_string())
}

#[test]
fn protected_connections_are_understood() {
    let (_folder, file) = certificate_files();
    let text = format!(
        "[kafka]\nsecurity_protocol = \"sasl_ssl\"\nsasl_mechanism = \"SCRAM-SHA-512\"\nuser = \"me\"\ntls_ca_file = {0:?}\n\
         tls_certificate_file = {0:?}\ntls_key_file = {1:?}\n[postgres]\nurl = \"postgres://me@h/db?sslmode=require\"\n\
         tls = \"verify-full\"\ntls_ca_file = {0:?}\n[warehouse]\nembedded = false\nurl = \"https://h:8443\"\npassword = \"x\"\ntls_ca_file = {0:?}\n",
        file("ca.pem"),
        file("a.key"),
    );
    let config = load(&text, &[("AFFILITRACK_KAFKA_PASSWORD_FILE", &file("nothing.pem"))]).expect("right");
    assert_eq!(config.kafka.password.expose(), "hunter2");
    assert_eq!(config.kafka.security_protocol, KafkaProtocol::SaslSsl);
    assert_eq!(config.postgres.tls, PostgresTls::VerifyFull);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    assert!(!format!("{config:?}{}", config.to_toml()).contains("hunter2"));
    let loud = load(
        "[kafka]\nsecurity_protocol = \"SASL_SSL\"\nsasl_mechanism = \"PLAIN\"\nuser = \"a\"\npassword = \"b\"\n",
        &[],
    );
    assert_eq!(loud.expect("as brokers write it").kafka.security_protocol, KafkaProtocol::SaslSsl);
}

#[test]
fn everything_that_is_wrong_with_protected_connections_is_said_at_once() {
    let (_folder, file) = certificate_files();
    let text = format!(
        "[kafka]\nsecurity_protocol = \"sasl_ssl\"\nuser = \"me\"\ntls_ca_file = \"/nowhere/ca.pem\"\ntls_certificate_file = {:?}\n\
         [postgres]\nurl = \"postgres://me:hunter2@h/db?sslmode=disable\"\ntls = \"verify-ca\"\n\
         [warehouse]\nembedded = false\nurl = \"https://me:hunter2@h:8443\"\ntls_ca_file = {:?}\n",
        file("ca.pem"),
        file("nothing.pem"),
    );
    let found = problems(&text, &[]);
    let expected = [
        ("kafka.sasl_mechanism", "must be set"),
        ("kafka.password", "AFFILITRACK_KAFKA_PASSWORD"),
        ("kafka.tls_ca_file", "/nowhere/ca.pem cannot be read"),
        ("kafka.tls_key_file", "belong together"),
        ("postgres.tls", "contradicts sslmode=disable"),
        ("postgres.tls_ca_file", "must be set with"),
        ("warehouse.url", "warehouse.user and warehouse.password"),
        ("warehouse.tls_ca_file", "holds no CERTIFICATE"),
    ];
    for (about, part) in expected {
        let is_said = |problem: &String| problem.starts_with(&format!("{about}: ")) && problem.contains(part);
        assert!(found.iter().any(is_said), "missing: {about}: {part}\nin {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
}

#[test]
fn what_would_not_be_used_is_a_mistake() {
    let (_folder, file) = certificate_files();
    let ca = file("ca.pem");
    let environment = |name: &'static str, text: &str| (name, text.to_owned());
    for (about, (name, text)) in [
        ("kafka.user", environment("AFFILITRACK_KAFKA_USER", "me")),
        ("kafka.password", environment("AFFILITRACK_KAFKA_PASSWORD", "x")),
        ("kafka.sasl_mechanism", environment("AFFILITRACK_KAFKA_SASL_MECHANISM", "PLAIN")),
        ("kafka.tls_ca_file", environment("AFFILITRACK_KAFKA_TLS_CA_FILE", &ca)),
        ("postgres.tls_ca_file", environment("AFFILITRACK_POSTGRES_TLS_CA_FILE", &ca)),
        ("warehouse.tls_ca_file", environment("AFFILITRACK_WAREHOUSE_TLS_CA_FILE", &ca)),
    ] {
        assert_one_problem("", &[(name, &text)], about, "would not be used");
    }
}

#[test]
fn the_url_of_postgres_and_its_setting_must_agree() {
    let with = |mode: &str, tls: &str| format!("[postgres]\nurl = \"postgres://me@h/db{mode}\"\ntls = \"{tls}\"\n");
    assert_one_problem(&with("?sslmode=require", "off"), &[], "postgres.tls", "sslmode=require");
    assert_one_problem(&with("?sslmode=disable", "require"), &[], "postgres.tls", "sslmode=disable");
    assert_one_problem(&with("?sslmode=verify-full", "url"), &[], "postgres.url", "set postgres.tls");
    assert_one_problem(&with("?sslrootcert=/a.pem", "verify-full"), &[], "postgres.url", "postgres.tls_ca_file");
    assert_one_problem(&with("", "verify"), &[], "postgres.tls", "verify-full");
    for (mode, tls) in [("?sslmode=require", "verify-full"), ("?sslmode=prefer", "off"), ("", "url"), ("", "off")] {
        assert!(load(&with(mode, tls), &[]).expect("right").warnings().is_empty(), "{mode} {tls}");
    }
    for (mode, tls) in [("?sslmode=require", "url"), ("", "require")] {
        let warnings = load(&with(mode, tls), &[]).expect("allowed").warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("whoever answers is believed"), "{warnings:?}");
    }
}

#[test]
fn a_secret_in_a_file_is_read_once_and_never_repeated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("url");
    std::fs::write(&path, "postgres://me:hunter2@h/db\n").expect("written");
    let file = path.to_str().expect("a name in UTF-8");
    let config = load("", &[("AFFILITRACK_POSTGRES_URL_FILE", file)]).expect("right");
    assert_eq!(config.postgres.url.expose(), "postgres://me:hunter2@h/db");
    let both = [("AFFILITRACK_POSTGRES_URL_FILE", file), ("AFFILITRACK_POSTGRES_URL", "postgres://other@h/db")];
    assert_one_problem("", &both, "AFFILITRACK_POSTGRES_URL_FILE", "as well as AFFILITRACK_POSTGRES_URL");
    assert_one_problem(
        "",
        &[("AFFILITRACK_KAFKA_PASSWORD_FILE", "/nowhere")],
        "AFFILITRACK_KAFKA_PASSWORD_FILE",
        "/nowhere",
    );
    // Only secrets may stand alone in a file.
    assert_one_problem(
        "",
        &[("AFFILITRACK_KAFKA_TOPIC_FILE", file)],
        "AFFILITRACK_KAFKA_TOPIC_FILE",
        "no such setting",
    );
    std::fs::write(&path, "\n").expect("written");
    assert_one_problem("", &[("AFFILITRACK_POSTGRES_URL_FILE", file)], "AFFILITRACK_POSTGRES_URL_FILE", "nothing else");
}
