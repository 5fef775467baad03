//! Tests that tokens consist of bytes of the operating system's generator and nothing weaker.

use std::cell::Cell;
use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, StatusCode};
use tower::ServiceExt;

use super::*;
use crate::{MemoryStore, Session, SessionLayer};

#[test]
fn a_token_survives_its_text_form() {
    let token = Token::generate().unwrap();
    let text = token.expose();
    assert_eq!(text.len(), TOKEN_CHARACTERS);
    assert_eq!(Token::parse(text.as_bytes()), Some(token));
}

#[test]
fn tokens_are_the_same_if_both_halves_are() {
    let token = Token::generate().unwrap();
    let same_id = Token::generate_for(token.id()).unwrap();
    let mut same_secret = Token::generate().unwrap();
    same_secret.secret = token.secret;
    assert_ne!(token, same_id);
    assert_ne!(token, same_secret);
}

#[test]
fn only_the_canonical_spelling_is_a_token() {
    let text = Token::generate().unwrap().expose();
    let mut bytes = text.clone().into_bytes();
    // The last character carries four bits; setting the two unused ones must not be accepted.
    bytes[42] = b'B';
    assert_eq!(Token::parse(&bytes), None);
    assert_eq!(Token::parse(&text.as_bytes()[..42]), None);
    assert_eq!(Token::parse(format!("{text}A").as_bytes()), None);
    assert_eq!(Token::parse(format!("{text}=").as_bytes()), None);
    assert_eq!(Token::parse(&[0xff; 43]), None);
    assert_eq!(Token::parse(b""), None);
}

#[test]
fn debug_shows_no_secret() {
    let token = Token::generate().unwrap();
    let text = token.expose();
    let shown = format!("{token:?} {:?} {:?}", token.verifier(), token.id());
    assert!(!shown.contains(&text[5..22]), "{shown}");
    assert!(!shown.contains(&text[22..]), "{shown}");
    assert!(!shown.contains(&token.verifier().to_string()), "{shown}");
}

/// How long a comparison takes cannot be measured reliably here; what it is made of can be read.
#[test]
fn s06_every_comparison_of_secrets_is_constant_time() {
    let token = source("token.rs");
    for comparison in ["impl PartialEq for Verifier", "impl PartialEq for Token"] {
        let body = token.split(comparison).nth(1).unwrap();
        let body = body.split("\n}\n").next().unwrap();
        assert!(body.contains(".ct_eq("), "{comparison}");
        assert!(!body.contains("=="), "{comparison}");
    }
    // A signature is compared by its crate only, which does it in constant time.
    let signature = source("signature.rs");
    let (_, verify) = signature.split_once("pub(crate) fn verify").unwrap();
    let (verify, _) = verify.split_once("\n    }\n").unwrap();
    assert!(verify.contains("mac.verify("), "{verify}");
    let compares = |line: &&str| line.contains("signature") && line.contains("==");
    assert_eq!(verify.lines().find(compares), None);

    for (path, source) in sources() {
        // Types that hold a secret compare it as above or not at all.
        for secret in ["Verifier", "Token", "Key", "Signer", "Sealer", "SealingKey"] {
            let Some((before, _)) = source.split_once(&format!("struct {secret} ")) else {
                continue;
            };
            let derived = before.rsplit("\n\n").next().unwrap();
            assert!(!derived.contains("PartialEq"), "{path}: {secret}");
        }
        // Bytes and texts of a verifier have comparisons of their own, which are not constant-time.
        for line in source.lines().filter(|line| line.contains("verifier")) {
            let compares = line.contains("==") || line.contains("!=");
            let exposed = ["as_bytes()", "to_string()", "secret"];
            let is_exposed = exposed.iter().any(|form| line.contains(form));
            assert!(!compares || !is_exposed, "{path}: {line}");
        }
    }
}

/// The sources of this crate, without their tests, by their paths.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                found.push((path.display().to_string(), text.to_owned()));
            }
        }
    }
    let mut found = Vec::new();
    collect(
        &std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut found,
    );
    found.retain(|(path, _)| !path.ends_with("tests.rs") && !path.contains("test_kit"));
    found
}

fn source(name: &str) -> String {
    let end = format!("/src/{name}");
    let found = sources().into_iter().find(|(path, _)| path.ends_with(&end));
    found.unwrap().1
}

#[test]
fn text_forms_round_trip() {
    let id = SessionId::generate().unwrap();
    assert_eq!(id.to_string().len(), 22);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!("".parse::<SessionId>(), Err(ParseSessionIdError));

    let verifier = Token::generate().unwrap().verifier();
    assert_eq!(verifier.to_string().len(), 22);
    assert_eq!(verifier.to_string().parse(), Ok(verifier));
    assert_eq!("".parse::<Verifier>(), Err(ParseVerifierError));

    let commit = CommitId::generate().unwrap();
    assert_eq!(commit.to_string().len(), 8);
    assert_eq!(commit.to_string().parse(), Ok(commit));
}

#[test]
fn a_verifier_is_half_of_the_sha_256_of_the_secret() {
    let token = Token::parse(b"AAECAwQFBgcICQoLDA0OD2FiYwAAAAAAAAAAAAAAAAA").unwrap();
    let digest = Sha256::digest(token.secret);
    assert_eq!(token.verifier().as_bytes()[..], digest[..16]);
    let mut other = token;
    other.secret[15] ^= 1;
    assert_ne!(token.verifier(), other.verifier());
}

#[test]
fn a_session_id_is_serialized_as_its_text_form() {
    let id = SessionId::generate().unwrap();
    let json = serde_json::to_string(&id).unwrap();
    assert_eq!(json, format!("\"{id}\""));
    assert_eq!(serde_json::from_str::<SessionId>(&json).unwrap(), id);
    let bytes = postcard::to_allocvec(&id).unwrap();
    assert_eq!(postcard::from_bytes::<SessionId>(&bytes).unwrap(), id);
    for wrong in ["\"\"", "\"AAAA\"", "7", "null"] {
        let error = serde_json::from_str::<SessionId>(wrong).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("22 base64url characters"), "{error}");
    }
}

#[tokio::test]
async fn a_session_id_is_taken_from_a_path() {
    let show = |Path(id): Path<SessionId>| async move { id.to_string() };
    let app = Router::new().route("/devices/{session}", get(show));
    let answer = |path: String| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request)
    };
    let id = SessionId::generate().unwrap();
    let response = answer(format!("/devices/{id}")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = axum::body::to_bytes(response.into_body(), 100).await;
    assert_eq!(body.unwrap(), id.to_string());
    for wrong in ["x", &format!("{id}A"), &format!("{id}=")] {
        let response = answer(format!("/devices/{wrong}")).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

thread_local! {
    /// Whether the operating system's generator fails on this thread.
    static FAILS: Cell<bool> = const { Cell::new(false) };
}

/// The operating system's generator.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), getrandom::Error> {
    match FAILS.get() {
        true => Err(getrandom::Error::UNEXPECTED),
        false => getrandom::fill(bytes),
    }
}

/// Every bit of the secret is as often set as not, and no secret comes twice.
#[test]
fn s01_a_token_has_128_secret_bits() {
    const TOKENS: usize = 4_000;
    let mut set = [0; 8 * SECRET_BYTES];
    let mut seen = HashSet::new();
    for _ in 0..TOKENS {
        let token = Token::generate().unwrap();
        assert!(seen.insert(token.secret), "a secret came twice");
        assert!(seen.insert(token.id.0), "an id came twice");
        for (bit, count) in set.iter_mut().enumerate() {
            *count += usize::from(token.secret[bit / 8] >> (bit % 8) & 1);
        }
    }
    assert!(set.len() >= 128);
    // Twelve standard deviations on either side.
    let expected = TOKENS * 2 / 5..TOKENS * 3 / 5;
    for (bit, count) in set.iter().enumerate() {
        assert!(expected.contains(count), "bit {bit} was set {count} times");
    }
}

/// Only these functions make tokens, and no caller can supply the bytes of one.
#[test]
fn s01_tokens_come_from_the_operating_system_only() {
    for (path, source) in sources() {
        for other in ["fastrand", "rand::", "thread_rng"] {
            assert!(!source.contains(other), "{path}: {other}");
        }
        let exports = source.lines().filter(|line| line.contains("pub use"));
        for line in exports {
            assert!(!line.contains("Token"), "{path}: {line}");
        }
    }
    let token = source("token.rs");
    assert!(token.contains("\npub(crate) struct Token {"));
    assert!(token.contains("use getrandom::fill;\n"));
    let (_, methods) = token.split_once("\nimpl Token {").unwrap();
    let (methods, _) = methods.split_once("\n}\n").unwrap();
    assert!(!methods.contains("pub fn"), "{methods}");
}

#[derive(session_macros::Session)]
#[session(crate = crate)]
struct Shop {
    visits: u32,
}

/// The answer's status and the cookie that it sets.
async fn visit(app: &Router, path: &str, cookie: Option<&str>) -> (StatusCode, Option<String>) {
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let cookie = response.headers().get(SET_COOKIE).map(|cookie| {
        let cookie = cookie.to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    });
    (response.status(), cookie)
}

#[tokio::test]
async fn s01_if_the_generator_fails_the_request_fails() {
    let write = |mut session: Session<Shop>| async move { session.visits += 1 };
    let rotate = |mut session: Session<Shop>| async move { session.rotate() };
    let read = |session: Session<Shop>| async move {
        assert_eq!(session.visits, 1);
    };
    let app = Router::new()
        .route("/write", get(write))
        .route("/rotate", get(rotate))
        .route("/read", get(read))
        .layer(SessionLayer::new(MemoryStore::new()));
    let (status, cookie) = visit(&app, "/write", None).await;
    assert!(status.is_success() && cookie.is_some());

    FAILS.set(true);
    let failed = (StatusCode::INTERNAL_SERVER_ERROR, None);
    assert_eq!(visit(&app, "/write", None).await, failed, "a new token");
    assert_eq!(visit(&app, "/rotate", cookie.as_deref()).await, failed);
    assert_eq!(visit(&app, "/write", cookie.as_deref()).await, failed);
    assert!(Token::generate().is_err() && SessionId::generate().is_err());
    FAILS.set(false);
    let unharmed = (StatusCode::OK, None);
    assert_eq!(visit(&app, "/read", cookie.as_deref()).await, unharmed);
}
