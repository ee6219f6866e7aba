//! Digest access authentication, the client's side (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! Reads challenges, picks the strongest, computes the answer over the request URI's bytes as they
//! are on the wire; reads the next nonce that a server announces (RFC 7615 §3). Draws no randomness: the
//! caller gives the cnonce. Whether the realm is one that may have our digest is the caller's to check
//! before it answers.
//!
//! Must not know: messages, transactions, trunks.

use std::fmt::{self, Write as _};

use md5::{Digest, Md5};
use sha2::{Sha256, Sha512_256};

/// One header value holds no more challenges.
pub const MAX_CHALLENGES: usize = 8;
/// One challenge holds no more parameters.
const MAX_PARAMETERS: usize = 32;
/// What stands between parameters: white space, and commas, of which servers write too many.
const BLANKS: [char; 5] = [' ', '\t', '\r', '\n', ','];

/// A hash that we can compute, from weak to strong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// RFC 1321; what a challenge means that names none (RFC 7616 §3.3).
    Md5,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4: SHA-512 with its own start values, cut to 256 bits.
    Sha512_256,
}

impl Algorithm {
    /// Every one, from weak to strong.
    pub const ALL: [Algorithm; 3] = [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256];

    /// The name on the wire, without `-sess`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512_256 => "SHA-512-256",
        }
    }

    /// H(data) of RFC 7616 §3.3 over the concatenated parts, in lower-case hexadecimal.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Algorithm::Md5 => hex::<Md5>(parts),
            Algorithm::Sha256 => hex::<Sha256>(parts),
            Algorithm::Sha512_256 => hex::<Sha512_256>(parts),
        }
    }
}

fn hex<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What of the request the digest protects (RFC 7616 §3.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protection {
    /// No `qop` in the challenge: RFC 2069 compatibility.
    None,
    /// Method and URI.
    Auth,
    /// The body as well.
    AuthInt,
}

/// One Digest challenge of a WWW-Authenticate or Proxy-Authenticate header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Unescaped; the caller checks it.
    pub realm: String,
    /// As it is to be sent back, unescaped.
    pub nonce: String,
    /// Sent back unchanged.
    pub opaque: Option<String>,
    /// The nonce was too old and the password was right: answer anew without asking anybody.
    pub stale: bool,
    /// The hash.
    pub algorithm: Algorithm,
    /// `-sess`: A1 holds nonce and cnonce too.
    pub session_keyed: bool,
    /// `userhash=true`: the server wants the user's name hashed (RFC 7616 §3.4.4).
    pub hashes_user: bool,
    /// What to use of the `qop` offered; `auth` before `auth-int`, for bodies are rewritten by
    /// middleboxes.
    pub protection: Protection,
    /// The algorithm as it was written, to be sent back so; absent if it was absent.
    algorithm_as_sent: Option<String>,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ChallengeFault {
    /// The header value does not follow RFC 7235 §2.1.
    #[error("malformed challenge")]
    Malformed,
    /// No challenge in it is of the Digest scheme.
    #[error("no Digest challenge")]
    NotDigest,
    /// `realm` or `nonce` is missing.
    #[error("challenge without realm or nonce")]
    Incomplete,
    /// An algorithm or a `qop` that nobody here knows.
    #[error("unknown algorithm or quality of protection")]
    Unsupported,
}

/// Who answers.
#[derive(Clone, Copy)]
pub struct Answerer<'a> {
    /// The user.
    pub username: &'a str,
    /// Never printed.
    pub password: &'a str,
}

impl fmt::Debug for Answerer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answerer").field("username", &self.username).field("password", &"…").finish()
    }
}

/// The request that the answer goes into.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As in the request line.
    pub method: &'a str,
    /// The Request-URI's bytes as they are on the wire.
    pub uri: &'a [u8],
    /// The body, which `auth-int` protects.
    pub body: &'a [u8],
}

impl Challenge {
    /// Every challenge of one header value that we can answer; several may stand in one, separated
    /// by commas. A fault only where there is none.
    pub fn parse(value: &[u8]) -> Result<Vec<Challenge>, ChallengeFault> {
        let value = std::str::from_utf8(value).map_err(|_| ChallengeFault::Malformed)?;
        let mut fault = ChallengeFault::NotDigest;
        let mut challenges = Vec::new();
        for raw in split_challenges(value)? {
            if !raw.scheme.eq_ignore_ascii_case("Digest") {
                continue;
            }
            match Challenge::from_raw(&raw) {
                Ok(challenge) => challenges.push(challenge),
                Err(reason) => fault = reason,
            }
        }
        if challenges.is_empty() { Err(fault) } else { Ok(challenges) }
    }

    fn from_raw(raw: &RawChallenge<'_>) -> Result<Challenge, ChallengeFault> {
        let parameter = |name: &str| {
            raw.parameters
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let (Some(realm), Some(nonce)) = (parameter("realm"), parameter("nonce")) else {
            return Err(ChallengeFault::Incomplete);
        };
        let algorithm_as_sent = parameter("algorithm").map(str::to_owned);
        let (algorithm, session_keyed) = algorithm(algorithm_as_sent.as_deref().unwrap_or("MD5"))?;
        Ok(Challenge {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: parameter("opaque").map(str::to_owned),
            stale: parameter("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            algorithm,
            session_keyed,
            hashes_user: parameter("userhash").is_some_and(|wanted| wanted.eq_ignore_ascii_case("true")),
            protection: protection(parameter("qop"))?,
            algorithm_as_sent,
        })
    }

    /// The value of the Authorization or Proxy-Authorization header (RFC 7616 §3.4).
    ///
    /// `nonce_count` is how many requests were sent with this nonce, this one counted in (from 1);
    /// `cnonce` is fresh randomness of token characters, with `-sess` the same as long as the nonce is: it
    /// is part of the secret then (§3.4.2), and servers that keep the first and servers that read each
    /// are both content.
    pub fn answer(&self, who: Answerer<'_>, request: Request<'_>, nonce_count: u32, cnonce: &str) -> Vec<u8> {
        let response = self.response(who, request, nonce_count, cnonce);
        let mut value = Vec::with_capacity(320);
        value.extend_from_slice(b"Digest ");
        let username = match self.hashes_user {
            true => self.algorithm.hash(&[who.username.as_bytes(), b":", self.realm.as_bytes()]),
            false => who.username.to_owned(),
        };
        quoted(&mut value, "username", username.as_bytes());
        quoted(&mut value, ", realm", self.realm.as_bytes());
        quoted(&mut value, ", nonce", self.nonce.as_bytes());
        quoted(&mut value, ", uri", request.uri);
        quoted(&mut value, ", response", response.as_bytes());
        if let Some(algorithm) = &self.algorithm_as_sent {
            value.extend_from_slice(format!(", algorithm={algorithm}").as_bytes());
        }
        // `qop` and `nc` are unquoted in an answer (RFC 7616 §3.4).
        let qop = match self.protection {
            Protection::None => None,
            Protection::Auth => Some("auth"),
            Protection::AuthInt => Some("auth-int"),
        };
        if let Some(qop) = qop {
            value.extend_from_slice(format!(", qop={qop}, nc={nonce_count:08x}").as_bytes());
        }
        if qop.is_some() || self.session_keyed {
            quoted(&mut value, ", cnonce", cnonce.as_bytes());
        }
        if let Some(opaque) = &self.opaque {
            quoted(&mut value, ", opaque", opaque.as_bytes());
        }
        if self.hashes_user {
            value.extend_from_slice(b", userhash=true");
        }
        value
    }

    /// RFC 7616 §3.4.1 to §3.4.3.
    fn response(&self, who: Answerer<'_>, request: Request<'_>, nonce_count: u32, cnonce: &str) -> String {
        let hash = |parts: &[&[u8]]| self.algorithm.hash(parts);
        let (nonce, cnonce) = (self.nonce.as_bytes(), cnonce.as_bytes());
        let mut secret =
            hash(&[who.username.as_bytes(), b":", self.realm.as_bytes(), b":", who.password.as_bytes()]);
        if self.session_keyed {
            secret = hash(&[secret.as_bytes(), b":", nonce, b":", cnonce]);
        }
        let (secret, method, uri) = (secret.as_bytes(), request.method.as_bytes(), request.uri);
        let count = format!("{nonce_count:08x}");
        match self.protection {
            Protection::None => {
                let what = hash(&[method, b":", uri]);
                hash(&[secret, b":", nonce, b":", what.as_bytes()])
            }
            Protection::Auth => {
                let what = hash(&[method, b":", uri]);
                hash(&[secret, b":", nonce, b":", count.as_bytes(), b":", cnonce, b":auth:", what.as_bytes()])
            }
            Protection::AuthInt => {
                let body = hash(&[request.body]);
                let what = hash(&[method, b":", uri, b":", body.as_bytes()]);
                hash(&[
                    secret,
                    b":",
                    nonce,
                    b":",
                    count.as_bytes(),
                    b":",
                    cnonce,
                    b":auth-int:",
                    what.as_bytes(),
                ])
            }
        }
    }
}

/// The challenge with the strongest hash; of equals the first, for servers list what they prefer
/// first (RFC 8760 §2.3).
pub fn strongest<'a>(challenges: impl DoubleEndedIterator<Item = &'a Challenge>) -> Option<&'a Challenge> {
    challenges.rev().max_by_key(|challenge| challenge.algorithm)
}

/// The nonce that a server asks for from now on: `nextnonce` of an Authentication-Info header (RFC 7615
/// §3, RFC 7616 §3.5). `None`: the header names none, or cannot be read.
pub fn next_nonce(info: &[u8]) -> Option<String> {
    let mut rest = std::str::from_utf8(info).ok()?;
    for _ in 0..MAX_PARAMETERS {
        rest = rest.trim_start_matches(BLANKS);
        let (name, after) = take_token(rest).ok()?;
        let (value, after) = take_value(after.trim_start().strip_prefix('=')?.trim_start()).ok()?;
        if name.eq_ignore_ascii_case("nextnonce") {
            return Some(value).filter(|nonce| !nonce.is_empty());
        }
        rest = after;
    }
    None
}

/// The hash, and whether `-sess` is wanted.
fn algorithm(name: &str) -> Result<(Algorithm, bool), ChallengeFault> {
    let lower = name.to_ascii_lowercase();
    let (base, session_keyed) = match lower.strip_suffix("-sess") {
        Some(base) => (base, true),
        None => (lower.as_str(), false),
    };
    let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(base));
    known.map(|algorithm| (algorithm, session_keyed)).ok_or(ChallengeFault::Unsupported)
}

fn protection(qop: Option<&str>) -> Result<Protection, ChallengeFault> {
    let Some(qop) = qop else { return Ok(Protection::None) };
    let offers = |wanted: &str| qop.split(',').any(|offer| offer.trim().eq_ignore_ascii_case(wanted));
    if offers("auth") {
        Ok(Protection::Auth)
    } else if offers("auth-int") {
        Ok(Protection::AuthInt)
    } else if qop.trim().is_empty() {
        Ok(Protection::None)
    } else {
        Err(ChallengeFault::Unsupported)
    }
}

/// A scheme with its parameters, unescaped.
struct RawChallenge<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

/// RFC 7235 §2.1 with its appendix: a comma separates parameters and challenges alike; a token
/// followed by another token, not by `=`, begins a challenge.
fn split_challenges(value: &str) -> Result<Vec<RawChallenge<'_>>, ChallengeFault> {
    let mut challenges: Vec<RawChallenge<'_>> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(BLANKS);
        if rest.is_empty() {
            return Ok(challenges);
        }
        let (token, after) = take_token(rest)?;
        if let Some(after_equals) = after.trim_start().strip_prefix('=')
            && let Some(challenge) = challenges.last_mut()
        {
            let (text, after) = take_value(after_equals.trim_start())?;
            if challenge.parameters.len() == MAX_PARAMETERS {
                return Err(ChallengeFault::Malformed);
            }
            challenge.parameters.push((token, text));
            rest = after;
        } else {
            if challenges.len() == MAX_CHALLENGES {
                return Err(ChallengeFault::Malformed);
            }
            challenges.push(RawChallenge { scheme: token, parameters: Vec::new() });
            rest = skip_token68(after);
        }
    }
}

/// Credentials of other schemes (`Basic dGVzdA==`, `Negotiate abc`) are passed over.
fn skip_token68(after_scheme: &str) -> &str {
    let text = after_scheme.trim_start();
    let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or("");
    let is_token68 = !word.is_empty() && !word.trim_end_matches('=').contains(['=', '"']);
    let followed_by_equals = text.get(end..).is_some_and(|rest| rest.trim_start().starts_with('='));
    if is_token68 && !followed_by_equals { text.get(end..).unwrap_or("") } else { after_scheme }
}

fn take_token(text: &str) -> Result<(&str, &str), ChallengeFault> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~#$&^|".contains(c);
    let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
    if end == 0 { Err(ChallengeFault::Malformed) } else { Ok(text.split_at(end)) }
}

/// A quoted string without its escapes (RFC 3261 §25.1), or a token; servers leave quotes out.
fn take_value(text: &str) -> Result<(String, &str), ChallengeFault> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t', '\r', '\n']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Ok((value.to_owned(), after));
    };
    let mut value = String::with_capacity(48);
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        let literal = match character {
            '"' => return Ok((value, &quoted[at + 1..])),
            '\\' => characters.next().ok_or(ChallengeFault::Malformed)?.1,
            other => other,
        };
        // A line break would end our own header.
        if matches!(literal, '\r' | '\n' | '\0') {
            return Err(ChallengeFault::Malformed);
        }
        value.push(literal);
    }
    Err(ChallengeFault::Malformed)
}

/// `name="value"` with the value's quotes and backslashes escaped.
fn quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUFASA: Answerer<'_> = Answerer { username: "Mufasa", password: "Circle of Life" };

    fn get(uri: &str) -> Request<'_> {
        Request { method: "GET", uri: uri.as_bytes(), body: b"" }
    }

    fn only(value: &str) -> Challenge {
        let mut challenges = Challenge::parse(value.as_bytes()).unwrap();
        assert_eq!(challenges.len(), 1);
        challenges.remove(0)
    }

    /// A parameter of the answer, without quotes.
    fn parameter(answer: &[u8], name: &str) -> Option<String> {
        let raw = split_challenges(std::str::from_utf8(answer).unwrap()).unwrap();
        raw[0].parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone())
    }

    fn response(challenge: &Challenge, who: Answerer<'_>, request: Request<'_>, cnonce: &str) -> String {
        parameter(&challenge.answer(who, request, 1, cnonce), "response").unwrap()
    }

    const RFC_7616: &str = r#"realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    #[test]
    fn rfc_7616_section_3_9_1() {
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let uri = "/dir/index.html";
        let answered = |algorithm: &str| {
            let challenge = only(&format!("Digest {RFC_7616}, algorithm={algorithm}"));
            response(&challenge, MUFASA, get(uri), cnonce)
        };
        assert_eq!(answered("SHA-256"), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        assert_eq!(answered("MD5"), "8ca523f5e9506fed4657c9700eebdbec");
    }

    /// With the hash of erratum 4897: the RFC's own example cut SHA-512 instead of using SHA-512/256.
    #[test]
    fn rfc_7616_section_3_9_2_with_a_user_that_is_hashed() {
        let challenge = only(
            r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true"#,
        );
        let who = Answerer { username: "J\u{e4}s\u{f8}n Doe", password: "Secret, or not?" };
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let answer = challenge.answer(who, get("/doe.json"), 1, cnonce);
        let found = |name| parameter(&answer, name).unwrap();
        assert_eq!(found("username"), "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b");
        assert_eq!(found("response"), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
        assert_eq!(found("userhash"), "true");
    }

    #[test]
    fn an_algorithm_is_known_in_any_case_and_in_quotes_and_sent_back_as_it_was_named() {
        for written in ["sha-256", "\"SHA-256\"", "Sha-256"] {
            let challenge = only(&format!("Digest realm=\"r\", nonce=\"n\", algorithm={written}"));
            assert_eq!((challenge.algorithm, challenge.session_keyed), (Algorithm::Sha256, false));
            let answer = challenge.answer(MUFASA, get("/"), 1, "c");
            assert_eq!(parameter(&answer, "algorithm").unwrap(), written.trim_matches('"'));
        }
        let challenge = only("Digest realm=\"r\", nonce=\"n\", algorithm=\"sha-512-256-SESS\", qop=\"AUTH\"");
        assert_eq!((challenge.algorithm, challenge.session_keyed), (Algorithm::Sha512_256, true));
        assert_eq!(challenge.protection, Protection::Auth);
    }

    #[test]
    fn the_next_nonce_is_read_from_authentication_info() {
        let info = b"qop=auth, rspauth=\"6629\", cnonce=\"0a4f\", nc=00000001, NextNonce=\"47364c23\\\"4\"";
        assert_eq!(next_nonce(info).as_deref(), Some("47364c23\"4"));
        for none in [&b""[..], b"nextnonce=\"\"", b"rspauth=\"1\"", b"nextnonce", b"nextnonce=\"a", b"\xff"] {
            assert_eq!(next_nonce(none), None);
        }
    }

    #[test]
    fn rfc_2617_section_3_5_and_the_header_in_full() {
        let challenge = only(
            r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
        );
        let who = Answerer { username: "Mufasa", password: "Circle Of Life" };
        let answer = challenge.answer(who, get("/dir/index.html"), 1, "0a4f113b");
        expect_test::expect![[r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", qop=auth, nc=00000001, cnonce="0a4f113b", opaque="5ccc069c403ebaf9f0171e9517f40e41""#]].assert_eq(std::str::from_utf8(&answer).unwrap());
    }

    #[test]
    fn no_qop_is_rfc_2069() {
        // RFC 2069's own example, with the response of its errata 749.
        let challenge =
            only(r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093""#);
        let who = Answerer { username: "Mufasa", password: "CircleOfLife" };
        let answer = challenge.answer(who, get("/dir/index.html"), 1, "unused");
        assert_eq!(parameter(&answer, "response").unwrap(), "1949323746fe6a43ef61f9606e7febea");
        assert_eq!((parameter(&answer, "cnonce"), parameter(&answer, "nc")), (None, None));
    }

    /// RFC 7616 §3.4.2, written out by hand.
    #[test]
    fn sess_hashes_nonce_and_cnonce_into_the_secret() {
        let challenge = only(r#"Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth""#);
        let who = Answerer { username: "u", password: "p" };
        let md5 = |text: &str| Algorithm::Md5.hash(&[text.as_bytes()]);
        let secret = md5(&format!("{}:n:c", md5("u:r:p")));
        let expected = md5(&format!("{secret}:n:00000001:c:auth:{}", md5("GET:/")));
        assert_eq!(response(&challenge, who, get("/"), "c"), expected);
    }

    #[test]
    fn auth_int_alone_protects_the_body() {
        let challenge = only(r#"Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth-int""#);
        let who = Answerer { username: "u", password: "p" };
        let hash = |text: &str| Algorithm::Sha512_256.hash(&[text.as_bytes()]);
        let what = hash(&format!("INVITE:sip:a@b;transport=tcp:{}", hash("v=0")));
        let expected = hash(&format!("{}:n:00000001:c:auth-int:{what}", hash("u:r:p")));
        let request = Request { method: "INVITE", uri: b"sip:a@b;transport=tcp", body: b"v=0" };
        assert_eq!(response(&challenge, who, request, "c"), expected);
        let other = Request { body: b"v=1", ..request };
        assert_ne!(response(&challenge, who, other, "c"), expected);
    }

    #[test]
    fn known_hashes() {
        // FIPS 180-4 test vectors of "abc"; RFC 1321 A.5.
        assert_eq!(Algorithm::Md5.hash(&[b"a", b"bc"]), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            Algorithm::Sha512_256.hash(&[b"abc"]),
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"
        );
    }

    #[test]
    fn several_challenges_in_one_value_and_the_strongest_of_them() {
        let value = format!(
            "Basic realm=\"x, Digest y\", Digest {RFC_7616}, algorithm=MD5, Digest {RFC_7616}, algorithm=SHA-256, charset=UTF-8, Digest realm=\"z\", nonce=\"n\", algorithm=AKAv1-MD5"
        );
        let challenges = Challenge::parse(value.as_bytes()).unwrap();
        let algorithms: Vec<_> = challenges.iter().map(|challenge| challenge.algorithm).collect();
        assert_eq!(algorithms, [Algorithm::Md5, Algorithm::Sha256]);
        assert_eq!(strongest(challenges.iter()).unwrap().algorithm, Algorithm::Sha256);
        assert!(strongest([].iter()).is_none());
        let two = [challenges[1].clone(), Challenge { realm: "second".into(), ..challenges[1].clone() }];
        assert_eq!(strongest(two.iter()).unwrap().realm, "http-auth@example.org");
    }

    #[test]
    fn what_servers_write_is_read() {
        let challenge =
            only("digest\tREALM = \"a \\\"b\\\" \\\\c\" ,Nonce=abc==,, Stale=TRUE, x=\"1\", qop=auth");
        assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("a \"b\" \\c", "abc=="));
        assert!(challenge.stale && challenge.protection == Protection::Auth);
        let answer = challenge.answer(Answerer { username: "o\"o", password: "p" }, get("/"), 10, "c");
        let text = String::from_utf8(answer).unwrap();
        assert!(text.starts_with(r#"Digest username="o\"o", realm="a \"b\" \\c", nonce="abc==""#), "{text}");
        assert!(text.contains("qop=auth, nc=0000000a") && !text.contains("algorithm"), "{text}");
        assert_eq!(only("Negotiate YII=, Digest realm=\"r\", nonce=\"n\"").realm, "r");
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let fault = |value: &str| Challenge::parse(value.as_bytes()).unwrap_err();
        assert_eq!(fault(""), ChallengeFault::NotDigest);
        assert_eq!(fault("Basic realm=\"x\""), ChallengeFault::NotDigest);
        assert_eq!(fault("Digest realm=\"x\""), ChallengeFault::Incomplete);
        assert_eq!(fault("Digest realm=\"x\", nonce=\"n\", algorithm=SHA-1"), ChallengeFault::Unsupported);
        assert_eq!(fault("Digest realm=\"x\", nonce=\"n\", qop=\"auth-conf\""), ChallengeFault::Unsupported);
        for malformed in
            ["Digest realm=\"x", "Digest realm=\"x\\", "=x", "Digest realm=\"a\r\nb\", nonce=\"n\""]
        {
            assert_eq!(fault(malformed), ChallengeFault::Malformed, "{malformed}");
        }
        assert_eq!(Challenge::parse(b"Digest realm=\"\xff\"").unwrap_err(), ChallengeFault::Malformed);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_no_answer_holds_a_line_break(
            free in "(Digest|Basic)? ?[a-z=\", \\\\\r\n]{0,40}",
            realm in "[a\\\\\r\n\" ]{0,4}",
            nonce in "[a=,\r\n\\\\ ]{0,6}",
        ) {
            let _ = Challenge::parse(free.as_bytes());
            let value = format!("Digest realm=\"{realm}\", nonce={nonce}, {free}");
            for challenge in Challenge::parse(value.as_bytes()).unwrap_or_default() {
                let answer = challenge.answer(MUFASA, get("/"), 1, "c");
                assert!(!answer.contains(&b'\r') && !answer.contains(&b'\n'), "{value:?}");
            }
        }
    }
}
