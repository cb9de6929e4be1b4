use std::process::Command;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
}

fn resolve(flags: &[&str]) -> Result<Settings, ConfigError> {
    Cli::try_parse_from(["topgraft"].iter().chain(flags)).unwrap().settings.resolve()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn flags_come_before_the_file_and_the_file_before_defaults() {
    let file = file("workers = 7\nmax_batch = 3\n");
    let path = file.path().to_str().unwrap();
    let settings = resolve(&["--config", path, "--workers", "0", "--weights", "w"]).unwrap();
    assert_eq!((settings.workers, settings.max_batch, settings.max_attempts), (0, 3, 5));
    assert_eq!(settings.backbone(), Path::new("w"));
    assert_eq!(Settings::default().backbone(), Path::new("data/weights/vgg16.safetensors"));
}

/// Runs itself again with variables set: a process must not change its own environment while other tests run.
#[test]
fn the_environment_comes_between_file_and_flags() {
    const CHILD: &str = "TOPGRAFT_TEST_CONFIG_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let settings = resolve(&["--workers", "9"]).unwrap();
        assert_eq!((settings.workers, settings.max_batch, settings.max_attempts), (9, 5, 6));
        return;
    }
    let file = file("workers = 7\nmax_batch = 3\nmax_attempts = 6\n");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "config::tests::the_environment_comes_between_file_and_flags"])
        .envs([(CHILD, "1"), ("TOPGRAFT_WORKERS", "8"), ("TOPGRAFT_MAX_BATCH", "5")])
        .env("TOPGRAFT_CONFIG", file.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(ENVIRONMENT.contains(&"TOPGRAFT_MAX_BATCH") && ENVIRONMENT.contains(&"TOPGRAFT_WEIGHTS"));
}

#[test]
fn a_worker_reads_its_parents_settings_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/settings.toml");
    let settings = Settings {
        threads: Some(3),
        log_format: LogFormat::Json,
        max_batch: 1,
        allowed_hosts: "flowers.example, [::1]".parse().unwrap(),
        ..Settings::default()
    };
    settings.save(&path).unwrap();
    settings.save(&path).unwrap();
    assert_eq!(resolve(&["--config", path.to_str().unwrap()]).unwrap(), settings);
}

#[test]
fn mistakes_are_named() {
    let unknown = file("worker = 7\n");
    let error = resolve(&["--config", unknown.path().to_str().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("unknown field `worker`"), "{error}");
    let error = resolve(&["--config", "/nonexistent/topgraft.toml"]).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/topgraft.toml: "), "{error}");
    for (flags, message) in [
        (["--max-batch", "0"], "max_batch must be at least 1"),
        (["--threads", "0"], "threads must be at least 1"),
        (["--predict-queue", "1"], "predict_queue must be at least max_predict_pictures"),
        (["--lease-seconds", "1"], "lease_seconds must be from 5 to 3600"),
        (["--max-connections", "0"], "max_connections must be at least 1"),
        (["--body-idle-seconds", "0"], "body_idle_seconds must be from 1 to 86400"),
        (["--stop-seconds", "86401"], "stop_seconds must be from 1 to 86400"),
        (["--lame-duck-ms", "86400001"], "lame_duck_ms must be at most 86400000"),
    ] {
        assert_eq!(resolve(&flags).unwrap_err().to_string(), message);
    }
}

#[test]
fn limits_are_those_that_the_data_set_code_would_choose() {
    assert_eq!(Settings::default().dataset_limits(), DatasetLimits::default());
}
