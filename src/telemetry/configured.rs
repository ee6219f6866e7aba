//! What of the configuration is shown as metrics: to be compared with what is measured.

use super::Metrics;
use super::metrics::NO_TRUNK;
use crate::config::Config;

impl Metrics {
    /// Shows limits and the ends of certificates; those of an older configuration are gone.
    pub fn set_configuration(&self, config: &Config) {
        self.calls_limit.reset();
        let node = [(NO_TRUNK, config.routing.limits.calls)];
        let trunks = config.routing.trunks.iter().map(|trunk| (trunk.name.as_str(), trunk.limits.calls));
        for (name, limit) in node.into_iter().chain(trunks) {
            if let Some(limit) = limit {
                self.calls_limit.with_label_values(&[name]).set(limit.into());
            }
        }
        self.certificate_expiry.reset();
        let expires = |of: String, at: Option<i64>| {
            if let Some(at) = at {
                self.certificate_expiry.with_label_values(&[of.as_str()]).set(at);
            }
        };
        for listener in &config.listeners {
            if let Some(tls) = &listener.tls {
                expires(format!("listener {}", listener.bind), tls.loaded.expires);
            }
        }
        for trunk in &config.routing.trunks {
            if let Some((client, _)) = config.clients.get(&trunk.first_identity()) {
                expires(format!("trunk {}", trunk.name), client.expires);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Authority;

    #[test]
    fn limits_and_ends_of_certificates_are_those_of_the_configuration_in_force() {
        let authority = Authority::new("configured");
        authority.sign("sbc");
        let directory = authority.ca().parent().unwrap().display().to_string();
        let file = |more: &str| {
            format!(
                "[[listener]]\nrealm = \"trusted\"\nbind = \"127.0.0.1:5060\"\n[[listener]]\nrealm = \"untrusted\"\n\
                 transport = \"tls\"\nbind = \"127.0.0.2:5061\"\n\
                 tls = {{ certificate = \"{directory}/sbc.pem\", key = \"{directory}/sbc.key\" }}\n\
                 [realm.trusted]\nmedia_bind = \"127.0.0.1\"\n[realm.untrusted]\nmedia_bind = \"127.0.0.2\"\n{more}"
            )
        };
        let metrics = Metrics::new().unwrap();
        let shown = |more: &str| {
            metrics.set_configuration(&crate::config::parse("drawbridge.toml", &file(more)).unwrap());
            metrics.render(None, &Default::default()).unwrap()
        };
        let text = shown(
            "[node]\nlimits = { calls = 500 }\n[trunk.a]\nhost = \"192.0.2.1\"\nrealm = \"trusted\"\ntransport = \"udp\"\n\
             limits = { calls = 7 }\n",
        );
        assert!(text.contains("drawbridge_calls_limit{trunk=\"-\"} 500\n"), "{text}");
        assert!(text.contains("drawbridge_calls_limit{trunk=\"a\"} 7\n"), "{text}");
        let line = text.lines().find(|line| line.contains("certificate=\"listener 127.0.0.2:5061\""));
        let at: f64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
        assert!(at > 1_700_000_000.0, "{at}");
        assert!(!shown("").contains("drawbridge_calls_limit{"));
    }
}
