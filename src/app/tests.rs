//! The whole program in this process, on loopback and free ports.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};

use super::reload::Cause;
use super::*;
use crate::config;

const PATIENCE: Duration = Duration::from_secs(10);

/// A directory with a configuration on free ports, gone with the test.
struct Site {
    directory: PathBuf,
    text: String,
}

impl Site {
    fn new(name: &str) -> Site {
        let directory = std::env::temp_dir().join(format!("drawbridge-{name}-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("trunks.d")).unwrap();
        // Held together, so that all ports differ; free again when the app binds them.
        let free: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!(
            r#"
[admin]
listen = "{}"
socket = "{}"
[[listener]]
realm = "trusted"
bind = "{}"
[[listener]]
realm = "untrusted"
bind = "{}"
[realm.trusted]
media_bind = "127.0.0.1"
allow = ["127.0.0.1"]
[realm.untrusted]
media_bind = "127.0.0.1"
[media]
workers = 1
engine = "portable"
[cdr]
path = "{}"
"#,
            admin.local_addr().unwrap(),
            directory.join("admin.sock").display(),
            free[0].local_addr().unwrap(),
            free[1].local_addr().unwrap(),
            directory.join("cdr.jsonl").display(),
        );
        let site = Site { directory, text };
        site.write("drawbridge.toml", &site.text);
        site
    }

    fn path(&self) -> PathBuf {
        self.directory.join("drawbridge.toml")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.join(name), text).unwrap();
    }

    fn load(&self) -> Config {
        load(&self.path())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn load(path: &Path) -> Config {
    config::load(path).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>())
    })
}

fn get(address: SocketAddr, page: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn status(app: &RunningApp) -> serde_json::Value {
    let (code, body) = get(app.admin, "/api/v1/status");
    assert_eq!(code, 200);
    serde_json::from_str(&body).unwrap()
}

#[test]
fn it_starts_answers_every_page_and_ends_with_its_sockets_closed() {
    let site = Site::new("life");
    let app = start(site.load()).unwrap();
    assert_eq!(get(app.admin, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(app.admin, "/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(get(app.admin, "/nothing").0, 404);
    let (code, metrics) = get(app.admin, "/metrics");
    assert_eq!(code, 200);
    // Of trunks, limits and certificates there is nothing to say, for there are none.
    let absent = ["drawbridge_trunk_", "drawbridge_calls_limit", "drawbridge_tls_"];
    let families = Metrics::new().unwrap().families();
    let names = families.iter().map(|family| family.name.name);
    for name in names.filter(|name| !absent.iter().any(|begin| name.starts_with(begin))) {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "no {name}");
    }
    assert!(metrics.contains(r#"drawbridge_build_info{engine="portable","#));
    let status = status(&app);
    assert_eq!((&status["state"], &status["engine"]), (&"serving".into(), &"portable".into()));
    assert_eq!((&status["calls"], &status["configuration"]["listeners"]), (&0.into(), &2.into()));

    let (sip, admin) = (app.listeners.clone(), app.admin);
    app.shutdown().unwrap();
    for address in sip {
        UdpSocket::bind(address).unwrap();
    }
    assert!(TcpStream::connect(admin).is_err());
}

#[test]
fn what_arrives_while_it_runs_holds_nothing_up() {
    let site = Site::new("noise");
    let app = start(site.load()).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for listener in &app.listeners {
        for noise in [&b""[..], b"\0", b"\r\n\r\n", b"\xff\xfe", b"INVITE", &[b'x'; 60_000]] {
            peer.send_to(noise, listener).unwrap();
        }
    }
    assert_eq!(get(app.admin, "/healthz").0, 200);
    app.shutdown().unwrap();
}

#[test]
fn a_port_in_use_is_one_message_with_its_cure() {
    let site = Site::new("port-in-use");
    let config = site.load();
    let taken = UdpSocket::bind(config.listeners[1].bind).unwrap();
    let message = start(config).unwrap_err().to_string();
    let port = taken.local_addr().unwrap().port();
    assert!(
        message.starts_with("cannot listen on the untrusted realm's udp address 127.0.0.1:"),
        "{message}"
    );
    assert!(message.ends_with(&format!("ss -anp 'sport = :{port}'")), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_with_faults_changes_nothing_and_one_without_takes_effect() {
    let site = Site::new("reload");
    let app = start(site.load()).unwrap();
    let reloader = Reloader::new(site.path(), &app);

    let with_trunk = format!("{}\n[trunk.carrier]\nhost = \"192.0.2.1\"\nport = 5060\n", site.text);
    site.write("drawbridge.toml", &with_trunk.replace("engine =", "engin ="));
    assert_eq!(reloader.reload(Cause::Asked).await.outcome, Reload::Refused);
    assert_eq!(reloader.reload(Cause::FilesChanged).await.outcome, Reload::Unchanged);
    let refused = status(&app);
    assert_eq!(refused["configuration"]["trunks"], 0);
    assert_eq!(refused["configuration"]["last_reload_successful"], false);
    assert_eq!(refused["configuration"]["faults"][0]["key"], "media.engin");
    let (_, metrics) = get(app.admin, "/metrics");
    assert!(metrics.contains("drawbridge_config_last_reload_successful 0\n"));
    assert!(metrics.contains("drawbridge_config_reloads_total{result=\"refused\"} 1\n"));

    site.write("drawbridge.toml", &with_trunk);
    assert_eq!(reloader.reload(Cause::FilesChanged).await.outcome, Reload::Taken);
    assert_eq!(reloader.reload(Cause::FilesChanged).await.outcome, Reload::Unchanged);
    let taken = status(&app);
    assert_eq!(taken["configuration"]["trunks"], 1);
    assert_eq!(taken["configuration"]["last_reload_successful"], true);
    assert_eq!(taken["configuration"]["faults"], serde_json::json!([]));
    let (_, metrics) = get(app.admin, "/metrics");
    assert!(metrics.contains("drawbridge_config_last_reload_successful 1\n"));
    assert!(metrics.contains("drawbridge_calls_active{trunk=\"carrier\"} 0\n"));
    app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_waits_for_one_and_the_rest_is_taken() {
    let site = Site::new("restart");
    let app = start(site.load()).unwrap();
    let reloader = Reloader::new(site.path(), &app);
    let text = site.text.replace("engine = \"portable\"", "engine = \"auto\"\nports = \"20000-20100\"");
    site.write("drawbridge.toml", &format!("[node]\nname = \"other\"\n{text}"));
    assert_eq!(reloader.reload(Cause::Asked).await.outcome, Reload::Taken);
    let status = status(&app);
    assert_eq!(status["node"], "other");
    let waiting = &status["configuration"]["waiting_for_restart"];
    assert_eq!(waiting, &serde_json::json!(["media.ports", "media.engine"]));
    app.stop().await.unwrap();
}

#[test]
fn a_free_port_is_chosen_where_the_configuration_says_none() {
    let site = Site::new("free-ports");
    let mut config = site.load();
    for listener in &mut config.listeners {
        listener.bind.set_port(0);
        listener.advertise.port = 0;
    }
    config.admin.listen.set_port(0);
    let settings =
        settings::engine(&config, &["127.0.0.1:7000".parse().unwrap(), "127.0.0.1:7001".parse().unwrap()]);
    assert_eq!(settings.listeners[1].advertise, "127.0.0.1:7001");
    let app = start(config).unwrap();
    assert!(app.listeners.iter().all(|address| address.port() != 0));
    assert_eq!(get(app.admin, "/readyz").0, 200);
    app.shutdown().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_address_that_is_not_ours_is_refused_at_start_and_at_reload() {
    let site = Site::new("media-address");
    let foreign = site.text.replacen("media_bind = \"127.0.0.1\"", "media_bind = \"192.0.2.77\"", 1);
    let app = start(site.load()).unwrap();
    let reloader = Reloader::new(site.path(), &app);
    site.write("drawbridge.toml", &foreign);
    assert_eq!(reloader.reload(Cause::Asked).await.outcome, Reload::Refused);
    app.stop().await.unwrap();

    let message = start(site.load()).unwrap_err().to_string();
    assert!(message.contains("realm.trusted.media_bind 192.0.2.77"), "{message}");
    assert!(message.contains("no interface of this host has the address"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_media_timeout_needs_no_restart() {
    let site = Site::new("media-timeout");
    let app = start(site.load()).unwrap();
    let reloader = Reloader::new(site.path(), &app);
    site.write("drawbridge.toml", &site.text.replace("workers = 1", "workers = 1\ntimeout = \"7s\""));
    assert_eq!(reloader.reload(Cause::Asked).await.outcome, Reload::Taken);
    let configuration = app.view.configuration.load_full();
    assert!(configuration.waiting_for_restart.is_empty());
    assert_eq!(configuration.running.media.timeout, Duration::from_secs(7));
    app.stop().await.unwrap();
}
