//! Who may read through an operator's browser. A stranger's page cannot read from another origin, unless its name
//! is made to lead here (DNS rebinding): then the browser takes us for the stranger's own site. What tells
//! the two apart is Host, which no script can write.
//!
//! So on a loopback listener Host must be an address, or a name that nobody can register: one without a
//! dot, or below localhost. A listener that the operator has put on a network is reached by whatever
//! name it has there; who may reach it is for a firewall, or for a proxy that asks for a password.
//! Metrics and health are for scrapers, tell nothing of calls and are not guarded.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::admin::problem::Problem;

/// What anybody may read.
const UNGUARDED: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// Where HTTP is served.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin) struct Door {
    is_loopback: bool,
}

impl Door {
    pub(in crate::admin) fn of<L: axum::serve::Listener<Addr = std::net::SocketAddr>>(listener: &L) -> Door {
        Door { is_loopback: listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) }
    }

    fn lets_in(self, host: Option<&str>) -> bool {
        // A browser always says it.
        let Some(host) = host.filter(|_| self.is_loopback) else { return true };
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        name.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || name.to_ascii_lowercase().ends_with(".localhost")
    }
}

/// Before everything that HTTP serves.
pub(in crate::admin) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let is_guarded = !UNGUARDED.contains(&request.uri().path());
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or("."));
    let mut response = if is_guarded && !door.lets_in(host) {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this listener is for this machine alone, and goes by no such name",
            "open it as http://127.0.0.1 or http://localhost with its port; a proxy in front has to send Host: \
             localhost",
        )
        .into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(resource_policy, HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_a_name_that_somebody_may_own_is_not_ours() {
        let door = Door { is_loopback: true };
        for host in ["127.0.0.1:9060", "[::1]:9060", "localhost:9060", "sbc1", "a.LocalHost", "localhost."] {
            assert!(door.lets_in(Some(host)), "{host}");
        }
        for host in
            ["attacker.example:9060", "127.0.0.1.attacker.example", "localhost.attacker.example", "a b", ""]
        {
            assert!(!door.lets_in(Some(host)), "{host}");
        }
        assert!(door.lets_in(None));
        assert!(Door { is_loopback: false }.lets_in(Some("sbc1.example.com")));
    }
}
